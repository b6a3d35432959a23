//! Zips as operators see them, the cleanup of old uploads, and the removal of what nobody needs.

use serde_json::{Value, json};

use crate::support::faults::{break_every_call, count};
use crate::support::zips::package;
use crate::support::{ADMIN, DAWN, Port, Reply, World, file, manifest};

const DAY: u64 = 24 * 3600;

async fn upload(world: &World, name: &str, version: &str) {
    world.upload(name, version, package(name, version)).await.expect(201);
}

async fn clean_up(world: &World, spec: &Value) -> Reply {
    world.post("/api/artifacts/cleanup").bearer(ADMIN).json(spec).send().await
}

async fn list(world: &World, query: &str) -> Reply {
    world.get(&format!("/api/artifacts{query}")).bearer(ADMIN).send().await
}

/// Package and version of what a cleanup names.
fn named(reply: &Reply) -> Vec<String> {
    let body = reply.json();
    let versions = body["versions"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    versions.iter().map(|version| format!("{} {}", text(&version["name"]), text(&version["version"]))).collect()
}

/// A package with a version a day, and another one with a single version; the last upload was just now.
async fn busy() -> World {
    let world = World::new();
    upload(&world, "acme/other", "1.0.0").await;
    for version in ["1.0.0", "1.1.0", "2.0.0-beta1", "1.2.0"] {
        world.advance_seconds(DAY);
        upload(&world, "acme/lib", version).await;
    }
    world
}

#[tokio::test]
async fn zips_are_listed_with_the_versions_that_need_them() {
    let world = World::new();
    upload(&world, "acme/lib", "1.0.0").await;
    world.advance_seconds(1);
    upload(&world, "acme/other", "1.0.0").await;
    let all = list(&world, "").await.expect(200);
    assert_eq!(all.header("x-total-count"), "2");
    let zip = package("acme/lib", "1.0.0");
    let stored = world.database.rows("SELECT sha256, sha1 FROM artifacts ORDER BY created_at");
    let expected = json!({
        "sha256": stored[0]["sha256"], "sha1": stored[0]["sha1"], "size": zip.len(),
        "versions": [{"name": "acme/lib", "version": "1.0.0"}], "created_at": DAWN.seconds(),
    });
    assert_eq!(all.json()[1], expected);
    let one = list(&world, "?package=acme/lib").await.expect(200);
    assert_eq!((one.json(), one.header("x-total-count")), (json!([expected]), "1"));
    assert_eq!(list(&world, "?limit=1&offset=1").await.expect(200).json(), json!([expected]));
    assert_eq!(list(&world, "?unused=true").await.expect(200).json(), json!([]));
    for query in ["?unused=true&package=acme/lib", "?unused=maybe", "?color=red", "?limit=0"] {
        list(&world, query).await.expect(400);
    }
    let (_, token) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/l"]})).await;
    let seen = world.get("/api/artifacts").bearer(&token).send().await.expect(200);
    assert_eq!((seen.json(), seen.header("x-total-count")), (json!([expected]), "1"));
    let hidden = world.get("/api/artifacts?package=acme/other").bearer(&token).send().await.expect(200);
    assert_eq!(hidden.json(), json!([]));
}

#[tokio::test]
async fn a_cleanup_tells_first_and_removes_when_it_is_told_to() {
    let world = busy().await;
    let spec = json!({"keep_versions": 2});
    let told = clean_up(&world, &spec).await.expect(200);
    assert_eq!(named(&told), ["acme/lib 1.1.0", "acme/lib 1.0.0"]);
    let body = told.json();
    let bytes = package("acme/lib", "1.1.0").len() + package("acme/lib", "1.0.0").len();
    assert_eq!((&body["dry_run"], &body["zips"], &body["more"]), (&json!(true), &json!(2), &json!(false)));
    assert_eq!(body["bytes"], bytes);
    assert_eq!(count(&world, "versions"), 5);

    let done = clean_up(&world, &json!({"keep_versions": 2, "dry_run": false})).await.expect(200);
    assert_eq!(done.json()["versions"], body["versions"]);
    assert_eq!(world.fresh("/p2/acme/lib.json").await.version_names("acme/lib"), ["2.0.0-beta1", "1.2.0"]);
    world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(404);
    world.fresh("/dist/acme/lib/1.2.0.zip").await.expect(200);
    assert_eq!(named(&clean_up(&world, &spec).await.expect(200)), [""; 0]);
    let entry = &world.database.rows("SELECT label, details FROM audit_log WHERE action = 'versions.cleaned_up'")[0];
    assert_eq!(
        (&entry["label"], &entry["details"]),
        (&json!("acme/lib"), &json!(r#"{"versions":["1.0.0.0","1.1.0.0"]}"#))
    );
}

#[tokio::test]
async fn age_and_name_narrow_a_cleanup_and_an_age_alone_leaves_the_newest() {
    let world = busy().await;
    let chosen = async |spec: Value| named(&clean_up(&world, &spec).await.expect(200));
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
        let refused = clean_up(&world, &spec).await.expect(400).json();
        assert!(field.is_none_or(|field| refused["details"][field].is_array()), "{spec}: {refused}");
    }
}

#[tokio::test]
async fn a_cleanup_leaves_alone_what_comes_from_a_repository_or_is_not_visible() {
    let world = World::new();
    world.published("acme/git", &["1.0.0", "2.0.0"]).await;
    upload(&world, "acme/lib", "1.0.0").await;
    upload(&world, "other/lib", "1.0.0").await;
    let spec = json!({"description": "w", "permissions": "write", "allowed_package_prefixes": ["acme/"]});
    let (_, writer) = world.token(&spec).await;
    let body = json!({"keep_versions": 0, "dry_run": false});
    let done = world.post("/api/artifacts/cleanup").bearer(&writer).json(&body).send().await.expect(200);
    assert_eq!(named(&done), ["acme/lib 1.0.0"]);
    assert_eq!(
        world.database.rows("SELECT name FROM packages ORDER BY name"),
        [json!({"name": "acme/git"}), json!({"name": "other/lib"})]
    );
    let reader = world.reader().await;
    world.post("/api/artifacts/cleanup").bearer(&reader).json(&body).send().await.expect(403);
}

#[tokio::test]
async fn a_cleanup_does_ten_packages_at_a_time_and_says_that_there_is_more() {
    let world = World::new();
    for number in 10..22 {
        upload(&world, &format!("acme/p{number}"), "1.0.0").await;
    }
    let spec = json!({"keep_versions": 0, "dry_run": false});
    let first = clean_up(&world, &spec).await.expect(200);
    assert_eq!((named(&first).len(), &first.json()["more"]), (10, &json!(true)));
    let second = clean_up(&world, &spec).await.expect(200);
    assert_eq!((named(&second).len(), &second.json()["more"]), (2, &json!(false)));
    assert_eq!(count(&world, "packages"), 0);
}

#[tokio::test]
async fn cron_removes_the_zips_and_texts_that_nobody_needs_once_they_are_old_enough() {
    let world = World::new();
    upload(&world, "acme/lib", "1.0.0").await;
    upload(&world, "acme/lib", "1.1.0").await;
    let (_, id) = world.published("acme/git", &["1.0.0"]).await;
    assert_eq!(world.blobs.keys().len(), 3);
    world.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
    world.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(list(&world, "?unused=true").await.expect(200).header("x-total-count"), "2");
    world.cron().await;
    assert_eq!(world.blobs.keys().len(), 3, "they are too young");
    world.advance_seconds(3600 + 60);
    world.cron().await;
    assert_eq!(world.blobs.keys().len(), 3, "once an hour is enough");
    world.advance_seconds(3600 - 60);
    world.cron().await;
    assert_eq!((world.blobs.keys().len(), count(&world, "artifacts"), count(&world, "texts")), (1, 1, 1));
    assert_eq!(world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(200).body, package("acme/lib", "1.1.0"));
    world.delete("/api/packages/acme%2Flib").bearer(ADMIN).send().await.expect(200);
    world.advance_seconds(3600);
    world.cron().await;
    assert_eq!((world.blobs.keys().len(), count(&world, "artifacts"), count(&world, "texts")), (0, 0, 0));
}

#[tokio::test]
async fn a_zip_that_was_cut_off_between_the_store_and_the_database_is_removed() {
    let world = World::new();
    world.meter.break_nth(Port::Blobs, 1, crate::support::Moment::After);
    world.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await.expect(500);
    world.meter.mend();
    assert_eq!((world.blobs.keys().len(), count(&world, "versions")), (1, 0));
    world.advance_seconds(2 * 3600);
    world.cron().await;
    assert_eq!((world.blobs.keys().len(), count(&world, "artifacts")), (0, 0));
}

#[tokio::test]
async fn a_sweep_with_every_call_broken_is_finished_by_a_later_one() {
    let broken = break_every_call(&[Port::Database, Port::Blobs], async |case| {
        let world = World::new();
        upload(&world, "acme/lib", "1.0.0").await;
        upload(&world, "acme/lib", "1.1.0").await;
        world.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
        world.advance_seconds(2 * 3600);
        case.arm(&world);
        let swept = rostrum::registry::sources::artifacts::sweep(&world.isolate.app).await;
        let broken = world.meter.mend() > 0;
        assert_eq!(swept.is_err(), broken, "{case:?}");
        assert_eq!(world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(200).body, package("acme/lib", "1.1.0"));
        // The same zip again: it is refused while it is being removed, and never lost.
        let again = world.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await;
        let doomed = world.database.rows("SELECT 1 FROM artifacts WHERE doomed_at IS NOT NULL").len();
        assert_eq!(again.status, if doomed == 1 { 409 } else { 201 }, "{case:?}: {}", again.text());
        world.advance_seconds(2 * 3600);
        rostrum::registry::sources::artifacts::sweep(&world.isolate.app).await.expect("nothing is broken");
        let finally = world.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0")).await;
        assert_eq!(finally.status, if doomed == 1 { 201 } else { 200 }, "{case:?}");
        assert_eq!(world.fresh("/dist/acme/lib/1.0.0.zip").await.expect(200).body, package("acme/lib", "1.0.0"));
        assert_eq!(world.blobs.keys().len(), 2, "{case:?}");
        broken
    })
    .await;
    assert_eq!(broken, 6);
}

#[tokio::test]
async fn a_sweep_and_an_upload_of_the_same_zip_at_once_lose_nothing() {
    let world = World::new();
    upload(&world, "acme/lib", "1.0.0").await;
    world.delete("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200);
    world.advance_seconds(2 * 3600);
    let (swept, uploaded) = tokio::join!(
        rostrum::registry::sources::artifacts::sweep(&world.isolate.app),
        world.upload("acme/lib", "1.0.0", package("acme/lib", "1.0.0"))
    );
    swept.expect("nothing is broken");
    if uploaded.status != 201 {
        assert_eq!(
            uploaded.expect(409).json()["error"],
            "The same zip is just being removed from the store. Upload it again in a minute."
        );
        upload(&world, "acme/lib", "1.0.0").await;
    }
    assert_eq!(world.fresh("/dist/acme/lib/1.0.0.zip").await.expect(200).body, package("acme/lib", "1.0.0"));
}

#[tokio::test]
async fn an_old_commit_of_a_branch_keeps_its_zip() {
    let world = World::new();
    let (repo, id) = world.published("acme/lib", &[]).await;
    let old = format!("/dist/acme/lib/dev-main/{}.zip", repo.id("main"));
    world.fresh(&old).await.expect(200);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    world.sync(&id).await;
    world.advance_seconds(2 * 3600);
    world.cron().await;
    world.settle().await;
    assert_eq!(world.blobs.keys().len(), 1);
    world.fresh(&old).await.expect(200);
}

#[tokio::test]
async fn a_cleanup_with_every_call_broken_removes_a_package_s_versions_all_or_none() {
    break_every_call(&[Port::Database], async |case| {
        let world = busy().await;
        case.arm(&world);
        let reply = clean_up(&world, &json!({"keep_versions": 1, "dry_run": false})).await;
        let broken = world.meter.mend() > 0;
        let names = world.fresh("/p2/acme/lib.json").await.version_names("acme/lib");
        let all = ["2.0.0-beta1", "1.2.0", "1.1.0", "1.0.0"];
        assert!(names == ["2.0.0-beta1"] || broken && names == all, "{case:?}: {names:?}");
        assert!(reply.status == 200 || broken && reply.status == 500, "{case:?}");
        clean_up(&world, &json!({"keep_versions": 1, "dry_run": false})).await.expect(200);
        assert_eq!(world.fresh("/p2/acme/lib.json").await.version_names("acme/lib"), ["2.0.0-beta1"], "{case:?}");
        assert_eq!(world.database.rows("SELECT 1 FROM audit_log WHERE action = 'versions.cleaned_up'").len(), 1);
        broken
    })
    .await;
}
