//! A registry as the upstream of another: what the one says to be wrong is what the other's composer reads.

use serde_json::{Value, json};

use crate::support::{ADMIN, TestRegistry};

const FIRST: &str = "https://first.test";
const INTERVAL: u64 = 600;

/// The upstream, the registry that mirrors it, the id of the repository that is it, and a token.
async fn two() -> (TestRegistry, TestRegistry, String, String) {
    let (first, second) = (TestRegistry::new(), TestRegistry::new());
    first.published("vendor/lib", &["1.0.0", "2.0.0"]).await;
    second.registries.put(FIRST, &first.isolate);
    let login = first.reader().await;
    let spec = json!({"url": FIRST, "credential_type": "token", "auth_credentials": login});
    let id = second.upstream_as(spec).await;
    let token = second.reader().await;
    let read = second.get("/p2/vendor/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(read.version_names("vendor/lib"), ["2.0.0", "1.0.0"]);
    (first, second, id, token)
}

/// The next sync of the upstream.
async fn sync(second: &TestRegistry) {
    second.advance_seconds(INTERVAL + 1);
    second.cron().await;
    second.run_until_idle().await;
}

/// All that composer reads of `vendor/lib`: its document's two lists, the advisories in full, and the filter lists in full and
/// in brief.
async fn told(registry: &TestRegistry, token: &str) -> [Value; 5] {
    let document = registry.get("/p2/vendor/lib.json").basic(token).composer().send().await.expect(200).json();
    let advisories = registry.post("/security-advisories").basic(token).composer().body("packages[]=vendor/lib");
    let question = json!({"packages": ["pkg://composer/vendor/lib"], "lists": ["malware"]});
    let lists = registry.post("/filter-lists").basic(token).json(&question).send().await.expect(200).json();
    let summary = registry.get("/filter-lists/summary.json").basic(token).send().await.expect(200).json();
    let advisories = advisories.send().await.expect(200).json();
    [
        document["security-advisories"].clone(),
        document["filter"].clone(),
        advisories["advisories"]["vendor/lib"].clone(),
        lists["filter"]["malware"].clone(),
        summary["filter"]["malware"].clone(),
    ]
}

#[tokio::test]
async fn what_a_registry_says_to_be_wrong_is_said_by_those_that_mirror_it() {
    let (first, second, _, token) = two().await;
    let advisory = json!({
        "advisory_id": "VENDOR-1", "package": "vendor/lib", "title": "Path traversal", "affected_versions": "<2",
        "severity": "high", "cve": "CVE-2026-0001", "link": "https://vendor.test/1",
        "sources": [{"name": "GitHub", "remote_id": "GHSA-1"}], "reported_at": 1_700_000_000,
    });
    let advisory = first.post("/api/advisories").bearer(ADMIN).json(&advisory).send().await.expect(201).id();
    let entry =
        json!({"package": "vendor/lib", "constraint": "1.0.0", "reason": "stolen", "url": "https://vendor.test/2"});
    let entry = first.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201).id();
    let theirs = told(&first, ADMIN).await;
    assert_eq!(theirs[2][0]["title"], "Path traversal");
    assert_eq!(theirs[4], json!({"vendor/lib": "1.0.0"}));

    sync(&second).await;
    assert_eq!(told(&second, &token).await, theirs);
    let refused = second.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(410).json();
    let words = "vendor/lib 1.0.0 is listed as malware and is not handed out: stolen. See https://vendor.test/2.";
    assert_eq!(refused["warning"], words);
    second.get("/dist/vendor/lib/2.0.0.zip").basic(&token).composer().send().await.expect(200);

    for path in [format!("/api/advisories/{advisory}"), format!("/api/filter-entries/{entry}")] {
        first.delete(&path).bearer(ADMIN).send().await.expect(200);
    }
    sync(&second).await;
    assert_eq!(told(&second, &token).await, [json!([]), json!({}), Value::Null, json!([]), json!({})]);
    second.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(200);
}

#[tokio::test]
async fn a_registry_that_no_longer_lets_its_mirrors_in_leaves_them_what_it_said() {
    let (first, second, id, token) = two().await;
    let advisory = json!({"package": "vendor/lib", "title": "Path traversal", "affected_versions": "*"});
    first.post("/api/advisories").bearer(ADMIN).json(&advisory).send().await.expect(201);
    let entry = json!({"package": "vendor/lib", "constraint": "1.0.0"});
    first.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    sync(&second).await;
    let known = told(&second, &token).await;
    assert_eq!(known[2][0]["title"], "Path traversal");

    first.database.execute("UPDATE tokens SET revoked_at = 1");
    first.advance_seconds(3600);
    sync(&second).await;
    assert_eq!(second.repository_view(&id).await["sync_status"], "failed");
    assert_eq!(told(&second, &token).await, known);
    second.get("/dist/vendor/lib/1.0.0.zip").basic(&token).composer().send().await.expect(410);
}
