//! Every call that users' changes make broken once, before it is done and after: all or nothing is stored, nothing is
//! half-spent, and doing it again succeeds or says that it was done.

use serde_json::{Value, json};

use crate::support::faults::{InjectedFault, count, with_every_call_failing};
use crate::support::{ADMIN, FaultTiming, PASSWORD, Port, TestRegistry, TestResponse, token_of};

const NEW: &str = "another horse battery";
const PORTS: [Port; 2] = [Port::Database, Port::Cache];

/// Sends what `ask` makes with the break in force; the answer, whether something broke, and whether the database did.
async fn broken(
    registry: &TestRegistry,
    case: InjectedFault,
    request: impl Future<Output = TestResponse>,
) -> (TestResponse, bool, bool) {
    case.arm(registry);
    let reply = request.await;
    let broken = registry.meter.clear_faults() > 0;
    let in_the_database = broken && case.port == Port::Database;
    if in_the_database {
        assert_eq!(reply.status, 500, "{case:?} {}", reply.text());
        assert!(!reply.text().contains("broken by the test"));
    }
    (reply, broken, in_the_database)
}

#[tokio::test]
async fn setting_up() {
    with_every_call_failing(&PORTS, async |case| {
        let registry = TestRegistry::new();
        let spec = json!({"email": "a@example.org", "name": "A", "password": PASSWORD});
        let request = || registry.post("/api/auth/setup").bearer(ADMIN).json(&spec).send();
        let (reply, is_broken, in_the_database) = broken(&registry, case, request()).await;
        let made = !(in_the_database && case.timing == FaultTiming::Before);
        assert!(in_the_database || reply.status == 201, "{case:?}");
        assert_eq!(count(&registry, "users"), i64::from(made), "{case:?}");
        assert_eq!(count(&registry, "audit_log"), i64::from(made), "{case:?}");
        assert_eq!(request().await.status, if made { 409 } else { 201 }, "{case:?}");
        registry.session("a@example.org").await;
        is_broken
    })
    .await;
}

#[tokio::test]
async fn logging_in() {
    let calls = with_every_call_failing(&PORTS, async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let (secret, codes) = registry.second_factor(&user).await;
        let sessions = count(&registry, "sessions");
        let more = json!({"recovery_code": codes[0]});
        let (reply, is_broken, in_the_database) =
            broken(&registry, case, registry.log_in(&user.email, PASSWORD, more.clone())).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        // The code is spent exactly when there is a session for it.
        let begun = count(&registry, "sessions") - sessions;
        assert_eq!(count(&registry, "recovery_codes"), 10 - begun, "{case:?}");
        let entries = i64::try_from(registry.audited("session.started").await.len()).expect("few");
        assert_eq!(entries, sessions + begun, "{case:?}");
        let again = registry.log_in(&user.email, PASSWORD, more).await;
        assert_eq!(again.status, if begun == 1 { 401 } else { 200 }, "{case:?}");
        registry.log_in(&user.email, PASSWORD, json!({"totp_code": registry.code(&secret, 0)})).await.expect(200);
        if reply.status == 200 {
            registry.get("/api/auth/me").bearer(&token_of(&reply)).send().await.expect(200);
        }
        is_broken
    })
    .await;
    assert!(calls >= 6);
}

#[tokio::test]
async fn failing_to_log_in() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let (reply, is_broken, in_the_database) =
            broken(&registry, case, registry.log_in(&user.email, NEW, json!({}))).await;
        assert!(in_the_database || reply.status == 401, "{case:?}");
        for _ in 0..9 {
            registry.log_in(&user.email, NEW, json!({})).await.expect(401);
        }
        let uncounted = case.nth == 1 && in_the_database && case.timing == FaultTiming::Before;
        assert_eq!(
            registry.log_in(&user.email, NEW, json!({})).await.status,
            if uncounted { 401 } else { 429 },
            "{case:?}"
        );
        is_broken
    })
    .await;
}

#[tokio::test]
async fn asking_with_a_session() {
    with_every_call_failing(&PORTS, async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        registry.advance_seconds(3600);
        let request = || registry.get("/api/auth/me").bearer(&user.token).send();
        let (reply, is_broken, in_the_database) = broken(&registry, case, request()).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        request().await.expect(200);
        is_broken
    })
    .await;
}

#[tokio::test]
async fn logging_out() {
    with_every_call_failing(&PORTS, async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let request = || registry.post("/api/auth/logout").bearer(&user.token).send();
        let (reply, is_broken, in_the_database) = broken(&registry, case, request()).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        let ended = count(&registry, "sessions") == 0;
        assert!(ended || in_the_database, "{case:?}");
        assert_eq!(registry.audited("session.ended").await.len(), usize::from(ended), "{case:?}");
        assert_eq!(request().await.status, if ended { 401 } else { 200 }, "{case:?}");
        registry.another_isolate().get("/api/auth/me").bearer(&user.token).send().await.expect(401);
        is_broken
    })
    .await;
}

#[tokio::test]
async fn changing_and_removing_a_user() {
    for body in [
        Some(json!({"blocked": true, "name": "New"})),
        Some(json!({"role": "viewer", "two_factor_enabled": false})),
        None,
    ] {
        with_every_call_failing(&[Port::Database], async |case| {
            let registry = TestRegistry::new();
            let user = registry.user("user", "member").await;
            registry.second_factor(&user).await;
            let path = format!("/api/users/{}", user.id);
            let state = || {
                json!([
                    registry.database.rows("SELECT * FROM users"),
                    registry.database.rows("SELECT * FROM recovery_codes")
                ])
            };
            let old = state();
            let request = async || match &body {
                Some(body) => registry.patch(&path).bearer(ADMIN).json(body).send().await,
                None => registry.delete(&path).bearer(ADMIN).send().await,
            };
            let (_, is_broken, in_the_database) = broken(&registry, case, request()).await;
            let done = !(in_the_database && case.timing == FaultTiming::Before);
            assert_eq!(state() != old, done, "{case:?}");
            let action = if body.is_some() { "user.changed" } else { "user.removed" };
            assert_eq!(registry.audited(action).await.len(), usize::from(done), "{case:?}");
            let alive = registry.get("/api/auth/me").bearer(&user.token).send().await.status;
            assert_eq!(alive, if done { 401 } else { 200 }, "{case:?}");
            let again = request().await.status;
            assert_eq!(again, if done && body.is_none() { 404 } else { 200 }, "{case:?}");
            is_broken
        })
        .await;
    }
}

#[tokio::test]
async fn changing_the_password() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let other = registry.session(&user.email).await;
        let body = json!({"current_password": PASSWORD, "password": NEW});
        let request = || registry.post("/api/auth/password").bearer(&user.token).json(&body).send();
        let (_, is_broken, in_the_database) = broken(&registry, case, request()).await;
        let changed = registry.audited("user.password_changed").await.len() == 1;
        assert!(changed || in_the_database, "{case:?}");
        registry.get("/api/auth/me").bearer(&user.token).send().await.expect(200);
        let others = registry.get("/api/auth/me").bearer(&other).send().await.status;
        assert_eq!(others, if changed { 401 } else { 200 }, "{case:?}");
        assert_eq!(request().await.status, if changed { 400 } else { 200 }, "{case:?}");
        registry.log_in(&user.email, NEW, json!({})).await.expect(200);
        is_broken
    })
    .await;
}

#[tokio::test]
async fn changing_ones_own_address() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let body = json!({"email": "other@example.org", "current_password": PASSWORD});
        let request = || registry.patch("/api/auth/me").bearer(&user.token).json(&body).send();
        let (_, is_broken, in_the_database) = broken(&registry, case, request()).await;
        let changed = registry.audited("user.changed").await.len() == 1;
        assert!(changed || in_the_database, "{case:?}");
        let (now, before) = ("other@example.org", user.email.as_str());
        let (works, fails) = if changed { (now, before) } else { (before, now) };
        registry.log_in(works, PASSWORD, json!({})).await.expect(200);
        registry.log_in(fails, PASSWORD, json!({})).await.expect(401);
        assert_eq!(request().await.expect(200).json()["email"], now, "{case:?}");
        is_broken
    })
    .await;
}

#[tokio::test]
async fn turning_the_second_factor_on_and_off() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let made = registry.post("/api/auth/2fa/setup").bearer(&user.token).send().await.expect(200);
        let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
        let enable = async || {
            let body = json!({"code": registry.code(&secret, 0)});
            registry.post("/api/auth/2fa/enable").bearer(&user.token).json(&body).send().await
        };
        let (_, is_broken, in_the_database) = broken(&registry, case, enable()).await;
        let enabled = count(&registry, "recovery_codes") == 10;
        assert!(enabled || (in_the_database && count(&registry, "recovery_codes") == 0), "{case:?}");
        assert_eq!(registry.audited("user.two_factor_enabled").await.len(), usize::from(enabled), "{case:?}");
        assert_eq!(enable().await.status, if enabled { 409 } else { 200 }, "{case:?}");
        is_broken
    })
    .await;
    for what in ["disable", "recovery-codes"] {
        with_every_call_failing(&[Port::Database], async |case| {
            let registry = TestRegistry::new();
            let user = registry.user("user", "member").await;
            let (secret, _) = registry.second_factor(&user).await;
            let state = || json!(registry.database.rows("SELECT hash FROM recovery_codes"));
            let old = state();
            let request = async || {
                let body = json!({"password": PASSWORD, "code": registry.code(&secret, 0)});
                registry.post(&format!("/api/auth/2fa/{what}")).bearer(&user.token).json(&body).send().await
            };
            let (_, is_broken, in_the_database) = broken(&registry, case, request()).await;
            let done = state() != old;
            assert!(done || in_the_database, "{case:?}");
            assert_eq!(count(&registry, "recovery_codes"), if done && what == "disable" { 0 } else { 10 }, "{case:?}");
            // The code is spent exactly when it has done something.
            registry.advance_seconds(if done { 30 } else { 0 });
            assert_eq!(request().await.status, if done && what == "disable" { 409 } else { 200 }, "{case:?}");
            is_broken
        })
        .await;
    }
}

#[tokio::test]
async fn inviting_and_accepting() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let body = json!({"email": "x@example.org", "role": "viewer"});
        let request = || registry.post("/api/invitations").bearer(ADMIN).json(&body).send();
        let (reply, is_broken, in_the_database) = broken(&registry, case, request()).await;
        let made = count(&registry, "invitations") == 1;
        assert!(made || in_the_database, "{case:?}");
        assert!(in_the_database != reply.text().contains("rsi_"));
        assert_eq!(request().await.status, if made { 409 } else { 201 }, "{case:?}");
        is_broken
    })
    .await;
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let body = json!({"email": "x@example.org", "role": "viewer"});
        let token = token_of(&registry.post("/api/invitations").bearer(ADMIN).json(&body).send().await.expect(201));
        let body = json!({"token": token, "name": "X", "password": PASSWORD});
        let request = || registry.post("/api/auth/accept-invitation").json(&body).send();
        let (_, is_broken, _) = broken(&registry, case, request()).await;
        let accepted = count(&registry, "users") == 1;
        assert_eq!(count(&registry, "invitations"), i64::from(!accepted), "{case:?}");
        assert_eq!(request().await.status, if accepted { 404 } else { 201 }, "{case:?}");
        registry.session("x@example.org").await;
        is_broken
    })
    .await;
}

#[tokio::test]
async fn choosing_a_new_password() {
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let path = format!("/api/users/{}/reset-link", user.id);
        let token = token_of(&registry.post(&path).bearer(ADMIN).send().await.expect(201));
        let body = json!({"token": token, "password": NEW});
        let request = || registry.post("/api/auth/reset").json(&body).send();
        let (_, is_broken, _) = broken(&registry, case, request()).await;
        let done = count(&registry, "password_resets") == 0;
        let alive = registry.get("/api/auth/me").bearer(&user.token).send().await.status;
        assert_eq!(alive, if done { 401 } else { 200 }, "{case:?}");
        assert_eq!(request().await.status, if done { 404 } else { 200 }, "{case:?}");
        registry.log_in(&user.email, NEW, json!({})).await.expect(200);
        is_broken
    })
    .await;
    with_every_call_failing(&[Port::Database], async |case| {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let path = format!("/api/users/{}/reset-link", user.id);
        let request = || registry.post(&path).bearer(ADMIN).send();
        let (_, is_broken, _) = broken(&registry, case, request()).await;
        let token = token_of(&request().await.expect(201));
        assert_eq!(count(&registry, "password_resets"), 1, "{case:?}");
        let body: Value = json!({"token": token, "password": NEW});
        registry.post("/api/auth/reset").json(&body).send().await.expect(200);
        is_broken
    })
    .await;
}
