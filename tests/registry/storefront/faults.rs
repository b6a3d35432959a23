//! What is left when the database, KV or the encryption key fail while consumers and permissions are changed.

use serde_json::{Value, json};

use crate::support::{FaultTiming, Port, TestConsumer, TestRegistry, TestRequest};

/// What the registry knows of its shop; times left out.
fn state(registry: &TestRegistry) -> Vec<Value> {
    let mut rows = registry.database.rows("SELECT id, email, public_key, is_enabled, seats FROM consumers ORDER BY id");
    rows.extend(
        registry.database.rows("SELECT consumer_id, description, revoked_at IS NULL AS live FROM tokens ORDER BY id"),
    );
    rows.extend(registry.database.rows("SELECT consumer_id, target, version_constraint FROM grants ORDER BY id"));
    rows
}

fn notes(registry: &TestRegistry) -> usize {
    registry.database.rows("SELECT id FROM audit_log").len()
}

async fn shop() -> (TestRegistry, TestConsumer, i64, String) {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0", "5.0.0"]).await;
    let consumer = registry.consumer().await;
    let permission = registry.grant(&consumer, "acme/lib", "5.*").await["id"].as_i64().expect("an integer");
    let tokens = format!("/consumers/{}/tokens", consumer.id);
    let token = registry.storefront_post(&tokens, &json!({"description": "a"})).send().await.expect(201).id();
    (registry, consumer, permission, token)
}

type Change = fn(&TestRegistry, &TestConsumer, i64, &str) -> TestRequest;

const CHANGES: [(Change, u16); 9] = [
    (|registry, _, _, _| registry.storefront_post("/consumers", &json!({"email": "two@example.com"})), 201),
    (
        |registry, consumer, _, _| {
            let body = json!({"status": 0, "private_key": "another-private-key"});
            registry.storefront_patch(&format!("/consumers/{}", consumer.id), &body)
        },
        200,
    ),
    (|registry, consumer, _, _| registry.storefront_delete(&format!("/consumers/{}", consumer.id)), 204),
    (
        |registry, consumer, _, _| {
            let body = json!({"consumer_id": consumer.id, "package": "acme/other", "version": "*"});
            registry.storefront_post("/permissions", &body)
        },
        201,
    ),
    (
        |registry, _, permission, _| {
            registry.storefront_patch(&format!("/permissions/{permission}"), &json!({"version": "1.*"}))
        },
        200,
    ),
    (|registry, _, permission, _| registry.storefront_delete(&format!("/permissions/{permission}")), 204),
    (
        |registry, consumer, _, _| {
            let body = json!([{"package": "acme/lib", "version": "1.*"}, {"package": "acme/*", "version": "*"}]);
            registry.storefront_put(&format!("/consumers/{}/entitlements", consumer.id), &body)
        },
        200,
    ),
    (
        |registry, consumer, _, _| {
            registry.storefront_post(&format!("/consumers/{}/tokens", consumer.id), &json!({"description": "b"}))
        },
        201,
    ),
    (
        |registry, consumer, _, token| {
            registry.storefront_delete(&format!("/consumers/{}/tokens/{token}", consumer.id))
        },
        204,
    ),
];

#[tokio::test]
async fn with_every_call_of_the_database_broken_a_change_is_made_whole_or_not_at_all() {
    for (place, (change, status)) in CHANGES.iter().enumerate() {
        let mut seen_done = false;
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1.. {
                let (registry, consumer, permission, token) = shop().await;
                let (before, noted) = (state(&registry), notes(&registry));
                registry.meter.break_nth(Port::Database, nth, timing);
                let reply = change(&registry, &consumer, permission, &token).send().await;
                if registry.meter.clear_faults() == 0 {
                    reply.expect(*status);
                    assert_ne!(state(&registry), before, "change {place}");
                    assert_eq!(notes(&registry), noted + 1, "change {place}");
                    break;
                }
                let was_done = state(&registry) != before;
                // One that finds what it wrote says so.
                assert!(reply.status == 500 || (was_done && reply.status == *status), "change {place}, call {nth}");
                assert!(!was_done || timing == FaultTiming::After, "change {place}, call {nth}");
                assert_eq!(notes(&registry), noted + usize::from(was_done), "change {place}, call {nth}");
                seen_done |= was_done;
            }
        }
        assert!(seen_done, "change {place} was never done behind a broken call");
    }
}

#[tokio::test]
async fn a_change_stands_when_kv_fails_and_is_believed_here_at_once() {
    for (place, (change, status)) in CHANGES.iter().enumerate() {
        let (registry, consumer, permission, token) = shop().await;
        consumer.get(&registry.isolate, "/p2/acme/lib.json").send().await.expect(200);
        let before = state(&registry);
        registry.meter.break_all(Port::Cache, FaultTiming::Before);
        change(&registry, &consumer, permission, &token).send().await.expect(*status);
        assert_ne!(state(&registry), before, "change {place}");
        let pair = registry.get("/p2/acme/lib.json").pair(&consumer.public_key, &consumer.private_key);
        let seen = pair.send().await;
        let expected = [200, 401, 401, 200, 200, 404, 200, 200, 200][place];
        assert_eq!(seen.status, expected, "change {place}");
        registry.meter.clear_faults();
    }
}

#[tokio::test]
async fn a_consumer_that_may_have_been_made_is_not_made_again_with_its_key() {
    let registry = TestRegistry::new();
    let request = || {
        let body = json!({"email": "one@example.com"});
        registry.storefront_post("/consumers", &body).header("idempotency-key", "order-1")
    };
    registry.meter.break_nth(Port::Database, 3, FaultTiming::After);
    request().send().await.expect(500);
    assert_eq!(registry.meter.clear_faults(), 1);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
    let told = request().send().await.expect(201);
    assert_eq!(told.header("idempotency-replayed"), "true");
    TestConsumer::of(&told).get(&registry.isolate, "/packages.json").send().await.expect(200);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 1})]);
}

#[tokio::test]
async fn without_an_encryption_key_no_consumer_is_made_and_the_reason_is_told() {
    let registry = TestRegistry::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let reply = registry.storefront_post("/consumers", &json!({"email": "one@example.com"})).send().await.expect(500);
    assert!(reply.text().contains("ENCRYPTION_KEY"), "{}", reply.text());
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM consumers"), [json!({"n": 0})]);
}

#[tokio::test]
async fn of_changes_that_cross_one_is_told_so() {
    let (registry, consumer, permission, _) = shop().await;
    let of_it = format!("/consumers/{}", consumer.id);
    let requests = (0..2).map(|n| registry.storefront_patch(&of_it, &json!({"order_id": format!("{n}")})));
    assert_eq!(crate::support::statuses_of_concurrent(requests).await, [200, 409]);
    let of_it = format!("/permissions/{permission}");
    // Each is carried out over what the other has left.
    let patches = [json!({"version": "1.*"}), json!({"expires_at": "2030-01-01 00:00:00"})];
    let requests = patches.iter().map(|patch| registry.storefront_patch(&of_it, patch));
    assert_eq!(crate::support::statuses_of_concurrent(requests).await, [200, 200]);
    let both = registry.storefront_get(&of_it).send().await.expect(200).json();
    assert_eq!((&both["version"], &both["expires_at"]), (&json!("1.*"), &json!("2030-01-01 00:00:00")));
}
