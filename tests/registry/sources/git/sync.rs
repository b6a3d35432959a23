//! Syncing a repository: what its refs become, what each further sync costs, and what survives.

use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, Repo, START, Step, TestRegistry, file, manifest};

pub async fn versions(registry: &TestRegistry, token: &str, name: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in ["", "~dev"] {
        let reply = registry.get(&format!("/p2/{name}{part}.json")).basic(token).composer().send().await.expect(200);
        names.extend(reply.version_names(name));
    }
    names
}

async fn entry(registry: &TestRegistry, token: &str, name: &str, version: &str) -> Value {
    for part in ["", "~dev"] {
        let reply = registry.get(&format!("/p2/{name}{part}.json")).basic(token).composer().send().await.expect(200);
        if let Some(entry) = reply.versions(name).into_iter().find(|entry| entry["version"] == version) {
            return entry;
        }
    }
    panic!("{name} has no {version}")
}

/// `(added, changed, removed)` of the last run.
fn counts(registry: &TestRegistry) -> (i64, i64, i64) {
    let run = registry.last_run();
    let number = |key: &str| run[key].as_i64().expect("a number");
    (number("added"), number("changed"), number("removed"))
}

#[tokio::test]
async fn a_registered_repository_is_pending_until_its_sync_and_then_ok() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    let reply =
        registry.post("/api/repositories").bearer(ADMIN).json(&json!({"url": repo.url})).send().await.expect(201);
    let id = reply.id();
    let mut expected = json!({
        "id": id, "url": "https://git.test/acme/lib.git", "kind": "git", "vcs_type": "git", "provider": "git",
        "credential_type": "none", "host_credentials": [], "path": null, "tag_prefix": null, "tag_filter": null,
        "branch_filter": null, "package_filter": null, "source_protocol": "https", "lfs": false, "package": null,
        "sync_status": "pending",
        "last_synced_at": null, "error": null, "remarks": 0, "last_remark_at": null, "created_at": START.seconds(),
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(registry.repository_view(&id).await, expected);
    registry.advance_seconds(10);
    registry.run_until_idle().await;
    expected["sync_status"] = json!("ok");
    expected["package"] = json!("acme/lib");
    expected["last_synced_at"] = json!(START.seconds() + 10);
    assert_eq!(registry.repository_view(&id).await, expected);
    let listed = registry.get("/api/repositories").bearer(ADMIN).send().await.expect(200);
    assert_eq!((listed.json(), listed.header("x-total-count")), (json!([expected]), "1"));
    let run = registry.last_run();
    assert_eq!(run["outcome"], "ok");
    assert_eq!(run["requests"], 3);
    assert!(run["received_bytes"].as_i64().is_some_and(|bytes| bytes > 100));
    assert_eq!(counts(&registry), (2, 0, 0));
    let due_in = run["next_due_at"].as_i64().expect("due") - START.0 - 10_000;
    assert!((450_000..=600_000).contains(&due_in), "after its interval, or somewhat earlier: {due_in}");
}

#[tokio::test]
async fn tags_and_branches_become_the_versions_that_composer_would_make_of_them() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    for tag in ["v1.0.0", "release-1.1", "1.2.0-beta1", "2.0"] {
        repo.tag(tag);
    }
    let annotated = repo.annotated_tag("v3.0.0");
    for branch in ["1.x", "2.5", "feature/ä+b", "v4"] {
        repo.branch(branch);
    }
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    let expected = [
        "v3.0.0",
        "2.0",
        "1.2.0-beta1",
        "1.1",
        "v1.0.0",
        "v4.x-dev",
        "2.5.x-dev",
        "1.x-dev",
        "dev-main",
        "dev-feature/ä+b",
    ];
    let mut found = versions(&registry, &token, "acme/lib").await;
    let mut expected: Vec<String> = expected.map(str::to_owned).to_vec();
    assert_eq!(found[..5], expected[..5]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let of_annotated = entry(&registry, &token, "acme/lib", "v3.0.0").await;
    assert_eq!(of_annotated["source"]["reference"], annotated);
    assert!(of_annotated.get("default-branch").is_none());
    assert_eq!(entry(&registry, &token, "acme/lib", "dev-main").await["default-branch"], true);
    assert!(entry(&registry, &token, "acme/lib", "1.x-dev").await.get("default-branch").is_none());
    assert_eq!(
        entry(&registry, &token, "acme/lib", "1.x-dev").await["version_normalized"],
        "1.9999999.9999999.9999999-dev"
    );
    assert_eq!(registry.skipped(), []);
}

#[tokio::test]
async fn refs_that_become_no_version_are_left_out_with_their_reason() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[file("composer.json", r#"{"name":"acme/lib","version":"1.0.0"}"#)]);
    for tag in ["1.0.0", "v1.0.0", "1.1.0", "nonsense", "2.0.0-dev"] {
        repo.tag(tag);
    }
    repo.commit(&[file("README.md", "nothing else")]);
    repo.tag("3.0.0");
    repo.commit(&[manifest("acme/lib")]);
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["1.0.0", "dev-main"]);
    let skipped = registry.skipped();
    let reasons: Vec<(&str, &str)> = skipped.iter().map(|(name, reason)| (name.as_str(), reason.as_str())).collect();
    assert_eq!(
        reasons,
        [
            (
                "refs/tags/1.1.0",
                "tag \"1.1.0\" is version 1.1.0.0 but its composer.json says 1.0.0.0; remove \"version\" from \
                 composer.json and tag again"
            ),
            ("refs/tags/2.0.0-dev", "tag \"2.0.0-dev\" has a dev prefix or suffix, which only branches may have"),
            ("refs/tags/3.0.0", "it has no composer.json"),
            (
                "refs/tags/nonsense",
                "tag \"nonsense\" is not a version: invalid version string \"nonsense\"; a version looks \
             like 1.2.3, v1.2.3-beta1 or dev-main"
            ),
            ("refs/tags/v1.0.0", "refs/tags/1.0.0 is the same version and comes first"),
        ]
    );
    let kept =
        registry.database.rows("SELECT name, reason FROM repository_refs WHERE reason IS NOT NULL ORDER BY name");
    assert_eq!(kept.len(), 5);
}

#[tokio::test]
async fn a_sync_that_finds_nothing_new_is_one_request_and_two_round_trips() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
    let before = registry.database.rows("SELECT * FROM packages, organizations");
    registry.git_host.take_requests();
    while let Some(work) = registry.tasks.next_background() {
        work.await;
    }
    let ((), calls) = registry.counted(registry.run_until_idle()).await;
    assert_eq!(calls, Calls { round_trips: 2, statements: 3, upstream: 1, ..Calls::default() });
    assert_eq!(registry.git_host.take_steps(), [Step::Refs]);
    assert_eq!(registry.database.rows("SELECT * FROM packages, organizations"), before);
    assert_eq!((counts(&registry), registry.last_run()["outcome"].clone()), ((0, 0, 0), json!("ok")));
}

#[tokio::test]
async fn new_moved_and_deleted_refs_are_followed_and_only_what_is_new_is_fetched() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    repo.branch("feature");
    registry.sync(&id).await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["1.1.0", "1.0.0", "dev-feature", "dev-main"]);
    assert_eq!(counts(&registry), (1, 0, 0));
    let old = repo.id("main");

    let new = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    repo.tag("1.1.0");
    repo.tag("1.2.0");
    repo.delete("refs/tags/1.0.0");
    repo.delete("refs/heads/feature");
    registry.git_host.take_requests();
    registry.sync(&id).await;
    // The second fetch is the eager build of two archives of one commit.
    assert_eq!(registry.git_host.take_steps(), [Step::Refs, Step::Fetch, Step::Fetch]);
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["1.2.0", "1.1.0", "dev-main"]);
    assert_eq!(counts(&registry), (1, 2, 2));
    for version in ["1.2.0", "1.1.0", "dev-main"] {
        let entry = entry(&registry, &token, "acme/lib", version).await;
        assert_eq!((&entry["source"]["reference"], &entry["dist"]["reference"]), (&json!(new), &json!(new)));
    }

    repo.delete("refs/tags/1.2.0");
    registry.git_host.take_requests();
    registry.sync(&id).await;
    assert_eq!(registry.git_host.take_steps(), [Step::Refs], "nothing has to be fetched to remove a version");
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["1.1.0", "dev-main"]);

    repo.tag_at("1.0.0", &old);
    registry.sync(&id).await;
    assert_eq!(
        versions(&registry, &token, "acme/lib").await,
        ["1.1.0", "1.0.0", "dev-main"],
        "a version can come back"
    );
    let shasum = entry(&registry, &token, "acme/lib", "1.0.0").await["dist"]["shasum"].clone();
    assert_eq!(shasum.as_str().map(str::len), Some(40), "its zip was built long ago");
}

#[tokio::test]
async fn a_reference_that_was_served_stays_downloadable_when_its_branch_moves_or_its_tag_goes() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let old = repo.id("main");
    let path = |version: &str, reference: &str| format!("/dist/acme/lib/{version}/{reference}.zip");
    let branch = registry.get(&path("dev-main", &old)).basic(&token).send().await.expect(200);
    let tag = registry.get(&path("1.0.0", &old)).basic(&token).send().await.expect(200);
    repo.delete("refs/tags/1.0.0");
    let new = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["dev-main"]);
    let again = registry.get(&path("dev-main", &old)).basic(&token).send().await.expect(200);
    assert_eq!(again.body, branch.body);
    let moved = registry.get(&path("dev-main", &new)).basic(&token).send().await.expect(200);
    assert_ne!(moved.body, branch.body);
    let again = registry.get(&path("1.0.0", &old)).basic(&token).send().await.expect(200);
    assert_eq!(again.body, tag.body);
    registry.get(&path("1.0.0", &new)).basic(&token).send().await.expect(404);
}

#[tokio::test]
async fn refs_name_the_package_themselves_when_the_default_branch_does_not() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("1.0.0");
    repo.commit(&[manifest("acme/lib"), file("a.php", "<?php")]);
    repo.tag("2.0.0");
    repo.commit(&[manifest("acme/other")]);
    repo.tag("3.0.0");
    repo.commit(&[file("composer.json", "{}")]);
    repo.tag("4.0.0");
    repo.commit(&[file("README.md", "Moved to the tags.")]);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    let view = registry.repository_view(&id).await;
    assert_eq!((&view["sync_status"], &view["package"]), (&json!("ok"), &json!("acme/lib")));
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.0.0", "1.0.0"]);
    let skipped = registry.skipped();
    let reason = |name: &str| &skipped.iter().find(|(skipped, _)| skipped == name).expect("skipped").1;
    assert!(reason("refs/tags/3.0.0").contains("names the package acme/other, and the repository publishes acme/lib"));
    assert_eq!(reason("refs/heads/main"), "it has no composer.json");
    assert!(skipped.iter().any(|(name, _)| name == "refs/tags/4.0.0"));

    // What is published keeps its name, and what was skipped for its own comes once the default branch names it.
    repo.tag_at("2.1.0", "refs/tags/2.0.0");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.1.0", "2.0.0", "1.0.0"]);
    repo.commit(&[manifest("acme/lib")]);
    registry.sync(&id).await;
    assert_eq!(
        versions(&registry, &token, "acme/lib").await,
        ["4.0.0", "3.0.0", "2.1.0", "2.0.0", "1.0.0", "dev-main"]
    );

    let nameless = registry.git_host.serve("acme/nameless");
    nameless.commit(&[file("README.md", "Nothing")]);
    nameless.tag("1.0.0");
    let id = registry.register(&nameless).await;
    registry.run_until_idle().await;
    let error = registry.repository_view(&id).await["error"].as_str().expect("an error").to_owned();
    assert!(
        error.starts_with("nothing tells the package's name: of the default branch `main`, it has no composer.json")
    );
}

#[tokio::test]
async fn a_name_that_another_repository_publishes_is_refused_and_nothing_of_it_changes() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let before = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    let impostor = registry.git_host.serve("evil/fork");
    impostor.commit(&[manifest("acme/lib"), file("evil.php", "<?php")]);
    impostor.tag("9.0.0");
    let id = registry.register(&impostor).await;
    registry.run_until_idle().await;
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_eq!(
        view["error"],
        "the package acme/lib is published by another repository already; remove that one first, or delete the package if it was renamed there"
    );
    assert_eq!(view["package"], json!(null));
    let after = registry.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&before).send().await;
    assert_eq!(after.status, 304);
    let versions = registry.database.rows("SELECT count(*) AS n FROM versions");
    assert_eq!(versions, [json!({"n": 2})]);
}

#[tokio::test]
async fn several_packages_come_from_the_directories_of_one_repository() {
    let registry = TestRegistry::new();
    for filters in [true, false] {
        let name = if filters { "with" } else { "without" };
        let mono = registry.git_host.serve(&format!("acme/mono-{name}"));
        if !filters {
            registry.git_host.forbid_filters(&mono);
        }
        let (a, b) = (format!("{name}/a"), format!("{name}/b"));
        let package = |name: &str, folder: &str| {
            let json = format!(r#"{{"name":"{name}"}}"#);
            [file(&format!("{folder}/composer.json"), json), file(&format!("{folder}/src/X.php"), folder)]
        };
        mono.commit(&[&package(&a, "packages/a")[..], &package(&b, "b")[..], &[manifest("acme/root")]].concat());
        mono.tag("1.0.0");
        for path in ["/packages/a/", "b"] {
            registry.register_as(json!({"url": mono.url, "path": path})).await;
        }
        registry.run_until_idle().await;
        let token = registry.reader().await;
        for (name, content) in [(&a, "packages/a"), (&b, "b")] {
            assert_eq!(versions(&registry, &token, name).await, ["1.0.0", "dev-main"]);
            let shown = entry(&registry, &token, name, "1.0.0").await;
            assert_eq!(shown.get("source"), None, "a checkout would be of the whole repository");
            assert_eq!(shown["dist"]["reference"], json!(mono.id("main")));
            let zip = registry.get(&format!("/dist/{name}/1.0.0.zip")).basic(&token).send().await.expect(200);
            let listing = crate::delivery::dist::listing(&zip.body);
            assert_eq!(listing.keys().collect::<Vec<_>>(), ["composer.json", "src/X.php"]);
            assert_eq!(listing["src/X.php"].1, content.as_bytes());
        }
    }
    let missing = registry.repository("acme/none");
    let id = registry.register_as(json!({"url": missing.url, "path": "not/there"})).await;
    registry.run_until_idle().await;
    let error = "nothing tells the package's name: of the default branch `main`, it has no directory not/there, and no \
                 other branch or tag has a composer.json with a name; add one to the default branch, or set `path` to \
                 the package's directory";
    assert_eq!(registry.repository_view(&id).await["error"], error);
}

#[tokio::test]
async fn the_packages_of_a_monorepo_have_tags_of_their_own_by_their_prefix() {
    let registry = TestRegistry::new();
    let mono = registry.git_host.serve("acme/mono");
    let [api, web] = ["api", "web"]
        .map(|name| file(&format!("packages/{name}/composer.json"), format!(r#"{{"name":"acme/{name}"}}"#)));
    mono.commit(&[api, web]);
    for tag in ["api-v1.2.3", "api/1.3.0", "packages/web@2.0.0", "3.0.0", "api-vnext"] {
        mono.tag(tag);
    }
    let spec = |path: &str, prefix: &str| json!({"url": mono.url, "path": path, "tag_prefix": prefix});
    let id = registry.register_as(spec("packages/api", "api-v")).await;
    registry.register_as(spec("packages/web", "packages/web@")).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/api").await, ["1.2.3", "dev-main"]);
    assert_eq!(versions(&registry, &token, "acme/web").await, ["2.0.0", "dev-main"]);
    assert_eq!(registry.repository_view(&id).await["tag_prefix"], "api-v");
    let refs = registry.get(&format!("/api/repositories/{id}/refs")).bearer(ADMIN).send().await.expect(200).json();
    let reason = |name: &str| {
        let found = refs.as_array().expect("a list").iter().find(|one| one["ref"] == name).expect("the ref");
        found["reason"].as_str().expect("a reason").to_owned()
    };
    let foreign = "it does not begin with \"api-v\", as the package's tags do (tag_prefix)";
    assert_eq!(["refs/tags/3.0.0", "refs/tags/api/1.3.0", "refs/tags/packages/web@2.0.0"].map(reason), [foreign; 3]);
    assert!(reason("refs/tags/api-vnext").contains("is not a version"));

    let patch = async |change: Value| {
        registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&change).send().await
    };
    patch(json!({"tag_prefix": "api/"})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, &token, "acme/api").await, ["1.3.0", "dev-main"]);
    patch(json!({"tag_prefix": null})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, &token, "acme/api").await, ["3.0.0", "dev-main"]);
    for odd in ["", "a b"] {
        patch(json!({"tag_prefix": odd})).await.expect(400);
    }
    let upstream = json!({"url": "https://repo.test", "kind": "composer", "tag_prefix": "v"});
    registry.post("/api/repositories").bearer(ADMIN).json(&upstream).send().await.expect(400);
}

#[tokio::test]
async fn filters_choose_the_refs_and_the_others_are_recorded() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    for tag in ["1.0.0", "2.0.0", "2.1.0"] {
        repo.tag(tag);
    }
    repo.branch("dev/a");
    repo.branch("1.x");
    registry.register_as(json!({"url": repo.url, "tag_filter": ["2.*"], "branch_filter": ["main", "*.x"]})).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.1.0", "2.0.0", "1.x-dev", "dev-main"]);
    let reason = "no filter of the repository takes it".to_owned();
    assert_eq!(
        registry.skipped(),
        [("refs/tags/1.0.0".to_owned(), reason.clone()), ("refs/heads/dev/a".to_owned(), reason)]
    );
}

#[tokio::test]
async fn a_changed_filter_takes_back_what_the_old_one_left_out() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.tag("2.0.0");
    repo.tag("nonsense");
    let id = registry.register_as(json!({"url": repo.url, "tag_filter": ["2.*", "nonsense"]})).await;
    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.0.0", "dev-main"]);
    registry.database.execute("UPDATE repositories SET tag_filter = '[\"1.*\", \"nonsense\"]'");
    registry.sync(&id).await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["1.0.0", "dev-main"]);
    assert_eq!(counts(&registry), (1, 0, 1));
    let skipped: Vec<String> = registry.skipped().into_iter().map(|(name, _)| name).collect();
    assert_eq!(skipped, ["refs/tags/2.0.0", "refs/tags/nonsense"]);
}

#[tokio::test]
async fn the_default_branch_follows_head() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &[]).await;
    repo.branch("next");
    repo.set_default("next");
    registry.sync(&id).await;
    let token = registry.reader().await;
    assert_eq!(entry(&registry, &token, "acme/lib", "dev-next").await["default-branch"], true);
    assert!(entry(&registry, &token, "acme/lib", "dev-main").await.get("default-branch").is_none());
}

#[tokio::test]
async fn a_removed_repository_takes_its_packages_along_and_a_removal_of_nothing_changes_nothing() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    let revisions = registry.database.rows("SELECT revision, names_revision FROM organizations");
    registry.delete("/api/repositories/nonsense").bearer(ADMIN).send().await.expect(404);
    assert_eq!(registry.database.rows("SELECT revision, names_revision FROM organizations"), revisions);
    let gone = registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(gone.json(), json!({"message": "Repository removed"}));
    registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(404);
    let dist = format!("/dist/acme/lib/1.0.0/{}.zip", repo.id("main"));
    registry.get(&dist).basic(&token).send().await.expect(404);
    registry.get(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(404);
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(404);
    registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(404);
    for table in ["repositories", "sync_runs", "repository_refs", "packages", "versions", "dists", "documents"] {
        let left = registry.database.rows(&format!("SELECT count(*) AS n FROM {table}"));
        assert_eq!(left, [json!({"n": 0})], "{table}");
    }
}

async fn cost_of_first_sync(repo: &Repo, registry: &TestRegistry) -> (Calls, Vec<Step>) {
    registry.register(repo).await;
    registry.git_host.take_requests();
    let sync = registry.tasks.next_job().expect("the first sync");
    let (result, calls) = registry.counted(perform(&registry.isolate.app, sync)).await;
    result.expect("synced");
    registry.tasks.lose_jobs();
    (calls, registry.git_host.take_steps())
}

#[tokio::test]
async fn a_first_sync_of_many_refs_costs_as_much_as_one_of_few() {
    let registry = TestRegistry::new();
    let (few, many) = (registry.repository("acme/few"), registry.repository("acme/many"));
    few.many_tags("acme/few", 0, 20);
    many.many_tags("acme/many", 0, 240);
    let (cost_of_few, _) = cost_of_first_sync(&few, &registry).await;
    let (cost_of_many, steps) = cost_of_first_sync(&many, &registry).await;
    assert_eq!(steps, [Step::Capabilities, Step::Refs, Step::Fetch]);
    assert_eq!(cost_of_many, cost_of_few);
    assert_eq!(cost_of_many.round_trips, 4, "claim, load, whether the name is taken, publish");
    assert!(cost_of_many.statements <= 34, "{cost_of_many:?}");
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/many").await.len(), 241);
}

#[tokio::test]
async fn without_filters_many_refs_are_fetched_in_batches() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.many_tags("acme/lib", 0, 40);
    registry.git_host.forbid_filters(&repo);
    let (_, steps) = cost_of_first_sync(&repo, &registry).await;
    assert_eq!(steps, [&[Step::Capabilities, Step::Refs][..], &[Step::Fetch; 3][..]].concat());
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await.len(), 41);
}

#[tokio::test]
async fn a_repository_that_has_moved_on_its_host_is_followed() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.git_host.rename(&repo, "acme/renamed");
    repo.tag("2.0.0");
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/lib").await, ["2.0.0", "1.0.0", "dev-main"]);
}
