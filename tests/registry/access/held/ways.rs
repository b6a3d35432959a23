//! The ways by which rights are given, changed and taken, on users and tokens of every kind.

use http::Method;
use serde_json::{Value, json};

use super::model::{Asked, Held, Sees, asked};
use crate::support::{PASSWORD, START, TestIsolate, TestRegistry, TestRequest};

/// The least first.
pub const ROLES: [&str; 4] = ["viewer", "member", "admin", "owner"];

/// One way, on one target.
pub struct Way {
    pub name: String,
    method: Method,
    path: String,
    body: Value,
    /// The scope that the operation requires.
    scope: &'static str,
    /// All that whoever takes it has to hold besides.
    concerned: Vec<Held>,
    /// Whose account it is about.
    pub email: Option<String>,
    /// Whether whoever takes it knows the password of the user that it makes.
    pub knows_password: bool,
}

impl Way {
    fn new(name: String, method: Method, path: String, body: Value, concerned: Vec<Held>) -> Self {
        let scope = if path.starts_with("/api/tokens") { "tokens:write" } else { "users:write" };
        Self { name, method, path, body, scope, concerned, email: None, knows_password: false }
    }

    /// Who may take it, by what they hold. Users are of the whole organization: who does not see all of it manages none.
    pub fn is_allowed(&self, actor: &Held) -> bool {
        let is_in_reach = self.scope == "tokens:write" || actor.sees == Sees::All;
        actor.has(self.scope) && is_in_reach && self.concerned.iter().all(|held| actor.holds(held))
    }

    pub fn request(&self, isolate: &TestIsolate) -> TestRequest {
        let request = isolate.request(self.method.clone(), &self.path);
        if self.body.is_null() { request } else { request.json(&self.body) }
    }
}

/// A column of the first row.
fn value(registry: &TestRegistry, sql: &str) -> String {
    registry.database.rows(sql)[0]["uid"].as_str().expect("text").to_owned()
}

fn on_users(registry: &TestRegistry) -> Vec<Way> {
    let mut ways = Vec::new();
    for role in ROLES {
        let held = vec![Held::of_role(role)];
        let spec = json!({"email": "new@example.org", "name": "New", "role": role, "password": PASSWORD});
        let make = Way::new(format!("make a {role}"), Method::POST, "/api/users".to_owned(), spec, held.clone());
        ways.push(Way { knows_password: true, ..make });
        let invited = json!({"email": "new@example.org", "role": role});
        ways.push(Way::new(
            format!("invite a {role}"),
            Method::POST,
            "/api/invitations".to_owned(),
            invited,
            held.clone(),
        ));
        let sql = format!("SELECT uid FROM invitations WHERE email = 'invited-{role}@example.org'");
        let path = format!("/api/invitations/{}", value(registry, &sql));
        ways.push(Way::new(
            format!("revoke the invitation of a {role}"),
            Method::DELETE,
            path,
            Value::Null,
            held.clone(),
        ));

        let email = format!("other-{role}@example.org");
        let path = format!("/api/users/{}", value(registry, &format!("SELECT uid FROM users WHERE email = '{email}'")));
        for (what, body) in [
            ("rename", json!({"name": "Other"})),
            ("readdress", json!({"email": "mine@example.org"})),
            ("block", json!({"blocked": true})),
            ("take the second factor off", json!({"two_factor_enabled": false})),
        ] {
            ways.push(Way::new(format!("{what} of the {role}"), Method::PATCH, path.clone(), body, held.clone()));
        }
        for other in ROLES.into_iter().filter(|other| *other != role) {
            let both = vec![Held::of_role(role), Held::of_role(other)];
            let name = format!("make the {role} a {other}");
            ways.push(Way::new(name, Method::PATCH, path.clone(), json!({"role": other}), both));
        }
        let link = Way::new(
            format!("link for the {role}"),
            Method::POST,
            format!("{path}/reset-link"),
            Value::Null,
            held.clone(),
        );
        ways.push(Way { email: Some(email), ..link });
        ways.push(Way::new(format!("remove the {role}"), Method::DELETE, path, Value::Null, held));
    }
    ways
}

fn on_tokens(registry: &TestRegistry, targets: &[Asked]) -> Vec<Way> {
    let path_of = |name: &str| {
        let sql = format!("SELECT uid FROM tokens WHERE description = '{}'", name.replace('\'', "''"));
        format!("/api/tokens/{}", value(registry, &sql))
    };
    let least = asked("the least", &["packages:read"], Sees::One, Some(START.seconds() + 1000));
    let mut ways = Vec::new();
    for Asked { name, spec, held } in targets {
        let (path, held) = (path_of(name), vec![held.clone()]);
        let mut twin = spec.clone();
        twin["description"] = json!("a twin");
        ways.push(Way::new(
            format!("issue another like {name}"),
            Method::POST,
            "/api/tokens".to_owned(),
            twin.clone(),
            held.clone(),
        ));
        let described = json!({"description": "another"});
        ways.push(Way::new(format!("describe {name}"), Method::PATCH, path.clone(), described, held.clone()));
        let rotation = json!({"grace_seconds": 60});
        ways.push(Way::new(format!("rotate {name}"), Method::POST, format!("{path}/rotate"), rotation, held.clone()));
        ways.push(Way::new(format!("revoke {name}"), Method::DELETE, path, Value::Null, held.clone()));
        let customer: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let found = format!("/api/tokens?customer_id={customer}");
        ways.push(Way::new(format!("revoke {name} by a filter"), Method::DELETE, found, Value::Null, held.clone()));
        let both = vec![held[0].clone(), least.held.clone()];
        ways.push(Way::new(format!("raise the least to {name}"), Method::PATCH, path_of("the least"), twin, both));
    }
    ways
}

/// All of them; the targets are among the registry's tokens.
pub fn ways(registry: &TestRegistry, targets: &[Asked]) -> Vec<Way> {
    let mut ways = on_users(registry);
    ways.extend(on_tokens(registry, targets));
    ways
}
