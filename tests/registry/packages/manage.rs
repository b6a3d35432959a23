//! What operators do by hand: yanking, deleting, abandoning.

use http::Method;
use serde_json::{Value, json};

use crate::support::faults::{count, with_every_call_failing};
use crate::support::zips::package;
use crate::support::{ADMIN, FaultTiming, Port, START, TestRegistry, TestResponse, file, manifest};

async fn request(registry: &TestRegistry, method: Method, path: &str) -> TestResponse {
    registry.isolate.request(method, path).bearer(ADMIN).send().await
}

async fn patch(registry: &TestRegistry, body: &Value) -> TestResponse {
    registry.patch("/api/packages/acme%2Flib").bearer(ADMIN).json(body).send().await
}

/// A registry with two uploaded versions.
async fn uploaded() -> TestRegistry {
    let registry = TestRegistry::new();
    for version in ["1.0.0", "1.1.0"] {
        registry.upload("acme/lib", version, package("acme/lib", version)).await.expect(201);
    }
    registry
}

const VERSION: &str = "/api/packages/acme%2Flib/versions/1.1.0";

async fn published(registry: &TestRegistry) -> Vec<String> {
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).version_names("acme/lib")
}

fn actions(registry: &TestRegistry) -> Vec<Value> {
    let rows = registry.database.rows("SELECT action FROM audit_log ORDER BY id");
    rows.into_iter().map(|row| row["action"].clone()).filter(|action| action != "version.uploaded").skip(1).collect()
}

#[tokio::test]
async fn a_yanked_version_leaves_the_metadata_and_stays_downloadable() {
    let registry = uploaded().await;
    let url = registry.get_from_new_isolate("/p2/acme/lib.json").await.versions("acme/lib")[0]["dist"]["url"].clone();
    let url = url.as_str().expect("a URL").strip_prefix("https://registry.test").expect("ours").to_owned();
    let yanked = request(&registry, Method::POST, &format!("{VERSION}/yank")).await.expect(200).json();
    assert_eq!((&yanked["yanked"], &yanked["yanked_at"]), (&json!(true), &json!(START.seconds())));
    assert_eq!(published(&registry).await, ["1.0.0"]);
    for path in [url.as_str(), "/dist/acme/lib/1.1.0.zip"] {
        assert_eq!(registry.get_from_new_isolate(path).await.expect(200).body, package("acme/lib", "1.1.0"));
    }
    let listed = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(listed[0]["latest_version"], "1.0.0");
    // The isolate that did it knows at once.
    let here = registry.get("/p2/acme/lib.json").bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(here.version_names("acme/lib"), ["1.0.0"]);

    request(&registry, Method::POST, &format!("{VERSION}/yank")).await.expect(200);
    let back = request(&registry, Method::POST, &format!("{VERSION}/unyank")).await.expect(200).json();
    assert_eq!((&back["yanked"], &back["yanked_at"]), (&json!(false), &json!(null)));
    request(&registry, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&registry).await, ["1.1.0", "1.0.0"]);
    assert_eq!(actions(&registry), ["version.yanked", "version.unyanked"], "doing it again is not noted");
}

#[tokio::test]
async fn a_package_whose_versions_are_all_yanked_is_absent_for_composer_and_shown_to_operators() {
    let registry = uploaded().await;
    for version in ["1.0.0", "1.1.0"] {
        request(&registry, Method::POST, &format!("/api/packages/acme%2Flib/versions/{version}/yank"))
            .await
            .expect(200);
    }
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect_claim("acme/lib");
    assert_eq!(registry.listed_names(ADMIN).await, json!([]));
    let details = request(&registry, Method::GET, "/api/packages/acme/lib").await.expect(200).json();
    assert_eq!(details["latest_version"], json!(null));
    assert_eq!(details["versions"].as_array().map(Vec::len), Some(2));
    registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200);
    let again = registry.upload("acme/lib", "1.1.0", package("acme/lib", "1.1.0")).await;
    again.expect(200);
    registry.upload("acme/lib", "1.1.0", package("acme/lib", "other")).await.expect(409);
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect_claim("acme/lib");
    request(&registry, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&registry).await, ["1.1.0"]);
}

#[tokio::test]
async fn what_a_sync_finds_does_not_take_a_yank_back() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    request(&registry, Method::POST, &format!("{VERSION}/yank")).await.expect(200);
    request(&registry, Method::POST, "/api/packages/acme%2Flib/versions/dev-main/yank").await.expect(200);
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.1.0");
    repo.tag("2.0.0");
    registry.sync(&id).await;
    assert_eq!(published(&registry).await, ["2.0.0", "1.0.0"]);
    registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.expect(200);
    assert_eq!(registry.get_from_new_isolate("/p2/acme/lib~dev.json").await.version_names("acme/lib"), [""; 0]);
    assert_eq!(registry.last_run()["added"], 1);
    registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200);
    request(&registry, Method::POST, &format!("{VERSION}/unyank")).await.expect(200);
    assert_eq!(published(&registry).await, ["2.0.0", "1.1.0", "1.0.0"]);
}

#[tokio::test]
async fn a_package_whose_versions_are_all_yanked_keeps_them_when_its_repository_is_synced() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    for version in ["1.0.0", "dev-main"] {
        let path = format!("/api/packages/acme%2Flib/versions/{version}/yank");
        request(&registry, Method::POST, &path).await.expect(200);
    }
    repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    registry.sync(&id).await;
    assert_eq!(registry.last_run()["removed"], 0);
    let details = request(&registry, Method::GET, "/api/packages/acme/lib").await.expect(200).json();
    assert_eq!(details["versions"].as_array().map(Vec::len), Some(2));
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200);
    request(&registry, Method::POST, "/api/packages/acme%2Flib/versions/1.0.0/unyank").await.expect(200);
    assert_eq!(published(&registry).await, ["1.0.0"]);
}

#[tokio::test]
async fn deleting_a_version_frees_its_number_and_deleting_the_last_one_the_name() {
    let registry = uploaded().await;
    request(&registry, Method::DELETE, VERSION).await.expect(200);
    assert_eq!(published(&registry).await, ["1.0.0"]);
    registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(404);
    request(&registry, Method::DELETE, VERSION).await.expect(404);
    registry.upload("acme/lib", "1.1.0", package("acme/lib", "another")).await.expect(201);
    assert_eq!(
        registry.get_from_new_isolate("/dist/acme/lib/1.1.0.zip").await.expect(200).body,
        package("acme/lib", "another")
    );
    request(&registry, Method::DELETE, VERSION).await.expect(200);
    request(&registry, Method::DELETE, "/api/packages/acme%2Flib/versions/1.0.0").await.expect(200);
    assert_eq!((count(&registry, "packages"), count(&registry, "documents"), count(&registry, "dists")), (0, 0, 0));
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(404);
    registry.published("acme/lib", &["3.0.0"]).await;
    assert_eq!(published(&registry).await, ["3.0.0"]);
}

#[tokio::test]
async fn deleting_a_package_takes_its_versions_along() {
    let registry = uploaded().await;
    request(&registry, Method::DELETE, "/api/packages/acme%2Flib").await.expect(200);
    assert_eq!((count(&registry, "packages"), count(&registry, "versions"), count(&registry, "dists")), (0, 0, 0));
    assert_eq!(registry.listed_names(ADMIN).await, json!([]));
    request(&registry, Method::DELETE, "/api/packages/acme%2Flib").await.expect(404);
    assert_eq!(actions(&registry), ["package.deleted"]);
}

#[tokio::test]
async fn what_comes_from_a_repository_is_not_deleted_by_hand() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.1.0"]).await;
    let expected = "acme/lib comes from a git repository, whose next sync would bring it back. Yank its versions, delete \
                    the tag there, or remove the repository from here.";
    for path in ["/api/packages/acme%2Flib", VERSION] {
        let refused = request(&registry, Method::DELETE, path).await.expect(409);
        assert_eq!(refused.json()["error"], expected);
    }
    assert_eq!(published(&registry).await, ["1.1.0"]);
}

#[tokio::test]
async fn what_an_operator_says_wins_over_composer_json() {
    let registry = TestRegistry::new();
    let name = "acme/lib";
    let git = r#"{"name":"acme/lib","abandoned":"acme/old","description":"Its own"}"#;
    let repo = registry.git_host.serve(name);
    repo.commit(&[file("composer.json", git)]);
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    let shown = async || {
        let entry = registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).versions(name).remove(0);
        let listed = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
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
        let reply = patch(&registry, &said).await.expect(200).json();
        assert_eq!(json!([reply["abandoned"], reply["replacement"], reply["description"]]), listed, "{said}");
        assert_eq!(shown().await, (entry, listed), "{said}");
    }
    patch(&registry, &json!({"abandoned": "acme/new"})).await.expect(200);
    repo.tag("1.1.0");
    registry.sync(&id).await;
    assert_eq!(shown().await, (Some(json!("acme/new")), json!([true, "acme/new", "Ours"])), "a sync keeps it");
    patch(&registry, &json!({"abandoned": null, "description": null})).await.expect(200);
    assert_eq!(shown().await, (Some(json!("acme/old")), json!([true, "acme/old", "Its own"])));
    let changes = registry.database.rows("SELECT details FROM audit_log WHERE action = 'package.changed' ORDER BY id");
    assert_eq!(changes.len(), 5, "saying it again is not noted");
    assert_eq!(changes[3]["details"], r#"{"abandoned":"acme/new"}"#);
}

#[tokio::test]
async fn what_makes_no_sense_is_not_said_of_a_package() {
    let registry = uploaded().await;
    for (body, field) in [
        (json!({"abandoned": "acme/lib"}), "abandoned"),
        (json!({"abandoned": "no name"}), "abandoned"),
        (json!({"abandoned": 1}), "abandoned"),
        (json!({"description": "x".repeat(1001)}), "description"),
        (json!({"description": "a\nb"}), "description"),
        (json!({"color": "red"}), "color"),
    ] {
        let refused = patch(&registry, &body).await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{body}: {refused}");
    }
    assert_eq!(actions(&registry), [""; 0]);
}

#[tokio::test]
async fn only_who_may_write_and_sees_it_changes_anything() {
    let registry = uploaded().await;
    let spec = json!({"description": "w", "permissions": "write", "allowed_package_prefixes": ["other/"]});
    let (_, elsewhere) = registry.token(&spec).await;
    let reader = registry.reader().await;
    let package = "/api/packages/acme%2Flib".to_owned();
    for (method, path) in [
        (Method::PATCH, package.clone()),
        (Method::DELETE, package),
        (Method::DELETE, VERSION.to_owned()),
        (Method::POST, format!("{VERSION}/yank")),
        (Method::POST, format!("{VERSION}/unyank")),
    ] {
        let send = async |token: &str, path: &str| {
            registry.isolate.request(method.clone(), path).bearer(token).json(&json!({"abandoned": true})).send().await
        };
        send(&reader, &path).await.expect(403);
        let hidden = send(&elsewhere, &path).await.expect(404).text();
        let absent = send(&elsewhere, &path.replace("acme%2Flib", "acme%2Fnone")).await.expect(404).text();
        assert_eq!(hidden, absent, "{method} {path}");
        registry.isolate.request(method.clone(), &path).send().await.expect(401);
    }
    assert_eq!(published(&registry).await, ["1.1.0", "1.0.0"]);
}

/// What a change of two uploaded versions leaves when each call of the database breaks once.
async fn broken(method: Method, path: &str, body: Value, expected: &[&str], repeated: u16) {
    let broken = with_every_call_failing(&[Port::Database], async |case| {
        let registry = uploaded().await;
        let send = async || registry.isolate.request(method.clone(), path).bearer(ADMIN).json(&body).send().await;
        case.arm(&registry);
        let reply = send().await;
        let broken = registry.meter.clear_faults() > 0;
        assert!(reply.status == 200 || broken && reply.status == 500, "{case:?}: {}", reply.text());
        let state = async || {
            let reply = registry.get_from_new_isolate("/p2/acme/lib.json").await;
            if reply.status == 404 { Vec::new() } else { reply.version_names("acme/lib") }
        };
        let now = state().await;
        let done = case.timing == FaultTiming::After && case.nth > 1 || !broken || reply.status == 200;
        assert!(now == expected || !done && now == ["1.1.0", "1.0.0"], "{case:?}: {now:?}");
        let again = send().await;
        assert!(again.status == 200 || again.status == repeated, "{case:?}: {}", again.text());
        assert_eq!(state().await, expected, "{case:?}");
        let noted = registry
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
    let registry = uploaded().await;
    let yank_path = format!("{VERSION}/yank");
    let (yank, upload) = tokio::join!(
        request(&registry, Method::POST, &yank_path),
        registry.upload("acme/lib", "1.2.0", package("acme/lib", "1.2.0"))
    );
    assert_eq!((yank.status, upload.status), (200, 201));
    assert_eq!(published(&registry).await, ["1.2.0", "1.0.0"]);
}
