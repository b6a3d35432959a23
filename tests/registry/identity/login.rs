//! Logging in: what it gives, what it does not tell, and how often it may fail.

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, PASSWORD, START, TestRegistry, TestResponse, logs, send_concurrently, token_of};

const WRONG: &str = "wrong horse battery";
/// From the failure that begins a window on.
const WINDOW: u64 = 15 * 60;

fn wrong() -> Value {
    json!({"error": "The e-mail address or the password is wrong.", "code": "INVALID_CREDENTIALS", "details": {}})
}

fn too_many(seconds: i64) -> Value {
    let error = format!("Too many failed logins. Try again in {seconds} seconds.");
    json!({"error": error, "code": "RATE_LIMITED", "details": {}})
}

fn with_status(replies: &[TestResponse], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

#[tokio::test]
async fn a_login_gives_a_session_that_is_shown_once() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    registry.advance_seconds(60);
    let reply = registry
        .login(" Owner@Example.org ", PASSWORD, &json!({}))
        .header("user-agent", "A browser")
        .header("cf-connecting-ip", "203.0.113.9")
        .send()
        .await
        .expect(200);
    assert_eq!(reply.header("cache-control"), "no-store");
    let token = token_of(&reply);
    assert_eq!(token.len(), 50);
    assert!(token.starts_with("rss_"));
    let mut shown = reply.json();
    assert!(shown["token"].take().is_string());
    let now = START.seconds() + 60;
    let user = json!({
        "id": owner.id, "email": "owner@example.org", "name": "Owner", "role": "owner", "blocked": false,
        "two_factor_enabled": false, "recovery_codes_left": 0, "created_at": START.seconds(), "last_login_at": now,
    });
    assert_eq!(shown, json!({"token": null, "expires_at": now + 30 * 24 * 3600, "user": user}));
    let mut me = registry.get("/api/auth/me").bearer(&token).send().await.expect(200).json();
    assert_eq!(me.as_object_mut().expect("an object").remove("scopes"), Some(json!(["admin"])));
    assert_eq!(me, user);
    let entry = &registry.audited("session.started").await[0];
    assert_eq!((&entry["actor"], &entry["address"]), (&json!(format!("user:{}", owner.id)), &json!("203.0.113.9")));
    assert_eq!((&entry["label"], &entry["details"]), (&json!("owner@example.org"), &json!({"second_factor": null})));
}

#[tokio::test]
async fn neither_password_nor_token_is_stored_or_logged_anywhere() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    registry.get("/api/auth/me").bearer(&owner.token).send().await.expect(200);
    registry.log_in(&owner.email, WRONG, json!({})).await.expect(401);
    registry.log_in("nobody@example.org", WRONG, json!({})).await.expect(401);
    registry.run_until_idle().await;
    let sessions = registry.database.rows("SELECT hash FROM sessions");
    assert_eq!(sessions, [json!({"hash": hex::encode(Sha256::digest(&owner.token))})]);
    let password =
        registry.database.rows("SELECT password FROM users")[0]["password"].as_str().expect("text").to_owned();
    assert!(password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{password}");
    let mut everything = String::new();
    for table in ["users", "sessions", "audit_log", "login_throttles"] {
        let rows = registry.database.rows(&format!("SELECT * FROM {table}"));
        assert!(!rows.is_empty(), "{table}");
        everything.push_str(&json!(rows).to_string());
    }
    assert!(!registry.cache.entries().is_empty());
    everything.push_str(&json!(registry.cache.entries()).to_string());
    everything.push_str(&logs::text());
    for secret in [PASSWORD, WRONG, &owner.token[4..], "nobody@example.org"] {
        assert!(!everything.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_get_the_same_answer_for_the_same_work() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (known, known_calls) = registry.counted(registry.log_in(&owner.email, WRONG, json!({}))).await;
    let (unknown, unknown_calls) = registry.counted(registry.log_in("nobody@example.org", WRONG, json!({}))).await;
    for reply in [&known, &unknown] {
        assert_eq!(reply.status, 401);
        assert_eq!(reply.json(), wrong());
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"Rostrum\"");
    }
    assert_eq!(known.headers, unknown.headers);
    assert_eq!(known_calls, unknown_calls);
    assert_eq!((known_calls.round_trips, known_calls.cache_reads, known_calls.cache_writes), (2, 0, 0));
    // With a code too, and with what is no address at all.
    let more = json!({"totp_code": "123456"});
    assert_eq!(registry.log_in(&owner.email, WRONG, more.clone()).await.expect(401).json(), wrong());
    assert_eq!(registry.log_in("no address", WRONG, more).await.expect(401).json(), wrong());
}

#[tokio::test]
async fn a_login_that_is_not_understood_is_refused_without_repeating_it() {
    let registry = TestRegistry::new();
    for (body, error) in [
        (json!({"email": "a@b.c", "password": 987_654_321}), "`password`: must be text"),
        (json!({"email": "a@b.c", "password": "x", "totp_code": 987_654_321}), "`totp_code`: must be text"),
        (
            json!({"email": "a@b.c", "password": "x", "totp_code": "1", "recovery_code": "2"}),
            "`recovery_code`: must not stand beside `totp_code`: give one of them",
        ),
        (json!({"email": "a@b.c", "password": "x", "code": "1", "otp": 1}), "Unknown fields: `code`, `otp`"),
    ] {
        let reply = registry.post("/api/auth/login").json(&body).send().await.expect(400);
        assert_eq!(reply.json()["error"], error);
        assert!(!reply.text().contains("987654321"));
    }
}

#[tokio::test]
async fn ten_failures_close_an_account_for_a_quarter_of_an_hour() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.user("other", "viewer").await;
    for _ in 0..10 {
        assert_eq!(registry.log_in(&owner.email, WRONG, json!({})).await.expect(401).json(), wrong());
        registry.advance_seconds(10);
    }
    for password in [WRONG, PASSWORD] {
        let reply = registry.log_in(&owner.email, password, json!({})).await.expect(429);
        assert_eq!(reply.json(), too_many(801));
        assert_eq!(reply.header("retry-after"), "801");
    }
    registry.session(&other.email).await;
    registry.get("/api/auth/me").bearer(&owner.token).send().await.expect(200);
    registry.advance_seconds(WINDOW - 100 - 1);
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(429);
    registry.advance_seconds(1);
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(200);
}

#[tokio::test]
async fn an_unknown_account_is_closed_in_the_same_way() {
    let registry = TestRegistry::new();
    for _ in 0..10 {
        registry.log_in("Nobody@example.org", WRONG, json!({})).await.expect(401);
    }
    assert_eq!(registry.log_in("nobody@example.org ", WRONG, json!({})).await.expect(429).json(), too_many(901));
}

#[tokio::test]
async fn many_attempts_at_once_do_not_get_past_the_limit_together() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let isolates = [registry.isolate.clone(), registry.another_isolate()];
    let body = json!({"email": owner.email, "password": WRONG});
    let request = |number: usize| isolates[number % 2].request(Method::POST, "/api/auth/login").json(&body);
    let replies = send_concurrently((0..20).map(request)).await;
    assert_eq!((with_status(&replies, 401), with_status(&replies, 429)), (10, 10));
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(429);
}

#[tokio::test]
async fn a_login_that_succeeds_begins_to_count_anew() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    for _ in 0..3 {
        for _ in 0..9 {
            registry.log_in(&owner.email, WRONG, json!({})).await.expect(401);
        }
        registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(200);
    }
}

#[tokio::test]
async fn fifty_failures_close_an_address_for_all_accounts() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let request = |email: &str, password: &str, from: &str| {
        registry.login(email, password, &json!({})).header("cf-connecting-ip", from)
    };
    // One of a network of 2^64 addresses each time, and a good login between.
    for number in 0..50 {
        let from = format!("2001:db8:0:1::{number:x}");
        request(&format!("user{number}@example.org"), WRONG, &from).send().await.expect(401);
        if number == 25 {
            request(&owner.email, PASSWORD, &from).send().await.expect(200);
        }
    }
    let rows = || registry.database.rows("SELECT count(*) AS n FROM login_throttles")[0]["n"].clone();
    assert_eq!(rows(), 52, "as many accounts, that address, and the one that the owner has logged in from");
    let closed = request(&owner.email, PASSWORD, "2001:db8:0:1:ffff::1").send().await.expect(429);
    assert_eq!(closed.json(), too_many(901));
    request("new@example.org", WRONG, "2001:db8:0:1::1").send().await.expect(429);
    assert_eq!(rows(), 52, "an address that is closed counts no more accounts");
    request(&owner.email, PASSWORD, "2001:db8:0:2::1").send().await.expect(200);
    registry.advance_seconds(WINDOW);
    request(&owner.email, PASSWORD, "2001:db8:0:1::1").send().await.expect(200);
    assert_eq!(rows(), 1, "windows that have ended are forgotten");
}

#[tokio::test]
async fn failures_and_lockouts_are_noted_as_often_as_they_can_matter() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    for _ in 0..14 {
        let request = registry.login(&owner.email, WRONG, &json!({})).header("cf-connecting-ip", "203.0.113.9");
        request.send().await;
        registry.log_in("nobody@example.org", WRONG, json!({})).await;
    }
    let failed = registry.audited("login.failed").await;
    assert_eq!(failed.len(), 10);
    assert!(failed.iter().all(|entry| entry["target"] == json!(owner.id)));
    assert_eq!((&failed[0]["actor"], &failed[0]["address"]), (&json!("anonymous"), &json!("203.0.113.9")));
    assert_eq!(failed[0]["details"], json!({"reason": "password"}));
    let locked = registry.audited("login.locked").await;
    assert_eq!(locked.len(), 1);
    assert_eq!(locked[0]["target"], json!(owner.id));
    let failed_at = registry.database.rows("SELECT last_failed_at FROM users");
    assert_eq!(failed_at, [json!({"last_failed_at": START.0})]);

    let requests = (0..60).map(|number| registry.login(&format!("u{number}@example.org"), WRONG, &json!({})));
    let replies = send_concurrently(requests).await;
    assert_eq!(with_status(&replies, 401) + with_status(&replies, 429), 60);
    let locked = registry.audited("login.locked").await;
    assert_eq!(locked.len(), 2);
    assert_eq!(locked[0]["target"], "unknown", "the address");
    registry.advance_seconds(WINDOW);
    for _ in 0..11 {
        registry.log_in(&owner.email, WRONG, json!({})).await;
    }
    assert_eq!(registry.audited("login.locked").await.len(), 3, "once a window");
}

#[tokio::test]
async fn a_blocked_user_is_told_so_only_with_the_right_password() {
    let registry = TestRegistry::new();
    registry.owner().await;
    let user = registry.user("user", "member").await;
    let path = format!("/api/users/{}", user.id);
    registry.patch(&path).bearer(ADMIN).json(&json!({"blocked": true})).send().await.expect(200);
    assert_eq!(registry.log_in(&user.email, WRONG, json!({})).await.expect(401).json(), wrong());
    let error = "This account is blocked. Ask an administrator to unblock it.";
    let blocked = registry.log_in(&user.email, PASSWORD, json!({})).await.expect(403);
    assert_eq!(blocked.json(), json!({"error": error, "code": "FORBIDDEN", "details": {}}));
    assert_eq!(registry.audited("login.failed").await[0]["details"], json!({"reason": "blocked"}));
    registry.patch(&path).bearer(ADMIN).json(&json!({"blocked": false})).send().await.expect(200);
    registry.session(&user.email).await;
    registry.get("/api/auth/me").bearer(&user.token).send().await.expect(401);
}

#[tokio::test]
async fn a_password_with_older_parameters_gets_a_new_hash_when_it_is_used() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    // "password", as the reference implementation hashes it with less effort.
    let old = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    registry.database.execute(&format!("UPDATE users SET password = '{old}'"));
    let stored =
        || registry.database.rows("SELECT password FROM users")[0]["password"].as_str().expect("text").to_owned();
    registry.log_in(&owner.email, WRONG, json!({})).await.expect(401);
    assert_eq!(stored(), old);
    for _ in 0..2 {
        registry.log_in(&owner.email, "password", json!({})).await.expect(200);
        assert!(stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    }
    registry.get("/api/auth/me").bearer(&owner.token).send().await.expect(200);
}

#[tokio::test]
async fn a_change_while_the_password_is_looked_at_makes_the_login_fail() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let body = json!({"current_password": PASSWORD, "password": "another horse battery"});
    let requests = vec![
        registry.post("/api/auth/password").bearer(&owner.token).json(&body),
        registry.login(&owner.email, PASSWORD, &json!({})),
        registry.login(&owner.email, PASSWORD, &json!({})),
    ];
    let replies = send_concurrently(requests).await;
    assert_eq!(replies[0].status, 200);
    for login in &replies[1..] {
        if login.status == 200 {
            registry.get("/api/auth/me").bearer(&token_of(login)).send().await.expect(401);
        } else {
            assert_eq!((login.status, login.json()), (401, wrong()));
        }
    }
    let alive = "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id AND u.session_epoch = s.epoch";
    assert_eq!(registry.database.rows(alive).len(), 1, "the one that changed it");
}
