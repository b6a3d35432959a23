//! Versions that a shop marks as security fixes: those have them too whose updates ended before they were released.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, Repo, START, TestConsumer, TestRegistry, TestResponse};

const PAID_UNTIL: &str = "2025-12-31 00:00:00";

/// A shop whose package got versions after the updates of its customer ended: tags that a later sync found.
async fn shop(later: &[&str], permission: Value) -> (TestRegistry, TestConsumer, Repo, String) {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["2.4.7"]).await;
    registry.advance_seconds(600);
    for tag in later {
        repo.tag(tag);
    }
    registry.sync(&id).await;
    let consumer = registry.consumer().await;
    permit(&registry, &consumer, permission).await;
    (registry, consumer, repo, id)
}

async fn permit(registry: &TestRegistry, consumer: &TestConsumer, more: Value) {
    let mut body =
        json!({"consumer_id": consumer.id, "package": "acme/lib", "version": "*", "updates_until": PAID_UNTIL});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    registry.storefront_post("/permissions", &body).send().await.expect(201);
}

async fn p2(registry: &TestRegistry, consumer: &TestConsumer) -> TestResponse {
    consumer.get(&registry.another_isolate(), "/p2/acme/lib.json").send().await
}

async fn versions(registry: &TestRegistry, consumer: &TestConsumer) -> Vec<String> {
    p2(registry, consumer).await.expect(200).version_names("acme/lib")
}

/// What the shop sees of a version.
async fn sold(registry: &TestRegistry, version: &str) -> Value {
    let path = format!("/versions/package/{}", registry.package_id("acme/lib"));
    let all = registry.storefront_get(&path).send().await.expect(200).json();
    let found = all.as_array().expect("a list").iter().find(|one| one["name"] == version);
    found.unwrap_or_else(|| panic!("there is no {version}")).clone()
}

async fn mark(registry: &TestRegistry, version: &str, security_fix: bool) -> Value {
    let path = format!("/versions/{}", sold(registry, version).await["id"]);
    registry.storefront_patch(&path, &json!({"security_fix": security_fix})).send().await.expect(200).json()
}

#[tokio::test]
async fn a_patch_level_is_a_stable_version_behind_the_one_that_it_patches() {
    let (registry, ..) = shop(&["2.4.7-p1", "2.4.8"], json!({})).await;
    for (constraint, expected) in [
        ("2.4.*", &["2.4.8", "2.4.7-p1", "2.4.7"][..]),
        ("~2.4.7", &["2.4.8", "2.4.7-p1", "2.4.7"]),
        ("<2.4.8", &["2.4.7-p1", "2.4.7"]),
        ("<=2.4.7-p1", &["2.4.7-p1", "2.4.7"]),
        ("<=2.4.7", &["2.4.7"]),
        ("2.4.7", &["2.4.7"]),
        ("2.4.7-p1", &["2.4.7-p1"]),
        (">2.4.7", &["2.4.8", "2.4.7-p1"]),
    ] {
        let consumer = registry.consumer().await;
        let all = json!({"version": constraint, "updates_until": null, "minimum_stability": "stable"});
        permit(&registry, &consumer, all).await;
        assert_eq!(versions(&registry, &consumer).await, expected, "{constraint}");
    }
}

#[tokio::test]
async fn a_security_fix_reaches_those_whose_updates_have_ended_and_nothing_else_does() {
    let (registry, consumer, repo, _) = shop(&["2.4.7-p1", "2.5.0"], json!({})).await;
    let before = p2(&registry, &consumer).await.expect(200);
    assert_eq!(before.version_names("acme/lib"), ["2.4.7"]);
    let dist = |version: &str| format!("/dist/acme/lib/{version}/{}.zip", repo.id("main"));
    consumer.get(&registry.another_isolate(), &dist("2.4.7-p1")).send().await.expect(404);

    assert_eq!(mark(&registry, "2.4.7-p1", true).await["security_fix"], true);
    let isolate = registry.another_isolate();
    let again = consumer.get(&isolate, "/p2/acme/lib.json").if_modified_since(&before).send().await.expect(200);
    assert_eq!(again.version_names("acme/lib"), ["2.4.7-p1", "2.4.7"]);
    assert_ne!(again.header("last-modified"), before.header("last-modified"));
    consumer.get(&isolate, &dist("2.4.7-p1")).send().await.expect(200);
    consumer.get(&isolate, &dist("2.5.0")).send().await.expect(404);
    let installed = consumer.get(&isolate, "/api/packages/acme%2Flib/versions").send().await.expect(200).json();
    let shown: Vec<(&Value, &Value)> =
        installed.as_array().expect("a list").iter().map(|one| (&one["version"], &one["security_fix"])).collect();
    assert_eq!(shown[..2], [(&json!("2.4.7-p1"), &json!(true)), (&json!("2.4.7"), &json!(false))]);
    assert_eq!(mark(&registry, "2.4.7-p1", true).await["security_fix"], true, "again changes nothing");

    assert_eq!(mark(&registry, "2.4.7-p1", false).await["security_fix"], false);
    assert_eq!(versions(&registry, &consumer).await, ["2.4.7"]);
    consumer.get(&registry.another_isolate(), &dist("2.4.7-p1")).send().await.expect(404);
    let audited =
        registry.database.rows("SELECT action, label FROM audit_log WHERE action LIKE '%security_fix%' ORDER BY id");
    let of = |action: &str| json!({"action": action, "label": "acme/lib 2.4.7-p1"});
    assert_eq!(audited, [of("version.security_fix_marked"), of("version.security_fix_unmarked")]);
}

#[tokio::test]
async fn a_package_of_which_only_a_security_fix_is_visible_is_there_on_every_surface() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let consumer = registry.consumer().await;
    permit(&registry, &consumer, json!({"updates_until": "2020-01-01 00:00:00"})).await;
    p2(&registry, &consumer).await.expect_claim("acme/lib");
    mark(&registry, "1.0.0", true).await;
    assert_eq!(versions(&registry, &consumer).await, ["1.0.0"]);
    let isolate = registry.another_isolate();
    let listed = consumer.get(&isolate, "/list.json").send().await.expect(200).json();
    assert_eq!(listed, json!({"packageNames": ["acme/lib"]}));
    let found = consumer.get(&isolate, "/search.json?q=").send().await.expect(200).json();
    assert_eq!(found["total"], 1);
    let shop = json!({"description": "shop", "scopes": ["storefront:*"], "grants": [
        {"pattern": "acme/*", "updates_until": 1_577_836_800},
    ]});
    let (_, token) = registry.token(&shop).await;
    let catalog = registry.get("/api/storefront/packages").bearer(&token).send().await.expect(200).json();
    assert_eq!(catalog[0]["name"], "acme/lib");
}

#[tokio::test]
async fn a_security_fix_passes_nothing_but_the_end_of_updates() {
    let fixes = ["2.4.8", "2.4.9-beta1", "3.0.1"];
    for (permission, expected) in [
        (json!({"version": "2.*"}), &["2.4.8", "2.4.7"][..]),
        (json!({"version": "2.*", "minimum_stability": "beta"}), &["2.4.9-beta1", "2.4.8", "2.4.7"]),
        (json!({"version": "3.*"}), &["3.0.1"]),
    ] {
        let (registry, consumer, ..) = shop(&fixes, permission.clone()).await;
        for fix in fixes {
            mark(&registry, fix, true).await;
        }
        assert_eq!(versions(&registry, &consumer).await, expected, "{permission}");
    }
    let ends_at = json!({"expires_at": "2026-01-02 00:00:00"});
    let (registry, consumer, ..) = shop(&["2.4.8"], ends_at).await;
    mark(&registry, "2.4.8", true).await;
    assert_eq!(versions(&registry, &consumer).await, ["2.4.8", "2.4.7"]);
    registry.advance_seconds(2 * 24 * 3600);
    p2(&registry, &consumer).await.expect_claim("acme/lib");
}

#[tokio::test]
async fn a_security_fix_stays_one_when_its_tag_moves_or_goes_and_comes_back() {
    let (registry, consumer, repo, id) = shop(&["2.4.7-p1"], json!({})).await;
    mark(&registry, "2.4.7-p1", true).await;
    repo.commit(&[crate::support::manifest("acme/lib"), crate::support::file("fix.php", "<?php")]);
    repo.tag("2.4.7-p1");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &consumer).await, ["2.4.7-p1", "2.4.7"]);
    repo.delete("refs/tags/2.4.7-p1");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &consumer).await, ["2.4.7"]);
    repo.tag("2.4.7-p1");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &consumer).await, ["2.4.7-p1", "2.4.7"]);
}

#[tokio::test]
async fn a_version_can_be_a_security_fix_before_it_has_a_zip() {
    let registry = TestRegistry::new();
    let lib = registry.storefront_post("/packages", &json!({"name": "acme/lib"})).send().await.expect(201).json();
    let address = format!("/versions/package/{}", lib["id"]);
    let consumer = registry.consumer().await;
    permit(&registry, &consumer, json!({})).await;
    let mut waiting = Vec::new();
    for (name, body) in [
        ("1.0.0", json!({"name": "1.0.0", "security_fix": true})),
        ("1.1.0", json!({"name": "1.1.0"})),
        ("1.2.0", json!({"name": "1.2.0", "security_fix": true})),
    ] {
        let made = registry.storefront_post(&address, &body).send().await.expect(201).json();
        assert_eq!(made["security_fix"], body["security_fix"] == true, "{name}");
        waiting.push(made["id"].clone());
    }
    let change = |id: &Value, body: Value| registry.storefront_patch(&format!("/versions/{id}"), &body).send();
    assert_eq!(change(&waiting[1], json!({"security_fix": true})).await.expect(200).json()["security_fix"], true);
    assert_eq!(change(&waiting[2], json!({"security_fix": false})).await.expect(200).json()["security_fix"], false);
    for (id, note) in waiting.iter().zip(["one", "two", "three"]) {
        let file = format!("/api/storefront/versions/{id}/file");
        registry.put(&file).bearer(ADMIN).body(package("acme/lib", note)).send().await.expect(201);
    }
    assert_eq!(versions(&registry, &consumer).await, ["1.1.0", "1.0.0"]);
    let again = json!({"name": "1.3.0", "filename": sold(&registry, "1.0.0").await["filename"], "security_fix": true});
    let made = registry.storefront_post(&address, &again).send().await.expect(201).json();
    assert_eq!(made["security_fix"], true);
    assert_eq!(versions(&registry, &consumer).await, ["1.3.0", "1.1.0", "1.0.0"]);
    let released_at = registry.database.rows("SELECT released_at FROM versions WHERE pretty = '1.3.0'");
    assert_eq!(released_at, [json!({"released_at": START.0})], "it says when it came out all the same");
}

#[tokio::test]
async fn a_mirrored_version_is_its_upstreams_and_no_security_fix_of_a_shop() {
    let registry = TestRegistry::new();
    let upstream = "https://satis.test";
    registry.composer_host.lazy(upstream);
    let version = crate::support::upstream_version(upstream, "vendor/lib", "1.0.0");
    registry.composer_host.publish(upstream, "vendor/lib", &[version]);
    registry.upstream(upstream).await;
    registry.get_from_new_isolate("/p2/vendor/lib.json").await.expect(200);
    let versions = format!("/versions/package/{}", registry.package_id("vendor/lib"));
    let id = registry.storefront_get(&versions).send().await.expect(200).json()[0]["id"].clone();
    let request = registry.storefront_patch(&format!("/versions/{id}"), &json!({"security_fix": true}));
    request.send().await.expect(409);
}
