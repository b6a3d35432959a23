//! `Idempotency-Key` on every POST of the storefront: what was done once is answered with what there is of it now.

use std::collections::BTreeSet;

use http::Method;
use rostrum::http::document::operations;
use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestConsumer, TestRegistry, TestRequest, TestResponse, sha1_of};

const SHOP: &str = "https://shop.test/hooks";
const GONE: &str = "The request with this Idempotency-Key was carried out before, and what it was about is gone: ";

fn keyed(registry: &TestRegistry, path: &str, body: &Value) -> TestRequest {
    registry.storefront_post(path, body).header("idempotency-key", path)
}

/// Everything that a POST may write.
fn state(registry: &TestRegistry) -> Vec<Value> {
    registry.database.rows(
        "SELECT (SELECT count(*) FROM consumers), (SELECT count(*) FROM tokens), (SELECT count(*) FROM grants),
                (SELECT count(*) FROM packages), (SELECT count(*) FROM versions), (SELECT count(*) FROM webhooks),
                (SELECT count(*) FROM webhook_deliveries), (SELECT count(*) FROM audit_log)",
    )
}

/// Sends POSTs twice each, and remembers to which operations.
struct Twice<'a> {
    registry: &'a TestRegistry,
    operations: BTreeSet<String>,
}

impl Twice<'_> {
    /// Sends a request twice to the operation `path`, whose parameters are `ids`: the second time nothing is done.
    async fn send(&mut self, path: &str, ids: &[&Value], body: &Value, status: u16) -> Value {
        self.operations.insert(path.to_owned());
        let mut ids = ids.iter();
        let fill = |segment: &str| {
            if segment.starts_with('{') {
                ids.next().expect("an id").to_string().replace('"', "")
            } else {
                segment.to_owned()
            }
        };
        let path = path.split('/').map(fill).collect::<Vec<String>>().join("/");
        let first = keyed(self.registry, &path, body).send().await.expect(status);
        assert!(first.find_header("idempotency-replayed").is_none(), "{path}");
        let before = state(self.registry);
        let second = keyed(self.registry, &path, body).send().await.expect(status);
        assert_eq!((second.json(), second.header("idempotency-replayed")), (first.json(), "true"), "{path}");
        assert_eq!(state(self.registry), before, "{path}");
        first.json()
    }
}

#[tokio::test]
async fn every_post_is_carried_out_once_for_a_key_and_answered_the_same() {
    let registry = TestRegistry::new();
    let mut twice = Twice { registry: &registry, operations: BTreeSet::new() };
    let made = twice.send("/packages", &[], &json!({"name": "acme/made"}), 201).await;
    let to_package = "/versions/package/{id}";
    let version = twice.send(to_package, &[&made["id"]], &json!({"name": "1.0.0"}), 201).await;
    let zip = package("acme/made", "one");
    let file = format!("/api/storefront/versions/{}/file", version["id"]);
    registry.put(&file).bearer(ADMIN).body(zip.clone()).send().await.expect(201);
    let known_zip = json!({"name": "2.0.0", "filename": format!("{}.zip", sha1_of(&zip))});
    let published = registry.storefront_post(&format!("/versions/package/{}", made["id"]), &known_zip);
    let published = published.header("idempotency-key", "by hash").send().await.expect(201);
    let again = registry.storefront_post(&format!("/versions/package/{}", made["id"]), &known_zip);
    assert_eq!(again.header("idempotency-key", "by hash").send().await.expect(201).json(), published.json());

    let warned = json!({"title": "Path traversal", "affected_versions": "1.*"});
    twice.send("/packages/{id}/advisories", &[&made["id"]], &warned, 201).await;
    let one = twice.send("/consumers", &[], &json!({"email": "one@example.com"}), 201).await;
    twice.send("/consumers/import", &[], &json!([{"email": "three@example.com", "customer_id": "3"}]), 200).await;
    let two = registry.consumer_as(&json!({"email": "two@example.com"})).await;
    let token = twice.send("/consumers/{id}/tokens", &[&one["id"]], &json!({"description": "build server"}), 201).await;
    twice.send("/consumers/{id}/tokens/{token}/rotate", &[&one["id"], &token["id"]], &json!({}), 200).await;
    twice.send("/consumers/{id}/rotate-keys", &[&one["id"]], &json!({"grace_seconds": 60}), 200).await;
    let permission = json!({"consumer_id": one["id"], "package": "acme/made", "version": "1.*"});
    twice.send("/permissions", &[], &permission, 201).await;
    let sale = json!([{"package": "acme/made", "version": "2.*", "order_id": "1001"}]);
    twice.send("/consumers/{id}/entitlements", &[&one["id"]], &sale, 200).await;
    let fix = json!({"filter": {"package": "acme/made"}, "change": {"expires_at": "2030-01-01 00:00:00"}});
    twice.send("/permissions/bulk", &[], &fix, 200).await;
    twice.send("/consumers/{id}/merge", &[&one["id"]], &json!({"consumer_id": two.id}), 200).await;

    let webhook = twice.send("/webhooks", &[], &json!({"url": SHOP, "events": ["permission.expired"]}), 201).await;
    let ping = twice.send("/webhooks/{id}/test", &[&webhook["id"]], &json!(null), 201).await;
    let redeliver = "/webhooks/{id}/deliveries/{delivery}/redeliver";
    twice.send(redeliver, &[&webhook["id"], &ping["id"]], &json!(null), 200).await;

    let posts = operations().into_iter().filter(|one| json!(one.method) == "post");
    let posts = posts.filter_map(|one| one.path.strip_prefix("/api/storefront").map(str::to_owned));
    assert_eq!(twice.operations, posts.collect(), "every POST of the storefront is tried here");
}

#[tokio::test]
async fn a_repeated_order_is_answered_with_the_keys_and_the_address_that_the_customer_has_now() {
    let registry = TestRegistry::new();
    let order = json!({"email": "one@example.com", "order_id": "1001"});
    let made = keyed(&registry, "/consumers", &order).send().await.expect(201);
    let path = format!("/consumers/{}", made.json()["id"]);
    let moved = json!({"email": "moved@example.com", "private_key": "another-private-key-of-it"});
    let now = registry.storefront_patch(&path, &moved).send().await.expect(200).json();
    let again = keyed(&registry, "/consumers", &order).send().await.expect(201);
    assert_eq!(again.json(), now);
    let text = again.text();
    assert!(!text.contains("one@example.com") && !text.contains(&TestConsumer::of(&made).private_key), "{text}");
    let kept = json!([registry.database.rows("SELECT * FROM idempotency_results")]).to_string();
    assert!(!kept.contains("example.com") && !kept.contains("private"), "{kept}");
}

async fn expect_gone(request: TestRequest, detail: &str) {
    let refused = request.send().await.expect(410).json();
    assert_eq!(refused, json!({"error": format!("{GONE}{detail}"), "code": "GONE", "details": {}}));
}

#[tokio::test]
async fn what_was_made_and_is_gone_is_not_made_again_by_a_repeated_request() {
    let registry = TestRegistry::new();
    let order = json!({"email": "one@example.com"});
    let again = || keyed(&registry, "/consumers", &order);
    let consumer = TestConsumer::of(&again().send().await.expect(201));
    let permission = json!({"consumer_id": consumer.id, "package": "acme/lib", "version": "*"});
    let granted = keyed(&registry, "/permissions", &permission).send().await.expect(201).json();
    registry.storefront_delete(&format!("/permissions/{}", granted["id"])).send().await.expect(204);
    expect_gone(keyed(&registry, "/permissions", &permission), "Permission not found").await;

    let tokens = format!("/consumers/{}/tokens", consumer.id);
    let spec = json!({"description": "build server"});
    let token = keyed(&registry, &tokens, &spec).send().await.expect(201).id();
    registry.storefront_delete(&format!("{tokens}/{token}")).send().await.expect(204);
    expect_gone(keyed(&registry, &tokens, &spec), "Token not found").await;

    let webhook = json!({"url": SHOP, "events": ["permission.expired"]});
    let hook = keyed(&registry, "/webhooks", &webhook).send().await.expect(201).id();
    let test = format!("/webhooks/{hook}/test");
    keyed(&registry, &test, &json!(null)).send().await.expect(201);
    registry.storefront_delete(&format!("/webhooks/{hook}")).send().await.expect(204);
    expect_gone(keyed(&registry, "/webhooks", &webhook), "Webhook not found").await;
    expect_gone(keyed(&registry, &test, &json!(null)), "Delivery not found").await;

    let package = json!({"name": "acme/made"});
    let made = keyed(&registry, "/packages", &package).send().await.expect(201).json();
    let versions = format!("/versions/package/{}", made["id"]);
    let version = json!({"name": "1.0.0"});
    let first = keyed(&registry, &versions, &version).send().await.expect(201).json();
    registry.storefront_delete(&format!("/versions/{}", first["id"])).send().await.expect(204);
    registry.storefront_post(&versions, &version).send().await.expect(201);
    expect_gone(keyed(&registry, &versions, &version), "Version not found").await;
    registry.storefront_delete(&format!("/packages/{}", made["id"])).send().await.expect(204);
    registry.storefront_post("/packages", &package).send().await.expect(201);
    expect_gone(keyed(&registry, "/packages", &package), "Package not found").await;

    registry.storefront_delete(&format!("/consumers/{}", consumer.id)).send().await.expect(204);
    expect_gone(again(), "Consumer not found").await;
    expect_gone(keyed(&registry, &tokens, &spec), "Consumer not found").await;
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 0})]);
}

#[tokio::test]
async fn after_a_merge_a_repeated_request_names_the_consumer_that_it_became_part_of() {
    let registry = TestRegistry::new();
    let order = json!({"email": "one@example.com"});
    let merged = TestConsumer::of(&keyed(&registry, "/consumers", &order).send().await.expect(201));
    let permission = json!({"consumer_id": merged.id, "package": "acme/lib", "version": "*"});
    let granted = keyed(&registry, "/permissions", &permission).send().await.expect(201).json();
    let tokens = format!("/consumers/{}/tokens", merged.id);
    let spec = json!({"description": "build server"});
    keyed(&registry, &tokens, &spec).send().await.expect(201);
    let into = registry.consumer().await;
    let merge = format!("/consumers/{}/merge", into.id);
    let body = json!({"consumer_id": merged.id});
    let kept = keyed(&registry, &merge, &body).send().await.expect(200).json();
    let words = format!("Consumer {} was merged into consumer {}. Use that one.", merged.id, into.id);
    expect_gone(keyed(&registry, "/consumers", &order), &words).await;
    expect_gone(keyed(&registry, &tokens, &spec), &words).await;
    let moved = keyed(&registry, "/permissions", &permission).send().await.expect(201).json();
    assert_eq!((&moved["id"], &moved["consumer_id"]), (&granted["id"], &json!(into.id)));
    assert_eq!(keyed(&registry, &merge, &body).send().await.expect(200).json(), kept);
    let last = registry.consumer().await;
    let onward = json!({"consumer_id": into.id});
    registry.storefront_post(&format!("/consumers/{}/merge", last.id), &onward).send().await.expect(200);
    let words = format!("Consumer {} was merged into consumer {}. Use that one.", into.id, last.id);
    expect_gone(keyed(&registry, &merge, &body), &words).await;
}

#[tokio::test]
async fn the_secret_of_a_webhook_is_shown_again_while_it_is_the_one_that_signs() {
    let registry = TestRegistry::new();
    let spec = json!({"url": SHOP, "events": ["permission.expired"]});
    let again = || keyed(&registry, "/webhooks", &spec);
    let made = again().send().await.expect(201).json();
    assert_eq!(again().send().await.expect(201).json()["secret"], made["secret"]);
    let path = format!("/webhooks/{}", made["id"].as_str().expect("text"));
    let another = json!({"secret": "another-secret-of-it"});
    registry.storefront_patch(&path, &another).send().await.expect(200);
    let replayed = again().send().await.expect(201);
    assert_eq!((replayed.json()["id"].clone(), replayed.json().get("secret")), (made["id"].clone(), None));
    let kept = json!([registry.database.rows("SELECT * FROM idempotency_results")]).to_string();
    assert!(!kept.contains(made["secret"].as_str().expect("text")), "{kept}");
}

#[tokio::test]
async fn the_same_fields_in_another_order_are_the_same_request() {
    let registry = TestRegistry::new();
    let send = async |body: &'static str| -> TestResponse {
        let request = registry.isolate.request(Method::POST, "/api/storefront/consumers").bearer(ADMIN);
        request.header("idempotency-key", "order").body(body).send().await
    };
    let first = send(r#"{"email": "one@example.com", "order_id": "1001"}"#).await.expect(201);
    let again = send(r#"{ "order_id":"1001","email":"one@example.com" }"#).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", first.json()));
    send(r#"{"email": "one@example.com", "order_id": "1002"}"#).await.expect(409);
    let strictly = registry.post("/api/storefront/consumers?strict=1").bearer(ADMIN).header("idempotency-key", "order");
    strictly.body(r#"{"email": "one@example.com", "order_id": "1001"}"#).send().await.expect(409);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
}

#[tokio::test]
async fn a_consumer_is_made_once_with_its_permissions_and_shown_with_what_it_has_now() {
    let registry = TestRegistry::new();
    let order = json!({
        "email": "one@example.com", "customer_id": "42", "on_known_customer": "return",
        "entitlements": [{"package": "acme/lib", "version": "1.*", "order_id": "1001"}],
    });
    let made = keyed(&registry, "/consumers", &order).send().await.expect(201).json();
    assert_eq!(made["entitlements"][0]["order_id"], "1001");
    assert_eq!(keyed(&registry, "/consumers", &order).send().await.expect(201).json(), made);
    registry.storefront_delete("/permissions?order_id=1001").send().await.expect(200);
    let refunded = keyed(&registry, "/consumers", &order).send().await.expect(201).json();
    assert_eq!((&refunded["id"], &refunded["entitlements"]), (&made["id"], &json!([])), "a refund is not undone");
    let known = registry.storefront_post("/consumers", &order).send().await.expect(200).json();
    assert_eq!((&known["id"], &known["entitlements"][0]["order_id"]), (&made["id"], &json!("1001")));
}

#[tokio::test]
async fn what_changes_nothing_leaves_its_key_free() {
    let registry = TestRegistry::new();
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/lib", "*").await;
    let path = format!("/consumers/{}/entitlements", consumer.id);
    for (path, body) in [
        (path.as_str(), json!([])),
        ("/permissions/bulk", json!({"filter": {"package": "acme/lib"}, "delete": true, "dry_run": true})),
        ("/permissions/bulk", json!({"filter": {"package": "acme/nothing"}, "delete": true})),
        ("/consumers/import", json!([{"email": "neither a key nor a customer"}])),
    ] {
        keyed(&registry, path, &body).send().await.expect(200);
        assert_eq!(registry.database.rows("SELECT 1 FROM idempotency_keys").len(), 0, "{path} {body}");
    }
}
