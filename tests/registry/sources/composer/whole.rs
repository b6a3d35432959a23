//! Upstream repositories that are read as a whole: how tests put them together, what of them cannot be read, and how large
//! they may be.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::sources::composer::lookup::{INTERVAL, SATIS, read};
use crate::support::{HostFault, TestRegistry, sha1_of, upstream_version};

/// A package as such repositories have it: its versions by version.
pub fn package(name: &str, versions: &[&str]) -> (String, Value) {
    let versions: Map<String, Value> =
        versions.iter().map(|text| ((*text).to_owned(), upstream_version(SATIS, name, text))).collect();
    (name.to_owned(), Value::Object(versions))
}

pub fn packages(list: &[(&str, &[&str])]) -> Value {
    Value::Object(list.iter().map(|(name, versions)| package(name, versions)).collect())
}

pub fn put_root(registry: &TestRegistry, root: &Value) {
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), root);
}

/// Puts the packages into one included document, as Satis does it.
pub fn put_included(registry: &TestRegistry, list: &[(&str, &[&str])]) {
    let included = json!({ "packages": packages(list) }).to_string();
    let hash = sha1_of(included.as_bytes());
    let name = format!("include/all${hash}.json");
    registry.composer_host.put(&format!("{SATIS}/{name}"), included);
    put_root(registry, &json!({"packages": [], "includes": {name: {"sha1": hash}}}));
}

/// Puts each package into a document of its own, as Composer 1 repositories do it.
pub fn put_providers(registry: &TestRegistry, list: &[(&str, &[&str])]) {
    let hash_of = |text: &str| hex::encode(Sha256::digest(text.as_bytes()));
    let mut providers = Map::new();
    for (name, versions) in list {
        let document = json!({ "packages": packages(&[(name, versions)]) }).to_string();
        let hash = hash_of(&document);
        registry.composer_host.put(&format!("{SATIS}/p/{name}${hash}.json"), document);
        providers.insert((*name).to_owned(), json!({ "sha256": hash }));
    }
    let index = json!({ "providers": providers }).to_string();
    let hash = hash_of(&index);
    registry.composer_host.put(&format!("{SATIS}/p/latest${hash}.json"), index);
    put_root(
        registry,
        &json!({
            "packages": [], "providers-url": "/p/%package%$%hash%.json",
            "provider-includes": {"p/latest$%hash%.json": {"sha256": hash}},
        }),
    );
}

/// Puts documents into `includes`, with their hashes.
fn put_includes(registry: &TestRegistry, documents: &[(&str, Vec<u8>)]) {
    let mut includes = Map::new();
    for (name, document) in documents {
        registry.composer_host.put(&format!("{SATIS}/{name}"), document.clone());
        includes.insert((*name).to_owned(), json!({ "sha1": sha1_of(document) }));
    }
    put_root(registry, &json!({ "packages": [], "includes": includes }));
}

fn included(list: &[(&str, &[&str])]) -> Vec<u8> {
    json!({ "packages": packages(list) }).to_string().into_bytes()
}

/// The published packages.
fn published(registry: &TestRegistry) -> Vec<String> {
    let rows = registry.database.rows("SELECT name FROM packages WHERE version_index <> '[]' ORDER BY name");
    rows.iter().map(|row| row["name"].as_str().expect("text").to_owned()).collect()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number:04}")).collect()
}

#[tokio::test]
async fn a_package_that_cannot_be_read_is_left_out_and_named_while_all_others_are_published() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (broken, reason) in [
        ("null", "`packages` must hold lists of versions"),
        ("5", "`packages` must hold lists of versions"),
        (&*deep, "the answer is not JSON (recursion limit exceeded at line 1 column 128)"),
    ] {
        let registry = TestRegistry::new();
        let good = package("vendor/x", &["1.0.0"]).1;
        let root = |first: &str| format!(r#"{{"packages": {{"vendor/aaa": {first}, "vendor/x": {good}}}}}"#);
        registry.composer_host.put(&format!("{SATIS}/packages.json"), root(broken));
        let id = registry.upstream(SATIS).await;
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{broken}");
        assert_eq!(registry.skipped(), [("vendor/aaa".to_owned(), reason.to_owned())]);
        assert_eq!(published(&registry), ["vendor/x"], "{broken}");
        registry.sync(&id).await;
        assert_eq!(
            registry.skipped(),
            [("vendor/aaa".to_owned(), reason.to_owned())],
            "it is told as long as it is so"
        );
        let right = package("vendor/aaa", &["2.0.0"]).1.to_string();
        registry.composer_host.put(&format!("{SATIS}/packages.json"), root(&right));
        registry.sync(&id).await;
        assert_eq!((registry.skipped(), published(&registry).len()), (Vec::new(), 2), "{broken}");
        registry.composer_host.put(&format!("{SATIS}/packages.json"), root(broken));
        registry.sync(&id).await;
        assert_eq!((registry.skipped().len(), published(&registry).len()), (1, 2), "what is published stays: {broken}");
        registry.composer_host.put(&format!("{SATIS}/packages.json"), root(&right));
        registry.sync(&id).await;
        assert_eq!(registry.skipped(), [], "{broken}");
    }
}

#[tokio::test]
async fn a_document_of_one_package_that_cannot_be_read_keeps_no_other_from_being_published() {
    for broken in ["<!doctype html>", "{\"packages\": 5}"] {
        let registry = TestRegistry::new();
        put_providers(&registry, &[("vendor/a", &["1.0.0"]), ("vendor/b", &["1.0.0"]), ("vendor/c", &["1.0.0"])]);
        let hash = hex::encode(Sha256::digest(broken));
        registry.composer_host.put(&format!("{SATIS}/p/vendor/b${hash}.json"), broken);
        let providers = json!({ "providers": {"vendor/b": {"sha256": hash}} }).to_string();
        let index = hex::encode(Sha256::digest(&providers));
        registry.composer_host.put(&format!("{SATIS}/p/broken${index}.json"), providers);
        let root = registry.composer_host.take(&format!("{SATIS}/packages.json"));
        let mut root: Value = serde_json::from_slice(&root).expect("JSON");
        let mut includes = Map::from_iter([("p/broken$%hash%.json".to_owned(), json!({ "sha256": index }))]);
        includes.extend(root["provider-includes"].as_object().expect("an object").clone());
        root["provider-includes"] = Value::Object(includes);
        put_root(&registry, &root);
        let id = registry.upstream(SATIS).await;
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{broken}");
        assert_eq!(registry.skipped().iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["vendor/b"]);
        assert_eq!(published(&registry), ["vendor/a", "vendor/c"], "{broken}");
    }
}

#[tokio::test]
async fn packages_whose_documents_always_fail_keep_no_others_waiting_and_come_to_an_end() {
    for fault in [HostFault::Status(403), HostFault::Status(404), HostFault::Says(b"other".to_vec())] {
        let registry = TestRegistry::new();
        let (bad, good) = (names("vendor/bad", 210), names("vendor/good", 210));
        let all: Vec<(&str, &[&str])> = bad.iter().chain(&good).map(|name| (&**name, &["1.0.0"] as &[&str])).collect();
        put_providers(&registry, &all);
        registry.composer_host.inject_fault("/p/vendor/bad", fault.clone());
        let id = registry.upstream(SATIS).await;
        assert_eq!(published(&registry), good, "{fault:?}");
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{fault:?}");
        let token = registry.reader().await;
        for days in 0..3 {
            read(&registry, &token, "/p2/vendor/bad0000.json").await.expect(502);
            read(&registry, &token, "/p2/vendor/none.json").await.expect(404);
            registry.advance_seconds(days * 24 * 3600);
            registry.cron().await;
        }
        registry.composer_host.recover();
        for _ in 0..3 {
            registry.sync(&id).await;
        }
        assert_eq!((published(&registry).len(), registry.skipped()), (420, Vec::new()), "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_at_ten_documents_is_left_alone_and_its_sync_fails() {
    let registry = TestRegistry::new();
    let bad = names("vendor/bad", 20);
    let all: Vec<(&str, &[&str])> = bad.iter().map(|name| (&**name, &["1.0.0"] as &[&str])).collect();
    put_providers(&registry, &all);
    registry.composer_host.inject_fault("/p/vendor/bad", HostFault::Status(500));
    let id = registry.register_as(json!({"kind": "composer", "url": SATIS})).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["error"], "the server answers with HTTP 500: in our words");
    // Two requests each, and what they are found by.
    assert_eq!(registry.composer_host.take_urls().len(), 2 + 2 * 10);
    registry.composer_host.recover();
    registry.sync(&id).await;
    assert_eq!((published(&registry).len(), registry.skipped()), (20, Vec::new()));
}

#[tokio::test]
async fn a_document_that_cannot_be_read_fails_the_sync_by_name_after_everything_else_is_published() {
    let registry = TestRegistry::new();
    let first = ("include/a.json", included(&[("vendor/a", &["1.0.0"])]));
    let last = ("include/c.json", included(&[("vendor/c", &["1.0.0"])]));
    put_includes(&registry, &[first.clone(), ("include/b.json", included(&[("vendor/b", &["1.0.0"])]))]);
    let id = registry.upstream(SATIS).await;
    assert_eq!(published(&registry), ["vendor/a", "vendor/b"]);
    put_includes(&registry, &[first, ("include/b.json", b"<!doctype html>".to_vec()), last]);
    let view = registry.sync(&id).await;
    assert_eq!(view["sync_status"], "failed");
    let words = "`include/b.json`: the answer is not JSON (expected value at line 1 column 1)";
    assert_eq!(view["error"], words);
    assert_eq!(registry.skipped(), [("include/b.json".to_owned(), words.to_owned())]);
    assert_eq!(published(&registry), ["vendor/a", "vendor/b", "vendor/c"], "nothing is taken for gone");
}

#[tokio::test]
async fn a_large_document_and_many_documents_are_read_package_by_package() {
    let registry = TestRegistry::new();
    let mut large = Map::new();
    for name in names("vendor/large", 95) {
        let (name, mut versions) = package(&name, &["1.0.0"]);
        versions["1.0.0"]["description"] = json!("x".repeat(100_000));
        large.insert(name, versions);
    }
    let large = json!({ "packages": large }).to_string().into_bytes();
    assert!(large.len() > 9_500_000);
    let many = names("vendor/p", 35);
    let mut documents: Vec<(String, Vec<u8>)> =
        many.iter().map(|name| (format!("include/{name}.json"), included(&[(name, &["1.0.0"])]))).collect();
    documents.push(("include/large.json".to_owned(), large));
    let documents: Vec<(&str, Vec<u8>)> = documents.iter().map(|(name, text)| (&**name, text.clone())).collect();
    put_includes(&registry, &documents);
    let id = registry.upstream(SATIS).await;
    let view = registry.repository_view(&id).await;
    assert_eq!((&view["sync_status"], &view["error"]), (&json!("ok"), &json!(null)));
    assert_eq!(published(&registry).len(), 35 + 95);
}

#[tokio::test]
async fn whatever_is_too_large_is_told_with_the_limit() {
    let registry = TestRegistry::new();
    let (name, mut versions) = package("vendor/huge", &["1.0.0"]);
    versions["1.0.0"]["description"] = json!("x".repeat(8 << 20));
    let mut all = Map::from_iter([(name, versions)]);
    all.extend([package("vendor/small", &["1.0.0"])]);
    let document = json!({ "packages": all }).to_string().into_bytes();
    put_includes(&registry, &[("include/a.json", document), ("include/b.json", vec![b' '; (32 << 20) + 1])]);
    let id = registry.upstream(SATIS).await;
    let error = registry.repository_view(&id).await["error"].as_str().expect("an error").to_owned();
    let words = "`include/b.json` is larger than 33554432 bytes; serve the repository with `metadata-url`";
    assert!(error.starts_with(words), "{error}");
    assert!(registry.skipped().contains(&("vendor/huge".to_owned(), "it has more than 8388608 bytes".to_owned())));
    assert_eq!(published(&registry), ["vendor/small"]);

    let registry = TestRegistry::new();
    let many: Map<String, Value> = names("vendor/p", 10_003).into_iter().map(|name| (name, json!([]))).collect();
    put_root(&registry, &json!({ "packages": many }));
    registry.upstream(SATIS).await;
    let words = "3 packages are left out: no more than 10000 are read; use a filter";
    assert_eq!(registry.skipped(), [(String::new(), words.to_owned())]);
}

#[tokio::test]
async fn until_a_repository_is_read_as_a_whole_its_names_are_not_looked_for_elsewhere() {
    let registry = TestRegistry::new();
    let next = "https://next.test";
    registry.composer_host.lazy(next);
    registry.composer_host.publish(next, "vendor/b", &[upstream_version(next, "vendor/b", "9.0.0")]);
    put_includes(
        &registry,
        &[("include/a.json", included(&[("vendor/a", &["1.0.0"])])), ("include/b.json", vec![b'<'])],
    );
    let id = registry.upstream(SATIS).await;
    registry.upstream(next).await;
    let token = registry.reader().await;
    let reply = read(&registry, &token, "/p2/vendor/b.json").await.expect(502);
    let words = "vendor/b is not available from its upstream now: it is read as a whole, and no sync could read all of \
                 it yet; its syncs tell why";
    assert_eq!(reply.json()["warning"], words);
    assert!(!registry.composer_host.take_urls().iter().any(|url| url.starts_with(next)));
    put_includes(&registry, &[("include/a.json", included(&[("vendor/a", &["1.0.0"])]))]);
    registry.advance_seconds(INTERVAL);
    registry.sync(&id).await;
    registry.advance_seconds(10);
    let reply = read(&registry, &token, "/p2/vendor/b.json").await.expect(200);
    assert_eq!(reply.version_names("vendor/b"), ["9.0.0"]);
}
