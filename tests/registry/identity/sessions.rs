//! Sessions: what a request costs, when they end, and that they end at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ADMIN, Calls, FaultTiming, PASSWORD, Port, START, TestRegistry, TestUser};

const HOUR: u64 = 3600;
const ENDED: &str = "This session has ended. Log in again.";

async fn is_alive(registry: &TestRegistry, token: &str) -> bool {
    let here = registry.get("/api/auth/me").bearer(token).send().await;
    // Its use is noted behind the answer.
    registry.run_until_idle().await;
    let elsewhere = registry.another_isolate().get("/api/auth/me").bearer(token).send().await;
    assert_eq!(here.status, elsewhere.status, "all isolates agree");
    if here.status != 200 {
        assert_eq!(here.json(), json!({"error": ENDED, "code": "UNAUTHENTICATED", "details": {}}));
    }
    here.status == 200
}

async fn sessions(registry: &TestRegistry, token: &str) -> Vec<Value> {
    let reply = registry.get("/api/auth/sessions").bearer(token).send().await.expect(200);
    let list = reply.json().as_array().expect("a list").clone();
    assert_eq!(reply.header("x-total-count"), list.len().to_string());
    list
}

#[tokio::test]
async fn a_request_costs_one_read_of_kv_and_one_statement() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let owner = registry.owner().await;
    let cost = async |path: &str| {
        let (reply, calls) = registry.counted(registry.get(path).bearer(&owner.token).send()).await;
        reply.expect(200);
        calls
    };
    cost("/api/auth/me").await;
    let once = Calls { round_trips: 1, statements: 1, cache_reads: 1, ..Calls::default() };
    assert_eq!(cost("/api/auth/me").await, once);
    // The statement that follows travels along.
    cost("/p2/acme/lib.json").await;
    registry.advance_seconds(60);
    assert_eq!(cost("/p2/acme/lib.json").await, Calls { statements: 2, ..once });
    // Once in a quarter of an hour it is noted, behind the answer, that the session is used.
    registry.run_until_idle().await;
    registry.advance_seconds(14 * 60);
    assert_eq!(cost("/api/auth/me").await, once);
    let ((), noted) = registry.counted(registry.run_until_idle()).await;
    assert_eq!((noted.round_trips, noted.statements), (1, 1));
    assert_eq!(cost("/api/auth/me").await, once);
    let ((), noted) = registry.counted(registry.run_until_idle()).await;
    assert_eq!(noted.round_trips, 0);
    let seen = registry.database.rows("SELECT seen_at FROM sessions");
    assert_eq!(seen, [json!({"seen_at": START.0 + 15 * 60_000})]);
}

#[tokio::test]
async fn logging_out_ends_a_session_at_once_wherever_kv_is_behind() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.session(&owner.email).await;
    assert!(is_alive(&registry, &owner.token).await);
    registry.cache.delay_propagation();
    let reply = registry.post("/api/auth/logout").bearer(&owner.token).send().await.expect(200);
    assert_eq!(reply.json(), json!({"message": "Logged out"}));
    assert!(!is_alive(&registry, &owner.token).await);
    assert!(is_alive(&registry, &other).await);
    registry.post("/api/auth/logout").bearer(&owner.token).send().await.expect(401);
    assert_eq!(registry.audited("session.ended").await.len(), 1);
    registry.advance_seconds(60);
    assert_eq!(registry.cache.keys("session:").len(), 1);
}

#[tokio::test]
async fn all_sessions_end_at_once_when_their_user_is_removed_blocked_or_gets_another_role() {
    for change in
        [Some(json!({"blocked": true})), Some(json!({"role": "admin"})), Some(json!({"role": "viewer"})), None]
    {
        let registry = TestRegistry::new();
        registry.owner().await;
        let user = registry.user("user", "member").await;
        let second = registry.session(&user.email).await;
        assert!(is_alive(&registry, &user.token).await && is_alive(&registry, &second).await);
        registry.cache.delay_propagation();
        let path = format!("/api/users/{}", user.id);
        match &change {
            Some(body) => registry.patch(&path).bearer(ADMIN).json(body).send().await.expect(200),
            None => registry.delete(&path).bearer(ADMIN).send().await.expect(200),
        };
        for token in [&user.token, &second] {
            assert!(!is_alive(&registry, token).await, "{change:?}");
            registry.get("/packages.json").basic(token).composer().send().await.expect(401);
        }
    }
}

#[tokio::test]
async fn what_changes_nothing_of_what_a_user_may_do_ends_no_session() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    for body in [
        json!({"name": "New"}),
        json!({"email": "new@example.org"}),
        json!({"role": "member"}),
        json!({"blocked": false}),
    ] {
        registry.patch(&format!("/api/users/{}", user.id)).bearer(ADMIN).json(&body).send().await.expect(200);
        assert!(is_alive(&registry, &user.token).await, "{body}");
    }
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.session(&owner.email).await;
    let new = "another horse battery";
    let request = |current: &str, password: &str| {
        let body = json!({"current_password": current, "password": password});
        registry.post("/api/auth/password").bearer(&owner.token).json(&body)
    };
    for (current, password, field, detail) in [
        ("wrong horse battery", new, "current_password", "is not the password of this account"),
        (PASSWORD, "short", "password", "must hold 12 to 1024 bytes"),
        (PASSWORD, "OWNER@example.org", "password", "must not be the e-mail address"),
    ] {
        let refused = request(current, password).send().await.expect(400);
        assert_eq!(refused.json()["details"], json!({field: [detail]}));
    }
    assert!(is_alive(&registry, &other).await);
    registry.cache.delay_propagation();
    assert_eq!(request(PASSWORD, new).send().await.expect(200).json(), json!({"message": "Password changed"}));
    assert!(is_alive(&registry, &owner.token).await);
    assert!(!is_alive(&registry, &other).await);
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(401);
    registry.log_in(&owner.email, new, json!({})).await.expect(200);
    assert_eq!(registry.audited("user.password_changed").await.len(), 1);
}

#[tokio::test]
async fn two_new_passwords_at_once_are_one_change() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let request = |password: &str| {
        let body = json!({"current_password": PASSWORD, "password": password});
        tokio::spawn(registry.post("/api/auth/password").bearer(&owner.token).json(&body).send())
    };
    let (first, second) = (request("first horse battery"), request("second horse battery"));
    let mut statuses = [first.await.expect("no panic").status, second.await.expect("no panic").status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    assert_eq!(registry.audited("user.password_changed").await.len(), 1);
    assert!(is_alive(&registry, &owner.token).await);
}

#[tokio::test]
async fn guessing_the_password_in_a_stolen_session_is_throttled_as_logins_are() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let body = |current: &str| json!({"current_password": current, "password": "another horse battery"});
    for _ in 0..10 {
        let wrong = registry.post("/api/auth/password").bearer(&owner.token).json(&body("wrong horse battery"));
        wrong.send().await.expect(400);
    }
    let closed =
        registry.post("/api/auth/password").bearer(&owner.token).json(&body(PASSWORD)).send().await.expect(429);
    assert_eq!(closed.header("retry-after"), "901");
    assert_eq!(closed.json()["error"], "Too many failed logins. Try again in 901 seconds.");
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(429);
    assert_eq!(registry.audited("login.failed").await[0]["actor"], json!(format!("user:{}", owner.id)));
}

#[tokio::test]
async fn a_session_ends_after_twelve_hours_without_use_and_after_thirty_days_in_any_case() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let idle = registry.session(&owner.email).await;
    registry.advance_seconds(12 * HOUR - 1);
    assert!(is_alive(&registry, &idle).await);
    registry.advance_seconds(12 * HOUR);
    assert!(!is_alive(&registry, &idle).await);
    assert!(!is_alive(&registry, &owner.token).await);

    let used = registry.session(&owner.email).await;
    let mut age = 0;
    while age + 11 * HOUR < 30 * 24 * HOUR {
        registry.advance_seconds(11 * HOUR);
        age += 11 * HOUR;
        assert!(is_alive(&registry, &used).await, "after {age} s");
    }
    registry.advance_seconds(30 * 24 * HOUR - age - 1);
    assert!(is_alive(&registry, &used).await);
    registry.advance_seconds(1);
    assert!(!is_alive(&registry, &used).await);
}

#[tokio::test]
async fn kv_failing_or_losing_everything_ends_no_session_and_keeps_none_alive() {
    for timing in [FaultTiming::Before, FaultTiming::After] {
        let registry = TestRegistry::new();
        let owner = registry.owner().await;
        registry.meter.break_all(Port::Cache, timing);
        let during = registry.session(&owner.email).await;
        for _ in 0..2 {
            assert!(is_alive(&registry, &owner.token).await && is_alive(&registry, &during).await);
        }
        registry.post("/api/auth/logout").bearer(&owner.token).send().await.expect(200);
        assert!(!is_alive(&registry, &owner.token).await);
        assert!(registry.meter.clear_faults() > 0);
        assert!(!is_alive(&registry, &owner.token).await);
        assert!(is_alive(&registry, &during).await);
    }
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_user_and_nobody_else() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.user("other", "admin").await;
    registry.advance_seconds(60);
    let login = registry.login(&owner.email, PASSWORD, &json!({})).header("user-agent", &"x".repeat(300));
    let second = crate::support::token_of(&login.header("cf-connecting-ip", "203.0.113.9").send().await.expect(200));
    let list = sessions(&registry, &owner.token).await;
    let [newer, older] = list.as_slice() else { panic!("{list:?}") };
    let mut shown = newer.clone();
    assert!(shown["id"].take().is_string());
    let now = START.seconds() + 60;
    let expected = json!({
        "id": null, "current": false, "address": "203.0.113.9", "user_agent": "x".repeat(255), "created_at": now,
        "last_used_at": now, "expires_at": now + 30 * 24 * 3600,
    });
    assert_eq!(shown, expected);
    assert_eq!(
        (&older["current"], &older["address"], &older["user_agent"]),
        (&json!(true), &json!(null), &json!(null))
    );
    let page = registry.get("/api/auth/sessions?limit=1&offset=1").bearer(&owner.token).send().await.expect(200);
    assert_eq!((page.json(), page.header("x-total-count")), (json!([older]), "2"));

    let path = format!("/api/auth/sessions/{}", newer["id"].as_str().expect("an id"));
    let refused = registry.delete(&path).bearer(&other.token).send().await.expect(404);
    assert_eq!(refused.json(), json!({"error": "Session not found", "code": "NOT_FOUND", "details": {}}));
    assert!(is_alive(&registry, &second).await);
    registry.cache.delay_propagation();
    let ended = registry.delete(&path).bearer(&owner.token).send().await.expect(200);
    assert_eq!(ended.json(), json!({"message": "Session ended"}));
    assert!(!is_alive(&registry, &second).await);
    registry.delete(&path).bearer(&owner.token).send().await.expect(404);
    assert_eq!(sessions(&registry, &owner.token).await.len(), 1);
}

#[tokio::test]
async fn all_sessions_of_a_user_can_be_ended_together() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let second = registry.session(&owner.email).await;
    let other = registry.user("other", "admin").await;
    registry.cache.delay_propagation();
    let reply = registry.delete("/api/auth/sessions").bearer(&second).send().await.expect(200);
    assert_eq!(reply.json(), json!({"message": "All sessions ended"}));
    assert!(!is_alive(&registry, &owner.token).await);
    assert!(!is_alive(&registry, &second).await);
    assert!(is_alive(&registry, &other.token).await);
    assert_eq!(registry.audited("user.sessions_ended").await.len(), 1);
    assert_eq!(sessions(&registry, &registry.session(&owner.email).await).await.len(), 1);
}

#[tokio::test]
async fn a_user_has_fifty_sessions_at_most_and_the_oldest_goes() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let second = registry.session(&owner.email).await;
    for _ in 0..49 {
        registry.session(&owner.email).await;
    }
    assert!(!is_alive(&registry, &owner.token).await);
    assert_eq!(sessions(&registry, &second).await.len(), 50);
}

#[tokio::test]
async fn the_hour_is_the_users_whichever_session_asks() {
    let registry = TestRegistry::new();
    let member = registry.user("member", "member").await;
    let viewer = registry.user("viewer", "viewer").await;
    let left = async |token: &str| {
        let reply = registry.get("/api/packages").bearer(token).send().await.expect(200);
        let number = |name: &str| reply.header(name).parse::<i64>().expect("a number");
        (number("x-ratelimit-limit"), number("x-ratelimit-remaining"))
    };
    assert_eq!(left(&member.token).await, (500, 499));
    assert_eq!(left(&registry.session(&member.email).await).await, (500, 498));
    assert_eq!(left(&viewer.token).await, (1000, 999));
    for _ in 0..498 {
        registry.get("/api/auth/me").bearer(&member.token).send().await.expect(200);
    }
    let refused = registry.get("/api/auth/me").bearer(&member.token).send().await.expect(429);
    let error = "This account has used its 500 requests of this hour. Try again in 3600 seconds.";
    assert_eq!(refused.json()["error"], error);
    assert_eq!(refused.header("retry-after"), "3600");
}

#[tokio::test]
async fn composer_may_send_a_session_as_password() {
    let registry = TestRegistry::new();
    registry.published("acme/lib", &["1.0.0"]).await;
    let TestUser { token, .. } = registry.user("viewer", "viewer").await;
    registry.get("/packages.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(registry.listed_names(&token).await, json!(["acme/lib"]));
    let p2 = registry.get("/p2/acme/lib.json").basic(&token).composer().send().await.expect(200);
    assert_eq!(p2.version_names("acme/lib"), ["1.0.0"]);
    registry.get("/p2/acme/lib.json").basic(&token).composer().if_modified_since(&p2).send().await.expect(304);
    registry.get("/dist/acme/lib/1.0.0.zip").basic(&token).composer().send().await.expect(200);
    let report = json!({"downloads": [{"name": "acme/lib", "version": "1.0.0.0"}]});
    registry.post("/notify-batch").basic(&token).composer().json(&report).send().await.expect(204);
    registry.run_until_idle().await;
    let subject = registry.database.rows("SELECT subject FROM downloads");
    assert_eq!(subject, [json!({"subject": "user:1"})]);
}

#[tokio::test]
async fn a_session_that_never_was_is_refused_in_the_same_words() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    registry.database.execute("DELETE FROM sessions");
    assert!(!is_alive(&registry, &owner.token).await);
    registry.advance(Duration::from_hours(24));
    assert!(!is_alive(&registry, &owner.token).await);
    // What only looks like one costs nothing.
    let made_up = format!("{}x", &owner.token[..49]);
    let (reply, calls) = registry.counted(registry.get("/api/auth/me").bearer(&made_up).send()).await;
    reply.expect(401);
    assert_eq!(calls, Calls::default());
}
