//! Names and patterns of more than 50 bytes: D1 refuses to match such a one by `LIKE` or `GLOB`.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, TestConsumer, TestRegistry, upstream_version};

const LONG: &str = "magento/module-inventory-in-store-pickup-sales-admin-ui";
const LONG_PATTERN: &str = "magento/module-inventory-in-store-pickup-sales-admin-*";
const SATIS: &str = "https://satis.test";

/// A shop that has the long name, and two others that begin like it.
async fn shop() -> TestRegistry {
    let registry = TestRegistry::new();
    registry.published(LONG, &["1.0.0", "2.0.0"]).await;
    registry.published("magento/module-inventory", &["1.0.0"]).await;
    registry.published("magento/module-inventory-in-store-pickup-sales-admin", &["1.0.0"]).await;
    registry
}

async fn names(registry: &TestRegistry, customer: &TestConsumer, path: &str, read: fn(Value) -> Value) -> Value {
    let reply = customer.get(&registry.another_isolate(), path).send().await;
    read(reply.expect(200).json())
}

#[tokio::test]
async fn a_customer_whose_grant_of_a_long_name_leaves_versions_out_sees_it_everywhere() {
    for target in [LONG, LONG_PATTERN] {
        let registry = shop().await;
        let customer = registry.consumer().await;
        registry.grant(&customer, target, "^1.0").await;
        let ours = |path| (path, json!([LONG]));
        let read = |mut body: Value| body["available-package-patterns"].take();
        let patterns = names(&registry, &customer, "/packages.json", read).await;
        assert_eq!(patterns, json!(["magento/*"]), "{target}");
        let (list, expected) = ours("/list.json");
        let read = |mut body: Value| body["packageNames"].take();
        assert_eq!(names(&registry, &customer, list, read).await, expected, "{target}");
        let read =
            |body: Value| body["results"].as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
        let (search, expected) = ours("/search.json?q=sales-admin");
        assert_eq!(names(&registry, &customer, search, read).await, expected, "{target}");
        let p2 = customer.get(&registry.isolate, &format!("/p2/{LONG}.json")).send().await.expect(200);
        assert_eq!(p2.version_names(LONG), ["1.0.0"], "{target}");
    }
}

#[tokio::test]
async fn a_grant_that_covers_no_version_of_a_long_name_shows_nothing_of_it() {
    let registry = shop().await;
    let customer = registry.consumer().await;
    registry.grant(&customer, LONG_PATTERN, "^3.0").await;
    let read = |mut body: Value| body["packageNames"].take();
    assert_eq!(names(&registry, &customer, "/list.json", read).await, json!([]));
}

fn put_inline(registry: &TestRegistry, names: &[&str]) {
    let versions = |name: &&str| ((*name).to_owned(), json!({"1.0.0": upstream_version(SATIS, name, "1.0.0")}));
    let packages: serde_json::Map<String, Value> = names.iter().map(versions).collect();
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &json!({ "packages": packages }));
}

/// The packages that are in the metadata.
fn listed(registry: &TestRegistry) -> Vec<Value> {
    registry.database.rows("SELECT name FROM packages WHERE version_index <> '[]' ORDER BY name")
}

#[tokio::test]
async fn an_upstream_can_lose_a_package_of_a_long_name() {
    let registry = TestRegistry::new();
    put_inline(&registry, &[LONG, "vendor/a"]);
    let id = registry.upstream(SATIS).await;
    put_inline(&registry, &["vendor/a", "vendor/b"]);
    let view = registry.sync(&id).await;
    assert_eq!((&view["sync_status"], &view["error"]), (&json!("ok"), &Value::Null));
    assert!(listed(&registry).contains(&json!({"name": "vendor/b"})));
}

#[tokio::test]
async fn a_filter_of_an_upstream_may_be_long() {
    let registry = TestRegistry::new();
    put_inline(&registry, &[LONG, "magento/module-inventory", "vendor/a", "vendor/b"]);
    let id = registry.upstream(SATIS).await;
    assert_eq!(listed(&registry).len(), 4);
    let filter = json!({"package_filter": [LONG_PATTERN, "*/a"]});
    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&filter).send().await.expect(200);
    assert_eq!(listed(&registry), [json!({"name": LONG}), json!({"name": "vendor/a"})]);
    let view = registry.sync(&id).await;
    assert_eq!(view["sync_status"], "ok");
    assert_eq!(listed(&registry), [json!({"name": LONG}), json!({"name": "vendor/a"})]);
}

#[tokio::test]
async fn a_cleanup_may_name_a_long_package_or_pattern_and_removes_nothing_else() {
    for (pattern, expected) in
        [(LONG, LONG), (LONG_PATTERN, LONG), ("*pickup-sales-admin-u*", LONG), ("*/a", "vendor/a")]
    {
        let registry = TestRegistry::new();
        for name in [LONG, "magento/module-inventory-in-store-pickup-sales-admin", "vendor/a"] {
            registry.upload(name, "1.0.0", package(name, "1.0.0")).await.expect(201);
        }
        let spec = json!({"keep_versions": 0, "package": pattern, "dry_run": false});
        let done = registry.post("/api/artifacts/cleanup").bearer(ADMIN).json(&spec).send().await.expect(200).json();
        let removed: Vec<&Value> =
            done["versions"].as_array().expect("a list").iter().map(|one| &one["name"]).collect();
        assert_eq!(removed, [&json!(expected)], "{pattern}");
    }
}
