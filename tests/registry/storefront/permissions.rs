//! `/api/storefront/permissions` and `…/entitlements`: what consumers were granted, one by one and all at once.

use serde_json::{Value, json};

use crate::support::{TestConsumer, TestRegistry, statuses_of_concurrent};

/// A shop with two packages and a customer.
async fn shop() -> (TestRegistry, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/first", &["1.0.0", "2.0.0"]).await;
    registry.published("acme/second", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    (registry, consumer)
}

fn ids(list: &Value) -> Vec<i64> {
    list.as_array().expect("a list").iter().map(|row| row["id"].as_i64().expect("an integer")).collect()
}

#[tokio::test]
async fn a_permission_is_given_and_shown_as_documented() {
    let (registry, consumer) = shop().await;
    let package = registry.package_id("acme/second");
    for (number, [consumer_field, package_field]) in
        [["consumer_id", "package_id"], ["consumerid", "packageid"]].iter().enumerate()
    {
        let mut body = json!({"version": format!("{}.*", number + 5)});
        body[*consumer_field] = json!(consumer.id);
        body[*package_field] = json!(package);
        let made = registry.storefront_post("/permissions", &body).send().await.expect(201).json();
        let expected = json!({
            "id": number + 1, "consumer_id": consumer.id, "package_id": package,
            "version": format!("{}.*", number + 5), "created_at": made["created_at"], "updated_at": made["created_at"],
            "package": "acme/second", "expires_at": null, "updates_until": null, "minimum_stability": "stable",
            "order_id": null, "metadata": null,
        });
        let mut warned = expected.clone();
        warned["warnings"] = made["warnings"].clone();
        assert_eq!(made, warned);
        assert_eq!(
            registry.storefront_get(&format!("/permissions/{}", number + 1)).send().await.expect(200).json(),
            expected
        );
    }
    let first = registry.package_id("acme/first");
    for (path, expected) in [
        (format!("/permissions/consumer/{}/package/{package}", consumer.id), vec![1, 2]),
        (format!("/consumers/{}/packages/{package}", consumer.id), vec![1, 2]),
        (format!("/consumers/{}/packages/{first}", consumer.id), vec![]),
    ] {
        assert_eq!(ids(&registry.storefront_get(&path).send().await.expect(200).json()), expected, "{path}");
    }
    for path in ["/permissions/consumer/9/package/1", "/consumers/9/packages/1"] {
        assert_eq!(registry.storefront_get(path).send().await.expect(404).json()["error"], "Consumer not found");
    }
    let path = format!("/permissions/consumer/{}/package/99", consumer.id);
    assert_eq!(registry.storefront_get(&path).send().await.expect(404).json()["error"], "Package not found");
}

#[tokio::test]
async fn beyond_the_document_a_permission_may_end_be_limited_and_name_many_packages() {
    let (registry, consumer) = shop().await;
    let body = json!({
        "consumer_id": consumer.id, "package": "acme/*", "version": "^1.0 || ^2.0",
        "expires_at": "2030-01-31 23:59:59", "updates_until": "2029-12-31 00:00:00", "minimum_stability": "RC",
    });
    let made = registry.storefront_post("/permissions", &body).send().await.expect(201).json();
    for field in ["package", "version", "expires_at", "updates_until", "minimum_stability"] {
        assert_eq!(made[field], body[field], "{field}");
    }
    assert_eq!(made["package_id"], Value::Null);
    let path = format!("/permissions/{}", made["id"]);
    let changed =
        registry.storefront_put(&path, &json!({"expires_at": null, "version": "3.*"})).send().await.expect(200).json();
    assert_eq!((&changed["expires_at"], &changed["version"]), (&Value::Null, &json!("3.*")));
    for field in ["id", "package", "updates_until", "minimum_stability", "created_at"] {
        assert_eq!(changed[field], made[field], "{field}");
    }
}

#[tokio::test]
async fn a_wrong_permission_is_refused_with_the_reason() {
    let (registry, consumer) = shop().await;
    let package = registry.package_id("acme/first");
    let with = |changes: Value| {
        let mut body = json!({"consumer_id": consumer.id, "package_id": package, "version": "1.*"});
        body.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        body.as_object_mut().expect("an object").retain(|_, value| *value != json!("none"));
        body
    };
    for (changes, field, reason) in [
        (json!({"consumer_id": "none"}), "consumer_id", "is required"),
        (json!({"consumer_id": 99}), "consumer_id", "is not the id of a consumer"),
        (json!({"package_id": "none"}), "package_id", "is required, or `package`"),
        (json!({"package_id": 99}), "package_id", "is not the id of a package"),
        (json!({"package": "acme/lib"}), "package", "cannot be combined with `package_id`"),
        (json!({"package_id": "none", "package": "No Name"}), "package", "is not the name of a package"),
        (json!({"package_id": "none", "package": "acme lib/*"}), "package", "must be part of a package name"),
        (json!({"version": "none"}), "version", "is required; `*` is every version"),
        (json!({"version": "not a constraint!"}), "version", "is not a version constraint that Composer understands"),
        (json!({"version": ""}), "version", "is not a version constraint that Composer understands"),
        (json!({"expires_at": "tomorrow"}), "expires_at", "must be a moment: `YYYY-MM-DD HH:MM:SS` in UTC, ISO 8601"),
        (json!({"updates_until": "2030-02-30 00:00:00"}), "updates_until", "must be a moment"),
        (json!({"minimum_stability": "solid"}), "minimum_stability", "is wrong"),
        (json!({"colour": "red"}), "colour", "unknown field"),
    ] {
        let reply = registry.storefront_post("/permissions", &with(changes.clone())).send().await.expect(400).json();
        let said = reply["details"][field][0].as_str().unwrap_or_default();
        assert!(said.starts_with(reason), "{changes}: {reply}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM grants"), [json!({"n": 0})]);
}

#[tokio::test]
async fn the_very_same_permission_is_there_once() {
    let (registry, consumer) = shop().await;
    let body = json!({"consumer_id": consumer.id, "package": "acme/first", "version": "1.*"});
    let requests = (0..4).map(|_| registry.storefront_post("/permissions", &body));
    assert_eq!(statuses_of_concurrent(requests).await, [201, 409, 409, 409]);
    let reply = registry.storefront_post("/permissions", &body).send().await.expect(409);
    assert_eq!(reply.json()["error"], "The consumer has the same permission already. Change that one instead.");
    let other = registry.grant(&consumer, "acme/first", "2.*").await;
    registry
        .storefront_patch(&format!("/permissions/{}", other["id"]), &json!({"version": "1.*"}))
        .send()
        .await
        .expect(409);
    let mut later = body.clone();
    later["expires_at"] = json!("2030-01-01 00:00:00");
    registry.storefront_post("/permissions", &later).send().await.expect(201);
}

#[tokio::test]
async fn a_permission_can_be_moved_to_another_consumer() {
    let (registry, consumer) = shop().await;
    let other = registry.consumer().await;
    let made = registry.grant(&consumer, "acme/first", "1.*").await;
    consumer.get(&registry.isolate, "/p2/acme/first.json").send().await.expect(200);
    other.get(&registry.isolate, "/p2/acme/first.json").send().await.expect_claim("acme/first");
    let path = format!("/permissions/{}", made["id"]);
    registry.storefront_patch(&path, &json!({"consumer_id": 99})).send().await.expect(400);
    let moved = registry.storefront_patch(&path, &json!({"consumer_id": other.id})).send().await.expect(200).json();
    assert_eq!(moved["consumer_id"], other.id);
    consumer.get(&registry.isolate, "/p2/acme/first.json").send().await.expect_claim("acme/first");
    other.get(&registry.isolate, "/p2/acme/first.json").send().await.expect(200);
}

#[tokio::test]
async fn the_complete_list_is_set_at_once_and_what_stays_keeps_its_id() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let first = registry.package_id("acme/first");
    let list = json!([
        {"package_id": first, "version": "1.*"},
        {"package": "acme/second", "version": "*", "expires_at": "2030-01-01 00:00:00"},
    ]);
    let set = registry.storefront_put(&path, &list).send().await.expect(200).json();
    assert_eq!(
        (ids(&set), &set[0]["package"], &set[1]["package"]),
        (vec![1, 2], &json!("acme/first"), &json!("acme/second"))
    );
    let state =
        || registry.database.rows("SELECT c.updated_at, g.* FROM consumers c JOIN grants g ON g.consumer_id = c.id");
    let before = state();
    registry.advance_seconds(60);
    assert_eq!(registry.storefront_put(&path, &list).send().await.expect(200).json(), set);
    assert_eq!(state(), before, "doing it twice does nothing more");
    assert_eq!(
        registry.database.rows("SELECT count(*) AS n FROM audit_log WHERE action = 'entitlements.set'"),
        [json!({"n": 1})]
    );

    let list = json!([
        {"consumer_id": consumer.id, "package": "acme/third", "version": "^3"},
        {"package": "acme/first", "version": "1.*"},
        {"package": "acme/first", "version": "1.*"},
    ]);
    let set = registry.storefront_put(&path, &list).send().await.expect(200).json();
    assert_eq!(ids(&set), [1, 3]);
    let mut read = registry.storefront_get(&path).send().await.expect(200).json();
    for (place, permission) in read.as_array_mut().expect("a list").iter_mut().enumerate() {
        permission["warnings"] = set[place]["warnings"].clone();
    }
    assert_eq!(read, set);
    assert_eq!(registry.storefront_put(&path, &json!([])).send().await.expect(200).json(), json!([]));
    registry.storefront_put("/consumers/9/entitlements", &json!([])).send().await.expect(404);
    registry.storefront_get("/consumers/9/entitlements").send().await.expect(404);
}

#[tokio::test]
async fn a_list_with_something_wrong_changes_nothing_and_says_where() {
    let (registry, consumer) = shop().await;
    registry.grant(&consumer, "acme/first", "1.*").await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let list = json!([
        {"package": "acme/second", "version": "*"},
        {"package": "acme/second", "version": "nonsense!", "consumer_id": 9},
        {"package_id": 99, "version": "*"},
    ]);
    let reply = registry.storefront_put(&path, &list).send().await.expect(400).json();
    let fields: Vec<&String> = reply["details"].as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["[1].consumer_id", "[1].version", "[2].package_id"]);
    let reply =
        registry.storefront_put(&path, &json!([{"version": "*", "expires_at": "x"}])).send().await.expect(400).json();
    assert!(reply["details"]["[0].expires_at"].is_array(), "{reply}");
    registry.storefront_put(&path, &json!({"package": "acme/second"})).send().await.expect(400);
    let long: Vec<Value> = (0..1001).map(|n| json!({"package": format!("acme/p{n}"), "version": "*"})).collect();
    registry.storefront_put(&path, &json!(long)).send().await.expect(400);
    let kept = registry.database.rows("SELECT target FROM grants");
    assert_eq!(kept, [json!({"target": "acme/first"})]);
}

#[tokio::test]
async fn a_consumer_has_a_thousand_permissions_at_most() {
    let (registry, consumer) = shop().await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    let list: Vec<Value> = (0..1000).map(|n| json!({"package": format!("acme/p{n}"), "version": "*"})).collect();
    assert_eq!(
        registry.storefront_put(&path, &json!(list)).send().await.expect(200).json().as_array().map(Vec::len),
        Some(1000)
    );
    let more = json!({"consumer_id": consumer.id, "package": "acme/first", "version": "*"});
    let reply = registry.storefront_post("/permissions", &more).send().await.expect(409);
    assert!(reply.text().contains("which is the maximum"));
}

#[tokio::test]
async fn a_shop_grants_nothing_that_its_own_token_does_not_see() {
    let (registry, consumer) = shop().await;
    let spec = json!({"description": "shop", "scopes": ["storefront:*"], "allowed_package_prefixes": ["acme/first"]});
    let (_, token) = registry.token(&spec).await;
    let grant = |package: &str| json!({"consumer_id": consumer.id, "package": package, "version": "*"});
    let post = |package: &str| registry.post("/api/storefront/permissions").bearer(&token).json(&grant(package));
    let made = post("acme/first").send().await.expect(201).json();
    post("acme/second").send().await.expect(403);
    post("*").send().await.expect(403);
    let path = format!("/api/storefront/permissions/{}", made["id"]);
    registry.patch(&path).bearer(&token).json(&json!({"package": "acme/*"})).send().await.expect(403);
    let list = format!("/api/storefront/consumers/{}/entitlements", consumer.id);
    let reply =
        registry.put(&list).bearer(&token).json(&json!([{"package": "*", "version": "*"}])).send().await.expect(403);
    assert!(reply.text().contains("Only who sees packages can let others see them."));
}
