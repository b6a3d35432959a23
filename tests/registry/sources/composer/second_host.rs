//! Zips on another host than the repository's own, which wants credentials of its own.

use serde_json::{Value, json};

use crate::sources::composer::lookup::{LIB, SATIS, read};
use crate::support::{ADMIN, HostFault, TestRegistry, TestResponse, file, upstream_version, zip_of};

const CDN: &str = "https://cdn.test";

/// A registry whose upstream has the zip of `vendor/lib` 1.0.0 at `url`; the upstream's id, a token, and the path of the zip.
async fn with_zip_at(url: &str, spec: Value) -> (TestRegistry, String, String, String) {
    let registry = TestRegistry::new();
    registry.composer_host.lazy(SATIS);
    let mut version = upstream_version(SATIS, "vendor/lib", "1.0.0");
    version["dist"]["url"] = json!(url);
    registry.composer_host.publish(SATIS, "vendor/lib", &[version]);
    let id = registry.upstream_as(spec).await;
    let token = registry.reader().await;
    let reply = read(&registry, &token, LIB).await.expect(200);
    let path = reply.versions("vendor/lib")[0]["dist"]["url"].as_str().expect("text").to_owned();
    let path = path.strip_prefix("https://registry.test").expect("ours").to_owned();
    registry.composer_host.take_requests();
    (registry, id, token, path)
}

async fn download(registry: &TestRegistry, token: &str, path: &str) -> TestResponse {
    registry.get(path).basic(token).composer().send().await
}

async fn change(registry: &TestRegistry, id: &str, change: &Value) -> TestResponse {
    registry.patch(&format!("/api/repositories/{id}")).bearer(ADMIN).json(change).send().await
}

/// Which credentials each host was shown.
fn shown(registry: &TestRegistry) -> Vec<(String, Option<String>)> {
    let requests = registry.composer_host.take_requests();
    requests.into_iter().map(|request| (request.url, request.authorization)).collect()
}

#[tokio::test]
async fn a_zip_on_another_host_is_fetched_with_the_credentials_that_were_given_for_that_host() {
    let zip_url = format!("{CDN}/lib.zip");
    let (registry, id, token, path) =
        with_zip_at(&zip_url, json!({"url": SATIS, "auth_credentials": "root-token"})).await;
    registry.composer_host.put(&zip_url, zip_of(b"{}"));
    registry.composer_host.require_bearer(CDN, "cdn-token");

    let refused = download(&registry, &token, &path).await.expect(502);
    assert_eq!(
        refused.json()["warning"],
        "The archive of vendor/lib 1.0.0 is not available from its upstream: cdn.test answers with HTTP 401: who are you?; if \
         it wants credentials, give them with `host_credentials` of the repository"
    );
    assert_eq!(shown(&registry), [(zip_url.clone(), None)], "those of the repository are not for others");

    let wrong = json!({"host_credentials": [{"host": "cdn.test", "auth_credentials": "wrong"}]});
    change(&registry, &id, &wrong).await.expect(200);
    registry.run_until_idle().await;
    let refused = download(&registry, &token, &path).await.expect(502);
    let words = refused.json()["warning"].as_str().expect("text").to_owned();
    assert!(words.ends_with("check its credentials in `host_credentials` of the repository"), "{words}");

    let right = json!({"host_credentials": [{"host": "CDN.test:443", "auth_credentials": "cdn-token"}]});
    let view = change(&registry, &id, &right).await.expect(200).json();
    assert_eq!(view["host_credentials"], json!([{"host": "cdn.test", "credential_type": "token"}]));
    registry.run_until_idle().await;
    registry.composer_host.take_requests();
    assert_eq!(download(&registry, &token, &path).await.expect(200).body, zip_of(b"{}"));
    assert_eq!(shown(&registry), [(zip_url, Some("Bearer cdn-token".to_owned()))]);
}

#[tokio::test]
async fn each_host_that_a_redirect_leads_to_is_shown_what_was_given_for_it_and_nothing_else() {
    let hosts = json!([{"host": "cdn.test", "auth_credentials": "user:word", "credential_type": "basic"}]);
    let spec = json!({"url": SATIS, "auth_credentials": "root-token", "host_credentials": hosts});
    let own_url = format!("{SATIS}/zips/vendor/lib/1.0.0.zip");
    let (registry, _, token, path) = with_zip_at(&own_url, spec).await;
    let basic = Some("Basic dXNlcjp3b3Jk".to_owned());
    let bearer = Some("Bearer root-token".to_owned());
    for (target, expected) in [
        ("https://cdn.test/lib.zip", &basic),
        ("https://cdn.test:8443/lib.zip", &None),
        ("https://a.cdn.test/lib.zip", &None),
        ("https://cdn.test.other/lib.zip", &None),
    ] {
        registry.composer_host.inject_fault(&own_url, HostFault::Redirect(target.to_owned()));
        let answer = download(&registry, &token, &path).await.expect(502);
        let host = target.trim_start_matches("https://").trim_end_matches("/lib.zip");
        let words = answer.json()["warning"].as_str().expect("text").to_owned();
        assert!(words.contains(&format!("upstream: {host} answers with HTTP 404")), "{words}");
        let expected = [(own_url.clone(), bearer.clone()), (target.to_owned(), expected.clone())];
        assert_eq!(shown(&registry), expected, "{target}");
        registry.composer_host.recover();
    }
    // No redirect takes credentials to an address without TLS.
    registry.composer_host.inject_fault(&own_url, HostFault::Redirect("http://cdn.test/lib.zip".to_owned()));
    download(&registry, &token, &path).await.expect(502);
    assert_eq!(shown(&registry), [(own_url, bearer)]);
}

#[tokio::test]
async fn metadata_on_another_host_is_asked_for_with_its_credentials() {
    let registry = TestRegistry::new();
    let root = json!({"packages": [], "metadata-url": "https://cdn.test/p2/%package%.json"});
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
    registry.composer_host.publish(CDN, "vendor/lib", &[upstream_version(SATIS, "vendor/lib", "1.0.0")]);
    registry.composer_host.require_basic(CDN, "user", "word");
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    let refused = read(&registry, &token, LIB).await.expect(502);
    assert!(refused.text().contains("give them with `host_credentials`"), "{}", refused.text());
    let hosts = json!([{"host": "cdn.test", "auth_credentials": {"username": "user", "password": "word"}}]);
    change(&registry, &id, &json!({"host_credentials": hosts})).await.expect(200);
    registry.run_until_idle().await;
    registry.advance_seconds(60);
    assert_eq!(read(&registry, &token, LIB).await.expect(200).versions("vendor/lib").len(), 1);
}

#[tokio::test]
async fn the_zip_that_a_composer_json_in_git_states_is_fetched_with_the_credentials_of_its_host() {
    let registry = TestRegistry::new();
    let zip_url = format!("{CDN}/lib.zip");
    registry.composer_host.put(&zip_url, zip_of(b"built"));
    registry.composer_host.require_bearer(CDN, "cdn-token");
    let repo = registry.git_host.serve("acme/lib");
    let manifest = json!({"name": "acme/lib", "dist": {"type": "zip", "url": zip_url}});
    repo.commit(&[file("composer.json", manifest.to_string())]);
    repo.tag("1.0.0");
    let hosts = json!([{"host": "cdn.test", "auth_credentials": "cdn-token"}]);
    registry.register_as(json!({"url": repo.url, "host_credentials": hosts})).await;
    registry.run_until_idle().await;
    let path = format!("/dist/acme/lib/1.0.0/{}.zip", repo.id("main"));
    assert_eq!(registry.get_from_new_isolate(&path).await.expect(200).body, zip_of(b"built"));
}

#[tokio::test]
async fn credentials_of_hosts_are_replaced_kept_and_cleared_and_never_shown() {
    let registry = TestRegistry::new();
    let given = json!([
        {"host": "cdn.test", "auth_credentials": "first-secret"},
        {"host": "files.test:8443", "auth_credentials": "user:second-secret", "credential_type": "basic"},
    ]);
    let id = registry.register_as(json!({"kind": "composer", "url": SATIS, "host_credentials": given})).await;
    let shown = json!([
        {"host": "cdn.test", "credential_type": "token"}, {"host": "files.test:8443", "credential_type": "basic"},
    ]);
    assert_eq!(registry.repository_view(&id).await["host_credentials"], shown);
    let sealed = || registry.database.rows("SELECT host_credentials, credential_hosts FROM repositories")[0].clone();
    let before = sealed();
    assert!(!before.to_string().contains("secret"), "{before}");

    // What is not named stays; what is named without credentials stays; nothing of it is a change.
    for unchanged in [
        json!({"package_filter": null}),
        json!({"host_credentials": [{"host": "cdn.test"}, {"host": "files.test:8443", "credential_type": "basic"}]}),
        json!({"host_credentials": given}),
    ] {
        change(&registry, &id, &unchanged).await.expect(200);
        assert_eq!(sealed(), before, "{unchanged}");
    }
    let view =
        change(&registry, &id, &json!({"host_credentials": [{"host": "files.test:8443"}]})).await.expect(200).json();
    assert_eq!(view["host_credentials"], json!([{"host": "files.test:8443", "credential_type": "basic"}]));
    let noted = registry.database.rows("SELECT details FROM audit_log WHERE action = 'repository.changed'");
    assert_eq!(noted, [json!({"details": "{\"fields\":[\"host_credentials\"]}"})]);

    let replacement = json!({"kind": "composer", "url": SATIS});
    registry.put(&format!("/api/repositories/{id}")).bearer(ADMIN).json(&replacement).send().await.expect(200);
    assert_eq!(sealed(), json!({"host_credentials": null, "credential_hosts": null}));
}

#[tokio::test]
async fn wrong_credentials_of_hosts_are_refused_by_name() {
    let registry = TestRegistry::new();
    let id = registry.register_as(json!({"kind": "composer", "url": SATIS})).await;
    for (given, words) in [
        (json!([{"host": "https://cdn.test"}]), "is no host, like `cdn.example.com`"),
        (json!([{"host": "user@cdn.test", "auth_credentials": "x"}]), "is no host"),
        (json!([{"host": "", "auth_credentials": "x"}]), "is no host"),
        (json!([{"host": "127.0.0.1", "auth_credentials": "x"}]), "must not lead to a private"),
        (json!([{"host": "cdn.test"}]), "needs `auth_credentials` of `cdn.test`"),
        (json!([{"host": "cdn.test", "credential_type": "basic", "auth_credentials": "x"}]), "of `cdn.test`"),
        (
            json!([{"host": "cdn.test", "auth_credentials": "x"}, {"host": "cdn.test:443", "auth_credentials": "y"}]),
            "names `cdn.test` twice",
        ),
        (json!(vec![json!({"host": "cdn.test", "auth_credentials": "x"}); 21]), "must not hold more than 20 hosts"),
    ] {
        let refused = change(&registry, &id, &json!({"host_credentials": given})).await.expect(400).json();
        let told = refused["details"]["host_credentials"][0].as_str().unwrap_or_default();
        assert!(told.contains(words), "{given}: {refused}");
    }
    let uploads = json!({"kind": "artifact", "host_credentials": [{"host": "cdn.test", "auth_credentials": "x"}]});
    registry.post("/api/repositories").bearer(ADMIN).json(&uploads).send().await.expect(400);
}
