//! Which upstream is asked for which name: filters, grants, reserved vendors, names of our own, precedence, credentials.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, SATIS, STALE, mirroring, read};
use crate::support::{ADMIN, Reply, Trouble, World, file, logs, manifest, upstream_version};

const OTHER: &str = "https://other.test";
const PACKAGIST: &str = "https://packagist.test";

fn packages(world: &World, origin: &str, names: &[&str]) {
    world.far.lazy(origin);
    for name in names {
        world.far.publish(origin, name, &[upstream_version(origin, name, "1.0.0")]);
    }
}

/// The origins that were asked for documents of packages since the last time.
fn asked(world: &World) -> Vec<String> {
    let mut origins: Vec<String> = world
        .far
        .take_urls()
        .iter()
        .filter_map(|url| url.split_once("/p2/").map(|(origin, _)| origin.to_owned()))
        .collect();
    origins.dedup();
    origins
}

async fn path_of(world: &World, token: &str, name: &str) -> Reply {
    read(world, token, &format!("/p2/{name}.json")).await
}

async fn mirror_packagist(world: &World, settings: Value) {
    let mut all = json!({"packagist_mirroring": true, "packagist_url": PACKAGIST});
    all.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    world.set(all).await;
}

#[track_caller]
fn assert_claimed(reply: &Reply, name: &str) {
    assert_eq!((reply.status, reply.json()), (200, json!({"minified": "composer/2.0", "packages": {name: []}})));
}

/// The names that `packages.json` lists, and its patterns.
async fn announced(world: &World, token: &str) -> (Value, Value) {
    let root = read(world, token, "/packages.json").await.expect(200).json();
    (root["available-packages"].clone(), root["available-package-patterns"].clone())
}

#[tokio::test]
async fn an_upstream_is_asked_only_for_names_that_its_filter_takes() {
    let world = World::new();
    packages(&world, SATIS, &["vendor/lib", "vendor/secret", "other/lib"]);
    world.upstream_as(json!({"url": SATIS, "package_filter": ["Vendor/L*", "other/lib"]})).await;
    let token = world.reader().await;
    path_of(&world, &token, "vendor/lib").await.expect(200);
    path_of(&world, &token, "other/lib").await.expect(200);
    asked(&world);
    path_of(&world, &token, "vendor/secret").await.expect(404);
    path_of(&world, &token, "third/lib").await.expect(404);
    assert_eq!(asked(&world), Vec::<String>::new());
    assert_eq!(announced(&world, &token).await, (json!([]), json!(["other/lib", "vendor/l*"])));
}

#[tokio::test]
async fn an_upstream_is_not_asked_for_names_that_it_does_not_announce() {
    let world = World::new();
    packages(&world, SATIS, &["vendor/lib", "vendor/hidden"]);
    let root = json!({
        "packages": [], "metadata-url": format!("{SATIS}/p2/%package%.json"),
        "available-packages": ["vendor/lib"], "available-package-patterns": ["pattern/*"],
    });
    world.far.put_json(&format!("{SATIS}/packages.json"), &root);
    let id = world.upstream(SATIS).await;
    let token = world.reader().await;
    path_of(&world, &token, "vendor/lib").await.expect(200);
    asked(&world);
    path_of(&world, &token, "vendor/hidden").await.expect(404);
    assert_eq!(asked(&world), Vec::<String>::new());
    path_of(&world, &token, "pattern/any").await.expect(404);
    assert_eq!(asked(&world), [SATIS]);
    assert_eq!(announced(&world, &token).await, (json!([]), json!(["pattern/*", "vendor/lib"])));
    world.far.lazy(SATIS);
    world.advance_seconds(INTERVAL);
    world.sync(&id).await;
    world.advance_seconds(10);
    path_of(&world, &token, "vendor/hidden").await.expect(200);
    assert_eq!(announced(&world, &token).await, (Value::Null, Value::Null), "it may have any name");
}

#[tokio::test]
async fn composer_is_told_which_names_to_ask_for_here() {
    let world = World::new();
    world.published("acme/own", &["1.0.0"]).await;
    let token = world.reader().await;
    let (_, limited) =
        world.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/", "symfony/"]})).await;
    let (id, blind) = world.token(&json!({"description": "b"})).await;
    let no_grants = format!("DELETE FROM grants WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')");
    world.database.execute(&no_grants);
    assert_eq!(announced(&world, &token).await, (json!(["acme/own"]), Value::Null));

    packages(&world, SATIS, &[]);
    world.upstream_as(json!({"url": SATIS, "package_filter": ["symfony/*"]})).await;
    assert_eq!(announced(&world, &token).await, (json!(["acme/own"]), json!(["symfony/*"])));
    assert_eq!(announced(&world, &limited).await, (json!(["acme/own"]), json!(["symfony/*"])));

    world.set(json!({"reserved_vendors": ["secret"]})).await;
    assert_eq!(announced(&world, &token).await, (json!(["acme/own"]), json!(["secret/*", "symfony/*"])));
    assert_eq!(announced(&world, &limited).await, (json!(["acme/own"]), json!(["symfony/*"])));

    let before = read(&world, &token, "/packages.json").await;
    packages(&world, PACKAGIST, &[]);
    mirror_packagist(&world, json!({})).await;
    let after = world.get("/packages.json").basic(&token).composer().since(&before).send().await.expect(200);
    assert!(after.json().get("available-packages").is_none(), "composer is to ask for every name here");
    assert_eq!(announced(&world, &token).await, (Value::Null, Value::Null));
    assert_eq!(announced(&world, &limited).await, (json!(["acme/own"]), json!(["acme/*", "symfony/*"])));
    let nothing = json!(["rostrum/has-no-package-for-this-token"]);
    assert_eq!(announced(&world, &blind).await, (json!([]), nothing));
}

#[tokio::test]
async fn a_token_that_does_not_see_a_name_does_not_make_anybody_be_asked_for_it() {
    let (world, _, token) = mirroring().await;
    let (_, limited) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    read(&world, &limited, LIB).await.expect(404);
    let (reply, calls) = world.counted(read(&world, &limited, LIB)).await;
    assert_eq!((reply.status, calls.upstream), (404, 0));
    assert_eq!(world.far.take_heard(), []);
    assert_eq!(world.database.rows("SELECT * FROM mirrors"), Vec::<Value>::new());
    read(&world, &token, LIB).await.expect(200);
    read(&world, &limited, LIB).await.expect(404);
    let zip = world.database.rows("SELECT reference FROM dists LIMIT 1")[0]["reference"].clone();
    let path = format!("/dist/vendor/lib/v1.1.0/{}.zip", zip.as_str().expect("text"));
    world.get(&path).basic(&limited).send().await.expect(404);
    assert!(!world.far.take_urls().iter().any(|url| url.contains("/zips/")));
    assert_eq!(world.get("/api/packages").bearer(&limited).send().await.expect(200).json(), json!([]));
    let found = world.get("/search.json?q=lib").basic(&limited).composer().send().await.expect(200).json();
    assert_eq!(found["total"], 0);
}

#[tokio::test]
async fn a_grants_limits_hold_for_mirrored_versions_too() {
    let (world, _, _) = mirroring().await;
    let (id, token) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["vendor/"]})).await;
    let limit = format!(
        "UPDATE grants SET version_constraint = '<1.1' WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')"
    );
    world.database.execute(&limit);
    assert_eq!(read(&world, &token, LIB).await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
    for (version, status) in [("1.0.0", 502), ("v1.1.0", 404)] {
        world.get(&format!("/dist/vendor/lib/{version}.zip")).basic(&token).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_reserved_vendors_name_is_claimed_and_no_public_upstream_hears_of_it() {
    let world = World::new();
    packages(&world, SATIS, &["acme/stranger", "free/lib"]);
    packages(&world, PACKAGIST, &["acme/stranger", "free/lib"]);
    world.upstream(SATIS).await;
    mirror_packagist(&world, json!({"reserved_vendors": ["ACME"]})).await;
    let token = world.reader().await;
    for path in ["/p2/acme/stranger.json", "/p2/acme/stranger~dev.json"] {
        assert_claimed(&read(&world, &token, path).await, "acme/stranger");
    }
    let plain = world.get("/p2/acme/stranger.json").bearer(&token).send().await.expect(200);
    assert_eq!(plain.json(), json!({"packages": {"acme/stranger": {}}}));
    let claim = read(&world, &token, "/p2/acme/stranger.json").await;
    world.get("/p2/acme/stranger.json").basic(&token).composer().since(&claim).send().await.expect(304);
    assert_eq!(asked(&world), Vec::<String>::new());
    path_of(&world, &token, "free/lib").await.expect(200);
    assert_eq!(asked(&world), [SATIS]);
    let (_, limited) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["free/"]})).await;
    path_of(&world, &limited, "acme/stranger").await.expect(404);
}

#[tokio::test]
async fn a_reserved_vendor_is_claimed_without_any_upstream_too() {
    let world = World::new();
    let token = world.reader().await;
    path_of(&world, &token, "acme/lib").await.expect(404);
    world.set(json!({"reserved_vendors": ["acme"]})).await;
    assert_claimed(&path_of(&world, &token, "acme/lib").await, "acme/lib");
    path_of(&world, &token, "other/lib").await.expect(404);
    assert_eq!(announced(&world, &token).await, (json!([]), json!(["acme/*"])));
    let (published, _) = world.published("acme/lib", &["1.0.0"]).await;
    let reply = path_of(&world, &token, "acme/lib").await.expect(200);
    assert_eq!(reply.versions("acme/lib")[0]["dist"]["reference"], published.id("main"));
}

#[tokio::test]
async fn a_vendor_with_packages_of_our_own_is_reserved_without_being_listed() {
    let world = World::new();
    packages(&world, PACKAGIST, &["acme/stranger", "acme-fan/lib", "acme0/lib"]);
    mirror_packagist(&world, json!({})).await;
    world.published("acme/own", &["1.0.0"]).await;
    let token = world.reader().await;
    assert_claimed(&path_of(&world, &token, "acme/stranger").await, "acme/stranger");
    assert_eq!(asked(&world), Vec::<String>::new());
    for name in ["acme-fan/lib", "acme0/lib"] {
        path_of(&world, &token, name).await.expect(200);
    }
}

#[tokio::test]
async fn private_upstreams_are_asked_for_reserved_vendors() {
    for spec in [
        json!({"url": SATIS, "credential_type": "token", "auth_credentials": "t0ken"}),
        json!({"url": SATIS, "package_filter": ["acme/*"]}),
    ] {
        let world = World::new();
        packages(&world, SATIS, &["acme/colleague"]);
        packages(&world, PACKAGIST, &["acme/colleague", "acme/stranger"]);
        world.upstream_as(spec.clone()).await;
        mirror_packagist(&world, json!({})).await;
        world.published("acme/own", &["1.0.0"]).await;
        let token = world.reader().await;
        let reply = path_of(&world, &token, "acme/colleague").await.expect(200);
        assert_eq!(reply.version_names("acme/colleague"), ["1.0.0"], "{spec}");
        assert_claimed(&path_of(&world, &token, "acme/stranger").await, "acme/stranger");
        assert_eq!(asked(&world), [SATIS], "{spec}");
    }
}

#[tokio::test]
async fn a_name_of_our_own_is_asked_of_nobody_even_when_nothing_of_it_is_published_any_more() {
    let world = World::new();
    packages(&world, SATIS, &["acme/lib"]);
    let repo = world.repository("acme/lib");
    repo.tag("1.0.0");
    let id = world.register(&repo).await;
    world.settle().await;
    world.upstream_as(json!({"url": SATIS, "auth_credentials": "t0ken"})).await;
    let token = world.reader().await;
    let own = path_of(&world, &token, "acme/lib").await.expect(200);
    assert_eq!(own.versions("acme/lib")[0]["dist"]["reference"], repo.id("main"));
    repo.commit(&[manifest("acme/renamed"), file("a.php", "<?php")]);
    world.sync(&id).await;
    assert_claimed(&path_of(&world, &token, "acme/lib").await, "acme/lib");
    assert_eq!(asked(&world), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_published_here_takes_a_mirrored_name_over_and_reserves_its_vendor() {
    let world = World::new();
    packages(&world, PACKAGIST, &["acme/lib", "acme/stranger", "free/lib"]);
    mirror_packagist(&world, json!({})).await;
    let token = world.reader().await;
    for name in ["acme/lib", "acme/stranger", "free/lib"] {
        path_of(&world, &token, name).await.expect(200);
    }
    let zip = crate::support::zip_of(b"{}");
    world.far.put(&format!("{PACKAGIST}/zips/acme/lib/1.0.0.zip"), zip.clone());
    let mirrored = path_of(&world, &token, "acme/lib").await.versions("acme/lib")[0]["dist"]["url"].clone();
    let old_zip = mirrored.as_str().expect("text").strip_prefix("https://registry.test").expect("ours").to_owned();
    world.get(&old_zip).basic(&token).send().await.expect(200);

    let (repo, id) = world.published("acme/lib", &["2.0.0", "1.0.0"]).await;
    assert_eq!(world.repository_view(&id).await["sync_status"], "ok");
    let own = path_of(&world, &token, "acme/lib").await.expect(200);
    assert_eq!(own.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    assert!(own.versions("acme/lib").iter().all(|version| version["dist"]["reference"] == repo.id("main")));
    assert_claimed(&path_of(&world, &token, "acme/stranger").await, "acme/stranger");
    path_of(&world, &token, "free/lib").await.expect(200);
    let listed = world.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    let names: Vec<&Value> = listed.as_array().expect("a list").iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["acme/lib", "free/lib"]);
    assert_eq!(world.get(&old_zip).basic(&token).send().await.expect(200).body, zip, "lock files stay good");
    assert_eq!(announced(&world, &token).await, (Value::Null, Value::Null));
    assert!(!logs::text().contains("ERROR"), "{}", logs::text());

    world.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    asked(&world);
    path_of(&world, &token, "acme/lib").await.expect(200);
    assert_eq!(asked(&world), [PACKAGIST], "nobody's any more, so Packagist's again");
}

#[tokio::test]
async fn the_upstream_that_was_registered_first_has_a_name_and_packagist_comes_last() {
    let world = World::new();
    packages(&world, PACKAGIST, &["vendor/a", "vendor/b", "vendor/c"]);
    mirror_packagist(&world, json!({})).await;
    packages(&world, SATIS, &["vendor/a"]);
    packages(&world, OTHER, &["vendor/a", "vendor/b"]);
    let first = world.upstream(SATIS).await;
    let second = world.upstream(OTHER).await;
    let token = world.reader().await;
    let order: [&[&str]; 3] = [&[SATIS], &[SATIS, OTHER], &[SATIS, OTHER, PACKAGIST]];
    for (name, expected) in ["vendor/a", "vendor/b", "vendor/c"].into_iter().zip(order) {
        path_of(&world, &token, name).await.expect(200);
        assert_eq!(asked(&world), expected, "{name}");
    }
    let owners = world.database.rows(
        "SELECT p.name, r.uid, r.provider FROM packages p JOIN repositories r ON r.id = p.repository_id ORDER BY p.name",
    );
    assert_eq!((&owners[0]["uid"], &owners[1]["uid"]), (&json!(first), &json!(second)));
    assert_eq!(owners[2]["provider"], "packagist");

    // What an upstream that comes first has one day, is its from then on.
    packages(&world, SATIS, &["vendor/a", "vendor/b"]);
    world.advance_seconds(STALE);
    path_of(&world, &token, "vendor/b").await.expect(200);
    let owner = "SELECT r.uid FROM packages p JOIN repositories r ON r.id = p.repository_id WHERE p.name = 'vendor/b'";
    assert_eq!(world.database.rows(owner), [json!({"uid": first})]);
}

#[tokio::test]
async fn an_upstream_that_fails_is_not_passed_over() {
    let world = World::new();
    packages(&world, SATIS, &["vendor/lib"]);
    packages(&world, OTHER, &["vendor/lib"]);
    world.upstream(SATIS).await;
    world.upstream(OTHER).await;
    let token = world.reader().await;
    world.far.trouble(SATIS, Trouble::Unreachable);
    path_of(&world, &token, "vendor/lib").await.expect(502);
    assert_eq!(asked(&world), [SATIS], "the next one might have a stranger's package of that name");
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
}

#[tokio::test]
async fn credentials_are_sent_to_the_upstream_and_to_nobody_else() {
    let cases = [
        (json!({"credential_type": "basic", "auth_credentials": "ada:s3cret"}), "Basic YWRhOnMzY3JldA=="),
        (json!({"credential_type": "token", "auth_credentials": "s3cret"}), "Bearer s3cret"),
        (json!({"credential_type": "bearer", "auth_credentials": "s3cret"}), "Bearer s3cret"),
    ];
    for (mut spec, header) in cases {
        let world = World::new();
        packages(&world, SATIS, &["vendor/lib"]);
        match header.strip_prefix("Bearer ") {
            Some(token) => world.far.require_bearer(SATIS, token),
            None => world.far.require_basic(SATIS, "ada", "s3cret"),
        }
        let mut elsewhere = upstream_version(SATIS, "vendor/lib", "2.0.0");
        elsewhere["dist"]["url"] = json!("https://cdn.test/lib.zip");
        world.far.publish(SATIS, "vendor/lib", &[elsewhere, upstream_version(SATIS, "vendor/lib", "1.0.0")]);
        let zip = crate::support::zip_of(b"{}");
        world.far.put("https://cdn.test/lib.zip", zip.clone());
        world.far.trouble("/zips/", Trouble::Redirect("https://cdn.test/lib.zip".to_owned()));
        spec["url"] = json!(SATIS);
        spec["kind"] = json!("composer");
        let id = world.register_as(spec.clone()).await;
        world.settle().await;
        assert_eq!(world.repository_view(&id).await["sync_status"], "ok", "{spec}");
        let token = world.reader().await;
        path_of(&world, &token, "vendor/lib").await.expect(200);
        for version in ["1.0.0", "2.0.0"] {
            let path = format!("/dist/vendor/lib/{version}.zip");
            assert_eq!(world.get(&path).basic(&token).send().await.expect(200).body, zip, "{version}");
        }
        let heard = world.far.take_heard();
        assert!(heard.len() >= 6, "{heard:?}");
        for one in &heard {
            let expected = one.url.starts_with(SATIS).then(|| header.to_owned());
            assert_eq!(one.authorization, expected, "{}", one.url);
        }
        let everything = [
            world.repository_view(&id).await.to_string(),
            world.get("/api/repositories").bearer(ADMIN).send().await.text(),
            world.get("/api/audit-log").bearer(ADMIN).send().await.text(),
            json!(world.database.rows("SELECT * FROM repositories")).to_string(),
            logs::text(),
        ];
        assert!(everything.iter().all(|text| !text.contains("s3cret")), "{everything:?}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_in_the_servers_own_words() {
    let world = World::new();
    packages(&world, SATIS, &[]);
    world.far.require_bearer(SATIS, "right");
    let id = world.upstream_as(json!({"url": SATIS, "auth_credentials": "wrong"})).await;
    let view = world.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    let error = "the server refuses the credentials (HTTP 401: who are you?); check `auth_credentials`";
    assert_eq!(view["error"], error);
    let seen = world.post(&format!("/api/repositories/{id}/verify")).bearer(ADMIN).send().await.expect(200);
    assert_eq!((&seen.json()["ok"], &seen.json()["error"]), (&json!(false), &json!(error)));
}

#[tokio::test]
async fn a_root_in_every_spelling_leads_to_its_packages() {
    for (url, root_at, metadata_url, document) in [
        (
            "https://repo.test",
            "https://repo.test/packages.json",
            "/p2/%package%.json",
            "https://repo.test/p2/vendor/lib.json",
        ),
        (
            "https://repo.test/satis/",
            "https://repo.test/satis/packages.json",
            "p2/%package%.json",
            "https://repo.test/satis/p2/vendor/lib.json",
        ),
        (
            "https://repo.test/root.json",
            "https://repo.test/root.json",
            "https://cdn.test/%package%.json",
            "https://cdn.test/vendor/lib.json",
        ),
    ] {
        let world = World::new();
        world.far.put_json(root_at, &json!({"metadata-url": metadata_url}));
        world
            .far
            .put_json(document, &json!({"packages": {"vendor/lib": [upstream_version(SATIS, "vendor/lib", "1.0.0")]}}));
        world.upstream(url).await;
        let token = world.reader().await;
        assert_eq!(
            path_of(&world, &token, "vendor/lib").await.expect(200).version_names("vendor/lib"),
            ["1.0.0"],
            "{url}"
        );
    }
    let world = World::new();
    world.far.put_json("https://repo.test/packages.json", &json!({"providers-lazy-url": "/p/%package%.json"}));
    let keyed = json!({"packages": {"vendor/lib": {"1.0.0": upstream_version(SATIS, "vendor/lib", "1.0.0")}}});
    world.far.put_json("https://repo.test/p/vendor/lib.json", &keyed);
    world.upstream("https://repo.test").await;
    let token = world.reader().await;
    assert_eq!(path_of(&world, &token, "vendor/lib").await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
}

#[tokio::test]
async fn an_upstream_is_read_before_its_first_sync_when_somebody_asks() {
    let world = World::new();
    packages(&world, SATIS, &["vendor/lib"]);
    world.register_as(json!({"url": SATIS, "kind": "composer"})).await;
    let token = world.reader().await;
    path_of(&world, &token, "vendor/lib").await.expect(200);
    let urls = world.far.take_urls();
    assert_eq!(urls[0], format!("{SATIS}/packages.json"));
    assert_eq!(urls.len(), 3);
}
