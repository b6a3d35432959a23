//! Replacing the key pair of a consumer: everything else of it stays, and the old pair may work for a while yet.

use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::registry::access::credential_cache::{refresh_all_cached, refresh_cached_by_hash};
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{self, Answer, DoneRequest, IdempotencyKey, IdempotencyState};
use crate::registry::identity::tokens::rotation::end_of_grace;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::{TokenHash, new_key};
use crate::registry::storefront::consumer_keys::Consumer;
use crate::registry::storefront::consumers::{ConsumerSpec, get, note};
use crate::registry::storefront::coverage::{CoveredConsumer, ShownConsumer, require_covered};
use crate::store::access::tokens;
use crate::store::storefront::consumers;

/// A consumer whose keys were replaced.
pub struct RotatedConsumer {
    /// It, as it is now.
    pub shown: ShownConsumer,
    /// Until when the keys before work, while they do.
    pub previous_until: Option<Millis>,
}

/// Gives a consumer another key pair.
///
/// # Errors
/// `Conflict` when somebody else changed the consumer at the same time; and see [`idempotency::begin`].
pub async fn rotate(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    id: i64,
    grace_seconds: i64,
) -> Result<Answer<RotatedConsumer>, Failure> {
    let previous_until = end_of_grace(app, grace_seconds)?;
    let covered = require_covered(app, issuer, id).await?;
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(rotated_before(app, issuer, done.id()).await),
    };
    let rotated = rotate_once(app, issuer, &covered, id, previous_until, claim.keep(id)).await;
    let shown = claim.release_on_failure(app, rotated).await?;
    Ok(Answer::first(RotatedConsumer { shown: ShownConsumer::changed(shown), previous_until }))
}

/// The consumer whose keys a request replaced before, as it is now. That request may have been cut off before it ended the old
/// keys in the caches.
async fn rotated_before(app: &App, issuer: &Issuer, id: i64) -> Result<RotatedConsumer, Failure> {
    let (consumer, tokens) = get(app, issuer.organization(), id).await?;
    let keys = tokens.iter().find(|row| row.token.uid == consumer.row.uid);
    let previous_until = keys.and_then(|row| row.previous_until).filter(|end| *end > app.now());
    refresh_all_cached(app, tokens).await;
    Ok(RotatedConsumer { shown: ShownConsumer::changed(consumer), previous_until })
}

async fn rotate_once(
    app: &App,
    issuer: &Issuer,
    covered: &CoveredConsumer<'_>,
    id: i64,
    previous_until: Option<Millis>,
    keep: Option<Stmt>,
) -> Result<Consumer, Failure> {
    let organization = issuer.organization();
    let (old, known) = get(app, organization, id).await?;
    let entropy = &*app.ports.entropy;
    let keys = ConsumerSpec {
        public_key: Some(new_key(entropy)?),
        private_key: Some(new_key(entropy)?),
        ..ConsumerSpec::default()
    };
    let mut new = old.clone();
    keys.apply(app, &mut new)?;
    let batch = (
        covered.guard(),
        consumers::update(organization, &old.row, &new.row, &[]),
        note(app, &issuer.by, "consumer.keys_rotated", id, json!({ "previous_until": previous_until }))?,
        keep,
        consumers::rotate_keys(organization, &new.row, new.hash().as_str(), previous_until),
        tokens::of_consumer(organization, id),
    );
    let (_, is_changed, .., tokens) = covered.outcome(app.ports.database.ask(batch).await).await?;
    if !is_changed {
        return Err(Failure::concurrent_change("consumer"));
    }
    let older = known.into_iter().filter(|row| row.token.uid == old.row.uid).find_map(|row| row.previous_hash);
    if let Some(older) = older {
        refresh_cached_by_hash(app, &TokenHash::from_stored(older), None).await;
    }
    refresh_all_cached(app, tokens).await;
    Ok(new)
}
