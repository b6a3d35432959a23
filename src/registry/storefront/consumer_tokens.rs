//! Further tokens of a consumer, for those who share what it bought: each can be taken back by itself. They see what
//! the consumer was granted, and are as many as it has seats at most.

use serde_json::json;

use crate::registry::access::credential_cache::refresh_cached;
use crate::registry::access::failed_credentials::recognize;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::identity::tokens::{ShownToken, absent as no_token};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, TokenKind};
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumers::{MAX_SEATS, note, scopes};
use crate::registry::storefront::coverage::require_covered;
use crate::store::access::tokens::{self, TokenHolder, TokenRow};
use crate::store::identity::revocations;
use crate::store::storefront::consumers::{NewToken, by_id, insert_token};

const MAX_DESCRIPTION: usize = 500;

/// A consumer's tokens but for its key pair, the oldest first.
pub async fn list(app: &App, issuer: &Issuer, consumer_id: i64) -> Result<Vec<TokenRow>, Failure> {
    require_covered(app, issuer, consumer_id).await?;
    let organization = issuer.organization();
    let batch = (by_id(organization, consumer_id), tokens::of_consumer(organization, consumer_id));
    let (consumer, rows) = app.ports.database.ask(batch).await?;
    let Some(consumer) = consumer else { return Err(absent(app, organization, consumer_id).await) };
    Ok(rows.into_iter().map(|row| row.token).filter(|token| token.uid != consumer.uid).collect())
}

/// Makes a token; the plain one is in the answer, and kept sealed for a request with a key.
pub async fn issue(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    consumer_id: i64,
    description: &str,
) -> Result<Answer<ShownToken>, Failure> {
    require_covered(app, issuer, consumer_id).await?;
    let description = description.trim();
    if !(1..=MAX_DESCRIPTION).contains(&description.chars().count()) {
        let detail = format!("must be 1 to {MAX_DESCRIPTION} characters: say who the token is for");
        return Err(Failure::invalid_field("description", detail));
    }
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(made_before(app, issuer, consumer_id, &done).await),
    };
    let issued = issue_once(app, issuer, consumer_id, description, &claim).await;
    claim.release_on_failure(app, issued).await.map(Answer::first)
}

/// The token that a request made before, while its consumer has it.
async fn made_before(app: &App, issuer: &Issuer, consumer_id: i64, done: &DoneRequest) -> Result<ShownToken, Failure> {
    let organization = issuer.organization();
    let made = tokens::known(organization, TokenHolder::Consumer(consumer_id), done.uid());
    let (consumer, made) = app.ports.database.ask((by_id(organization, consumer_id), made)).await?;
    if consumer.is_none() {
        return Err(absent(app, organization, consumer_id).await);
    }
    let row = made.filter(|row| row.token.revoked_at.is_none()).ok_or_else(no_token)?;
    Ok(ShownToken::again(row, done.secret(), app.now()))
}

async fn issue_once(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    description: &str,
    claim: &IdempotencyClaim,
) -> Result<ShownToken, Failure> {
    let plain = PlainToken::generate(TokenKind::Access, &*app.ports.entropy)?;
    let (uid, hash) = (new_uid(&*app.ports.entropy, app.now())?, plain.hash());
    let new = NewToken { uid: &uid, hash: hash.as_str(), description, scopes: scopes(), created_at: app.now() };
    let organization = issuer.organization();
    let recorded = note(app, &issuer.by, "consumer.token_created", consumer_id, json!({ "token": uid }))?;
    let batch = (
        insert_token(organization, consumer_id, &new, MAX_SEATS),
        recorded,
        claim.keep_secret(app, uid.as_str(), plain.expose())?,
        by_id(organization, consumer_id),
        tokens::known(organization, TokenHolder::Consumer(consumer_id), &uid),
    );
    let (.., consumer, made) = app.ports.database.ask(batch).await?;
    if consumer.is_none() {
        return Err(absent(app, organization, consumer_id).await);
    }
    match made {
        Some(row) => {
            recognize(app, &hash);
            Ok(ShownToken { row: row.token, secret: Some(plain.expose().to_owned()), previous_until: None })
        }
        None => {
            Err(Failure::new(Kind::Conflict, "Every seat of this consumer is taken. Delete a token, or raise `seats`."))
        }
    }
}

/// Revokes a token.
pub async fn revoke(app: &App, issuer: &Issuer, consumer_id: i64, uid: &str) -> Result<(), Failure> {
    require_covered(app, issuer, consumer_id).await?;
    let recorded = note(app, &issuer.by, "consumer.token_revoked", consumer_id, json!({ "token": uid }))?;
    let holder = TokenHolder::Consumer(consumer_id);
    let revoked =
        revocations::revoke(&*app.ports.database, issuer.organization(), holder, uid, None, app.now(), recorded)
            .await?;
    let revocation = revoked.ok_or_else(no_token)?;
    refresh_cached(app, revocation.token).await;
    if revocation.is_new { Ok(()) } else { Err(no_token()) }
}
