//! Servers that know no version 2 of git's protocol.

use serde_json::json;

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, HostFault, Protocol, Repo, Step, TestRegistry, file, manifest};

/// A repository with tags of both kinds and a second branch, at a server of that version.
fn served(registry: &TestRegistry, protocol: Protocol) -> Repo {
    let repo = registry.repository("acme/lib");
    repo.commit(&[manifest("acme/lib"), file("src/Lib.php", "<?php // 1.0"), file("README.md", "# Acme")]);
    repo.annotated_tag("v1.0.0");
    repo.commit(&[manifest("acme/lib"), file("src/Lib.php", "<?php // 1.1"), file("README.md", "# Acme")]);
    repo.tag("v1.1.0");
    repo.branch("feature");
    repo.commit(&[manifest("acme/lib"), file("src/Lib.php", "<?php // 2"), file("README.md", "# Acme")]);
    registry.git_host.speak(&repo, protocol);
    repo
}

async fn zip(registry: &TestRegistry, token: &str, version: &str) -> Vec<u8> {
    let reply = registry.get(&format!("/dist/acme/lib/{version}.zip")).basic(token).send().await.expect(200);
    reply.body.to_vec()
}

/// What the server refuses an object with, as `JGit` says it.
fn refusal(object: &str) -> HostFault {
    let words = format!("ERR want {object} not valid");
    HostFault::Says(format!("{:04x}{words}", words.len() + 4).into_bytes())
}

#[tokio::test]
async fn a_server_of_an_older_version_gives_the_versions_and_the_zips_of_a_new_one() {
    let modern = TestRegistry::new();
    let repo = served(&modern, Protocol::V2);
    modern.register(&repo).await;
    modern.run_until_idle().await;
    let reader = modern.reader().await;
    let names = versions(&modern, &reader, "acme/lib").await;
    assert_eq!(names, ["v1.1.0", "v1.0.0", "dev-feature", "dev-main"]);
    for protocol in [Protocol::V0, Protocol::V1] {
        let registry = TestRegistry::new();
        let repo = served(&registry, protocol);
        let id = registry.register(&repo).await;
        assert_eq!(registry.git_host.take_steps(), []);
        registry.run_until_idle().await;
        let sync_and_zips = [Step::Capabilities, Step::Fetch, Step::Fetch];
        assert_eq!(registry.git_host.take_steps(), sync_and_zips, "{protocol:?}: the refs cost no request");
        let token = registry.reader().await;
        assert_eq!(versions(&registry, &token, "acme/lib").await, names);
        for version in &names {
            assert_eq!(zip(&registry, &token, version).await, zip(&modern, &reader, version).await, "{version}");
        }
        registry.git_host.take_steps();
        assert_eq!(registry.sync(&id).await["sync_status"], "ok");
        assert_eq!(registry.git_host.take_steps(), [Step::Capabilities], "nothing is new");
        repo.tag("v2.0.0");
        registry.sync(&id).await;
        assert_eq!(versions(&registry, &token, "acme/lib").await.len(), names.len() + 1);
    }
}

#[tokio::test]
async fn parts_of_commits_are_asked_for_where_an_older_version_offers_them() {
    for offers in [true, false] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/all");
        repo.commit(&[
            manifest("acme/all"),
            file("api/composer.json", r#"{"name": "acme/lib"}"#),
            file("big", noise()),
        ]);
        repo.tag("v1.0.0");
        registry.git_host.speak(&repo, Protocol::V0);
        if offers {
            registry.git_host.offer_any_object(&repo);
        }
        registry.register_as(json!({"url": repo.url, "path": "api"})).await;
        registry.run_until_idle().await;
        let answered: usize = registry.git_host.take_requests().iter().map(|request| request.answered).sum();
        assert_eq!(answered < NOISE, offers, "{answered}");
        let token = registry.reader().await;
        assert_eq!(versions(&registry, &token, "acme/lib").await, ["v1.0.0", "dev-main"]);
        assert!(zip(&registry, &token, "1.0.0").await.len() < NOISE);
    }
}

const NOISE: usize = 100_000;

fn noise() -> Vec<u8> {
    crate::support::noise(NOISE)
}

#[tokio::test]
async fn many_refs_of_an_older_version_are_fetched_in_batches() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 40);
    registry.git_host.speak(&repo, Protocol::V0);
    let id = registry.register(&repo).await;
    registry.sync(&id).await;
    let fetched = registry.git_host.take_steps().into_iter().filter(|step| *step == Step::Fetch).count();
    assert!(fetched >= 3, "16 commits each: {fetched}");
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await.len(), 41);
}

#[tokio::test]
async fn a_server_that_changes_its_version_is_followed() {
    let registry = TestRegistry::new();
    let repo = served(&registry, Protocol::V0);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let stored = || {
        let text = "SELECT json_type(capabilities, '$.version_0') AS version_0 FROM repositories";
        registry.database.rows(text)
    };
    assert_eq!(stored(), [json!({"version_0": "object"})]);
    registry.git_host.speak(&repo, Protocol::V2);
    // What is stored says version 0, which the server still speaks when it is not asked for another.
    zip(&registry, &token, "dev-feature").await;
    for (protocol, kept, tag) in [(Protocol::V2, "null", "v3.0.0"), (Protocol::V1, "object", "v4.0.0")] {
        registry.git_host.speak(&repo, protocol);
        repo.commit(&[manifest("acme/lib"), file("new.php", tag)]);
        repo.tag(tag);
        assert_eq!(registry.sync(&id).await["sync_status"], "ok", "{protocol:?}");
        assert_eq!(stored(), [json!({"version_0": kept})]);
        assert!(versions(&registry, &token, "acme/lib").await.contains(&tag.to_owned()));
        zip(&registry, &token, tag).await;
    }
}

#[tokio::test]
async fn a_server_that_sends_nothing_but_tips_is_asked_for_the_tag_of_a_commit() {
    let registry = TestRegistry::new();
    let repo = served(&registry, Protocol::V0);
    let commit = repo.id("v1.0.0^{commit}");
    registry.git_host.inject_fault_once_at(Step::Fetch, 2, refusal(&commit));
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let (sync, zips) = ([Step::Capabilities, Step::Fetch], [Step::Fetch, Step::Capabilities, Step::Fetch]);
    let steps = registry.git_host.take_steps();
    assert_eq!(steps, [&sync[..], &zips].concat(), "for zips: the commits, which tags there are, their tags");
    let token = registry.reader().await;
    zip(&registry, &token, "1.0.0").await;
    assert_eq!(registry.git_host.take_steps(), [], "it is built");
}

#[tokio::test]
async fn a_commit_that_a_server_of_an_older_version_does_not_send_any_more_is_told_as_such() {
    let registry = TestRegistry::new();
    let repo = served(&registry, Protocol::V0);
    let feature = repo.id("feature");
    let lost = repo.commit_to("feature", &[manifest("acme/lib"), file("src/Lib.php", "<?php // lost")]);
    let id = registry.register(&repo).await;
    registry.sync(&id).await;
    repo.delete("refs/heads/feature");
    repo.commit_to("feature", &[manifest("acme/lib"), file("new.php", "<?php")]);
    let token = registry.reader().await;
    let path = format!("/dist/acme/lib/dev-feature/{lost}.zip");
    let reply = registry.get(&path).basic(&token).send().await.expect(404);
    let expected = format!(
        "Commit {lost} cannot be had: no branch or tag points to it (any more), the git server git.test does not send it \
         (upload-pack: not our ref {lost}), and it was never zipped here. Update the package to a commit that is there."
    );
    assert_eq!(reply.json()["error"], expected);
    // Pinned: it was never published, and is in no history.
    let unknown = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
    let reply = registry.get(&format!("/dist/acme/lib/dev-main/{unknown}.zip")).basic(&token).send().await.expect(404);
    let expected = format!(
        "The git server git.test does not send commit {unknown}, which no branch or tag points to, so it cannot be pinned \
         to dev-main."
    );
    assert_eq!(reply.json()["error"], expected);
    // git itself sends what is in the history of a branch, though it does not offer that.
    let older = repo.id("main~1");
    assert_eq!(older, feature);
    registry.get(&format!("/dist/acme/lib/dev-main/{older}.zip")).basic(&token).send().await.expect(200);
}

#[tokio::test]
async fn an_empty_repository_of_an_older_version_says_that_it_is_empty() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/empty");
    registry.git_host.speak(&repo, Protocol::V0);
    let id = registry.register(&repo).await;
    let view = registry.sync(&id).await;
    assert_eq!(
        (&view["sync_status"], &view["error"]),
        (&json!("failed"), &json!("the repository has no branches and no tags yet"))
    );
}

#[tokio::test]
async fn a_repository_of_an_older_version_is_verified() {
    let registry = TestRegistry::new();
    let repo = served(&registry, Protocol::V1);
    let id = registry.register(&repo).await;
    let path = format!("/api/repositories/{id}/verify");
    let reply = registry.post(&path).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!((&reply["default_branch"], &reply["branches"], &reply["tags"]), (&json!("main"), &json!(2), &json!(2)));
}

#[tokio::test]
async fn the_packages_of_a_monorepo_are_found_whatever_an_older_version_offers() {
    for offers in [true, false] {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/mono");
        let part =
            |name: &str| file(&format!("packages/{name}/composer.json"), format!(r#"{{"name": "acme/{name}"}}"#));
        repo.commit(&[part("api"), part("web"), file("big", noise())]);
        registry.git_host.speak(&repo, Protocol::V0);
        if offers {
            registry.git_host.offer_any_object(&repo);
        }
        let spec = json!({"url": repo.url, "path": "packages/*"});
        let reply = registry.post("/api/repositories/monorepo").bearer(ADMIN).json(&spec).send().await.expect(200);
        assert_eq!(reply.json()["repositories"].as_array().map(Vec::len), Some(2), "{}", reply.text());
        let answered: usize = registry.git_host.take_requests().iter().map(|request| request.answered).sum();
        assert_eq!(answered < NOISE, offers, "{answered}");
    }
}
