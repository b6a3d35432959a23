//! What operators do by hand: yanking, deleting, abandoning.

use http::Method;
use serde_json::{Value, json};

use crate::support::faults::{break_every_call, count};
use crate::support::zips::package;
use crate::support::{ADMIN, DAWN, Moment, Port, Reply, World, file, manifest};

async fn ask(world: &World, method: Method, path: &str) -> Reply {
    world.isolate.ask(method, path).bearer(ADMIN).send().await
}

async fn patch(world: &World, body: &Value) -> Reply {
    world.patch("/api/packages/acme%2Flib").bearer(ADMIN).json(body).send().await
}

/// A world with two uploaded versions.
async fn uploaded() -> World {
    let world = World::new();
    for version in ["1.0.0", "1.1.0"] {
        world.upload("acme/lib", version, package("acme/lib", version)).await.expect(201);
    }
    world
}

const VERSION: &str = "/api/packages/acme%2Flib/versions/1.1.0";

async fn published(world: &World) -> Vec<String> {
    world.fresh("/p2/acme/lib.json").await.expect(200).version_names("acme/lib")
}

fn actions(world: &World) -> Vec<Value> {
    let rows = world.database.rows("SELECT action FROM audit_log ORDER BY id");
    rows.into_iter().map(|row| row["action"].clone()).filter(|action| action != "version.uploaded").skip(1).collect()
}

#[tokio::test]
async fn a_yanked_version_leaves_the_metadata_and_stays_downloadable() {
    let world = uploaded().await;
    let url = world.fresh("/p2/acme/lib.json").await.versions("acme/lib")[0]["dist"]["url"].clone();
    let url = url.as_str().expect("a URL").strip_prefix("https://registry.test").expect("ours").to_owned();
    let yanked = ask(&world, Method::POST, &format!("{VERSION}/yank")).await.expect(200).json();
    assert_eq!((&yanked["yanked"], &yanked["yanked_at"]), (&json!(true), &json!(DAWN.seconds())));
    assert_eq!(published(&world).await, ["1.0.0"]);
    for path in [url.as_str(), "/dist/acme/lib/1.1.0.zip"] {
        assert_eq!(world.fresh(path).await.expect(200).body, package("acme/lib", "1.1.0"));
    }
    let listed = world.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(listed[0]["latest_version"], "1.0.0");
    // The isolate that did it knows at once.
    let here = world.get("/p2/acme/lib.json").bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(here.version_names("acme/lib"), ["1.0.0"]);

    ask(&world, Method::POST, &format!("{VERSION}/yank")).await.expect(200);
    let back = ask(&world, Method::POST, &format!("{VERSION}/unyank")).await.expect(200).json();
    assert_eq!((&back["yanked"], &back["yanked_at"]), (&json!(false), &json!(null)));
    ask(&world, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&world).await, ["1.1.0", "1.0.0"]);
    assert_eq!(actions(&world), ["version.yanked", "version.unyanked"], "doing it again is not noted");
}

#[tokio::test]
async fn a_package_whose_versions_are_all_yanked_is_absent_for_composer_and_shown_to_operators() {
    let world = uploaded().await;
    for version in ["1.0.0", "1.1.0"] {
        ask(&world, Method::POST, &format!("/api/packages/acme%2Flib/versions/{version}/yank")).await.expect(200);
    }
    world.fresh("/p2/acme/lib.json").await.expect(404);
    let root = world.fresh("/packages.json").await.expect(200).json();
    assert_eq!(root["available-packages"], json!([]));
    let details = ask(&world, Method::GET, "/api/packages/acme/lib").await.expect(200).json();
    assert_eq!(details["latest_version"], json!(null));
    assert_eq!(details["versions"].as_array().map(Vec::len), Some(2));
    world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(200);
    let again = world.upload("acme/lib", "1.1.0", package("acme/lib", "1.1.0")).await;
    again.expect(200);
    world.upload("acme/lib", "1.1.0", package("acme/lib", "other")).await.expect(409);
    world.fresh("/p2/acme/lib.json").await.expect(404);
    ask(&world, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&world).await, ["1.1.0"]);
}

#[tokio::test]
async fn what_a_sync_finds_does_not_take_a_yank_back() {
    let world = World::new();
    let (repo, id) = world.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    ask(&world, Method::POST, &format!("{VERSION}/yank")).await.expect(200);
    ask(&world, Method::POST, "/api/packages/acme%2Flib/versions/dev-main/yank").await.expect(200);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.1.0");
    repo.tag("2.0.0");
    world.sync(&id).await;
    assert_eq!(published(&world).await, ["2.0.0", "1.0.0"]);
    world.fresh("/p2/acme/lib~dev.json").await.expect(200);
    assert_eq!(world.fresh("/p2/acme/lib~dev.json").await.version_names("acme/lib"), [""; 0]);
    assert_eq!(world.last_run()["added"], 1);
    world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(200);
    ask(&world, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&world).await, ["2.0.0", "1.1.0", "1.0.0"]);
}

#[tokio::test]
async fn deleting_a_version_frees_its_number_and_deleting_the_last_one_the_name() {
    let world = uploaded().await;
    ask(&world, Method::DELETE, VERSION).await.expect(200);
    assert_eq!(published(&world).await, ["1.0.0"]);
    world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(404);
    ask(&world, Method::DELETE, VERSION).await.expect(404);
    world.upload("acme/lib", "1.1.0", package("acme/lib", "another")).await.expect(201);
    assert_eq!(world.fresh("/dist/acme/lib/1.1.0.zip").await.expect(200).body, package("acme/lib", "another"));
    ask(&world, Method::DELETE, VERSION).await.expect(200);
    ask(&world, Method::DELETE, "/api/packages/acme%2Flib/versions/1.0.0").await.expect(200);
    assert_eq!((count(&world, "packages"), count(&world, "documents"), count(&world, "dists")), (0, 0, 0));
    world.fresh("/p2/acme/lib.json").await.expect(404);
    world.published("acme/lib", &["3.0.0"]).await;
    assert_eq!(published(&world).await, ["3.0.0"]);
}

#[tokio::test]
async fn deleting_a_package_takes_its_versions_along() {
    let world = uploaded().await;
    ask(&world, Method::DELETE, "/api/packages/acme%2Flib").await.expect(200);
    assert_eq!((count(&world, "packages"), count(&world, "versions"), count(&world, "dists")), (0, 0, 0));
    assert_eq!(world.fresh("/packages.json").await.expect(200).json()["available-packages"], json!([]));
    ask(&world, Method::DELETE, "/api/packages/acme%2Flib").await.expect(404);
    assert_eq!(actions(&world), ["package.deleted"]);
}

#[tokio::test]
async fn what_comes_from_a_repository_is_not_deleted_by_hand() {
    let world = World::new();
    world.published("acme/lib", &["1.1.0"]).await;
    let expected = "acme/lib comes from a git repository, whose next sync would bring it back. Yank its versions, delete \
                    the tag there, or remove the repository from here.";
    for path in ["/api/packages/acme%2Flib", VERSION] {
        let refused = ask(&world, Method::DELETE, path).await.expect(409);
        assert_eq!(refused.json()["error"], expected);
    }
    assert_eq!(published(&world).await, ["1.1.0"]);
}

#[tokio::test]
async fn what_an_operator_says_wins_over_composer_json() {
    let world = World::new();
    let name = "acme/lib";
    let git = r#"{"name":"acme/lib","abandoned":"acme/old","description":"Its own"}"#;
    let repo = world.host.serve(name);
    repo.commit(&[file("composer.json", git)]);
    repo.tag("1.0.0");
    let id = world.register(&repo).await;
    world.settle().await;
    let shown = async || {
        let entry = world.fresh("/p2/acme/lib.json").await.expect(200).versions(name).remove(0);
        let listed = world.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
        let listed = [&listed[0]["abandoned"], &listed[0]["replacement"], &listed[0]["description"]].map(Clone::clone);
        (entry.get("abandoned").cloned(), json!(listed))
    };
    assert_eq!(shown().await, (Some(json!("acme/old")), json!([true, "acme/old", "Its own"])));
    for (said, entry, listed) in [
        (json!({"abandoned": false}), None, json!([false, null, "Its own"])),
        (json!({"abandoned": true}), Some(json!(true)), json!([true, null, "Its own"])),
        (json!({"description": "Ours"}), Some(json!(true)), json!([true, null, "Ours"])),
        (json!({"abandoned": "acme/new"}), Some(json!("acme/new")), json!([true, "acme/new", "Ours"])),
    ] {
        let reply = patch(&world, &said).await.expect(200).json();
        assert_eq!(json!([reply["abandoned"], reply["replacement"], reply["description"]]), listed, "{said}");
        assert_eq!(shown().await, (entry, listed), "{said}");
    }
    patch(&world, &json!({"abandoned": "acme/new"})).await.expect(200);
    repo.tag("1.1.0");
    world.sync(&id).await;
    assert_eq!(shown().await, (Some(json!("acme/new")), json!([true, "acme/new", "Ours"])), "a sync keeps it");
    patch(&world, &json!({"abandoned": null, "description": null})).await.expect(200);
    assert_eq!(shown().await, (Some(json!("acme/old")), json!([true, "acme/old", "Its own"])));
    let changes = world.database.rows("SELECT details FROM audit_log WHERE action = 'package.changed' ORDER BY id");
    assert_eq!(changes.len(), 5, "saying it again is not noted");
    assert_eq!(changes[3]["details"], r#"{"abandoned":"acme/new"}"#);
}

#[tokio::test]
async fn what_makes_no_sense_is_not_said_of_a_package() {
    let world = uploaded().await;
    for (body, field) in [
        (json!({"abandoned": "acme/lib"}), "abandoned"),
        (json!({"abandoned": "no name"}), "abandoned"),
        (json!({"abandoned": 1}), "abandoned"),
        (json!({"description": "x".repeat(1001)}), "description"),
        (json!({"description": "a\nb"}), "description"),
        (json!({"color": "red"}), "color"),
    ] {
        let refused = patch(&world, &body).await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{body}: {refused}");
    }
    assert_eq!(actions(&world), [""; 0]);
}

#[tokio::test]
async fn only_who_may_write_and_sees_it_changes_anything() {
    let world = uploaded().await;
    let spec = json!({"description": "w", "permissions": "write", "allowed_package_prefixes": ["other/"]});
    let (_, elsewhere) = world.token(&spec).await;
    let reader = world.reader().await;
    let package = "/api/packages/acme%2Flib".to_owned();
    for (method, path) in [
        (Method::PATCH, package.clone()),
        (Method::DELETE, package),
        (Method::DELETE, VERSION.to_owned()),
        (Method::POST, format!("{VERSION}/yank")),
        (Method::POST, format!("{VERSION}/unyank")),
    ] {
        let send = async |token: &str, path: &str| {
            world.isolate.ask(method.clone(), path).bearer(token).json(&json!({"abandoned": true})).send().await
        };
        send(&reader, &path).await.expect(403);
        let hidden = send(&elsewhere, &path).await.expect(404).text();
        let absent = send(&elsewhere, &path.replace("acme%2Flib", "acme%2Fnone")).await.expect(404).text();
        assert_eq!(hidden, absent, "{method} {path}");
        world.isolate.ask(method.clone(), &path).send().await.expect(401);
    }
    assert_eq!(published(&world).await, ["1.1.0", "1.0.0"]);
}

/// What a change of two uploaded versions leaves when each call of the database breaks once.
async fn broken(method: Method, path: &str, body: Value, expected: &[&str], repeated: u16) {
    let broken = break_every_call(&[Port::Database], async |case| {
        let world = uploaded().await;
        let send = async || world.isolate.ask(method.clone(), path).bearer(ADMIN).json(&body).send().await;
        case.arm(&world);
        let reply = send().await;
        let broken = world.meter.mend() > 0;
        assert!(reply.status == 200 || broken && reply.status == 500, "{case:?}: {}", reply.text());
        let state = async || {
            let reply = world.fresh("/p2/acme/lib.json").await;
            if reply.status == 404 { Vec::new() } else { reply.version_names("acme/lib") }
        };
        let now = state().await;
        let done = case.moment == Moment::After && case.nth > 1 || !broken || reply.status == 200;
        assert!(now == expected || !done && now == ["1.1.0", "1.0.0"], "{case:?}: {now:?}");
        let again = send().await;
        assert!(again.status == 200 || again.status == repeated, "{case:?}: {}", again.text());
        assert_eq!(state().await, expected, "{case:?}");
        let noted = world
            .database
            .rows("SELECT 1 FROM audit_log WHERE action NOT LIKE '%uploaded' AND action <> 'repository.created'");
        assert_eq!(noted.len(), 1, "{case:?}");
        broken
    })
    .await;
    assert!(broken >= 4, "{broken}");
}

#[tokio::test]
async fn yanking_with_every_call_broken_is_all_or_nothing_and_noted_once() {
    broken(Method::POST, "/api/packages/acme%2Flib/versions/1.1.0/yank", json!({}), &["1.0.0"], 200).await;
}

#[tokio::test]
async fn deleting_a_version_with_every_call_broken_is_all_or_nothing_and_noted_once() {
    broken(Method::DELETE, VERSION, json!({}), &["1.0.0"], 404).await;
}

#[tokio::test]
async fn deleting_a_package_with_every_call_broken_is_all_or_nothing_and_noted_once() {
    broken(Method::DELETE, "/api/packages/acme%2Flib", json!({}), &[], 404).await;
}

#[tokio::test]
async fn abandoning_with_every_call_broken_is_all_or_nothing_and_noted_once() {
    let body = json!({"abandoned": "acme/new"});
    broken(Method::PATCH, "/api/packages/acme%2Flib", body, &["1.1.0", "1.0.0"], 200).await;
}

#[tokio::test]
async fn a_yank_and_an_upload_at_once_are_both_done() {
    let world = uploaded().await;
    let yank_path = format!("{VERSION}/yank");
    let (yank, upload) = tokio::join!(
        ask(&world, Method::POST, &yank_path),
        world.upload("acme/lib", "1.2.0", package("acme/lib", "1.2.0"))
    );
    assert_eq!((yank.status, upload.status), (200, 201));
    assert_eq!(published(&world).await, ["1.2.0", "1.0.0"]);
}
