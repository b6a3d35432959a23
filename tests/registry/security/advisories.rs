//! Advisories and filter lists: what an operator writes down is what composer reads, and no more than the caller sees.

use serde_json::{Value, json};

use crate::support::{ADMIN, FaultTiming, ORIGIN, Port, TestRegistry};

fn advisory() -> Value {
    json!({
        "advisory_id": "ACME-1", "package": "acme/lib", "title": "Path traversal", "affected_versions": ">=1.0,<2.0",
        "severity": "high", "cve": "CVE-2026-0001", "link": "https://acme.example/1",
        "sources": [{"name": "GitHub", "remote_id": "GHSA-1"}], "reported_at": 1_700_000_000,
    })
}

async fn request(registry: &TestRegistry, token: &str, form: &str) -> Value {
    let request = registry.post("/security-advisories").basic(token).composer();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    request.send().await.expect(200).json()
}

/// A token whose grant on `acme/lib` is limited to `constraint`.
async fn limited(registry: &TestRegistry, constraint: &str) -> String {
    let (id, token) = registry.token(&json!({"description": "limited"})).await;
    let sql = format!(
        "UPDATE grants SET target = 'acme/lib', version_constraint = '{constraint}'
          WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')"
    );
    registry.database.execute(&sql);
    token
}

#[tokio::test]
async fn an_advisory_is_read_back_changed_and_removed() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let made = registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let id = made.id();
    let path = format!("/api/advisories/{id}");
    assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(200).json(), made.json());
    assert_eq!(made.json()["sources"], json!([{"name": "GitHub", "remote_id": "GHSA-1"}]));
    assert_eq!(made.json()["reported_at"], 1_700_000_000);

    let change = json!({"severity": null, "affected_versions": "<1.5"});
    let changed = registry.patch(&path).bearer(ADMIN).json(&change).send().await.expect(200).json();
    assert_eq!(changed["severity"], Value::Null);
    assert_eq!(changed["affected_versions"], "<1.5");
    assert_eq!(changed["cve"], "CVE-2026-0001");

    let listed = registry.get("/api/advisories?package=acme/lib").bearer(ADMIN).send().await.expect(200);
    assert_eq!(listed.header("x-total-count"), "1");
    assert_eq!(listed.json(), json!([changed]));
    registry.get("/api/advisories?paket=acme/lib").bearer(ADMIN).send().await.expect(400);

    registry.delete(&path).bearer(ADMIN).send().await.expect(200);
    registry.get(&path).bearer(ADMIN).send().await.expect(404);
    registry.delete(&path).bearer(ADMIN).send().await.expect(404);
    registry.patch(&path).bearer(ADMIN).json(&change).send().await.expect(404);
    let log = registry.get("/api/audit-log?action=advisory.").bearer(ADMIN).send().await.expect(200).json();
    let actions: Vec<&Value> = log.as_array().expect("a list").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["advisory.removed", "advisory.changed", "advisory.created"]);
}

#[tokio::test]
async fn composer_reads_advisories_in_brief_in_p2_and_in_full_at_the_address_of_the_root_document() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let token = registry.reader().await;
    let root = registry.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    let expected = json!({"metadata": true, "api-url": format!("{ORIGIN}/security-advisories")});
    assert_eq!(root["security-advisories"], expected);
    let p2 = "/p2/acme/lib.json";
    let before = registry.get(p2).basic(&token).composer().send().await.expect(200);
    assert_eq!(before.json()["security-advisories"], json!([]));

    registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let after = registry.get(p2).basic(&token).composer().if_modified_since(&before).send().await.expect(200).json();
    assert_eq!(after["security-advisories"], json!([{"advisoryId": "ACME-1", "affectedVersions": ">=1.0,<2.0"}]));
    assert_eq!(after["packages"], before.json()["packages"]);
    let full =
        request(&registry, &token, "packages%5B0%5D=acme%2FLib&packages%5B1%5D=acme%2Fother&packages%5B2%5D=..").await;
    let expected = json!({"advisories": {"acme/lib": [{
        "advisoryId": "ACME-1", "packageName": "acme/lib", "affectedVersions": ">=1.0,<2.0",
        "title": "Path traversal", "cve": "CVE-2026-0001", "link": "https://acme.example/1", "severity": "high",
        "sources": [{"name": "GitHub", "remoteId": "GHSA-1"}], "reportedAt": "2023-11-14 22:13:20",
    }]}});
    assert_eq!(full, expected);
    assert_eq!(request(&registry, &token, "").await, json!({"advisories": {}}));
}

#[tokio::test]
async fn a_notice_about_versions_that_are_hidden_is_hidden_too() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    registry.published("other/lib", &["1.0.0"]).await;
    registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let entry = json!({"package": "acme/lib", "constraint": "1.0.0", "reason": "stolen"});
    registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    let one = limited(&registry, "1.*").await;
    let two = limited(&registry, "2.*").await;
    let (_, other) = registry.token(&json!({"description": "a", "allowed_package_prefixes": ["other/"]})).await;
    let question = json!({"packages": ["pkg://composer/acme/lib"], "lists": ["malware"]});
    for (token, sees) in [(&one, true), (&two, false), (&other, false)] {
        let full = request(&registry, token, "packages[]=acme/lib").await;
        assert_eq!(full["advisories"].get("acme/lib").is_some(), sees);
        let lists =
            registry.post("/filter-lists").basic(token).composer().json(&question).send().await.expect(200).json();
        assert_eq!(!lists["filter"]["malware"].as_array().expect("a list").is_empty(), sees, "{lists}");
        let summary =
            registry.get("/filter-lists/summary.json").basic(token).composer().send().await.expect(200).json();
        assert_eq!(summary["filter"]["malware"].get("acme/lib").is_some(), sees, "{summary}");
    }
    let p2 = |token: String| registry.get("/p2/acme/lib.json").basic(&token).composer().send();
    assert_eq!(p2(one).await.expect(200).json()["security-advisories"].as_array().map(Vec::len), Some(1));
    let hidden = p2(two).await.expect(200).json();
    assert_eq!((&hidden["security-advisories"], &hidden["filter"]), (&json!([]), &json!({})));
    p2(other).await.expect_claim("acme/lib");
}

#[tokio::test]
async fn flagged_versions_stand_in_p2_in_the_lists_and_in_the_summary() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let token = registry.reader().await;
    let root = || registry.get("/packages.json").basic(&token).composer();
    let before = root().send().await.expect(200);
    assert_eq!(before.json()["filter"]["lists"], json!({"malware": {"enabled": true}}));
    for entry in [
        json!({"package": "acme/lib", "constraint": "1.0.0", "reason": "stolen", "url": "https://acme.example/2", "source": "acme-feed"}),
        json!({"package": "acme/lib", "constraint": "2.0.0"}),
        json!({"package": "acme/lib", "list": "quarantine"}),
    ] {
        registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
        registry.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(409);
    }
    let after = root().if_modified_since(&before).send().await.expect(200).json();
    assert_eq!(after["filter"]["lists"], json!({"quarantine": {"enabled": true}, "malware": {"enabled": true}}));
    let filter =
        registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200).json()["filter"].take();
    assert_eq!(filter["malware"][0]["constraint"], "1.0.0");
    assert_eq!(
        (&filter["malware"][0]["reason"], &filter["malware"][0]["source"]),
        (&json!("stolen"), &json!("acme-feed"))
    );
    assert_eq!(filter["malware"][1].get("source"), None);
    assert_eq!(filter["quarantine"][0]["constraint"], "*");
    let summary = registry.get("/filter-lists/summary.json").basic(&token).send().await.expect(200).json();
    let expected = json!({"malware": {"acme/lib": "1.0.0 || 2.0.0"}, "quarantine": {"acme/lib": "*"}});
    assert_eq!(summary, json!({"filter": expected}));
    let question = json!({"packages": ["pkg://composer/acme/lib"]});
    let all = registry.post("/filter-lists").basic(&token).json(&question).send().await.expect(200).json();
    assert_eq!(all["filter"]["malware"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["filter"]["malware"][0]["package"], "acme/lib");
    assert_eq!(all["filter"]["malware"][0]["source"], "acme-feed");

    let entries = registry.get("/api/filter-entries?list=malware").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(entries[1]["source"], "acme-feed");
    for entry in entries.as_array().expect("a list") {
        let path = format!("/api/filter-entries/{}", entry["id"].as_str().expect("an id"));
        registry.delete(&path).bearer(ADMIN).send().await.expect(200);
        registry.delete(&path).bearer(ADMIN).send().await.expect(404);
    }
    let document = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(document["filter"].get("malware"), None);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing_behind() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let with = |field: &str, value: Value| {
        let mut body = advisory();
        body[field] = value;
        body
    };
    for (field, value) in [
        ("package", json!(null)),
        ("package", json!("acme/absent")),
        ("package", json!("../etc")),
        ("title", json!("")),
        ("title", json!("two\nlines")),
        ("affected_versions", json!("about 1")),
        ("affected_versions", json!(null)),
        ("severity", json!("awful")),
        ("link", json!("javascript:alert(1)")),
        ("advisory_id", json!("a b")),
        ("reported_at", json!("yesterday")),
        ("reported_at", json!(-1)),
        ("reported_at", json!(i64::MAX)),
        ("colour", json!("red")),
    ] {
        let refused = registry.post("/api/advisories").bearer(ADMIN).json(&with(field, value)).send().await.expect(400);
        assert!(!refused.json()["details"][field].is_null(), "{field}: {}", refused.text());
    }
    for (field, value) in [
        ("list", json!("Malware")),
        ("list", json!("advisories")),
        ("list", json!("ignore-me")),
        ("constraint", json!(">")),
        ("url", json!("ftp://x")),
        ("package", json!("acme/absent")),
    ] {
        let mut body = json!({"package": "acme/lib"});
        body[field] = value;
        let refused = registry.post("/api/filter-entries").bearer(ADMIN).json(&body).send().await.expect(400);
        assert!(!refused.json()["details"][field].is_null(), "{field}: {}", refused.text());
    }
    assert_eq!(
        registry.database.rows("SELECT 1 FROM advisories UNION ALL SELECT 1 FROM filter_entries"),
        [json!(null); 0]
    );

    let made = registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(409);
    let path = format!("/api/advisories/{}", made.id());
    for field in ["package", "advisory_id"] {
        registry.patch(&path).bearer(ADMIN).json(&json!({field: "acme/other"})).send().await.expect(400);
    }
    let (_, reader) = registry.token(&json!({"description": "a", "permissions": "write"})).await;
    registry.post("/api/advisories").bearer(&reader).json(&advisory()).send().await.expect(403);
    let long = "packages[]=a/b&".repeat(6000);
    registry.post("/security-advisories").basic(&reader).body(long).send().await.expect(400);
    registry.post("/filter-lists").basic(&reader).body("[").send().await.expect(400);
}

#[tokio::test]
async fn an_advisory_whose_name_is_made_up_gets_one_of_its_own() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let mut names = Vec::new();
    for _ in 0..3 {
        let body = json!({"package": "acme/lib", "title": "a", "affected_versions": "*"});
        let made = registry.post("/api/advisories").bearer(ADMIN).json(&body).send().await.expect(201).json();
        names.push(made["advisory_id"].as_str().expect("text").to_owned());
    }
    assert!(names.iter().all(|name| name.starts_with("RSA-") && name.len() == 20), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn advisories_outlive_a_package_that_is_removed_and_registered_again() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
    registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let token = registry.reader().await;
    registry.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(request(&registry, &token, "packages[]=acme/lib").await, json!({"advisories": {}}));
    registry.register(&repo).await;
    registry.run_until_idle().await;
    let again = request(&registry, &token, "packages[]=acme/lib").await;
    assert_eq!(again["advisories"]["acme/lib"][0]["advisoryId"], "ACME-1");
}

#[tokio::test]
async fn a_database_that_fails_leaves_an_advisory_whole_or_absent() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let registry = TestRegistry::new();
        registry.published("acme/lib", &["1.0.0"]).await;
        registry.meter.break_nth(Port::Database, 1, timing);
        registry.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(500);
        registry.meter.clear_faults();
        let stored = registry.database.rows("SELECT advisory_id FROM advisories");
        let noted = registry.database.rows("SELECT action FROM audit_log WHERE action = 'advisory.created'");
        assert_eq!((stored.len(), noted.len()), if timing == FaultTiming::Before { (0, 0) } else { (1, 1) });
    }
}

#[tokio::test]
async fn asking_for_advisories_costs_one_statement_however_many_there_are() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let token = registry.reader().await;
    request(&registry, &token, "packages[]=acme/lib").await;
    for number in 0..5 {
        let mut body = advisory();
        body["advisory_id"] = json!(format!("ACME-{number}"));
        registry.post("/api/advisories").bearer(ADMIN).json(&body).send().await.expect(201);
    }
    let (answer, calls) = registry.counted(request(&registry, &token, "packages[]=acme/lib&packages[]=acme/app")).await;
    assert_eq!(answer["advisories"]["acme/lib"].as_array().map(Vec::len), Some(5));
    assert_eq!((calls.round_trips, calls.statements), (1, 2), "ours and those of upstreams");
    let (_, calls) = registry.counted(request(&registry, &token, "")).await;
    assert_eq!(calls.statements, 0);
}

#[tokio::test]
async fn who_sees_none_of_the_versions_that_a_notice_concerns_neither_reads_nor_changes_it() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "3.0.0"]).await;
    let scopes = json!(["packages:read", "advisories:*"]);
    let grants = json!([{"package": "acme/lib", "constraint": "1.*"}]);
    let (_, token) = registry.token(&json!({"description": "a", "scopes": scopes, "grants": grants})).await;
    let write = |path: &str, body: &Value| registry.post(path).bearer(ADMIN).json(body).send();
    let hidden = Value::Object(
        advisory()
            .as_object()
            .expect("an object")
            .clone()
            .into_iter()
            .chain([("affected_versions".to_owned(), json!(">=3"))])
            .collect(),
    );
    let hidden = format!("/api/advisories/{}", write("/api/advisories", &hidden).await.expect(201).id());
    let entry = json!({"package": "acme/lib", "constraint": "3.*"});
    let hidden_entry = format!("/api/filter-entries/{}", write("/api/filter-entries", &entry).await.expect(201).id());
    let change = json!({"title": "Changed"});
    registry.get(&hidden).bearer(&token).send().await.expect(404);
    registry.patch(&hidden).bearer(&token).json(&change).send().await.expect(404);
    registry.delete(&hidden).bearer(&token).send().await.expect(404);
    registry.delete(&hidden_entry).bearer(&token).send().await.expect(404);

    let seen = json!({"package": "acme/lib", "title": "Seen", "affected_versions": "<2"});
    let seen = registry.post("/api/advisories").bearer(&token).json(&seen).send().await.expect(201).id();
    let seen = format!("/api/advisories/{seen}");
    registry.get(&seen).bearer(&token).send().await.expect(200);
    registry.patch(&seen).bearer(&token).json(&change).send().await.expect(200);
    let told = "concerns no version of acme/lib that your token sees. Use one that sees the versions";
    let elsewhere = json!({"package": "acme/lib", "title": "Other", "affected_versions": ">=3"});
    for request in [
        registry.patch(&seen).json(&json!({"affected_versions": ">=3"})),
        registry.post("/api/advisories").json(&elsewhere),
    ] {
        let refused = request.bearer(&token).send().await.expect(400).json();
        assert_eq!(refused["details"], json!({"affected_versions": [told]}));
    }
    let refused = registry.post("/api/filter-entries").bearer(&token).json(&entry).send().await.expect(400).json();
    assert_eq!(refused["details"], json!({"constraint": [told]}));
    registry.delete(&seen).bearer(&token).send().await.expect(200);
}
