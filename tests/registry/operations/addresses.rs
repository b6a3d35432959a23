//! IP addresses are forgotten after as many days as the organization has set.

use serde_json::{Value, json};

use crate::support::{ADMIN, START, TestRegistry};

const DAY: i64 = 24 * 3600;

/// How many addresses are left in a table, of a row of which something is true.
fn left(registry: &TestRegistry, table: &str, condition: &str) -> Value {
    let sql = format!("SELECT count(*) AS n FROM {table} WHERE address IS NOT NULL AND {condition}");
    registry.database.rows(&sql)[0]["n"].clone()
}

async fn clean_up(registry: &TestRegistry) {
    registry.cron().await;
    registry.run_until_idle().await;
}

/// A registry with an address of each kind, from its first day; of the audit log there are two.
async fn with_addresses() -> TestRegistry {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let installs = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
    let report = registry.post("/notify-batch").bearer(ADMIN).composer().header("cf-connecting-ip", "198.51.100.77");
    report.json(&installs).send().await.expect(204);
    registry.run_until_idle().await;
    let user = registry.user("user", "viewer").await;
    registry.database.execute("UPDATE sessions SET address = '198.51.100.77', user_agent = 'curl'");
    registry.database.execute("DELETE FROM sessions WHERE id <> (SELECT max(id) FROM sessions)");
    let make = registry.post("/api/tokens").bearer(ADMIN).header("cf-connecting-ip", "198.51.100.77");
    make.json(&json!({"description": "a"})).send().await.expect(201);
    assert!(!user.id.is_empty());
    registry
}

#[tokio::test]
async fn an_address_is_kept_for_ninety_days_and_then_nowhere() {
    let registry = with_addresses().await;
    registry.advance_seconds(90 * 24 * 3600);
    clean_up(&registry).await;
    assert_eq!(left(&registry, "downloads", "1"), 1);
    assert_eq!(left(&registry, "audit_log", "action = 'token.created'"), 1);
    assert_eq!(left(&registry, "sessions", "1"), 0, "a session ends sooner, and goes");
    registry.advance_seconds(24 * 3600);
    clean_up(&registry).await;
    for table in ["downloads", "audit_log"] {
        assert_eq!(left(&registry, table, "1"), 0, "{table}");
        assert!(!registry.database.rows(&format!("SELECT 1 FROM {table}")).is_empty(), "the rest of it stays");
    }
}

#[tokio::test]
async fn the_setting_says_for_how_long_and_each_organization_has_its_own() {
    let registry = with_addresses().await;
    registry.organization("shop").await;
    registry.database.execute(
        "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, details)
         SELECT 'other', max(id), 1767225600000, 'admin', '198.51.100.77', 'token.created', 'x', '{}' FROM organizations",
    );
    for (days, status) in [(0, 400), (3651, 400), (3650, 200), (7, 200)] {
        let change = json!({"address_retention_days": days});
        let reply = registry.patch("/api/settings").bearer(ADMIN).json(&change).send().await.expect(status);
        let told = "`address_retention_days`: must be between 1 and 3650";
        assert!(status == 200 || reply.json()["error"] == told, "{}", reply.text());
    }
    assert_eq!(registry.get("/api/settings").bearer(ADMIN).send().await.json()["address_retention_days"], 7);
    registry.advance_seconds(8 * 24 * 3600);
    clean_up(&registry).await;
    assert_eq!(left(&registry, "downloads", "1"), 0);
    assert_eq!(left(&registry, "audit_log", "organization_id = 1 AND at < 1767225600000 + 1000"), 0);
    assert_eq!(left(&registry, "audit_log", "organization_id <> 1"), 1, "that one keeps them for 90 days");
    assert_eq!(
        registry.database.rows("SELECT address, user_agent FROM sessions"),
        [json!({"address": null, "user_agent": null})]
    );
    assert_eq!(START.seconds() % DAY, 0);
}

#[tokio::test]
async fn a_clean_up_forgets_ten_thousand_addresses_and_the_next_one_goes_on() {
    let registry = TestRegistry::new();
    registry.database.execute(
        "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, details)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10010)
         SELECT 'e' || value, 1, value, 'admin', '198.51.100.77', 'token.created', 'x', '{}' FROM n",
    );
    clean_up(&registry).await;
    assert_eq!(left(&registry, "audit_log", "1"), 10);
    assert_eq!(left(&registry, "audit_log", "at > 10000"), 10, "the oldest go first");
    registry.advance_seconds(3600);
    clean_up(&registry).await;
    assert_eq!(left(&registry, "audit_log", "1"), 0);
}
