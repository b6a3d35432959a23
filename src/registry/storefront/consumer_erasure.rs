//! Erasing a consumer: whatever is known of a person goes, and what they installed stays counted as nobody's.
//!
//! What is kept of persons, where, and for how long, is listed in docs/security.md.

use serde_json::json;

use crate::registry::access::credential_cache::end_cached;
use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::entity_tag::IfMatch;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::absent_consumers::absent;
use crate::registry::storefront::consumers::{note, tag_of};
use crate::registry::storefront::coverage::require_covered;
use crate::store::access::tokens;
use crate::store::storefront::consumer_erasure::{forget_entries, forget_traces};
use crate::store::storefront::{consumer_merges, consumers};

/// Deletes a consumer, if it is still there, and erases what is known of it and of what became part of it.
///
/// # Errors
/// `Forbidden` when it was granted what the caller does not see. `NotFound` when there is no such consumer and nothing is known of
/// one; of one that is gone nobody knows what it was granted, so only who sees everything can have it erased.
pub async fn erase(app: &App, issuer: &Issuer, id: i64, if_match: &IfMatch) -> Result<(), Failure> {
    let covered = require_covered(app, issuer, id).await?;
    let organization = issuer.organization();
    let look = (
        consumers::by_id(organization, id),
        tokens::of_consumer(organization, id),
        consumer_merges::of_former(organization, id),
    );
    let (consumer, known, former) = app.ports.database.ask(look).await?;
    if consumer.is_none() && (former.is_some() || !issuer.covers_everything()?) {
        return Err(absent(app, organization, id).await);
    }
    if let Some(row) = &consumer {
        if_match.require("consumer", &tag_of(row))?;
    }
    let batch = (
        covered.guard(),
        forget_traces(organization, id),
        forget_entries(organization, id),
        consumer.map(|_| consumers::delete(organization, id, None)),
        note(app, &issuer.by, "consumer.erased", id, json!({}))?,
    );
    let (.., is_erased, is_deleted, ()) = covered.outcome(app.ports.database.ask(batch).await).await?;
    if !is_deleted.unwrap_or(is_erased) {
        return Err(absent(app, organization, id).await);
    }
    end_cached(app, known, app.now()).await;
    Ok(())
}
