//! What a token's prefixes and its revocation mean on every surface, in this isolate and in others.

use serde_json::json;

use crate::support::{ADMIN, FaultTiming, Port, TestRegistry};

#[tokio::test]
async fn prefixes_hide_a_package_everywhere_as_if_it_did_not_exist() {
    let registry = TestRegistry::new();
    let (seen, _) = registry.published("acme/seen", &["1.0.0"]).await;
    let (hidden, _) = registry.published("other/hidden", &["1.0.0"]).await;
    let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    let request = async |path: &str| registry.get(path).basic(&token).composer().send().await;

    let root = request("/packages.json").await.expect(200).json();
    assert_eq!(root["available-package-patterns"], json!(["acme/*", "other/*"]), "claimed, whatever is seen of them");
    assert_eq!(request("/list.json").await.expect(200).json(), json!({"packageNames": ["acme/seen"]}));
    let found = request("/search.json?q=library").await.expect(200).json();
    assert_eq!((&found["total"], &found["results"][0]["name"]), (&json!(1), &json!("acme/seen")));
    assert_eq!(request("/p2/acme/seen.json").await.expect(200).version_names("acme/seen"), ["1.0.0"]);
    for part in ["", "~dev"] {
        let unknown = request(&format!("/p2/other/unknown{part}.json")).await.expect_claim("other/unknown").text();
        let reply = request(&format!("/p2/other/hidden{part}.json")).await;
        assert_eq!(reply.text(), unknown.replace("other/unknown", "other/hidden"));
    }
    request(&format!("/dist/acme/seen/1.0.0/{}.zip", seen.id("main"))).await.expect(200);
    for rest in ["1.0.0.zip".to_owned(), format!("1.0.0/{}.zip", hidden.id("main"))] {
        let unknown = request(&format!("/dist/other/unknown/{rest}")).await.expect(404).text();
        let reply = request(&format!("/dist/other/hidden/{rest}")).await.expect(404);
        assert_eq!(reply.text(), unknown.replace("other/unknown", "other/hidden"));
    }

    let listed = registry.get("/api/packages").bearer(&token).send().await.expect(200);
    assert_eq!(listed.header("x-total-count"), "1");
    assert_eq!(listed.json()[0]["name"], "acme/seen");
    let everything = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(everything.as_array().map(Vec::len), Some(2));
    for (package, status) in everything.as_array().expect("a list").iter().zip([200, 404]) {
        let path = format!("/api/packages/{}", package["id"].as_str().expect("an id"));
        registry.get(&path).bearer(&token).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_prefix_is_the_beginning_of_a_name_not_of_a_vendor_only() {
    let registry = TestRegistry::new();
    for name in ["acme/lib", "acme/lib-extra", "acme/other", "acmes/lib"] {
        registry.published(name, &["1.0.0"]).await;
    }
    for (prefix, names) in [
        ("acme/lib", json!(["acme/lib", "acme/lib-extra"])),
        ("acme/", json!(["acme/lib", "acme/lib-extra", "acme/other"])),
        ("acme", json!(["acme/lib", "acme/lib-extra", "acme/other", "acmes/lib"])),
    ] {
        let (_, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": [prefix]})).await;
        assert_eq!(registry.listed_names(&token).await, names, "{prefix}");
    }
}

#[tokio::test]
async fn changed_prefixes_are_another_view_so_that_a_conditional_request_gets_everything_anew() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    registry.published("other/lib", &["1.0.0"]).await;
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    let wide = registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    let p2 = registry.get("/p2/other/lib.json").basic(&token).composer().send().await.expect(200);
    registry.get("/packages.json").basic(&token).composer().if_modified_since(&wide).send().await.expect(304);

    let narrow = json!({"allowed_package_prefixes": ["acme/"]});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    let root =
        registry.get("/packages.json").basic(&token).composer().if_modified_since(&wide).send().await.expect(200);
    assert_eq!(registry.listed_names(&token).await, json!(["acme/lib"]));
    assert_ne!(root.header("last-modified"), wide.header("last-modified"));
    let p2_again = registry.get("/p2/other/lib.json").basic(&token).composer().if_modified_since(&p2);
    p2_again.send().await.expect_claim("other/lib");

    let back = json!({"allowed_package_prefixes": null});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&back).send().await.expect(200);
    let again =
        registry.get("/packages.json").basic(&token).composer().if_modified_since(&root).send().await.expect(200);
    assert_eq!(again.body, wide.body);
    assert_eq!(again.header("last-modified"), wide.header("last-modified"));
    registry.get("/p2/other/lib.json").basic(&token).composer().if_modified_since(&p2).send().await.expect(304);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_here_and_within_the_bound_elsewhere() {
    let registry = TestRegistry::new();
    let elsewhere = registry.another_isolate();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(registry.cache.keys("token:").len(), 1);

    registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(registry.cache.keys("token:").len(), 0);
    registry.get("/packages.json").basic(&token).send().await.expect(401);
    registry.advance_seconds(29);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    registry.advance_seconds(1);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(401);
    assert_eq!(registry.cache.keys("token:").len(), 0, "a revoked token is not cached again");
}

#[tokio::test]
async fn a_changed_token_is_believed_at_once_here_and_within_the_bound_elsewhere() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let elsewhere = registry.another_isolate();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    elsewhere.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    let narrow = json!({"allowed_package_prefixes": ["other/"]});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
    registry.advance_seconds(30);
    elsewhere.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
}

#[tokio::test]
async fn the_isolate_that_changed_a_token_goes_by_its_own_knowledge_while_kv_lags_behind() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    registry.cache.delay_propagation();
    let narrow = json!({"allowed_package_prefixes": ["other/"]});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    for _ in 0..4 {
        registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
        registry.advance_seconds(30);
    }
    registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    for _ in 0..4 {
        registry.get("/p2/acme/lib.json").basic(&token).send().await.expect(401);
        registry.advance_seconds(30);
    }
}

#[tokio::test]
async fn when_kv_fails_on_a_revocation_the_token_is_refused_here_and_ends_everywhere_with_its_copy() {
    let registry = TestRegistry::new();
    let elsewhere = registry.another_isolate();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    registry.meter.break_all(Port::Cache, FaultTiming::Before);
    registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    registry.meter.clear_faults();
    let revoked = registry.database.rows("SELECT revoked_at IS NOT NULL AS revoked FROM tokens");
    assert_eq!(revoked, [json!({"revoked": 1})]);
    assert!(crate::support::logs::text().contains("a changed token may stay cached for 300 s more"));
    registry.get("/packages.json").basic(&token).send().await.expect(401);
    registry.advance_seconds(299);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    registry.advance_seconds(31);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(401);
}

#[tokio::test]
async fn an_unknown_token_is_remembered_as_unknown_only_for_a_while() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    registry.database.execute("UPDATE tokens SET revoked_at = 1");
    let (_, first) = registry.counted(registry.get("/packages.json").basic(&token).send()).await;
    assert_eq!((first.cache_reads, first.statements), (1, 1));
    let (reply, second) = registry.counted(registry.get("/packages.json").basic(&token).send()).await;
    assert_eq!((reply.status, second), (401, crate::support::Calls::default()));
    registry.database.execute("UPDATE tokens SET revoked_at = NULL");
    registry.advance_seconds(30);
    registry.get("/packages.json").basic(&token).send().await.expect(200);
    assert!(!id.is_empty());
}
