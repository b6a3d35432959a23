//! `/api/statistics`: totals that agree with what the lists say.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry};

const DAY: i64 = 24 * 3600;

async fn statistics(registry: &TestRegistry) -> Value {
    registry.get("/api/statistics").bearer(ADMIN).send().await.expect(200).json()
}

/// What the days beyond `known` add: nothing.
fn per_day(first: i64, known: &[(i64, i64)]) -> Value {
    let count = |day: i64| known.iter().find(|(other, _)| *other == day).map_or(0, |(_, count)| *count);
    (0..30).map(|index| first + index * DAY).map(|day| json!({"day": day, "count": count(day)})).collect()
}

#[tokio::test]
async fn an_empty_registry_has_nothing_of_anything() {
    let registry = TestRegistry::new();
    let expected = json!({
        "packages": 0, "versions": 0,
        "repositories": {"total": 0, "pending": 0, "syncing": 0, "ok": 0, "failed": 0},
        "tokens": {"active": 0, "expired": 0, "revoked": 0},
        "downloads": {"total": 0, "last_30_days": 0, "per_day": per_day(START.seconds() - 29 * DAY, &[])},
        "storage": {"archives": 0, "bytes": 0},
        "top_packages": [],
    });
    assert_eq!(statistics(&registry).await, expected);
}

#[tokio::test]
async fn everything_is_counted_once() {
    let registry = TestRegistry::new();
    let (repo, id) = registry.published("acme/lib", &["1.0.0", "2.0.0"]).await;
    registry.published("acme/tool", &["1.0.0"]).await;
    repo.delete("refs/tags/2.0.0");
    registry.sync(&id).await;
    let zips: Vec<usize> = vec![
        registry.get("/dist/acme/lib/1.0.0.zip").bearer(ADMIN).send().await.expect(200).body.len(),
        registry.get("/dist/acme/tool/1.0.0.zip").bearer(ADMIN).send().await.expect(200).body.len(),
    ];
    registry.run_until_idle().await;
    registry.register(&registry.repository("acme/later")).await;
    registry.token(&json!({"description": "a", "expires_at": START.seconds() + 10})).await;
    registry.token(&json!({"description": "b", "expires_at": START.seconds() + 100 * DAY})).await;
    let (gone, _) = registry.token(&json!({"description": "c"})).await;
    registry.delete(&format!("/api/tokens/{gone}")).bearer(ADMIN).send().await.expect(200);
    let install = async |name: &str, times: usize| {
        let one = json!({"name": name, "version": "1.0.0.0"});
        let report = json!({"downloads": vec![one; times]});
        registry.post("/notify-batch").bearer(ADMIN).json(&report).send().await.expect(204);
        while let Some(work) = registry.tasks.next_background() {
            work.await;
        }
    };
    install("acme/lib", 5).await;
    registry.advance_seconds(30 * 24 * 3600);
    install("acme/lib", 1).await;
    registry.advance_seconds(24 * 3600);
    install("acme/tool", 2).await;

    let found = statistics(&registry).await;
    assert_eq!((&found["packages"], &found["versions"]), (&json!(2), &json!(4)), "two tags, two branches");
    let repositories = json!({"total": 3, "pending": 1, "syncing": 0, "ok": 2, "failed": 0});
    assert_eq!(found["repositories"], repositories);
    assert_eq!(found["tokens"], json!({"active": 1, "expired": 1, "revoked": 1}));
    let days = [(START.seconds() + 30 * DAY, 1), (START.seconds() + 31 * DAY, 2)];
    let downloads = json!({"total": 8, "last_30_days": 3, "per_day": per_day(START.seconds() + 2 * DAY, &days)});
    assert_eq!(found["downloads"], downloads);
    assert_eq!(found["storage"]["archives"], registry.blobs.keys().len());
    assert!(found["storage"]["bytes"].as_u64().expect("a number") >= zips.iter().sum::<usize>() as u64);
    let top = json!([
        {"name": "acme/tool", "downloads": 2, "last_30_days": 2},
        {"name": "acme/lib", "downloads": 6, "last_30_days": 1},
    ]);
    assert_eq!(found["top_packages"], top);
}

#[tokio::test]
async fn a_repository_is_counted_under_the_status_that_it_shows() {
    let registry = TestRegistry::new();
    let repo = registry.repository("acme/lib");
    let id = registry.register(&repo).await;
    registry.run_until_idle().await;
    let run = "repository_id, request_seq, started_at, lease_until, finished_at, outcome";
    for (change, expected) in [
        ("SELECT 1".to_owned(), "ok"),
        ("UPDATE repositories SET request_seq = request_seq + 1".to_owned(), "pending"),
        (format!("INSERT INTO sync_runs (uid, {run}) VALUES ('a', 1, 9, 1, {}, NULL, NULL)", START.0 + 1), "syncing"),
        (format!("UPDATE sync_runs SET lease_until = {} WHERE uid = 'a'", START.0), "pending"),
        ("UPDATE sync_runs SET finished_at = 5, outcome = 'failed' WHERE uid = 'a'".to_owned(), "failed"),
        ("UPDATE sync_runs SET outcome = 'ok' WHERE uid = 'a'".to_owned(), "ok"),
        ("DELETE FROM sync_runs".to_owned(), "pending"),
    ] {
        registry.database.execute(&change);
        assert_eq!(registry.repository_view(&id).await["sync_status"], expected, "{change}");
        assert_eq!(statistics(&registry).await["repositories"][expected], 1, "{change}");
    }
}

#[tokio::test]
async fn statistics_cost_four_statements_in_one_round_trip_and_a_scope() {
    let registry = TestRegistry::new();
    let (_, reader) = registry.token(&json!({"description": "a", "scopes": ["settings:read"]})).await;
    registry.get("/api/statistics").bearer(&reader).send().await.expect(200);
    for round in 0..2 {
        let (reply, calls) = registry.counted(registry.get("/api/statistics").bearer(&reader).send()).await;
        reply.expect(200);
        assert_eq!((calls.round_trips, calls.statements, calls.cache_reads), (1, 4, 0), "{round}");
        registry.published(&format!("acme/lib-{round}"), &["1.0.0", "2.0.0"]).await;
    }
    let (_, consumer) = registry.token(&json!({"description": "b"})).await;
    registry.get("/api/statistics").bearer(&consumer).send().await.expect(403);
    registry.get("/api/statistics").send().await.expect(401);
}
