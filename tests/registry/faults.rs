//! Every call of every port broken once, before it is done and after: the answer is an answer, what is stored is all or
//! nothing, and doing it again succeeds.

use rostrum::registry::operations::jobs::perform;
use serde_json::{Value, json};

use crate::support::faults::{count, with_every_call_failing};
use crate::support::{ADMIN, FaultTiming, Port, TestRegistry, file, manifest};

#[tokio::test]
async fn registering_a_repository() {
    let broken = with_every_call_failing(&[Port::Database, Port::Queue, Port::Cache], async |case| {
        let registry = TestRegistry::new();
        let repo = registry.repository("acme/lib");
        let request = || registry.post("/api/repositories").bearer(ADMIN).json(&json!({"url": repo.url})).send();
        case.arm(&registry);
        let reply = request().await;
        let broken = registry.meter.clear_faults() > 0;
        let in_the_database = broken && case.port == Port::Database;
        assert_eq!(reply.status, if in_the_database { 500 } else { 201 }, "{case:?}");
        let stored = i64::from(!(in_the_database && case.timing == FaultTiming::Before));
        assert_eq!(count(&registry, "repositories"), stored, "{case:?}");
        assert_eq!(request().await.status, if stored == 1 { 409 } else { 201 }, "{case:?}");
        registry.tasks.lose_jobs();
        assert_eq!(registry.cron().await, 1, "{case:?}");
        registry.run_until_idle().await;
        assert_eq!(count(&registry, "versions"), 1, "{case:?}");
        broken
    })
    .await;
    assert!(broken >= 4);
}

/// The versions in the documents, which must be the live ones in the database, each with a dist.
async fn published_versions(registry: &TestRegistry) -> Vec<Value> {
    let elsewhere = registry.another_isolate();
    let mut entries = Vec::new();
    for part in ["", "~dev"] {
        let path = format!("/p2/acme/lib{part}.json");
        entries.extend(elsewhere.get(&path).bearer(ADMIN).composer().send().await.expect(200).versions("acme/lib"));
    }
    let mut shown: Vec<(Value, Value)> =
        entries.iter().map(|entry| (entry["version"].clone(), entry["dist"]["reference"].clone())).collect();
    let live = registry.database.rows(
        "SELECT v.pretty, v.reference FROM versions v JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
          WHERE v.removed_at IS NULL",
    );
    let mut live: Vec<(Value, Value)> =
        live.into_iter().map(|row| (row["pretty"].clone(), row["reference"].clone())).collect();
    shown.sort_by_key(|(version, _)| version.to_string());
    live.sort_by_key(|(version, _)| version.to_string());
    assert_eq!(shown, live);
    entries
}

#[tokio::test]
async fn syncing_a_repository() {
    let broken = with_every_call_failing(&[Port::Database, Port::Queue, Port::Blobs], async |case| {
        let registry = TestRegistry::new();
        let (repo, id) = registry.published("acme/lib", &["1.0.0"]).await;
        let old = published_versions(&registry).await;
        let new = repo.commit(&[manifest("acme/lib"), file("new.php", "<?php")]);
        repo.tag("2.0.0");
        registry.post(&format!("/api/repositories/{id}/sync")).bearer(ADMIN).send().await.expect(200);
        case.arm(&registry);
        let failed = registry.run_until_idle_with_failures().await;
        let broken = registry.meter.clear_faults() > 0;
        let now = published_versions(&registry).await;
        if now.len() == old.len() {
            assert_eq!(now, old, "{case:?}: all or nothing");
        } else {
            assert_eq!(now.len(), 3, "{case:?}: all or nothing");
        }
        // The queue hands out again what failed; what it does not know of is found by cron when the lease is over.
        for (job, _) in failed {
            perform(&registry.isolate.app, job).await.unwrap_or_else(|failure| panic!("{case:?}: {failure:?}"));
        }
        registry.run_until_idle().await;
        assert_ne!(registry.repository_view(&id).await["sync_status"], "syncing", "{case:?}: a lease was left behind");
        registry.advance_seconds(20 * 60);
        registry.cron().await;
        registry.run_until_idle().await;
        assert_eq!(registry.repository_view(&id).await["sync_status"], "ok", "{case:?}");
        let now = published_versions(&registry).await;
        assert_eq!(now.len(), 3, "{case:?}");
        assert_eq!((&now[0]["version"], &now[0]["dist"]["reference"]), (&json!("2.0.0"), &json!(new)), "{case:?}");
        let zip = registry.get("/dist/acme/lib/2.0.0.zip").bearer(ADMIN).send().await.expect(200);
        let sha1 = hex::encode(<sha1::Sha1 as sha1::Digest>::digest(&zip.body));
        // A queue that loses the job leaves the zip to its first download.
        if !case.is(Port::Queue, FaultTiming::Before) {
            assert_eq!(now[0]["dist"]["shasum"], sha1, "{case:?}");
        }
        assert_eq!(count(&registry, "artifacts"), i64::try_from(registry.blobs.keys().len()).expect("few"), "{case:?}");
        broken
    })
    .await;
    assert!(broken >= 10);
}

#[tokio::test]
async fn making_a_token() {
    with_every_call_failing(&[Port::Database, Port::Cache], async |case| {
        let registry = TestRegistry::new();
        let spec = json!({"description": "a", "allowed_package_prefixes": ["a/", "b/"]});
        let request = || registry.post("/api/tokens").bearer(ADMIN).json(&spec).send();
        case.arm(&registry);
        let reply = request().await;
        let broken = registry.meter.clear_faults() > 0;
        let in_the_database = broken && case.port == Port::Database;
        assert_eq!(reply.status, if in_the_database { 500 } else { 201 }, "{case:?}");
        assert!(!(in_the_database && reply.text().contains("rst_")));
        assert_eq!(count(&registry, "grants"), 2 * count(&registry, "tokens"), "{case:?}");
        let again = request().await.expect(201);
        let token = again.json()["token"].as_str().expect("the token").to_owned();
        registry.get("/packages.json").basic(&token).send().await.expect(200);
        broken
    })
    .await;
}

#[tokio::test]
async fn changing_a_token() {
    with_every_call_failing(&[Port::Database, Port::Cache], async |case| {
        let registry = TestRegistry::new();
        let (id, token) = registry.token(&json!({"description": "old", "allowed_package_prefixes": ["a/"]})).await;
        registry.get("/packages.json").basic(&token).send().await.expect(200);
        let path = format!("/api/tokens/{id}");
        let change = json!({"description": "new", "allowed_package_prefixes": ["b/", "c/"]});
        let state = async || {
            let view = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
            (view["description"].clone(), view["allowed_package_prefixes"].clone())
        };
        let (old, new) = ((json!("old"), json!(["a/"])), (json!("new"), json!(["b/", "c/"])));
        case.arm(&registry);
        let reply = registry.patch(&path).bearer(ADMIN).json(&change).send().await;
        let broken = registry.meter.clear_faults() > 0;
        let in_the_database = broken && case.port == Port::Database;
        assert_eq!(reply.status, if in_the_database { 500 } else { 200 }, "{case:?}");
        let expected = if in_the_database && case.timing == FaultTiming::Before { &old } else { &new };
        assert_eq!(&state().await, expected, "{case:?}");
        registry.patch(&path).bearer(ADMIN).json(&change).send().await.expect(200);
        assert_eq!(state().await, new, "{case:?}");
        broken
    })
    .await;
}

#[tokio::test]
async fn revoking_a_token() {
    with_every_call_failing(&[Port::Database, Port::Cache], async |case| {
        let registry = TestRegistry::new();
        let (id, token) = registry.token(&json!({"description": "a"})).await;
        registry.get("/packages.json").basic(&token).send().await.expect(200);
        let path = format!("/api/tokens/{id}");
        case.arm(&registry);
        let reply = registry.delete(&path).bearer(ADMIN).send().await;
        let broken = registry.meter.clear_faults() > 0;
        let in_the_database = broken && case.port == Port::Database;
        assert_eq!(reply.status, if in_the_database { 500 } else { 200 }, "{case:?}");
        let again = registry.delete(&path).bearer(ADMIN).send().await;
        let gone = !(in_the_database && case.timing == FaultTiming::Before);
        assert_eq!(again.status, if gone { 404 } else { 200 }, "{case:?}");
        registry.get("/packages.json").basic(&token).send().await.expect(401);
        // Copies that nobody could delete end by themselves.
        registry.advance_seconds(330);
        registry.get("/packages.json").basic(&token).send().await.expect(401);
        registry.another_isolate().get("/packages.json").basic(&token).send().await.expect(401);
        broken
    })
    .await;
}

#[tokio::test]
async fn revoking_tokens_by_a_filter() {
    with_every_call_failing(&[Port::Database, Port::Cache], async |case| {
        let registry = TestRegistry::new();
        let spec = json!({"description": "a", "metadata": {"customer_id": "7"}});
        let (_, one) = registry.token(&spec).await;
        let (_, other) = registry.token(&spec).await;
        for token in [&one, &other] {
            registry.get("/packages.json").basic(token).send().await.expect(200);
        }
        let request = || registry.delete("/api/tokens?customer_id=7").bearer(ADMIN).send();
        case.arm(&registry);
        let reply = request().await;
        let broken = registry.meter.clear_faults() > 0;
        let in_the_database = broken && case.port == Port::Database;
        assert_eq!(reply.status, if in_the_database { 500 } else { 200 }, "{case:?}");
        let revoked = count(&registry, "tokens WHERE revoked_at IS NOT NULL");
        assert_eq!(count(&registry, "audit_log WHERE action = 'token.revoked'"), revoked, "{case:?}");
        assert!([0, 2].contains(&revoked), "{case:?}");
        let again = request().await.expect(200);
        assert_eq!(again.json()["revoked"], 2 - revoked, "{case:?}");
        for token in [&one, &other] {
            registry.get("/packages.json").basic(token).send().await.expect(401);
            // What KV could not delete at the first time was deleted at the second.
            registry.another_isolate().get("/packages.json").basic(token).send().await.expect(401);
        }
        broken
    })
    .await;
}

#[tokio::test]
async fn reporting_installs() {
    // A report does not count, so that nothing of it is written to KV.
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        registry.published("acme/lib", &["1.0.0"]).await;
        let token = registry.reader().await;
        registry.get("/packages.json").basic(&token).send().await.expect(200);
        registry.run_until_idle().await;
        let report = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
        case.arm(&registry);
        registry.post("/notify-batch").basic(&token).composer().json(&report).send().await.expect(204);
        registry.run_until_idle().await;
        let broken = registry.meter.clear_faults() > 0;
        let counted = !(broken && case.is(Port::Database, FaultTiming::Before));
        assert_eq!(count(&registry, "downloads"), i64::from(counted), "{case:?}");
        broken
    })
    .await;
}

#[tokio::test]
async fn reading_in_a_cold_isolate() {
    for (path, status) in [
        ("/packages.json", 200),
        ("/p2/acme/lib.json", 200),
        ("/p2/acme/none.json", 200),
        ("/p2/other/none.json", 404),
        ("/dist/acme/lib/1.0.0.zip", 200),
    ] {
        with_every_call_failing(&[Port::Database, Port::Cache], async |case| {
            let registry = TestRegistry::new();
            registry.published("acme/lib", &["1.0.0"]).await;
            let token = registry.reader().await;
            let cold = registry.another_isolate();
            case.arm(&registry);
            let reply = cold.get(path).basic(&token).composer().send().await;
            let broken = registry.meter.clear_faults() > 0;
            let in_the_database = broken && case.port == Port::Database;
            assert_eq!(reply.status, if in_the_database { 500 } else { status }, "{path} {case:?}");
            if in_the_database {
                assert_eq!(reply.json()["code"], "INTERNAL_ERROR");
                assert!(!reply.text().contains("broken by the test"));
            }
            cold.get(path).basic(&token).composer().send().await.expect(status);
            broken
        })
        .await;
    }
}

#[tokio::test]
async fn removing_a_repository() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let (_, id) = registry.published("acme/lib", &["1.0.0"]).await;
        let path = format!("/api/repositories/{id}");
        case.arm(&registry);
        let reply = registry.delete(&path).bearer(ADMIN).send().await;
        let broken = registry.meter.clear_faults() > 0;
        assert_eq!(reply.status, if broken { 500 } else { 200 }, "{case:?}");
        let left = i64::from(broken && case.timing == FaultTiming::Before);
        assert_eq!((count(&registry, "repositories"), count(&registry, "packages")), (left, left), "{case:?}");
        registry.delete(&path).bearer(ADMIN).send().await.expect(if left == 1 { 200 } else { 404 });
        broken
    })
    .await;
}
