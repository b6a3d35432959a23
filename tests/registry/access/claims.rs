//! Vendors whose names composer is told are all here, so that nobody is handed a stranger's package of a name that they may
//! not see (any more).

use serde_json::json;

use crate::support::{ADMIN, Calls, TestConsumer, TestRegistry, TestResponse};

/// A shop with a package, and a customer who may see it for an hour.
async fn shop() -> (TestRegistry, TestConsumer) {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    let permission = json!({
        "consumer_id": consumer.id, "package": "acme/lib", "version": "*", "expires_at": "2026-01-01 01:00:00",
    });
    registry.storefront_post("/permissions", &permission).send().await.expect(201);
    (registry, consumer)
}

async fn document(registry: &TestRegistry, consumer: &TestConsumer, name: &str) -> TestResponse {
    consumer.get(&registry.isolate, &format!("/p2/{name}.json")).send().await
}

#[tokio::test]
async fn a_customer_whose_permission_has_ended_is_told_that_the_name_is_here_without_a_version() {
    let (registry, consumer) = shop().await;
    let bought = document(&registry, &consumer, "acme/lib").await.expect(200);
    assert_eq!(bought.version_names("acme/lib"), ["1.0.0"]);
    registry.advance_seconds(3600);
    let p2 = |path: &str| consumer.get(&registry.isolate, path);
    let ended = p2("/p2/acme/lib.json").if_modified_since(&bought).send().await.expect_claim("acme/lib");
    p2("/p2/acme/lib.json").if_modified_since(&ended).send().await.expect(304);
    p2("/p2/acme/lib~dev.json").send().await.expect_claim("acme/lib");
    document(&registry, &consumer, "acme/never").await.expect_claim("acme/never");
    document(&registry, &consumer, "other/lib").await.expect(404);
    let root = p2("/packages.json").send().await.expect(200).json();
    assert_eq!(root["available-package-patterns"], json!(["acme/*"]), "or composer would not even ask");
}

#[tokio::test]
async fn every_valid_credential_is_told_of_claimed_vendors_and_no_other() {
    let (registry, _) = shop().await;
    let (_, blind) = registry.token(&json!({"description": "a", "grants": []})).await;
    let stranger = registry.consumer().await;
    let session = registry.user("viewer", "viewer").await.token;
    let request = |token: &str| registry.get("/p2/acme/never.json").basic(token).composer();
    for token in [&blind, &session, ADMIN] {
        request(token).send().await.expect_claim("acme/never");
    }
    document(&registry, &stranger, "acme/lib").await.expect_claim("acme/lib");
    request("wrong").send().await.expect(401);
    registry.get("/p2/acme/never.json").composer().send().await.expect(401);
    registry.storefront_patch(&format!("/consumers/{}", stranger.id), &json!({"status": 0})).send().await.expect(200);
    document(&registry, &stranger, "acme/lib").await.expect(401);
}

#[tokio::test]
async fn other_programs_and_downloads_are_told_that_there_is_nothing() {
    let (registry, consumer) = shop().await;
    registry.advance_seconds(3600);
    let plain = |path: &str| registry.get(path).pair(&consumer.public_key, &consumer.private_key);
    for name in ["acme/lib", "acme/never"] {
        plain(&format!("/p2/{name}.json")).send().await.expect(404);
        for version in ["1.0.0.zip", "9.9.9.zip"] {
            let zip = format!("/dist/{name}/{version}");
            plain(&zip).send().await.expect(404);
            plain(&zip).composer().send().await.expect(404);
        }
    }
}

#[tokio::test]
async fn a_vendor_is_claimed_while_there_is_a_package_of_it_or_it_is_reserved() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    let status = async |name: &str| {
        let reply = registry.get(&format!("/p2/{name}.json")).basic(&token).composer().send().await;
        reply.status
    };
    assert_eq!(status("acme/none").await, 404);
    let package = json!({"name": "acme/lib"});
    let package = registry.storefront_post("/packages", &package).send().await.expect(201).json();
    assert_eq!(status("acme/none").await, 200, "it is to be published one day");
    registry.storefront_patch(&format!("/packages/{}", package["id"]), &json!({"status": 0})).send().await.expect(201);
    assert_eq!(status("acme/none").await, 200);
    registry.storefront_delete(&format!("/packages/{}", package["id"])).send().await.expect(204);
    assert_eq!(status("acme/none").await, 404);
    registry.set(json!({"reserved_vendors": ["acme"]})).await;
    assert_eq!(status("acme/none").await, 200);
    registry.set(json!({"reserved_vendors": null})).await;
    assert_eq!(status("acme/none").await, 404);
}

#[tokio::test]
async fn other_isolates_hear_of_a_new_vendor_within_the_bound() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    let elsewhere = registry.another_isolate();
    let ask = async || elsewhere.get("/p2/acme/none.json").basic(&token).composer().send().await;
    ask().await.expect(404);
    registry.storefront_post("/packages", &json!({"name": "acme/lib"})).send().await.expect(201);
    registry.advance_seconds(10);
    ask().await.expect_claim("acme/none");
}

#[tokio::test]
async fn who_must_not_tell_which_vendors_there_are_switches_it_off() {
    let (registry, consumer) = shop().await;
    registry.set(json!({"claim_vendors": false})).await;
    registry.advance_seconds(3600);
    for name in ["acme/lib", "acme/never"] {
        document(&registry, &consumer, name).await.expect(404);
    }
    let root = consumer.get(&registry.isolate, "/packages.json").send().await.expect(200).text();
    assert!(!root.contains("acme"), "{root}");
    let token = registry.reader().await;
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(root["available-packages"], json!(["acme/lib"]), "nothing is left that might be another's");
    registry.set(json!({"claim_vendors": null})).await;
    document(&registry, &consumer, "acme/lib").await.expect_claim("acme/lib");
}

#[tokio::test]
async fn a_claim_costs_one_statement_each_ten_seconds_whatever_was_asked_for() {
    let (registry, consumer) = shop().await;
    let stranger = registry.consumer().await;
    let reader = registry.reader().await;
    stranger.get(&registry.isolate, "/packages.json").send().await.expect(200);
    registry.run_until_idle().await;
    let cost = async |name: &str| {
        let (reply, calls) = registry.counted(document(&registry, &stranger, name)).await;
        reply.expect_claim(name);
        calls
    };
    let nothing = Calls::default();
    assert_eq!(cost("acme/lib").await, nothing, "packages.json has told");
    registry.advance_seconds(10);
    // Somebody else has asked for it, which nobody can tell by how long it takes.
    registry.get("/p2/acme/lib.json").basic(&reader).composer().send().await.expect(200);
    document(&registry, &consumer, "acme/lib").await.expect(200);
    assert_eq!(cost("acme/lib").await, Calls { round_trips: 1, statements: 1, ..nothing });
    for name in ["acme/lib", "acme/never", "acme/neither"] {
        assert_eq!(cost(name).await, nothing, "{name}");
    }
}
