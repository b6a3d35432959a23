//! `Idempotency-Key`: a request that is sent again does nothing and is answered with what the first one did.

use serde_json::{Value, json};

use crate::support::{ADMIN, FaultTiming, Port, START, TestRegistry, TestRequest, TestResponse};

const IN_PROGRESS: &str =
    "The request with this Idempotency-Key is still in progress. Send it again in a minute to get its answer.";
const ANOTHER: &str = "This Idempotency-Key came with another request before. Use a new key for a new request.";

fn spec() -> Value {
    json!({"description": "order 1", "metadata": {"order_id": "1"}})
}

fn keyed(registry: &TestRegistry, key: &str, spec: &Value) -> TestRequest {
    registry.post("/api/tokens").bearer(ADMIN).header("idempotency-key", key).json(spec)
}

async fn send(registry: &TestRegistry, key: &str) -> TestResponse {
    keyed(registry, key, &spec()).send().await
}

fn count(registry: &TestRegistry, table: &str) -> i64 {
    registry.database.rows(&format!("SELECT count(*) AS n FROM {table}"))[0]["n"].as_i64().expect("a number")
}

#[tokio::test]
async fn the_same_request_with_the_same_key_is_answered_the_same_and_done_once() {
    let registry = TestRegistry::new();
    let first = send(&registry, "k").await.expect(201);
    assert!(first.find_header("idempotency-replayed").is_none());
    registry.advance_seconds(24 * 3600 - 1);
    let again = registry.another_isolate().request(http::Method::POST, "/api/tokens").bearer(ADMIN);
    let again = again.header("idempotency-key", "k").json(&spec()).send().await.expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!((again.header("idempotency-replayed"), again.header("content-type")), ("true", "application/json"));
    assert_eq!((count(&registry, "tokens"), count(&registry, "audit_log")), (1, 1));
    let token = again.json()["token"].as_str().expect("the token").to_owned();
    registry.get("/packages.json").basic(&token).send().await.expect(200);
}

#[tokio::test]
async fn without_a_key_every_request_is_its_own() {
    let registry = TestRegistry::new();
    for _ in 0..2 {
        registry.post("/api/tokens").bearer(ADMIN).json(&spec()).send().await.expect(201);
    }
    assert_eq!((count(&registry, "tokens"), count(&registry, "idempotency_keys")), (2, 0));
    send(&registry, "a").await.expect(201);
    send(&registry, "b").await.expect(201);
    assert_eq!((count(&registry, "tokens"), count(&registry, "idempotency_keys")), (4, 2));
}

#[tokio::test]
async fn another_request_with_the_same_key_is_refused_in_clear_words() {
    let registry = TestRegistry::new();
    send(&registry, "k").await.expect(201);
    let other = json!({"description": "order 2"});
    let reply = keyed(&registry, "k", &other).send().await.expect(409);
    assert_eq!(reply.json(), json!({"error": ANOTHER, "code": "CONFLICT", "details": {}}));
    assert_eq!(count(&registry, "tokens"), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller() {
    let registry = TestRegistry::new();
    send(&registry, "k").await.expect(201);
    let (_, shop) = registry.token(&json!({"description": "shop", "scopes": ["packages:read", "tokens:write"]})).await;
    let reply = registry.post("/api/tokens").bearer(&shop).header("idempotency-key", "k").json(&spec()).send().await;
    assert!(reply.expect(201).find_header("idempotency-replayed").is_none());
    assert_eq!(count(&registry, "tokens"), 3);
}

#[tokio::test]
async fn the_secret_lies_sealed_to_its_row_and_is_gone_after_a_day() {
    let registry = TestRegistry::new();
    let first = send(&registry, "my-secret-key").await.expect(201);
    let token = first.json()["token"].as_str().expect("the token").to_owned();
    let stored = json!([
        registry.database.rows("SELECT * FROM idempotency_keys"),
        registry.database.rows("SELECT * FROM idempotency_results"),
    ]);
    let text = stored.to_string();
    assert!(!text.contains(&token) && !text.contains("my-secret-key") && !text.contains("order 1"), "{text}");
    send(&registry, "other").await.expect(201);
    registry.database.execute(
        "UPDATE idempotency_results SET secret = (SELECT secret FROM idempotency_results ORDER BY key_uid LIMIT 1)",
    );
    send(&registry, "other").await.expect(500);
    registry.advance_seconds(24 * 3600);
    let anew = send(&registry, "my-secret-key").await.expect(201);
    assert_ne!(anew.json()["token"], json!(token));
    registry.cron().await;
    assert_eq!((count(&registry, "idempotency_keys"), count(&registry, "idempotency_results")), (1, 1));
}

#[tokio::test]
async fn cron_forgets_old_keys_a_thousand_at_a_time() {
    let registry = TestRegistry::new();
    registry.database.execute(&format!(
        "INSERT INTO idempotency_keys (uid, key_hash, request_hash, lease_until, expires_at)
         WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1500)
         SELECT value, value, 'x', 0, {} + value * 3000 FROM n",
        START.0
    ));
    registry.advance_seconds(3600);
    for left in [500, 300, 300] {
        registry.cron().await;
        assert_eq!(count(&registry, "idempotency_keys"), left);
    }
}

#[tokio::test]
async fn a_request_that_was_refused_leaves_its_key_free() {
    let registry = TestRegistry::new();
    keyed(&registry, "k", &json!({"description": ""})).send().await.expect(400);
    assert_eq!(count(&registry, "idempotency_keys"), 0);
    send(&registry, "k").await.expect(201);
}

#[tokio::test]
async fn a_bad_key_is_refused() {
    let registry = TestRegistry::new();
    for key in ["", "x".repeat(256).as_str(), "tab\there", "\u{e4}"] {
        let reply = send(&registry, key).await.expect(400);
        let detail = "must be 1 to 255 visible ASCII characters";
        assert_eq!(reply.json()["details"], json!({"Idempotency-Key": [detail]}), "{key}");
    }
    send(&registry, &"x".repeat(255)).await.expect(201);
    assert_eq!(count(&registry, "tokens"), 1);
}

#[tokio::test]
async fn of_parallel_requests_one_is_carried_out() {
    let registry = TestRegistry::new();
    registry.get("/packages.json").bearer(ADMIN).send().await.expect(200);
    let replies = tokio::join!(send(&registry, "k"), send(&registry, "k"), send(&registry, "k"));
    let replies = [replies.0, replies.1, replies.2];
    let made: Vec<&TestResponse> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert!(made.iter().all(|reply| reply.body == made[0].body), "{replies:?}");
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!((reply.status, &reply.json()["error"]), (409, &json!(IN_PROGRESS)));
    }
    assert_eq!(count(&registry, "tokens"), 1);
    assert_eq!(send(&registry, "k").await.expect(201).body, made[0].body);
}

#[tokio::test]
async fn when_the_database_fails_the_token_is_made_once_in_the_end() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        for nth in 1..=2 {
            let registry = TestRegistry::new();
            registry.meter.break_nth(Port::Database, nth, timing);
            send(&registry, "k").await.expect(500);
            assert_eq!(registry.meter.clear_faults(), 1);
            let was_made = count(&registry, "tokens") == 1;
            assert_eq!(was_made, (nth, timing) == (2, FaultTiming::After));
            let was_claimed = count(&registry, "idempotency_keys") == 1;
            let soon = send(&registry, "k").await;
            assert_eq!(soon.status, if was_claimed && !was_made { 409 } else { 201 }, "{nth} {timing:?}");
            registry.advance_seconds(60);
            let late = send(&registry, "k").await.expect(201);
            assert_eq!(count(&registry, "tokens"), 1, "{nth} {timing:?}");
            let token = late.json()["token"].as_str().expect("the token").to_owned();
            registry.get("/packages.json").basic(&token).send().await.expect(200);
        }
    }
}

#[tokio::test]
async fn a_straggler_whose_claim_was_taken_over_does_nothing() {
    let registry = TestRegistry::new();
    registry.meter.reset();
    let straggler = send(&registry, "k");
    let other = async {
        // The claim is made, and the token is not.
        while registry.meter.calls().round_trips < 2 {
            tokio::task::yield_now().await;
        }
        registry.database.execute("DELETE FROM idempotency_keys");
    };
    let (reply, ()) = tokio::join!(biased; straggler, other);
    reply.expect(500);
    assert_eq!((count(&registry, "tokens"), count(&registry, "audit_log"), count(&registry, "grants")), (0, 0, 0));
}

#[tokio::test]
async fn without_an_encryption_key_no_secret_is_kept_and_no_token_made() {
    let registry = TestRegistry::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let reply = send(&registry, "k").await.expect(500);
    assert!(reply.json()["error"].as_str().expect("text").contains("ENCRYPTION_KEY is not set"));
    assert_eq!(count(&registry, "tokens"), 0);
    registry.post("/api/tokens").bearer(ADMIN).json(&spec()).send().await.expect(201);
}
