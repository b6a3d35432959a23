//! Which upstream is asked for which name: filters, grants, reserved vendors, names of our own, precedence, credentials.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{INTERVAL, LIB, SATIS, STALE, mirroring, read};
use crate::support::{ADMIN, HostFault, TestRegistry, TestResponse, logs, upstream_version};

const OTHER: &str = "https://other.test";
const PACKAGIST: &str = "https://packagist.test";

fn packages(registry: &TestRegistry, origin: &str, names: &[&str]) {
    registry.composer_host.lazy(origin);
    for name in names {
        registry.composer_host.publish(origin, name, &[upstream_version(origin, name, "1.0.0")]);
    }
}

/// The origins that were asked for documents of packages since the last time.
fn asked(registry: &TestRegistry) -> Vec<String> {
    let mut origins: Vec<String> = registry
        .composer_host
        .take_urls()
        .iter()
        .filter_map(|url| url.split_once("/p2/").map(|(origin, _)| origin.to_owned()))
        .collect();
    origins.dedup();
    origins
}

async fn path_of(registry: &TestRegistry, token: &str, name: &str) -> TestResponse {
    read(registry, token, &format!("/p2/{name}.json")).await
}

async fn mirror_packagist(registry: &TestRegistry, settings: Value) {
    let mut all = json!({"packagist_mirroring": true, "packagist_url": PACKAGIST});
    all.as_object_mut().expect("an object").extend(settings.as_object().expect("an object").clone());
    registry.set(all).await;
}

#[track_caller]
fn assert_claimed(reply: &TestResponse, name: &str) {
    assert_eq!((reply.status, reply.json()), (200, json!({"minified": "composer/2.0", "packages": {name: []}})));
}

/// The names that `packages.json` lists, and its patterns: there is never both, because programs take a list for complete.
async fn announced(registry: &TestRegistry, token: &str) -> (Value, Value) {
    let root = read(registry, token, "/packages.json").await.expect(200).json();
    (root["available-packages"].clone(), root["available-package-patterns"].clone())
}

#[tokio::test]
async fn an_upstream_is_asked_only_for_names_that_its_filter_takes() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["vendor/lib", "vendor/secret", "other/lib"]);
    registry.upstream_as(json!({"url": SATIS, "package_filter": ["Vendor/L*", "other/lib"]})).await;
    let token = registry.reader().await;
    path_of(&registry, &token, "vendor/lib").await.expect(200);
    path_of(&registry, &token, "other/lib").await.expect(200);
    asked(&registry);
    path_of(&registry, &token, "vendor/secret").await.expect(404);
    path_of(&registry, &token, "third/lib").await.expect(404);
    assert_eq!(asked(&registry), Vec::<String>::new());
    assert_eq!(announced(&registry, &token).await, (Value::Null, json!(["other/lib", "vendor/l*"])));
}

#[tokio::test]
async fn an_upstream_is_not_asked_for_names_that_it_does_not_announce() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["vendor/lib", "vendor/hidden"]);
    let root = json!({
        "packages": [], "metadata-url": format!("{SATIS}/p2/%package%.json"),
        "available-packages": ["vendor/lib"], "available-package-patterns": ["pattern/*"],
    });
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    path_of(&registry, &token, "vendor/lib").await.expect(200);
    asked(&registry);
    path_of(&registry, &token, "vendor/hidden").await.expect(404);
    assert_eq!(asked(&registry), Vec::<String>::new());
    path_of(&registry, &token, "pattern/any").await.expect(404);
    assert_eq!(asked(&registry), [SATIS]);
    assert_eq!(announced(&registry, &token).await, (Value::Null, json!(["pattern/*", "vendor/lib"])));
    registry.composer_host.lazy(SATIS);
    registry.advance_seconds(INTERVAL);
    registry.sync(&id).await;
    registry.advance_seconds(10);
    path_of(&registry, &token, "vendor/hidden").await.expect(200);
    assert_eq!(announced(&registry, &token).await, (Value::Null, Value::Null), "it may have any name");
}

#[tokio::test]
async fn composer_is_told_which_names_to_ask_for_here() {
    let registry = TestRegistry::new();
    registry.set(json!({"claim_vendors": false})).await;
    registry.published("acme/own", &["1.0.0"]).await;
    let token = registry.reader().await;
    let (_, limited) =
        registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/", "symfony/"]})).await;
    let (id, blind) = registry.token(&json!({"description": "b"})).await;
    let no_grants = format!("DELETE FROM grants WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')");
    registry.database.execute(&no_grants);
    assert_eq!(announced(&registry, &token).await, (json!(["acme/own"]), Value::Null));

    packages(&registry, SATIS, &[]);
    registry.upstream_as(json!({"url": SATIS, "package_filter": ["symfony/*"]})).await;
    for one in [&token, &limited] {
        assert_eq!(announced(&registry, one).await, (Value::Null, json!(["symfony/*", "acme/own"])));
    }

    registry.set(json!({"reserved_vendors": ["secret"]})).await;
    assert_eq!(announced(&registry, &token).await, (Value::Null, json!(["secret/*", "symfony/*", "acme/own"])));
    assert_eq!(announced(&registry, &limited).await, (Value::Null, json!(["symfony/*", "acme/own"])));

    let before = read(&registry, &token, "/packages.json").await;
    packages(&registry, PACKAGIST, &[]);
    mirror_packagist(&registry, json!({})).await;
    let after =
        registry.get("/packages.json").basic(&token).composer().if_modified_since(&before).send().await.expect(200);
    assert!(after.json().get("available-packages").is_none(), "composer is to ask for every name here");
    assert_eq!(announced(&registry, &token).await, (Value::Null, Value::Null));
    assert_eq!(announced(&registry, &limited).await, (Value::Null, json!(["acme/*", "symfony/*"])));
    let nothing = json!(["rostrum/has-no-package-for-this-token"]);
    assert_eq!(announced(&registry, &blind).await, (Value::Null, nothing));

    registry.set(json!({"claim_vendors": true})).await;
    assert_eq!(announced(&registry, &token).await, (Value::Null, Value::Null));
    assert_eq!(announced(&registry, &limited).await, (Value::Null, json!(["acme/*", "secret/*", "symfony/*"])));
    assert_eq!(announced(&registry, &blind).await, (Value::Null, json!(["acme/*", "secret/*"])));
}

#[tokio::test]
async fn a_token_that_does_not_see_a_name_does_not_make_anybody_be_asked_for_it() {
    let (registry, _, token) = mirroring().await;
    let (_, limited) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["acme/"]})).await;
    read(&registry, &limited, LIB).await.expect(404);
    let (reply, calls) = registry.counted(read(&registry, &limited, LIB)).await;
    assert_eq!((reply.status, calls.upstream), (404, 0));
    assert_eq!(registry.composer_host.take_requests(), []);
    assert_eq!(registry.database.rows("SELECT * FROM mirrors"), Vec::<Value>::new());
    read(&registry, &token, LIB).await.expect(200);
    read(&registry, &limited, LIB).await.expect(404);
    let zip = registry.database.rows("SELECT reference FROM dists LIMIT 1")[0]["reference"].clone();
    let path = format!("/dist/vendor/lib/v1.1.0/{}.zip", zip.as_str().expect("text"));
    registry.get(&path).basic(&limited).send().await.expect(404);
    assert!(!registry.composer_host.take_urls().iter().any(|url| url.contains("/zips/")));
    assert_eq!(registry.get("/api/packages").bearer(&limited).send().await.expect(200).json(), json!([]));
    let found = registry.get("/search.json?q=lib").basic(&limited).composer().send().await.expect(200).json();
    assert_eq!(found["total"], 0);
}

#[tokio::test]
async fn a_grants_limits_hold_for_mirrored_versions_too() {
    let (registry, _, _) = mirroring().await;
    let (id, token) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["vendor/"]})).await;
    let limit = format!(
        "UPDATE grants SET version_constraint = '<1.1' WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')"
    );
    registry.database.execute(&limit);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
    for (version, status) in [("1.0.0", 502), ("v1.1.0", 404)] {
        registry.get(&format!("/dist/vendor/lib/{version}.zip")).basic(&token).send().await.expect(status);
    }
}

#[tokio::test]
async fn a_reserved_vendors_name_is_claimed_and_no_public_upstream_hears_of_it() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["acme/stranger", "free/lib"]);
    packages(&registry, PACKAGIST, &["acme/stranger", "free/lib"]);
    registry.upstream(SATIS).await;
    mirror_packagist(&registry, json!({"reserved_vendors": ["ACME"]})).await;
    let token = registry.reader().await;
    for path in ["/p2/acme/stranger.json", "/p2/acme/stranger~dev.json"] {
        assert_claimed(&read(&registry, &token, path).await, "acme/stranger");
    }
    registry.get("/p2/acme/stranger.json").bearer(&token).send().await.expect(404);
    let claim = read(&registry, &token, "/p2/acme/stranger.json").await;
    registry.get("/p2/acme/stranger.json").basic(&token).composer().if_modified_since(&claim).send().await.expect(304);
    assert_eq!(asked(&registry), Vec::<String>::new());
    path_of(&registry, &token, "free/lib").await.expect(200);
    assert_eq!(asked(&registry), [SATIS]);
    let (_, limited) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["free/"]})).await;
    assert_claimed(&path_of(&registry, &limited, "acme/stranger").await, "acme/stranger");
    assert_eq!(asked(&registry), Vec::<String>::new());
}

#[tokio::test]
async fn a_reserved_vendor_is_claimed_without_any_upstream_too() {
    let registry = TestRegistry::new();
    let token = registry.reader().await;
    path_of(&registry, &token, "acme/lib").await.expect(404);
    registry.set(json!({"reserved_vendors": ["acme"]})).await;
    assert_claimed(&path_of(&registry, &token, "acme/lib").await, "acme/lib");
    path_of(&registry, &token, "other/lib").await.expect(404);
    assert_eq!(announced(&registry, &token).await, (Value::Null, json!(["acme/*"])));
    let (published, _) = registry.published("acme/lib", &["1.0.0"]).await;
    let reply = path_of(&registry, &token, "acme/lib").await.expect(200);
    assert_eq!(reply.versions("acme/lib")[0]["dist"]["reference"], published.id("main"));
}

#[tokio::test]
async fn a_vendor_with_packages_of_our_own_is_reserved_without_being_listed() {
    let registry = TestRegistry::new();
    packages(&registry, PACKAGIST, &["acme/stranger", "acme-fan/lib", "acme0/lib"]);
    mirror_packagist(&registry, json!({})).await;
    registry.published("acme/own", &["1.0.0"]).await;
    let token = registry.reader().await;
    assert_claimed(&path_of(&registry, &token, "acme/stranger").await, "acme/stranger");
    assert_eq!(asked(&registry), Vec::<String>::new());
    for name in ["acme-fan/lib", "acme0/lib"] {
        path_of(&registry, &token, name).await.expect(200);
    }
}

#[tokio::test]
async fn private_upstreams_are_asked_for_reserved_vendors() {
    for spec in [
        json!({"url": SATIS, "credential_type": "token", "auth_credentials": "t0ken"}),
        json!({"url": SATIS, "package_filter": ["acme/*"]}),
    ] {
        let registry = TestRegistry::new();
        packages(&registry, SATIS, &["acme/colleague"]);
        packages(&registry, PACKAGIST, &["acme/colleague", "acme/stranger"]);
        registry.upstream_as(spec.clone()).await;
        mirror_packagist(&registry, json!({})).await;
        registry.published("acme/own", &["1.0.0"]).await;
        let token = registry.reader().await;
        let reply = path_of(&registry, &token, "acme/colleague").await.expect(200);
        assert_eq!(reply.version_names("acme/colleague"), ["1.0.0"], "{spec}");
        assert_claimed(&path_of(&registry, &token, "acme/stranger").await, "acme/stranger");
        assert_eq!(asked(&registry), [SATIS], "{spec}");
    }
}

#[tokio::test]
async fn a_name_of_our_own_is_asked_of_nobody_even_when_nothing_of_it_is_published_any_more() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["acme/lib"]);
    let repo = registry.repository("acme/lib");
    repo.tag("1.0.0");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    registry.upstream_as(json!({"url": SATIS, "auth_credentials": "t0ken"})).await;
    let token = registry.reader().await;
    let own = path_of(&registry, &token, "acme/lib").await.expect(200);
    assert_eq!(own.versions("acme/lib")[0]["dist"]["reference"], repo.id("main"));
    registry
        .patch(&format!("/api/repositories/{id}"))
        .bearer(ADMIN)
        .json(&json!({"tag_filter": ["none"], "branch_filter": ["none"]}))
        .send()
        .await
        .expect(200);
    registry.sync(&id).await;
    assert_claimed(&path_of(&registry, &token, "acme/lib").await, "acme/lib");
    assert_eq!(asked(&registry), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_published_here_takes_a_mirrored_name_over_and_reserves_its_vendor() {
    let registry = TestRegistry::new();
    packages(&registry, PACKAGIST, &["acme/lib", "acme/stranger", "free/lib"]);
    mirror_packagist(&registry, json!({})).await;
    let token = registry.reader().await;
    for name in ["acme/lib", "acme/stranger", "free/lib"] {
        path_of(&registry, &token, name).await.expect(200);
    }
    let zip = crate::support::zip_of(b"{}");
    registry.composer_host.put(&format!("{PACKAGIST}/zips/acme/lib/1.0.0.zip"), zip.clone());
    let mirrored = path_of(&registry, &token, "acme/lib").await.versions("acme/lib")[0]["dist"]["url"].clone();
    let old_zip = mirrored.as_str().expect("text").strip_prefix("https://registry.test").expect("ours").to_owned();
    registry.get(&old_zip).basic(&token).send().await.expect(200);

    let (repo, id) = registry.published("acme/lib", &["2.0.0", "1.0.0"]).await;
    assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
    let own = path_of(&registry, &token, "acme/lib").await.expect(200);
    assert_eq!(own.version_names("acme/lib"), ["2.0.0", "1.0.0"]);
    assert!(own.versions("acme/lib").iter().all(|version| version["dist"]["reference"] == repo.id("main")));
    assert_claimed(&path_of(&registry, &token, "acme/stranger").await, "acme/stranger");
    path_of(&registry, &token, "free/lib").await.expect(200);
    let listed = registry.get("/api/packages").bearer(ADMIN).send().await.expect(200).json();
    let names: Vec<&Value> = listed.as_array().expect("a list").iter().map(|package| &package["name"]).collect();
    assert_eq!(names, ["acme/lib", "free/lib"]);
    assert_eq!(registry.get(&old_zip).basic(&token).send().await.expect(200).body, zip, "lock files stay good");
    assert_eq!(announced(&registry, &token).await, (Value::Null, Value::Null));
    assert!(!logs::text().contains("ERROR"), "{}", logs::text());

    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    asked(&registry);
    path_of(&registry, &token, "acme/lib").await.expect(200);
    assert_eq!(asked(&registry), [PACKAGIST], "nobody's any more, so Packagist's again");
}

#[tokio::test]
async fn the_upstream_that_was_registered_first_has_a_name_and_packagist_comes_last() {
    let registry = TestRegistry::new();
    packages(&registry, PACKAGIST, &["vendor/a", "vendor/b", "vendor/c"]);
    mirror_packagist(&registry, json!({})).await;
    packages(&registry, SATIS, &["vendor/a"]);
    packages(&registry, OTHER, &["vendor/a", "vendor/b"]);
    let first = registry.upstream(SATIS).await;
    let second = registry.upstream(OTHER).await;
    let token = registry.reader().await;
    let order: [&[&str]; 3] = [&[SATIS], &[SATIS, OTHER], &[SATIS, OTHER, PACKAGIST]];
    for (name, expected) in ["vendor/a", "vendor/b", "vendor/c"].into_iter().zip(order) {
        path_of(&registry, &token, name).await.expect(200);
        assert_eq!(asked(&registry), expected, "{name}");
    }
    let owners = registry.database.rows(
        "SELECT p.name, r.uid, r.provider FROM packages p JOIN repositories r ON r.id = p.repository_id ORDER BY p.name",
    );
    assert_eq!((&owners[0]["uid"], &owners[1]["uid"]), (&json!(first), &json!(second)));
    assert_eq!(owners[2]["provider"], "packagist");

    // What an upstream that comes first has one day, is its from then on.
    packages(&registry, SATIS, &["vendor/a", "vendor/b"]);
    registry.advance_seconds(STALE);
    path_of(&registry, &token, "vendor/b").await.expect(200);
    let owner = "SELECT r.uid FROM packages p JOIN repositories r ON r.id = p.repository_id WHERE p.name = 'vendor/b'";
    assert_eq!(registry.database.rows(owner), [json!({"uid": first})]);
}

#[tokio::test]
async fn an_upstream_that_fails_is_not_passed_over() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["vendor/lib"]);
    packages(&registry, OTHER, &["vendor/lib"]);
    registry.upstream(SATIS).await;
    registry.upstream(OTHER).await;
    let token = registry.reader().await;
    registry.composer_host.inject_fault(SATIS, HostFault::Unreachable);
    path_of(&registry, &token, "vendor/lib").await.expect(502);
    assert_eq!(asked(&registry), [SATIS], "the next one might have a stranger's package of that name");
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM packages"), [json!({"n": 0})]);
}

#[tokio::test]
async fn credentials_are_sent_to_the_upstream_and_to_nobody_else() {
    let cases = [
        (json!({"credential_type": "basic", "auth_credentials": "ada:s3cret"}), "Basic YWRhOnMzY3JldA=="),
        (json!({"credential_type": "token", "auth_credentials": "s3cret"}), "Bearer s3cret"),
        (json!({"credential_type": "bearer", "auth_credentials": "s3cret"}), "Bearer s3cret"),
    ];
    for (mut spec, header) in cases {
        let registry = TestRegistry::new();
        packages(&registry, SATIS, &["vendor/lib"]);
        match header.strip_prefix("Bearer ") {
            Some(token) => registry.composer_host.require_bearer(SATIS, token),
            None => registry.composer_host.require_basic(SATIS, "ada", "s3cret"),
        }
        let mut elsewhere = upstream_version(SATIS, "vendor/lib", "2.0.0");
        elsewhere["dist"]["url"] = json!("https://cdn.test/lib.zip");
        registry.composer_host.publish(
            SATIS,
            "vendor/lib",
            &[elsewhere, upstream_version(SATIS, "vendor/lib", "1.0.0")],
        );
        let zip = crate::support::zip_of(b"{}");
        registry.composer_host.put("https://cdn.test/lib.zip", zip.clone());
        registry.composer_host.inject_fault("/zips/", HostFault::Redirect("https://cdn.test/lib.zip".to_owned()));
        spec["url"] = json!(SATIS);
        spec["kind"] = json!("composer");
        let id = registry.register_as(spec.clone()).await;
        registry.run_until_idle().await;
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{spec}");
        let token = registry.reader().await;
        path_of(&registry, &token, "vendor/lib").await.expect(200);
        for version in ["1.0.0", "2.0.0"] {
            let path = format!("/dist/vendor/lib/{version}.zip");
            assert_eq!(registry.get(&path).basic(&token).send().await.expect(200).body, zip, "{version}");
        }
        let requests = registry.composer_host.take_requests();
        assert!(requests.len() >= 6, "{requests:?}");
        for one in &requests {
            let expected = one.url.starts_with(SATIS).then(|| header.to_owned());
            assert_eq!(one.authorization, expected, "{}", one.url);
        }
        let everything = [
            registry.repository_view(&id).await.to_string(),
            registry.get("/api/repositories").bearer(ADMIN).send().await.text(),
            registry.get("/api/audit-log").bearer(ADMIN).send().await.text(),
            json!(registry.database.rows("SELECT * FROM repositories")).to_string(),
            logs::text(),
        ];
        assert!(everything.iter().all(|text| !text.contains("s3cret")), "{everything:?}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_in_the_servers_own_words() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &[]);
    registry.composer_host.require_bearer(SATIS, "right");
    let id = registry.upstream_as(json!({"url": SATIS, "auth_credentials": "wrong"})).await;
    let view = registry.repository_view(&id).await;
    assert_eq!(view["sync_status"], "failed");
    let error = "the server refuses the credentials (HTTP 401: who are you?); check `auth_credentials`";
    assert_eq!(view["error"], error);
    let seen = registry.post(&format!("/api/repositories/{id}/verify")).bearer(ADMIN).send().await.expect(200);
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
        let registry = TestRegistry::new();
        registry.composer_host.put_json(root_at, &json!({"metadata-url": metadata_url}));
        registry
            .composer_host
            .put_json(document, &json!({"packages": {"vendor/lib": [upstream_version(SATIS, "vendor/lib", "1.0.0")]}}));
        registry.upstream(url).await;
        let token = registry.reader().await;
        assert_eq!(
            path_of(&registry, &token, "vendor/lib").await.expect(200).version_names("vendor/lib"),
            ["1.0.0"],
            "{url}"
        );
    }
    let registry = TestRegistry::new();
    registry
        .composer_host
        .put_json("https://repo.test/packages.json", &json!({"providers-lazy-url": "/p/%package%.json"}));
    let keyed = json!({"packages": {"vendor/lib": {"1.0.0": upstream_version(SATIS, "vendor/lib", "1.0.0")}}});
    registry.composer_host.put_json("https://repo.test/p/vendor/lib.json", &keyed);
    registry.upstream("https://repo.test").await;
    let token = registry.reader().await;
    assert_eq!(path_of(&registry, &token, "vendor/lib").await.expect(200).version_names("vendor/lib"), ["1.0.0"]);
}

#[tokio::test]
async fn an_upstream_is_read_before_its_first_sync_when_somebody_asks() {
    let registry = TestRegistry::new();
    packages(&registry, SATIS, &["vendor/lib"]);
    registry.register_as(json!({"url": SATIS, "kind": "composer"})).await;
    let token = registry.reader().await;
    path_of(&registry, &token, "vendor/lib").await.expect(200);
    let urls = registry.composer_host.take_urls();
    assert_eq!(urls[0], format!("{SATIS}/packages.json"));
    assert_eq!(urls.len(), 3);
}
