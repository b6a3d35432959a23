//! Nobody, by any way, hands on or gains more than they hold: every kind of actor tries every way on every kind of user and
//! token. Who may is computed from what each holds by one statement ([`Held::holds`]), and afterwards nothing in the
//! registry that opens something has changed but what the actor held.

mod model;
mod ways;

use std::collections::BTreeSet;

use rostrum::registry::access::scope::Scope;
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{ADMIN, PASSWORD, START, TestIsolate, TestRegistry, TestResponse};
use model::{Asked, Held, Sees, asked, end, everything_that_opens};
use ways::{ROLES, Way, ways};

/// Somebody who tries.
struct Actor {
    name: String,
    /// What they send.
    secret: String,
    held: Held,
}

/// Scopes of tokens that act.
const VIEWERS: [&str; 5] = ["packages:read", "repositories:read", "advisories:read", "users:read", "users:write"];
const MEMBERS: [&str; 9] = [
    "packages:read",
    "packages:write",
    "repositories:read",
    "repositories:write",
    "tokens:read",
    "users:read",
    "users:write",
    "advisories:read",
    "advisories:write",
];
const ISSUERS: [&str; 3] = ["packages:read", "tokens:read", "tokens:write"];

/// The tokens that act.
fn acting() -> Vec<Asked> {
    let but_admin: Vec<&str> = Scope::all().map(Scope::as_str).filter(|scope| *scope != "admin").collect();
    vec![
        asked("an admin", &["admin"], Sees::All, None),
        asked("an admin that ends", &["admin"], Sees::All, Some(end())),
        asked("an admin of a vendor", &["admin"], Sees::Vendor, None),
        asked("an admin of nothing", &["admin"], Sees::Nothing, None),
        asked("all but admin", &but_admin, Sees::All, None),
        asked("users alone", &["users:read", "users:write"], Sees::All, None),
        asked("users and viewers' scopes", &VIEWERS, Sees::All, None),
        asked("users and members' scopes", &MEMBERS, Sees::All, None),
        asked("users and members' scopes that end", &MEMBERS, Sees::All, Some(end())),
        asked("users and members' scopes of a vendor", &MEMBERS, Sees::Vendor, None),
        asked("tokens alone", &["tokens:read", "tokens:write"], Sees::All, None),
        asked("a shop", &ISSUERS, Sees::All, None),
        asked("a shop that ends", &ISSUERS, Sees::All, Some(end())),
        asked("a shop of a vendor", &ISSUERS, Sees::Vendor, None),
        asked("a shop of one package that ends", &ISSUERS, Sees::One, Some(end())),
        asked("a reader", &["packages:read"], Sees::All, None),
    ]
}

/// The tokens that are acted upon.
fn acted_upon() -> Vec<Asked> {
    vec![
        asked("the admin", &["admin"], Sees::All, None),
        asked("the admin of a vendor that ends", &["admin"], Sees::Vendor, Some(end())),
        asked("the users' manager", &["users:write"], Sees::Nothing, None),
        asked("the reader", &["packages:read"], Sees::All, None),
        asked("the reader that ends", &["packages:read"], Sees::All, Some(end())),
        asked("the reader that ends later", &["packages:read"], Sees::All, Some(end() + 1)),
        asked("the reader of a vendor", &["packages:read"], Sees::Vendor, None),
        asked("the reader of one package that ends", &["packages:read"], Sees::One, Some(end())),
        asked("the writer of one package", &["packages:read", "packages:write"], Sees::One, None),
    ]
}

/// A registry with everybody and everything that is tried, and a copy of its database.
struct Stage {
    registry: TestRegistry,
    actors: Vec<Actor>,
    targets: Vec<Asked>,
    copy: Connection,
}

impl Stage {
    async fn new() -> Self {
        let registry = TestRegistry::new();
        let mut actors =
            vec![Actor { name: "ADMIN_TOKEN".to_owned(), secret: ADMIN.to_owned(), held: Held::of_role("owner") }];
        for role in ROLES {
            let person = registry.user(role, role).await;
            actors.push(Actor { name: format!("the {role}"), secret: person.token, held: Held::of_role(role) });
            registry.user(&format!("other-{role}"), role).await;
            let invited = json!({"email": format!("invited-{role}@example.org"), "role": role});
            registry.post("/api/invitations").bearer(ADMIN).json(&invited).send().await.expect(201);
        }
        registry.database.execute("UPDATE users SET totp_enabled_at = 1, totp_secret = 'x' WHERE email GLOB 'other-*'");
        for Asked { name, spec, held } in acting() {
            let (id, secret) = registry.token(&spec).await;
            actors.push(Actor { name: name.to_owned(), secret: secret.clone(), held: held.clone() });
            if name == "a shop" {
                // Its old secret works for as long as the new one is being brought everywhere.
                let rotation = registry.post(&format!("/api/tokens/{id}/rotate")).bearer(ADMIN);
                let made = rotation.json(&json!({"grace_seconds": 600_000})).send().await.expect(200).json();
                let fresh = made["token"].as_str().expect("a token").to_owned();
                let until = made["previous_valid_until"].as_i64();
                actors.push(Actor {
                    name: "a shop by its old secret".to_owned(),
                    secret,
                    held: Held { until, ..held.clone() },
                });
                actors.push(Actor { name: "a shop by its new secret".to_owned(), secret: fresh, held });
                let old = actors.len() - 3;
                actors.remove(old);
            }
        }
        let targets = acted_upon();
        for target in &targets {
            registry.token(&target.spec).await;
        }
        registry.token(&asked("the least", &["packages:read"], Sees::One, Some(START.seconds() + 1000)).spec).await;
        let copy = registry.database.copy();
        Self { registry, actors, targets, copy }
    }
}

/// What opens something that an answer has handed out, as its holder can use it: what it lets do.
async fn handed_out(registry: &TestRegistry, isolate: &TestIsolate, way: &Way, answer: &TestResponse) -> Option<Held> {
    let answered = answer.json();
    let post = |path: &str| isolate.request(http::Method::POST, path);
    let mut email = answered["email"].as_str().map(str::to_owned);
    match answered["token"].as_str() {
        Some(token) if token.starts_with("rsi_") => {
            let body = json!({"token": token, "name": "New", "password": PASSWORD});
            post("/api/auth/accept-invitation").json(&body).send().await.expect(201);
        }
        Some(token) if token.starts_with("rsr_") => {
            let body = json!({"token": token, "password": PASSWORD});
            post("/api/auth/reset").json(&body).send().await.expect(200);
            email = way.email.clone();
            registry.database.execute("UPDATE users SET totp_enabled_at = NULL");
        }
        Some(token) => {
            let hash = hex::encode(Sha256::digest(token));
            let row = registry.database.rows(&format!("SELECT id FROM tokens WHERE hash = '{hash}'")).remove(0);
            return Some(everything_that_opens(registry)[&format!("token {}", row["id"])].held.clone());
        }
        None if way.knows_password => {}
        None => return None,
    }
    let body = json!({"email": email, "password": PASSWORD});
    let session = post("/api/auth/login").json(&body).send().await.expect(200).json();
    let me = isolate.get("/api/auth/me").bearer(session["token"].as_str().expect("a token")).send().await.expect(200);
    let role = me.json()["role"].as_str().expect("a role").to_owned();
    let scopes: BTreeSet<String> = serde_json::from_value(me.json()["scopes"].clone()).expect("names");
    assert_eq!(scopes, Held::of_role(&role).scopes);
    Some(Held::of_role(&role))
}

#[tokio::test]
async fn nobody_by_any_way_hands_on_or_gains_more_than_they_hold() {
    let stage = Stage::new().await;
    let Stage { registry, actors, targets, copy } = &stage;
    let ways = ways(registry, targets);
    let before = everything_that_opens(registry);
    let (mut allowed, mut refused) = (0, 0);
    for actor in actors {
        for way in &ways {
            let cell = format!("{}: {}", actor.name, way.name);
            registry.database.put_back(copy);
            let isolate = registry.another_isolate();
            let answer = way.request(&isolate).bearer(&actor.secret).send().await;
            let may = way.is_allowed(&actor.held);
            assert_eq!(answer.status < 300, may, "{cell}: {} {}", answer.status, answer.text());
            let after = everything_that_opens(registry);
            if !may {
                assert_eq!(answer.status, 403, "{cell}: {}", answer.text());
                assert_eq!(after, before, "{cell}");
                refused += 1;
                continue;
            }
            assert_ne!(after, before, "{cell}");
            for key in before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)) {
                for entry in before.get(key).into_iter().chain(after.get(key)) {
                    assert!(actor.held.holds(&entry.held), "{cell}: {key} {entry:?}");
                }
            }
            if let Some(gained) = handed_out(registry, &isolate, way, &answer).await {
                assert!(actor.held.holds(&gained), "{cell}: {gained:?}");
            }
            allowed += 1;
        }
    }
    assert!(allowed > 200 && refused > 1000, "{allowed} allowed, {refused} refused");
}
