//! Upstream repositories that are read as a whole: inline packages, `includes`, and Composer 1's `provider-includes`.

use serde_json::{Map, Value, json};

use crate::sources::composer::lookup::{INTERVAL, SATIS, read};
use crate::sources::composer::whole::{packages, put_included, put_providers, put_root};
use crate::support::{ADMIN, HostFault, TestRegistry, TestResponse, zip_of};

/// Puts a repository with these packages.
type Put = fn(&TestRegistry, &[(&str, &[&str])]);

async fn versions(registry: &TestRegistry, token: &str, name: &str) -> Vec<String> {
    read(registry, token, &format!("/p2/{name}.json")).await.expect(200).version_names(name)
}

#[tokio::test]
async fn the_list_has_mirrored_packages_too_as_far_as_they_are_seen() {
    let registry = TestRegistry::new();
    put_root(&registry, &json!({ "packages": packages(&[("inline/a", &["1.0.0"]), ("inline/b", &["2.0.0"])]) }));
    registry.upstream(SATIS).await;
    registry.published("acme/own", &["1.0.0"]).await;
    let token = registry.reader().await;
    assert_eq!(registry.listed_names(&token).await, json!(["acme/own", "inline/a", "inline/b"]));
    let list = registry.get("/list.json?filter=inline%2F*").basic(&token).composer().send().await.expect(200);
    assert_eq!(list.json(), json!({"packageNames": ["inline/a", "inline/b"]}), "composer show -a 'inline/*'");
    let grants = json!([{"pattern": "inline/*", "constraint": "^2.0"}]);
    let (_, limited) = registry.token(&json!({"description": "a", "grants": grants})).await;
    assert_eq!(registry.listed_names(&limited).await, json!(["inline/b"]));
}

async fn absent(registry: &TestRegistry, token: &str, name: &str) -> TestResponse {
    read(registry, token, &format!("/p2/{name}.json")).await.expect(404)
}

#[tokio::test]
async fn every_form_of_repository_is_published_by_its_sync_and_follows_what_changes() {
    let forms: [Put; 3] =
        [|registry, list| put_root(registry, &json!({ "packages": packages(list) })), put_included, put_providers];
    for (form, put) in forms.into_iter().enumerate() {
        let registry = TestRegistry::new();
        registry.set(json!({"retire_vanished_packages": true})).await;
        put(&registry, &[("vendor/a", &["1.1.0", "1.0.0"]), ("vendor/b", &["dev-main", "2.0.0"])]);
        let id = registry.upstream(SATIS).await;
        let view = registry.repository_view(&id).await;
        assert_eq!((&view["sync_status"], &view["error"]), (&json!("ok"), &json!(null)), "{form}");
        assert_eq!(registry.last_run()["added"], 4);
        let token = registry.reader().await;
        assert_eq!(versions(&registry, &token, "vendor/a").await, ["1.1.0", "1.0.0"]);
        assert_eq!(versions(&registry, &token, "vendor/b").await, ["2.0.0"]);
        absent(&registry, &token, "vendor/c").await;
        assert_eq!(registry.composer_host.take_urls(), Vec::<String>::new(), "{form}: nothing is asked for by name");
        let root = read(&registry, &token, "/packages.json").await.expect(200).json();
        assert_eq!(root["available-package-patterns"], json!(["vendor/a", "vendor/b"]), "{form}");

        registry.composer_host.put(&format!("{SATIS}/zips/vendor/a/1.0.0.zip"), zip_of(b"{}"));
        registry.get("/dist/vendor/a/1.0.0.zip").basic(&token).send().await.expect(200);
        registry.composer_host.take_requests();

        let before = registry.database.rows("SELECT name, revision FROM packages ORDER BY name");
        registry.advance_seconds(INTERVAL);
        registry.sync(&id).await;
        let requests = registry.composer_host.take_requests();
        assert_eq!(requests.iter().map(|one| one.status).collect::<Vec<_>>(), [304], "{form}: nothing has changed");

        put(&registry, &[("vendor/a", &["1.1.0", "1.0.0"]), ("vendor/c", &["3.0.0"])]);
        registry.sync(&id).await;
        registry.advance_seconds(10);
        assert_eq!(versions(&registry, &token, "vendor/c").await, ["3.0.0"], "{form}");
        absent(&registry, &token, "vendor/b").await;
        let after = registry.database.rows("SELECT name, revision FROM packages ORDER BY name");
        assert_eq!(after[0], before[0], "{form}: what has not changed is not published again");
        assert_eq!((&registry.last_run()["added"], &registry.last_run()["changed"]), (&json!(1), &json!(0)));
        let listed = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(2), "{form}");
    }
}

#[tokio::test]
async fn a_document_with_another_hash_than_announced_is_refused() {
    let registry = TestRegistry::new();
    put_included(&registry, &[("vendor/a", &["1.0.0"])]);
    registry.composer_host.put_json(
        &format!("{SATIS}/packages.json"),
        &json!({"packages": [], "includes": {"include/all.json": {"sha1": "a".repeat(40)}}}),
    );
    registry
        .composer_host
        .put_json(&format!("{SATIS}/include/all.json"), &json!({ "packages": packages(&[("vendor/a", &["1.0.0"])]) }));
    let id = registry.upstream(SATIS).await;
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_eq!(view["error"], "`include/all.json` does not have the hash that the repository states for it");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_document_that_is_missing_or_broken_fails_the_sync_and_leaves_what_is_published() {
    for (fault, error) in [
        (HostFault::Status(404), "the server answers with HTTP 404"),
        (HostFault::Html, "does not have the hash"),
        (HostFault::Status(500), "the server answers with HTTP 500"),
        (HostFault::BrokenOff, "broke off"),
    ] {
        let registry = TestRegistry::new();
        registry.set(json!({"retire_vanished_packages": true})).await;
        put_included(&registry, &[("vendor/a", &["1.0.0"])]);
        let id = registry.upstream(SATIS).await;
        let token = registry.reader().await;
        assert_eq!(versions(&registry, &token, "vendor/a").await, ["1.0.0"]);
        put_included(&registry, &[("vendor/b", &["2.0.0"])]);
        registry.composer_host.inject_fault("/include/", fault.clone());
        let view = registry.sync(&id).await;
        assert_eq!(view["sync_status"], "failed", "{fault:?}");
        let told = view["error"].as_str().expect("an error");
        assert!(told.contains(error) || told.contains("is named by the repository, but not there"), "{told}");
        registry.advance_seconds(10);
        assert_eq!(versions(&registry, &token, "vendor/a").await, ["1.0.0"], "{fault:?}");
        registry.composer_host.recover();
        registry.advance_seconds(INTERVAL);
        registry.cron().await;
        registry.run_until_idle().await;
        registry.advance_seconds(10);
        assert_eq!(versions(&registry, &token, "vendor/b").await, ["2.0.0"], "{fault:?}");
        absent(&registry, &token, "vendor/a").await;
    }
}

#[tokio::test]
async fn names_that_are_not_the_upstreams_to_give_are_left_out_and_named() {
    let registry = TestRegistry::new();
    registry.published("acme/own", &["1.0.0"]).await;
    registry.set(json!({"reserved_vendors": ["secret"]})).await;
    put_root(
        &registry,
        &json!({"packages": packages(&[
            ("acme/own", &["9.0.0"]), ("acme/stranger", &["1.0.0"]), ("secret/lib", &["1.0.0"]),
            ("free/lib", &["1.0.0"]), ("Not A Name", &["1.0.0"]),
        ])}),
    );
    let id = registry.upstream(SATIS).await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let mut skipped = registry.skipped();
    skipped.sort();
    let public = "its vendor is reserved, and the upstream is a public one";
    let expected =
        [("acme/own", "a repository of our own publishes it"), ("acme/stranger", public), ("secret/lib", public)];
    assert_eq!(skipped[0].0, "Not A Name");
    assert_eq!(skipped[1..], expected.map(|(name, reason)| (name.to_owned(), reason.to_owned())));
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/own").await, ["1.0.0"]);
    assert_eq!(versions(&registry, &token, "free/lib").await, ["1.0.0"]);

    // Once nobody objects, it is published, though the upstream has not changed.
    registry.set(json!({"reserved_vendors": []})).await;
    registry.sync(&id).await;
    registry.advance_seconds(10);
    assert_eq!(versions(&registry, &token, "secret/lib").await, ["1.0.0"]);
}

#[tokio::test]
async fn a_filter_decides_what_of_a_whole_repository_is_published() {
    let registry = TestRegistry::new();
    put_included(&registry, &[("vendor/a", &["1.0.0"]), ("vendor/b", &["1.0.0"]), ("other/c", &["1.0.0"])]);
    let id = registry.upstream_as(json!({"url": SATIS, "package_filter": ["vendor/*"]})).await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "vendor/a").await, ["1.0.0"]);
    absent(&registry, &token, "other/c").await;
    let change = json!({"package_filter": ["vendor/b", "other/*"]});
    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&change).send().await.expect(200);
    absent(&registry, &token, "vendor/a").await;
    registry.run_until_idle().await;
    registry.advance_seconds(10);
    assert_eq!(versions(&registry, &token, "other/c").await, ["1.0.0"]);
    assert_eq!(versions(&registry, &token, "vendor/b").await, ["1.0.0"]);
}

#[tokio::test]
async fn an_upstream_that_comes_first_keeps_its_names() {
    let registry = TestRegistry::new();
    let other = "https://other.test";
    put_root(&registry, &json!({ "packages": packages(&[("vendor/a", &["1.0.0"])]) }));
    registry.composer_host.put_json(
        &format!("{other}/packages.json"),
        &json!({ "packages": packages(&[("vendor/a", &["9.0.0"]), ("vendor/b", &["9.0.0"])]) }),
    );
    let first = registry.upstream(SATIS).await;
    registry.upstream(other).await;
    let name = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    assert_eq!(registry.skipped(), [name("vendor/a", "an upstream of higher priority has it")]);
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "vendor/a").await, ["1.0.0"]);
    assert_eq!(versions(&registry, &token, "vendor/b").await, ["9.0.0"]);
    put_root(&registry, &json!({ "packages": packages(&[("vendor/a", &["1.0.0"]), ("vendor/b", &["1.0.0"])]) }));
    registry.sync(&first).await;
    registry.advance_seconds(10);
    assert_eq!(versions(&registry, &token, "vendor/b").await, ["1.0.0"]);
}

#[tokio::test]
async fn a_large_repository_is_published_in_few_round_trips_and_providers_over_several_syncs() {
    let names: Vec<String> = (0..250).map(|number| format!("vendor/p{number}")).collect();
    let list: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &["1.0.0"] as &[&str])).collect();
    let registry = TestRegistry::new();
    put_included(&registry, &list);
    let (_, calls) = registry.counted(registry.upstream(SATIS)).await;
    assert!(calls.round_trips < 30, "{calls:?}");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 250})]);

    let registry = TestRegistry::new();
    put_providers(&registry, &list);
    let id = registry.upstream(SATIS).await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let added: Vec<i64> = registry.runs().iter().map(|run| run["added"].as_i64().expect("a number")).collect();
    assert_eq!(added, [200, 50]);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 250})]);
}

#[tokio::test]
async fn a_repository_that_never_ends_is_given_up() {
    let registry = TestRegistry::new();
    let includes: Map<String, Value> = (0..501).map(|number| (format!("include/{number}.json"), json!({}))).collect();
    for name in includes.keys() {
        registry.composer_host.put_json(&format!("{SATIS}/{name}"), &json!({"packages": []}));
    }
    put_root(&registry, &json!({"packages": [], "includes": includes}));
    let id = registry.upstream(SATIS).await;
    let error = registry.repository_view(&id).await["error"].as_str().expect("an error").to_owned();
    assert!(error.starts_with("the repository has more than 500 documents; serve it with"), "{error}");
    let looping = TestRegistry::new();
    looping.composer_host.put_json(&format!("{SATIS}/a.json"), &json!({"includes": {"a.json": {}}}));
    put_root(&looping, &json!({"includes": {"a.json": {}}}));
    let id = looping.upstream(SATIS).await;
    assert_eq!(looping.repository_view(&id).await["sync_status"], "failed");
}
