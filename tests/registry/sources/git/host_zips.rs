//! Commits that cannot be zipped here because of our limits: they have the zip that their host makes.

use std::time::Duration;

use rostrum::ports::Job;
use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::support::{ADMIN, HostFault, Repo, TestRegistry, file, manifest, noise, sha1_of, zip_of};

const REASON: &str = "there are more than 1000 rules in .gitattributes";

fn too_many_rules() -> String {
    "/tests export-ignore\n".repeat(1001)
}

/// A repository whose version 1.0.0 has more rules than are applied, registered with `spec` besides, and synced.
async fn synced(registry: &TestRegistry, mut spec: Value) -> (Repo, String) {
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[manifest("acme/lib"), file(".gitattributes", too_many_rules())]);
    repo.tag("1.0.0");
    spec["url"] = json!(repo.url);
    spec["branch_filter"] = json!(["none"]);
    let id = registry.register_as(spec).await;
    let sync = registry.tasks.next_job().expect("the sync");
    perform(&registry.isolate.app, sync).await.expect("synced");
    (repo, id)
}

/// As GitHub Enterprise has it.
fn github_address(repo: &Repo) -> String {
    format!("https://git.test/api/v3/repos/acme/lib/zipball/{}", repo.id("main"))
}

async fn entry(registry: &TestRegistry) -> Value {
    registry.get_from_new_isolate("/p2/acme/lib.json").await.expect(200).versions("acme/lib").remove(0)
}

async fn remarks(registry: &TestRegistry) -> Vec<(String, String)> {
    let version = registry.get("/api/packages/acme%2Flib/versions/1.0.0").bearer(ADMIN).send().await.expect(200).json();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let remarks = version["remarks"].as_array().expect("a list").iter();
    remarks.map(|remark| (text(&remark["kind"]), text(&remark["text"]))).collect()
}

#[tokio::test]
async fn what_cannot_be_zipped_for_our_limits_has_the_zip_of_its_host_and_a_remark() {
    for (provider, user, path) in [
        ("github", Some("x-access-token"), "api/v3/repos/acme/lib/zipball/{}"),
        ("gitlab", None, "api/v4/projects/acme%2Flib/repository/archive.zip?sha={}"),
        ("gitea", Some("x-access-token"), "api/v1/repos/acme/lib/archive/{}.zip"),
        ("bitbucket", Some("x-token-auth"), "acme/lib/get/{}.zip"),
    ] {
        let registry = TestRegistry::new();
        let spec = json!({"vcs_type": provider, "auth_credentials": "secret"});
        let (repo, _) = synced(&registry, spec).await;
        match user {
            Some(user) => registry.composer_host.require_basic("https://git.test", user, "secret"),
            None => registry.composer_host.require_bearer("https://git.test", "secret"),
        }
        // More than a part of an upload.
        let zip = zip_of(&noise(6 << 20));
        let address = format!("https://git.test/{}", path.replace("{}", &repo.id("main")));
        registry.composer_host.put(&address, zip.clone());
        registry.run_until_idle().await;
        assert!(registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200).body == zip, "{provider}");
        assert_eq!(entry(&registry).await["dist"]["shasum"], sha1_of(&zip));
        assert_eq!(registry.composer_host.take_urls(), [address], "it is fetched once");
        let [(kind, text)] = &remarks(&registry).await[..] else { panic!("one remark") };
        let expected = format!(
            "The zip of commit {} is the one that git.test makes, fetched once and kept, because none could be built: \
             {REASON}. `archive.exclude` of composer.json is not applied to it.",
            repo.id("main")
        );
        assert_eq!((kind.as_str(), text.as_str()), ("host_zip", expected.as_str()));
        assert_eq!(registry.blobs.keys().len(), 1);
    }
}

#[tokio::test]
async fn a_hosts_redirect_is_followed_without_the_repositorys_credentials() {
    let registry = TestRegistry::new();
    let (repo, _) = synced(&registry, json!({"vcs_type": "github", "auth_credentials": "secret"})).await;
    let target = "https://codeload.test/acme/lib/zip?token=theirs";
    registry.composer_host.inject_fault(&github_address(&repo), HostFault::Redirect(target.to_owned()));
    registry.composer_host.put(target, zip_of(b"theirs"));
    registry.run_until_idle().await;
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200);
    let requests = registry.composer_host.take_requests();
    let logins: Vec<bool> = requests.iter().map(|request| request.authorization.is_some()).collect();
    assert_eq!(logins, [true, false]);
}

#[tokio::test]
async fn where_the_hosts_zip_cannot_be_had_there_is_none_and_both_reasons_are_told() {
    for (fault, requests, reason) in [
        (HostFault::Status(404), 1, "it answers with HTTP 404"),
        (HostFault::Status(403), 1, "it answers with HTTP 403"),
        (HostFault::Status(502), 3, "it answers with HTTP 502"),
        (HostFault::Unreachable, 3, "the server cannot be reached: connection refused"),
        (HostFault::BrokenOff, 3, "the server's answer broke off: connection reset"),
        (HostFault::Html, 1, "what the server sends is not a complete zip"),
        (HostFault::Truncated, 1, "what the server sends is not a complete zip"),
    ] {
        let registry = TestRegistry::new();
        let (repo, id) = synced(&registry, json!({"vcs_type": "github"})).await;
        let zip = zip_of(&noise(12 << 20));
        registry.composer_host.put(&github_address(&repo), zip.clone());
        registry.composer_host.inject_fault("zipball", fault.clone());
        registry.run_until_idle().await;
        assert_eq!(registry.composer_host.take_urls().len(), requests, "{fault:?}");
        let told = format!("{REASON}, and the zip that git.test makes of it cannot be had: {reason}");
        let reply = registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(404);
        assert_eq!(reply.json()["warning"], format!("The archive of version 1.0.0 is not available: {told}"));
        assert_eq!(entry(&registry).await.get("dist"), None, "composer clones it");
        let text = format!("There is no zip of commit {}: {told}.", repo.id("main"));
        assert_eq!(remarks(&registry).await, [("unzippable".to_owned(), text)]);
        assert!(registry.blobs.keys().is_empty() && registry.blobs.open_uploads() == 0, "{fault:?}");
        registry.composer_host.recover();
        registry.sync(&id).await;
        let served = registry.while_jobs_run(registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip")).await;
        assert!(served.expect(200).body == zip, "it is tried again once somebody asks for a sync");
    }
}

#[tokio::test]
async fn a_hosts_zip_beyond_the_limits_of_size_and_time_is_not_taken() {
    let registry = TestRegistry::new();
    let (repo, _) = synced(&registry, json!({"vcs_type": "github"})).await;
    registry.composer_host.put(&github_address(&repo), zip_of(b"theirs"));
    registry.composer_host.say_length(Some(2 << 30));
    registry.run_until_idle().await;
    let reply = registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(404);
    assert!(reply.text().contains("cannot be had: it is larger than 2147483648 bytes"), "{}", reply.text());

    let registry = TestRegistry::new();
    let (repo, _) = synced(&registry, json!({"vcs_type": "github"})).await;
    registry.composer_host.put(&github_address(&repo), zip_of(b"theirs"));
    registry.composer_host.pause("zipball");
    let time = async {
        registry.composer_host.until_paused().await;
        registry.advance(Duration::from_mins(11));
        registry.composer_host.resume();
    };
    tokio::join!(registry.run_until_idle(), time);
    let reply = registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(404);
    assert!(reply.text().contains("cannot be had: it did not come within 10 min"), "{}", reply.text());
}

#[tokio::test]
async fn a_host_that_has_had_too_many_requests_is_asked_again_later() {
    let registry = TestRegistry::new();
    let (repo, _) = synced(&registry, json!({"vcs_type": "github"})).await;
    registry.composer_host.put(&github_address(&repo), zip_of(b"theirs"));
    registry.composer_host.inject_fault("zipball", HostFault::Busy(429, "3600".to_owned()));
    let failures = registry.run_until_idle_with_failures().await;
    assert!(matches!(failures[..], [(Job::BuildLargeArchive { .. }, _)]), "{failures:?}");
    assert_eq!(registry.database.rows("SELECT count(error) AS n FROM dists"), [json!({"n": 0})]);
    registry.composer_host.recover();
    registry.advance(Duration::from_mins(20));
    registry.cron().await;
    registry.run_until_idle().await;
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(200);
}

#[tokio::test]
async fn hosts_that_make_no_zips_and_packages_in_a_directory_have_none() {
    let registry = TestRegistry::new();
    synced(&registry, json!({"vcs_type": "git"})).await;
    registry.run_until_idle().await;
    let reply = registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(404);
    assert_eq!(reply.json()["warning"], format!("The archive of version 1.0.0 is not available: {REASON}"));

    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/mono");
    repo.commit(&[file("lib/composer.json", r#"{"name":"acme/lib"}"#), file("lib/.gitattributes", too_many_rules())]);
    repo.tag("1.0.0");
    registry.register_as(json!({"url": repo.url, "vcs_type": "github", "path": "lib"})).await;
    registry.run_until_idle().await;
    registry.get_from_new_isolate("/dist/acme/lib/1.0.0.zip").await.expect(404);
    assert_eq!(registry.composer_host.take_urls(), [""; 0]);
}
