//! What a token's prefixes and its revocation mean on every surface, in this isolate and in others.

use serde_json::json;

use crate::support::{ADMIN, Moment, Port, World};

#[tokio::test]
async fn prefixes_hide_a_package_everywhere_as_if_it_did_not_exist() {
    let world = World::new();
    let (seen, _) = world.published("acme/seen", &["1.0.0"]).await;
    let (hidden, _) = world.published("other/hidden", &["1.0.0"]).await;
    let (_, token) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    let ask = async |path: &str| world.get(path).basic(&token).composer().send().await;

    assert_eq!(ask("/packages.json").await.expect(200).json()["available-packages"], json!(["acme/seen"]));
    assert_eq!(ask("/list.json").await.expect(200).json(), json!({"packageNames": ["acme/seen"]}));
    let found = ask("/search.json?q=library").await.expect(200).json();
    assert_eq!((&found["total"], &found["results"][0]["name"]), (&json!(1), &json!("acme/seen")));
    assert_eq!(ask("/p2/acme/seen.json").await.expect(200).version_names("acme/seen"), ["1.0.0"]);
    for part in ["", "~dev"] {
        let unknown = ask(&format!("/p2/other/unknown{part}.json")).await.expect(404).text();
        let reply = ask(&format!("/p2/other/hidden{part}.json")).await.expect(404);
        assert_eq!(reply.text(), unknown.replace("other/unknown", "other/hidden"));
    }
    ask(&format!("/dist/acme/seen/1.0.0/{}.zip", seen.id("main"))).await.expect(200);
    for rest in ["1.0.0.zip".to_owned(), format!("1.0.0/{}.zip", hidden.id("main"))] {
        let unknown = ask(&format!("/dist/other/unknown/{rest}")).await.expect(404).text();
        let reply = ask(&format!("/dist/other/hidden/{rest}")).await.expect(404);
        assert_eq!(reply.text(), unknown.replace("other/unknown", "other/hidden"));
    }

    let listed = world.get("/api/packages").bearer(&token).send().await.expect(200);
    assert_eq!(listed.header("x-total-count"), "1");
    assert_eq!(listed.json()[0]["name"], "acme/seen");
    let everything = world.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(everything.as_array().map(Vec::len), Some(2));
    for (package, status) in everything.as_array().expect("a list").iter().zip([200, 404]) {
        let path = format!("/api/packages/{}", package["id"].as_str().expect("an id"));
        world.get(&path).bearer(&token).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_prefix_is_the_beginning_of_a_name_not_of_a_vendor_only() {
    let world = World::new();
    for name in ["acme/lib", "acme/lib-extra", "acme/other", "acmes/lib"] {
        world.published(name, &["1.0.0"]).await;
    }
    for (prefix, names) in [
        ("acme/lib", json!(["acme/lib", "acme/lib-extra"])),
        ("acme/", json!(["acme/lib", "acme/lib-extra", "acme/other"])),
        ("acme", json!(["acme/lib", "acme/lib-extra", "acme/other", "acmes/lib"])),
    ] {
        let (_, token) = world.token(&json!({"description": "a", "allowed_package_prefixes": [prefix]})).await;
        let root = world.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
        assert_eq!(root["available-packages"], names, "{prefix}");
    }
}

#[tokio::test]
async fn changed_prefixes_are_another_view_so_that_a_conditional_request_gets_everything_anew() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
    world.published("other/lib", &["1.0.0"]).await;
    let (id, token) = world.token(&json!({"description": "a"})).await;
    let wide = world.get("/packages.json").basic(&token).composer().send().await.expect(200);
    let p2 = world.get("/p2/other/lib.json").basic(&token).composer().send().await.expect(200);
    world.get("/packages.json").basic(&token).composer().since(&wide).send().await.expect(304);

    let narrow = json!({"allowed_package_prefixes": ["acme/"]});
    world.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    let root = world.get("/packages.json").basic(&token).composer().since(&wide).send().await.expect(200);
    assert_eq!(root.json()["available-packages"], json!(["acme/lib"]));
    assert_ne!(root.header("last-modified"), wide.header("last-modified"));
    assert_ne!(root.header("etag"), wide.header("etag"));
    world.get("/p2/other/lib.json").basic(&token).composer().since(&p2).send().await.expect(404);

    let back = json!({"allowed_package_prefixes": null});
    world.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&back).send().await.expect(200);
    let again = world.get("/packages.json").basic(&token).composer().since(&root).send().await.expect(200);
    assert_eq!(again.body, wide.body);
    assert_eq!(again.header("last-modified"), wide.header("last-modified"));
    world.get("/p2/other/lib.json").basic(&token).composer().since(&p2).send().await.expect(304);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_here_and_within_the_bound_elsewhere() {
    let world = World::new();
    let elsewhere = world.another_isolate();
    let (id, token) = world.token(&json!({"description": "a"})).await;
    world.get("/packages.json").basic(&token).send().await.expect(200);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    assert_eq!(world.cache.keys("token:").len(), 1);

    world.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(world.cache.keys("token:").len(), 0);
    world.get("/packages.json").basic(&token).send().await.expect(401);
    world.advance_seconds(29);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    world.advance_seconds(1);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(401);
    assert_eq!(world.cache.keys("token:").len(), 0, "a revoked token is not cached again");
}

#[tokio::test]
async fn a_changed_token_is_believed_at_once_here_and_within_the_bound_elsewhere() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
    let elsewhere = world.another_isolate();
    let (id, token) = world.token(&json!({"description": "a"})).await;
    world.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    elsewhere.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    let narrow = json!({"allowed_package_prefixes": ["other/"]});
    world.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    world.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
    world.advance_seconds(30);
    elsewhere.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
}

#[tokio::test]
async fn the_isolate_that_changed_a_token_goes_by_its_own_knowledge_while_kv_lags_behind() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
    let (id, token) = world.token(&json!({"description": "a"})).await;
    world.get("/p2/acme/lib.json").basic(&token).send().await.expect(200);
    world.cache.lag();
    let narrow = json!({"allowed_package_prefixes": ["other/"]});
    world.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&narrow).send().await.expect(200);
    for _ in 0..4 {
        world.get("/p2/acme/lib.json").basic(&token).send().await.expect(404);
        world.advance_seconds(30);
    }
    world.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    for _ in 0..4 {
        world.get("/p2/acme/lib.json").basic(&token).send().await.expect(401);
        world.advance_seconds(30);
    }
}

#[tokio::test]
async fn when_kv_fails_on_a_revocation_the_token_is_refused_here_and_ends_everywhere_with_its_copy() {
    let world = World::new();
    let elsewhere = world.another_isolate();
    let (id, token) = world.token(&json!({"description": "a"})).await;
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    world.meter.break_all(Port::Cache, Moment::Before);
    world.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    world.meter.mend();
    let revoked = world.database.rows("SELECT revoked_at IS NOT NULL AS revoked FROM tokens");
    assert_eq!(revoked, [json!({"revoked": 1})]);
    assert!(crate::support::logs::text().contains("a changed token may be believed for 300 s more"));
    world.get("/packages.json").basic(&token).send().await.expect(401);
    world.advance_seconds(299);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(200);
    world.advance_seconds(31);
    elsewhere.get("/packages.json").basic(&token).send().await.expect(401);
}

#[tokio::test]
async fn an_unknown_token_is_remembered_as_unknown_only_for_a_while() {
    let world = World::new();
    let (id, token) = world.token(&json!({"description": "a"})).await;
    world.database.execute("UPDATE tokens SET revoked_at = 1");
    let (_, first) = world.counted(world.get("/packages.json").basic(&token).send()).await;
    assert_eq!((first.cache_reads, first.statements), (1, 1));
    let (reply, second) = world.counted(world.get("/packages.json").basic(&token).send()).await;
    assert_eq!((reply.status, second), (401, crate::support::Calls::default()));
    world.database.execute("UPDATE tokens SET revoked_at = NULL");
    world.advance_seconds(30);
    world.get("/packages.json").basic(&token).send().await.expect(200);
    assert!(!id.is_empty());
}
