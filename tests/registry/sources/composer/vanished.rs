//! Packages that their upstream has no longer: kept and marked, and as they were again when they are back.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, LIB_DEV, SATIS, STALE, mirroring, read, version};
use crate::sources::composer::whole::{packages, put_included, put_root};
use crate::support::{ADMIN, HostFault, TestRegistry, TestResponse, upstream_version, zip_of};

const ZIP_URL: &str = "https://satis.test/zips/vendor/lib/1.0.0.zip";

/// What composer is told of each version's being abandoned.
fn marks(reply: &TestResponse) -> Vec<Value> {
    reply.versions("vendor/lib").iter().map(|version| version["abandoned"].clone()).collect()
}

async fn details(registry: &TestRegistry) -> Value {
    registry.get("/api/packages/vendor%2Flib").bearer(ADMIN).send().await.expect(200).json()
}

/// Path and bytes of the zip of 1.0.0, which is downloaded.
async fn downloaded(registry: &TestRegistry, token: &str) -> String {
    registry.composer_host.put(ZIP_URL, zip_of(b"{}"));
    let reply = read(registry, token, LIB).await.expect(200);
    let url = reply.versions("vendor/lib")[1]["dist"]["url"].as_str().expect("text").to_owned();
    let path = url.strip_prefix("https://registry.test").expect("ours").to_owned();
    read(registry, token, &path).await.expect(200);
    path
}

#[tokio::test]
async fn a_package_that_its_upstream_has_no_longer_is_kept_and_marked_abandoned_once() {
    let (registry, id, token) = mirroring().await;
    let path = downloaded(&registry, &token).await;
    read(&registry, &token, LIB_DEV).await.expect(200);
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.composer_host.remove(ZIP_URL);
    registry.advance_seconds(INTERVAL);
    registry.sync(&id).await;

    let reply = registry.get_from_new_isolate(LIB).await.expect(200);
    assert_eq!(marks(&reply), [json!(true), json!(true)]);
    assert_eq!(marks(&registry.get_from_new_isolate(LIB_DEV).await.expect(200)), [json!(true)]);
    assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, zip_of(b"{}"));
    let shown = details(&registry).await;
    assert_eq!(shown["abandoned"], true);
    let reason = shown["abandoned_reason"].as_str().expect("a reason");
    assert!(reason.starts_with("It is no longer at https://satis.test. That was found at 2026-01-01T00:"), "{reason}");
    assert_eq!(shown["versions"].as_array().map(Vec::len), Some(3));
    let noted = registry.database.rows("SELECT label, details FROM audit_log WHERE action = 'package.vanished'");
    let details = json!({"package": "vendor/lib", "repository": SATIS}).to_string();
    assert_eq!(noted, [json!({"label": "vendor/lib", "details": details})]);
    let told = "it is no longer at https://satis.test; what it had is kept, marked abandoned";
    assert_eq!(registry.skipped(), [("vendor/lib".to_owned(), told.to_owned())]);
    assert_eq!(registry.last_run()["outcome"], "ok");

    // Syncs and look-ups go on finding it gone, and change nothing.
    let stored = |registry: &TestRegistry| {
        registry.database.rows("SELECT p.revision, p.version_index, d.body, p.updated_at FROM packages p, documents d")
    };
    let before = stored(&registry);
    for seconds in [INTERVAL, STALE * 2] {
        registry.advance_seconds(seconds);
        registry.advance_seconds(1);
        registry.sync(&id).await;
        registry.advance_seconds(seconds);
        let again = registry.get_from_new_isolate(LIB).await.expect(200);
        registry.run_until_idle().await;
        assert_eq!((again.header("last-modified"), &again.body), (reply.header("last-modified"), &reply.body));
        assert_eq!(stored(&registry), before);
    }
    assert_eq!(registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'package.vanished'").len(), 1);
}

#[tokio::test]
async fn a_package_that_is_back_is_as_it_was() {
    let (registry, id, token) = mirroring().await;
    let before = read(&registry, &token, LIB).await.expect(200);
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(INTERVAL);
    registry.sync(&id).await;
    assert_eq!(marks(&registry.get_from_new_isolate(LIB).await.expect(200)), [json!(true), json!(true)]);
    registry.composer_host.publish(SATIS, "vendor/lib", &[version("v1.1.0"), version("1.0.0"), version("dev-main")]);
    registry.advance_seconds(1);
    registry.sync(&id).await;
    let after = registry.get_from_new_isolate(LIB).await.expect(200);
    assert_eq!(after.body, before.body);
    assert_ne!(after.header("last-modified"), before.header("last-modified"));
    let shown = details(&registry).await;
    assert_eq!((shown["abandoned"].clone(), shown["abandoned_reason"].clone()), (json!(false), json!(null)));
    assert_eq!(registry.skipped(), []);
}

#[tokio::test]
async fn a_look_up_keeps_what_is_gone_and_asks_no_other_upstream_for_it() {
    let (registry, _, token) = mirroring().await;
    read(&registry, &token, LIB).await.expect(200);
    let other = "https://other.test";
    registry.composer_host.lazy(other);
    registry.composer_host.publish(other, "vendor/lib", &[upstream_version(other, "vendor/lib", "9.9.9")]);
    registry.upstream(other).await;
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(STALE);
    let reply = registry.get_from_new_isolate(LIB).await.expect(200);
    assert_eq!(marks(&reply), [json!(true), json!(true)], "a stranger's package of that name is none of it");
    assert!(!registry.composer_host.take_urls().iter().any(|url| url.starts_with(other)));
}

#[tokio::test]
async fn what_a_version_says_itself_of_its_being_abandoned_stays() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let mut replaced = version("2.0.0");
    replaced["abandoned"] = json!("vendor/next");
    registry.composer_host.publish(SATIS, "vendor/lib", &[replaced, version("1.0.0")]);
    let id = registry.upstream(SATIS).await;
    registry.get_from_new_isolate(LIB).await.expect(200);
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(1);
    registry.sync(&id).await;
    assert_eq!(marks(&registry.get_from_new_isolate(LIB).await.expect(200)), [json!("vendor/next"), json!(true)]);
}

#[tokio::test]
async fn an_upstream_that_fails_or_names_a_package_without_versions_marks_nothing() {
    let (registry, id, token) = mirroring().await;
    let before = read(&registry, &token, LIB).await.expect(200);
    let is_unchanged = async || {
        let now = registry.get_from_new_isolate(LIB).await.expect(200);
        registry.run_until_idle().await;
        assert_eq!((&now.body, now.header("last-modified")), (&before.body, before.header("last-modified")));
        assert_eq!(details(&registry).await["abandoned"], false);
    };
    for fault in [HostFault::Status(404), HostFault::Status(500), HostFault::Unreachable, HostFault::Html] {
        registry.composer_host.inject_fault(SATIS, fault.clone());
        registry.advance_seconds(1);
        registry.sync(&id).await;
        is_unchanged().await;
        registry.advance_seconds(STALE);
        is_unchanged().await;
        registry.composer_host.recover();
    }
    registry.composer_host.publish(SATIS, "vendor/lib", &[]);
    registry.advance_seconds(1);
    registry.sync(&id).await;
    is_unchanged().await;
    let told = "it is named there without any version; those that it had are kept as they were";
    assert_eq!(registry.skipped(), [("vendor/lib".to_owned(), told.to_owned())]);
    registry.advance_seconds(STALE);
    is_unchanged().await;
}

#[tokio::test]
async fn what_a_list_has_no_longer_is_kept_unless_it_lists_nothing_at_all() {
    let registry = TestRegistry::new();
    put_included(&registry, &[("vendor/lib", &["2.0.0", "1.0.0"]), ("vendor/other", &["1.0.0"])]);
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;

    put_root(&registry, &json!({"packages": []}));
    let view = registry.sync(&id).await;
    let told = "the repository lists no package any more; what it had (2 packages) is kept as it was. If that is right, remove \
                the repository";
    assert_eq!((view["sync_status"].clone(), view["error"].clone()), (json!("failed"), json!(told)));
    assert_eq!(marks(&registry.get_from_new_isolate(LIB).await.expect(200)), [json!(null), json!(null)]);

    put_root(&registry, &json!({"packages": packages(&[("vendor/other", &["1.0.0"])])}));
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
    let marked = registry.get_from_new_isolate(LIB).await.expect(200);
    assert_eq!(marks(&marked), [json!(true), json!(true)]);
    let announced = registry.get_from_new_isolate("/packages.json").await.expect(200).json();
    assert_eq!(announced["available-package-patterns"], json!(["vendor/other", "vendor/lib"]));
    assert_eq!(registry.listed_names(&token).await, json!(["vendor/lib", "vendor/other"]));

    // Another change of the list changes nothing of what is gone.
    put_root(&registry, &json!({"packages": packages(&[("vendor/other", &["1.1.0", "1.0.0"])])}));
    registry.advance_seconds(1);
    registry.sync(&id).await;
    let again = registry.get_from_new_isolate(LIB).await.expect(200);
    assert_eq!((again.header("last-modified"), &again.body), (marked.header("last-modified"), &marked.body));

    put_included(&registry, &[("vendor/lib", &["2.0.0", "1.0.0"]), ("vendor/other", &["1.0.0"])]);
    registry.advance_seconds(1);
    registry.sync(&id).await;
    assert_eq!(marks(&registry.get_from_new_isolate(LIB).await.expect(200)), [json!(null), json!(null)]);
}

/// Round trips to the database of the sync that finds so many packages gone, and of the next one that reads the list.
async fn cost_of_gone(number: usize) -> (usize, usize) {
    let registry = TestRegistry::new();
    let names: Vec<String> = (0..number).map(|number| format!("vendor/gone-{number}")).collect();
    let all: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["1.0.0"][..])).collect();
    put_included(&registry, &[&all[..], &[("vendor/other", &["1.0.0"])]].concat());
    let id = registry.upstream(SATIS).await;
    let mut costs = Vec::new();
    for versions in [&["1.0.0"][..], &["1.1.0", "1.0.0"]] {
        put_root(&registry, &json!({"packages": packages(&[("vendor/other", versions)])}));
        registry.advance_seconds(1);
        registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        let ((), calls) = registry.counted(registry.run_until_idle()).await;
        costs.push(calls.round_trips);
    }
    let marked = "SELECT count(*) AS n FROM packages WHERE name GLOB 'vendor/gone-*' AND abandoned = 'true'";
    assert_eq!(registry.database.rows(marked), [json!({"n": number})]);
    (costs[0], costs[1])
}

#[tokio::test]
async fn what_is_gone_is_looked_up_at_once_and_marked_by_the_ten() {
    let (first, next) = cost_of_gone(2).await;
    assert_eq!(cost_of_gone(10).await, (first, next));
    assert_eq!(cost_of_gone(35).await, (first + 3 * 2, next), "three more batches are read and published");
}

#[tokio::test]
async fn the_setting_takes_what_is_gone_out_of_the_metadata_and_so_does_removing_the_repository() {
    let (registry, id, token) = mirroring().await;
    let path = downloaded(&registry, &token).await;
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(1);
    registry.sync(&id).await;
    assert_eq!(marks(&registry.get_from_new_isolate(LIB).await.expect(200)), [json!(true), json!(true)]);
    registry.set(json!({"retire_vanished_packages": true})).await;
    registry.advance_seconds(1);
    registry.sync(&id).await;
    registry.get_from_new_isolate(LIB).await.expect(404);
    registry.get_from_new_isolate(&path).await.expect(200);

    let (registry, id, _) = mirroring().await;
    registry.get_from_new_isolate(LIB).await.expect(200);
    registry.composer_host.unpublish(SATIS, "vendor/lib");
    registry.advance_seconds(1);
    registry.sync(&id).await;
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    registry.get_from_new_isolate(LIB).await.expect(404);
}
