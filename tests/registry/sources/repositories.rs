//! `/api/repositories`: changing, replacing, verifying and listing what is registered.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{SATIS, read};
use crate::support::{
    ADMIN, FaultTiming, HostFault, Port, Repo, Step, TestRegistry, TestResponse, file, logs, manifest, upstream_version,
};

async fn patch(registry: &TestRegistry, id: &str, change: &Value) -> TestResponse {
    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(change).send().await
}

async fn put(registry: &TestRegistry, id: &str, spec: &Value) -> TestResponse {
    registry.put(&format!("/api/repositories/{id}")).bearer(ADMIN).json(spec).send().await
}

async fn verify(registry: &TestRegistry, id: &str) -> Value {
    registry.post(&format!("/api/repositories/{id}/verify")).bearer(ADMIN).send().await.expect(200).json()
}

/// The versions of a package that are published, as another isolate sees them.
async fn versions(registry: &TestRegistry, name: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in ["", "~dev"] {
        let path = format!("/p2/{name}{part}.json");
        let reply = registry.another_isolate().get(&path).bearer(ADMIN).composer().send().await;
        if reply.status != 404 {
            names.extend(reply.expect(200).version_names(name));
        }
    }
    names
}

// ---------------------------------------------------------------------------------------------- git

#[tokio::test]
async fn filters_that_change_are_followed_by_the_next_sync_in_both_directions() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "2.0.0", "3.0.0"]).await;
    repo.branch("feature");
    let filters = json!({"tag_filter": ["2.*"], "branch_filter": ["main"]});
    let view = patch(&registry, &id, &filters).await.expect(200).json();
    assert_eq!((&view["tag_filter"], &view["branch_filter"]), (&json!(["2.*"]), &json!(["main"])));
    assert_eq!(view["sync_status"], "pending");
    assert_eq!(versions(&registry, "acme/lib").await.len(), 4, "until the sync is through, it stays as it was");
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, ["2.0.0", "dev-main"]);
    let skipped = registry.skipped();
    assert!(skipped.contains(&("refs/tags/1.0.0".to_owned(), "no filter of the repository takes it".to_owned())));
    patch(&registry, &id, &json!({"tag_filter": ["1.*", "3.*"]})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, ["3.0.0", "1.0.0", "dev-main"]);
    patch(&registry, &id, &json!({"tag_filter": null, "branch_filter": null})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, ["3.0.0", "2.0.0", "1.0.0", "dev-feature", "dev-main"]);
}

#[tokio::test]
async fn another_address_of_the_same_refs_is_the_source_from_then_on() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.git_host.rename(&repo, "acme/moved");
    patch(&registry, &id, &json!({"url": "https://git.test/acme/moved.git/"})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["url"], "https://git.test/acme/moved.git");
    let reply = registry.another_isolate().get("/p2/acme/lib.json").bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(reply.versions("acme/lib")[0]["source"]["url"], "https://git.test/acme/moved.git");
}

#[tokio::test]
async fn another_repository_leaves_no_version_of_the_old_one() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0", "1.1.0"]).await;
    let other = registry.git_host.serve("acme/fork");
    other.commit(&[manifest("acme/lib"), file("fork.php", "<?php")]);
    other.tag("1.1.0");
    other.tag("2.0.0");
    patch(&registry, &id, &json!({"url": other.url})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, ["2.0.0", "1.1.0", "dev-main"]);
    let reply = registry.another_isolate().get("/p2/acme/lib.json").bearer(ADMIN).composer().send().await;
    assert!(reply.versions("acme/lib").iter().all(|version| version["dist"]["reference"] == other.id("main")));

    let third = registry.repository("acme/third");
    patch(&registry, &id, &json!({"url": third.url})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, Vec::<String>::new());
    assert_eq!(versions(&registry, "acme/third").await, ["dev-main"]);
}

#[tokio::test]
async fn an_address_that_fails_keeps_what_is_published_and_tells_why() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    patch(&registry, &id, &json!({"url": "https://git.test/acme/typo.git"})).await.expect(200);
    registry.run_until_idle().await;
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert!(view["error"].as_str().is_some_and(|error| error.contains("HTTP 404")), "{view}");
    assert_eq!(versions(&registry, "acme/lib").await, ["1.0.0", "dev-main"]);
}

/// A monorepo with two packages at the same commit.
fn monorepo(registry: &TestRegistry) -> Repo {
    let repo = registry.git_host.serve("monorepo");
    repo.commit(&[
        file("a/composer.json", "{\"name\": \"acme/a\"}"),
        file("a/a.php", "<?php // a"),
        file("b/composer.json", "{\"name\": \"acme/b\"}"),
        file("c/composer.json", "{\"name\": \"acme/a\", \"description\": \"moved\"}"),
        file("c/c.php", "<?php // c"),
    ]);
    repo.tag("1.0.0");
    repo
}

#[tokio::test]
async fn another_path_is_another_package_even_at_the_same_commits() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry);
    let id = registry.register_as(json!({"url": repo.url, "path": "a"})).await;
    registry.run_until_idle().await;
    let zip = async || {
        let reply = registry.another_isolate().get("/dist/acme/a/1.0.0.zip").bearer(ADMIN).send().await;
        reply.expect(200).body
    };
    let first = zip().await;
    patch(&registry, &id, &json!({"path": "/b/"})).await.expect(200);
    assert_eq!(versions(&registry, "acme/a").await, Vec::<String>::new(), "it is gone at once");
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/b").await, ["1.0.0", "dev-main"]);
    patch(&registry, &id, &json!({"path": "c"})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/b").await, Vec::<String>::new());
    let reply = registry.another_isolate().get("/p2/acme/a.json").bearer(ADMIN).composer().send().await.expect(200);
    assert_eq!(reply.versions("acme/a")[0]["description"], "moved");
    assert_ne!(zip().await, first, "the zip is that of the other directory");
    patch(&registry, &id, &json!({"path": null})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "failed", "there is no composer.json in the root");
}

#[tokio::test]
async fn a_sync_that_is_under_way_publishes_nothing_of_what_is_no_longer_wanted() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry);
    let id = registry.register_as(json!({"url": repo.url, "path": "a"})).await;
    registry.git_host.pause(Step::Fetch);
    let changing = async {
        registry.git_host.until_paused().await;
        patch(&registry, &id, &json!({"path": "b"})).await.expect(200);
        registry.git_host.resume();
    };
    let (_, ()) = tokio::join!(registry.run_until_idle_with_failures(), changing);
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/a").await, Vec::<String>::new());
    assert_eq!(versions(&registry, "acme/b").await, ["1.0.0", "dev-main"]);
    let runs = registry.runs();
    assert_eq!(runs[0]["error"], "The repository was changed while it was synced. It is synced again.");
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn credentials_are_changed_and_cleared_and_never_shown() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.git_host.require_login(&repo, "x-access-token", "right");
    let id = registry.register_as(json!({"url": repo.url, "auth_credentials": "wrong"})).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "failed");
    let view = patch(&registry, &id, &json!({"auth_credentials": "right"})).await.expect(200).json();
    assert_eq!(view["credential_type"], "token");
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    patch(&registry, &id, &json!({"credential_type": "token", "vcs_type": "github"})).await.expect(200);
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "they stay when their type is named");
    for clear in [json!({"auth_credentials": null}), json!({"credential_type": "none"})] {
        patch(&registry, &id, &json!({"auth_credentials": "right"})).await.expect(200);
        let view = patch(&registry, &id, &clear).await.expect(200).json();
        assert_eq!(view["credential_type"], "none", "{clear}");
    }
    let all = [json!(registry.database.rows("SELECT * FROM audit_log")).to_string(), logs::text()];
    assert!(all.iter().all(|text| !text.contains("right")), "{all:?}");
}

#[tokio::test]
async fn credentials_do_not_follow_an_address_to_another_host() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register_as(json!({"url": repo.url, "auth_credentials": "s3cret"})).await;
    registry.run_until_idle().await;
    registry.git_host.take_requests();
    let elsewhere = json!({"url": "https://evil.test/acme/lib.git"});
    for reply in [
        patch(&registry, &id, &elsewhere).await,
        put(&registry, &id, &json!({"url": "https://evil.test/acme/lib.git", "credential_type": "token"})).await,
        patch(&registry, &id, &json!({"url": "https://git.test:8443/acme/lib.git"})).await,
    ] {
        let refused = reply.expect(400).json();
        assert!(refused["details"].get("auth_credentials").is_some(), "{refused}");
    }
    registry.run_until_idle().await;
    assert_eq!(registry.git_host.take_requests().len(), 0);
    patch(&registry, &id, &json!({"url": "https://git.test/acme/other.git"})).await.expect(200);
    patch(&registry, &id, &json!({"url": "https://evil.test/acme/lib.git", "credential_type": "none"}))
        .await
        .expect(200);
    registry.run_until_idle().await;
    assert!(
        registry
            .git_host
            .take_requests()
            .iter()
            .all(|seen| seen.url.starts_with("https://git.test") || seen.authorization.is_none())
    );
}

#[tokio::test]
async fn a_replacement_gives_everything_it_does_not_name_its_default_back() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    let spec = json!({
        "url": repo.url, "vcs_type": "gitlab", "auth_credentials": {"username": "ada", "password": "word"},
        "tag_filter": ["9.*"], "branch_filter": ["main"],
    });
    let id = registry.register_as(spec).await;
    registry.run_until_idle().await;
    let kept = put(&registry, &id, &json!({"url": repo.url, "credential_type": "basic", "vcs_type": "gitea"})).await;
    let view = kept.expect(200).json();
    assert_eq!((&view["credential_type"], &view["vcs_type"]), (&json!("basic"), &json!("gitea")));
    assert_eq!((&view["tag_filter"], &view["branch_filter"]), (&json!(null), &json!(null)));
    let view = put(&registry, &id, &json!({ "url": repo.url })).await.expect(200).json();
    assert_eq!(
        (&view["credential_type"], &view["vcs_type"], &view["kind"]),
        (&json!("none"), &json!("git"), &json!("git"))
    );
    registry.run_until_idle().await;
    assert_eq!(versions(&registry, "acme/lib").await, ["1.0.0", "dev-main"]);
    let reply = put(&registry, &id, &json!({"tag_filter": ["1.*"]})).await.expect(400).json();
    assert!(reply["error"].as_str().is_some_and(|error| error.contains("url")), "{reply}");
}

#[tokio::test]
async fn a_change_that_changes_nothing_asks_for_nothing_and_is_not_noted() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let before = registry.database.rows("SELECT count(*) AS n FROM audit_log");
    for change in [json!({}), json!({ "url": repo.url }), json!({"path": null, "tag_filter": null, "kind": "git"})] {
        let view = patch(&registry, &id, &change).await.expect(200).json();
        assert_eq!(view["sync_status"], "ok", "{change}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM audit_log"), before);
    assert_eq!(registry.tasks.jobs().len(), 0);
    patch(&registry, &id, &json!({"tag_filter": ["1.*"]})).await.expect(200);
    let log = registry.get("/api/audit-log?action=repository.changed").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!((&log[0]["target"], &log[0]["details"]), (&json!(id), &json!({"fields": ["tag_filter"]})));
}

#[tokio::test]
async fn wrong_changes_are_refused_by_name_and_change_nothing() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.composer_host.lazy(SATIS);
    let upstream = registry.upstream(SATIS).await;
    let before = registry.database.rows("SELECT * FROM repositories");
    for (id, body, field) in [
        (&id, json!({"url": "ftp://git.test/x"}), "url"),
        (&id, json!({"url": null, "branch": "x"}), "branch"),
        (&id, json!({"kind": "composer"}), "kind"),
        (&id, json!({"kind": "artifact"}), "kind"),
        (&id, json!({"vcs_type": "composer"}), "vcs_type"),
        (&id, json!({"vcs_type": "svn"}), "vcs_type"),
        (&id, json!({"path": "../x"}), "path"),
        (&id, json!({"tag_filter": []}), "tag_filter"),
        (&id, json!({"package_filter": []}), "package_filter"),
        (&id, json!({"credential_type": "basic"}), "auth_credentials"),
        (&id, json!({"credential_type": "oauth"}), "credential_type"),
        (&upstream, json!({"path": "x"}), "path"),
        (&upstream, json!({"tag_filter": ["1.*"]}), "tag_filter"),
        (&upstream, json!({"package_filter": []}), "package_filter"),
        (&upstream, json!({"package_filter": ["a b"]}), "package_filter"),
        (&upstream, json!({"package_filter": ["acme/[ab]"]}), "package_filter"),
        (&upstream, json!({"vcs_type": "github"}), "vcs_type"),
        (&upstream, json!({"kind": "git"}), "kind"),
    ] {
        let reply = patch(&registry, id, &body).await.expect(400).json();
        assert!(reply["details"].get(field).is_some(), "{body}: {reply}");
    }
    for (body, field) in [
        (json!({"url": SATIS, "kind": "composer", "tag_filter": ["1.*"]}), "tag_filter"),
        (json!({"url": SATIS, "kind": "composer", "vcs_type": "git"}), "vcs_type"),
        (json!({"url": SATIS, "kind": "artifact"}), "url"),
        (json!({"kind": "artifact", "package_filter": ["a/b"]}), "package_filter"),
    ] {
        let reply = registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await.expect(400).json();
        assert!(reply["details"].get(field).is_some(), "{body}: {reply}");
    }
    patch(&registry, "nobody", &json!({"path": "x"})).await.expect(404);
    put(&registry, "nobody", &json!({"url": SATIS})).await.expect(404);
    registry.post("/api/repositories/nobody/verify").bearer(ADMIN).send().await.expect(404);
    let (_, reader) = registry.token(&json!({"description": "a"})).await;
    let one = format!("/api/repositories/{id}");
    for request in [
        registry.patch(&one).json(&json!({})),
        registry.put(&one).json(&json!({})),
        registry.post(&format!("{one}/verify")),
    ] {
        request.bearer(&reader).send().await.expect(403);
    }
    assert_eq!(registry.database.rows("SELECT * FROM repositories"), before);
}

#[tokio::test]
async fn an_address_that_another_repository_has_is_a_conflict_and_so_is_a_change_in_between() {
    let registry = TestRegistry::new();
    let (_, first) = registry.published("acme/one", &["1.0.0"]).await;
    let (other, second) = registry.published("acme/two", &["1.0.0"]).await;
    let before = registry.repository_view(&first).await;
    patch(&registry, &first, &json!({"url": other.url})).await.expect(409);
    assert_eq!(registry.repository_view(&first).await, before);
    let request = |url: &str| patch_owned(&registry, &second, json!({ "url": url }));
    let (one, two) = tokio::join!(request("https://git.test/x.git"), request("https://git.test/y.git"));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let log = registry.get("/api/audit-log?action=repository.changed").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(log.as_array().map(Vec::len), Some(1), "only what happened is noted");
}

async fn patch_owned(registry: &TestRegistry, id: &str, change: Value) -> TestResponse {
    patch(registry, id, &change).await
}

#[tokio::test]
async fn every_call_broken_once_changes_a_repository_as_a_whole_or_not_at_all() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        for nth in 1.. {
            let registry = TestRegistry::new();
            let repo = monorepo(&registry);
            let id = registry.register_as(json!({"url": repo.url, "path": "a"})).await;
            registry.run_until_idle().await;
            registry.meter.break_nth(Port::Database, nth, timing);
            let reply = patch(&registry, &id, &json!({"path": "b"})).await;
            let is_broken = registry.meter.clear_faults() > 0;
            assert_eq!(reply.status, if is_broken { 500 } else { 200 }, "{nth} {timing:?}");
            let path = registry.repository_view(&id).await["path"].clone();
            let left = registry.database.rows("SELECT count(*) AS n FROM packages")[0]["n"].as_i64();
            let noted = registry.database.rows("SELECT 1 FROM audit_log WHERE action = 'repository.changed'").len();
            assert!(
                [(json!("a"), Some(1), 0), (json!("b"), Some(0), 1)].contains(&(path, left, noted)),
                "{nth} {timing:?}"
            );
            patch(&registry, &id, &json!({"path": "b"})).await.expect(200);
            registry.tasks.lose_jobs();
            registry.cron().await;
            registry.run_until_idle().await;
            assert_eq!(versions(&registry, "acme/b").await, ["1.0.0", "dev-main"], "{nth} {timing:?}");
            if !is_broken {
                break;
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------- upstreams

#[tokio::test]
async fn an_upstream_at_another_address_has_nothing_of_the_old_one() {
    let registry = TestRegistry::new();
    let other = "https://other.test";
    for (origin, version) in [(SATIS, "1.0.0"), (other, "2.0.0")] {
        registry.composer_host.lazy(origin);
        registry.composer_host.publish(origin, "vendor/lib", &[upstream_version(origin, "vendor/lib", version)]);
        registry.composer_host.publish(origin, "vendor/b", &[upstream_version(origin, "vendor/b", version)]);
    }
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    for path in ["/p2/vendor/lib.json", "/p2/vendor/b.json"] {
        read(&registry, &token, path).await.expect(200);
    }
    patch(&registry, &id, &json!({"package_filter": ["vendor/l*"]})).await.expect(200);
    read(&registry, &token, "/p2/vendor/b.json").await.expect(404);
    read(&registry, &token, "/p2/vendor/lib.json").await.expect(200);
    patch(&registry, &id, &json!({"url": other, "package_filter": null})).await.expect(200);
    assert_eq!(registry.get("/api/packages").bearer(ADMIN).send().await.json(), json!([]));
    assert_eq!(registry.database.rows("SELECT * FROM mirrors"), Vec::<Value>::new());
    registry.run_until_idle().await;
    registry.composer_host.take_requests();
    assert_eq!(read(&registry, &token, "/p2/vendor/lib.json").await.expect(200).version_names("vendor/lib"), ["2.0.0"]);
    assert!(registry.composer_host.take_urls().iter().all(|url| url.starts_with(other)));
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    read(&registry, &token, "/p2/vendor/lib.json").await.expect(404);
    assert_eq!(registry.database.rows("SELECT * FROM packages"), Vec::<Value>::new());
}

#[tokio::test]
async fn verifying_says_what_is_there_and_imports_nothing() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    repo.tag("2.0.0");
    repo.branch("feature");
    let id = registry.register(&repo).await;
    registry.tasks.lose_jobs();
    let everything = || {
        let tables = ["repositories", "packages", "versions", "sync_runs", "repository_refs", "audit_log", "mirrors"];
        tables.map(|table| registry.database.rows(&format!("SELECT * FROM {table}")))
    };
    let before = everything();
    let seen = json!({
        "ok": true, "error": null, "default_branch": "main", "branches": 2, "tags": 2, "packages": null,
    });
    assert_eq!(verify(&registry, &id).await, seen);
    assert_eq!(everything(), before);

    let failed = |error: &str| {
        json!({
            "ok": false, "error": error, "default_branch": null, "branches": null, "tags": null, "packages": null,
        })
    };
    registry.git_host.inject_fault(HostFault::Status(401));
    let error = "the server refuses the credentials (HTTP 401); check `auth_credentials`";
    assert_eq!(verify(&registry, &id).await, failed(error));
    registry.git_host.recover();

    for (root, packages) in [
        (json!({"metadata-url": "/p2/%package%.json", "available-packages": ["a/b", "a/c"]}), json!(2)),
        (json!({"metadata-url": "/p2/%package%.json"}), json!(null)),
        (json!({"packages": {"a/b": {}, "a/c": {}, "a/d": {}}}), json!(3)),
        (json!({"packages": [], "includes": {"all.json": {}}}), json!(null)),
    ] {
        let registry = TestRegistry::new();
        registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
        let id = registry.register_as(json!({"url": SATIS, "vcs_type": "composer"})).await;
        let mut seen = failed("");
        (seen["ok"], seen["error"], seen["packages"]) = (json!(true), json!(null), packages);
        assert_eq!(verify(&registry, &id).await, seen, "{root}");
        assert_eq!(registry.database.rows("SELECT capabilities FROM repositories"), [json!({"capabilities": null})]);
    }
    for (fault, error) in [
        (HostFault::Html, "the answer is not JSON (expected value at line 1 column 1)"),
        (
            HostFault::Status(404),
            "there is no packages.json at this address, or the credentials may not see it (HTTP 404)",
        ),
        (HostFault::Unreachable, "the server cannot be reached: connection refused"),
    ] {
        let registry = TestRegistry::new();
        registry.composer_host.inject_fault(SATIS, fault);
        let id = registry.register_as(json!({"url": SATIS, "kind": "composer"})).await;
        assert_eq!(verify(&registry, &id).await, failed(error));
    }
}

#[tokio::test]
async fn lists_are_narrowed_by_kind_and_by_status() {
    let registry = TestRegistry::new();
    registry.published("acme/one", &["1.0.0"]).await;
    registry.composer_host.lazy(SATIS);
    registry.upstream(SATIS).await;
    let broken = registry.register_as(json!({"url": "https://git.test/none.git"})).await;
    registry.run_until_idle().await;
    registry.register_as(json!({"url": "https://git.test/waiting.git"})).await;
    let list = async |query: &str| {
        let reply = registry.get(&format!("/api/repositories{query}")).bearer(ADMIN).send().await.expect(200);
        (reply.json().as_array().expect("a list").len(), reply.header("x-total-count").to_owned())
    };
    for (query, shown, total) in [
        ("", 4, "4"),
        ("?kind=git", 3, "3"),
        ("?kind=composer", 1, "1"),
        ("?sync_status=ok", 2, "2"),
        ("?sync_status=failed", 1, "1"),
        ("?sync_status=pending", 1, "1"),
        ("?sync_status=syncing", 0, "0"),
        ("?kind=git&sync_status=ok", 1, "1"),
        ("?sync_status=ok&limit=1&offset=1", 1, "2"),
    ] {
        assert_eq!(list(query).await, (shown, total.to_owned()), "{query}");
    }
    let failed = registry.get("/api/repositories?sync_status=failed").bearer(ADMIN).send().await.json();
    assert_eq!(failed[0]["id"], broken);
    for query in ["?kind=svn", "?sync_status=good", "?status=ok"] {
        registry.get(&format!("/api/repositories{query}")).bearer(ADMIN).send().await.expect(400);
    }
    let (_, calls) = registry.counted(list("?kind=git&sync_status=ok")).await;
    assert_eq!((calls.round_trips, calls.statements), (1, 2));
}
