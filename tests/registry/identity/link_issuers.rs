//! Links end with whoever issued them, and are looked at when they are used.

use std::sync::Arc;

use http::Method;
use rostrum::registry::kernel::app::{App, Config};
use rostrum::registry::kernel::secrets::TokenHash;
use serde_json::{Value, json};

use crate::support::{ADMIN, PASSWORD, TestIsolate, TestRegistry, token_of};

const NEW: &str = "another horse battery";

/// An invitation and a link to a new password that somebody has issued.
struct Links {
    invitation: String,
    reset: String,
}

impl Links {
    async fn issue(registry: &TestRegistry, by: &str, user_id: &str) -> Self {
        let body = json!({"email": "invited@example.org", "role": "viewer"});
        let invitation = registry.post("/api/invitations").bearer(by).json(&body).send().await.expect(201);
        let reset = registry.post(&format!("/api/users/{user_id}/reset-link")).bearer(by).send().await.expect(201);
        Self { invitation: token_of(&invitation), reset: token_of(&reset) }
    }

    /// The statuses of using both, and how many invitations are listed before.
    async fn used(&self, isolate: &TestIsolate) -> (u16, u16, usize) {
        let listed = isolate.get("/api/invitations").bearer(ADMIN).send().await.expect(200);
        assert_eq!(listed.header("x-total-count"), listed.json().as_array().map_or(0, Vec::len).to_string());
        let post = |path: &str, body: &Value| isolate.request(Method::POST, path).json(body);
        let accepted = json!({"token": self.invitation, "name": "New", "password": PASSWORD});
        let chosen = json!({"token": self.reset, "password": NEW});
        let accepted = post("/api/auth/accept-invitation", &accepted).send().await;
        let reset = post("/api/auth/reset", &chosen).send().await;
        (accepted.status, reset.status, listed.json().as_array().map_or(0, Vec::len))
    }
}

const GOOD: (u16, u16, usize) = (201, 200, 1);
const VOID: (u16, u16, usize) = (404, 404, 0);

#[tokio::test]
async fn what_a_token_has_issued_is_good_while_the_token_could_issue_it() {
    for (method, path, change, expected) in [
        ("PATCH", "", json!({"description": "another"}), GOOD),
        ("POST", "/rotate", json!({}), GOOD),
        (
            "PATCH",
            "",
            json!({"scopes": ["users:write", "packages:*", "repositories:*", "advisories:*", "tokens:read"]}),
            GOOD,
        ),
        ("DELETE", "", json!({}), VOID),
        ("PATCH", "", json!({"expires_at": 4_000_000_000_i64}), VOID),
        ("PATCH", "", json!({"scopes": ["users:*"]}), VOID),
        ("PATCH", "", json!({"scopes": ["packages:*", "repositories:*", "advisories:*", "tokens:read"]}), VOID),
        ("PATCH", "", json!({"grants": [{"pattern": "acme/*"}]}), VOID),
        ("PATCH", "", json!({"grants": [{"pattern": "*", "expires_at": 4_000_000_000_i64}]}), VOID),
    ] {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let (id, token) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
        let links = Links::issue(&registry, &token, &user.id).await;
        let request = registry.isolate.request(method.parse().expect("a method"), &format!("/api/tokens/{id}{path}"));
        request.bearer(ADMIN).json(&change).send().await.expect(200);
        assert_eq!(links.used(&registry.isolate).await, expected, "{method} {path} {change}");
        if expected == VOID {
            // What is void is in nobody's way.
            let other = registry.another_isolate();
            Links::issue(&registry, ADMIN, &user.id).await;
            assert_eq!(registry.database.rows("SELECT 1 FROM invitations").len(), 1);
            let listed = other.get("/api/invitations").bearer(ADMIN).send().await.expect(200);
            assert_eq!(listed.header("x-total-count"), "1");
        }
    }
}

#[tokio::test]
async fn an_invitation_to_a_greater_role_is_void_as_soon_as_its_issuer_holds_less() {
    let registry = TestRegistry::new();
    let (id, token) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
    let invite = async |email: &str, role: &str| {
        let body = json!({"email": email, "role": role});
        token_of(&registry.post("/api/invitations").bearer(&token).json(&body).send().await.expect(201))
    };
    let (viewer, member) = (invite("v@example.org", "viewer").await, invite("m@example.org", "member").await);
    let less = json!({"scopes": ["users:*", "packages:read", "repositories:read", "advisories:read"]});
    registry.patch(&format!("/api/tokens/{id}")).bearer(ADMIN).json(&less).send().await.expect(200);
    let listed = registry.get("/api/invitations").bearer(ADMIN).send().await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["role"], "viewer");
    for (invitation, status) in [(member, 404), (viewer, 201)] {
        let body = json!({"token": invitation, "name": "New", "password": PASSWORD});
        registry.post("/api/auth/accept-invitation").json(&body).send().await.expect(status);
    }
}

#[tokio::test]
async fn what_admin_token_has_issued_ends_when_it_is_replaced() {
    for (admin_token, expected) in [(ADMIN, GOOD), ("another-administrators-token", VOID)] {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let links = Links::issue(&registry, ADMIN, &user.id).await;
        let (_, reader) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
        let mut isolate = registry.another_isolate();
        let config = Config { admin_token: Some(TokenHash::of(admin_token)), ..(*isolate.app.config).clone() };
        isolate.app = App { config: Arc::new(config), ..isolate.app };
        let listed = isolate.get("/api/invitations").bearer(&reader).send().await.expect(200);
        assert_eq!(listed.header("x-total-count"), expected.2.to_string());
        let accepted = json!({"token": links.invitation, "name": "New", "password": PASSWORD});
        isolate.request(Method::POST, "/api/auth/accept-invitation").json(&accepted).send().await.expect(expected.0);
        let chosen = json!({"token": links.reset, "password": NEW});
        isolate.request(Method::POST, "/api/auth/reset").json(&chosen).send().await.expect(expected.1);
    }
}

/// Uses a link, of which `change` is made in the database when the link was looked at and nothing has come of it yet.
async fn use_while(registry: &TestRegistry, path: &str, links: &Links, change: &str) {
    let body = if path.ends_with("reset") {
        json!({"token": links.reset, "password": NEW})
    } else {
        json!({"token": links.invitation, "name": "New", "password": PASSWORD})
    };
    let passwords = registry.database.rows("SELECT email, password FROM users");
    registry.meter.reset();
    let request = registry.post(path).json(&body).send();
    let change_it = async {
        // The second call is under way.
        let mut turns = 0;
        while registry.meter.calls().round_trips < 2 && turns < 1000 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        registry.database.execute(change);
    };
    let (reply, ()) = tokio::join!(biased; request, change_it);
    assert_eq!(reply.status, 404, "{path}: {change}: {}", reply.text());
    assert_eq!(registry.database.rows("SELECT email, password FROM users"), passwords, "{path}: {change}");
}

const ACCEPT: &str = "/api/auth/accept-invitation";
const RESET: &str = "/api/auth/reset";

#[tokio::test]
async fn a_link_whose_issuer_holds_less_while_it_is_used_makes_nobody() {
    for change in ["UPDATE tokens SET revoked_at = 1", "UPDATE tokens SET scopes = '[]', revision = revision + 1"] {
        for path in [ACCEPT, RESET] {
            let registry = TestRegistry::new();
            let user = registry.user("user", "member").await;
            let (_, token) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
            let links = Links::issue(&registry, &token, &user.id).await;
            use_while(&registry, path, &links, change).await;
        }
    }
    for change in [
        "UPDATE memberships SET role = 'viewer' WHERE role = 'admin'",
        "UPDATE users SET blocked_at = 1 WHERE email = 'issuer@example.org'",
        "DELETE FROM memberships WHERE role = 'admin'",
    ] {
        for path in [ACCEPT, RESET] {
            let registry = TestRegistry::new();
            let user = registry.user("user", "member").await;
            let issuer = registry.user("issuer", "admin").await;
            let links = Links::issue(&registry, &issuer.token, &user.id).await;
            use_while(&registry, path, &links, change).await;
        }
    }
}

#[tokio::test]
async fn a_link_whose_account_has_changed_while_it_is_used_sets_no_password() {
    for change in [
        "INSERT INTO memberships (user_id, organization_id, role, created_at)
         SELECT u.id, max(o.id), 'viewer', 0 FROM users u, organizations o WHERE u.email = 'user@example.org'",
        "UPDATE users SET session_epoch = session_epoch + 1 WHERE email = 'user@example.org'",
        "UPDATE users SET blocked_at = 1 WHERE email = 'user@example.org'",
    ] {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        registry.organization("shop").await;
        let (_, token) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
        let links = Links::issue(&registry, &token, &user.id).await;
        use_while(&registry, RESET, &links, change).await;
    }
}

#[tokio::test]
async fn what_others_have_issued_goes_on_when_an_issuer_is_gone() {
    let invite = async |isolate: &TestIsolate, by: &str, email: &str| {
        let body = json!({"email": email, "role": "viewer"});
        isolate.request(Method::POST, "/api/invitations").bearer(by).json(&body).send().await.expect(201);
    };
    let assert_left = async |isolate: &TestIsolate, by: &str| {
        // Making another one removes those that are void.
        invite(isolate, by, "third@example.org").await;
        let listed = isolate.get("/api/invitations").bearer(by).send().await.expect(200).json();
        let emails: Vec<&Value> = listed.as_array().expect("a list").iter().map(|row| &row["email"]).collect();
        assert_eq!(emails, ["third@example.org", "second@example.org"]);
    };

    let registry = TestRegistry::new();
    let spec = json!({"description": "a", "scopes": ["admin"]});
    let ((id, first), (_, second)) = (registry.token(&spec).await, registry.token(&spec).await);
    invite(&registry.isolate, &first, "first@example.org").await;
    invite(&registry.isolate, &second, "second@example.org").await;
    registry.delete(&format!("/api/tokens/{id}")).bearer(ADMIN).send().await.expect(200);
    assert_left(&registry.isolate, ADMIN).await;

    let registry = TestRegistry::new();
    let (first, second) = (registry.user("one", "admin").await, registry.user("two", "admin").await);
    invite(&registry.isolate, &first.token, "first@example.org").await;
    invite(&registry.isolate, &second.token, "second@example.org").await;
    registry.database.execute("UPDATE users SET blocked_at = 1 WHERE email = 'one@example.org'");
    assert_left(&registry.isolate, ADMIN).await;

    let registry = TestRegistry::new();
    let other_admin = "another-administrators-token";
    let mut isolate = registry.another_isolate();
    let config = Config { admin_token: Some(TokenHash::of(other_admin)), ..(*isolate.app.config).clone() };
    isolate.app = App { config: Arc::new(config), ..isolate.app };
    invite(&registry.isolate, ADMIN, "first@example.org").await;
    registry.database.execute(
        "INSERT INTO invitations (uid, organization_id, email, role, hash, invited_by, token_id, admin_key, created_at, expires_at)
         SELECT 'second', organization_id, 'second@example.org', role, 'second', NULL, NULL, NULL, created_at, expires_at
           FROM invitations",
    );
    assert_left(&isolate, other_admin).await;
}

#[tokio::test]
async fn a_link_for_an_account_that_has_come_to_several_organizations_is_for_admin_token_alone() {
    for (by_admin, status) in [(false, 404), (true, 200)] {
        let registry = TestRegistry::new();
        let user = registry.user("user", "member").await;
        let (_, token) = registry.token(&json!({"description": "a", "scopes": ["admin"]})).await;
        let links = Links::issue(&registry, if by_admin { ADMIN } else { &token }, &user.id).await;
        registry.organization("shop").await;
        registry.database.execute(
            "INSERT INTO memberships (user_id, organization_id, role, created_at)
             SELECT u.id, max(o.id), 'viewer', 0 FROM users u, organizations o WHERE u.email = 'user@example.org'",
        );
        let chosen = json!({"token": links.reset, "password": NEW});
        registry.post("/api/auth/reset").json(&chosen).send().await.expect(status);
    }
}
