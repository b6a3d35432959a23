//! `ETag` and `If-Match`: of two changes none is lost.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, TestConsumer, TestRegistry, TestRequest, statuses_of_concurrent};

async fn shop() -> (TestRegistry, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/first", "1.*").await;
    (registry, consumer)
}

fn request(registry: &TestRegistry, method: Method, path: &str, body: &Value) -> TestRequest {
    let request = registry.isolate.request(method, &format!("/api/storefront{path}")).bearer(ADMIN);
    if body.is_null() { request } else { request.json(body) }
}

#[tokio::test]
async fn a_change_of_what_somebody_else_changed_is_refused_and_does_nothing() {
    let until = json!({"updates_until": "2029-01-01 00:00:00"});
    let list = json!([{"package": "acme/first", "version": "1.*", "updates_until": "2029-01-01 00:00:00"}]);
    let patch = |of: &'static str, body: Value| (Method::PATCH, of, body);
    let renamed = patch("consumer", json!({"email": "second@example.com"}));
    let granted = patch("permission", json!({"expires_at": "2031-01-01 00:00:00"}));
    // What is read, who changes it meanwhile, and what is then refused.
    let cases = [
        ("permission", &granted, (Method::PATCH, "permission", until.clone())),
        ("permission", &granted, (Method::PUT, "permission", until)),
        ("permission", &granted, (Method::DELETE, "permission", Value::Null)),
        ("list", &granted, (Method::PUT, "list", list.clone())),
        ("list", &granted, (Method::POST, "list", list)),
        ("consumer", &renamed, (Method::PATCH, "consumer", json!({"status": 0}))),
        ("consumer", &renamed, (Method::PUT, "consumer", json!({"status": 0}))),
        ("consumer", &renamed, (Method::DELETE, "consumer", Value::Null)),
        ("consumer", &renamed, (Method::PUT, "customer", json!({"status": 0}))),
        // A sale changes nothing of the consumer itself.
        (
            "consumer",
            &renamed,
            (Method::PUT, "customer", json!({"entitlements": [{"package": "acme/second", "version": "*"}]})),
        ),
    ];
    for (read, (other_method, other_path, other_body), (method, path, body)) in cases {
        let (registry, consumer) = shop().await;
        let known = json!({"customer_id": "42"});
        registry.storefront_patch(&format!("/consumers/{}", consumer.id), &known).send().await.expect(200);
        let of = |name: &str| match name {
            "permission" => "/permissions/1".to_owned(),
            "list" => format!("/consumers/{}/entitlements", consumer.id),
            "customer" => "/consumers/by-customer/42".to_owned(),
            _ => format!("/consumers/{}", consumer.id),
        };
        let tag = registry.storefront_get(&of(read)).send().await.expect(200).header("etag").to_owned();
        request(&registry, other_method.clone(), &of(other_path), other_body).send().await.expect(200);
        let state = || ["consumers", "grants"].map(|table| registry.database.rows(&format!("SELECT * FROM {table}")));
        let before = state();
        let late = || request(&registry, method.clone(), &of(path), &body);
        let reply = late().header("if-match", &tag).send().await.expect(412).json();
        assert_eq!(reply["code"], "PRECONDITION_FAILED", "{method} {path}");
        assert!(reply["error"].as_str().is_some_and(|text| text.ends_with("Read it again and retry.")), "{reply}");
        assert_eq!(state(), before, "{method} {path}");
        let tag = registry.storefront_get(&of(read)).send().await.expect(200).header("etag").to_owned();
        let reply = late().header("if-match", &tag).send().await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.text());
        assert_ne!(state(), before, "{method} {path}");
    }
}

#[tokio::test]
async fn a_consumer_that_changes_while_it_is_deleted_under_a_precondition_stays() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}", consumer.id);
    let tag = registry.storefront_get(&path).send().await.expect(200).header("etag").to_owned();
    let requests = [
        registry.storefront_delete(&path).header("if-match", &tag),
        registry.storefront_patch(&path, &json!({"email": "new@example.com"})),
    ];
    let statuses = statuses_of_concurrent(requests).await;
    assert!(statuses != [200, 204], "what was changed was deleted unseen");
    let is_there = registry.storefront_get(&path).send().await.status == 200;
    assert_eq!(is_there, statuses.contains(&200), "{statuses:?}");
}

#[tokio::test]
async fn every_answer_that_shows_what_can_be_changed_has_its_tag() {
    let (registry, consumer) = shop().await;
    let one = format!("/consumers/{}", consumer.id);
    let list = format!("{one}/entitlements");
    let same = json!([{"package": "acme/first", "version": "1.*"}]);
    let tag = |request: TestRequest| async { request.send().await.header("etag").to_owned() };
    assert_eq!(tag(registry.storefront_get(&one)).await, tag(registry.storefront_patch(&one, &json!({}))).await);
    assert_eq!(tag(registry.storefront_get(&list)).await, tag(registry.storefront_put(&list, &same)).await);
    assert_eq!(tag(registry.storefront_get(&list)).await, tag(registry.storefront_post(&list, &same)).await);
    let patched = registry.storefront_patch("/permissions/1", &json!({"metadata": {"a": 1}}));
    let before = tag(registry.storefront_get("/permissions/1")).await;
    let after = tag(patched).await;
    assert_ne!(before, after);
    assert_eq!(tag(registry.storefront_get("/permissions/1")).await, after);
    // A change of its permissions is none of the consumer.
    let consumer_tag = tag(registry.storefront_get(&one)).await;
    registry.storefront_delete("/permissions/1").header("if-match", &after).send().await.expect(204);
    assert_eq!(tag(registry.storefront_get(&one)).await, consumer_tag);
    registry.storefront_delete(&one).header("if-match", "*").send().await.expect(204);
}

#[tokio::test]
async fn without_a_precondition_the_last_change_wins() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    for list in [json!([{"package": "acme/first", "version": "2.*"}]), json!([])] {
        registry.storefront_put(&path, &list).send().await.expect(200);
    }
    registry
        .storefront_put("/consumers/by-customer/77", &json!({"email": "a@example.com"}))
        .header("if-match", "*")
        .send()
        .await
        .expect(412);
}

#[tokio::test]
async fn what_a_list_does_not_name_of_a_permission_that_stays_is_kept() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let given = json!({
        "order_id": "1001", "metadata": {"edition": "pro"}, "minimum_stability": "dev", "updates_until": "2028-01-01 00:00:00",
    });
    let before = registry.storefront_patch("/permissions/1", &given).send().await.expect(200).json();
    registry.advance_seconds(60);
    let list = json!([{"package": "acme/first", "version": "1.*", "updates_until": "2029-01-01 00:00:00"}]);
    let set = registry.storefront_put(&path, &list).send().await.expect(200).json();
    for field in ["id", "created_at", "order_id", "metadata", "minimum_stability"] {
        assert_eq!(set[0][field], before[field], "{field}");
    }
    assert_eq!(set[0]["updates_until"], "2029-01-01 00:00:00");
    // Another order's is another permission.
    let other = json!([{"package": "acme/first", "version": "1.*", "order_id": "1002"}]);
    let set = registry.storefront_put(&path, &other).send().await.expect(200).json();
    assert_eq!((&set[0]["id"], &set[0]["minimum_stability"]), (&json!(2), &json!("stable")));
    assert_eq!(set.as_array().map(Vec::len), Some(1));
}
