//! Upstream servers that fail, lie or lead astray: the run says why, what was published stays, the next sync recovers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{HostFault, Step, TestRegistry, file, logs, manifest};

const SECRET: &str = "s3cret-token-of-the-host";

/// Everything that a sync publishes.
fn published(registry: &TestRegistry) -> Vec<Vec<Value>> {
    ["packages", "versions", "dists", "documents", "repository_refs", "organizations", "version_files", "texts"]
        .iter()
        .map(|table| registry.database.rows(&format!("SELECT * FROM {table} ORDER BY 1, 2")))
        .collect()
}

/// The ways to fail, the requests that fail so, and what the operator reads.
fn faults() -> Vec<(HostFault, Vec<Step>, &'static str)> {
    let every = || vec![Step::Capabilities, Step::Refs, Step::Fetch];
    vec![
        (HostFault::Status(401), every(), "the server refuses the credentials (HTTP 401); check `auth_credentials`"),
        (HostFault::Status(403), every(), "the server refuses the credentials (HTTP 403); check `auth_credentials`"),
        (
            HostFault::Status(404),
            every(),
            "there is no repository at this address, or the credentials may not see it (HTTP 404)",
        ),
        (HostFault::Status(500), every(), "the server answers with HTTP 500"),
        (HostFault::Status(429), every(), "the server has had too many requests (HTTP 429)"),
        (HostFault::Html, vec![Step::Capabilities], "the address does not answer as a git repository"),
        (HostFault::Unreachable, every(), "the server cannot be reached: connection refused"),
        (HostFault::TimedOut, every(), "the server did not answer within 30 s"),
        (HostFault::BrokenOff, every(), "the server's answer broke off: connection reset"),
        (HostFault::Truncated, vec![Step::Fetch], "the server's answer is incomplete"),
        (HostFault::Corrupted, vec![Step::Fetch], "the pack's checksum does not fit its content"),
        (
            HostFault::Redirect("https://10.0.0.1/x".to_owned()),
            every(),
            "the server redirects to an address that must not lead to a private, loopback or link-local address",
        ),
        (
            HostFault::Redirect("http://git.test/x".to_owned()),
            every(),
            "the server redirects to an address that must start with https://",
        ),
        (
            HostFault::Redirect("https://user:word@git.test/x".to_owned()),
            every(),
            "the server redirects to an address that must not hold credentials; put them into `auth_credentials`",
        ),
        (HostFault::Redirect("https://git.test/loop".to_owned()), every(), "the server redirects more than 5 times"),
    ]
}

#[tokio::test]
async fn a_first_sync_that_fails_publishes_nothing_and_the_next_one_everything() {
    for (fault, steps, error) in faults() {
        for step in steps {
            let registry = TestRegistry::new();
            let repo = registry.repository("acme/lib");
            repo.tag("1.0.0");
            registry.git_host.require_login(&repo, "x-access-token", SECRET);
            let id = registry.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
            let before = published(&registry);
            registry.git_host.inject_fault_at(step, fault.clone());
            registry.run_until_idle().await;
            let view = registry.repository_view(&id).await;
            assert_eq!((&view["sync_status"], &view["error"]), (&json!("failed"), &json!(error)), "{fault:?} {step:?}");
            assert_eq!(view["last_synced_at"], json!(null));
            assert_eq!(registry.last_run()["error"], error);
            assert_eq!(published(&registry), before, "{fault:?} {step:?}");
            assert_nothing_is_told(&registry, &view);
            registry.git_host.recover();
            assert_eq!(registry.sync(&id).await["sync_status"], "ok", "{fault:?} {step:?}");
            assert_eq!(registry.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 2})]);
        }
    }
}

fn assert_nothing_is_told(registry: &TestRegistry, view: &Value) {
    let encoded = STANDARD.encode(format!("x-access-token:{SECRET}"));
    let log = logs::text();
    let runs = json!(registry.runs()).to_string();
    for text in [log, runs, view.to_string(), json!(registry.database.rows("SELECT * FROM repositories")).to_string()] {
        assert!(!text.contains(SECRET) && !text.contains(&encoded), "{text}");
    }
}

#[tokio::test]
async fn a_later_sync_that_fails_leaves_what_is_published_untouched() {
    for (fault, steps, error) in faults() {
        // A later sync asks for the capabilities only when the refs fail.
        for step in steps.into_iter().filter(|step| *step != Step::Capabilities) {
            let registry = TestRegistry::new();
            let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
            let token = registry.reader().await;
            let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
            let before = published(&registry);
            repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
            repo.tag("2.0.0");
            registry.git_host.inject_fault_at(step, fault.clone());
            let view = registry.sync(&id).await;
            assert_eq!((&view["sync_status"], &view["error"]), (&json!("failed"), &json!(error)), "{fault:?} {step:?}");
            assert_eq!(published(&registry), before, "{fault:?} {step:?}");
            let request = registry.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&document);
            request.send().await.expect(304);
            registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
            registry.git_host.recover();
            assert_eq!(registry.sync(&id).await["sync_status"], "ok");
            let after =
                registry.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&document).send().await;
            assert_eq!(after.expect(200).version_names("acme/lib"), ["2.0.0", "1.0.0"]);
        }
    }
}

#[tokio::test]
async fn what_passes_at_the_second_attempt_is_no_failure() {
    for fault in [HostFault::Status(502), HostFault::Status(503), HostFault::Unreachable] {
        for step in [Step::Capabilities, Step::Refs, Step::Fetch] {
            let registry = TestRegistry::new();
            let repo = registry.repository("acme/lib");
            let id = registry.register(&repo).await;
            registry.git_host.inject_fault_once(step, fault.clone());
            registry.run_until_idle().await;
            assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{fault:?} {step:?}");
            assert_eq!(registry.last_run()["requests"], 4);
        }
    }
}

#[tokio::test]
async fn the_servers_own_words_reach_the_operator() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.git_host.inject_fault_at(Step::Refs, HostFault::Says(b"001dERR quota exceeded, sorry".to_vec()));
    registry.run_until_idle().await;
    let error = registry.repository_view(&id).await["error"].as_str().expect("an error").to_owned();
    assert_eq!(error, "the server says: quota exceeded, sorry");
}

#[tokio::test]
async fn credentials_go_to_their_host_in_its_way_and_never_to_another() {
    for (vcs_type, credentials, user, password) in [
        ("git", json!("t0ken"), "x-access-token", "t0ken"),
        ("github", json!({"token": "t0ken"}), "x-access-token", "t0ken"),
        ("gitlab", json!("t0ken"), "oauth2", "t0ken"),
        ("bitbucket", json!("t0ken"), "x-token-auth", "t0ken"),
        ("gitea", json!({"username": "ada", "password": "w:ord"}), "ada", "w:ord"),
    ] {
        let registry = TestRegistry::new();
        let repo = registry.repository("acme/lib");
        registry.git_host.require_login(&repo, user, password);
        let spec = json!({"url": repo.url, "vcs_type": vcs_type, "auth_credentials": credentials});
        let id = registry.register_as(spec).await;
        registry.run_until_idle().await;
        let view = registry.repository_view(&id).await;
        assert_eq!(view["sync_status"], "ok", "{vcs_type}: {view}");
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        assert!(registry.git_host.take_requests().iter().all(|seen| seen.authorization.as_deref() == Some(&expected)));
    }
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
    registry.git_host.inject_fault_once(
        Step::Capabilities,
        HostFault::Redirect("https://evil.test/acme/lib.git/info/refs".to_owned()),
    );
    registry.run_until_idle().await;
    let seen = registry.git_host.take_requests();
    assert!(seen[0].url.starts_with("https://git.test/") && seen[0].authorization.is_some());
    assert!(seen[1].url.starts_with("https://evil.test/") && seen[1].authorization.is_none());
}

#[tokio::test]
async fn stored_credentials_are_sealed_and_open_only_with_the_key() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.git_host.require_login(&repo, "x-access-token", SECRET);
    let id = registry.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
    let stored = &registry.database.rows("SELECT credentials FROM repositories")[0]["credentials"];
    assert!(stored.as_str().is_some_and(|text| text.starts_with("v1.") && !text.contains(SECRET)));
    assert!(!registry.repository_view(&id).await.to_string().contains(stored.as_str().expect("text")));
    registry.database.execute("UPDATE repositories SET credentials = replace(credentials, 'v1.', 'v1.00')");
    registry.run_until_idle().await;
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_nothing_is_told(&registry, &view);
}

#[tokio::test]
async fn without_an_encryption_key_credentials_are_refused_and_public_repositories_work() {
    let registry = TestRegistry::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let repo = registry.repository("acme/lib");
    let spec = json!({"url": repo.url, "auth_credentials": SECRET});
    let reply = registry.post("/api/repositories").bearer(crate::support::ADMIN).json(&spec).send().await.expect(500);
    let error = reply.json()["error"].as_str().expect("text").to_owned();
    assert!(error.contains("ENCRYPTION_KEY is not set"), "{error}");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM repositories"), [json!({"n": 0})]);
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_empty_repository_says_so() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/empty");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["error"], "the repository has no branches and no tags yet");
    repo.commit(&[manifest("acme/empty")]);
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_object_that_the_server_withholds_fails_the_sync_and_condemns_no_ref() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/mono");
    let tool = [file("tool/composer.json", r#"{"name":"acme/tool"}"#), file("tool/README.md", "# Tool")];
    repo.commit(&tool);
    let id = registry.register_as(json!({"url": repo.url, "path": "tool"})).await;
    registry.run_until_idle().await;
    let before = published(&registry);
    repo.commit(&[&tool[..1], &[file("tool/README.md", "# Another tool")]].concat());
    repo.tag("1.0.0");
    for path in ["main", "main:tool/README.md"] {
        let object = repo.git(&["rev-parse", path], b"");
        registry.git_host.withhold(&repo, Some(&object));
        let view = registry.sync(&id).await;
        assert_eq!(view["sync_status"], "failed", "{path}");
        assert_eq!(published(&registry), before, "{path}");
    }
    let object = repo.git(&["rev-parse", "main:tool/README.md"], b"");
    let error = format!("the git server git.test did not send the object {object}, although it was asked for it");
    assert_eq!(registry.repository_view(&id).await["error"], error);
    registry.git_host.withhold(&repo, None);
    assert_eq!(registry.sync(&id).await["sync_status"], "ok");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 2})]);
}

#[tokio::test]
async fn refs_with_unusable_names_are_recorded_and_beyond_a_hundred_counted() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let commit = repo.id("main");
    let id = registry.register(&repo).await;
    let unusable = format!("003c{commit} refs/tags/x..y\n").repeat(103);
    let answer = format!("003d{commit} refs/heads/main\n{unusable}0000");
    registry.git_host.inject_fault_at(Step::Refs, HostFault::Says(answer.into_bytes()));
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let skipped = registry.skipped();
    assert_eq!(skipped.len(), 101);
    assert_eq!(skipped[0], ("refs/tags/x..y".to_owned(), "the name is not a valid ref name".to_owned()));
    assert_eq!(skipped[100], (String::new(), "and 3 more refs with unusable names".to_owned()));
}

#[tokio::test]
async fn a_server_that_drips_objects_is_given_up() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.git_host.drip(1, Duration::from_secs(2));
    registry.register(&repo).await;
    registry.run_until_idle_with_failures().await;
    let error = registry.last_run()["error"].to_string();
    assert!(error.contains("the server sends less than 16384 bytes in 60 s"), "{error}");
}
