//! Further tokens of a consumer, for those who share what it bought: each can be taken back by itself. They see what
//! the consumer was granted, and are as many as it has seats at most.

use serde_json::json;

use crate::ports::Millis;
use crate::registry::access::credential_cache::refresh_cached;
use crate::registry::access::failed_credentials::recognize;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::identity::tokens::rotation::{end_of_grace, replace_secret};
use crate::registry::identity::tokens::{ShownToken, absent as no_token};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, TokenKind};
use crate::registry::kernel::validation::FieldErrors;
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumers::{MAX_SEATS, note, scopes};
use crate::registry::storefront::coverage::{CoveredConsumer, require_covered};
use crate::store::Update;
use crate::store::access::tokens::{self, HashedTokenRow, TokenHolder, TokenRow};
use crate::store::identity::revocations;
use crate::store::storefront::consumers::{NewToken, TokenChange, by_id, insert_token, update_token};

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

/// Refuses a token that the consumer does not have, by its public id.
pub async fn require(app: &App, issuer: &Issuer, consumer_id: i64, uid: &str) -> Result<(), Failure> {
    let tokens = list(app, issuer, consumer_id).await?;
    if tokens.iter().any(|token| token.uid == uid) { Ok(()) } else { Err(no_token()) }
}

/// What a request to make or to change a token says; every field is optional here.
#[derive(Default)]
pub struct ConsumerTokenSpec {
    /// Who it is for.
    pub description: Option<String>,
    /// When it ends.
    pub expires_at: Update<Millis>,
}

impl ConsumerTokenSpec {
    /// This, trimmed, if nothing is wrong with it.
    fn check(self, is_new: bool) -> Result<Self, Failure> {
        let mut wrong = FieldErrors::default();
        let description = self.description.map(|text| text.trim().to_owned()).or(is_new.then(String::new));
        if description.as_ref().is_some_and(|text| !(1..=MAX_DESCRIPTION).contains(&text.chars().count())) {
            let detail = format!("must be 1 to {MAX_DESCRIPTION} characters: say who the token is for");
            wrong.push("description", detail);
        }
        wrong.check_moment("expires_at", self.expires_at.into_value());
        wrong.into_result()?;
        Ok(Self { description, ..self })
    }
}

/// Makes a token; the plain one is in the answer, and kept sealed for a request with a key.
pub async fn issue(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    consumer_id: i64,
    spec: ConsumerTokenSpec,
) -> Result<Answer<ShownToken>, Failure> {
    let covered = require_covered(app, issuer, consumer_id).await?;
    let spec = spec.check(true)?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(made_before(app, issuer, consumer_id, &done).await),
    };
    let made = issue_once(app, issuer, &covered, consumer_id, &spec, &claim).await;
    claim.release_on_failure(app, made).await.map(Answer::first)
}

/// The token that a request made before, while its consumer has it.
async fn made_before(app: &App, issuer: &Issuer, consumer_id: i64, done: &DoneRequest) -> Result<ShownToken, Failure> {
    let row = live(app, issuer, consumer_id, done.uid()).await?;
    Ok(ShownToken::again(row, done.secret(), app.now()))
}

/// A live token of a consumer.
async fn live(app: &App, issuer: &Issuer, consumer_id: i64, uid: &str) -> Result<HashedTokenRow, Failure> {
    let organization = issuer.organization();
    let known = tokens::known(organization, TokenHolder::Consumer(consumer_id), uid);
    let (consumer, known) = app.ports.database.ask((by_id(organization, consumer_id), known)).await?;
    if consumer.is_none() {
        return Err(absent(app, organization, consumer_id).await);
    }
    known.filter(|row| row.token.revoked_at.is_none()).ok_or_else(no_token)
}

async fn issue_once(
    app: &App,
    issuer: &Issuer,
    covered: &CoveredConsumer<'_>,
    consumer_id: i64,
    spec: &ConsumerTokenSpec,
    claim: &IdempotencyClaim,
) -> Result<ShownToken, Failure> {
    let plain = PlainToken::generate(TokenKind::Access, &*app.ports.entropy)?;
    let (uid, hash) = (new_uid(&*app.ports.entropy, app.now())?, plain.hash());
    let new = NewToken {
        uid: &uid,
        hash: hash.as_str(),
        description: spec.description.as_deref().unwrap_or_default(),
        scopes: scopes(),
        expires_at: spec.expires_at.into_value(),
        created_at: app.now(),
    };
    let organization = issuer.organization();
    let recorded = note(app, &issuer.by, "consumer.token_created", consumer_id, json!({ "token": uid }))?;
    let batch = (
        covered.guard(),
        insert_token(organization, consumer_id, &new, MAX_SEATS),
        recorded,
        claim.keep_secret(app, uid.as_str(), plain.expose())?,
        by_id(organization, consumer_id),
        tokens::known(organization, TokenHolder::Consumer(consumer_id), &uid),
    );
    let (.., consumer, made) = covered.outcome(app.ports.database.ask(batch).await).await?;
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
    let covered = require_covered(app, issuer, consumer_id).await?;
    let recorded = note(app, &issuer.by, "consumer.token_revoked", consumer_id, json!({ "token": uid }))?;
    let holder = TokenHolder::Consumer(consumer_id);
    let batch = (covered.guard(), revocations::revoke(issuer.organization(), holder, uid, None, app.now(), recorded));
    let (_, (is_new, (), token)) = covered.outcome(app.ports.database.ask(batch).await).await?;
    refresh_cached(app, token.ok_or_else(no_token)?).await;
    if is_new { Ok(()) } else { Err(no_token()) }
}

/// Changes what the request names, and nothing else.
pub async fn change(
    app: &App,
    issuer: &Issuer,
    consumer_id: i64,
    uid: &str,
    spec: ConsumerTokenSpec,
) -> Result<TokenRow, Failure> {
    let covered = require_covered(app, issuer, consumer_id).await?;
    let spec = spec.check(false)?;
    let organization = issuer.organization();
    let change = TokenChange { description: spec.description.as_deref(), expires_at: spec.expires_at };
    let details = json!({ "token": uid, "description": spec.description, "expires_at": spec.expires_at.into_value() });
    let batch = (
        covered.guard(),
        update_token(organization, consumer_id, uid, &change),
        note(app, &issuer.by, "consumer.token_changed", consumer_id, details)?,
        by_id(organization, consumer_id),
        tokens::known(organization, TokenHolder::Consumer(consumer_id), uid),
    );
    let (_, is_changed, (), consumer, row) = covered.outcome(app.ports.database.ask(batch).await).await?;
    if consumer.is_none() {
        return Err(absent(app, organization, consumer_id).await);
    }
    let row = row.filter(|_| is_changed).ok_or_else(no_token)?;
    refresh_cached(app, row.clone()).await;
    Ok(row.token)
}

/// Replaces the secret of a token; the plain one is in the answer, and kept sealed for a request with a key.
pub async fn rotate(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    consumer_id: i64,
    uid: &str,
    grace_seconds: i64,
) -> Result<Answer<ShownToken>, Failure> {
    let previous_until = end_of_grace(app, grace_seconds)?;
    let covered = require_covered(app, issuer, consumer_id).await?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            let found = live(app, issuer, consumer_id, uid).await;
            if let Ok(row) = &found {
                // The request that carried it out may have been cut off before it ended the old secret in the caches.
                refresh_cached(app, row.clone()).await;
            }
            return DoneRequest::again(found.map(|row| ShownToken::again(row, done.secret(), app.now())));
        }
    };
    let rotated = async {
        let row = live(app, issuer, consumer_id, uid).await?;
        let plain = PlainToken::generate(TokenKind::Access, &*app.ports.entropy)?;
        let details = json!({ "token": uid, "previous_until": previous_until });
        let recorded = note(app, &issuer.by, "consumer.token_rotated", consumer_id, details)?;
        let keep = claim.keep_secret(app, uid, plain.expose())?;
        let replaced = replace_secret(app, &row, &plain, previous_until, covered.guard(), recorded, keep).await;
        covered.outcome(replaced).await?;
        Ok(ShownToken { row: row.token, secret: Some(plain.expose().to_owned()), previous_until })
    };
    let rotated = rotated.await;
    claim.release_on_failure(app, rotated).await.map(Answer::first)
}
