//! What a credential that is limited to some packages may do with repositories.

use http::Method;
use serde_json::{Value, json};

use crate::sources::git::sync::versions;
use crate::support::{ADMIN, Repo, TestRegistry, TestResponse, file, manifest};

/// A token that reads and writes repositories and packages, and is limited to `acme/`.
async fn limited(registry: &TestRegistry) -> String {
    limited_to(registry, &json!({"allowed_package_prefixes": ["acme/"]})).await
}

async fn limited_to(registry: &TestRegistry, limits: &Value) -> String {
    let mut spec = json!({"description": "limited", "permissions": "write"});
    spec.as_object_mut().expect("an object").extend(limits.as_object().expect("an object").clone());
    registry.token(&spec).await.1
}

async fn send(registry: &TestRegistry, token: &str, method: &Method, path: &str, body: Option<Value>) -> TestResponse {
    let request = registry.isolate.request(method.clone(), path).bearer(token);
    match body {
        Some(body) => request.json(&body).send().await,
        None => request.send().await,
    }
}

async fn listed(registry: &TestRegistry, token: &str, query: &str) -> Vec<String> {
    let answer = registry.get(&format!("/api/repositories{query}")).bearer(token).send().await.expect(200);
    let rows = answer.json();
    let ids: Vec<String> =
        rows.as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("text").to_owned()).collect();
    assert_eq!(answer.header("x-total-count"), ids.len().to_string());
    ids
}

async fn register(registry: &TestRegistry, token: &str, spec: &Value) -> TestResponse {
    registry.post("/api/repositories").bearer(token).json(spec).send().await
}

/// Makes the repository's default branch name another package.
fn rename(repo: &Repo, name: &str) {
    repo.commit(&[manifest(name), file("renamed.txt", name)]);
}

#[tokio::test]
async fn it_has_the_repositories_all_of_whose_packages_it_covers_and_no_others() {
    let registry = TestRegistry::new();
    let (_, own) = registry.published("acme/lib", &["1.0.0"]).await;
    let (_, foreign) = registry.published("other/lib", &["1.0.0"]).await;
    registry.upload("acme/zip", "1.0.0", crate::support::zips::package("acme/zip", "1.0.0")).await.expect(201);
    registry.composer_host.lazy("https://up.test");
    let upstream = registry.upstream("https://up.test").await;
    let filtered =
        registry.upstream_as(json!({"url": "https://up.test/sub", "package_filter": ["acme/x", "acme/y-*"]})).await;
    // Nobody knows yet what is in it.
    let unknown = registry.register(&registry.git_host.serve("acme/unknown")).await;
    registry.run_until_idle_with_failures().await;
    let token = limited(&registry).await;
    let uploads = listed(&registry, ADMIN, "?kind=artifact").await.pop().expect("the one of uploads");

    assert_eq!(listed(&registry, &token, "").await, [own.clone(), filtered.clone()]);
    assert_eq!(listed(&registry, &token, "?kind=git").await, [own.as_str()]);
    assert_eq!(listed(&registry, &token, "?sync_status=ok&kind=git").await, [own.as_str()]);
    assert_eq!(listed(&registry, &token, "?kind=artifact").await, [""; 0]);
    assert_eq!(listed(&registry, ADMIN, "").await.len(), 6);

    let before = registry.database.rows("SELECT * FROM repositories ORDER BY id");
    for id in [&foreign, &uploads, &upstream, &unknown] {
        for (method, rest, body) in [
            (Method::GET, "", None),
            (Method::PATCH, "", Some(json!({"url": "https://git.test/acme/evil"}))),
            (Method::PUT, "", Some(json!({"url": "https://git.test/acme/evil"}))),
            (Method::DELETE, "", None),
            (Method::POST, "/sync", None),
            (Method::POST, "/verify", None),
            (Method::GET, "/syncs", None),
            (Method::GET, "/refs", None),
        ] {
            let path = format!("/api/repositories/{id}{rest}");
            let answer = send(&registry, &token, &method, &path, body).await.expect(404);
            assert_eq!(answer.json()["error"], "Repository not found", "{method} {path}");
        }
    }
    assert_eq!(registry.database.rows("SELECT * FROM repositories ORDER BY id"), before);
    for (method, rest) in
        [(Method::GET, "/syncs"), (Method::GET, "/refs"), (Method::POST, "/sync"), (Method::DELETE, "")]
    {
        send(&registry, &token, &method, &format!("/api/repositories/{own}{rest}"), None).await.expect(200);
    }
    // A filter that says nothing, or cannot be read, says nothing that is covered.
    for filter in ["[]", "nonsense"] {
        registry
            .database
            .execute(&format!("UPDATE repositories SET package_filter = '{filter}' WHERE uid = '{filtered}'"));
        assert_eq!(listed(&registry, &token, "").await, [""; 0], "{filter}");
    }
}

#[tokio::test]
async fn a_repository_of_which_it_covers_only_some_versions_is_not_its_own() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let token = limited_to(&registry, &json!({"grants": [{"package": "acme/lib", "constraint": "1.*"}]})).await;
    assert_eq!(listed(&registry, &token, "").await, [""; 0]);
    let answer = register(&registry, &token, &json!({"url": "https://git.test/acme/new"})).await.expect(403).json();
    assert!(
        answer["error"].as_str().expect("text").starts_with("Your credential covers no package with all its versions")
    );
}

#[tokio::test]
async fn what_it_registers_publishes_nothing_that_it_does_not_cover() {
    let registry = TestRegistry::new();
    let token = limited(&registry).await;
    let repo = registry.git_host.serve("acme/evil");
    rename(&repo, "other/lib");
    repo.tag("1.0.0");
    let view = register(&registry, &token, &json!({"url": repo.url})).await.expect(201).json();
    assert_eq!(view["package_filter"], json!(["acme/*"]));
    let id = view["id"].as_str().expect("text");
    registry.run_until_idle_with_failures().await;
    let view = send(&registry, &token, &Method::GET, &format!("/api/repositories/{id}"), None).await.expect(200).json();
    assert_eq!(view["sync_status"], "failed");
    assert_eq!(
        view["error"],
        "its package is called other/lib, which the `package_filter` of this repository leaves out; change that, or the name in its composer.json"
    );
    let token_of_all = registry.reader().await;
    assert_eq!(registry.listed_names(&token_of_all).await, json!([]));

    // Nothing but the refs is asked for until something changes.
    send(&registry, &token, &Method::POST, &format!("/api/repositories/{id}/sync"), None).await.expect(200);
    let ((), calls) = registry
        .counted(async {
            registry.run_until_idle_with_failures().await;
        })
        .await;
    assert_eq!(calls.upstream, 1);

    rename(&repo, "acme/lib");
    registry.sync(id).await;
    assert_eq!(versions(&registry, &token_of_all, "acme/lib").await.len(), 2);
    rename(&repo, "other/lib");
    send(&registry, &token, &Method::POST, &format!("/api/repositories/{id}/sync"), None).await.expect(200);
    registry.run_until_idle_with_failures().await;
    assert_eq!(registry.listed_names(&token_of_all).await, json!(["acme/lib"]), "a new name changes nothing");
}

#[tokio::test]
async fn its_filter_holds_nothing_that_it_does_not_cover() {
    let registry = TestRegistry::new();
    registry.composer_host.lazy("https://up.test");
    let token = limited(&registry).await;
    for (filter, status) in
        [(json!(["acme/lib", "acme/x-*"]), 201), (json!(["acme/lib", "other/*"]), 403), (json!(["*"]), 403)]
    {
        let path = filter.to_string().len();
        let spec = json!({"kind": "composer", "url": format!("https://up.test/{path}"), "package_filter": filter});
        register(&registry, &token, &spec).await.expect(status);
    }
    let spec = json!({"kind": "composer", "url": "https://up.test/none"});
    let view = register(&registry, &token, &spec).await.expect(201).json();
    assert_eq!(view["package_filter"], json!(["acme/*"]));
    let path = format!("/api/repositories/{}", view["id"].as_str().expect("text"));
    send(&registry, &token, &Method::PATCH, &path, Some(json!({"package_filter": ["other/lib"]}))).await.expect(403);
    let cleared =
        send(&registry, &token, &Method::PATCH, &path, Some(json!({"package_filter": null}))).await.expect(200);
    assert_eq!(cleared.json()["package_filter"], json!(["acme/*"]));
    let cleared =
        send(&registry, ADMIN, &Method::PATCH, &path, Some(json!({"package_filter": null}))).await.expect(200);
    assert_eq!(cleared.json()["package_filter"], json!(null), "who sees everything may lift it");
    send(&registry, &token, &Method::GET, &path, None).await.expect(404);
    let refused = register(&registry, &token, &json!({"kind": "artifact"})).await.expect(403).json();
    assert!(refused["error"].as_str().expect("text").starts_with("The repository of uploaded zips is everybody's."));
}

#[tokio::test]
async fn what_it_changes_is_bound_to_what_it_covers_and_read_with_credentials_of_its_own() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/lib");
    repo.commit(&[manifest("acme/lib")]);
    repo.tag("1.0.0");
    let other = registry.git_host.serve("acme/secret");
    rename(&other, "other/secret");
    let spec = json!({"url": repo.url, "credential_type": "token", "auth_credentials": "an organization's token"});
    let id = registry.register_as(spec).await;
    registry.run_until_idle().await;
    let token = limited(&registry).await;
    let address = format!("/api/repositories/{id}");
    let patch = async |token: &str, body: Value| send(&registry, token, &Method::PATCH, &address, Some(body)).await;
    let refused = patch(&token, json!({"url": other.url})).await.expect(400).json();
    assert!(refused["details"]["auth_credentials"].to_string().contains("your credential is limited to some packages"));
    let moved = patch(&token, json!({"url": other.url, "credential_type": "token", "auth_credentials": "mine"})).await;
    assert_eq!(moved.expect(200).json()["package_filter"], json!(["acme/*"]));
    registry.run_until_idle_with_failures().await;
    let reader = registry.reader().await;
    assert_eq!(registry.listed_names(&reader).await, json!(["acme/lib"]));
    let hosts = json!([{"host": "zips.test", "credential_type": "token", "auth_credentials": "of the zips' host"}]);
    patch(ADMIN, json!({"host_credentials": hosts})).await.expect(200);
    let elsewhere = json!({"url": repo.url, "credential_type": "token", "auth_credentials": "mine"});
    let refused = patch(&token, elsewhere.clone()).await.expect(400).json();
    assert!(refused["details"]["host_credentials"].to_string().contains("your credential is limited to some packages"));
    let mut kept = elsewhere.clone();
    kept["host_credentials"] = json!([{"host": "zips.test"}]);
    patch(&token, kept).await.expect(400);
    // Whoever sees everything may move it with what it has.
    patch(ADMIN, json!({"url": repo.url})).await.expect(200);
}

#[tokio::test]
async fn a_filter_of_a_git_repository_takes_effect_at_once() {
    let registry = TestRegistry::new();
    let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
    let reader = registry.reader().await;
    let address = format!("/api/repositories/{id}");
    let patch = async |body: Value| send(&registry, ADMIN, &Method::PATCH, &address, Some(body)).await.expect(200);
    patch(json!({"package_filter": ["acme/l*"]})).await;
    registry.run_until_idle().await;
    assert_eq!(registry.listed_names(&reader).await, json!(["acme/lib"]));
    patch(json!({"package_filter": ["acme/other"]})).await;
    assert_eq!(registry.listed_names(&reader).await, json!([]));
    registry.run_until_idle_with_failures().await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "failed");
    patch(json!({"package_filter": null})).await;
    registry.run_until_idle().await;
    assert_eq!(registry.listed_names(&reader).await, json!(["acme/lib"]));
}

#[tokio::test]
async fn of_a_monorepo_it_registers_the_packages_that_it_covers() {
    let registry = TestRegistry::new();
    let repo = registry.git_host.serve("acme/mono");
    let package = |directory: &str, name: &str| {
        file(&format!("packages/{directory}/composer.json"), json!({"name": name}).to_string())
    };
    repo.commit(&[package("a", "acme/a"), package("b", "other/b")]);
    let token = limited(&registry).await;
    let spec = json!({"url": repo.url, "path": "packages/*"});
    let answer = registry.post("/api/repositories/monorepo").bearer(&token).json(&spec).send().await.expect(200).json();
    let skipped = json!([{"path": "packages/b", "reason": "its package other/b is left out by `package_filter`"}]);
    assert_eq!(answer["skipped"], skipped);
    assert_eq!(answer["repositories"][0]["package_filter"], json!(["acme/*"]));
    assert_eq!(answer["repositories"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn who_covers_more_names_than_a_filter_may_have_says_which_it_means() {
    let registry = TestRegistry::new();
    let prefixes: Vec<String> = (0..101).map(|number| format!("acme{number}/")).collect();
    let token = limited_to(&registry, &json!({ "allowed_package_prefixes": prefixes })).await;
    let url = registry.repository("acme7/lib").url;
    let refused = register(&registry, &token, &json!({ "url": url })).await.expect(400);
    let detail = "`package_filter`: is required: your credential covers more than 100 names, so say which ones";
    assert_eq!(refused.json()["error"], detail);
    register(&registry, &token, &json!({"url": url, "package_filter": ["acme7/*"]})).await.expect(201);
}
