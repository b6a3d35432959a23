//! Replacing a token's secret: everything else of it stays, and the old secret may work for a while yet.

use std::time::Duration;

use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::registry::access::credential_cache::{refresh_cached, refresh_cached_by_hash};
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::identity::tokens::{ShownToken, absent};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::{PlainToken, TokenHash, TokenKind};
use crate::store::access::tokens::{self, HashedTokenRow};

/// A week: for as long as it takes to bring a new secret everywhere, and no second token.
const MAX_GRACE_SECONDS: i64 = 7 * 24 * 3600;

/// A rotation that has not been carried out.
struct Rotation {
    /// The new secret.
    plain: PlainToken,
    /// The token as it is.
    row: HashedTokenRow,
    /// Until when the old secret works, if it does not end at once.
    previous_until: Option<Millis>,
}

/// Until when an old secret works, if it does not end at once.
pub fn end_of_grace(app: &App, grace_seconds: i64) -> Result<Option<Millis>, Failure> {
    if !(0..=MAX_GRACE_SECONDS).contains(&grace_seconds) {
        let detail = format!("must be between 0 and {MAX_GRACE_SECONDS}, a week");
        return Err(Failure::invalid_field("grace_seconds", detail));
    }
    let grace = Duration::from_secs(u64::try_from(grace_seconds).unwrap_or(0));
    Ok(Some(app.now().plus(grace)).filter(|_| !grace.is_zero()))
}

/// Makes a new secret for a token; nothing is stored yet.
async fn draft(app: &App, issuer: &Issuer, uid: &str, grace_seconds: i64) -> Result<Rotation, Failure> {
    let previous_until = end_of_grace(app, grace_seconds)?;
    let look_up = tokens::by_uid(issuer.by.organization(), uid);
    let row = app.ports.database.ask(look_up).await?.ok_or_else(absent)?;
    issuer.check_token(&row.token)?;
    Ok(Rotation { plain: PlainToken::generate(TokenKind::Access, &*app.ports.entropy)?, row, previous_until })
}

/// Gives a token another secret; the plain one is in the answer, and kept sealed for a request with a key.
///
/// # Errors
/// [`crate::registry::kernel::failure::Kind::Conflict`] when the token was changed, rotated or revoked since it was looked at;
/// and see [`idempotency::begin`].
pub async fn rotate(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    uid: &str,
    grace_seconds: i64,
) -> Result<Answer<ShownToken>, Failure> {
    let rotation = draft(app, issuer, uid, grace_seconds).await?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            // The request that carried the rotation out may have been cut off before it ended the old secret in the caches.
            refresh_cached(app, rotation.row.clone()).await;
            return DoneRequest::again(Ok(ShownToken::again(rotation.row, done.secret(), app.now())));
        }
    };
    let keep = claim.keep_secret(app, uid, rotation.plain.expose())?;
    claim.release_on_failure(app, carry_out(app, issuer, &rotation, keep).await).await?;
    let Rotation { plain, row, previous_until } = rotation;
    Ok(Answer::first(ShownToken { row: row.token, secret: Some(plain.expose().to_owned()), previous_until }))
}

async fn carry_out(app: &App, issuer: &Issuer, rotation: &Rotation, keep: Option<Stmt>) -> Result<(), Failure> {
    let Rotation { plain, row, previous_until } = rotation;
    let event = AuditEvent {
        action: "token.rotated",
        target: &row.token.uid,
        label: Some(&row.token.description),
        details: json!({ "previous_until": previous_until }),
    };
    let recorded = issuer.by.record(app, &event)?;
    replace_secret(app, row, plain, *previous_until, None, recorded, keep).await
}

/// Gives a token another secret, in the database and in the caches. `guard`, `noted` and `keep` go into the same batch.
///
/// # Errors
/// `Conflict` when the token was changed, rotated or revoked since it was looked at.
pub async fn replace_secret(
    app: &App,
    row: &HashedTokenRow,
    plain: &PlainToken,
    previous_until: Option<Millis>,
    guard: Option<Stmt>,
    noted: Stmt,
    keep: Option<Stmt>,
) -> Result<(), Failure> {
    let hash = plain.hash();
    let batch = (guard, tokens::rotate(&row.token, hash.as_str(), previous_until), noted, keep);
    let (_, is_done, ..) = app.ports.database.ask(batch).await?;
    if !is_done {
        return Err(Failure::concurrent_change("token"));
    }
    if let Some(older) = &row.previous_hash {
        refresh_cached_by_hash(app, &TokenHash::from_stored(older.clone()), None).await;
    }
    let now_known = HashedTokenRow {
        hash: hash.as_str().to_owned(),
        previous_hash: Some(row.hash.clone()),
        previous_until,
        token: row.token.clone(),
    };
    refresh_cached(app, now_known).await;
    Ok(())
}
