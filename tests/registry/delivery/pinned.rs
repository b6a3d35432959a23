//! Branches that are pinned to a commit: `composer require acme/lib:dev-main#{commit}`.

use serde_json::json;

use super::dist::listing;
use crate::support::{HostFault, TestRegistry, file, manifest};

/// A registry with a `main` of three commits, a tag 2.0.0 at the second, and a `feature` that `main` does not lead to; and
/// the ids of main's commits and of feature's first.
async fn with_history() -> (TestRegistry, [String; 3], String) {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let first = repo.id("main");
    let second = repo.commit(&[manifest("acme/lib"), file("second.php", "<?php")]);
    repo.tag("2.0.0");
    let third = repo.commit(&[manifest("acme/lib"), file("third.php", "<?php")]);
    let feature = repo.commit_to("feature", &[manifest("acme/lib"), file("feature.php", "<?php")]);
    repo.commit_to("feature", &[manifest("acme/lib"), file("feature.php", "<?php // more")]);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    (registry, [first, second, third], feature)
}

async fn reader_of(registry: &TestRegistry, constraint: &str) -> String {
    let spec = json!({
        "description": "limited",
        "grants": [{"package": "acme/lib", "constraint": constraint}]
    });
    registry.token(&spec).await.1
}

#[tokio::test]
async fn the_address_of_a_branch_has_a_place_for_the_commit_and_no_checksum() {
    let (registry, [_, _, head], _) = with_history().await;
    let token = registry.reader().await;
    let document = registry.get("/p2/acme/lib~dev.json").basic(&token).composer().send().await.expect(200);
    let versions = document.versions("acme/lib");
    let main = versions.iter().find(|version| version["version"] == "dev-main").expect("the branch");
    let url = "https://registry.test/dist/acme/lib/dev-main/%reference%.zip";
    assert_eq!(main["dist"], json!({"type": "zip", "url": url, "reference": head, "shasum": ""}));
    let tags = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(tags.versions("acme/lib")[0]["dist"]["shasum"].as_str().map(str::len), Some(40));
    let unfilled = registry.get("/dist/acme/lib/dev-main/%reference%.zip").basic(&token).send().await.expect(200);
    assert!(listing(&unfilled.body).contains_key("third.php"), "the branch as it is");
}

#[tokio::test]
async fn a_commit_that_a_branch_is_pinned_to_is_built_and_kept() {
    let (registry, [first, ..], _) = with_history().await;
    let token = registry.reader().await;
    let path = format!("/dist/acme/lib/dev-main/{first}.zip");
    let zip = registry.get(&path).basic(&token).composer().send().await.expect(200);
    assert_eq!(listing(&zip.body).keys().collect::<Vec<_>>(), ["composer.json", "src/Lib.php"]);
    registry.git_host.inject_fault(HostFault::Unreachable);
    assert_eq!(registry.get(&path).basic(&token).composer().send().await.expect(200).body, zip.body);
}

#[tokio::test]
async fn a_commit_that_the_server_does_not_have_is_a_404_that_says_so() {
    let (registry, ..) = with_history().await;
    let token = registry.reader().await;
    let unknown = "1".repeat(40);
    let path = format!("/dist/acme/lib/dev-main/{unknown}.zip");
    let reply = registry.get(&path).basic(&token).composer().send().await.expect(404);
    let words = format!("The git server git.test does not have commit {unknown} (any more), so dev-main has none.");
    assert_eq!(reply.json()["warning"], words);
    // A tag is its own commit and no other.
    let reply = registry.get(&format!("/dist/acme/lib/2.0.0/{unknown}.zip")).basic(&token).send().await.expect(404);
    assert_eq!(reply.json()["error"], "Package acme/lib has no such version.");
    assert_eq!(registry.database.rows("SELECT id FROM dists WHERE pinned IS NOT NULL"), [] as [serde_json::Value; 0]);
}

#[tokio::test]
async fn a_pinned_commit_is_for_those_who_see_the_branch_and_leads_to_nothing_that_is_kept_from_them() {
    let (registry, [first, second, third], feature) = with_history().await;
    let (all, main_only, tags_only) =
        (registry.reader().await, reader_of(&registry, "dev-main").await, reader_of(&registry, "^2").await);
    let absent = "Package acme/lib has no such version.";
    let get = async |token: &str, version: &str, commit: &str| {
        let path = format!("/dist/acme/lib/{version}/{commit}.zip");
        registry.get(&path).basic(token).send().await
    };
    // Twice: as it is found out first, and as it is known then.
    for _ in 0..2 {
        get(&all, "dev-main", &first).await.expect(200);
        get(&main_only, "dev-main", &first).await.expect(200);
        get(&main_only, "dev-main", &third).await.expect(200);
        // Who sees all versions has what any ref leads to; who sees some, only what the branch leads to.
        get(&all, "dev-main", &feature).await.expect(200);
        get(&main_only, "dev-main", &feature).await.expect(404);
        // The commit of a release that is not visible is not to be had by its id; of one that is, it is.
        get(&all, "dev-main", &second).await.expect(200);
        assert_eq!(get(&main_only, "dev-main", &second).await.expect(404).json()["error"], absent);
        // Who does not see the branch has none of its commits.
        for commit in [&first, &third, &feature] {
            let denied = "This credential has no permission for version dev-main of acme/lib: it has one for `^2`.";
            assert_eq!(get(&tags_only, "dev-main", commit).await.expect(404).json()["error"], denied);
        }
    }
    registry.database.execute("UPDATE versions SET hidden_at = 1 WHERE ref_name = 'refs/tags/2.0.0'");
    assert_eq!(get(&all, "dev-main", &second).await.expect(404).json()["error"], absent, "it is hidden from all");
}
