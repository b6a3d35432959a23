//! Replacing a token's secret, and what is told of one token.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ADMIN, FaultTiming, Port, START, TestRegistry, TestResponse};

async fn rotate(registry: &TestRegistry, id: &str, body: &Value) -> TestResponse {
    registry.post(&format!("/api/tokens/{id}/rotate")).bearer(ADMIN).json(body).send().await
}

fn secret(reply: &TestResponse) -> String {
    reply.json()["token"].as_str().expect("the token").to_owned()
}

/// Whether a token opens anything, here and in an isolate that knows nothing yet.
async fn works(registry: &TestRegistry, token: &str) -> bool {
    let here = registry.get("/packages.json").basic(token).send().await.status;
    let elsewhere = registry.another_isolate().get("/packages.json").basic(token).send().await.status;
    assert_eq!(here, elsewhere);
    here == 200
}

#[tokio::test]
async fn a_rotation_replaces_the_secret_and_nothing_else() {
    let registry = TestRegistry::new();
    let spec = json!({
        "description": "order 1", "expires_at": START.seconds() + 100_000, "rate_limit_max": 50,
        "grants": [{"package": "acme/lib", "constraint": "^5"}], "metadata": {"order_id": "1"},
    });
    let (id, old) = registry.token(&spec).await;
    let path = format!("/api/tokens/{id}");
    let before = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    registry.get("/packages.json").basic(&old).send().await.expect(200);
    registry.run_until_idle().await;
    let reply = rotate(&registry, &id, &json!({})).await.expect(200);
    let new = secret(&reply);
    let mut shown = reply.json();
    shown["token"].take();
    let mut expected = before.clone();
    expected.as_object_mut().expect("an object").remove("requests_this_hour");
    expected["last_used_at"] = json!(START.seconds());
    expected["token"] = json!(null);
    expected["previous_valid_until"] = json!(null);
    assert_eq!(shown, expected);
    assert!(new.starts_with("rst_") && new != old);
    assert!(!works(&registry, &old).await);
    assert!(works(&registry, &new).await);
    let after = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(after["grants"], before["grants"]);
    let entry = registry.database.rows("SELECT target, label, details FROM audit_log WHERE action = 'token.rotated'");
    assert_eq!(entry, [json!({"target": id, "label": "order 1", "details": "{\"previous_until\":null}"})]);
}

#[tokio::test]
async fn the_old_secret_works_for_the_grace_period_and_not_a_second_longer() {
    let registry = TestRegistry::new();
    let (id, old) = registry.token(&json!({"description": "a"})).await;
    assert!(works(&registry, &old).await);
    let reply = rotate(&registry, &id, &json!({"grace_seconds": 600})).await.expect(200);
    assert_eq!(reply.json()["previous_valid_until"], START.seconds() + 600);
    let new = secret(&reply);
    for seconds in [0, 100, 499] {
        registry.advance_seconds(seconds);
        assert!(works(&registry, &old).await && works(&registry, &new).await, "{seconds}");
    }
    registry.advance_seconds(1);
    assert!(!works(&registry, &old).await);
    registry.advance_seconds(1000);
    assert!(!works(&registry, &old).await);
    assert!(works(&registry, &new).await);
}

#[tokio::test]
async fn in_the_grace_period_both_secrets_are_the_same_token() {
    let registry = TestRegistry::new();
    let (id, old) = registry.token(&json!({"description": "a", "rate_limit_max": 3})).await;
    let new = secret(&rotate(&registry, &id, &json!({"grace_seconds": 3600})).await.expect(200));
    for token in [&old, &new, &old] {
        registry.get("/packages.json").basic(token).send().await.expect(200);
    }
    registry.get("/packages.json").basic(&new).send().await.expect(429);
    let path = format!("/api/tokens/{id}");
    registry.patch(&path).bearer(ADMIN).json(&json!({"rate_limit_max": null, "grants": []})).send().await.expect(200);
    for token in [&old, &new] {
        assert_eq!(registry.listed_names(token).await, json!([]));
    }
    registry.delete(&path).bearer(ADMIN).send().await.expect(200);
    assert!(!works(&registry, &old).await && !works(&registry, &new).await);
    rotate(&registry, &id, &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_token_ends_at_its_own_end_whatever_the_grace_period() {
    let registry = TestRegistry::new();
    let (id, old) = registry.token(&json!({"description": "a", "expires_at": START.seconds() + 100})).await;
    let new = secret(&rotate(&registry, &id, &json!({"grace_seconds": 3600})).await.expect(200));
    registry.advance_seconds(99);
    assert!(works(&registry, &old).await && works(&registry, &new).await);
    registry.advance_seconds(1);
    assert!(!works(&registry, &old).await && !works(&registry, &new).await);
}

#[tokio::test]
async fn another_rotation_ends_the_secret_before_the_last() {
    let registry = TestRegistry::new();
    let (id, first) = registry.token(&json!({"description": "a"})).await;
    let second = secret(&rotate(&registry, &id, &json!({"grace_seconds": 3600})).await.expect(200));
    assert!(works(&registry, &first).await && works(&registry, &second).await);
    let third = secret(&rotate(&registry, &id, &json!({"grace_seconds": 3600})).await.expect(200));
    assert!(!works(&registry, &first).await);
    assert!(works(&registry, &second).await && works(&registry, &third).await);
    let fourth = secret(&rotate(&registry, &id, &json!({})).await.expect(200));
    assert!(!works(&registry, &second).await && !works(&registry, &third).await);
    assert!(works(&registry, &fourth).await);
}

#[tokio::test]
async fn of_two_parallel_rotations_one_wins() {
    let registry = TestRegistry::new();
    let (id, old) = registry.token(&json!({"description": "a"})).await;
    let body = json!({});
    let (one, other) = tokio::join!(rotate(&registry, &id, &body), rotate(&registry, &id, &body));
    let (won, lost) = if one.status == 200 { (one, other) } else { (other, one) };
    let lost = lost.expect(409).json();
    let error = "Another request changed the token at the same time. Read it again and retry.";
    assert_eq!(lost, json!({"error": error, "code": "CONFLICT", "details": {}}));
    assert!(works(&registry, &secret(&won.expect(200))).await);
    assert!(!works(&registry, &old).await);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM audit_log WHERE action = 'token.rotated'")[0]["n"], 1);
}

#[tokio::test]
async fn a_lost_rotation_keeps_no_result_for_its_key() {
    let registry = TestRegistry::new();
    let (id, _) = registry.token(&json!({"description": "a"})).await;
    let path = format!("/api/tokens/{id}/rotate");
    let request = |key: &str| registry.post(&path).bearer(ADMIN).header("idempotency-key", key).send();
    let (one, other) = tokio::join!(request("a"), request("b"));
    let (won, lost, key) = if one.status == 200 { (one, other, "b") } else { (other, one, "a") };
    won.expect(200);
    lost.expect(409);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM idempotency_results")[0]["n"], 1);
    let anew = request(key).await.expect(200);
    assert!(anew.find_header("idempotency-replayed").is_none());
    let again = request(key).await.expect(200);
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &anew.body));
    assert!(works(&registry, &secret(&again)).await);
}

#[tokio::test]
async fn a_repeated_rotation_ends_the_old_secret_where_the_first_one_could_not() {
    let registry = TestRegistry::new();
    let (id, old) = registry.token(&json!({"description": "a"})).await;
    assert!(works(&registry, &old).await);
    let path = format!("/api/tokens/{id}/rotate");
    let rotate = async || registry.post(&path).bearer(ADMIN).header("idempotency-key", "k").send().await.expect(200);
    registry.meter.break_all(Port::Cache, FaultTiming::Before);
    let new = secret(&rotate().await);
    registry.meter.clear_faults();
    registry.another_isolate().get("/packages.json").basic(&old).send().await.expect(200);
    assert_eq!(secret(&rotate().await), new);
    assert!(!works(&registry, &old).await);
    assert!(works(&registry, &new).await);
}

#[tokio::test]
async fn a_wrong_rotation_is_refused() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    for (body, error) in [
        (json!({"grace_seconds": -1}), "`grace_seconds`: must be between 0 and 604800, a week"),
        (json!({"grace_seconds": 604_801}), "`grace_seconds`: must be between 0 and 604800, a week"),
        (json!({"grace": 1}), "Unknown field: `grace`"),
        (json!({"grace_seconds": "1"}), "`grace_seconds`: invalid type: string \"1\", expected i64"),
    ] {
        assert_eq!(rotate(&registry, &id, &body).await.expect(400).json()["error"], error);
    }
    rotate(&registry, "nobody", &json!({})).await.expect(404);
    registry.post(&format!("/api/tokens/{id}/rotate")).bearer(&token).send().await.expect(403);
    let (_, shop) = registry.token(&json!({"description": "b", "scopes": ["tokens:write"], "grants": []})).await;
    let reply = registry.post(&format!("/api/tokens/{id}/rotate")).bearer(&shop).send().await.expect(403);
    assert!(reply.json()["error"].as_str().expect("text").starts_with("This token holds more than yours."));
    assert!(works(&registry, &token).await);
}

#[tokio::test]
async fn when_a_port_fails_either_the_old_or_the_new_secret_works_and_rotating_again_succeeds() {
    for port in [Port::Database, Port::Cache] {
        for timing in [FaultTiming::Before, FaultTiming::After] {
            for nth in 1..=2 {
                let registry = TestRegistry::new();
                let (id, old) = registry.token(&json!({"description": "a"})).await;
                registry.get("/packages.json").basic(&old).send().await.expect(200);
                registry.get("/packages.json").bearer(ADMIN).send().await.expect(200);
                registry.meter.break_nth(port, nth, timing);
                let reply = rotate(&registry, &id, &json!({})).await;
                assert_eq!(registry.meter.clear_faults(), 1, "{port:?} {timing:?} {nth}");
                let failed = port == Port::Database;
                assert_eq!(reply.status, if failed { 500 } else { 200 }, "{port:?} {timing:?} {nth}");
                let rotated = !failed || (nth, timing) == (2, FaultTiming::After);
                registry.advance(Duration::from_secs(330));
                assert_eq!(works(&registry, &old).await, !rotated, "{port:?} {timing:?} {nth}");
                let again = rotate(&registry, &id, &json!({})).await.expect(200);
                assert!(works(&registry, &secret(&again)).await);
                assert!(!works(&registry, &old).await);
            }
        }
    }
}

#[tokio::test]
async fn one_token_tells_how_many_requests_it_made_this_hour() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a"})).await;
    let path = format!("/api/tokens/{id}");
    let used = async || registry.get(&path).bearer(ADMIN).send().await.expect(200).json()["requests_this_hour"].clone();
    assert_eq!(used().await, 0);
    for _ in 0..3 {
        registry.get("/packages.json").basic(&token).send().await.expect(200);
    }
    assert_eq!(used().await, 3);
    registry.run_until_idle().await;
    assert_eq!(used().await, 3);
    let elsewhere = registry.another_isolate().get(&path).bearer(ADMIN).send().await.expect(200);
    assert_eq!(elsewhere.json()["requests_this_hour"], 3);
    registry.meter.break_all(Port::Cache, FaultTiming::Before);
    assert_eq!(used().await, json!(null));
    registry.meter.clear_faults();
    registry.advance_seconds(3600);
    assert_eq!(used().await, 0);
}
