//! Invitations and links to a new password.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    ADMIN, PASSWORD, START, TestRegistry, TestRequest, TestResponse, statuses_of_concurrent, token_of,
};

const NEW: &str = "another horse battery";
const DAY: u64 = 24 * 3600;

fn invitation(registry: &TestRegistry, by: &str, email: &str, role: &str) -> TestRequest {
    registry.post("/api/invitations").bearer(by).json(&json!({"email": email, "role": role}))
}

fn accept(registry: &TestRegistry, token: &str) -> TestRequest {
    let body = json!({"token": token, "name": " Grace ", "password": PASSWORD});
    registry.post("/api/auth/accept-invitation").json(&body)
}

async fn open(registry: &TestRegistry) -> Vec<Value> {
    let reply = registry.get("/api/invitations").bearer(ADMIN).send().await.expect(200);
    let list = reply.json().as_array().expect("a list").clone();
    assert_eq!(reply.header("x-total-count"), list.len().to_string());
    list
}

fn reset_link(registry: &TestRegistry, by: &str, id: &str) -> TestRequest {
    registry.post(&format!("/api/users/{id}/reset-link")).bearer(by)
}

fn reset(registry: &TestRegistry, token: &str, password: &str) -> TestRequest {
    registry.post("/api/auth/reset").json(&json!({"token": token, "password": password}))
}

#[track_caller]
fn not_valid(reply: TestResponse, what: &str) {
    let error = format!("This {what} is not valid: it is mistyped, has ended or was used before. Ask for a new one.");
    assert_eq!(reply.expect(404).json(), json!({"error": error, "code": "NOT_FOUND", "details": {}}));
}

#[tokio::test]
async fn an_invitation_makes_the_user_it_names() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let made = invitation(&registry, &owner.token, " Grace@Example.org", "member").send().await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let token = token_of(&made);
    assert!(token.starts_with("rsi_"));
    let mut view = json!({
        "id": made.id(), "email": "grace@example.org", "role": "member", "created_at": START.seconds(),
        "expires_at": START.seconds() + 7 * 24 * 3600,
    });
    assert_eq!(open(&registry).await, [view.clone()]);
    view["token"] = json!(token);
    view["link"] = json!(format!("https://registry.test/account/#{token}"));
    assert_eq!(made.json(), view);
    let stored = registry.database.rows("SELECT hash FROM invitations");
    assert_eq!(stored, [json!({"hash": hex::encode(Sha256::digest(&token))})]);
    registry.get("/api/auth/me").bearer(&token).send().await.expect(401);

    let user = accept(&registry, &token).send().await.expect(201).json();
    let expected = json!({
        "id": user["id"], "email": "grace@example.org", "name": "Grace", "role": "member", "blocked": false,
        "two_factor_enabled": false, "recovery_codes_left": 0, "created_at": START.seconds(), "last_login_at": null,
    });
    assert_eq!(user, expected);
    registry.session("grace@example.org").await;
    assert_eq!(open(&registry).await, Vec::<Value>::new());
    not_valid(accept(&registry, &token).send().await, "invitation");
    let entries = registry.audited("invitation.").await;
    assert_eq!(
        (&entries[0]["action"], &entries[1]["action"]),
        (&json!("invitation.accepted"), &json!("invitation.created"))
    );
    assert_eq!(entries[0]["actor"], json!(format!("user:{}", user["id"].as_str().expect("an id"))));
    assert_eq!(entries[0]["details"], json!({"role": "member", "user": user["id"]}));
    assert_eq!(
        (&entries[1]["actor"], &entries[1]["label"]),
        (&json!(format!("user:{}", owner.id)), &json!("grace@example.org"))
    );
    assert!(!json!(entries).to_string().contains(&token[4..]));
}

#[tokio::test]
async fn the_public_url_is_the_links_origin_where_it_is_set() {
    let registry = TestRegistry::with(|config| config.public_url = Some("https://packages.example.org".to_owned()));
    let made = invitation(&registry, ADMIN, "grace@example.org", "owner").send().await.expect(201);
    let link = made.json()["link"].as_str().expect("a link").to_owned();
    assert_eq!(link, format!("https://packages.example.org/account/#{}", token_of(&made)));
}

#[tokio::test]
async fn one_invitation_accepted_twice_at_once_makes_one_user() {
    let registry = TestRegistry::new();
    let token = token_of(&invitation(&registry, ADMIN, "grace@example.org", "viewer").send().await.expect(201));
    assert_eq!(statuses_of_concurrent(vec![accept(&registry, &token), accept(&registry, &token)]).await, [201, 404]);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM users"), [json!({"n": 1})]);
    assert_eq!(registry.audited("invitation.accepted").await.len(), 1);
}

#[tokio::test]
async fn an_address_has_one_open_invitation_and_no_user_yet() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let error = "A user with this e-mail address exists already. Change that one instead.";
    let is_user = json!({"error": error, "code": "CONFLICT", "details": {}});
    assert_eq!(invitation(&registry, ADMIN, &owner.email, "viewer").send().await.expect(409).json(), is_user);
    let request = || invitation(&registry, ADMIN, "grace@example.org", "viewer");
    assert_eq!(statuses_of_concurrent(vec![request(), request()]).await, [201, 409]);
    let again = request().send().await.expect(409).json();
    let error = "This e-mail address has an open invitation already. Revoke that one first to make another.";
    assert_eq!(again, json!({"error": error, "code": "CONFLICT", "details": {}}));
    assert_eq!(registry.audited("invitation.created").await.len(), 1);
    registry.advance_seconds(7 * DAY);
    let token = token_of(&request().send().await.expect(201));
    // Meanwhile the user is made otherwise.
    registry.user("grace", "member").await;
    assert_eq!(accept(&registry, &token).send().await.expect(409).json(), is_user);
}

#[tokio::test]
async fn an_invitation_that_is_not_open_is_refused_in_the_same_words() {
    let registry = TestRegistry::new();
    let made = invitation(&registry, ADMIN, "grace@example.org", "viewer").send().await.expect(201);
    let token = token_of(&made);
    let access = registry.reader().await;
    for other in ["", "x", &token[..49], &access, &token.replace("rsi_", "rsr_")] {
        not_valid(accept(&registry, other).send().await, "invitation");
    }
    registry.advance_seconds(7 * DAY - 1);
    let short = json!({"token": token, "name": "Grace", "password": "short"});
    registry.post("/api/auth/accept-invitation").json(&short).send().await.expect(400);
    let address = json!({"token": token, "name": "Grace", "password": "Grace@Example.org"});
    registry.post("/api/auth/accept-invitation").json(&address).send().await.expect(400);
    registry.advance_seconds(1);
    not_valid(accept(&registry, &token).send().await, "invitation");
    assert_eq!(open(&registry).await, Vec::<Value>::new());
    registry.delete(&format!("/api/invitations/{}", made.id())).bearer(ADMIN).send().await.expect(404);

    let made = invitation(&registry, ADMIN, "grace@example.org", "viewer").send().await.expect(201);
    let path = format!("/api/invitations/{}", made.id());
    let revoked = registry.delete(&path).bearer(ADMIN).send().await.expect(200);
    assert_eq!(revoked.json(), json!({"message": "Invitation revoked"}));
    not_valid(accept(&registry, &token_of(&made)).send().await, "invitation");
    let gone = registry.delete(&path).bearer(ADMIN).send().await.expect(404);
    assert_eq!(gone.json(), json!({"error": "Invitation not found", "code": "NOT_FOUND", "details": {}}));
    assert_eq!(registry.audited("invitation.revoked").await.len(), 1);
    assert_eq!(registry.database.rows("SELECT count(*) AS n FROM users"), [json!({"n": 0})]);
}

#[tokio::test]
async fn a_link_can_do_no_more_than_whoever_issued_it_still_may() {
    for (change, is_good) in [
        (Some(json!({"name": "New"})), true),
        (Some(json!({"role": "admin"})), true),
        (Some(json!({"role": "member"})), false),
        (Some(json!({"blocked": true})), false),
        (None, false),
    ] {
        let registry = TestRegistry::new();
        registry.owner().await;
        let admin = registry.user("admin", "admin").await;
        let user = registry.user("user", "member").await;
        let invited =
            token_of(&invitation(&registry, &admin.token, "x@example.org", "viewer").send().await.expect(201));
        let link = token_of(&reset_link(&registry, &admin.token, &user.id).send().await.expect(201));
        let path = format!("/api/users/{}", admin.id);
        match &change {
            Some(body) => registry.patch(&path).bearer(ADMIN).json(body).send().await.expect(200),
            None => registry.delete(&path).bearer(ADMIN).send().await.expect(200),
        };
        assert_eq!(open(&registry).await.len(), usize::from(is_good), "{change:?}");
        assert_eq!(accept(&registry, &invited).send().await.status, if is_good { 201 } else { 404 }, "{change:?}");
        assert_eq!(reset(&registry, &link, NEW).send().await.status, if is_good { 200 } else { 404 }, "{change:?}");
    }
    // An owner's link is worth no more than an admin's once its issuer is one.
    let registry = TestRegistry::new();
    registry.owner().await;
    let issuer = registry.user("issuer", "owner").await;
    let second = registry.user("second", "owner").await;
    let invited = token_of(&invitation(&registry, &issuer.token, "x@example.org", "owner").send().await.expect(201));
    let link = token_of(&reset_link(&registry, &issuer.token, &second.id).send().await.expect(201));
    let path = format!("/api/users/{}", issuer.id);
    registry.patch(&path).bearer(ADMIN).json(&json!({"role": "admin"})).send().await.expect(200);
    not_valid(accept(&registry, &invited).send().await, "invitation");
    not_valid(reset(&registry, &link, NEW).send().await, "link");
}

#[tokio::test]
async fn a_link_lets_a_user_choose_a_new_password() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let user = registry.user("user", "member").await;
    let made = reset_link(&registry, &owner.token, &user.id).send().await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let token = token_of(&made);
    assert!(token.starts_with("rsr_"));
    let expected = json!({
        "link": format!("https://registry.test/account/#{token}"), "token": token,
        "expires_at": START.seconds() + 24 * 3600,
    });
    assert_eq!(made.json(), expected);
    let stored = registry.database.rows("SELECT hash FROM password_resets");
    assert_eq!(stored, [json!({"hash": hex::encode(Sha256::digest(&token))})]);
    registry.get("/api/auth/me").bearer(&token).send().await.expect(401);
    for (password, detail) in
        [("short", "must hold 12 to 1024 bytes"), ("USER@example.org", "must not be the e-mail address")]
    {
        let refused = reset(&registry, &token, password).send().await.expect(400);
        assert_eq!(refused.json()["details"], json!({"password": [detail]}));
    }
    registry.cache.delay_propagation();
    let done = reset(&registry, &format!(" {token}\n"), NEW).send().await.expect(200);
    assert_eq!(done.json(), json!({"message": "Password set"}));
    registry.another_isolate().get("/api/auth/me").bearer(&user.token).send().await.expect(401);
    registry.log_in(&user.email, PASSWORD, json!({})).await.expect(401);
    registry.log_in(&user.email, NEW, json!({})).await.expect(200);
    not_valid(reset(&registry, &token, NEW).send().await, "link");
    let entries = registry.audited("user.").await;
    assert_eq!(
        (&entries[0]["action"], &entries[1]["action"]),
        (&json!("user.password_reset"), &json!("user.reset_link_issued"))
    );
    assert_eq!((&entries[0]["target"], &entries[1]["target"]), (&json!(user.id), &json!(user.id)));
    assert!(!json!(entries).to_string().contains(&token[4..]));
}

#[tokio::test]
async fn one_link_used_twice_at_once_sets_one_password() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    let token = token_of(&reset_link(&registry, ADMIN, &user.id).send().await.expect(201));
    let (first, second) = ("first horse battery", "second horse battery");
    assert_eq!(
        statuses_of_concurrent(vec![reset(&registry, &token, first), reset(&registry, &token, second)]).await,
        [200, 404]
    );
    let good = [
        registry.log_in(&user.email, first, json!({})).await.status,
        registry.log_in(&user.email, second, json!({})).await.status,
    ];
    assert!(good == [200, 401] || good == [401, 200], "{good:?}");
    assert_eq!(registry.audited("user.password_reset").await.len(), 1);
}

#[tokio::test]
async fn a_link_that_is_not_good_is_refused_in_the_same_words() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    let issue = async || token_of(&reset_link(&registry, ADMIN, &user.id).send().await.expect(201));
    let first = issue().await;
    let second = issue().await;
    for token in [first.as_str(), "", "x", &second.replace("rsr_", "rsi_")] {
        not_valid(reset(&registry, token, NEW).send().await, "link");
    }
    registry.advance_seconds(DAY);
    not_valid(reset(&registry, &second, NEW).send().await, "link");
    // A password that was changed otherwise takes the link away.
    let third = issue().await;
    let session = registry.session(&user.email).await;
    let body = json!({"current_password": PASSWORD, "password": NEW});
    registry.post("/api/auth/password").bearer(&session).json(&body).send().await.expect(200);
    not_valid(reset(&registry, &third, PASSWORD).send().await, "link");
    // And nobody gets one, or uses one, while they are blocked.
    let fourth = issue().await;
    let path = format!("/api/users/{}", user.id);
    registry.patch(&path).bearer(ADMIN).json(&json!({"blocked": true})).send().await.expect(200);
    not_valid(reset(&registry, &fourth, PASSWORD).send().await, "link");
    let blocked = reset_link(&registry, ADMIN, &user.id).send().await.expect(409);
    let error = "This user is blocked. Unblock the user first.";
    assert_eq!(blocked.json(), json!({"error": error, "code": "CONFLICT", "details": {}}));
}

#[tokio::test]
async fn a_new_password_lets_a_locked_out_user_in_and_leaves_the_second_factor() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    let (secret, _) = registry.second_factor(&user).await;
    for _ in 0..11 {
        registry.log_in(&user.email, "wrong horse battery", json!({})).await;
    }
    registry.log_in(&user.email, PASSWORD, json!({})).await.expect(429);
    let token = token_of(&reset_link(&registry, ADMIN, &user.id).send().await.expect(201));
    reset(&registry, &token, NEW).send().await.expect(200);
    assert_eq!(registry.log_in(&user.email, NEW, json!({})).await.expect(401).json()["code"], "TWO_FACTOR_REQUIRED");
    registry.log_in(&user.email, NEW, json!({"totp_code": registry.code(&secret, 0)})).await.expect(200);
}

#[tokio::test]
async fn links_are_the_managers_business() {
    let registry = TestRegistry::new();
    let user = registry.user("user", "member").await;
    for token in [&user.token, &registry.reader().await] {
        invitation(&registry, token, "x@example.org", "viewer").send().await.expect(403);
        reset_link(&registry, token, &user.id).send().await.expect(403);
        registry.delete("/api/invitations/x").bearer(token).send().await.expect(403);
    }
    for (body, field) in [
        (json!({"email": "x", "role": "viewer"}), "email"),
        (json!({"email": "x@example.org", "role": "root"}), "role"),
        (json!({"email": "x@example.org", "role": "viewer", "name": "X"}), "name"),
    ] {
        let refused = registry.post("/api/invitations").bearer(ADMIN).json(&body).send().await.expect(400);
        assert!(refused.json()["details"][field].is_array(), "{body}");
    }
}
