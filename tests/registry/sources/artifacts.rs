//! Zips as operators see them, the cleanup of old uploads, and the removal of what nobody needs.

use rostrum::registry::sources::artifacts::collect_garbage;
use serde_json::{Value, json};

use crate::support::faults::{count, with_every_call_failing};
use crate::support::zips::package;
use crate::support::{ADMIN, Port, START, TestRegistry, TestResponse, file, manifest};

const DAY: u64 = 24 * 3600;

async fn upload(registry: &TestRegistry, name: &str, version: &str) {
    registry.upload(name, version, package(name, version)).await.expect(201);
}

async fn clean_up(registry: &TestRegistry, spec: &Value) -> TestResponse {
    registry.post("/api/artifacts/cleanup").bearer(ADMIN).json(spec).send().await
}

async fn list(registry: &TestRegistry, query: &str) -> TestResponse {
    registry.get(&format!("/api/artifacts{query}")).bearer(ADMIN).send().await
}

/// Package and version of what a cleanup names.
fn named(reply: &TestResponse) -> Vec<String> {
    let body = reply.json();
    let versions = body["versions"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    versions.iter().map(|version| format!("{} {}", text(&version["name"]), text(&version["version"]))).collect()
}

/// A package with a version a day, and another one with a single version; the last upload was just now.
async fn busy() -> TestRegistry {
    let registry = TestRegistry::new();
    upload(&registry, "acme/other", "1.0.0").await;
    for version in ["1.0.0", "1.1.0", "2.0.0-beta1", "1.2.0"] {
        registry.advance_seconds(DAY);
        upload(&registry, "acme/lib", version).await;
    }
    registry
}

#[tokio::test]
async fn zips_are_listed_with_the_versions_that_need_them() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0").await;
    registry.advance_seconds(1);
    upload(&registry, "acme/other", "1.0.0").await;
    let all = list(&registry, "").await.expect(200);
    assert_eq!(all.header("x-total-count"), "2");
    let zip = package("acme/lib", "1.0.0");
    let stored = registry.database.rows("SELECT sha256, sha1 FROM artifacts ORDER BY created_at");
    let expected = json!({
        "sha256": stored[0]["sha256"], "sha1": stored[0]["sha1"], "size": zip.len(),
        "versions": [{"name": "acme/lib", "version": "1.0.0"}], "created_at": START.seconds(),
    });
    assert_eq!(all.json()[1], expected);
    let one = list(&registry, "?package=acme/lib").await.expect(200);
    assert_eq!((one.json(), one.header("x-total-count")), (json!([expected]), "1"));
    assert_eq!(list(&registry, "?limit=1&offset=1").await.expect(200).json(), json!([expected]));
    assert_eq!(list(&registry, "?unused=true").await.expect(200).json(), json!([]));
    for query in ["?unused=true&package=acme/lib", "?unused=maybe", "?color=red", "?limit=0"] {
        list(&registry, query).await.expect(400);
    }
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/l"]})).await;
    let seen = registry.get("/api/artifacts").bearer(&token).send().await.expect(200);
    assert_eq!((seen.json(), seen.header("x-total-count")), (json!([expected]), "1"));
    let hidden = registry.get("/api/artifacts?package=acme/other").bearer(&token).send().await.expect(200);
    assert_eq!(hidden.json(), json!([]));
}

#[tokio::test]
async fn a_cleanup_tells_first_and_removes_when_it_is_told_to() {
    let registry = busy().await;
    let spec = json!({"keep_versions": 2});
    let told = clean_up(&registry, &spec).await.expect(200);
    assert_eq!(named(&told), ["acme/lib 1.1.0", "acme/lib 1.0.0"]);
    let body = told.json();
    let bytes = package("acme/lib", "1.1.0").len() + package("acme/lib", "1.0.0").len();
    assert_eq!((&body["dry_run"], &body["zips"], &body["more"]), (&json!(true), &json!(2), &json!(false)));
    assert_eq!(body["bytes"], bytes);
    assert_eq!(count(&registry, "versions"), 5);

    let done = clean_up(&registry, &json!({"keep_versions": 2, "dry_run": false})).await.expect(200);
    assert_eq!(done.json()["versions"], body["versions"]);
    assert_eq!(
        registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib"),
        ["2.0.0-beta1", "1.2.0"]
    );
    registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(404);
    registry.get_from_new_isolate("/dist/acme/lib/1.2.0.zip").await.expect(200);
    assert_eq!(named(&clean_up(&registry, &spec).await.expect(200)), [""; 0]);
    let entry = &registry.database.rows("SELECT label, details FROM audit_log WHERE action = 'versions.cleaned_up'")[0];
    assert_eq!(
        (&entry["label"], &entry["details"]),
        (&json!("acme/lib"), &json!(r#"{"versions":["1.0.0.0","1.1.0.0"]}"#))
    );
}

#[tokio::test]
async fn age_and_name_narrow_a_cleanup_and_an_age_alone_leaves_the_newest() {
    let registry = busy().await;
    let chosen = async |spec: Value| named(&clean_up(&registry, &spec).await.expect(200));
    assert_eq!(chosen(json!({"older_than_days": 2})).await, ["acme/lib 1.0.0"]);
    assert_eq!(chosen(json!({"older_than_days": 0})).await, ["acme/lib 1.1.0", "acme/lib 1.0.0"]);
    assert_eq!(chosen(json!({"keep_versions": 0, "older_than_days": 3})).await, ["acme/other 1.0.0"]);
    assert_eq!(chosen(json!({"keep_versions": 0, "package": "acme/o*"})).await, ["acme/other 1.0.0"]);
    assert_eq!(chosen(json!({"keep_versions": 0, "package": "acme/o"})).await, [""; 0]);
    for (spec, field) in [
        (json!({}), None),
        (json!({"package": "acme/*"}), None),
        (json!({"keep_versions": -1}), Some("keep_versions")),
        (json!({"keep_versions": 1, "package": "[a]"}), Some("package")),
        (json!({"keep_versions": 1, "color": "red"}), Some("color")),
    ] {
        let refused = clean_up(&registry, &spec).await.expect(400).json();
        assert!(field.is_none_or(|field| refused["details"][field].is_array()), "{spec}: {refused}");
    }
}

#[tokio::test]
async fn a_cleanup_leaves_alone_what_comes_from_a_repository_or_is_not_visible() {
    let registry = TestRegistry::new();
    registry.published("acme/git", &["1.0.0", "2.0.0"]).await;
    upload(&registry, "acme/lib", "1.0.0").await;
    upload(&registry, "other/lib", "1.0.0").await;
    let spec = json!({"description": "w", "permissions": "write", "allowed_package_prefixes": ["acme/"]});
    let (_, writer) = registry.token(&spec).await;
    let body = json!({"keep_versions": 0, "dry_run": false});
    let done = registry.post("/api/artifacts/cleanup").bearer(&writer).json(&body).send().await.expect(200);
    assert_eq!(named(&done), ["acme/lib 1.0.0"]);
    assert_eq!(
        registry.database.rows("SELECT name FROM packages ORDER BY name"),
        [json!({"name": "acme/git"}), json!({"name": "other/lib"})]
    );
    let reader = registry.reader().await;
    registry.post("/api/artifacts/cleanup").bearer(&reader).json(&body).send().await.expect(403);
}

#[tokio::test]
async fn a_cleanup_does_ten_packages_at_a_time_and_says_that_there_is_more() {
    let registry = TestRegistry::new();
    for number in 10..22 {
        upload(&registry, &format!("acme/p{number}"), "1.0.0").await;
    }
    let spec = json!({"keep_versions": 0, "dry_run": false});
    let first = clean_up(&registry, &spec).await.expect(200);
    assert_eq!((named(&first).len(), &first.json()["more"]), (10, &json!(true)));
    let second = clean_up(&registry, &spec).await.expect(200);
    assert_eq!((named(&second).len(), &second.json()["more"]), (2, &json!(false)));
    assert_eq!(count(&registry, "packages"), 0);
}

/// What cron does when the clock has been moved on by whole hours.
async fn cron_after(registry: &TestRegistry, seconds: u64) {
    registry.advance_seconds(seconds);
    registry.cron().await;
}

#[tokio::test]
async fn cron_removes_the_zips_that_nobody_has_needed_for_thirty_days_and_the_texts_at_once() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0").await;
    upload(&registry, "acme/lib", "1.1.0").await;
    let (_, id) = registry.published("acme/git", &["1.0.0"]).await;
    assert_eq!(registry.blobs.keys().len(), 3);
    // They were stored long ago, and are needed until now.
    cron_after(&registry, 60 * DAY).await;
    registry.run_until_idle().await;
    registry.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(list(&registry, "?unused=true").await.expect(200).header("x-total-count"), "2");
    cron_after(&registry, 3600).await;
    assert_eq!((registry.blobs.keys().len(), count(&registry, "texts")), (3, 1));
    cron_after(&registry, 30 * DAY).await;
    assert_eq!(registry.blobs.keys().len(), 3, "a restore may go back so far");
    cron_after(&registry, 60).await;
    assert_eq!(registry.blobs.keys().len(), 3, "once an hour is enough");
    cron_after(&registry, 3600 - 60).await;
    assert_eq!((registry.blobs.keys().len(), count(&registry, "artifacts")), (1, 1));
    assert_eq!(
        registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200).body,
        package("acme/lib", "1.1.0")
    );
    registry.delete("/api/packages/acme%2Flib").bearer(ADMIN).send().await.expect(200);
    cron_after(&registry, 3600).await;
    cron_after(&registry, 30 * DAY + 3600).await;
    assert_eq!((registry.blobs.keys().len(), count(&registry, "artifacts"), count(&registry, "texts")), (0, 0, 0));
}

#[tokio::test]
async fn a_zip_that_was_needed_again_is_kept_for_thirty_days_more() {
    let registry = TestRegistry::new();
    let version = "/api/packages/acme%2Flib/versions/1.0.0";
    upload(&registry, "acme/lib", "1.0.0").await;
    registry.delete(version).bearer(ADMIN).send().await.expect(200);
    cron_after(&registry, 2 * 3600).await;
    registry.advance_seconds(29 * DAY);
    upload(&registry, "acme/lib", "1.0.0").await;
    registry.delete(version).bearer(ADMIN).send().await.expect(200);
    cron_after(&registry, 2 * 3600).await;
    cron_after(&registry, 30 * DAY).await;
    assert_eq!(registry.blobs.keys().len(), 1);
    cron_after(&registry, 3600).await;
    assert_eq!(registry.blobs.keys().len(), 0);
}

#[tokio::test]
async fn a_zip_that_was_cut_off_between_the_store_and_the_database_is_removed() {
    let registry = TestRegistry::new();
    registry.meter.break_nth(Port::Blobs, 1, crate::support::FaultTiming::After);
    registry.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await.expect(500);
    registry.meter.clear_faults();
    assert_eq!((registry.blobs.keys().len(), count(&registry, "versions")), (1, 0));
    cron_after(&registry, 2 * 3600).await;
    cron_after(&registry, 31 * DAY).await;
    assert_eq!((registry.blobs.keys().len(), count(&registry, "artifacts")), (0, 0));
}

/// Moves the clock to a month after it was noted that nobody needs a zip.
async fn unneeded_for_a_month(registry: &TestRegistry) {
    registry.advance_seconds(2 * 3600);
    collect_garbage(&registry.isolate.app).await.expect("nothing is broken");
    registry.advance_seconds(31 * DAY);
}

#[tokio::test]
async fn a_sweep_with_every_call_broken_is_finished_by_a_later_one() {
    let broken = with_every_call_failing(&[Port::Database, Port::Blobs], async |case| {
        let registry = TestRegistry::new();
        upload(&registry, "acme/lib", "1.0.0").await;
        upload(&registry, "acme/lib", "1.1.0").await;
        registry.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
        unneeded_for_a_month(&registry).await;
        case.arm(&registry);
        let swept = collect_garbage(&registry.isolate.app).await;
        let broken = registry.meter.clear_faults() > 0;
        assert_eq!(swept.is_err(), broken, "{case:?}");
        assert_eq!(
            registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200).body,
            package("acme/lib", "1.1.0")
        );
        // The same zip again: it is refused while it is being removed, and never lost.
        let again = registry.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await;
        let doomed = registry.database.rows("SELECT 1 FROM artifacts WHERE doomed_at IS NOT NULL").len();
        assert_eq!(again.status, if doomed == 1 { 409 } else { 201 }, "{case:?}: {}", again.text());
        registry.advance_seconds(2 * 3600);
        collect_garbage(&registry.isolate.app).await.expect("nothing is broken");
        let finally = registry.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await;
        assert_eq!(finally.status, if doomed == 1 { 201 } else { 200 }, "{case:?}");
        assert_eq!(
            registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body,
            package("acme/lib", "1.0.0")
        );
        assert_eq!(registry.blobs.keys().len(), 2, "{case:?}");
        broken
    })
    .await;
    assert_eq!(broken, 6);
}

#[tokio::test]
async fn a_sweep_and_an_upload_of_the_same_zip_at_once_lose_nothing() {
    let registry = TestRegistry::new();
    upload(&registry, "acme/lib", "1.0.0").await;
    registry.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
    unneeded_for_a_month(&registry).await;
    let (swept, uploaded) = tokio::join!(
        collect_garbage(&registry.isolate.app),
        registry.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0"))
    );
    swept.expect("nothing is broken");
    if uploaded.status != 201 {
        assert_eq!(
            uploaded.expect(409).json()["error"],
            "The same zip is just being removed from the store. Upload it again in a minute."
        );
        upload(&registry, "acme/lib", "1.0.0").await;
    }
    assert_eq!(
        registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body,
        package("acme/lib", "1.0.0")
    );
}

#[tokio::test]
async fn an_old_commit_of_a_branch_keeps_its_zip() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &[]).await;
    let old = format!("/dist/acme/lib/dev-main/{}.zip", repo.id("main"));
    registry.get_from_new_isolate(&old).await.expect(200);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    registry.sync(&id).await;
    cron_after(&registry, 2 * 3600).await;
    cron_after(&registry, 31 * DAY).await;
    registry.run_until_idle().await;
    assert_eq!(registry.blobs.keys().len(), 2, "that of the branch as it is, and the old one");
    registry.get_from_new_isolate(&old).await.expect(200);
}

#[tokio::test]
async fn a_cleanup_with_every_call_broken_removes_a_package_s_versions_all_or_none() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = busy().await;
        case.arm(&registry);
        let reply = clean_up(&registry, &json!({"keep_versions": 1, "dry_run": false})).await;
        let broken = registry.meter.clear_faults() > 0;
        let names = registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib");
        let all = ["2.0.0-beta1", "1.2.0", "1.1.0", "1.0.0"];
        assert!(names == ["2.0.0-beta1"] || broken && names == all, "{case:?}: {names:?}");
        assert!(reply.status == 200 || broken && reply.status == 500, "{case:?}");
        clean_up(&registry, &json!({"keep_versions": 1, "dry_run": false})).await.expect(200);
        assert_eq!(
            registry.get_from_new_isolate("/p2/acme/lib.json").await.version_names("acme/lib"),
            ["2.0.0-beta1"],
            "{case:?}"
        );
        assert_eq!(registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'versions.cleaned_up'").len(), 1);
        broken
    })
    .await;
}

#[tokio::test]
async fn a_limited_list_of_zips_is_paged_among_those_of_its_packages() {
    let registry = TestRegistry::new();
    for name in ["acme/a", "acme/b", "acme/c", "other/d"] {
        upload(&registry, name, "1.0.0").await;
        upload(&registry, name, "2.0.0").await;
        registry.advance_seconds(1);
    }
    let names = async |grants: Value, total: &str| {
        let (_, token) = registry.token(&json!({"description": "a", "grants": grants})).await;
        let mut found = Vec::new();
        for offset in [0, 2, 4, 6] {
            let path = format!("/api/artifacts?limit=2&offset={offset}");
            let page = registry.get(&path).bearer(&token).send().await.expect(200);
            found.extend(page.json().as_array().expect("a list").iter().map(|row| row["versions"][0]["name"].clone()));
            assert_eq!(page.header("x-total-count"), total);
        }
        let unused = registry.get("/api/artifacts?unused=true").bearer(&token).send().await.expect(200);
        assert_eq!(unused.json(), json!([]));
        json!(found)
    };
    let whole = json!([{"pattern": "acme/*"}]);
    assert_eq!(names(whole, "6").await, json!(["acme/c", "acme/c", "acme/b", "acme/b", "acme/a", "acme/a"]));
    let part = json!([{"pattern": "acme/*", "constraint": "1.*"}]);
    assert_eq!(names(part, "3").await, json!(["acme/c", "acme/b", "acme/a"]));
}
