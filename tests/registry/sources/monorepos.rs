//! Registering all packages of a monorepo in one call.

use serde_json::{Value, json};

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, File, HostFault, Repo, Step, TestRegistry, TestResponse, file, manifest};

const PATH: &str = "/api/repositories/monorepo";

fn package(directory: &str, name: &str) -> Vec<File> {
    let json = json!({ "name": name }).to_string();
    vec![file(&format!("{directory}/composer.json"), json), file(&format!("{directory}/src/X.php"), directory)]
}

/// A repository with two packages, each with a tag of its own, and directories that are none.
fn monorepo(registry: &TestRegistry) -> Repo {
    let repo = registry.git_host.serve("acme/mono");
    let odd = vec![
        file("packages/docs/index.md", "# Docs"),
        file("packages/unnamed/composer.json", "{}"),
        file("packages/broken/composer.json", "{"),
        file("packages/README.md", "# Packages"),
        file("other/deep/api/composer.json", r#"{"name":"acme/deep"}"#),
    ];
    let all = [package("packages/api", "acme/api-client"), package("packages/web", "acme/web"), odd];
    repo.commit(&[&all.concat()[..], &package("packages/zz-copy", "acme/web"), &[manifest("acme/root")]].concat());
    repo.tag("api-v1.0.0");
    repo.tag("web-v2.0.0");
    repo
}

async fn register(registry: &TestRegistry, spec: Value) -> TestResponse {
    registry.post(PATH).bearer(ADMIN).json(&spec).send().await
}

/// Path and prefix of tags of what was registered.
fn registered(answer: &Value) -> Vec<(String, Value)> {
    let repositories = answer["repositories"].as_array().expect("a list");
    repositories
        .iter()
        .map(|view| (view["path"].as_str().expect("text").to_owned(), view["tag_prefix"].clone()))
        .collect()
}

fn skipped(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let skipped = answer["skipped"].as_array().expect("a list");
    skipped.iter().map(|one| (text(&one["path"]), text(&one["reason"]))).collect()
}

#[tokio::test]
async fn every_package_of_a_monorepo_is_registered_with_its_directory_and_its_tags() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry);
    let spec = json!({"url": repo.url, "path": "packages/*", "tag_prefix": "{directory}-v", "branch_filter": ["main"]});
    let answer = register(&registry, spec).await.expect(200).json();
    assert_eq!(
        registered(&answer),
        [("packages/api".to_owned(), json!("api-v")), ("packages/web".to_owned(), json!("web-v"))]
    );
    let of = |path: &str, reason: &str| (path.to_owned(), reason.to_owned());
    let told = skipped(&answer);
    assert_eq!(told[1], of("packages/docs", "it has no composer.json"));
    assert_eq!(
        told[2],
        of(
            "packages/unnamed",
            "composer.json cannot be published: name: must be present, as text of the form vendor/package"
        )
    );
    assert_eq!(told[3], of("packages/zz-copy", "its composer.json names acme/web, as that of packages/web does"));
    assert_eq!((told[0].0.as_str(), told.len()), ("packages/broken", 4));
    let api = &answer["repositories"][0];
    assert_eq!((&api["sync_status"], &api["branch_filter"]), (&json!("pending"), &json!(["main"])));
    let fetches = registry.git_host.take_steps();
    assert_eq!(
        fetches,
        [Step::Capabilities, Step::Refs, Step::Fetch, Step::Fetch],
        "the trees at once, then composer.json"
    );

    registry.run_until_idle().await;
    let token = registry.reader().await;
    assert_eq!(versions(&registry, &token, "acme/api-client").await, ["1.0.0", "dev-main"]);
    assert_eq!(versions(&registry, &token, "acme/web").await, ["2.0.0", "dev-main"]);
    assert_eq!(registry.listed_names(&token).await, json!(["acme/api-client", "acme/web"]));
    let entries = registry.audited("repository.created").await;
    let details: Vec<&Value> = entries.iter().map(|entry| &entry["details"]).collect();
    let noted = |path: &str| json!({"provider": "git", "path": path, "credential_type": "none"});
    assert_eq!(details, [&noted("packages/web"), &noted("packages/api")]);
    assert_eq!((&entries[1]["target"], &entries[1]["actor"]), (&api["id"], &json!("admin")));
}

#[tokio::test]
async fn the_call_can_be_repeated_when_there_are_new_packages() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry);
    let spec = json!({"url": repo.url, "path": "packages/*"});
    register(&registry, spec.clone()).await.expect(200);
    let all = [package("packages/api", "acme/api-client"), package("packages/new", "acme/new")].concat();
    repo.commit(&all);
    let answer = register(&registry, spec).await.expect(200).json();
    assert_eq!(registered(&answer), [("packages/new".to_owned(), json!(null))]);
    assert_eq!(skipped(&answer), [("packages/api".to_owned(), "it is registered already".to_owned())]);
    assert_eq!(registry.audited("repository.created").await.len(), 3);
}

#[tokio::test]
async fn a_monorepo_is_read_from_servers_of_every_ability_with_its_credentials() {
    for forbidden in [None, Some("combine"), Some("tree"), Some("blob:none")] {
        let registry = TestRegistry::new();
        let repo = monorepo(&registry);
        match forbidden {
            None => registry.git_host.forbid_filters(&repo),
            Some(kind) => registry.git_host.forbid_filter(&repo, kind),
        }
        registry.git_host.require_login(&repo, "x-access-token", "s3cret");
        let spec = json!({"url": repo.url, "path": "/packages/*/", "tag_prefix": "acme/{package}@"});
        let refused = register(&registry, spec.clone()).await.expect(502).json();
        let words =
            "The repository cannot be read: the server refuses the credentials (HTTP 401); check `auth_credentials`.";
        assert_eq!(refused["error"], words);
        let mut spec = spec;
        spec["auth_credentials"] = json!("s3cret");
        let answer = register(&registry, spec).await.expect(200).json();
        let expected =
            [("packages/api".to_owned(), json!("acme/api-client@")), ("packages/web".to_owned(), json!("acme/web@"))];
        assert_eq!(registered(&answer), expected, "{forbidden:?}");
        assert!(!answer.to_string().contains("s3cret"));
        registry.run_until_idle().await;
        let id = answer["repositories"][0]["id"].as_str().expect("text");
        assert_eq!(registry.repository_view(id).await["sync_status"], "ok", "the credentials are each one's own");
    }
}

#[tokio::test]
async fn what_cannot_be_a_monorepo_is_refused_and_registers_nothing() {
    let registry = TestRegistry::new();
    let repo = monorepo(&registry);
    let many: Vec<File> = (0..=500).map(|number| file(&format!("many/p{number}/a.php"), "<?php")).collect();
    repo.commit(&many);
    for (change, field) in [
        (json!({"path": ""}), "path"),
        (json!({"path": "packages/**"}), "path"),
        (json!({"path": "../*"}), "path"),
        (json!({"path": "nowhere/*"}), "path"),
        (json!({"tag_prefix": "{name}-v"}), "tag_prefix"),
        (json!({"tag_prefix": ""}), "tag_prefix"),
        (json!({"vcs_type": "composer"}), "vcs_type"),
        (json!({"url": "ftp://git.test/acme/mono"}), "url"),
        (json!({"source_protocol": "git"}), "source_protocol"),
        (json!({"tag_filter": []}), "tag_filter"),
    ] {
        let mut spec = json!({"url": repo.url, "path": "packages/*"});
        spec.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let refused = register(&registry, spec).await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{change}: {refused}");
    }
    let refused = register(&registry, json!({"url": repo.url, "path": "many/p*"})).await.expect(400).json();
    let words = "matches 501 directories; use a glob that matches 500 at most";
    assert_eq!(refused["details"]["path"], json!([words]));
    registry.git_host.inject_fault_at(Step::Refs, HostFault::Busy(429, "90".to_owned()));
    let busy = register(&registry, json!({"url": repo.url, "path": "packages/*"})).await.expect(503);
    assert_eq!(busy.header("retry-after"), "90");
    let token = registry.token(&json!({"description": "a reader", "scopes": ["repositories:read"]})).await.1;
    let spec = json!({"url": repo.url, "path": "packages/*"});
    registry.post(PATH).bearer(&token).json(&spec).send().await.expect(403);
    assert_eq!(registry.database.rows("SELECT * FROM repositories"), Vec::<Value>::new());
}
