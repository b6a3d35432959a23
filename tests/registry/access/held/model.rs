//! What credentials hold, said without the registry's own words for it, and who holds as much as somebody else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::{START, TestRegistry};

/// When what ends here does: unix seconds.
pub fn end() -> i64 {
    START.seconds() + 100_000
}

/// What a credential sees; a greater one sees more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sees {
    Nothing,
    /// `acme/lib` in `^1`.
    One,
    /// `acme/*`.
    Vendor,
    All,
}

/// What a credential holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub scopes: BTreeSet<String>,
    pub sees: Sees,
    /// Until when it sees it, unix seconds.
    pub sees_until: Option<i64>,
    pub until: Option<i64>,
    pub is_owner: bool,
}

/// Whether what lasts until `one` lasts as long as what lasts until `other`.
fn lasts(one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one >= other,
    }
}

impl Held {
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.contains("admin") || self.scopes.contains(scope)
    }

    /// The statement: whoever holds this holds all of `other` too.
    pub fn holds(&self, other: &Self) -> bool {
        other.scopes.iter().all(|scope| self.has(scope))
            && self.sees >= other.sees
            && (other.sees == Sees::Nothing || lasts(self.sees_until, other.sees_until))
            && lasts(self.until, other.until)
            && (self.is_owner || !other.is_owner)
    }

    /// What a user holds.
    pub fn of_role(role: &str) -> Self {
        let scopes: &[&str] = match role {
            "viewer" => &["packages:read", "repositories:read", "advisories:read"],
            "member" => &[
                "packages:read",
                "packages:write",
                "repositories:read",
                "repositories:write",
                "tokens:read",
                "advisories:read",
                "advisories:write",
            ],
            "admin" | "owner" => &["admin"],
            other => panic!("{other} is no role"),
        };
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        Self { scopes, sees: Sees::All, sees_until: None, until: None, is_owner: role == "owner" }
    }

    /// What a row of `tokens` holds: its scopes and grants as JSON, its end in milliseconds.
    fn of_token(row: &Value) -> Self {
        let read = |field: &str| serde_json::from_str::<Value>(row[field].as_str().expect("text")).expect("JSON");
        let grants = read("grants");
        let mut sees = (Sees::Nothing, None);
        for grant in grants.as_array().expect("a list") {
            let extent = match (grant["target"].as_str(), grant["version_constraint"].as_str()) {
                (Some("*"), Some("*")) => Sees::All,
                (Some("acme/*"), Some("*")) => Sees::Vendor,
                (Some("acme/lib"), Some("^1")) => Sees::One,
                other => panic!("no such grant is given here: {other:?}"),
            };
            sees = sees.max((extent, grant["expires_at"].as_i64().map(|end| end / 1000)));
        }
        Self {
            scopes: serde_json::from_value(read("scopes")).expect("names"),
            sees: sees.0,
            sees_until: sees.1,
            until: row["expires_at"].as_i64().map(|end| end / 1000),
            is_owner: false,
        }
    }
}

/// A credential, or what becomes one: what it holds, and all else that makes it what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub held: Held,
    rest: String,
}

/// All that opens something, by its key: users, invitations, links to a new password, tokens.
pub fn everything_that_opens(registry: &TestRegistry) -> BTreeMap<String, Entry> {
    let rows = |sql: &str| registry.database.rows(sql);
    let mut all = BTreeMap::new();
    let mut add = |key: String, held: Held, rest: String| all.insert(key, Entry { held, rest });
    for row in rows(
        "SELECT u.id, m.role, json_array(u.email, u.name, u.password, u.blocked_at, u.totp_enabled_at) AS rest
           FROM users u JOIN memberships m ON m.user_id = u.id",
    ) {
        add(
            format!("user {}", row["id"]),
            Held::of_role(row["role"].as_str().expect("a role")),
            row["rest"].to_string(),
        );
    }
    for row in rows("SELECT id, role, hash FROM invitations") {
        let held = Held::of_role(row["role"].as_str().expect("a role"));
        add(format!("invitation {}", row["id"]), held, row["hash"].to_string());
    }
    for row in rows("SELECT r.user_id AS id, m.role, r.hash FROM password_resets r JOIN memberships m USING (user_id)")
    {
        let held = Held::of_role(row["role"].as_str().expect("a role"));
        add(format!("link {}", row["id"]), held, row["hash"].to_string());
    }
    for row in rows(
        "SELECT id, scopes, expires_at, json_array(hash, previous_hash, description) AS rest,
                (SELECT json_group_array(json_object('target', g.target, 'version_constraint', g.version_constraint,
                        'expires_at', g.expires_at)) FROM grants g WHERE g.token_id = tokens.id) AS grants
           FROM tokens WHERE revoked_at IS NULL",
    ) {
        add(format!("token {}", row["id"]), Held::of_token(&row), row["rest"].to_string());
    }
    all
}

/// A token as it is asked for, and what it then holds.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: &'static str,
    pub spec: Value,
    pub held: Held,
}

/// A token with these scopes that sees this, until the end or for good.
pub fn asked(name: &'static str, scopes: &[&str], sees: Sees, until: Option<i64>) -> Asked {
    let grants = match sees {
        Sees::Nothing => json!([]),
        Sees::One => json!([{"package": "acme/lib", "constraint": "^1"}]),
        Sees::Vendor => json!([{"pattern": "acme/*"}]),
        Sees::All => json!([{"pattern": "*"}]),
    };
    let spec = json!({
        "description": name, "scopes": scopes, "grants": grants, "expires_at": until, "metadata": {"customer_id": name},
    });
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    Asked { name, spec, held: Held { scopes, sees, sees_until: None, until, is_owner: false } }
}
