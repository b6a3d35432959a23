//! Names of packages, which mean the same in any case, and names of versions, which mean no other version.

use serde_json::{Value, json};

use crate::sources::git::sync::versions;
use crate::support::zips::{text, zip_of};
use crate::support::{ADMIN, TestRegistry, file, manifest};

/// A registry with a package whose composer.json calls it `Acme/Shop_Module`.
async fn misspelled() -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/shop");
    repo.commit(&[file("composer.json", r#"{"name": "acme/shop_module"}"#)]);
    repo.tag("0.9.0");
    repo.commit(&[file("composer.json", r#"{"name": "Acme/Shop_Module", "description": "A shop"}"#)]);
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    (registry, id)
}

#[tokio::test]
async fn a_name_with_upper_case_letters_is_published_in_lower_case_and_told() {
    let (registry, id) = misspelled().await;
    let view = registry.repository_view(&id).await;
    assert_eq!((&view["sync_status"], &view["package"]), (&json!("ok"), &json!("acme/shop_module")));
    let token = registry.reader().await;
    let reply = registry.get("/p2/acme/shop_module.json").basic(&token).composer().send().await.expect(200);
    let names: Vec<Value> = reply.versions("acme/shop_module").iter().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["acme/shop_module", "acme/shop_module"]);
    let refs = registry.get(&format!("/api/repositories/{id}/refs")).bearer(ADMIN).send().await.expect(200).json();
    let remark = json!([{
        "kind": "lower_cased_name",
        "text": "composer.json calls the package Acme/Shop_Module. It is published as acme/shop_module, because Composer \
                 asks for packages in lower case."
    }]);
    let told: Vec<(&Value, &Value)> =
        refs.as_array().expect("a list").iter().map(|one| (&one["ref"], &one["remarks"])).collect();
    let none = json!([]);
    assert_eq!(
        told,
        [
            (&json!("refs/heads/main"), &remark),
            (&json!("refs/tags/1.0.0"), &remark),
            (&json!("refs/tags/0.9.0"), &none)
        ]
    );
}

#[tokio::test]
async fn requests_in_any_case_find_a_package() {
    let (registry, _) = misspelled().await;
    for path in [
        "/p2/Acme/Shop_Module.json",
        "/p2/ACME/SHOP_MODULE~dev.json",
        "/dist/Acme/Shop_Module/1.0.0.zip",
        "/api/packages/Acme/Shop_Module",
        "/api/packages/Acme%2FShop_Module/versions",
        "/api/packages/ACME%2FShop_Module/versions/1.0.0",
        "/list.json?filter=ACME/*",
        "/search.json?q=Shop_Module",
    ] {
        let reply = registry.another_isolate().get(path).bearer(ADMIN).composer().send().await;
        assert_eq!(reply.status, 200, "{path}");
        let found = reply.header("content-type") == "application/zip" || reply.text().contains("acme/shop_module");
        assert!(found, "{path}: {}", reply.text());
    }
    let yanked = registry.post("/api/packages/Acme%2FShop_Module/versions/1.0.0/yank").bearer(ADMIN).send().await;
    assert_eq!(yanked.status, 200);
    let abandoned = json!({"abandoned": "Acme/Next"});
    let reply = registry.patch("/api/packages/ACME%2Fshop_module").bearer(ADMIN).json(&abandoned).send().await;
    assert_eq!(reply.expect(200).json()["replacement"], "acme/next");
    let zips = registry.get("/api/artifacts?package=Acme/Shop_Module").bearer(ADMIN).send().await.expect(200);
    assert_eq!(zips.json().as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn grants_and_patterns_in_any_case_cover_a_package() {
    let (registry, _) = misspelled().await;
    for spec in [
        json!({"description": "a", "grants": [{"package": "Acme/Shop_Module"}]}),
        json!({"description": "b", "grants": [{"pattern": "ACME/*"}]}),
        json!({"description": "c", "allowed_package_prefixes": ["Acme/Shop"]}),
    ] {
        let (_, token) = registry.token(&spec).await;
        let reply = registry.get("/p2/acme/shop_module.json").basic(&token).composer().send().await;
        assert_eq!(reply.status, 200, "{spec}");
        registry.get("/p2/acme/other.json").basic(&token).composer().send().await.expect_claim("acme/other");
    }
    let cleanup = json!({"package": "ACME/*", "keep_versions": 1});
    registry.post("/api/artifacts/cleanup").bearer(ADMIN).json(&cleanup).send().await.expect(200);
}

#[tokio::test]
async fn an_upload_may_spell_its_name_in_any_case() {
    let registry = TestRegistry::new();
    let zip = zip_of(&[text("composer.json", r#"{"name": "Acme/Shop_Module"}"#)]);
    let reply = registry.upload("ACME/shop_module", "1.0.0", zip).await.expect(201);
    assert!(reply.text().contains("acme/shop_module"), "{}", reply.text());
    let package = registry.get("/api/packages/Acme/Shop_Module").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(package["name"], "acme/shop_module");
}

#[tokio::test]
async fn branches_that_composer_cannot_tell_apart_are_left_out_and_their_addresses_lead_nowhere() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    for branch in ["feature", "feature@dev", "a|feature", "fix#12", "fix+12", "2.0", "2.0.x", "dev-main"] {
        repo.commit_to(branch, &[manifest("acme/lib"), file("branch.txt", branch)]);
    }
    repo.tag_at("1.0@beta", "refs/heads/fix#12");
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let mut found = versions(&registry, &token, "acme/lib").await;
    found.sort();
    assert_eq!(found, ["1.0@beta", "2.0.x-dev", "dev-dev-main", "dev-feature", "dev-fix+12", "dev-main"]);
    let skipped = registry.skipped();
    let reason = |name: &str| {
        let found = skipped.iter().find(|(skipped, _)| skipped == name);
        found.map_or_else(|| panic!("{name} is not skipped"), |(_, reason)| reason.as_str())
    };
    assert_eq!(
        reason("refs/heads/feature@dev"),
        "branch \"feature@dev\" cannot be required by that name: as a requirement, dev-feature@dev means \"== \
         dev-feature\"; choose another name"
    );
    assert!(reason("refs/heads/a|feature").contains("cannot be required by that name"));
    assert_eq!(reason("refs/heads/fix+12"), "refs/heads/fix#12 is the same version and comes first");
    assert_eq!(reason("refs/heads/2.0.x"), "refs/heads/2.0 is the same version and comes first");

    let feature = repo.id("refs/heads/feature");
    for version in ["dev-feature@dev", "dev-feature@stable", "1.0@stable", "1.0@dev"] {
        for path in [format!("/dist/acme/lib/{version}.zip"), format!("/dist/acme/lib/{version}/{feature}.zip")] {
            registry.get(&path).basic(&token).send().await.expect(404);
        }
        registry.get(&format!("/api/packages/acme%2Flib/versions/{version}")).bearer(ADMIN).send().await.expect(404);
        let yank = format!("/api/packages/acme%2Flib/versions/{version}/yank");
        registry.post(&yank).bearer(ADMIN).send().await.expect(404);
    }
    for version in ["dev-feature", "dev-fix+12", "dev-fix%2B12", "1.0@beta", "1.0.0", "2.0.x-dev"] {
        registry.get(&format!("/dist/acme/lib/{version}.zip")).basic(&token).send().await.expect(200);
    }
    for version in ["dev-feature@dev", "1.0@beta", "dev-main%23abc"] {
        let zip = zip_of(&[text("composer.json", r#"{"name": "acme/other"}"#)]);
        assert_eq!(registry.upload("acme/other", version, zip).await.status, 400, "{version}");
    }
}
