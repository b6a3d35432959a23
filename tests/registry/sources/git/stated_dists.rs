//! Versions whose composer.json states a `dist` itself: that is what they are installed from.

use serde_json::{Value, json};

use crate::support::{ADMIN, HostFault, ORIGIN, Repo, Step, TestRegistry, file, sha1_of, zip_of};

const HOST: &str = "https://zips.test";

/// A repository whose composer.json states this `dist`, with a tag.
async fn published(registry: &TestRegistry, dist: &Value) -> (Repo, String) {
    let repo = registry.git_host.serve("acme/lib");
    let manifest = json!({"name": "acme/lib", "dist": dist});
    repo.commit(&[file("composer.json", manifest.to_string()), file("src/Lib.php", "<?php\n")]);
    repo.tag("v1.2.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    (repo, id)
}

async fn entry(registry: &TestRegistry) -> Value {
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).versions("acme/lib").remove(0)
}

/// The kinds and texts of what is said of the tag.
async fn remarks(registry: &TestRegistry) -> Vec<(String, String)> {
    let path = "/api/packages/acme%2Flib/versions/v1.2.0";
    let version = registry.get(path).bearer(ADMIN).send().await.expect(200).json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let all = version["remarks"].as_array().expect("a list");
    all.iter().map(|remark| (text(&remark["kind"]), text(&remark["text"]))).collect()
}

#[tokio::test]
async fn a_stated_dist_is_mirrored_with_its_placeholders_filled_in() {
    let registry = TestRegistry::new();
    let zip = zip_of(b"built");
    registry.composer_host.put(&format!("{HOST}/wp-v1.2.0.zip"), zip.clone());
    let (repo, id) =
        published(&registry, &json!({"type": "zip", "url": format!("{HOST}/wp-%prettyVersion%.zip")})).await;
    let reference = repo.id("main");
    let url = format!("{ORIGIN}/dist/acme/lib/v1.2.0/{reference}.zip");
    let dist = |shasum: &str| json!({"type": "zip", "url": url, "reference": reference, "shasum": shasum});
    assert_eq!(entry(&registry).await["dist"], dist(""));
    assert_eq!(registry.composer_host.take_urls(), [""; 0], "it is fetched when it is asked for");
    registry.git_host.take_steps();
    let path = format!("/dist/acme/lib/v1.2.0/{reference}.zip");
    assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, zip);
    assert_eq!(registry.composer_host.take_urls(), [format!("{HOST}/wp-v1.2.0.zip")]);
    registry.run_until_idle().await;
    assert_eq!(entry(&registry).await["dist"], dist(&sha1_of(&zip)));
    registry.composer_host.remove(&format!("{HOST}/wp-v1.2.0.zip"));
    assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, zip, "it is kept");
    registry.sync(&id).await;
    assert!(!registry.git_host.take_steps().contains(&Step::Fetch), "no zip is built of its files");
    assert_eq!(remarks(&registry).await, []);
}

#[tokio::test]
async fn a_stated_shasum_is_kept_and_checked() {
    let registry = TestRegistry::new();
    let zip = zip_of(b"built");
    let address = format!("{HOST}/lib.zip");
    let stated = json!({"type": "zip", "url": address, "shasum": sha1_of(&zip), "reference": "r1"});
    let (repo, _) = published(&registry, &stated).await;
    assert_eq!(entry(&registry).await["dist"]["shasum"], sha1_of(&zip));
    let path = format!("/dist/acme/lib/v1.2.0/{}.zip", repo.id("main"));
    registry.composer_host.put(&address, zip_of(b"another"));
    registry.get_from_new_isolate(&path).await.expect(502);
    let [(kind, text)] = &remarks(&registry).await[..] else { panic!("one remark") };
    assert_eq!(kind, "unreachable_dist");
    assert!(text.contains("promises") && text.contains(&sha1_of(&zip)), "{text}");
    registry.composer_host.put(&address, zip.clone());
    assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, zip);
    assert_eq!(remarks(&registry).await, [], "it can be had now");
}

#[tokio::test]
async fn a_stated_dist_that_cannot_be_reached_is_told_on_the_ref_and_asked_for_again() {
    let registry = TestRegistry::new();
    let (repo, id) = published(&registry, &json!({"type": "zip", "url": format!("{HOST}/lib.zip")})).await;
    let path = format!("/dist/acme/lib/v1.2.0/{}.zip", repo.id("main"));
    registry.get_from_new_isolate(&path).await.expect(502);
    let refs = registry.get(&format!("/api/repositories/{id}/refs")).bearer(ADMIN).send().await.expect(200).json();
    let tag = refs.as_array().expect("a list").iter().find(|one| one["ref"] == "refs/tags/v1.2.0").expect("the tag");
    assert_eq!(tag["remarks"][0]["kind"], "unreachable_dist");
    registry.composer_host.inject_fault("lib.zip", HostFault::Unreachable);
    registry.get_from_new_isolate(&path).await.expect(502);
    registry.composer_host.recover();
    registry.composer_host.put(&format!("{HOST}/lib.zip"), zip_of(b"built"));
    registry.get_from_new_isolate(&path).await.expect(200);
    assert_eq!(remarks(&registry).await, []);
}

#[tokio::test]
async fn a_stated_dist_that_cannot_be_mirrored_is_told_and_the_files_take_its_place() {
    let registry = TestRegistry::new();
    let (repo, _) = published(&registry, &json!({"type": "zip", "url": "ssh://zips.test/lib.zip"})).await;
    let [(kind, text)] = &remarks(&registry).await[..] else { panic!("one remark") };
    assert_eq!(kind, "unusable_dist");
    assert!(text.contains("the address of its archive does not start with https://"), "{text}");
    let path = format!("/dist/acme/lib/v1.2.0/{}.zip", repo.id("main"));
    let zip = registry.get_from_new_isolate(&path).await.expect(200);
    assert!(crate::delivery::dist::listing(&zip.body).keys().any(|name| name.ends_with("src/Lib.php")));
    assert_eq!(registry.composer_host.take_urls(), [""; 0]);
}
