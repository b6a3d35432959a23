//! Upstream servers that fail, lie or lead astray: the run says why, what was published stays, the next sync recovers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Step, Trouble, World, file, logs, manifest};

const SECRET: &str = "s3cret-token-of-the-host";

/// Everything that a sync publishes.
fn published(world: &World) -> Vec<Vec<Value>> {
    ["packages", "versions", "dists", "documents", "repository_refs", "organizations", "version_files", "texts"]
        .iter()
        .map(|table| world.database.rows(&format!("SELECT * FROM {table} ORDER BY 1, 2")))
        .collect()
}

/// The ways to fail, the requests that fail so, and what the operator reads.
fn troubles() -> Vec<(Trouble, Vec<Step>, &'static str)> {
    let every = || vec![Step::Capabilities, Step::Refs, Step::Fetch];
    vec![
        (Trouble::Status(401), every(), "the server refuses the credentials (HTTP 401); check `auth_credentials`"),
        (Trouble::Status(403), every(), "the server refuses the credentials (HTTP 403); check `auth_credentials`"),
        (
            Trouble::Status(404),
            every(),
            "there is no repository at this address, or the credentials may not see it (HTTP 404)",
        ),
        (Trouble::Status(500), every(), "the server answers with HTTP 500"),
        (Trouble::Status(429), every(), "the server answers with HTTP 429"),
        (Trouble::Html, vec![Step::Capabilities], "the address does not answer as a git repository"),
        (Trouble::Unreachable, every(), "the server cannot be reached: connection refused"),
        (Trouble::TimedOut, every(), "the server did not answer within 30 s"),
        (Trouble::BrokenOff, every(), "the server's answer broke off: connection reset"),
        (Trouble::Truncated, vec![Step::Fetch], "the server's answer is incomplete"),
        (Trouble::Corrupted, vec![Step::Fetch], "the pack's checksum does not fit its content"),
        (
            Trouble::Redirect("https://10.0.0.1/x".to_owned()),
            every(),
            "the server redirects to an address that must not lead to a private, loopback or link-local address",
        ),
        (
            Trouble::Redirect("http://git.test/x".to_owned()),
            every(),
            "the server redirects to an address that must start with https://",
        ),
        (
            Trouble::Redirect("https://user:word@git.test/x".to_owned()),
            every(),
            "the server redirects to an address that must not hold credentials; put them into `auth_credentials`",
        ),
        (Trouble::Redirect("https://git.test/loop".to_owned()), every(), "the server redirects more than 5 times"),
    ]
}

#[tokio::test]
async fn a_first_sync_that_fails_publishes_nothing_and_the_next_one_everything() {
    for (trouble, steps, error) in troubles() {
        for step in steps {
            let world = World::new();
            let repo = world.repository("acme/lib");
            repo.tag("1.0.0");
            world.host.require_login(&repo, "x-access-token", SECRET);
            let id = world.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
            let before = published(&world);
            world.host.trouble_with(step, trouble.clone());
            world.settle().await;
            let view = world.repository_view(&id).await;
            assert_eq!(
                (&view["sync_status"], &view["error"]),
                (&json!("failed"), &json!(error)),
                "{trouble:?} {step:?}"
            );
            assert_eq!(view["last_synced_at"], json!(null));
            assert_eq!(world.last_run()["error"], error);
            assert_eq!(published(&world), before, "{trouble:?} {step:?}");
            assert_nothing_is_told(&world, &view);
            world.host.recover();
            assert_eq!(world.sync(&id).await["sync_status"], "ok", "{trouble:?} {step:?}");
            assert_eq!(world.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 2})]);
        }
    }
}

fn assert_nothing_is_told(world: &World, view: &Value) {
    let encoded = STANDARD.encode(format!("x-access-token:{SECRET}"));
    let log = logs::text();
    let runs = json!(world.runs()).to_string();
    for text in [log, runs, view.to_string(), json!(world.database.rows("SELECT * FROM repositories")).to_string()] {
        assert!(!text.contains(SECRET) && !text.contains(&encoded), "{text}");
    }
}

#[tokio::test]
async fn a_later_sync_that_fails_leaves_what_is_published_untouched() {
    for (trouble, steps, error) in troubles() {
        // A later sync asks for the capabilities only when the refs fail.
        for step in steps.into_iter().filter(|step| *step != Step::Capabilities) {
            let world = World::new();
            let (repo, id) = world.published("acme/lib", &["1.0.0"]).await;
            let token = world.reader().await;
            let document = world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
            let before = published(&world);
            repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
            repo.tag("2.0.0");
            world.host.trouble_with(step, trouble.clone());
            let view = world.sync(&id).await;
            assert_eq!(
                (&view["sync_status"], &view["error"]),
                (&json!("failed"), &json!(error)),
                "{trouble:?} {step:?}"
            );
            assert_eq!(published(&world), before, "{trouble:?} {step:?}");
            let ask = world.get("/p2/acme/lib.json").basic(&token).composer().since(&document);
            ask.send().await.expect(304);
            world.get("/dist/acme/lib/1.0.0.zip").basic(&token).send().await.expect(200);
            world.host.recover();
            assert_eq!(world.sync(&id).await["sync_status"], "ok");
            let after = world.get("/p2/acme/lib.json").basic(&token).composer().since(&document).send().await;
            assert_eq!(after.expect(200).version_names("acme/lib"), ["2.0.0", "1.0.0"]);
        }
    }
}

#[tokio::test]
async fn what_passes_at_the_second_attempt_is_no_failure() {
    for trouble in [Trouble::Status(502), Trouble::Status(503), Trouble::Unreachable] {
        for step in [Step::Capabilities, Step::Refs, Step::Fetch] {
            let world = World::new();
            let repo = world.repository("acme/lib");
            let id = world.register(&repo).await;
            world.host.trouble_once(step, trouble.clone());
            world.settle().await;
            assert_eq!(world.repository_view(&id).await["sync_status"], "ok", "{trouble:?} {step:?}");
            assert_eq!(world.last_run()["requests"], 4);
        }
    }
}

#[tokio::test]
async fn the_servers_own_words_reach_the_operator() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let id = world.register(&repo).await;
    world.host.trouble_with(Step::Refs, Trouble::Says(b"001dERR quota exceeded, sorry".to_vec()));
    world.settle().await;
    let error = world.repository_view(&id).await["error"].as_str().expect("an error").to_owned();
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
        let world = World::new();
        let repo = world.repository("acme/lib");
        world.host.require_login(&repo, user, password);
        let spec = json!({"url": repo.url, "vcs_type": vcs_type, "auth_credentials": credentials});
        let id = world.register_as(spec).await;
        world.settle().await;
        let view = world.repository_view(&id).await;
        assert_eq!(view["sync_status"], "ok", "{vcs_type}: {view}");
        let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        assert!(world.host.take_seen().iter().all(|seen| seen.authorization.as_deref() == Some(&expected)));
    }
    let world = World::new();
    let repo = world.repository("acme/lib");
    world.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
    world
        .host
        .trouble_once(Step::Capabilities, Trouble::Redirect("https://evil.test/acme/lib.git/info/refs".to_owned()));
    world.settle().await;
    let seen = world.host.take_seen();
    assert!(seen[0].url.starts_with("https://git.test/") && seen[0].authorization.is_some());
    assert!(seen[1].url.starts_with("https://evil.test/") && seen[1].authorization.is_none());
}

#[tokio::test]
async fn stored_credentials_are_sealed_and_open_only_with_the_key() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    world.host.require_login(&repo, "x-access-token", SECRET);
    let id = world.register_as(json!({"url": repo.url, "auth_credentials": SECRET})).await;
    let stored = &world.database.rows("SELECT credentials FROM repositories")[0]["credentials"];
    assert!(stored.as_str().is_some_and(|text| text.starts_with("v1.") && !text.contains(SECRET)));
    assert!(!world.repository_view(&id).await.to_string().contains(stored.as_str().expect("text")));
    world.database.execute("UPDATE repositories SET credentials = replace(credentials, 'v1.', 'v1.00')");
    world.settle().await;
    let view = world.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    assert_nothing_is_told(&world, &view);
}

#[tokio::test]
async fn without_an_encryption_key_credentials_are_refused_and_public_repositories_work() {
    let world = World::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let repo = world.repository("acme/lib");
    let spec = json!({"url": repo.url, "auth_credentials": SECRET});
    let reply = world.post("/api/repositories").bearer(crate::support::ADMIN).json(&spec).send().await.expect(500);
    let error = reply.json()["error"].as_str().expect("text").to_owned();
    assert!(error.contains("ENCRYPTION_KEY is not set"), "{error}");
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM repositories"), [json!({"n": 0})]);
    let id = world.register(&repo).await;
    world.settle().await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_empty_repository_says_so() {
    let world = World::new();
    let repo = world.host.serve("acme/empty");
    let id = world.register(&repo).await;
    world.settle().await;
    assert_eq!(world.repository_view(&id).await["error"], "the repository has no branches yet");
    repo.commit(&[manifest("acme/empty")]);
    assert_eq!(world.sync(&id).await["sync_status"], "ok");
}

#[tokio::test]
async fn an_object_that_the_server_withholds_fails_the_sync_and_condemns_no_ref() {
    let world = World::new();
    let repo = world.host.serve("acme/mono");
    let tool = [file("tool/composer.json", r#"{"name":"acme/tool"}"#), file("tool/README.md", "# Tool")];
    repo.commit(&tool);
    let id = world.register_as(json!({"url": repo.url, "path": "tool"})).await;
    world.settle().await;
    let before = published(&world);
    repo.commit(&[&tool[..1], &[file("tool/README.md", "# Another tool")]].concat());
    repo.tag("1.0.0");
    for path in ["main", "main:tool/README.md"] {
        let object = repo.git(&["rev-parse", path], b"");
        world.host.withhold(&repo, Some(&object));
        let view = world.sync(&id).await;
        assert_eq!(view["sync_status"], "failed", "{path}");
        assert_eq!(published(&world), before, "{path}");
    }
    let object = repo.git(&["rev-parse", "main:tool/README.md"], b"");
    let error = format!("the server did not send the object {object}, although it was asked for it");
    assert_eq!(world.repository_view(&id).await["error"], error);
    world.host.withhold(&repo, None);
    assert_eq!(world.sync(&id).await["sync_status"], "ok");
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM versions"), [json!({"n": 2})]);
}

#[tokio::test]
async fn refs_with_unusable_names_are_recorded_and_beyond_a_hundred_counted() {
    let world = World::new();
    let repo = world.repository("acme/lib");
    let commit = repo.id("main");
    let id = world.register(&repo).await;
    let unusable = format!("003c{commit} refs/tags/x..y\n").repeat(103);
    let answer = format!("003d{commit} refs/heads/main\n{unusable}0000");
    world.host.trouble_with(Step::Refs, Trouble::Says(answer.into_bytes()));
    world.settle().await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
    let skipped = world.skipped();
    assert_eq!(skipped.len(), 101);
    assert_eq!(skipped[0], ("refs/tags/x..y".to_owned(), "the name is not a valid ref name".to_owned()));
    assert_eq!(skipped[100], (String::new(), "and 3 more refs with unusable names".to_owned()));
}
