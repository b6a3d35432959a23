//! `/health`.

use std::time::Duration;

use rostrum::registry::operations::health::HEALTH_TTL;
use serde_json::json;

use crate::support::{Calls, FaultTiming, Port, TestRegistry};

#[tokio::test]
async fn a_registry_with_all_its_migrations_is_healthy_and_asks_for_them_once_in_ten_seconds() {
    let registry = TestRegistry::new();
    let (reply, calls) = registry.counted(registry.get("/health").send()).await;
    assert_eq!(reply.expect(200).json(), json!({"status": "ok"}));
    assert_eq!(calls, Calls { round_trips: 1, statements: 1, ..Calls::default() });
    registry.advance(HEALTH_TTL.saturating_sub(Duration::from_millis(1)));
    let (reply, calls) = registry.counted(registry.get("/health").send()).await;
    assert_eq!((reply.status, calls), (200, Calls::default()));
    registry.advance(Duration::from_millis(1));
    let (_, calls) = registry.counted(registry.get("/health").send()).await;
    assert_eq!(calls.round_trips, 1);
}

#[tokio::test]
async fn without_the_newest_migration_the_registry_says_that_it_is_unavailable_and_which_one_it_needs() {
    let registry = TestRegistry::new();
    registry.database.execute("DELETE FROM d1_migrations WHERE id = (SELECT max(id) FROM d1_migrations)");
    let body = registry.get("/health").send().await.expect(503).json();
    assert_eq!(body["status"], "unavailable");
    let reason = body["reason"].as_str().expect("a reason");
    assert!(reason.contains(".sql`, which this version") && reason.contains("npm run deploy"), "{reason}");
    registry.database.execute("DROP TABLE d1_migrations");
    let body = registry.another_isolate().get("/health").send().await.expect(503).json();
    assert!(body["reason"].as_str().expect("a reason").contains("no migration was ever applied"), "{body}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_makes_the_registry_unavailable_without_telling_what_it_said() {
    let registry = TestRegistry::new();
    registry.meter.break_nth(Port::Database, 1, FaultTiming::Before);
    let body = registry.get("/health").send().await.expect(503).json();
    let reason = body["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("The database does not answer"), "{reason}");
    registry.meter.clear_faults();
    registry.advance(HEALTH_TTL);
    registry.get("/health").send().await.expect(200);
}
