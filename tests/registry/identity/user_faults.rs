//! Every call that users' changes make broken once, before it is done and after: all or nothing is stored, nothing is
//! half-spent, and doing it again succeeds or says that it was done.

use serde_json::{Value, json};

use crate::support::faults::{Break, break_every_call, count};
use crate::support::{ADMIN, Moment, PASSWORD, Port, Reply, World, token_of};

const NEW: &str = "another horse battery";
const PORTS: [Port; 2] = [Port::Database, Port::Cache];

/// Sends what `ask` makes with the break in force; the answer, whether something broke, and whether the database did.
async fn broken(world: &World, case: Break, ask: impl Future<Output = Reply>) -> (Reply, bool, bool) {
    case.arm(world);
    let reply = ask.await;
    let broken = world.meter.mend() > 0;
    let in_the_database = broken && case.port == Port::Database;
    if in_the_database {
        assert_eq!(reply.status, 500, "{case:?} {}", reply.text());
        assert!(!reply.text().contains("broken by the test"));
    }
    (reply, broken, in_the_database)
}

#[tokio::test]
async fn setting_up() {
    break_every_call(&PORTS, async |case| {
        let world = World::new();
        let spec = json!({"email": "a@example.org", "name": "A", "password": PASSWORD});
        let ask = || world.post("/api/auth/setup").bearer(ADMIN).json(&spec).send();
        let (reply, is_broken, in_the_database) = broken(&world, case, ask()).await;
        let made = !(in_the_database && case.moment == Moment::Before);
        assert!(in_the_database || reply.status == 201, "{case:?}");
        assert_eq!(count(&world, "users"), i64::from(made), "{case:?}");
        assert_eq!(count(&world, "audit_log"), i64::from(made), "{case:?}");
        assert_eq!(ask().await.status, if made { 409 } else { 201 }, "{case:?}");
        world.session("a@example.org").await;
        is_broken
    })
    .await;
}

#[tokio::test]
async fn logging_in() {
    let calls = break_every_call(&PORTS, async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let (secret, codes) = world.second_factor(&user).await;
        let sessions = count(&world, "sessions");
        let more = json!({"recovery_code": codes[0]});
        let (reply, is_broken, in_the_database) =
            broken(&world, case, world.log_in(&user.email, PASSWORD, more.clone())).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        // The code is spent exactly when there is a session for it.
        let begun = count(&world, "sessions") - sessions;
        assert_eq!(count(&world, "recovery_codes"), 10 - begun, "{case:?}");
        let entries = i64::try_from(world.audited("session.started").await.len()).expect("few");
        assert_eq!(entries, sessions + begun, "{case:?}");
        let again = world.log_in(&user.email, PASSWORD, more).await;
        assert_eq!(again.status, if begun == 1 { 401 } else { 200 }, "{case:?}");
        world.log_in(&user.email, PASSWORD, json!({"totp_code": world.code(&secret, 0)})).await.expect(200);
        if reply.status == 200 {
            world.get("/api/auth/me").bearer(&token_of(&reply)).send().await.expect(200);
        }
        is_broken
    })
    .await;
    assert!(calls >= 6);
}

#[tokio::test]
async fn failing_to_log_in() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let (reply, is_broken, in_the_database) = broken(&world, case, world.log_in(&user.email, NEW, json!({}))).await;
        assert!(in_the_database || reply.status == 401, "{case:?}");
        for _ in 0..9 {
            world.log_in(&user.email, NEW, json!({})).await.expect(401);
        }
        let uncounted = case.nth == 1 && in_the_database && case.moment == Moment::Before;
        assert_eq!(
            world.log_in(&user.email, NEW, json!({})).await.status,
            if uncounted { 401 } else { 429 },
            "{case:?}"
        );
        is_broken
    })
    .await;
}

#[tokio::test]
async fn asking_with_a_session() {
    break_every_call(&PORTS, async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        world.advance_seconds(3600);
        let ask = || world.get("/api/auth/me").bearer(&user.token).send();
        let (reply, is_broken, in_the_database) = broken(&world, case, ask()).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        ask().await.expect(200);
        is_broken
    })
    .await;
}

#[tokio::test]
async fn logging_out() {
    break_every_call(&PORTS, async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let ask = || world.post("/api/auth/logout").bearer(&user.token).send();
        let (reply, is_broken, in_the_database) = broken(&world, case, ask()).await;
        assert!(in_the_database || reply.status == 200, "{case:?}");
        let ended = count(&world, "sessions") == 0;
        assert!(ended || in_the_database, "{case:?}");
        assert_eq!(world.audited("session.ended").await.len(), usize::from(ended), "{case:?}");
        assert_eq!(ask().await.status, if ended { 401 } else { 200 }, "{case:?}");
        world.another_isolate().get("/api/auth/me").bearer(&user.token).send().await.expect(401);
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
        break_every_call(&[Port::Database], async |case| {
            let world = World::new();
            let user = world.user("user", "member").await;
            world.second_factor(&user).await;
            let path = format!("/api/users/{}", user.id);
            let state = || {
                json!([world.database.rows("SELECT * FROM users"), world.database.rows("SELECT * FROM recovery_codes")])
            };
            let old = state();
            let ask = async || match &body {
                Some(body) => world.patch(&path).bearer(ADMIN).json(body).send().await,
                None => world.delete(&path).bearer(ADMIN).send().await,
            };
            let (_, is_broken, in_the_database) = broken(&world, case, ask()).await;
            let done = !(in_the_database && case.moment == Moment::Before);
            assert_eq!(state() != old, done, "{case:?}");
            let action = if body.is_some() { "user.changed" } else { "user.removed" };
            assert_eq!(world.audited(action).await.len(), usize::from(done), "{case:?}");
            let alive = world.get("/api/auth/me").bearer(&user.token).send().await.status;
            assert_eq!(alive, if done { 401 } else { 200 }, "{case:?}");
            let again = ask().await.status;
            assert_eq!(again, if done && body.is_none() { 404 } else { 200 }, "{case:?}");
            is_broken
        })
        .await;
    }
}

#[tokio::test]
async fn changing_the_password() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let other = world.session(&user.email).await;
        let body = json!({"current_password": PASSWORD, "password": NEW});
        let ask = || world.post("/api/auth/password").bearer(&user.token).json(&body).send();
        let (_, is_broken, in_the_database) = broken(&world, case, ask()).await;
        let changed = world.audited("user.password_changed").await.len() == 1;
        assert!(changed || in_the_database, "{case:?}");
        world.get("/api/auth/me").bearer(&user.token).send().await.expect(200);
        let others = world.get("/api/auth/me").bearer(&other).send().await.status;
        assert_eq!(others, if changed { 401 } else { 200 }, "{case:?}");
        assert_eq!(ask().await.status, if changed { 400 } else { 200 }, "{case:?}");
        world.log_in(&user.email, NEW, json!({})).await.expect(200);
        is_broken
    })
    .await;
}

#[tokio::test]
async fn changing_ones_own_address() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let body = json!({"email": "other@example.org", "current_password": PASSWORD});
        let ask = || world.patch("/api/auth/me").bearer(&user.token).json(&body).send();
        let (_, is_broken, in_the_database) = broken(&world, case, ask()).await;
        let changed = world.audited("user.changed").await.len() == 1;
        assert!(changed || in_the_database, "{case:?}");
        let (now, before) = ("other@example.org", user.email.as_str());
        let (works, fails) = if changed { (now, before) } else { (before, now) };
        world.log_in(works, PASSWORD, json!({})).await.expect(200);
        world.log_in(fails, PASSWORD, json!({})).await.expect(401);
        assert_eq!(ask().await.expect(200).json()["email"], now, "{case:?}");
        is_broken
    })
    .await;
}

#[tokio::test]
async fn turning_the_second_factor_on_and_off() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let made = world.post("/api/auth/2fa/setup").bearer(&user.token).send().await.expect(200);
        let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
        let enable = async || {
            let body = json!({"code": world.code(&secret, 0)});
            world.post("/api/auth/2fa/enable").bearer(&user.token).json(&body).send().await
        };
        let (_, is_broken, in_the_database) = broken(&world, case, enable()).await;
        let enabled = count(&world, "recovery_codes") == 10;
        assert!(enabled || (in_the_database && count(&world, "recovery_codes") == 0), "{case:?}");
        assert_eq!(world.audited("user.two_factor_enabled").await.len(), usize::from(enabled), "{case:?}");
        assert_eq!(enable().await.status, if enabled { 409 } else { 200 }, "{case:?}");
        is_broken
    })
    .await;
    for what in ["disable", "recovery-codes"] {
        break_every_call(&[Port::Database], async |case| {
            let world = World::new();
            let user = world.user("user", "member").await;
            let (secret, _) = world.second_factor(&user).await;
            let state = || json!(world.database.rows("SELECT hash FROM recovery_codes"));
            let old = state();
            let ask = async || {
                let body = json!({"password": PASSWORD, "code": world.code(&secret, 0)});
                world.post(&format!("/api/auth/2fa/{what}")).bearer(&user.token).json(&body).send().await
            };
            let (_, is_broken, in_the_database) = broken(&world, case, ask()).await;
            let done = state() != old;
            assert!(done || in_the_database, "{case:?}");
            assert_eq!(count(&world, "recovery_codes"), if done && what == "disable" { 0 } else { 10 }, "{case:?}");
            // The code is spent exactly when it has done something.
            world.advance_seconds(if done { 30 } else { 0 });
            assert_eq!(ask().await.status, if done && what == "disable" { 409 } else { 200 }, "{case:?}");
            is_broken
        })
        .await;
    }
}

#[tokio::test]
async fn inviting_and_accepting() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let body = json!({"email": "x@example.org", "role": "viewer"});
        let ask = || world.post("/api/invitations").bearer(ADMIN).json(&body).send();
        let (reply, is_broken, in_the_database) = broken(&world, case, ask()).await;
        let made = !(in_the_database && case.moment == Moment::Before);
        assert_eq!(count(&world, "invitations"), i64::from(made), "{case:?}");
        assert!(in_the_database != reply.text().contains("rsi_"));
        assert_eq!(ask().await.status, if made { 409 } else { 201 }, "{case:?}");
        is_broken
    })
    .await;
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let body = json!({"email": "x@example.org", "role": "viewer"});
        let token = token_of(&world.post("/api/invitations").bearer(ADMIN).json(&body).send().await.expect(201));
        let body = json!({"token": token, "name": "X", "password": PASSWORD});
        let ask = || world.post("/api/auth/accept-invitation").json(&body).send();
        let (_, is_broken, _) = broken(&world, case, ask()).await;
        let accepted = count(&world, "users") == 1;
        assert_eq!(count(&world, "invitations"), i64::from(!accepted), "{case:?}");
        assert_eq!(ask().await.status, if accepted { 404 } else { 201 }, "{case:?}");
        world.session("x@example.org").await;
        is_broken
    })
    .await;
}

#[tokio::test]
async fn choosing_a_new_password() {
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let path = format!("/api/users/{}/reset-link", user.id);
        let token = token_of(&world.post(&path).bearer(ADMIN).send().await.expect(201));
        let body = json!({"token": token, "password": NEW});
        let ask = || world.post("/api/auth/reset").json(&body).send();
        let (_, is_broken, _) = broken(&world, case, ask()).await;
        let done = count(&world, "password_resets") == 0;
        let alive = world.get("/api/auth/me").bearer(&user.token).send().await.status;
        assert_eq!(alive, if done { 401 } else { 200 }, "{case:?}");
        assert_eq!(ask().await.status, if done { 404 } else { 200 }, "{case:?}");
        world.log_in(&user.email, NEW, json!({})).await.expect(200);
        is_broken
    })
    .await;
    break_every_call(&[Port::Database], async |case| {
        let world = World::new();
        let user = world.user("user", "member").await;
        let path = format!("/api/users/{}/reset-link", user.id);
        let ask = || world.post(&path).bearer(ADMIN).send();
        let (_, is_broken, _) = broken(&world, case, ask()).await;
        let token = token_of(&ask().await.expect(201));
        assert_eq!(count(&world, "password_resets"), 1, "{case:?}");
        let body: Value = json!({"token": token, "password": NEW});
        world.post("/api/auth/reset").json(&body).send().await.expect(200);
        is_broken
    })
    .await;
}
