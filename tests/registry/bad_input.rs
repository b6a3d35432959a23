//! Requests and repositories that are wrong: a clear refusal or a recorded skip, and nothing half-written.

use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry, file, manifest};

fn repositories(registry: &TestRegistry) -> i64 {
    registry.database.rows("SELECT count(*) AS n FROM repositories")[0]["n"].as_i64().expect("a number")
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_json_is_refused_on_every_surface() {
    let registry = TestRegistry::new();
    let (id, _) = registry.token(&json!({"description": "a"})).await;
    let tokens = format!("/api/tokens/{id}");
    let mut requests = Vec::new();
    for body in ["", "  ", "{", "nonsense", "[]", "null", "\"text\"", "5", "{}{}", "{\"description\":\"\u{0}"] {
        requests.push((registry.post("/api/tokens").body(body), body));
        requests.push((registry.patch(&tokens).body(body), body));
        requests.push((registry.post("/api/repositories").body(body), body));
        requests.push((registry.post("/notify-batch").body(body), body));
    }
    for (request, body) in requests {
        let reply = request.bearer(ADMIN).send().await.expect(400);
        assert_eq!(reply.json()["code"], "INVALID_REQUEST", "{body}");
        assert_eq!(reply.header("content-type"), "application/json");
    }
    let not_utf8 = registry.post("/api/tokens").bearer(ADMIN).body(&b"{\"description\":\"\xff\"}"[..]);
    not_utf8.send().await.expect(400);
    let deep = registry.post("/api/tokens").bearer(ADMIN).body("[".repeat(100_000));
    deep.send().await.expect(400);
    assert_eq!(repositories(&registry), 0);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM tokens"), [json!({"n": 1})]);
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused_with_the_limit() {
    let registry = TestRegistry::new();
    let huge = json!({"description": "x".repeat(10 << 20)}).to_string();
    for (path, limit) in [("/api/tokens", 1_048_576), ("/api/repositories", 1_048_576), ("/notify-batch", 524_288)] {
        let reply = registry.post(path).bearer(ADMIN).body(huge.clone()).send().await.expect(400);
        assert_eq!(reply.json()["error"], format!("The request body is larger than {limit} bytes."), "{path}");
        registry.post(path).body(huge.clone()).send().await.expect(401);
    }
}

#[tokio::test]
async fn a_repository_that_cannot_be_one_is_refused_field_by_field() {
    let registry = TestRegistry::new();
    let url = "https://git.test/acme/lib.git";
    for (body, field, detail) in [
        (json!({"url": url, "branch": "x"}), "branch", "unknown field"),
        (json!({"url": 5}), "url", "invalid type: integer `5`, expected a string"),
        (json!({"url": ""}), "url", "is not a URL; use https://host/path"),
        (json!({"url": "acme/lib"}), "url", "is not a URL; use https://host/path"),
        (json!({"url": "ssh://git:word@github.com/acme/lib"}), "url", "must start with https://"),
        (json!({"url": "http://github.com/acme/lib"}), "url", "must start with https://"),
        (json!({"url": "file:///etc/passwd"}), "url", "must start with https://"),
        (json!({"url": "https://localhost/x"}), "url", "must not lead to a private, loopback or link-local address"),
        (json!({"url": "https://127.0.0.1/x"}), "url", "must not lead to a private, loopback or link-local address"),
        (json!({"url": "https://[::1]/x"}), "url", "must not lead to a private, loopback or link-local address"),
        (
            json!({"url": "https://169.254.169.254/x"}),
            "url",
            "must not lead to a private, loopback or link-local address",
        ),
        (
            json!({"url": "https://ada:word@github.com/acme/lib"}),
            "url",
            "must not hold credentials; put them into `auth_credentials`",
        ),
        (json!({"url": "https://git.test/acme/lib?x=1"}), "url", "must not have a query or a fragment"),
        (
            json!({"url": format!("https://git.test/{}", "a".repeat(2048))}),
            "url",
            "must not be longer than 2048 characters",
        ),
        (
            json!({"url": url, "vcs_type": "svn"}),
            "vcs_type",
            "`svn` is none of `git`, `github`, `gitlab`, `bitbucket`, `gitea`, `composer`",
        ),
        (
            json!({"url": url, "path": "../secret"}),
            "path",
            "the directory is not a plain relative path: it would leave its directory",
        ),
        (json!({"url": url, "tag_filter": []}), "tag_filter", "must hold 1 to 100 globs, or be null for all"),
        (
            json!({"url": url, "branch_filter": [""]}),
            "branch_filter",
            "holds a glob that is empty, too long or has control characters",
        ),
        (
            json!({"url": url, "credential_type": "kerberos"}),
            "credential_type",
            "`kerberos` is not one of `none`, `token`, `basic`",
        ),
        (
            json!({"url": url, "credential_type": "token"}),
            "auth_credentials",
            "must be the token, or an object with `token`",
        ),
        (
            json!({"url": url, "credential_type": "none", "auth_credentials": "x"}),
            "auth_credentials",
            "must be absent when `credential_type` is `none`",
        ),
        (
            json!({"url": url, "auth_credentials": "line\nbreak"}),
            "auth_credentials",
            "must be neither empty nor longer than 4096 bytes, without control characters",
        ),
        (
            json!({"url": url, "auth_credentials": {"token": "x", "scope": "y"}}),
            "auth_credentials",
            "has an unknown field `scope`",
        ),
        (
            json!({"url": url, "auth_credentials": {"username": "x"}}),
            "auth_credentials",
            "needs a `password` beside `username`",
        ),
    ] {
        let reply = registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await.expect(400);
        assert_eq!(reply.json()["code"], "INVALID_REQUEST");
        assert_eq!(reply.json()["details"], json!({field: [detail]}), "{body}");
    }
    let missing = registry.post("/api/repositories").bearer(ADMIN).json(&json!({})).send().await.expect(400);
    assert!(missing.json()["error"].as_str().is_some_and(|error| error.contains("`url`")), "{}", missing.text());
    assert_eq!(repositories(&registry), 0);
    assert_eq!(registry.tasks.jobs(), []);
}

#[tokio::test]
async fn a_local_registry_may_be_told_to_allow_private_upstreams() {
    let registry = TestRegistry::with(|config| config.allow_private_upstreams = true);
    for url in ["http://127.0.0.1:8080/repo.git", "https://localhost/repo.git", "http://git/repo.git"] {
        registry.register_as(json!({"url": url})).await;
    }
    let body = json!({"url": "http://ada:word@127.0.0.1/x"});
    registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await.expect(400);
}

#[tokio::test]
async fn the_same_repository_is_registered_once_for_each_path() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    registry.register(&repo).await;
    for (body, status) in [
        (json!({"url": repo.url}), 409),
        (json!({"url": format!("{}/", repo.url)}), 409),
        (json!({"url": repo.url.to_uppercase().replace("/ACME/LIB.GIT", "/acme/lib.git")}), 409),
        (json!({"url": repo.url, "path": "/"}), 409),
        (json!({"url": repo.url, "path": "a"}), 201),
        (json!({"url": repo.url, "path": "a/"}), 409),
    ] {
        let reply = registry.post("/api/repositories").bearer(ADMIN).json(&body).send().await.expect(status);
        if status == 409 {
            let error = "This repository is registered already. Use that one, or remove it first.";
            assert_eq!(reply.json(), json!({"error": error, "code": "CONFLICT", "details": {}}), "{body}");
        }
    }
    assert_eq!(repositories(&registry), 2);
}

#[tokio::test]
async fn two_registrations_at_once_are_one_repository_and_one_conflict() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let request = || registry.post("/api/repositories").bearer(ADMIN).json(&json!({"url": repo.url})).send();
    let (first, second) = tokio::join!(request(), request());
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!((repositories(&registry), registry.tasks.jobs().len()), (1, 1));
}

/// A composer.json that cannot be published, and what is said of it.
fn manifests() -> Vec<(&'static str, &'static str)> {
    vec![
        ("{", "composer.json is not JSON"),
        ("", "composer.json is empty"),
        ("nonsense", "composer.json is not JSON"),
        ("\u{feff}{\"name\":\"acme/lib\"}", "composer.json is not JSON: it begins with a byte order mark (UTF-8)"),
        ("[]", "composer.json must be an object, not a list"),
        ("\"acme/lib\"", "composer.json must be an object, not a string"),
        ("null", "composer.json must be an object, not null"),
        (r#"{"name":"acme/lib","require":{"php":"not a constraint!"}}"#, "require.php"),
        (r#"{"name":"acme/lib","require":["php"]}"#, "require"),
        (r#"{"name":"acme/lib","source":{}}"#, ""),
        (r#"{"name":"acme/lib","source":"x"}"#, ""),
        (r#"{"name":["acme/lib"]}"#, "name"),
    ]
}

#[tokio::test]
async fn a_default_branch_without_a_usable_composer_json_fails_the_sync_with_the_reason() {
    let mut all: Vec<(Option<&str>, &str)> = manifests()
        .into_iter()
        .filter(|(_, reason)| !reason.is_empty())
        .map(|(text, reason)| (Some(text), reason))
        .collect();
    all.extend([
        (None, "it has no composer.json"),
        (Some("{}"), "name: must be present, as text of the form vendor/package"),
        (Some(r#"{"description":"x"}"#), "name: must be present, as text of the form vendor/package"),
        (Some(r#"{"name":"acme"}"#), "acme"),
        (Some(r#"{"name":"acme/../lib"}"#), "acme/../lib"),
        (Some(r#"{"name":"ext-json"}"#), "platform package"),
    ]);
    for (text, reason) in all {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        let files = text.map_or_else(|| vec![file("x", "x")], |text| vec![file("composer.json", text)]);
        repo.commit(&files);
        repo.tag("1.0.0");
        let id = registry.register(&repo).await;
        registry.run_until_idle().await;
        let view = registry.repository_view(&id).await;
        let error = view["error"].as_str().unwrap_or_else(|| panic!("{text:?}: {view}")).to_owned();
        let start = "nothing tells the package's name: of the default branch `main`, ";
        assert!(error.starts_with(start) && error.contains(reason), "{text:?}: {error}");
        assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})], "{text:?}");
        repo.commit(&[manifest("acme/lib")]);
        assert_eq!(registry.sync(&id).await["sync_status"], "ok", "{text:?}");
    }
}

#[tokio::test]
async fn a_tag_without_a_usable_composer_json_is_skipped_with_the_reason_and_the_others_are_published() {
    for (text, reason) in manifests() {
        let registry = TestRegistry::new();
        let repo = registry.git_host.serve("acme/lib");
        repo.commit(&[file("composer.json", text)]);
        repo.tag("1.0.0");
        repo.commit(&[manifest("acme/lib")]);
        repo.tag("1.1.0");
        let id = registry.register(&repo).await;
        registry.run_until_idle().await;
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{text}");
        let token = registry.reader().await;
        let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
        let names = document.version_names("acme/lib");
        // What the registry writes itself (name, source) may be anything in the author's file.
        if names.len() == 2 {
            let ours = json!({"type": "git", "url": repo.url, "reference": repo.id("1.0.0")});
            assert_eq!(document.versions("acme/lib")[1]["source"], ours, "{text}");
            assert_eq!(document.versions("acme/lib")[1]["name"], "acme/lib", "{text}");
            continue;
        }
        assert_eq!(names, ["1.1.0"], "{text}");
        let skipped = registry.skipped();
        assert_eq!(skipped.len(), 1, "{text}: {skipped:?}");
        assert_eq!(skipped[0].0, "refs/tags/1.0.0");
        assert!(skipped[0].1.contains(reason), "{text}: {}", skipped[0].1);
    }
}

#[tokio::test]
async fn refs_with_odd_names_are_published_or_skipped_but_never_stop_a_sync() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let odd = ["1.0.0@beta", "1.0.0+build.5", "v1#2", "1~2", "50%", "ümlaut", "1.0.0-ß", "$(id)", "a'b\"c", "--help"];
    for name in odd {
        for kind in ["tags", "heads"] {
            let reference = format!("refs/{kind}/{name}");
            let (_, valid) = crate::support::repo::git_in(repo.folder(), &["check-ref-format", &reference], &[], b"");
            if valid {
                repo.git(&["update-ref", &reference, "refs/heads/main"], b"");
            }
        }
    }
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let refs = registry.database.rows("SELECT name, version, reason FROM repository_refs");
    assert!(refs.len() > odd.len());
    assert!(refs.iter().all(|row| row["version"].is_string() || row["reason"].is_string()), "{refs:?}");
    let token = registry.reader().await;
    for part in ["", "~dev"] {
        let path = format!("/p2/acme/lib{part}.json");
        let document = registry.get(&path).basic(&token).composer().send().await.expect(200);
        for version in document.versions("acme/lib") {
            let url = version["dist"]["url"].as_str().expect("a URL").to_owned();
            let path = url.strip_prefix("https://registry.test").expect("ours");
            let zip = registry.get(path).basic(&token).send().await;
            assert_eq!(zip.status, 200, "{path} of {}", version["version_normalized"]);
        }
    }
}

#[tokio::test]
async fn queries_that_are_wrong_are_refused_for_people_and_forgiven_for_composer() {
    let registry = TestRegistry::new();
    for (path, detail) in [
        ("/api/packages?colour=x", "Unknown query parameter: `colour`"),
        ("/api/packages?limit=0", "`limit`: must be between 1 and 1000"),
        ("/api/repositories?offset=-1", "`offset`: must not be negative"),
    ] {
        let reply = registry.get(path).bearer(ADMIN).send().await.expect(400);
        assert_eq!(reply.json()["error"], detail, "{path}");
    }
    registry.get("/api/packages?limit=many").bearer(ADMIN).send().await.expect(400);
    for path in ["/list.json?colour=x", "/search.json?page=2&q=%ff", "/search.json?q=a&q=b", "/packages.json?x"] {
        registry.get(path).bearer(ADMIN).send().await.expect(200);
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_answered_in_the_surfaces_dialect() {
    let registry = TestRegistry::new();
    let nothing: Value = json!("There is nothing at this address. See /api/openapi.json for what there is.");
    for path in ["/api", "/api/", "/api/nothing", "/api/tokens/1/2"] {
        let reply = registry.get(path).bearer(ADMIN).send().await.expect(404);
        assert_eq!(reply.json(), json!({"error": nothing, "code": "NOT_FOUND", "details": {}}), "{path}");
    }
    let reply = registry.get("/nothing").send().await.expect(404);
    assert_eq!(reply.json(), json!({"error": nothing, "code": "NOT_FOUND", "details": {}, "warning": nothing}));
    for request in [registry.patch("/api/tokens"), registry.patch("/api/repositories"), registry.post("/packages.json")]
    {
        let reply = request.bearer(ADMIN).send().await.expect(405);
        assert_eq!(reply.json()["code"], "METHOD_NOT_ALLOWED");
    }
}
