//! Issuing, changing and revoking tokens.

use serde_json::{Map, Value, json};

use crate::ports::Millis;
use crate::registry::App;
use crate::registry::access::packages;
use crate::registry::audit::{Actor, Deed};
use crate::registry::authenticate::learn;
use crate::registry::failure::Failure;
use crate::registry::ids::new_uid;
use crate::registry::secrets::{PlainToken, TokenHash, TokenKind};
use crate::store::tokens::{GrantRow, HashedTokenRow, NewToken, TokenChanges, TokenRow};
use crate::store::{Page, Update, tokens};

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Admin,
    /// Read metadata and download.
    PackagesRead,
    /// Publish.
    PackagesWrite,
    /// Read repositories.
    RepositoriesRead,
    /// Register, sync and remove repositories.
    RepositoriesWrite,
    /// Read tokens.
    TokensRead,
    /// Issue and revoke tokens.
    TokensWrite,
    /// Read the audit log.
    AuditRead,
    /// Read advisories and filter lists.
    AdvisoriesRead,
    /// Write advisories and filter lists.
    AdvisoriesWrite,
    /// Read users and invitations.
    UsersRead,
    /// Invite, change and remove users.
    UsersWrite,
    /// Read settings.
    SettingsRead,
    /// Change settings.
    SettingsWrite,
}

const SCOPES: [(Scope, &str); 14] = [
    (Scope::Admin, "admin"),
    (Scope::PackagesRead, "packages:read"),
    (Scope::PackagesWrite, "packages:write"),
    (Scope::RepositoriesRead, "repositories:read"),
    (Scope::RepositoriesWrite, "repositories:write"),
    (Scope::TokensRead, "tokens:read"),
    (Scope::TokensWrite, "tokens:write"),
    (Scope::AuditRead, "audit:read"),
    (Scope::AdvisoriesRead, "advisories:read"),
    (Scope::AdvisoriesWrite, "advisories:write"),
    (Scope::UsersRead, "users:read"),
    (Scope::UsersWrite, "users:write"),
    (Scope::SettingsRead, "settings:read"),
    (Scope::SettingsWrite, "settings:write"),
];

impl Scope {
    /// Reads a scope's name.
    pub fn parse(name: &str) -> Option<Self> {
        SCOPES.iter().find(|(_, known)| *known == name).map(|(scope, _)| *scope)
    }

    /// The scope's name.
    pub fn as_str(self) -> &'static str {
        SCOPES.iter().find(|(scope, _)| *scope == self).map_or("", |(_, name)| name)
    }

    fn only_reads(self) -> bool {
        self.as_str().ends_with(":read")
    }
}

/// Whether a holder of `scopes` changes nothing; decides which default rate limit applies.
pub fn is_read_only(scopes: &[Scope]) -> bool {
    scopes.iter().all(|scope| scope.only_reads())
}

/// The short forms of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permissions {
    /// `packages:read`.
    ReadOnly,
    /// `packages:*` and `repositories:*`.
    Write,
}

impl Permissions {
    fn scopes(self) -> Vec<Scope> {
        match self {
            Self::ReadOnly => vec![Scope::PackagesRead],
            Self::Write => {
                vec![Scope::PackagesRead, Scope::PackagesWrite, Scope::RepositoriesRead, Scope::RepositoriesWrite]
            }
        }
    }

    /// The short form of stored scopes.
    pub fn of(scopes: &[String]) -> Self {
        let scopes: Vec<Scope> = scopes.iter().filter_map(|name| Scope::parse(name)).collect();
        if is_read_only(&scopes) { Self::ReadOnly } else { Self::Write }
    }
}

/// What a request to issue or change a token says; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct TokenSpec {
    /// Free text.
    pub description: Option<String>,
    /// What it may do.
    pub permissions: Option<Permissions>,
    /// When it ends.
    pub expires_at: Update<Millis>,
    /// Package names start with one of these; cleared: every package.
    pub allowed_package_prefixes: Update<Vec<String>>,
    /// Requests an hour.
    pub rate_limit_max: Update<i64>,
    /// The caller's own JSON object.
    pub metadata: Update<Map<String, Value>>,
}

const MAX_DESCRIPTION: usize = 500;
const MAX_PREFIXES: usize = 1000;
const MAX_METADATA_BYTES: usize = 16 << 10;
const MAX_RATE_LIMIT: i64 = 1_000_000_000;
/// The year 9999.
const MAX_MOMENT: Millis = Millis(253_402_300_799_000);

impl TokenSpec {
    /// Checks every field and collects what is wrong with each.
    fn check(&self) -> Result<(), Failure> {
        let mut wrong: Vec<(&str, String)> = Vec::new();
        match self.description.as_deref().map(str::trim) {
            Some("") => wrong.push(("description", "must not be empty".to_owned())),
            Some(text) if text.chars().count() > MAX_DESCRIPTION => {
                wrong.push(("description", format!("must not be longer than {MAX_DESCRIPTION} characters")));
            }
            _ => {}
        }
        if let Update::Set(Some(moment)) = self.expires_at
            && !(Millis(0)..=MAX_MOMENT).contains(&moment)
        {
            wrong.push(("expires_at", "must be unix time in seconds".to_owned()));
        }
        if let Update::Set(Some(limit)) = self.rate_limit_max
            && !(1..=MAX_RATE_LIMIT).contains(&limit)
        {
            wrong.push(("rate_limit_max", format!("must be between 1 and {MAX_RATE_LIMIT} requests an hour")));
        }
        if let Update::Set(Some(prefixes)) = &self.allowed_package_prefixes {
            wrong.extend(check_prefixes(prefixes).map(|text| ("allowed_package_prefixes", text)));
        }
        if let Update::Set(Some(metadata)) = &self.metadata
            && json!(metadata).to_string().len() > MAX_METADATA_BYTES
        {
            wrong.push(("metadata", format!("must not be larger than {MAX_METADATA_BYTES} bytes of JSON")));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let detail = wrong.iter().map(|(field, text)| format!("`{field}` {text}")).collect::<Vec<_>>().join("; ");
        Err(wrong.into_iter().fold(Failure::invalid(detail), |failure, (field, text)| failure.with_field(field, text)))
    }

    /// The fields that the request names, for the audit log.
    fn named(&self) -> Value {
        let fields = [
            ("description", self.description.is_some()),
            ("permissions", self.permissions.is_some()),
            ("expires_at", self.expires_at.is_set()),
            ("allowed_package_prefixes", self.allowed_package_prefixes.is_set()),
            ("rate_limit_max", self.rate_limit_max.is_set()),
            ("metadata", self.metadata.is_set()),
        ];
        let named: Vec<&str> = fields.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect();
        json!({ "fields": named })
    }

    /// The grants that the prefixes stand for; no prefixes stand for everything.
    fn grants(prefixes: Option<Vec<String>>) -> Vec<GrantRow> {
        prefixes.map_or_else(
            || vec![packages("*")],
            |list| list.iter().map(|prefix| packages(&format!("{prefix}*"))).collect(),
        )
    }
}

fn check_prefixes(prefixes: &[String]) -> Option<String> {
    if prefixes.is_empty() {
        return Some("must name at least one prefix, or be null for every package".to_owned());
    }
    if prefixes.len() > MAX_PREFIXES {
        return Some(format!("must not hold more than {MAX_PREFIXES} prefixes"));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-/".contains(c);
    let bad = prefixes.iter().find(|prefix| prefix.is_empty() || prefix.len() > 255 || !prefix.chars().all(allowed))?;
    Some(format!(
        "holds `{}`, which no package name starts with; use the beginning of a name in lower case, like `acme/`",
        bad.escape_default()
    ))
}

/// The prefixes that a token's grants stand for; `None` when it sees everything.
pub fn prefixes_of(grants: &[GrantRow]) -> Option<Vec<&str>> {
    if grants.iter().any(|grant| grant.target == "*") {
        return None;
    }
    Some(grants.iter().filter_map(|grant| grant.target.strip_suffix('*')).collect())
}

fn scope_names(permissions: Permissions) -> String {
    json!(permissions.scopes().iter().map(|scope| scope.as_str()).collect::<Vec<_>>()).to_string()
}

/// Issues a token; the plain one is in the answer and nowhere else.
pub async fn issue(app: &App, by: &Actor, spec: TokenSpec) -> Result<(PlainToken, TokenRow), Failure> {
    let Some(description) = spec.description.clone() else {
        return Err(Failure::invalid_field("description", "is required: say what the token is for"));
    };
    spec.check()?;
    let now = app.now();
    let plain = PlainToken::generate(TokenKind::Access, &*app.ports.entropy)?;
    let hash = plain.hash();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let grants = TokenSpec::grants(spec.allowed_package_prefixes.into_value());
    let new = NewToken {
        uid: &uid,
        organization_id: by.organization_id,
        hash: hash.as_str(),
        description: description.trim(),
        scopes: scope_names(spec.permissions.unwrap_or(Permissions::ReadOnly)),
        expires_at: spec.expires_at.into_value(),
        rate_limit_max: spec.rate_limit_max.into_value(),
        metadata: json!(spec.metadata.into_value().unwrap_or_default()).to_string(),
        grants: &grants,
        created_at: now,
    };
    let deed = Deed {
        action: "token.created",
        target: &uid,
        label: Some(new.description),
        details: json!({ "scopes": new.scopes, "expires_at": new.expires_at, "grants": new.grants }),
    };
    let noted = by.note(app, &deed)?;
    let row = tokens::insert(&*app.ports.database, new, noted).await?;
    row.map(|row| (plain, row.token)).ok_or_else(|| Failure::not_found("Token"))
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, by: &Actor, uid: &str, spec: TokenSpec) -> Result<TokenRow, Failure> {
    spec.check()?;
    let deed = Deed { action: "token.changed", target: uid, label: None, details: spec.named() };
    let noted = by.note(app, &deed)?;
    let changes = TokenChanges {
        description: spec.description.map(|text| text.trim().to_owned()),
        scopes: spec.permissions.map(scope_names),
        expires_at: spec.expires_at,
        rate_limit_max: spec.rate_limit_max,
        metadata: match spec.metadata {
            Update::Keep => None,
            Update::Set(metadata) => Some(json!(metadata.unwrap_or_default()).to_string()),
        },
        grants: match spec.allowed_package_prefixes {
            Update::Keep => None,
            Update::Set(prefixes) => Some(TokenSpec::grants(prefixes)),
        },
    };
    let row = tokens::update(&*app.ports.database, by.organization_id, uid, changes, noted).await?;
    let HashedTokenRow { hash, token } = row.ok_or_else(|| Failure::not_found("Token"))?;
    learn(app, &TokenHash::from_stored(hash), Some(token.clone())).await;
    Ok(token)
}

/// Revokes a token.
pub async fn revoke(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    let noted = by.note(app, &Deed { action: "token.revoked", target: uid, label: None, details: json!({}) })?;
    let revoked = tokens::revoke(&*app.ports.database, by.organization_id, uid, app.now(), noted).await?;
    let absent = || Failure::not_found("Token");
    let revocation = revoked.ok_or_else(absent)?;
    learn(app, &TokenHash::from_stored(revocation.hash), None).await;
    if revocation.is_new { Ok(()) } else { Err(absent()) }
}

/// One token.
pub async fn get(app: &App, organization_id: i64, uid: &str) -> Result<TokenRow, Failure> {
    let rows = crate::store::run(&*app.ports.database, tokens::by_uid(organization_id, uid)).await?;
    let row: Option<HashedTokenRow> = rows.first()?;
    row.map(|row| row.token).ok_or_else(|| Failure::not_found("Token"))
}

/// A page of tokens, newest first, and how many there are in all.
pub async fn list(app: &App, organization_id: i64, page: Page) -> Result<(Vec<TokenRow>, i64), Failure> {
    Ok(tokens::page(&*app.ports.database, organization_id, page).await?)
}
