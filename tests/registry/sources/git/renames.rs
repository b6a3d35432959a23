//! Packages that get another name on the default branch: the old one stays with what it had.

use serde_json::{Value, json};

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, Repo, START, TestRegistry, file, manifest, zip_of};

/// A repository whose package was called acme/old, with a tag 1.0.0, and is acme/new since its tag 2.0.0.
async fn renamed(registry: &TestRegistry) -> (Repo, String) {
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    rename(registry, &repo, &id, "acme/new", "2.0.0").await;
    (repo, id)
}

async fn rename(registry: &TestRegistry, repo: &Repo, id: &str, name: &str, tag: &str) {
    repo.commit(&[manifest(name), file("name.php", format!("<?php // {name}"))]);
    repo.tag(tag);
    let view = registry.sync(id).await;
    assert_eq!((&view["sync_status"], &view["package"]), (&json!("ok"), &json!(name)));
    registry.run_until_idle().await;
}

/// The entries of both documents of a package, the stable ones first.
async fn entries(registry: &TestRegistry, name: &str) -> Vec<Value> {
    let mut entries = Vec::new();
    for part in ["", "~dev"] {
        let reply = registry.get_from_new_isolate(&format!("/p2/{name}{part}.json")).await.expect(200);
        entries.extend(reply.versions(name));
    }
    entries
}

/// What is said of the versions of a package being abandoned.
async fn abandoned(registry: &TestRegistry, name: &str) -> Vec<Value> {
    entries(registry, name).await.iter().map(|entry| entry["abandoned"].clone()).collect()
}

async fn package_id(registry: &TestRegistry, name: &str) -> String {
    let path = format!("/api/packages/{}", name.replace('/', "%2F"));
    let package = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    package["id"].as_str().expect("text").to_owned()
}

/// The remarks on the default branch.
async fn remarks(registry: &TestRegistry, id: &str) -> Value {
    let path = format!("/api/repositories/{id}/refs");
    let refs = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    let main = refs.as_array().expect("a list").iter().find(|one| one["ref"] == "refs/heads/main").expect("the branch");
    assert_eq!(main["version"], "dev-main");
    main["remarks"].clone()
}

#[tokio::test]
async fn an_old_name_stays_with_its_versions_abandoned_in_favour_of_the_new_one() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    let (token, old) = (registry.reader().await, repo.id("main"));
    let dist = format!("/dist/acme/old/1.0.0/{old}.zip");
    let zip = registry.get(&dist).basic(&token).send().await.expect(200);
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    assert_eq!(versions(&registry, &token, "acme/new").await, ["2.0.0", "1.0.0", "dev-main"]);
    assert_eq!(versions(&registry, &token, "acme/old").await, ["1.0.0", "dev-main"]);
    assert_eq!(abandoned(&registry, "acme/old").await, ["acme/new", "acme/new"]);
    assert_eq!(abandoned(&registry, "acme/new").await, [Value::Null, Value::Null, Value::Null]);
    let references = |entries: Vec<Value>| -> Vec<Value> {
        entries.iter().map(|entry| entry["dist"]["reference"].clone()).collect()
    };
    assert_eq!(references(entries(&registry, "acme/old").await), [json!(old), json!(old)]);
    registry.get("/packages.json").basic(&token).composer().if_modified_since(&root).send().await.expect(200);
    assert_eq!(registry.listed_names(&token).await, json!(["acme/new", "acme/old"]));
    assert_eq!(registry.get(&dist).basic(&token).send().await.expect(200).body, zip.body);
    let shown = registry.get("/api/packages/acme%2Fold").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!((&shown["abandoned"], &shown["replacement"]), (&json!(true), &json!("acme/new")));

    // What comes later has the new name alone.
    let before = registry.get("/p2/acme/old~dev.json").basic(&token).composer().send().await.expect(200);
    repo.commit(&[manifest("acme/new"), file("later.php", "<?php")]);
    repo.tag("3.0.0");
    registry.sync(&id).await;
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, &token, "acme/new").await, ["3.0.0", "2.0.0", "1.0.0", "dev-main"]);
    assert!(entries(&registry, "acme/new").await[..3].iter().all(|entry| entry["dist"]["shasum"] != ""));
    let again = registry.get("/p2/acme/old~dev.json").basic(&token).composer().if_modified_since(&before).send().await;
    again.expect(304);
}

#[tokio::test]
async fn a_rename_is_told_on_the_default_branch_and_in_the_audit_log_with_the_grants_of_the_old_name_alone() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    let grants = json!([{"package": "acme/old"}]);
    let (token, _) = registry.token(&json!({"description": "one", "grants": grants})).await;
    let prefixed = async |prefix: &str| {
        registry.token(&json!({"description": prefix, "allowed_package_prefixes": [prefix]})).await.0
    };
    let some = prefixed("acme/o").await;
    prefixed("acme/").await;
    let (revoked, _) = registry.token(&json!({"description": "revoked", "grants": [{"package": "acme/old"}]})).await;
    registry.delete(&format!("/api/tokens/{revoked}")).bearer(ADMIN).send().await.expect(200);
    let consumer = registry.consumer().await;
    let permission = registry.grant(&consumer, "acme/old", "*").await;
    let ending = json!({
        "consumer_id": consumer.id, "package": "acme/old", "version": "1.*", "expires_at": "2026-01-02 00:00:00",
    });
    registry.storefront_post("/permissions", &ending).send().await.expect(201);
    registry.advance_seconds(2 * 24 * 3600);
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    let entry = registry.audited("package.renamed").await.remove(0);
    assert_eq!(
        (&entry["actor"], &entry["target"], &entry["label"]),
        (&json!(format!("repository:{id}")), &json!(id), &json!("acme/old"))
    );
    let listed = json!([
        {"target": "acme/old", "token": token},
        {"target": "acme/o*", "token": some},
        {"target": "acme/old", "consumer": consumer.id, "permission": permission["id"]},
    ]);
    assert_eq!(entry["details"], json!({"to": "acme/new", "grants": listed, "grants_in_all": 3}));
    let text = "The package was called acme/old before. What was published under that name stays, abandoned in favour of \
                acme/new.";
    let remark = json!([{"kind": "renamed", "text": text}]);
    assert_eq!(remarks(&registry, &id).await, remark);
    repo.commit(&[manifest("acme/new"), file("later.php", "<?php")]);
    registry.sync(&id).await;
    assert_eq!(remarks(&registry, &id).await, remark, "as long as the old name is there");
    assert_eq!(registry.audited("package.renamed").await.len(), 1, "it is told once");
}

#[tokio::test]
async fn whoever_was_granted_the_old_name_keeps_its_versions_and_sees_nothing_of_the_new_one() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    registry.grant(&consumer, "acme/old", "*").await;
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    let registry = registry.another_isolate();
    let reply = consumer.get(&registry, "/p2/acme/old.json").send().await.expect(200);
    assert_eq!(reply.version_names("acme/old"), ["1.0.0"]);
    assert_eq!(reply.versions("acme/old")[0]["abandoned"], "acme/new");
    consumer.get(&registry, "/p2/acme/new.json").send().await.expect_claim("acme/new");
}

#[tokio::test]
async fn an_old_name_is_nobody_elses_until_the_package_is_deleted() {
    let registry = TestRegistry::new();
    let (_, id) = renamed(&registry).await;
    let other = registry.git_host.serve("acme/other");
    other.commit(&[manifest("acme/old")]);
    other.tag("9.0.0");
    let other_id = registry.register(&other).await;
    registry.run_until_idle().await;
    let error = "the package acme/old is published by another repository already; remove that one first, or delete the \
                 package if it was renamed there";
    assert_eq!(registry.repository_view(&other_id).await["error"], error);
    let zip = zip_of(br#"{"name": "acme/old"}"#);
    registry.upload("acme/old", "9.0.0", zip).await.expect(409);

    let current = package_id(&registry, "acme/new").await;
    registry.delete(&format!("/api/packages/{current}")).bearer(ADMIN).send().await.expect(409);
    let old = package_id(&registry, "acme/old").await;
    registry.delete(&format!("/api/packages/{old}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(registry.sync(&id).await["package"], "acme/new");
    assert_eq!(registry.sync(&other_id).await["sync_status"], "ok");
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/old").await, ["9.0.0", "dev-main"]);
    assert_eq!(abandoned(&registry, "acme/old").await, [Value::Null, Value::Null]);
}

#[tokio::test]
async fn what_an_operator_says_of_an_old_name_comes_before_its_new_one() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    let path = format!("/api/packages/{}", package_id(&registry, "acme/old").await);
    let say = async |change: Value| {
        registry.patch(&path).bearer(ADMIN).json(&change).send().await.expect(200);
        abandoned(&registry, "acme/old").await
    };
    say(json!({"abandoned": "acme/other"})).await;
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    assert_eq!(abandoned(&registry, "acme/old").await, ["acme/other", "acme/other"]);
    assert_eq!(say(json!({"abandoned": false})).await, [Value::Null, Value::Null]);
    assert_eq!(say(json!({"abandoned": null})).await, ["acme/new", "acme/new"]);
    let version = format!("{path}/versions/1.0.0/yank");
    registry.post(&version).bearer(ADMIN).send().await.expect(200);
    assert_eq!(abandoned(&registry, "acme/old").await, ["acme/new"], "of what is left");
    assert_eq!(registry.repository_view(&id).await["package"], "acme/new", "although the old one was changed last");
}

#[tokio::test]
async fn a_package_that_gets_its_old_name_back_has_it_as_it_was() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    let path = format!("/api/packages/{}/versions/1.0.0", package_id(&registry, "acme/old").await);
    registry.post(&format!("{path}/yank")).bearer(ADMIN).send().await.expect(200);
    let released = registry.get(&path).bearer(ADMIN).send().await.expect(200).json()["released_at"].clone();
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    registry.advance_seconds(24 * 3600);
    rename(&registry, &repo, &id, "acme/old", "3.0.0").await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/old").await, ["3.0.0", "2.0.0", "dev-main"], "1.0.0 is still yanked");
    assert_eq!(abandoned(&registry, "acme/old").await, [Value::Null, Value::Null, Value::Null]);
    assert_eq!(versions(&registry, &token, "acme/new").await, ["2.0.0", "1.0.0", "dev-main"]);
    assert_eq!(abandoned(&registry, "acme/new").await, ["acme/old", "acme/old", "acme/old"]);
    let again = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!((&again["released_at"], &again["yanked"]), (&released, &json!(true)));
    let moments: Vec<Value> =
        registry.audited("package.renamed").await.iter().map(|entry| entry["label"].clone()).collect();
    assert_eq!(moments, ["acme/new", "acme/old"]);
    assert!(released.as_i64().expect("a number") < START.seconds());
}

#[tokio::test]
async fn another_repository_at_the_same_entry_renames_nothing() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/old", &["1.0.0"]).await;
    let other = registry.git_host.serve("acme/elsewhere");
    other.commit(&[manifest("acme/new")]);
    other.tag("2.0.0");
    let change = json!({"url": other.url});
    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&change).send().await.expect(200);
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(registry.listed_names(&token).await, json!(["acme/new"]));
    registry.get("/p2/acme/old.json").basic(&token).composer().send().await.expect_claim("acme/old");
    assert_eq!(registry.audited("package.renamed").await.len(), 0);
    assert_eq!(remarks(&registry, &id).await, json!([]));
}

/// Hides or shows a package, or with `version` one of its versions, as a shop does.
async fn set_status(registry: &TestRegistry, name: &str, version: Option<&str>, status: i64) {
    let package = registry.package_id(name);
    let (path, answer) = match version {
        None => (format!("/packages/{package}"), 201),
        Some(version) => {
            let path = format!("/versions/package/{package}");
            let list = registry.storefront_get(&path).send().await.expect(200).json();
            let found =
                list.as_array().expect("a list").iter().find(|one| one["name"] == version).expect("it is there");
            (format!("/versions/{}", found["id"]), 200)
        }
    };
    registry.storefront_patch(&path, &json!({"status": status})).send().await.expect(answer);
}

#[tokio::test]
async fn a_hidden_package_does_not_become_visible_by_another_name() {
    let registry = TestRegistry::new();
    let hook = json!({"url": "https://shop.test/hooks", "events": ["version.published"]});
    let (repo, id) = registry.published("acme/old", &["1.0.0"]).await;
    registry.storefront_post("/webhooks", &hook).send().await.expect(201);
    set_status(&registry, "acme/old", None, 0).await;
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    let nothing = async || {
        for name in ["acme/old", "acme/new"] {
            registry.get_from_new_isolate(&format!("/p2/{name}.json")).await.expect_claim(name);
            registry.get_from_new_isolate(&format!("/p2/{name}~dev.json")).await.expect_claim(name);
        }
        registry.get_from_new_isolate("/dist/acme/new/2.0.0.zip").await.expect(404);
        registry.get("/api/packages/acme%2Fnew").bearer(ADMIN).send().await.expect(404);
        assert_eq!(registry.listed_names(ADMIN).await, json!([]));
    };
    nothing().await;
    repo.commit(&[manifest("acme/new"), file("later.php", "<?php")]);
    repo.tag("3.0.0");
    registry.sync(&id).await;
    registry.run_until_idle().await;
    nothing().await;
    assert_eq!(registry.database.rows("SELECT 1 FROM webhook_deliveries").len(), 0, "nobody is told of it");

    set_status(&registry, "acme/new", None, 1).await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/new").await, ["3.0.0", "2.0.0", "1.0.0", "dev-main"]);
    registry.get_from_new_isolate("/p2/acme/old.json").await.expect_claim("acme/old");
    registry.sync(&id).await;
    assert_eq!(registry.listed_names(&token).await, json!(["acme/new"]), "each name is shown by itself");
    rename(&registry, &repo, &id, "acme/old", "4.0.0").await;
    registry.get_from_new_isolate("/p2/acme/old.json").await.expect_claim("acme/old");
}

#[tokio::test]
async fn a_hidden_version_does_not_become_visible_by_another_name_of_its_package() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/old", &["1.0.0", "1.1.0"]).await;
    set_status(&registry, "acme/old", Some("1.0.0"), 0).await;
    rename(&registry, &repo, &id, "acme/new", "2.0.0").await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/new").await, ["2.0.0", "1.1.0", "dev-main"]);
    registry.get_from_new_isolate("/dist/acme/new/1.0.0.zip").await.expect(404);
    repo.commit(&[manifest("acme/new"), file("later.php", "<?php")]);
    repo.tag("3.0.0");
    registry.sync(&id).await;
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, &token, "acme/new").await, ["3.0.0", "2.0.0", "1.1.0", "dev-main"]);
    set_status(&registry, "acme/new", Some("1.0.0"), 1).await;
    repo.tag("3.1.0");
    registry.sync(&id).await;
    registry.run_until_idle().await;
    let shown = versions(&registry, &token, "acme/new").await;
    assert_eq!(shown, ["3.1.0", "3.0.0", "2.0.0", "1.1.0", "1.0.0", "dev-main"]);
    assert_eq!(versions(&registry, &token, "acme/old").await, ["1.1.0", "dev-main"]);
}
