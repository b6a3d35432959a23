//! Advisories and filter lists of upstreams, handed on with what is mirrored from them; and malware, which is not.

use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, HostFault, TestRegistry, upstream_version, zip_of};

const SATIS: &str = "https://satis.test";
const LIB: &str = "/p2/vendor/lib.json";

fn full_advisory(id: &str) -> Value {
    json!({
        "advisoryId": id, "affectedVersions": "<2", "title": "Path traversal", "cve": "CVE-2026-1", "severity": "high",
        "link": "https://a.test/1", "sources": [{"name": "GitHub", "remoteId": "GHSA-1"}],
        "reportedAt": "2026-01-02T03:04:05+00:00",
    })
}

/// A registry with an upstream that has `vendor/lib` 1.0.0 and 2.0.0 and says this of it; and a token.
async fn mirroring(notices: &Value) -> (TestRegistry, String) {
    let registry = TestRegistry::new();
    let root = json!({
        "packages": [], "metadata-url": "/p2/%package%.json", "security-advisories": {"metadata": true},
        "filter": {"metadata": true, "lists": {"malware": {"enabled": true}, "quarantine": {"enabled": true}}},
    });
    registry.composer_host.put_json(&format!("{SATIS}/packages.json"), &root);
    publish(&registry, notices);
    for version in ["1.0.0", "2.0.0"] {
        registry.composer_host.put(&format!("{SATIS}/zips/vendor/lib/{version}.zip"), zip_of(b"{}"));
    }
    registry.upstream(SATIS).await;
    let token = registry.reader().await;
    (registry, token)
}

fn publish(registry: &TestRegistry, notices: &Value) {
    let versions = ["2.0.0", "1.0.0"].map(|text| upstream_version(SATIS, "vendor/lib", text));
    let mut document = json!({"packages": {"vendor/lib": versions}});
    document.as_object_mut().expect("an object").extend(notices.as_object().expect("an object").clone());
    registry.composer_host.put_json(&format!("{SATIS}/p2/vendor/lib.json"), &document);
}

async fn read(registry: &TestRegistry, token: &str, path: &str) -> Value {
    registry.get(path).basic(token).composer().send().await.expect(200).json()
}

async fn advisories(registry: &TestRegistry, token: &str) -> Value {
    let request = registry.post("/security-advisories").basic(token).composer();
    request.body("packages[]=vendor/lib").send().await.expect(200).json()["advisories"]["vendor/lib"].take()
}

#[tokio::test]
async fn what_an_upstreams_document_says_to_be_wrong_is_handed_on_with_it() {
    let malware =
        json!({"constraint": "1.0.0", "reason": "stolen", "url": "https://a.test/2", "id": "M-1", "source": "x"});
    let notices = json!({
        "security-advisories": [full_advisory("PKSA-1"), {"advisoryId": "PKSA-2", "affectedVersions": "*"}],
        "filter": {"malware": [malware], "unannounced": [{"constraint": "*"}]},
    });
    let (registry, token) = mirroring(&notices).await;
    let document = read(&registry, &token, LIB).await;
    let brief = json!([
        {"advisoryId": "PKSA-1", "affectedVersions": "<2"}, {"advisoryId": "PKSA-2", "affectedVersions": "*"},
    ]);
    assert_eq!(document["security-advisories"], brief);
    assert_eq!(document["filter"], json!({"malware": [malware]}));
    let root = read(&registry, &token, "/packages.json").await;
    assert_eq!(root["filter"]["lists"], json!({"malware": {"enabled": true}, "quarantine": {"enabled": true}}));

    let all = advisories(&registry, &token).await;
    let expected = json!({
        "advisoryId": "PKSA-1", "packageName": "vendor/lib", "affectedVersions": "<2", "title": "Path traversal",
        "cve": "CVE-2026-1", "link": "https://a.test/1", "severity": "high",
        "sources": [{"name": "GitHub", "remoteId": "GHSA-1"}], "reportedAt": "2026-01-02 03:04:05",
    });
    assert_eq!(all[0], expected);
    assert_eq!(all[1]["title"], "Known to https://satis.test by this id; its text is not known here");
    let question = json!({"packages": ["pkg://composer/vendor/lib"]});
    let lists = registry.post("/filter-lists").basic(&token).json(&question).send().await.expect(200).json();
    let mut named = malware.clone();
    named["package"] = json!("vendor/lib");
    assert_eq!(lists["filter"]["malware"], json!([named]));
    let summary = read(&registry, &token, "/filter-lists/summary.json").await;
    assert_eq!(summary["filter"]["malware"], json!({"vendor/lib": "1.0.0"}));
}

#[tokio::test]
async fn our_own_advisory_of_an_id_comes_before_an_upstreams_and_a_limited_token_is_shown_what_it_sees() {
    let notices = json!({
        "security-advisories": [full_advisory("PKSA-1")], "filter": {"malware": [{"constraint": "1.0.0"}]},
    });
    let (registry, token) = mirroring(&notices).await;
    read(&registry, &token, LIB).await;
    let own = json!({"advisory_id": "PKSA-1", "package": "vendor/lib", "title": "Ours", "affected_versions": "<1.5"});
    registry.post("/api/advisories").bearer(ADMIN).json(&own).send().await.expect(201);
    let entry = json!({"package": "vendor/lib", "constraint": "1.0.0", "reason": "ours"});
    registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    let document = read(&registry, &token, LIB).await;
    assert_eq!(document["security-advisories"], json!([{"advisoryId": "PKSA-1", "affectedVersions": "<1.5"}]));
    assert_eq!(document["filter"]["malware"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["filter"]["malware"][0]["reason"], "ours");
    let all = advisories(&registry, &token).await;
    assert_eq!((all.as_array().map(Vec::len), &all[0]["title"]), (Some(1), &json!("Ours")));

    let (id, limited) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["vendor/"]})).await;
    let limit = format!(
        "UPDATE grants SET version_constraint = '2.*' WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')"
    );
    registry.database.execute(&limit);
    let document = read(&registry, &limited, LIB).await;
    assert_eq!((&document["security-advisories"], &document["filter"]), (&json!([]), &json!({})));
    assert_eq!(advisories(&registry, &limited).await, Value::Null);
}

#[tokio::test]
async fn while_an_upstream_fails_what_it_said_last_holds_and_a_change_is_another_document() {
    let (registry, token) = mirroring(&json!({"security-advisories": [full_advisory("PKSA-1")]})).await;
    let first = registry.get(LIB).basic(&token).composer().send().await.expect(200);
    let (_, calls) = registry.counted(read(&registry, &token, LIB)).await;
    assert_eq!(calls, Calls::default(), "warm");
    registry.composer_host.inject_fault(SATIS, HostFault::Unreachable);
    registry.advance_seconds(36_000);
    let stale = registry.another_isolate().get(LIB).basic(&token).composer().send().await.expect(200).json();
    assert_eq!(stale["security-advisories"].as_array().map(Vec::len), Some(1));
    assert_eq!(advisories(&registry, &token).await.as_array().map(Vec::len), Some(1));

    registry.composer_host.recover();
    publish(&registry, &json!({"security-advisories": []}));
    registry.advance_seconds(36_000);
    let request = registry.get(LIB).basic(&token).composer().if_modified_since(&first);
    assert_eq!(request.send().await.expect(200).json()["security-advisories"], json!([]));
    assert_eq!(advisories(&registry, &token).await, Value::Null);
}

#[tokio::test]
async fn the_zip_of_malware_is_gone_whoever_lists_it_unless_the_operator_lets_it_through() {
    let listed = json!({"constraint": "1.0.0", "reason": "stolen", "url": "https://a.test/2"});
    let (registry, token) = mirroring(&json!({"filter": {"malware": [listed]}})).await;
    read(&registry, &token, LIB).await;
    let download = |version: &str| registry.get(&format!("/dist/vendor/lib/{version}.zip")).basic(&token).composer();
    let refused = download("1.0.0").send().await.expect(410);
    let words = "vendor/lib 1.0.0 is listed as malware and is not handed out: stolen. See https://a.test/2.";
    assert_eq!((&refused.json()["warning"], &refused.json()["code"]), (&json!(words), &json!("GONE")));
    assert_eq!(registry.blobs.keys(), Vec::<String>::new(), "nobody was asked for it");
    let (reply, calls) = registry.counted(download("1.0.0").send()).await;
    assert_eq!((reply.status, calls.statements, calls.upstream), (410, 1, 0));
    download("2.0.0").send().await.expect(200);

    let entry = json!({"package": "vendor/lib", "constraint": "2.*"});
    let made = registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    download("2.0.0").send().await.expect(410);
    let (_, blind) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["other/"]})).await;
    registry.get("/dist/vendor/lib/1.0.0.zip").basic(&blind).send().await.expect(404);
    registry.delete(&format!("/api/filter-entries/{}", made.id())).bearer(ADMIN).send().await.expect(200);
    download("2.0.0").send().await.expect(200);
    registry.set(json!({"block_malware_downloads": false})).await;
    download("1.0.0").send().await.expect(200);
}
