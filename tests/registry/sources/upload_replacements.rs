//! A second upload of a version: what is answered, and that dev versions move on.

use serde_json::{Value, json};

use crate::support::faults::count;
use crate::support::zips::{package, text, zip_of};
use crate::support::{ADMIN, TestRegistry, TestRequest};

#[tokio::test]
async fn the_answer_tells_the_version_that_is_published() {
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "1.2.0", package("acme/lib", "one")).await.expect(201);
    let again = registry.upload("acme/lib", "v1.2.0", package("acme/lib", "one")).await.expect(200).json();
    assert_eq!(again["version"], "1.2.0");
}

#[tokio::test]
async fn a_dev_version_takes_a_new_zip_and_keeps_the_old_one_for_lock_files() {
    let registry = TestRegistry::new();
    let first = registry.upload("acme/lib", "dev-main", package("acme/lib", "one")).await.expect(201).json();
    registry.advance_seconds(60);
    let second = registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(201).json();
    assert_eq!((&second["id"], &second["version"]), (&first["id"], &json!("dev-main")));
    assert_ne!(second["reference"], first["reference"]);
    let listed = registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.expect(200).versions("acme/lib");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["dist"]["reference"], second["reference"]);
    for (version, note) in [(&first, "one"), (&second, "two")] {
        let path = format!("/dist/acme/lib/dev-main/{}.zip", version["reference"].as_str().expect("a hash"));
        assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, package("acme/lib", note));
    }
    // What it had before is as good as anything else.
    registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(200);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "one")).await.expect(201);
    let listed = registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.expect(200).versions("acme/lib");
    assert_eq!(listed[0]["dist"]["reference"], first["reference"]);
    assert_eq!((count(&registry, "versions"), count(&registry, "dists")), (1, 2));
    let audit =
        registry.database.rows("SELECT target, details FROM audit_log WHERE action = 'version.uploaded' ORDER BY id");
    assert!(audit.iter().all(|entry| entry["target"] == first["id"]), "{audit:?}");
    assert!(audit[1]["details"].as_str().expect("JSON").contains(first["sha256"].as_str().expect("a hash")));
}

#[tokio::test]
async fn a_dev_version_that_is_hidden_stays_hidden_when_it_takes_a_new_zip() {
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "1.0.0", package("acme/lib", "stable")).await.expect(201);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "one")).await.expect(201);
    let versions = format!("/versions/package/{}", registry.package_id("acme/lib"));
    let versions = registry.storefront_get(&versions).send().await.expect(200).json();
    let is_dev = |version: &&Value| version["name"] == "dev-main";
    let dev = versions.as_array().and_then(|all| all.iter().find(is_dev)).expect("the dev version");
    registry.storefront_patch(&format!("/versions/{}", dev["id"]), &json!({"status": 0})).send().await.expect(200);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(201);
    let listed = registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.expect(200).versions("acme/lib");
    assert_eq!(listed.len(), 0);
}

/// A zip that there is something to say of.
fn odd(note: &str) -> Vec<u8> {
    let manifest = r#"{"name":"acme/lib"}"#;
    zip_of(&[text("composer.json", manifest), text("src/Foo.php", note), text("src/foo.php", note)])
}

/// How many remarks the list of repositories counts.
async fn remarks(registry: &TestRegistry) -> Value {
    let listed = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200).json();
    listed[0]["remarks"].clone()
}

#[tokio::test]
async fn a_remark_on_a_zip_goes_when_a_dev_version_takes_another_and_comes_back_with_it() {
    let registry = TestRegistry::new();
    registry.upload("acme/lib", "dev-main", odd("one")).await.expect(201);
    assert_eq!(remarks(&registry).await, 1);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(201);
    assert_eq!(remarks(&registry).await, 0);
    registry.upload("acme/lib", "dev-main", odd("one")).await.expect(201);
    assert_eq!(remarks(&registry).await, 1);
    registry.upload("acme/lib", "dev-main", odd("three")).await.expect(201);
    assert_eq!(remarks(&registry).await, 1, "that of the new one alone");
    registry.upload("acme/lib", "1.0.0", odd("three")).await.expect(201);
    registry.upload("acme/lib", "dev-main", package("acme/lib", "two")).await.expect(201);
    assert_eq!(remarks(&registry).await, 1, "a version is still at it");
    registry.post("/api/packages/acme%2Flib/versions/1.0.0/yank").bearer(ADMIN).send().await.expect(200);
    assert_eq!(remarks(&registry).await, 1, "and stays so when it is yanked");
}

#[tokio::test]
async fn a_remark_on_a_zip_goes_with_its_version_however_that_is_deleted() {
    type Deletion = fn(&TestRegistry, i64) -> TestRequest;
    let deletions: [Deletion; 4] = [
        |registry, _| registry.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN),
        |registry, version| registry.storefront_delete(&format!("/versions/{version}")),
        |registry, _| {
            let spec = json!({"keep_versions": 1, "dry_run": false});
            registry.post("/api/artifacts/cleanup").bearer(ADMIN).json(&spec)
        },
        |registry, _| registry.delete("/api/packages/acme%2Flib").bearer(ADMIN),
    ];
    for (place, delete) in deletions.into_iter().enumerate() {
        let registry = TestRegistry::new();
        registry.upload("acme/lib", "1.0.0", odd("one")).await.expect(201);
        registry.upload("acme/lib", "2.0.0", package("acme/lib", "two")).await.expect(201);
        registry.upload("acme/other", "1.0.0", package("acme/other", "three")).await.expect(201);
        assert_eq!(remarks(&registry).await, 1);
        let version = registry.database.rows("SELECT min(id) AS id FROM versions")[0]["id"].as_i64().expect("a number");
        let status = delete(&registry, version).send().await.status;
        assert!([200, 204].contains(&status), "deletion {place}: {status}");
        assert_eq!(remarks(&registry).await, 0, "deletion {place}");
    }
}
