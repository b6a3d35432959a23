//! First set-up, and `/api/users`: every field, every role, and that nobody rises above themselves.

use serde_json::{Value, json};

use crate::support::{
    ADMIN, PASSWORD, START, TestRegistry, TestRequest, TestResponse, TestUser, statuses_of_concurrent,
};

/// How a user reads who was made from `{"email": …, "name": …, "role": …}` and never logged in.
fn fresh(id: &str, email: &str, name: &str, role: &str) -> Value {
    json!({
        "id": id, "email": email, "name": name, "role": role, "blocked": false, "two_factor_enabled": false,
        "recovery_codes_left": 0, "created_at": START.seconds(), "last_login_at": null,
    })
}

fn spec(email: &str, role: &str) -> Value {
    json!({"email": email, "name": "Somebody", "role": role, "password": PASSWORD})
}

async fn change(registry: &TestRegistry, by: &str, id: &str, body: &Value) -> TestResponse {
    registry.patch(&format!("/api/users/{id}")).bearer(by).json(body).send().await
}

fn users(registry: &TestRegistry) -> Vec<Value> {
    registry.database.rows(
        "SELECT u.email, m.role, u.blocked_at IS NOT NULL AS blocked
           FROM users u LEFT JOIN memberships m ON m.user_id = u.id ORDER BY u.id",
    )
}

#[tokio::test]
async fn the_first_owner_is_made_with_the_admin_token_and_only_once() {
    let registry = TestRegistry::new();
    let required = async || registry.get("/api/auth/setup").send().await.expect(200).json();
    assert_eq!(required().await, json!({"setup_required": true}));
    let body = json!({"email": " Ada@Example.ORG ", "name": " Ada ", "password": PASSWORD});
    let (_, writer) = registry.token(&json!({"description": "a", "permissions": "write"})).await;
    registry.post("/api/auth/setup").json(&body).send().await.expect(401);
    let refused = registry.post("/api/auth/setup").bearer(&writer).json(&body).send().await.expect(403);
    assert_eq!(refused.json(), json!({"error": "Only ADMIN_TOKEN may do this.", "code": "FORBIDDEN", "details": {}}));
    assert_eq!(users(&registry), Vec::<Value>::new());

    let made = registry.post("/api/auth/setup").bearer(ADMIN).json(&body).send().await.expect(201);
    assert_eq!(made.json(), fresh(&made.id(), "ada@example.org", "Ada", "owner"));
    assert_eq!(required().await, json!({"setup_required": false}));
    let other = json!({"email": "eve@example.org", "name": "Eve", "password": PASSWORD});
    let again = registry.post("/api/auth/setup").bearer(ADMIN).json(&other).send().await.expect(409);
    let error = "There is an owner already. Log in, or have an owner invite you.";
    assert_eq!(again.json(), json!({"error": error, "code": "CONFLICT", "details": {}}));
    assert_eq!(users(&registry).len(), 1);
    let entries = registry.audited("user.").await;
    assert_eq!(entries.len(), 1);
    assert_eq!((&entries[0]["actor"], &entries[0]["action"]), (&json!("admin"), &json!("user.created")));
    assert_eq!((&entries[0]["target"], &entries[0]["label"]), (&json!(made.id()), &json!("ada@example.org")));
    assert_eq!(entries[0]["details"], json!({"role": "owner", "name": "Ada"}));
}

#[tokio::test]
async fn an_owner_cannot_set_the_registry_up_again() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let body = json!({"email": "eve@example.org", "name": "Eve", "password": PASSWORD});
    registry.post("/api/auth/setup").bearer(&owner.token).json(&body).send().await.expect(403);
}

#[tokio::test]
async fn two_set_ups_at_once_are_one_owner_and_one_conflict() {
    for same_address in [true, false] {
        let registry = TestRegistry::new();
        let request = |email: &str| {
            let body = json!({"email": email, "name": "Ada", "password": PASSWORD});
            registry.post("/api/auth/setup").bearer(ADMIN).json(&body)
        };
        let second = if same_address { "a@example.org" } else { "b@example.org" };
        assert_eq!(statuses_of_concurrent([request("a@example.org"), request(second)]).await, [201, 409]);
        assert_eq!(users(&registry).len(), 1);
        assert_eq!(registry.audited("user.").await.len(), 1);
    }
}

#[tokio::test]
async fn every_wrong_field_of_a_user_is_named_and_nothing_is_made() {
    let registry = TestRegistry::new();
    let long = "x".repeat(1025);
    for (field, value, detail) in [
        ("email", json!("ada"), "is not an e-mail address like `ada@example.org`"),
        ("email", json!(format!("{}@example.org", "a".repeat(300))), "must not be longer than 254 bytes"),
        ("email", json!(null), "invalid type: null, expected a string"),
        ("name", json!(" \t "), "must hold 1 to 200 characters, without control characters"),
        ("name", json!("a\u{0}b"), "must hold 1 to 200 characters, without control characters"),
        ("name", json!("ä".repeat(201)), "must hold 1 to 200 characters, without control characters"),
        ("role", json!("root"), "unknown variant `root`, expected one of `owner`, `admin`, `member`, `viewer`"),
        ("password", json!("elevenbytes"), "must hold 12 to 1024 bytes"),
        ("password", json!(long), "must hold 12 to 1024 bytes"),
        ("password", json!("SOMEBODY@example.org"), "must not be the e-mail address"),
        ("password", json!(123_456_789_012_i64), "must be text"),
        ("blocked", json!(true), "unknown field"),
    ] {
        let mut body = spec("somebody@example.org", "member");
        body[field] = value;
        let reply = registry.post("/api/users").bearer(ADMIN).json(&body).send().await.expect(400);
        assert_eq!(reply.json()["details"], json!({field: [detail]}), "{field}");
        assert_eq!(reply.json()["code"], "INVALID_REQUEST");
        assert!(!reply.text().contains("123456789012"));
    }
    let reply = registry.post("/api/users").bearer(ADMIN).json(&json!({"a": 1, "b": 2})).send().await.expect(400);
    assert_eq!(reply.json()["details"], json!({"email": ["is missing"]}));
    assert_eq!(users(&registry), Vec::<Value>::new());
    assert_eq!(registry.audited("user.").await, Vec::<Value>::new());
}

#[tokio::test]
async fn users_are_made_read_listed_and_removed() {
    let registry = TestRegistry::new();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let body = spec(&format!("{name}@example.org"), "member");
        ids.push(registry.post("/api/users").bearer(ADMIN).json(&body).send().await.expect(201).id());
    }
    let page = registry.get("/api/users?limit=2&offset=1").bearer(ADMIN).send().await.expect(200);
    assert_eq!(page.header("x-total-count"), "3");
    let (b, a) =
        (fresh(&ids[1], "b@example.org", "Somebody", "member"), fresh(&ids[0], "a@example.org", "Somebody", "member"));
    assert_eq!(page.json(), json!([b, a]));
    registry.get("/api/users?colour=red").bearer(ADMIN).send().await.expect(400);
    let path = format!("/api/users/{}", ids[0]);
    assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(200).json(), a);
    let removed = registry.delete(&path).bearer(ADMIN).send().await.expect(200);
    assert_eq!(removed.json(), json!({"message": "User removed"}));
    let not_found = json!({"error": "User not found", "code": "NOT_FOUND", "details": {}});
    for path in [&path, "/api/users/nobody"] {
        for request in [
            registry.get(path),
            registry.delete(path),
            registry.patch(path).json(&json!({})),
            registry.post(&format!("{path}/reset-link")),
        ] {
            assert_eq!(request.bearer(ADMIN).send().await.expect(404).json(), not_found);
        }
    }
    let actions: Vec<Value> =
        registry.audited("user.").await.into_iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["user.removed", "user.created", "user.created", "user.created"]);
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let registry = TestRegistry::new();
    let made =
        registry.post("/api/users").bearer(ADMIN).json(&spec("a@example.org", "member")).send().await.expect(201);
    let id = made.id();
    let mut expected = made.json();
    for (body, field, value) in [
        (json!({}), "id", json!(id)),
        (json!({"name": " New "}), "name", json!("New")),
        (json!({"email": "B@example.org"}), "email", json!("b@example.org")),
        (json!({"role": "viewer"}), "role", json!("viewer")),
        (json!({"blocked": true}), "blocked", json!(true)),
        (json!({"blocked": null}), "blocked", json!(true)),
        (json!({"blocked": false}), "blocked", json!(false)),
        (json!({"two_factor_enabled": false}), "two_factor_enabled", json!(false)),
    ] {
        expected[field] = value;
        assert_eq!(change(&registry, ADMIN, &id, &body).await.expect(200).json(), expected, "{body}");
        let path = format!("/api/users/{id}");
        assert_eq!(registry.get(&path).bearer(ADMIN).send().await.expect(200).json(), expected, "{body}");
    }
    for (body, field) in [
        (json!({"two_factor_enabled": true}), "two_factor_enabled"),
        (json!({"email": "x"}), "email"),
        (json!({"name": ""}), "name"),
        (json!({"role": "king"}), "role"),
        (json!({"password": PASSWORD}), "password"),
    ] {
        let refused = change(&registry, ADMIN, &id, &body).await.expect(400);
        assert!(refused.json()["details"][field].is_array(), "{body}");
    }
    let details: Vec<Value> =
        registry.audited("user.changed").await.into_iter().map(|entry| entry["details"].clone()).collect();
    assert_eq!(details[0], json!({"fields": ["two_factor_enabled"], "role": null, "blocked": null}));
    assert_eq!(details[2], json!({"fields": [], "role": null, "blocked": null}));
    assert_eq!(details[3], json!({"fields": ["blocked"], "role": null, "blocked": true}));
    assert_eq!(details[4], json!({"fields": ["role"], "role": "viewer", "blocked": null}));
    assert_eq!(details[5], json!({"fields": ["email"], "role": null, "blocked": null}));
}

#[tokio::test]
async fn an_e_mail_address_belongs_to_one_user() {
    let registry = TestRegistry::new();
    let request = || registry.post("/api/users").bearer(ADMIN).json(&spec("a@example.org", "viewer"));
    assert_eq!(statuses_of_concurrent([request(), request()]).await, [201, 409]);
    let error = "A user with this e-mail address exists already. Change that one instead.";
    let taken = json!({"error": error, "code": "CONFLICT", "details": {}});
    let body = spec(" A@EXAMPLE.org", "viewer");
    assert_eq!(registry.post("/api/users").bearer(ADMIN).json(&body).send().await.expect(409).json(), taken);
    let other = registry.user("b", "viewer").await;
    let body = json!({"email": "a@example.org", "role": "admin"});
    assert_eq!(change(&registry, ADMIN, &other.id, &body).await.expect(409).json(), taken);
    assert_eq!(users(&registry)[1], json!({"email": "b@example.org", "role": "viewer", "blocked": 0}));
    assert_eq!(registry.audited("user.created").await.len(), 2);
    assert_eq!(registry.audited("user.changed").await.len(), 0);
}

/// What each role is answered: viewer, member, admin, owner.
#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_nothing_else() {
    let registry = TestRegistry::new();
    let mut people = vec![registry.owner().await];
    for role in ["admin", "member", "viewer"] {
        people.push(registry.user(role, role).await);
    }
    people.reverse();
    registry.published("acme/lib", &["1.0.0"]).await;
    let (token_id, _) = registry.token(&json!({"description": "a"})).await;
    let repository =
        registry.database.rows("SELECT uid FROM repositories")[0]["uid"].as_str().expect("text").to_owned();
    let token_path = format!("/api/tokens/{token_id}");
    let sync_path = format!("/api/repositories/{repository}/sync");
    let url = |person: &TestUser| format!("https://git.test/{}.git", person.email);
    for (what, request, expected) in [
        (
            "packages.json",
            Box::new(|_: &TestUser| registry.get("/packages.json")) as Box<dyn Fn(&TestUser) -> TestRequest>,
            [200, 200, 200, 200],
        ),
        ("p2", Box::new(|_| registry.get("/p2/acme/lib.json")), [200, 200, 200, 200]),
        ("packages", Box::new(|_| registry.get("/api/packages")), [200, 200, 200, 200]),
        ("repositories", Box::new(|_| registry.get("/api/repositories")), [200, 200, 200, 200]),
        ("sync", Box::new(|_| registry.post(&sync_path)), [403, 200, 200, 200]),
        (
            "register",
            Box::new(|person| registry.post("/api/repositories").json(&json!({"url": url(person)}))),
            [403, 201, 201, 201],
        ),
        ("tokens", Box::new(|_| registry.get("/api/tokens")), [403, 200, 200, 200]),
        (
            "new token",
            Box::new(|_| registry.post("/api/tokens").json(&json!({"description": "a"}))),
            [403, 403, 201, 201],
        ),
        (
            "changed token",
            Box::new(|_| registry.patch(&token_path).json(&json!({"description": "b"}))),
            [403, 403, 200, 200],
        ),
        ("audit", Box::new(|_| registry.get("/api/audit-log")), [403, 403, 200, 200]),
        ("users", Box::new(|_| registry.get("/api/users")), [403, 403, 200, 200]),
        ("invitations", Box::new(|_| registry.get("/api/invitations")), [403, 403, 200, 200]),
        (
            "invite",
            Box::new(|person| {
                registry
                    .post("/api/invitations")
                    .json(&json!({"email": format!("x{}", person.email), "role": "viewer"}))
            }),
            [403, 403, 201, 201],
        ),
        (
            "new user",
            Box::new(|person| registry.post("/api/users").json(&spec(&format!("y{}", person.email), "viewer"))),
            [403, 403, 201, 201],
        ),
        ("advisories", Box::new(|_| registry.get("/api/advisories")), [200, 200, 200, 200]),
        ("new advisory", Box::new(|_| registry.post("/api/advisories").json(&json!({}))), [403, 400, 400, 400]),
        ("me", Box::new(|_| registry.get("/api/auth/me")), [200, 200, 200, 200]),
        ("own name", Box::new(|_| registry.patch("/api/auth/me").json(&json!({"name": "New"}))), [200, 200, 200, 200]),
        ("own sessions", Box::new(|_| registry.get("/api/auth/sessions")), [200, 200, 200, 200]),
        ("own second factor", Box::new(|_| registry.post("/api/auth/2fa/setup")), [200, 200, 200, 200]),
        (
            "set-up",
            Box::new(|_| registry.post("/api/auth/setup").json(&spec("z@example.org", "owner"))),
            [403, 403, 403, 403],
        ),
    ] {
        for (person, status) in people.iter().zip(expected) {
            let reply = request(person).bearer(&person.token).send().await;
            assert_eq!(reply.status, status, "{what} by {}: {}", person.email, reply.text());
        }
    }
    let refused = registry.get("/api/tokens").bearer(&people[0].token).send().await.expect(403);
    let error = "The role `viewer` lacks the scope `tokens:read`. Ask an administrator for another.";
    assert_eq!(refused.json(), json!({"error": error, "code": "FORBIDDEN", "details": {}}));
    let mine = registry.get("/api/auth/me").bearer(&people[0].token).send().await.expect(200).json();
    assert_eq!(mine["scopes"], json!(["packages:read", "repositories:read", "advisories:read"]));
    assert_eq!((&mine["email"], &mine["name"]), (&json!("viewer@example.org"), &json!("New")));
}

#[tokio::test]
async fn an_admin_manages_everybody_but_owners_and_nobody_rises_above_themselves() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let admin = registry.user("admin", "admin").await;
    let other_admin = registry.user("other", "admin").await;
    let error = "Only an owner may manage users who are `owner`.";
    let owners_path = format!("/api/users/{}", owner.id);
    for request in [
        registry.post("/api/users").json(&spec("x@example.org", "owner")),
        registry.post("/api/invitations").json(&json!({"email": "x@example.org", "role": "owner"})),
        registry.patch(&format!("/api/users/{}", admin.id)).json(&json!({"role": "owner"})),
        registry.patch(&owners_path).json(&json!({"name": "Mine"})),
        registry.patch(&owners_path).json(&json!({"blocked": true})),
        registry.patch(&owners_path).json(&json!({"role": "viewer"})),
        registry.patch(&owners_path).json(&json!({"two_factor_enabled": false})),
        registry.delete(&owners_path),
        registry.post(&format!("{owners_path}/reset-link")),
    ] {
        let reply = request.bearer(&admin.token).send().await.expect(403);
        assert_eq!(reply.json(), json!({"error": error, "code": "FORBIDDEN", "details": {}}));
    }
    assert_eq!(users(&registry)[0], json!({"email": "owner@example.org", "role": "owner", "blocked": 0}));
    assert_eq!(registry.audited("user.changed").await.len(), 0);
    change(&registry, &admin.token, &other_admin.id, &json!({"role": "member"})).await.expect(200);
    change(&registry, &owner.token, &admin.id, &json!({"role": "owner"})).await.expect(200);
}

#[tokio::test]
async fn a_token_manages_those_who_may_do_no_more_than_it_may() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let viewer = registry.user("viewer", "viewer").await;
    let of = async |scopes: Value, more: Value| {
        let mut spec = json!({"description": "a", "scopes": scopes});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        registry.token(&spec).await.1
    };
    let viewers = json!(["users:*", "packages:read", "repositories:read", "advisories:read"]);
    let (alone, ends) =
        (of(json!(["users:*"]), json!({})).await, of(json!(["admin"]), json!({"expires_at": 2_000_000_000})).await);
    let (admin, like_viewers) = (of(json!(["admin"]), json!({})).await, of(viewers, json!({})).await);
    let limited = of(json!(["admin"]), json!({"grants": [{"pattern": "*", "expires_at": 2_000_000_000}]})).await;
    for (token, role, error) in [
        (&admin, "admin", ""),
        (&admin, "owner", "Only an owner may manage users who are `owner`."),
        (&like_viewers, "viewer", ""),
        (
            &like_viewers,
            "admin",
            "Only who may do all that a user who is `admin` may can manage one. You lack `admin`.",
        ),
        (
            &alone,
            "viewer",
            "Only who may do all that a user who is `viewer` may can manage one. You lack `packages:read`, \
             `repositories:read`, `advisories:read`.",
        ),
        (&ends, "viewer", "Users do not end, and your token does. Use one without `expires_at` to manage users."),
        (
            &limited,
            "viewer",
            "Users see every package for as long as they are users, and your token does not. Use one that does.",
        ),
    ] {
        let reply = change(&registry, token, &viewer.id, &json!({"role": role})).await;
        assert_eq!(reply.status, if error.is_empty() { 200 } else { 403 }, "{role}: {}", reply.text());
        assert_eq!(reply.json()["error"].as_str().unwrap_or_default(), error);
        change(&registry, ADMIN, &viewer.id, &json!({"role": "viewer"})).await.expect(200);
    }
    change(&registry, &admin, &owner.id, &json!({"blocked": true})).await.expect(403);
    let refused = registry.get("/api/auth/me").bearer(&admin).send().await.expect(403);
    let error = "This is about a user's own account. Send the token of a session, from POST /api/auth/login.";
    assert_eq!(refused.json()["error"], error);
    registry.get("/api/auth/me").bearer(ADMIN).send().await.expect(403);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let registry = TestRegistry::new();
    let owner = registry.owner().await;
    let path = format!("/api/users/{}", owner.id);
    let error = "This is the last owner who can log in. Make somebody else an owner first.";
    let last = json!({"error": error, "code": "CONFLICT", "details": {}});
    let blocked_owner = registry.user("blocked", "owner").await;
    change(&registry, ADMIN, &blocked_owner.id, &json!({"blocked": true})).await.expect(200);
    for by in [ADMIN, &owner.token] {
        for body in [json!({"role": "admin"}), json!({"blocked": true}), json!({"role": "owner", "blocked": true})] {
            assert_eq!(registry.patch(&path).bearer(by).json(&body).send().await.expect(409).json(), last, "{body}");
        }
        assert_eq!(registry.delete(&path).bearer(by).send().await.expect(409).json(), last);
    }
    change(&registry, &owner.token, &owner.id, &json!({"role": "owner", "name": "Still here"})).await.expect(200);
    change(&registry, &owner.token, &blocked_owner.id, &json!({"blocked": false})).await.expect(200);
    registry.delete(&path).bearer(&owner.token).send().await.expect(200);
    registry.get("/api/auth/me").bearer(&owner.token).send().await.expect(401);
    let second = format!("/api/users/{}", blocked_owner.id);
    registry.delete(&second).bearer(ADMIN).send().await.expect(409);
}

#[tokio::test]
async fn two_owners_cannot_take_each_other_away_at_once() {
    for bodies in [
        [Some(json!({"role": "member"})), Some(json!({"role": "viewer"}))],
        [Some(json!({"blocked": true})), Some(json!({"blocked": true}))],
        [Some(json!({"blocked": true})), None],
        [None, None],
        [None, Some(json!({"role": "admin"}))],
    ] {
        let registry = TestRegistry::new();
        let (first, second) = (registry.owner().await, registry.user("second", "owner").await);
        let request = |id: &str, body: &Option<Value>| match body {
            Some(body) => registry.patch(&format!("/api/users/{id}")).json(body),
            None => registry.delete(&format!("/api/users/{id}")),
        };
        let requests = [request(&second.id, &bodies[0]).bearer(ADMIN), request(&first.id, &bodies[1]).bearer(ADMIN)];
        assert_eq!(statuses_of_concurrent(requests).await, [200, 409], "{bodies:?}");
        let left = registry.database.rows(
            "SELECT 1 FROM memberships m JOIN users u ON u.id = m.user_id
              WHERE m.role = 'owner' AND u.blocked_at IS NULL",
        );
        assert_eq!(left.len(), 1, "{bodies:?}");
    }
}

#[tokio::test]
async fn users_are_found_by_a_part_of_their_address_or_name_in_any_case() {
    let registry = TestRegistry::new();
    registry.owner().await;
    for name in ["ada", "grace", "adalbert"] {
        registry.user(name, "viewer").await;
    }
    for (query, found, total) in [
        ("", &["adalbert", "grace", "ada", "owner"][..], "4"),
        ("?search=ADA", &["adalbert", "ada"], "2"),
        ("?search=ada&limit=1&offset=1", &["ada"], "2"),
        ("?search=grace%40EXAMPLE", &["grace"], "1"),
        ("?search=Owner", &["owner"], "1"),
        ("?search=%25", &[], "0"),
    ] {
        let reply = registry.get(&format!("/api/users{query}")).bearer(ADMIN).send().await.expect(200);
        let views = reply.json();
        let emails: Vec<&str> =
            views.as_array().expect("a list").iter().filter_map(|view| view["email"].as_str()).collect();
        let expected: Vec<String> = found.iter().map(|name| format!("{name}@example.org")).collect();
        assert_eq!(emails, expected, "{query}");
        assert_eq!(reply.header("x-total-count"), total, "{query}");
    }
    registry.get("/api/users?name=ada").bearer(ADMIN).send().await.expect(400);
}

#[tokio::test]
async fn people_change_their_own_address_with_their_password() {
    let registry = TestRegistry::new();
    registry.owner().await;
    let user = registry.user("grace", "viewer").await;
    let request = async |body: Value| registry.patch("/api/auth/me").bearer(&user.token).json(&body).send().await;
    let wrong = json!({"current_password": ["is not the password of this account"]});
    for body in [
        json!({"email": "hopper@example.org"}),
        json!({"email": "hopper@example.org", "current_password": "another horse battery"}),
    ] {
        assert_eq!(request(body).await.expect(400).json()["details"], wrong);
    }
    let taken = request(json!({"email": "owner@example.org", "current_password": PASSWORD})).await.expect(409);
    assert_eq!(taken.json()["error"], "A user with this e-mail address exists already. Change that one instead.");
    request(json!({"email": "nobody", "current_password": PASSWORD})).await.expect(400);
    assert_eq!(registry.audited("user.changed").await.len(), 0);
    let changed =
        request(json!({"email": " Hopper@Example.org", "name": "Hopper", "current_password": PASSWORD})).await;
    let view = changed.expect(200).json();
    assert_eq!((&view["email"], &view["name"]), (&json!("hopper@example.org"), &json!("Hopper")));
    assert_eq!(registry.audited("user.changed").await[0]["details"]["fields"], json!(["email", "name"]));
    registry.log_in("grace@example.org", PASSWORD, json!({})).await.expect(401);
    registry.session("hopper@example.org").await;
    registry.get("/api/auth/me").bearer(&user.token).send().await.expect(200);
}

#[tokio::test]
async fn of_two_who_take_the_same_address_at_once_one_has_it() {
    let registry = TestRegistry::new();
    let people = [registry.user("ada", "member").await, registry.user("grace", "viewer").await];
    let body = json!({"email": "shared@example.org", "current_password": PASSWORD});
    let requests = people.iter().map(|person| registry.patch("/api/auth/me").bearer(&person.token).json(&body));
    assert_eq!(statuses_of_concurrent(requests).await, [200, 409]);
    assert_eq!(registry.database.rows("SELECT 1 FROM users WHERE email = 'shared@example.org'").len(), 1);
    assert_eq!(registry.audited("user.changed").await.len(), 1);
}

#[tokio::test]
async fn guessing_the_password_of_a_session_by_changing_its_address_is_throttled() {
    let registry = TestRegistry::new();
    let user = registry.user("grace", "viewer").await;
    let guess = json!({"email": "hopper@example.org", "current_password": "another horse battery"});
    let request = async || registry.patch("/api/auth/me").bearer(&user.token).json(&guess).send().await.status;
    for _ in 0..10 {
        assert_eq!(request().await, 400);
    }
    assert_eq!(request().await, 429);
}
