//! Advisories and filter lists: what an operator writes down is what composer reads, and no more than the caller sees.

use serde_json::{Value, json};

use crate::support::{ADMIN, Moment, ORIGIN, Port, World};

fn advisory() -> Value {
    json!({
        "advisory_id": "ACME-1", "package": "acme/lib", "title": "Path traversal", "affected_versions": ">=1.0,<2.0",
        "severity": "high", "cve": "CVE-2026-0001", "link": "https://acme.example/1",
        "sources": [{"name": "GitHub", "remote_id": "GHSA-1"}], "reported_at": 1_700_000_000,
    })
}

async fn ask(world: &World, token: &str, form: &str) -> Value {
    let ask = world.post("/security-advisories").basic(token).composer();
    let ask = ask.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    ask.send().await.expect(200).json()
}

/// A token whose grant on `acme/lib` is limited to `constraint`.
async fn limited(world: &World, constraint: &str) -> String {
    let (id, token) = world.token(&json!({"description": "limited"})).await;
    let sql = format!(
        "UPDATE grants SET target = 'acme/lib', version_constraint = '{constraint}'
          WHERE token_id = (SELECT id FROM tokens WHERE uid = '{id}')"
    );
    world.database.execute(&sql);
    token
}

#[tokio::test]
async fn an_advisory_is_read_back_changed_and_removed() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let made = world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let id = made.id();
    let path = format!("/api/advisories/{id}");
    assert_eq!(world.get(&path).bearer(ADMIN).send().await.expect(200).json(), made.json());
    assert_eq!(made.json()["sources"], json!([{"name": "GitHub", "remoteId": "GHSA-1"}]));
    assert_eq!(made.json()["reported_at"], 1_700_000_000);

    let change = json!({"severity": null, "affected_versions": "<1.5"});
    let changed = world.patch(&path).bearer(ADMIN).json(&change).send().await.expect(200).json();
    assert_eq!(changed["severity"], Value::Null);
    assert_eq!(changed["affected_versions"], "<1.5");
    assert_eq!(changed["cve"], "CVE-2026-0001");

    let listed = world.get("/api/advisories?package=acme/lib").bearer(ADMIN).send().await.expect(200);
    assert_eq!(listed.header("x-total-count"), "1");
    assert_eq!(listed.json(), json!([changed]));
    world.get("/api/advisories?paket=acme/lib").bearer(ADMIN).send().await.expect(400);

    world.delete(&path).bearer(ADMIN).send().await.expect(200);
    world.get(&path).bearer(ADMIN).send().await.expect(404);
    world.delete(&path).bearer(ADMIN).send().await.expect(404);
    world.patch(&path).bearer(ADMIN).json(&change).send().await.expect(404);
    let log = world.get("/api/audit-log?action=advisory.").bearer(ADMIN).send().await.expect(200).json();
    let actions: Vec<&Value> = log.as_array().expect("a list").iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["advisory.removed", "advisory.changed", "advisory.created"]);
}

#[tokio::test]
async fn composer_reads_advisories_in_brief_in_p2_and_in_full_at_the_address_of_the_root_document() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let token = world.reader().await;
    let root = world.get("/packages.json").basic(&token).composer().send().await.expect(200).json();
    let expected = json!({"metadata": true, "api-url": format!("{ORIGIN}/security-advisories")});
    assert_eq!(root["security-advisories"], expected);
    let p2 = "/p2/acme/lib.json";
    let before = world.get(p2).basic(&token).composer().send().await.expect(200);
    assert_eq!(before.json()["security-advisories"], json!([]));

    world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let after = world.get(p2).basic(&token).composer().since(&before).send().await.expect(200).json();
    assert_eq!(after["security-advisories"], json!([{"advisoryId": "ACME-1", "affectedVersions": ">=1.0,<2.0"}]));
    assert_eq!(after["packages"], before.json()["packages"]);
    let full = ask(&world, &token, "packages%5B0%5D=acme%2FLib&packages%5B1%5D=acme%2Fother&packages%5B2%5D=..").await;
    let expected = json!({"advisories": {"acme/lib": [{
        "advisoryId": "ACME-1", "packageName": "acme/lib", "affectedVersions": ">=1.0,<2.0",
        "title": "Path traversal", "cve": "CVE-2026-0001", "link": "https://acme.example/1", "severity": "high",
        "sources": [{"name": "GitHub", "remoteId": "GHSA-1"}], "reportedAt": "2023-11-14 22:13:20",
    }]}});
    assert_eq!(full, expected);
    assert_eq!(ask(&world, &token, "").await, json!({"advisories": {}}));
}

#[tokio::test]
async fn a_notice_about_versions_that_are_hidden_is_hidden_too() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    world.published("other/lib", &["1.0.0"]).await;
    world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let entry = json!({"package": "acme/lib", "constraint": "1.0.0", "reason": "stolen"});
    world.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
    let one = limited(&world, "1.*").await;
    let two = limited(&world, "2.*").await;
    let (_, other) = world.token(&json!({"description": "a", "allowed_package_prefixes": ["other/"]})).await;
    let question = json!({"packages": ["pkg://composer/acme/lib"], "lists": ["malware"]});
    for (token, sees) in [(&one, true), (&two, false), (&other, false)] {
        let full = ask(&world, token, "packages[]=acme/lib").await;
        assert_eq!(full["advisories"].get("acme/lib").is_some(), sees);
        let lists = world.post("/filter-lists").basic(token).composer().json(&question).send().await.expect(200).json();
        assert_eq!(!lists["filter"]["malware"].as_array().expect("a list").is_empty(), sees, "{lists}");
        let summary = world.get("/filter-lists/summary.json").basic(token).composer().send().await.expect(200).json();
        assert_eq!(summary["filter"]["malware"].get("acme/lib").is_some(), sees, "{summary}");
    }
    let p2 = |token: String| world.get("/p2/acme/lib.json").basic(&token).composer().send();
    assert_eq!(p2(one).await.expect(200).json()["security-advisories"].as_array().map(Vec::len), Some(1));
    let hidden = p2(two).await.expect(200).json();
    assert_eq!((&hidden["security-advisories"], &hidden["filter"]), (&json!([]), &json!({})));
    p2(other).await.expect(404);
}

#[tokio::test]
async fn flagged_versions_stand_in_p2_in_the_lists_and_in_the_summary() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    let token = world.reader().await;
    let root = || world.get("/packages.json").basic(&token).composer();
    let before = root().send().await.expect(200);
    assert_eq!(before.json()["filter"]["lists"], json!({"malware": {"enabled": true}}));
    for entry in [
        json!({"package": "acme/lib", "constraint": "1.0.0", "reason": "stolen", "url": "https://acme.example/2"}),
        json!({"package": "acme/lib", "constraint": "2.0.0"}),
        json!({"package": "acme/lib", "list": "quarantine"}),
    ] {
        world.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(201);
        world.post("/api/filter-entries").bearer(ADMIN).json(&entry).send().await.expect(409);
    }
    let after = root().since(&before).send().await.expect(200).json();
    assert_eq!(after["filter"]["lists"], json!({"quarantine": {"enabled": true}, "malware": {"enabled": true}}));
    let filter =
        world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200).json()["filter"].take();
    assert_eq!(filter["malware"][0]["constraint"], "1.0.0");
    assert_eq!(filter["malware"][0]["reason"], "stolen");
    assert_eq!(filter["quarantine"][0]["constraint"], "*");
    let summary = world.get("/filter-lists/summary.json").basic(&token).send().await.expect(200).json();
    let expected = json!({"malware": {"acme/lib": "1.0.0 || 2.0.0"}, "quarantine": {"acme/lib": "*"}});
    assert_eq!(summary, json!({"filter": expected}));
    let question = json!({"packages": ["pkg://composer/acme/lib"]});
    let all = world.post("/filter-lists").basic(&token).json(&question).send().await.expect(200).json();
    assert_eq!(all["filter"]["malware"].as_array().map(Vec::len), Some(2));
    assert_eq!(all["filter"]["malware"][0]["package"], "acme/lib");

    let entries = world.get("/api/filter-entries?list=malware").bearer(ADMIN).send().await.expect(200).json();
    for entry in entries.as_array().expect("a list") {
        let path = format!("/api/filter-entries/{}", entry["id"].as_str().expect("an id"));
        world.delete(&path).bearer(ADMIN).send().await.expect(200);
        world.delete(&path).bearer(ADMIN).send().await.expect(404);
    }
    let document = world.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200).json();
    assert_eq!(document["filter"].get("malware"), None);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_leaves_nothing_behind() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
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
        let refused = world.post("/api/advisories").bearer(ADMIN).json(&with(field, value)).send().await.expect(400);
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
        let refused = world.post("/api/filter-entries").bearer(ADMIN).json(&body).send().await.expect(400);
        assert!(!refused.json()["details"][field].is_null(), "{field}: {}", refused.text());
    }
    assert_eq!(
        world.database.rows("SELECT 1 FROM advisories UNION ALL SELECT 1 FROM filter_entries"),
        [json!(null); 0]
    );

    let made = world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(409);
    let path = format!("/api/advisories/{}", made.id());
    for field in ["package", "advisory_id"] {
        world.patch(&path).bearer(ADMIN).json(&json!({field: "acme/other"})).send().await.expect(400);
    }
    let (_, reader) = world.token(&json!({"description": "a", "permissions": "write"})).await;
    world.post("/api/advisories").bearer(&reader).json(&advisory()).send().await.expect(403);
    let long = "packages[]=a/b&".repeat(6000);
    world.post("/security-advisories").basic(&reader).body(long).send().await.expect(400);
    world.post("/filter-lists").basic(&reader).body("[").send().await.expect(400);
}

#[tokio::test]
async fn an_advisory_whose_name_is_made_up_gets_one_of_its_own() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
    let mut names = Vec::new();
    for _ in 0..3 {
        let body = json!({"package": "acme/lib", "title": "a", "affected_versions": "*"});
        let made = world.post("/api/advisories").bearer(ADMIN).json(&body).send().await.expect(201).json();
        names.push(made["advisory_id"].as_str().expect("text").to_owned());
    }
    assert!(names.iter().all(|name| name.starts_with("RSA-") && name.len() == 20), "{names:?}");
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[tokio::test]
async fn advisories_outlive_a_package_that_is_removed_and_registered_again() {
    let world = World::new();
    let (repo, id) = world.published("acme/lib", &["1.0.0"]).await;
    world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(201);
    let token = world.reader().await;
    world.delete(&format!("/api/repositories/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_eq!(ask(&world, &token, "packages[]=acme/lib").await, json!({"advisories": {}}));
    world.register(&repo).await;
    world.settle().await;
    let again = ask(&world, &token, "packages[]=acme/lib").await;
    assert_eq!(again["advisories"]["acme/lib"][0]["advisoryId"], "ACME-1");
}

#[tokio::test]
async fn a_database_that_fails_leaves_an_advisory_whole_or_absent() {
    for moment in [Moment::Before, Moment::After] {
        let world = World::new();
        world.published("acme/lib", &["1.0.0"]).await;
        world.meter.break_nth(Port::Database, 1, moment);
        world.post("/api/advisories").bearer(ADMIN).json(&advisory()).send().await.expect(500);
        world.meter.mend();
        let stored = world.database.rows("SELECT advisory_id FROM advisories");
        let noted = world.database.rows("SELECT action FROM audit_log WHERE action = 'advisory.created'");
        assert_eq!((stored.len(), noted.len()), if moment == Moment::Before { (0, 0) } else { (1, 1) });
    }
}

#[tokio::test]
async fn asking_for_advisories_costs_one_statement_however_many_there_are() {
    let world = World::new();
    world.published("acme/lib", &["1.0.0"]).await;
    let token = world.reader().await;
    ask(&world, &token, "packages[]=acme/lib").await;
    for number in 0..5 {
        let mut body = advisory();
        body["advisory_id"] = json!(format!("ACME-{number}"));
        world.post("/api/advisories").bearer(ADMIN).json(&body).send().await.expect(201);
    }
    let (answer, calls) = world.counted(ask(&world, &token, "packages[]=acme/lib&packages[]=acme/app")).await;
    assert_eq!(answer["advisories"]["acme/lib"].as_array().map(Vec::len), Some(5));
    assert_eq!(calls.statements, 1);
    let (_, calls) = world.counted(ask(&world, &token, "")).await;
    assert_eq!(calls.statements, 0);
}
