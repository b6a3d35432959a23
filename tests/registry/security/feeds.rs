//! What upstreams tell of mirrored packages at addresses of their own: advisories in full, and filter lists in brief.

use serde_json::{Value, json};

use crate::support::zips::package;
use crate::support::{ADMIN, HostFault, TestRegistry, upstream_version, zip_of};

const SATIS: &str = "https://satis.test";
const API: &str = "https://satis.test/api/advisories";
const SUMMARY: &str = "https://satis.test/filter.json";
const PACKAGIST: &str = "https://packagist.test";
const PACKAGIST_API: &str = "https://api.packagist.test/security-advisories/";
const INTERVAL: u64 = 600;
const HOUR: u64 = 3600;
const LIB: &str = "/p2/vendor/lib.json";

fn in_brief(id: &str) -> Value {
    json!({"advisoryId": id, "affectedVersions": "<2"})
}

fn in_full(id: &str, title: &str) -> Value {
    json!({
        "advisoryId": id, "packageName": "vendor/lib", "affectedVersions": "<2", "title": title, "cve": null,
        "link": "https://a.test/1", "severity": "high", "sources": [{"name": "GitHub", "remoteId": format!("GHSA-{id}")}],
        "reportedAt": "2026-01-02 03:04:05",
    })
}

/// The root of an upstream whose packages are asked for by name, and say of advisories what `advisories` says.
fn put_root(registry: &TestRegistry, origin: &str, advisories: &Value) {
    let root = json!({
        "packages": [], "metadata-url": "/p2/%package%.json", "security-advisories": advisories,
        "filter": {"metadata": true, "lists": {"malware": {"enabled": true}}, "summary-url": "/filter.json"},
    });
    registry.composer_host.put_json(&format!("{origin}/packages.json"), &root);
    registry.composer_host.put_json(&format!("{origin}/filter.json"), &json!({"filter": {}}));
}

/// What the document of `vendor/lib` says besides its versions.
fn put_lib(registry: &TestRegistry, origin: &str, notices: &Value) {
    let versions = ["2.0.0", "1.0.0"].map(|text| upstream_version(origin, "vendor/lib", text));
    let mut document = json!({"packages": {"vendor/lib": versions}});
    document.as_object_mut().expect("an object").extend(notices.as_object().expect("an object").clone());
    registry.composer_host.put_json(&format!("{origin}/p2/vendor/lib.json"), &document);
    for version in ["1.0.0", "2.0.0"] {
        registry.composer_host.put(&format!("{origin}/zips/vendor/lib/{version}.zip"), zip_of(b"{}"));
    }
}

/// A registry with an upstream that says this of `vendor/lib`, which is mirrored; the upstream's id, and a token.
async fn mirroring(advisories: &Value, notices: &Value) -> (TestRegistry, String, String) {
    let registry = TestRegistry::new();
    put_root(&registry, SATIS, advisories);
    put_lib(&registry, SATIS, notices);
    let id = registry.upstream(SATIS).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await;
    (registry, id, token)
}

async fn read(registry: &TestRegistry, token: &str, path: &str) -> Value {
    registry.get(path).basic(token).composer().send().await.expect(200).json()
}

async fn advisories(registry: &TestRegistry, token: &str) -> Value {
    let request = registry.post("/security-advisories").basic(token).composer();
    request.body("packages[]=vendor/lib").send().await.expect(200).json()["advisories"]["vendor/lib"].take()
}

/// The titles of the advisories in full.
async fn titles(registry: &TestRegistry, token: &str) -> Vec<String> {
    let all = advisories(registry, token).await;
    let title = |one: &Value| one["title"].as_str().expect("text").to_owned();
    all.as_array().map(|all| all.iter().map(title).collect()).unwrap_or_default()
}

/// The next sync, after so many seconds.
async fn sync_after(registry: &TestRegistry, seconds: u64) {
    registry.advance_seconds(seconds);
    registry.cron().await;
    registry.run_until_idle().await;
}

#[tokio::test]
async fn an_advisory_that_documents_only_name_gets_its_text_and_keeps_it_while_the_upstream_fails() {
    let announced = json!({"metadata": true, "api-url": "/api/advisories"});
    let notices = json!({"security-advisories": [in_brief("A-1")]});
    let (registry, id, token) = mirroring(&announced, &notices).await;
    registry.upload("acme/own", "1.0.0", package("acme/own", "1.0.0")).await.expect(201);
    assert!(titles(&registry, &token).await[0].ends_with("its text is not known here"));
    registry.composer_host.put_json(API, &json!({"advisories": {"vendor/lib": [in_full("A-1", "Path traversal")]}}));
    registry.composer_host.take_posts();
    sync_after(&registry, INTERVAL).await;
    assert_eq!(advisories(&registry, &token).await, json!([in_full("A-1", "Path traversal")]));
    let asked = registry.composer_host.take_posts();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].url.as_str(), &asked[0].body[..]), (API, &b"packages%5B%5D=vendor%2Flib"[..]));
    assert_eq!(asked[0].headers["content-type"], "application/x-www-form-urlencoded");

    for fault in [
        HostFault::Unreachable,
        HostFault::Status(500),
        HostFault::Status(404),
        HostFault::Html,
        HostFault::Says(br#"{"packages": []}"#.to_vec()),
    ] {
        registry.composer_host.inject_fault(API, fault);
        sync_after(&registry, HOUR).await;
        registry.composer_host.recover();
        assert_eq!(titles(&registry, &token).await, ["Path traversal"]);
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok");
        let skipped = registry.skipped();
        assert_eq!(skipped.len(), 1, "{skipped:?}");
        assert_eq!(skipped[0].0, "security-advisories");
        assert!(skipped[0].1.starts_with("what it said of them last holds: "), "{skipped:?}");
        sync_after(&registry, HOUR).await;
        assert_eq!(registry.skipped(), []);
    }
    // What the documents say no more ends, whatever the other address says.
    put_lib(&registry, SATIS, &json!({"security-advisories": []}));
    sync_after(&registry, INTERVAL + 1).await;
    assert_eq!(titles(&registry, &token).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_only_the_answers_tell_stands_in_the_documents_too_until_they_tell_it_no_more() {
    let (registry, _, token) = mirroring(&json!({"api-url": "/api/advisories"}), &json!({})).await;
    let first = registry.get(LIB).basic(&token).composer().send().await.expect(200);
    assert_eq!(first.json()["security-advisories"], json!([]));
    registry.composer_host.put_json(API, &json!({"advisories": {"Vendor/Lib": [in_full("A-1", "One")]}}));
    sync_after(&registry, INTERVAL).await;
    let request = registry.get(LIB).basic(&token).composer().if_modified_since(&first);
    assert_eq!(request.send().await.expect(200).json()["security-advisories"], json!([in_brief("A-1")]));
    put_lib(&registry, SATIS, &json!({"description": "changed"}));
    sync_after(&registry, INTERVAL).await;
    assert_eq!(titles(&registry, &token).await, ["One"], "a document says nothing of it");
    registry.composer_host.put_json(API, &json!({"advisories": []}));
    sync_after(&registry, INTERVAL).await;
    assert_eq!(titles(&registry, &token).await, ["One"], "an answer holds for an hour");
    sync_after(&registry, HOUR).await;
    assert_eq!(titles(&registry, &token).await, Vec::<String>::new());
}

#[tokio::test]
async fn packagist_is_asked_each_time_for_what_was_updated_and_once_a_day_for_everything() {
    let registry = TestRegistry::new();
    put_root(&registry, PACKAGIST, &json!({"metadata": true, "api-url": PACKAGIST_API}));
    put_lib(&registry, PACKAGIST, &json!({"security-advisories": [in_brief("A-1")]}));
    registry.set(json!({"packagist_mirroring": true, "packagist_url": PACKAGIST})).await;
    let token = registry.reader().await;
    read(&registry, &token, LIB).await;
    let begun = registry.isolate.app.now().seconds();
    let in_answer = |list: Value| json!({"advisories": {"vendor/lib": list, "vendor/unknown": [in_full("B-1", "B")]}});
    registry.composer_host.put_json(PACKAGIST_API, &in_answer(json!([in_full("A-1", "One")])));
    let updated = |since: i64| format!("{PACKAGIST_API}?updatedSince={}", since - 3600);
    registry.composer_host.put_json(&updated(begun), &in_answer(json!([])));
    registry.composer_host.take_requests();
    sync_after(&registry, INTERVAL).await;
    assert_eq!(titles(&registry, &token).await, ["One"]);
    let asked = || {
        let urls = registry.composer_host.take_urls();
        urls.into_iter().filter(|url| url.starts_with(PACKAGIST_API)).collect::<Vec<_>>()
    };
    assert_eq!(asked(), [updated(begun), PACKAGIST_API.to_owned()]);

    let second = begun + 600;
    registry.composer_host.put_json(&updated(second), &in_answer(json!([in_full("A-2", "Two")])));
    sync_after(&registry, INTERVAL).await;
    assert_eq!(asked(), [updated(second)]);
    assert_eq!(titles(&registry, &token).await, ["One", "Two"]);
    let stored = registry.database.rows("SELECT name FROM upstream_notices");
    assert_eq!(stored, [json!({"name": "vendor/lib"})], "what is not mirrored is not kept");

    // What could not be asked for is asked for the next time.
    registry.composer_host.inject_fault("updatedSince", HostFault::Status(500));
    sync_after(&registry, INTERVAL).await;
    registry.composer_host.recover();
    asked();
    registry.composer_host.put_json(&updated(begun + 1200), &in_answer(json!([in_full("A-3", "Three")])));
    sync_after(&registry, INTERVAL).await;
    assert_eq!(titles(&registry, &token).await, ["One", "Two", "Three"]);
    asked();
    sync_after(&registry, 25 * HOUR).await;
    assert_eq!(asked(), [PACKAGIST_API], "everything, because it was not asked for a day");
}

#[tokio::test]
async fn a_new_entry_of_a_filter_list_reaches_a_package_that_nobody_asks_for() {
    let listed =
        json!({"constraint": "2.0.0", "reason": "stolen", "url": "https://a.test/2", "id": "M-1", "source": "x"});
    let (registry, _, token) = mirroring(&json!({"metadata": true}), &json!({"filter": {"malware": [listed]}})).await;
    let put_summary = |malware: Value| {
        registry
            .composer_host
            .put_json(SUMMARY, &json!({"filter": {"malware": malware, "other": {"vendor/lib": "*"}}}));
    };
    let filter = async || read(&registry, &token, LIB).await["filter"].clone();
    // The statuses of the answers for the summary, and how often a document was asked for, all of which are fresh.
    let sync = async || {
        registry.database.execute("UPDATE mirrors SET checked_at = 9000000000000");
        registry.composer_host.take_requests();
        sync_after(&registry, INTERVAL).await;
        let asked = registry.composer_host.take_requests();
        let statuses: Vec<u16> = asked.iter().filter(|one| one.url == SUMMARY).map(|one| one.status).collect();
        (statuses, asked.iter().filter(|one| one.url.ends_with("/p2/vendor/lib.json")).count())
    };
    put_summary(json!({"vendor/lib": "2.0.0", "vendor/unknown": "*"}));
    assert_eq!(sync().await, (vec![200], 0));
    assert_eq!(filter().await, json!({"malware": [listed]}), "what says the same keeps its reason");
    assert_eq!(sync().await, (vec![304], 0));

    put_summary(json!({"vendor/lib": "1.0.0 || 2.0.0"}));
    assert_eq!(sync().await, (vec![200], 1));
    assert_eq!(filter().await, json!({"malware": [{"constraint": "1.0.0 || 2.0.0"}]}), "the document is behind");
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(410);

    registry.composer_host.inject_fault(SUMMARY, HostFault::Html);
    sync().await;
    registry.composer_host.recover();
    assert_eq!(registry.skipped()[0].0, "filter");
    assert_eq!(filter().await, json!({"malware": [{"constraint": "1.0.0 || 2.0.0"}]}), "what it said last holds");

    let other = json!({"constraint": "1.*", "reason": "broken"});
    put_lib(&registry, SATIS, &json!({"filter": {"malware": [other, listed]}}));
    put_summary(json!({"vendor/lib": "1.* || 2.0.0"}));
    assert_eq!(sync().await, (vec![200], 1));
    assert_eq!(filter().await, json!({"malware": [other, listed]}), "the document tells why");

    put_summary(json!({}));
    assert_eq!(sync().await, (vec![200], 0));
    assert_eq!(filter().await, json!({}));
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(200);
}

#[tokio::test]
async fn an_advisory_that_goes_by_two_ids_is_shown_once_and_ours_is_the_one() {
    let notices = json!({"security-advisories": [in_full("A-1", "Theirs"), in_full("A-2", "Another")]});
    let (registry, _, token) = mirroring(&json!({"metadata": true}), &notices).await;
    let own = |id: &str, remote: &str| {
        json!({
            "advisory_id": id, "package": "vendor/lib", "title": id, "affected_versions": "<1.5",
            "sources": [{"name": "GitHub", "remote_id": remote}],
        })
    };
    for (id, remote) in [("OURS-1", "ghsa-a-1"), ("OURS-2", "GHSA-A-1")] {
        registry.post("/api/advisories").bearer(ADMIN).json(&own(id, remote)).send().await.expect(201);
    }
    assert_eq!(titles(&registry, &token).await, ["OURS-1", "OURS-2", "Another"]);
    let ids = json!([
        {"advisoryId": "OURS-1", "affectedVersions": "<1.5"}, {"advisoryId": "OURS-2", "affectedVersions": "<1.5"},
        in_brief("A-2"),
    ]);
    assert_eq!(read(&registry, &token, LIB).await["security-advisories"], ids);
}

#[tokio::test]
async fn a_question_names_a_hundred_packages_and_one_that_is_refused_keeps_no_other_waiting() {
    let registry = TestRegistry::new();
    put_root(&registry, SATIS, &json!({"metadata": true, "api-url": "/api/advisories"}));
    let spec = json!({"url": SATIS, "credential_type": "token", "auth_credentials": "secret"});
    registry.composer_host.require_bearer(SATIS, "secret");
    registry.upstream_as(spec).await;
    let token = registry.reader().await;
    for number in 0..101 {
        let name = format!("vendor/p{number}");
        registry.composer_host.publish(SATIS, &name, &[upstream_version(SATIS, &name, "1.0.0")]);
        read(&registry, &token, &format!("/p2/{name}.json")).await;
    }
    let asked = || {
        let posts = registry.composer_host.take_posts();
        posts.iter().map(|post| String::from_utf8_lossy(&post.body).matches("packages").count()).collect::<Vec<_>>()
    };
    asked();
    registry.composer_host.inject_fault(API, HostFault::Status(400));
    sync_after(&registry, INTERVAL).await;
    assert_eq!(asked(), [100]);
    registry.composer_host.recover();
    registry.composer_host.put_json(API, &json!({"advisories": {}}));
    registry.composer_host.take_requests();
    sync_after(&registry, INTERVAL).await;
    assert_eq!(asked(), [1], "the others have their turn in an hour");
    let logins = registry.composer_host.take_requests().into_iter().filter(|one| one.url == API);
    assert!(logins.into_iter().all(|one| one.authorization.as_deref() == Some("Bearer secret")));
    sync_after(&registry, HOUR).await;
    assert_eq!(asked(), [100, 1]);
}

#[tokio::test]
async fn an_address_elsewhere_is_not_shown_the_credentials_and_a_private_one_is_not_asked() {
    for (address, expected) in [("https://elsewhere.test/api", None), ("https://169.254.169.254/api", Some("private"))]
    {
        let registry = TestRegistry::new();
        put_root(&registry, SATIS, &json!({"metadata": true, "api-url": address}));
        put_lib(&registry, SATIS, &json!({}));
        registry.composer_host.require_bearer(SATIS, "secret");
        registry.composer_host.put_json(address, &json!({"advisories": {}}));
        let spec = json!({"url": SATIS, "credential_type": "token", "auth_credentials": "secret"});
        registry.upstream_as(spec).await;
        let token = registry.reader().await;
        read(&registry, &token, LIB).await;
        registry.composer_host.take_requests();
        sync_after(&registry, INTERVAL).await;
        let logins: Vec<Option<String>> = registry
            .composer_host
            .take_requests()
            .into_iter()
            .filter(|one| one.url == address)
            .map(|one| one.authorization)
            .collect();
        match expected {
            None => assert_eq!(logins, [None]),
            Some(word) => {
                assert_eq!(logins, []);
                assert!(registry.skipped()[0].1.contains(word), "{:?}", registry.skipped());
            }
        }
    }
}
