//! Issuing, changing, replacing and revoking tokens.
//!
//! Nobody passes on more than they hold: a token can only be given scopes and grants that whoever asks has too, can not
//! outlive theirs, and one that holds more than they do is not theirs to change, to rotate or to revoke. How many
//! requests an hour it has is not looked at: many tokens would have many hours anyway.

pub mod read;
pub mod rotation;
pub mod spec;

use std::borrow::Cow;

use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::registry::access::credential_cache::{CACHE_TTL, end_cached, refresh_all_cached, refresh_cached};
use crate::registry::access::failed_credentials::recognize;
use crate::registry::access::grant::everything;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::rights::Rights;
use crate::registry::access::scope::{Permissions, Scope, names};
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::identity::tokens::spec::TokenSpec;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, TokenHash, TokenKind};
use crate::store::access::tokens::{self, GrantRow, HashedTokenRow, TokenChanges, TokenFilter, TokenHolder, TokenRow};
use crate::store::identity::revocations;
use crate::store::{Query, Update};

/// The revision at which the token that `look_up` finds holds no more than its issuer does; `None` when it may hold what it
/// likes.
async fn checked_revision(
    app: &App,
    issuer: &Issuer,
    look_up: Query<Option<HashedTokenRow>>,
) -> Result<Option<i64>, Failure> {
    if issuer.holds_everything()? {
        return Ok(None);
    }
    let token = app.ports.database.ask(look_up).await?.ok_or_else(absent)?.token;
    issuer.check_token(&token)?;
    Ok(Some(token.revision))
}

/// What is answered when there is no such token.
pub fn absent() -> Failure {
    Failure::not_found("Token")
}

/// A token that is about to be issued.
struct TokenDraft {
    /// The token itself.
    plain: PlainToken,
    /// What will be stored of it, but for the primary key, which is 0 here.
    row: TokenRow,
}

/// A token as whoever has asked for its secret is shown it.
pub struct ShownToken {
    /// As stored.
    pub row: TokenRow,
    /// Its secret, unless it has another one by now.
    pub secret: Option<String>,
    /// Until when the secret before works, while it does.
    pub previous_until: Option<Millis>,
}

impl ShownToken {
    /// A token that was made or rotated before, as it is now; `secret` is the one that it was given then.
    pub fn again(row: HashedTokenRow, secret: Option<&str>, now: Millis) -> Self {
        let is_current = |secret: &&str| TokenHash::of(secret).as_str() == row.hash;
        Self {
            secret: secret.filter(is_current).map(str::to_owned),
            previous_until: row.previous_until.filter(|end| *end > now),
            row: row.token,
        }
    }
}

/// What a request asks a token to hold.
fn asked<'s>(
    issuer: &Issuer,
    scopes: &'s [Scope],
    grants: &[GrantRow],
    expires_at: Option<Millis>,
) -> Result<Rights<'s>, Failure> {
    let none = Rights::none(issuer.organization());
    Ok(Rights { scopes: Cow::Borrowed(scopes), expires_at, ..none.with_grants(grants)? })
}

/// Puts a token together; nothing is stored yet.
fn draft(app: &App, issuer: &Issuer, spec: TokenSpec) -> Result<TokenDraft, Failure> {
    if spec.description.is_none() {
        return Err(Failure::invalid_field("description", "is required: say what the token is for"));
    }
    let entropy = &*app.ports.entropy;
    let plain = match spec.prefix {
        Some(prefix) => PlainToken::with_prefix(prefix, entropy)?,
        None => PlainToken::generate(TokenKind::Access, entropy)?,
    };
    let spec = spec.check()?;
    let scopes = spec.scopes.unwrap_or_else(|| Permissions::ReadOnly.scopes());
    let grants = spec.grants.unwrap_or_else(|| vec![everything()]);
    let expires_at = spec.expires_at.into_value();
    issuer.require(&asked(issuer, &scopes, &grants, expires_at)?)?;
    let now = app.now();
    let row = TokenRow {
        id: 0,
        uid: new_uid(entropy, now)?,
        organization: issuer.by.organization(),
        organization_slug: None,
        description: spec.description.unwrap_or_default(),
        scopes: names(&scopes),
        expires_at,
        rate_limit_max: spec.rate_limit_max.into_value(),
        metadata: spec.metadata.into_value().unwrap_or_default(),
        created_at: now,
        last_used_at: None,
        downloads: 0,
        last_download_at: None,
        revoked_at: None,
        revision: 0,
        consumer_id: None,
        is_disabled: false,
        rate_limits: None,
        grants,
    };
    Ok(TokenDraft { plain, row })
}

/// Issues a token; the plain one is in the answer, and kept sealed for a request with a key.
///
/// # Errors
/// See [`idempotency::begin`]; and `Forbidden` for what holds more than its issuer, when the request is repeated too.
pub async fn issue(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    spec: TokenSpec,
) -> Result<Answer<ShownToken>, Failure> {
    let draft = draft(app, issuer, spec)?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(made_before(app, issuer, &done).await),
    };
    let keep = claim.keep_secret(app, draft.row.uid.as_str(), draft.plain.expose())?;
    claim.release_on_failure(app, insert(app, issuer, &draft, keep).await).await?;
    let secret = Some(draft.plain.expose().to_owned());
    Ok(Answer::first(ShownToken { row: draft.row, secret, previous_until: None }))
}

/// The token that a request made before, if it is still the issuer's to hand out.
async fn made_before(app: &App, issuer: &Issuer, done: &DoneRequest) -> Result<ShownToken, Failure> {
    let look_up = tokens::by_uid(issuer.by.organization(), done.uid());
    let row = app.ports.database.ask(look_up).await?.ok_or_else(absent)?;
    issuer.check_token(&row.token)?;
    Ok(ShownToken::again(row, done.secret(), app.now()))
}

async fn insert(app: &App, issuer: &Issuer, draft: &TokenDraft, keep: Option<Stmt>) -> Result<(), Failure> {
    let row = &draft.row;
    let event = AuditEvent {
        action: "token.created",
        target: &row.uid,
        label: Some(&row.description),
        details: json!({ "scopes": row.scopes, "expires_at": row.expires_at, "grants": row.grants }),
    };
    let recorded = issuer.by.record(app, &event)?;
    let hash = draft.plain.hash();
    tokens::insert(&*app.ports.database, row, hash.as_str(), recorded, keep).await?;
    recognize(app, &hash);
    Ok(())
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, issuer: &Issuer, uid: &str, spec: TokenSpec) -> Result<TokenRow, Failure> {
    let spec = spec.check()?;
    // An end that the request does not name is looked at with the token.
    let expires_at = if spec.expires_at.is_set() { spec.expires_at.into_value() } else { Some(Millis(0)) };
    let (scopes, grants) = (spec.scopes.as_deref().unwrap_or_default(), spec.grants.as_deref().unwrap_or_default());
    issuer.require(&asked(issuer, scopes, grants, expires_at)?)?;
    let organization = issuer.by.organization();
    let revision = checked_revision(app, issuer, tokens::by_uid(organization, uid)).await?;
    let event = AuditEvent { action: "token.changed", target: uid, label: None, details: spec.named };
    let recorded = issuer.by.record(app, &event)?;
    let changes = TokenChanges {
        description: spec.description,
        scopes: spec.scopes.map(|scopes| json!(names(&scopes)).to_string()),
        expires_at: spec.expires_at,
        rate_limit_max: spec.rate_limit_max,
        metadata: match spec.metadata {
            Update::Keep => None,
            Update::Set(metadata) => Some(json!(metadata.unwrap_or_default()).to_string()),
        },
        grants: spec.grants,
        at: app.now(),
    };
    let row = tokens::update(&*app.ports.database, organization, uid, revision, changes, recorded).await?;
    let row = row.ok_or_else(|| if revision.is_some() { Failure::concurrent_change("token") } else { absent() })?;
    refresh_cached(app, row.clone()).await;
    Ok(row.token)
}

/// Revokes a token.
pub async fn revoke(app: &App, issuer: &Issuer, uid: &str) -> Result<(), Failure> {
    let organization = issuer.by.organization();
    let revision = checked_revision(app, issuer, tokens::known(organization, TokenHolder::Anybody, uid)).await?;
    let event = AuditEvent { action: "token.revoked", target: uid, label: None, details: json!({}) };
    let recorded = issuer.by.record(app, &event)?;
    let batch = revocations::revoke(organization, TokenHolder::Anybody, uid, revision, app.now(), recorded);
    let (is_new, (), row) = app.ports.database.ask(batch).await?;
    let row = row.ok_or_else(absent)?;
    if row.token.revoked_at.is_none() {
        return Err(Failure::concurrent_change("token"));
    }
    refresh_cached(app, row).await;
    if is_new { Ok(()) } else { Err(absent()) }
}

/// Most tokens that one call revokes by a filter: each is one or two deletions in KV, of the 1,000 calls that a request
/// may make.
pub const MAX_REVOKED: i64 = 100;

/// What became of revoking by a filter.
pub struct Revoked {
    /// Public ids of those that were revoked.
    pub uids: Vec<String>,
    /// How many are left.
    pub remaining: i64,
}

/// Revokes the tokens that `filter` means, up to [`MAX_REVOKED`] of them. Those that it revoked just before are dropped
/// from the caches again: whoever asks twice may not have got the first answer.
pub async fn revoke_all(app: &App, issuer: &Issuer, filter: &TokenFilter<'_>) -> Result<Revoked, Failure> {
    let database = &*app.ports.database;
    let organization = issuer.by.organization();
    let now = app.now();
    let found =
        revocations::tokens_to_revoke(database, organization, filter, MAX_REVOKED, now.minus(CACHE_TTL), now).await?;
    if !issuer.holds_everything()? {
        found.tokens.iter().try_for_each(|row| issuer.check_token(&row.token))?;
    }
    let mut ended = Vec::new();
    if !found.tokens.is_empty() {
        let event =
            AuditEvent { action: "token.revoked", target: "", label: None, details: json!({ "by_filter": true }) };
        let recorded = issuer.by.record_revocations(app, &event, &found.tokens)?;
        ended = revocations::revoke_all(database, organization, &found.tokens, now, recorded).await?;
    }
    let revoked: Vec<HashedTokenRow> = found.tokens.into_iter().filter(|row| ended.contains(&row.token.uid)).collect();
    let uids: Vec<String> = revoked.iter().map(|row| row.token.uid.clone()).collect();
    end_cached(app, revoked, now).await;
    refresh_all_cached(app, found.gone).await;
    let remaining = found.total - i64::try_from(uids.len()).unwrap_or(0);
    Ok(Revoked { uids, remaining })
}
