//! Invitations and links to a new password.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, Ask, DAWN, PASSWORD, Reply, World, statuses_at_once, token_of};

const NEW: &str = "another horse battery";
const DAY: u64 = 24 * 3600;

fn invitation(world: &World, by: &str, email: &str, role: &str) -> Ask {
    world.post("/api/invitations").bearer(by).json(&json!({"email": email, "role": role}))
}

fn accept(world: &World, token: &str) -> Ask {
    let body = json!({"token": token, "name": " Grace ", "password": PASSWORD});
    world.post("/api/auth/accept-invitation").json(&body)
}

async fn open(world: &World) -> Vec<Value> {
    let reply = world.get("/api/invitations").bearer(ADMIN).send().await.expect(200);
    let list = reply.json().as_array().expect("a list").clone();
    assert_eq!(reply.header("x-total-count"), list.len().to_string());
    list
}

fn reset_link(world: &World, by: &str, id: &str) -> Ask {
    world.post(&format!("/api/users/{id}/reset-link")).bearer(by)
}

fn reset(world: &World, token: &str, password: &str) -> Ask {
    world.post("/api/auth/reset").json(&json!({"token": token, "password": password}))
}

#[track_caller]
fn not_valid(reply: Reply, what: &str) {
    let error = format!("This {what} is not valid: it is mistyped, has ended or was used before. Ask for a new one.");
    assert_eq!(reply.expect(404).json(), json!({"error": error, "code": "NOT_FOUND", "details": {}}));
}

#[tokio::test]
async fn an_invitation_makes_the_user_it_names() {
    let world = World::new();
    let owner = world.owner().await;
    let made = invitation(&world, &owner.token, " Grace@Example.org", "member").send().await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let token = token_of(&made);
    assert!(token.starts_with("rsi_"));
    let mut view = json!({
        "id": made.id(), "email": "grace@example.org", "role": "member", "created_at": DAWN.seconds(),
        "expires_at": DAWN.seconds() + 7 * 24 * 3600,
    });
    assert_eq!(open(&world).await, [view.clone()]);
    view["token"] = json!(token);
    view["link"] = json!(format!("https://registry.test/account/#{token}"));
    assert_eq!(made.json(), view);
    let stored = world.database.rows("SELECT hash FROM invitations");
    assert_eq!(stored, [json!({"hash": hex::encode(Sha256::digest(&token))})]);
    world.get("/api/auth/me").bearer(&token).send().await.expect(401);

    let user = accept(&world, &token).send().await.expect(201).json();
    let expected = json!({
        "id": user["id"], "email": "grace@example.org", "name": "Grace", "role": "member", "blocked": false,
        "two_factor_enabled": false, "recovery_codes_left": 0, "created_at": DAWN.seconds(), "last_login_at": null,
    });
    assert_eq!(user, expected);
    world.session("grace@example.org").await;
    assert_eq!(open(&world).await, Vec::<Value>::new());
    not_valid(accept(&world, &token).send().await, "invitation");
    let entries = world.audited("invitation.").await;
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
    let world = World::with(|config| config.public_url = Some("https://packages.example.org".to_owned()));
    let made = invitation(&world, ADMIN, "grace@example.org", "owner").send().await.expect(201);
    let link = made.json()["link"].as_str().expect("a link").to_owned();
    assert_eq!(link, format!("https://packages.example.org/account/#{}", token_of(&made)));
}

#[tokio::test]
async fn one_invitation_accepted_twice_at_once_makes_one_user() {
    let world = World::new();
    let token = token_of(&invitation(&world, ADMIN, "grace@example.org", "viewer").send().await.expect(201));
    assert_eq!(statuses_at_once(vec![accept(&world, &token), accept(&world, &token)]).await, [201, 404]);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM users"), [json!({"n": 1})]);
    assert_eq!(world.audited("invitation.accepted").await.len(), 1);
}

#[tokio::test]
async fn an_address_has_one_open_invitation_and_no_user_yet() {
    let world = World::new();
    let owner = world.owner().await;
    let error = "A user with this e-mail address exists already. Change that one instead.";
    let is_user = json!({"error": error, "code": "CONFLICT", "details": {}});
    assert_eq!(invitation(&world, ADMIN, &owner.email, "viewer").send().await.expect(409).json(), is_user);
    let ask = || invitation(&world, ADMIN, "grace@example.org", "viewer");
    assert_eq!(statuses_at_once(vec![ask(), ask()]).await, [201, 409]);
    let again = ask().send().await.expect(409).json();
    let error = "This e-mail address has an open invitation already. Revoke that one first to make another.";
    assert_eq!(again, json!({"error": error, "code": "CONFLICT", "details": {}}));
    assert_eq!(world.audited("invitation.created").await.len(), 1);
    world.advance_seconds(7 * DAY);
    let token = token_of(&ask().send().await.expect(201));
    // Meanwhile the user is made otherwise.
    world.user("grace", "member").await;
    assert_eq!(accept(&world, &token).send().await.expect(409).json(), is_user);
}

#[tokio::test]
async fn an_invitation_that_is_not_open_is_refused_in_the_same_words() {
    let world = World::new();
    let made = invitation(&world, ADMIN, "grace@example.org", "viewer").send().await.expect(201);
    let token = token_of(&made);
    let access = world.reader().await;
    for other in ["", "x", &token[..49], &access, &token.replace("rsi_", "rsr_")] {
        not_valid(accept(&world, other).send().await, "invitation");
    }
    world.advance_seconds(7 * DAY - 1);
    let short = json!({"token": token, "name": "Grace", "password": "short"});
    world.post("/api/auth/accept-invitation").json(&short).send().await.expect(400);
    let address = json!({"token": token, "name": "Grace", "password": "Grace@Example.org"});
    world.post("/api/auth/accept-invitation").json(&address).send().await.expect(400);
    world.advance_seconds(1);
    not_valid(accept(&world, &token).send().await, "invitation");
    assert_eq!(open(&world).await, Vec::<Value>::new());
    world.delete(&format!("/api/invitations/{}", made.id())).bearer(ADMIN).send().await.expect(404);

    let made = invitation(&world, ADMIN, "grace@example.org", "viewer").send().await.expect(201);
    let path = format!("/api/invitations/{}", made.id());
    let revoked = world.delete(&path).bearer(ADMIN).send().await.expect(200);
    assert_eq!(revoked.json(), json!({"message": "Invitation revoked"}));
    not_valid(accept(&world, &token_of(&made)).send().await, "invitation");
    let gone = world.delete(&path).bearer(ADMIN).send().await.expect(404);
    assert_eq!(gone.json(), json!({"error": "Invitation not found", "code": "NOT_FOUND", "details": {}}));
    assert_eq!(world.audited("invitation.revoked").await.len(), 1);
    assert_eq!(world.database.rows("SELECT count(*) AS n FROM users"), [json!({"n": 0})]);
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
        let world = World::new();
        world.owner().await;
        let admin = world.user("admin", "admin").await;
        let user = world.user("user", "member").await;
        let invited = token_of(&invitation(&world, &admin.token, "x@example.org", "viewer").send().await.expect(201));
        let link = token_of(&reset_link(&world, &admin.token, &user.id).send().await.expect(201));
        let path = format!("/api/users/{}", admin.id);
        match &change {
            Some(body) => world.patch(&path).bearer(ADMIN).json(body).send().await.expect(200),
            None => world.delete(&path).bearer(ADMIN).send().await.expect(200),
        };
        assert_eq!(open(&world).await.len(), usize::from(is_good), "{change:?}");
        assert_eq!(accept(&world, &invited).send().await.status, if is_good { 201 } else { 404 }, "{change:?}");
        assert_eq!(reset(&world, &link, NEW).send().await.status, if is_good { 200 } else { 404 }, "{change:?}");
    }
    // An owner's link is worth no more than an admin's once its issuer is one.
    let world = World::new();
    world.owner().await;
    let issuer = world.user("issuer", "owner").await;
    let second = world.user("second", "owner").await;
    let invited = token_of(&invitation(&world, &issuer.token, "x@example.org", "owner").send().await.expect(201));
    let link = token_of(&reset_link(&world, &issuer.token, &second.id).send().await.expect(201));
    let path = format!("/api/users/{}", issuer.id);
    world.patch(&path).bearer(ADMIN).json(&json!({"role": "admin"})).send().await.expect(200);
    not_valid(accept(&world, &invited).send().await, "invitation");
    not_valid(reset(&world, &link, NEW).send().await, "link");
}

#[tokio::test]
async fn a_link_lets_a_user_choose_a_new_password() {
    let world = World::new();
    let owner = world.owner().await;
    let user = world.user("user", "member").await;
    let made = reset_link(&world, &owner.token, &user.id).send().await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let token = token_of(&made);
    assert!(token.starts_with("rsr_"));
    let expected = json!({
        "link": format!("https://registry.test/account/#{token}"), "token": token,
        "expires_at": DAWN.seconds() + 24 * 3600,
    });
    assert_eq!(made.json(), expected);
    let stored = world.database.rows("SELECT hash FROM password_resets");
    assert_eq!(stored, [json!({"hash": hex::encode(Sha256::digest(&token))})]);
    world.get("/api/auth/me").bearer(&token).send().await.expect(401);
    for (password, detail) in
        [("short", "must hold 12 to 1024 bytes"), ("USER@example.org", "must not be the e-mail address")]
    {
        let refused = reset(&world, &token, password).send().await.expect(400);
        assert_eq!(refused.json()["details"], json!({"password": [detail]}));
    }
    world.cache.lag();
    let done = reset(&world, &format!(" {token}\n"), NEW).send().await.expect(200);
    assert_eq!(done.json(), json!({"message": "Password set"}));
    world.another_isolate().get("/api/auth/me").bearer(&user.token).send().await.expect(401);
    world.log_in(&user.email, PASSWORD, json!({})).await.expect(401);
    world.log_in(&user.email, NEW, json!({})).await.expect(200);
    not_valid(reset(&world, &token, NEW).send().await, "link");
    let entries = world.audited("user.").await;
    assert_eq!(
        (&entries[0]["action"], &entries[1]["action"]),
        (&json!("user.password_reset"), &json!("user.reset_link_issued"))
    );
    assert_eq!((&entries[0]["target"], &entries[1]["target"]), (&json!(user.id), &json!(user.id)));
    assert!(!json!(entries).to_string().contains(&token[4..]));
}

#[tokio::test]
async fn one_link_used_twice_at_once_sets_one_password() {
    let world = World::new();
    let user = world.user("user", "member").await;
    let token = token_of(&reset_link(&world, ADMIN, &user.id).send().await.expect(201));
    let (first, second) = ("first horse battery", "second horse battery");
    assert_eq!(statuses_at_once(vec![reset(&world, &token, first), reset(&world, &token, second)]).await, [200, 404]);
    let good = [
        world.log_in(&user.email, first, json!({})).await.status,
        world.log_in(&user.email, second, json!({})).await.status,
    ];
    assert!(good == [200, 401] || good == [401, 200], "{good:?}");
    assert_eq!(world.audited("user.password_reset").await.len(), 1);
}

#[tokio::test]
async fn a_link_that_is_not_good_is_refused_in_the_same_words() {
    let world = World::new();
    let user = world.user("user", "member").await;
    let issue = async || token_of(&reset_link(&world, ADMIN, &user.id).send().await.expect(201));
    let first = issue().await;
    let second = issue().await;
    for token in [first.as_str(), "", "x", &second.replace("rsr_", "rsi_")] {
        not_valid(reset(&world, token, NEW).send().await, "link");
    }
    world.advance_seconds(DAY);
    not_valid(reset(&world, &second, NEW).send().await, "link");
    // A password that was changed otherwise takes the link away.
    let third = issue().await;
    let session = world.session(&user.email).await;
    let body = json!({"current_password": PASSWORD, "password": NEW});
    world.post("/api/auth/password").bearer(&session).json(&body).send().await.expect(200);
    not_valid(reset(&world, &third, PASSWORD).send().await, "link");
    // And nobody gets one, or uses one, while they are blocked.
    let fourth = issue().await;
    let path = format!("/api/users/{}", user.id);
    world.patch(&path).bearer(ADMIN).json(&json!({"blocked": true})).send().await.expect(200);
    not_valid(reset(&world, &fourth, PASSWORD).send().await, "link");
    let blocked = reset_link(&world, ADMIN, &user.id).send().await.expect(409);
    let error = "This user is blocked. Unblock the user first.";
    assert_eq!(blocked.json(), json!({"error": error, "code": "CONFLICT", "details": {}}));
}

#[tokio::test]
async fn a_new_password_lets_a_locked_out_user_in_and_leaves_the_second_factor() {
    let world = World::new();
    let user = world.user("user", "member").await;
    let (secret, _) = world.second_factor(&user).await;
    for _ in 0..11 {
        world.log_in(&user.email, "wrong horse battery", json!({})).await;
    }
    world.log_in(&user.email, PASSWORD, json!({})).await.expect(429);
    let token = token_of(&reset_link(&world, ADMIN, &user.id).send().await.expect(201));
    reset(&world, &token, NEW).send().await.expect(200);
    assert_eq!(world.log_in(&user.email, NEW, json!({})).await.expect(401).json()["code"], "TWO_FACTOR_REQUIRED");
    world.log_in(&user.email, NEW, json!({"totp_code": world.code(&secret, 0)})).await.expect(200);
}

#[tokio::test]
async fn links_are_the_managers_business() {
    let world = World::new();
    let user = world.user("user", "member").await;
    for token in [&user.token, &world.reader().await] {
        invitation(&world, token, "x@example.org", "viewer").send().await.expect(403);
        reset_link(&world, token, &user.id).send().await.expect(403);
        world.delete("/api/invitations/x").bearer(token).send().await.expect(403);
    }
    for (body, field) in [
        (json!({"email": "x", "role": "viewer"}), "email"),
        (json!({"email": "x@example.org", "role": "root"}), "role"),
        (json!({"email": "x@example.org", "role": "viewer", "name": "X"}), "name"),
    ] {
        let refused = world.post("/api/invitations").bearer(ADMIN).json(&body).send().await.expect(400);
        assert!(refused.json()["details"][field].is_array(), "{body}");
    }
}
