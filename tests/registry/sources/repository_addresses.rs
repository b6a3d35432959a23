//! What people paste as the address of a git repository, and which address developers are shown.

use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry};

async fn registered(registry: &TestRegistry, spec: Value) -> Value {
    registry.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(201).json()
}

async fn change(registry: &TestRegistry, view: &Value, change: Value) -> Value {
    let path = format!("/api/repositories/{}", view["id"].as_str().expect("an id"));
    registry.patch(&path).bearer(ADMIN).json(&change).send().await.expect(200).json()
}

/// The address of its newest version that developers are shown.
async fn source_url(registry: &TestRegistry, name: &str) -> Value {
    let reply = registry.get_from_new_isolate(&format!("/p2/{name}~dev.json")).await.expect(200);
    reply.versions(name)[0]["source"]["url"].clone()
}

#[tokio::test]
async fn an_ssh_address_is_registered_by_https_and_synced() {
    let registry = TestRegistry::new();
    for (name, pasted) in [
        ("acme/one", "git@git.test:acme/one.git"),
        ("acme/two", "ssh://git@git.test/acme/two.git"),
        ("acme/three", "git.test/acme/three.git"),
    ] {
        registry.repository(name);
        let view = registered(&registry, json!({ "url": pasted })).await;
        let address = format!("https://git.test/{name}.git");
        assert_eq!((&view["url"], &view["vcs_type"]), (&json!(address), &json!("git")), "{pasted}");
        registry.run_until_idle().await;
        assert_eq!(source_url(&registry, name).await, address, "{pasted}");
        let again = registry.post("/api/repositories").bearer(ADMIN).json(&json!({ "url": address }));
        again.send().await.expect(409);
    }
}

#[tokio::test]
async fn a_page_of_a_branch_is_cut_and_that_of_a_directory_is_refused_with_the_address_to_use() {
    let registry = TestRegistry::new();
    let view = registered(&registry, json!({"url": "https://github.com/acme/lib/tree/main"})).await;
    assert_eq!((&view["url"], &view["vcs_type"]), (&json!("https://github.com/acme/lib"), &json!("github")));
    let page = json!({"url": "https://github.com/acme/mono/tree/main/packages/api"});
    let refused = registry.post("/api/repositories").bearer(ADMIN).json(&page).send().await.expect(400).json();
    let words =
        "is a page of the repository; use https://github.com/acme/mono, and name a package's directory in `path`";
    assert_eq!(refused["details"]["url"], json!([words]));
    for other in ["acme/lib", "ftp://git.test/acme/lib", "ssh://git:secret@git.test/acme/lib"] {
        registry.post("/api/repositories").bearer(ADMIN).json(&json!({ "url": other })).send().await.expect(400);
    }
}

#[tokio::test]
async fn the_host_tells_the_provider_unless_somebody_does() {
    let registry = TestRegistry::new();
    for (spec, expected) in [
        (json!({"url": "https://gitlab.com/acme/sub/lib"}), "gitlab"),
        (json!({"url": "https://bitbucket.org/acme/lib", "kind": "git"}), "bitbucket"),
        (json!({"url": "https://codeberg.org/acme/lib"}), "gitea"),
        (json!({"url": "https://gitlab.acme.test/acme/lib"}), "gitlab"),
        (json!({"url": "https://github.com/acme/plain", "vcs_type": "git"}), "git"),
        (json!({"url": "https://code.acme.test/acme/lib", "vcs_type": "gitea"}), "gitea"),
    ] {
        assert_eq!(registered(&registry, spec.clone()).await["vcs_type"], expected, "{spec}");
    }
    let told_by_host = registered(&registry, json!({"url": "https://github.com/acme/one"})).await;
    let moved = change(&registry, &told_by_host, json!({"url": "https://gitlab.com/acme/one"})).await;
    assert_eq!(moved["vcs_type"], "gitlab");
    let stated = registered(&registry, json!({"url": "https://github.com/acme/two", "vcs_type": "gitea"})).await;
    let moved = change(&registry, &stated, json!({"url": "https://gitlab.com/acme/two"})).await;
    assert_eq!(moved["vcs_type"], "gitea");
    let path = format!("/api/repositories/{}", stated["id"].as_str().expect("an id"));
    let replaced = json!({"url": "git@bitbucket.org:acme/two.git"});
    let replaced = registry.put(&path).bearer(ADMIN).json(&replaced).send().await.expect(200).json();
    assert_eq!(
        (&replaced["url"], &replaced["vcs_type"]),
        (&json!("https://bitbucket.org/acme/two.git"), &json!("bitbucket"))
    );
}

#[tokio::test]
async fn developers_are_shown_the_address_for_ssh_if_the_repository_says_so() {
    let registry = TestRegistry::new();
    registry.repository("acme/lib");
    let url = "https://git.test/acme/lib.git";
    let view = registered(&registry, json!({"url": url, "source_protocol": "ssh"})).await;
    assert_eq!((&view["url"], &view["source_protocol"]), (&json!(url), &json!("ssh")));
    registry.run_until_idle().await;
    assert_eq!(source_url(&registry, "acme/lib").await, "git@git.test:acme/lib.git");
    let changed = change(&registry, &view, json!({"source_protocol": "https"})).await;
    assert_eq!(changed["source_protocol"], "https");
    registry.run_until_idle().await;
    assert_eq!(source_url(&registry, "acme/lib").await, url, "without a change of its refs");
    change(&registry, &view, json!({"source_protocol": "ssh"})).await;
    assert_eq!(change(&registry, &view, json!({"source_protocol": null})).await["source_protocol"], "https");
    let events = registry.database.rows("SELECT details FROM audit_log WHERE action = 'repository.changed'");
    assert_eq!(events[0]["details"], r#"{"fields":["source_protocol"]}"#);
    for (spec, field) in [
        (json!({"url": "https://git.test/acme/x.git", "source_protocol": "git"}), "source_protocol"),
        (json!({"url": "https://satis.test", "kind": "composer", "source_protocol": "ssh"}), "source_protocol"),
    ] {
        let refused = registry.post("/api/repositories").bearer(ADMIN).json(&spec).send().await.expect(400).json();
        assert!(refused["details"][field].is_array(), "{refused}");
    }
}
