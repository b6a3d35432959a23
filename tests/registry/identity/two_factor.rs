//! The second factor: codes of an app, recovery codes, and that none of them works twice.

use serde_json::{Value, json};

use crate::support::{
    ADMIN, PASSWORD, TestRegistry, TestRequest, TestResponse, TestUser, logs, statuses_of_concurrent, token_of,
};

const USED: &str = "The code is wrong, too old or was used before. Wait for the next one.";

fn wrong_code() -> Value {
    json!({"error": USED, "code": "INVALID_CREDENTIALS", "details": {}})
}

fn request(registry: &TestRegistry, person: &TestUser, what: &str, body: &Value) -> TestRequest {
    registry.post(&format!("/api/auth/2fa/{what}")).bearer(&person.token).json(body)
}

async fn me(registry: &TestRegistry, person: &TestUser) -> Value {
    registry.get("/api/auth/me").bearer(&person.token).send().await.expect(200).json()
}

fn proof(code: &str) -> Value {
    json!({"password": PASSWORD, "code": code})
}

async fn log_in_with(registry: &TestRegistry, person: &TestUser, field: &str, code: &str) -> TestResponse {
    registry.log_in(&person.email, PASSWORD, json!({field: code})).await
}

#[tokio::test]
async fn an_account_with_a_second_factor_needs_it_at_every_login() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (secret, codes) = registry.second_factor(&owner).await;
    assert_eq!(codes.len(), 10);
    let view = me(&registry, &owner).await;
    assert_eq!((&view["two_factor_enabled"], &view["recovery_codes_left"]), (&json!(true), &json!(10)));

    let missing = registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(401);
    let error = "This account needs a second factor. Log in again with `totp_code` or `recovery_code` as well.";
    assert_eq!(missing.json(), json!({"error": error, "code": "TWO_FACTOR_REQUIRED", "details": {}}));
    assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"Rostrum\"");
    for code in ["000000", "12345", "", "abcdef"] {
        assert_eq!(log_in_with(&registry, &owner, "totp_code", code).await.expect(401).json(), wrong_code(), "{code}");
    }
    let good = log_in_with(&registry, &owner, "totp_code", &registry.code(&secret, 0)).await.expect(200);
    registry.get("/api/auth/me").bearer(&token_of(&good)).send().await.expect(200);
    assert_eq!(registry.audited("session.started").await[0]["details"], json!({"second_factor": "totp"}));
    assert_eq!(registry.audited("login.failed").await.len(), 4);
}

#[tokio::test]
async fn a_code_works_once_and_one_step_early_or_late() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (secret, _) = registry.second_factor(&owner).await;
    registry.advance_seconds(600);
    for (ahead, status) in
        [(-2, 401), (2, 401), (-1, 200), (-1, 401), (0, 200), (0, 401), (-1, 401), (1, 200), (1, 401)]
    {
        let code = registry.code(&secret, ahead);
        assert_eq!(log_in_with(&registry, &owner, "totp_code", &code).await.status, status, "{ahead}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM sessions"), [json!({"n": 4})]);
}

#[tokio::test]
async fn the_code_that_turned_it_on_is_spent() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let made = request(&registry, &owner, "setup", &json!({})).send().await.expect(200);
    let code = registry.code(made.json()["secret"].as_str().expect("a secret"), 0);
    request(&registry, &owner, "enable", &json!({"code": code})).send().await.expect(200);
    assert_eq!(log_in_with(&registry, &owner, "totp_code", &code).await.expect(401).json(), wrong_code());
}

#[tokio::test]
async fn one_code_used_twice_at_once_lets_one_in() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (secret, codes) = registry.second_factor(&owner).await;
    for more in [json!({"totp_code": registry.code(&secret, 0)}), json!({"recovery_code": codes[0]})] {
        let requests = (0..2).map(|_| registry.login(&owner.email, PASSWORD, &more));
        assert_eq!(statuses_of_concurrent(requests).await, [200, 401], "{more}");
    }
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM sessions"), [json!({"n": 3})]);
}

#[tokio::test]
async fn a_recovery_code_works_once_however_it_is_typed() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (_, codes) = registry.second_factor(&owner).await;
    let typed = codes[3].replace('-', " ").to_uppercase();
    let reply = log_in_with(&registry, &owner, "recovery_code", &typed).await.expect(200);
    assert_eq!(reply.json()["user"]["recovery_codes_left"], 9);
    assert_eq!(me(&registry, &owner).await["recovery_codes_left"], 9);
    assert_eq!(log_in_with(&registry, &owner, "recovery_code", &codes[3]).await.expect(401).json(), wrong_code());
    log_in_with(&registry, &owner, "recovery_code", "aaaa-aaaa-aaaa-aaaa").await.expect(401);
    log_in_with(&registry, &owner, "recovery_code", &codes[4]).await.expect(200);
    assert_eq!(registry.audited("session.started").await[0]["details"], json!({"second_factor": "recovery_code"}));
}

#[tokio::test]
async fn recovery_codes_of_one_user_are_nothing_to_another() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.user("other", "admin").await;
    let (_, codes) = registry.second_factor(&owner).await;
    let (others_secret, _) = registry.second_factor(&other).await;
    log_in_with(&registry, &other, "recovery_code", &codes[0]).await.expect(401);
    let code = registry.code(&others_secret, 0);
    log_in_with(&registry, &owner, "totp_code", &code).await.expect(401);
}

#[tokio::test]
async fn turning_it_on_takes_a_code_of_the_secret_that_was_made_last() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let nothing = request(&registry, &owner, "enable", &json!({"code": "123456"})).send().await.expect(409);
    assert_eq!(nothing.json()["error"], "No second factor was set up. Begin with POST /api/auth/2fa/setup.");
    let set_up = async || {
        let made = request(&registry, &owner, "setup", &json!({})).send().await.expect(200);
        assert_eq!(made.header("cache-control"), "no-store");
        let secret = made.json()["secret"].as_str().expect("a secret").to_owned();
        assert_eq!(secret.len(), 32);
        let uri =
            "otpauth://totp/Rostrum:owner%40example.org?secret={}&issuer=Rostrum&algorithm=SHA1&digits=6&period=30";
        assert_eq!(made.json(), json!({"secret": secret, "otpauth_uri": uri.replace("{}", &secret)}));
        secret
    };
    let (first, second) = (set_up().await, set_up().await);
    assert_ne!(first, second);
    for code in [registry.code(&first, 0), registry.code(&second, 2), "x".to_owned()] {
        let refused = request(&registry, &owner, "enable", &json!({"code": code})).send().await.expect(400);
        let detail = "is not what the app should show now. Check the app's clock and secret, and try its next code";
        assert_eq!(refused.json()["details"], json!({"code": [detail]}));
    }
    assert_eq!(me(&registry, &owner).await["two_factor_enabled"], false);
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(200);
    let body = json!({"code": registry.code(&second, 0)});
    assert_eq!(
        statuses_of_concurrent(vec![
            request(&registry, &owner, "enable", &body),
            request(&registry, &owner, "enable", &body)
        ])
        .await,
        [200, 409]
    );
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM recovery_codes"), [json!({"n": 10})]);
    for (what, body) in [("setup", json!({})), ("enable", body)] {
        let on = request(&registry, &owner, what, &body).send().await.expect(409);
        assert_eq!(on.json()["error"], "The second factor is on already. Turn it off first to use another app.");
    }
    let actions: Vec<Value> =
        registry.audited("user.two_factor").await.into_iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["user.two_factor_enabled", "user.two_factor_prepared", "user.two_factor_prepared"]);
}

#[tokio::test]
async fn the_secret_lies_sealed_to_its_user_and_the_codes_as_hashes() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let other = registry.user("other", "admin").await;
    let (secret, codes) = registry.second_factor(&owner).await;
    let rows =
        json!([registry.database.rows("SELECT * FROM users"), registry.database.rows("SELECT * FROM recovery_codes")]);
    let everything = format!("{rows} {} {}", json!(registry.audited("").await), logs::text()).to_lowercase();
    assert!(everything.contains("\"totp_secret\":\"v1."));
    for plain in codes.iter().flat_map(|code| [code.clone(), code.replace('-', "")]).chain([secret.to_lowercase()]) {
        assert!(!everything.contains(&plain), "{plain}");
    }
    registry.second_factor(&other).await;
    registry
        .database
        .execute("UPDATE users SET totp_secret = (SELECT totp_secret FROM users WHERE id = 1) WHERE id = 2");
    let moved = log_in_with(&registry, &other, "totp_code", &registry.code(&secret, 0)).await.expect(500);
    assert_eq!(moved.json()["code"], "INTERNAL_ERROR");
    assert!(logs::text().contains("it was changed or moved"));
}

#[tokio::test]
async fn without_an_encryption_key_it_cannot_be_set_up_and_says_why() {
    let registry = TestRegistry::with(|config| config.keyring = rostrum::registry::kernel::secrets::Keyring::default());
    let owner = registry.owner().await;
    let refused = request(&registry, &owner, "setup", &json!({})).send().await.expect(500);
    assert!(refused.text().contains("ENCRYPTION_KEY is not set"), "{}", refused.text());
}

#[tokio::test]
async fn turning_it_off_takes_the_password_and_a_code() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let off = request(&registry, &owner, "disable", &proof("123456")).send().await.expect(409);
    assert_eq!(off.json()["error"], "The second factor is off. Turn it on with POST /api/auth/2fa/setup and …/enable.");
    let (secret, _) = registry.second_factor(&owner).await;
    let code = registry.code(&secret, 0);
    let wrong = "is wrong, too old or was used before. Wait for the app's next code";
    let needed = "is required, or `recovery_code` instead of it";
    for (body, field, detail) in [
        (json!({"password": "wrong horse battery", "code": code}), "password", "is not the password of this account"),
        (proof("000000"), "code", wrong),
        (json!({"password": PASSWORD, "recovery_code": "aaaa-aaaa-aaaa-aaaa"}), "code", wrong),
        (json!({"password": PASSWORD}), "code", needed),
        (json!({"password": PASSWORD, "code": code, "recovery_code": "x"}), "code", needed),
    ] {
        let refused = request(&registry, &owner, "disable", &body).send().await.expect(400);
        assert_eq!(refused.json()["details"], json!({field: [detail]}), "{body}");
    }
    assert_eq!(registry.audited("login.failed").await.len(), 3);
    let requests = vec![
        request(&registry, &owner, "disable", &proof(&code)),
        request(&registry, &owner, "disable", &proof(&code)),
    ];
    let answers = statuses_of_concurrent(requests).await;
    assert!(answers == [200, 400] || answers == [200, 409], "{answers:?}");
    let view = me(&registry, &owner).await;
    assert_eq!((&view["two_factor_enabled"], &view["recovery_codes_left"]), (&json!(false), &json!(0)));
    registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(200);
    assert_eq!(registry.audited("user.two_factor_disabled").await.len(), 1);
    // And on again, with another app.
    let (again, _) = registry.second_factor(&owner).await;
    assert_ne!(again, secret);
    log_in_with(&registry, &owner, "totp_code", &registry.code(&again, 0)).await.expect(200);
}

#[tokio::test]
async fn a_recovery_code_turns_it_off_too() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (_, codes) = registry.second_factor(&owner).await;
    let body = json!({"password": PASSWORD, "recovery_code": codes[0]});
    let reply = request(&registry, &owner, "disable", &body).send().await.expect(200);
    assert_eq!(reply.json(), json!({"message": "Two-factor authentication is off"}));
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM recovery_codes"), [json!({"n": 0})]);
}

#[tokio::test]
async fn new_recovery_codes_make_the_old_ones_void() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    request(&registry, &owner, "recovery-codes", &proof("123456")).send().await.expect(409);
    let (secret, old) = registry.second_factor(&owner).await;
    request(&registry, &owner, "recovery-codes", &proof("000000")).send().await.expect(400);
    let renew = async |body: Value| -> Vec<String> {
        let reply = request(&registry, &owner, "recovery-codes", &body).send().await.expect(200);
        assert_eq!(reply.header("cache-control"), "no-store");
        serde_json::from_value(reply.json()["recovery_codes"].clone()).expect("a list")
    };
    let new = renew(proof(&registry.code(&secret, 0))).await;
    assert_eq!((new.len(), me(&registry, &owner).await["recovery_codes_left"].clone()), (10, json!(10)));
    log_in_with(&registry, &owner, "recovery_code", &old[0]).await.expect(401);
    log_in_with(&registry, &owner, "recovery_code", &new[0]).await.expect(200);
    // The last code is enough, and is spent with that.
    let last = rostrum::registry::identity::users::totp::recovery_hash(&new[1]);
    registry.database.execute(&format!("DELETE FROM recovery_codes WHERE hash <> '{last}'"));
    let newest = renew(json!({"password": PASSWORD, "recovery_code": new[1]})).await;
    assert_eq!(me(&registry, &owner).await["recovery_codes_left"], 10);
    log_in_with(&registry, &owner, "recovery_code", &new[1]).await.expect(401);
    log_in_with(&registry, &owner, "recovery_code", &newest[9]).await.expect(200);
    assert_eq!(registry.audited("user.recovery_codes_renewed").await.len(), 2);
}

#[tokio::test]
async fn a_missing_code_is_no_failure_and_wrong_ones_close_the_account() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let (secret, _) = registry.second_factor(&owner).await;
    for _ in 0..12 {
        assert_eq!(
            registry.log_in(&owner.email, PASSWORD, json!({})).await.expect(401).json()["code"],
            "TWO_FACTOR_REQUIRED"
        );
    }
    for number in 0..5 {
        log_in_with(&registry, &owner, "totp_code", &format!("00000{number}")).await.expect(401);
        // Knowing the password does not begin the count anew.
        registry.log_in(&owner.email, PASSWORD, json!({})).await;
        log_in_with(&registry, &owner, "recovery_code", "aaaa-aaaa-aaaa-aaaa").await.expect(401);
    }
    log_in_with(&registry, &owner, "totp_code", &registry.code(&secret, 0)).await.expect(429);
    let disable = request(&registry, &owner, "disable", &proof(&registry.code(&secret, 0))).send().await;
    disable.expect(429);
}

#[tokio::test]
async fn an_administrator_takes_a_lost_second_factor_away() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    registry.second_factor(&user).await;
    let path = format!("/api/users/{}", user.id);
    let view = registry.get(&path).bearer(ADMIN).send().await.expect(200).json();
    assert_eq!((&view["two_factor_enabled"], &view["recovery_codes_left"]), (&json!(true), &json!(10)));
    let body = json!({"two_factor_enabled": false});
    let view = registry.patch(&path).bearer(ADMIN).json(&body).send().await.expect(200).json();
    assert_eq!((&view["two_factor_enabled"], &view["recovery_codes_left"]), (&json!(false), &json!(0)));
    registry.log_in(&user.email, PASSWORD, json!({})).await.expect(200);
    assert_eq!(registry.database.rows("SELECT totp_secret FROM users"), [json!({"totp_secret": null})]);
}
