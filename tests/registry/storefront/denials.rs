//! What is said to somebody who asks for a zip that they have no permission for (any more).

use serde_json::{Value, json};

use crate::support::{ADMIN, TestConsumer, TestRegistry};

const BEGIN: &str = "This credential has no permission for version 2.0.0 of acme/lib";

async fn shop() -> (TestRegistry, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let consumer = registry.consumer().await;
    (registry, consumer)
}

async fn entitle(registry: &TestRegistry, consumer: &TestConsumer, permissions: &Value) {
    let path = format!("/consumers/{}/entitlements", consumer.id);
    registry.storefront_put(&path, permissions).send().await.expect(200);
}

/// The warning of a refused download.
async fn warning(registry: &TestRegistry, consumer: &TestConsumer, path: &str) -> String {
    let reply = consumer.get(&registry.isolate, path).send().await.expect(404).json();
    assert_eq!((&reply["code"], &reply["error"]), (&json!("NOT_FOUND"), &reply["warning"]));
    reply["warning"].as_str().expect("text").to_owned()
}

const ZIP: &str = "/dist/acme/lib/2.0.0.zip";

#[tokio::test]
async fn a_permission_that_has_ended_by_time_is_told_with_its_end() {
    let (registry, consumer) = shop().await;
    let permission = json!([{"package": "acme/lib", "version": "*", "expires_at": "2026-01-01 01:00:00"}]);
    entitle(&registry, &consumer, &permission).await;
    consumer.get(&registry.isolate, ZIP).send().await.expect(200);
    registry.advance_seconds(3600);
    let told = warning(&registry, &consumer, ZIP).await;
    assert_eq!(told, format!("{BEGIN} any more: it had one until 2026-01-01 01:00:00 UTC."));
}

#[tokio::test]
async fn a_permission_that_was_taken_back_is_told_with_the_moment() {
    let granted = json!([{"package": "acme/lib", "version": "2.*"}]);
    for taken in [json!([]), json!([{"package": "acme/lib", "version": "1.*"}])] {
        let (registry, consumer) = shop().await;
        entitle(&registry, &consumer, &granted).await;
        registry.advance_seconds(60);
        entitle(&registry, &consumer, &taken).await;
        let told = warning(&registry, &consumer, ZIP).await;
        assert_eq!(told, format!("{BEGIN} any more: it had one until 2026-01-01 00:01:00 UTC."), "{taken}");
        entitle(&registry, &consumer, &granted).await;
        consumer.get(&registry.isolate, ZIP).send().await.expect(200);
    }
}

#[tokio::test]
async fn one_permission_that_is_deleted_changed_or_moved_is_told_too() {
    for change in ["delete", "change", "move"] {
        let (registry, consumer) = shop().await;
        let other = registry.consumer().await;
        let made = registry.grant(&consumer, "acme/lib", "2.*").await;
        let path = format!("/permissions/{}", made["id"]);
        match change {
            "delete" => registry.storefront_delete(&path).send().await.expect(204),
            "change" => registry.storefront_patch(&path, &json!({"version": "1.*"})).send().await.expect(200),
            _ => registry.storefront_patch(&path, &json!({"consumer_id": other.id})).send().await.expect(200),
        };
        let told = warning(&registry, &consumer, ZIP).await;
        assert_eq!(told, format!("{BEGIN} any more: it had one until 2026-01-01 00:00:00 UTC."), "{change}");
    }
}

#[tokio::test]
async fn what_a_permission_leaves_out_is_told_whether_it_exists_or_not() {
    let (registry, consumer) = shop().await;
    entitle(&registry, &consumer, &json!([{"package": "acme/lib", "version": "1.*"}])).await;
    assert_eq!(warning(&registry, &consumer, ZIP).await, format!("{BEGIN}: it has one for `1.*`."));
    let nowhere = warning(&registry, &consumer, "/dist/acme/lib/9.9.9.zip").await;
    assert_eq!(nowhere, format!("{}: it has one for `1.*`.", BEGIN.replace("2.0.0", "9.9.9")));
    let missing = warning(&registry, &consumer, "/dist/acme/lib/1.9.9.zip").await;
    assert_eq!(missing, "Package acme/lib has no such version.");
    let until = json!([{"package": "acme/lib", "version": "*", "updates_until": "2020-01-01 00:00:00"}]);
    entitle(&registry, &consumer, &until).await;
    let told = warning(&registry, &consumer, ZIP).await;
    assert_eq!(told, format!("{BEGIN}: it has one for versions that were released until 2020-01-01 00:00:00 UTC."));
}

#[tokio::test]
async fn a_stranger_is_told_what_is_told_of_an_absent_thing() {
    let (registry, consumer) = shop().await;
    let other = registry.consumer().await;
    registry.grant(&other, "acme/lib", "*").await;
    entitle(&registry, &other, &json!([])).await;
    registry.grant(&consumer, "acme/other", "*").await;
    assert_eq!(warning(&registry, &consumer, ZIP).await, "Package acme/lib has no such version.");
    let absent = warning(&registry, &consumer, "/dist/acme/none/2.0.0.zip").await;
    assert_eq!(absent, "Package acme/none has no such version.");
}

#[tokio::test]
async fn a_token_is_told_what_it_was_granted_once() {
    let (registry, _) = shop().await;
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    let grants = json!({"grants": [{"package": "acme/lib", "constraint": "1.*"}]});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&grants).send().await.expect(200);
    let reply = registry.get(ZIP).basic(&token).composer().send().await.expect(404).json();
    assert_eq!(reply["warning"], format!("{BEGIN} any more: it had one until 2026-01-01 00:00:00 UTC."));
}

#[tokio::test]
async fn what_was_granted_is_known_for_more_than_a_year_and_no_longer() {
    let (registry, consumer) = shop().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    entitle(&registry, &consumer, &json!([])).await;
    registry.advance_seconds(399 * 24 * 3600);
    registry.cron().await;
    assert!(warning(&registry, &consumer, ZIP).await.contains("any more"));
    registry.advance_seconds(2 * 24 * 3600);
    registry.cron().await;
    assert_eq!(warning(&registry, &consumer, ZIP).await, "Package acme/lib has no such version.");
}

#[tokio::test]
async fn a_user_name_with_colons_and_a_private_key_with_colons_are_both_understood() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    registry.get("/packages.json").pair("a:b", &token).send().await.expect(200);
    registry.get("/packages.json").pair("a:b", ADMIN).send().await.expect(200);
    let keys = json!({"email": "one@example.com", "public_key": "a".repeat(16), "private_key": "b:c:".repeat(8)});
    let consumer = registry.consumer_as(&keys).await;
    consumer.get(&registry.isolate, "/packages.json").send().await.expect(200);
}
