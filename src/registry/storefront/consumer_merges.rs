//! Two consumers of one customer become one: what either was granted, its tokens, its downloads. Both key pairs go on
//! working, and at no moment does either see less than before, because it is one batch.

use std::collections::HashSet;

use serde_json::json;

use crate::ports::Stmt;
use crate::registry::access::credential_cache::refresh_all_cached;
use crate::registry::access::grant::check_comparisons;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::identity::tokens::spec::MAX_GRANTS;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::storefront::absent_consumers::{absent, absent_in_body};
use crate::registry::storefront::consumer_keys::Consumer;
use crate::registry::storefront::consumers::{MAX_SEATS, note};
use crate::registry::storefront::coverage::{ShownConsumer, get};
use crate::store::access::tokens::{self, GrantRow};
use crate::store::storefront::consumer_merges::{self, ConsumerMerge, MergeLimits};
use crate::store::storefront::consumers::{self, ConsumerRow};
use crate::store::storefront::entitlements;

/// Most live tokens of a consumer, with its key pair.
const MAX_TOKENS: i64 = MAX_SEATS + 1;

fn conflict(detail: String) -> Failure {
    Failure::new(Kind::Conflict, detail)
}

/// Refuses what cannot be one consumer; `permissions` and `tokens` are those of both.
fn check(into: &ConsumerRow, from: &ConsumerRow, permissions: usize, tokens: usize) -> Result<(), Failure> {
    if into.is_enabled != from.is_enabled {
        let (enabled, disabled) = if into.is_enabled { (into.id, from.id) } else { (from.id, into.id) };
        return Err(conflict(format!(
            "Consumer {enabled} is enabled and consumer {disabled} is not. Give both the same `status` first."
        )));
    }
    if permissions > MAX_GRANTS {
        return Err(conflict(format!(
            "Together they have {permissions} permissions, and a consumer has {MAX_GRANTS} at most. Delete some of them first."
        )));
    }
    if i64::try_from(tokens).unwrap_or(i64::MAX) > MAX_TOKENS {
        return Err(conflict(format!(
            "Together they have {tokens} tokens and key pairs, and a consumer has {MAX_TOKENS} at most. Delete some of \
             the tokens first."
        )));
    }
    Ok(())
}

/// Makes the consumer `from` part of the consumer `into`, whose id, address and keys stay; the latter as it is then. Doing
/// it twice does nothing more.
pub async fn merge(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    into: i64,
    from: i64,
) -> Result<Answer<ShownConsumer>, Failure> {
    if from == into {
        let detail = "is the consumer in the address, which cannot be merged with itself: name another";
        return Err(Failure::invalid_field("consumer_id", detail));
    }
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(get(app, issuer, done.id()).await),
    };
    let merged = merge_once(app, issuer, into, from, &claim).await;
    claim.release_on_failure(app, merged).await.map(Answer::first)
}

async fn merge_once(
    app: &App,
    issuer: &Issuer,
    into: i64,
    from: i64,
    claim: &IdempotencyClaim,
) -> Result<ShownConsumer, Failure> {
    let organization = issuer.by.organization();
    let look = (
        [consumers::by_id(organization, into), consumers::by_id(organization, from)],
        [entitlements::of_consumer(organization, into), entitlements::of_consumer(organization, from)],
        [tokens::of_consumer(organization, into), tokens::of_consumer(organization, from)],
        consumer_merges::of_former(organization, from),
    );
    let ([kept, merged], permissions, tokens, former) = app.ports.database.ask(look).await?;
    let Some(kept) = kept else { return Err(absent(app, organization, into).await) };
    let Some(merged) = merged else {
        let is_repeated = former.is_some_and(|former| former.consumer_id == into);
        return if is_repeated {
            claim.release(app).await;
            get(app, issuer, into).await
        } else {
            Err(absent_in_body(app, organization, from).await)
        };
    };
    let mut grants: Vec<GrantRow> = Vec::new();
    let mut different: HashSet<String> = HashSet::new();
    for permission in permissions.into_iter().flatten() {
        different.insert(json!([permission.grant(), permission.entitlement.order_id]).to_string());
        if !grants.contains(permission.grant()) {
            grants.push(permission.entitlement.grant);
        }
    }
    check(&kept, &merged, different.len(), tokens.iter().map(Vec::len).sum())?;
    if let Some(text) = check_comparisons(&grants) {
        return Err(Failure::new(Kind::Conflict, format!("The permissions of both {text}.")));
    }
    issuer.check_grants(&grants)?;
    carry_out(app, issuer, &merged, into, &grants, claim.keep(into)).await
}

async fn carry_out(
    app: &App,
    issuer: &Issuer,
    merged: &ConsumerRow,
    into: i64,
    grants: &[GrantRow],
    keep: Option<Stmt>,
) -> Result<ShownConsumer, Failure> {
    let organization = issuer.by.organization();
    let merge = ConsumerMerge { from: merged.id, into, at: app.now() };
    let limits = MergeLimits {
        grants: json!(grants).to_string(),
        most_grants: i64::try_from(MAX_GRANTS).unwrap_or(i64::MAX),
        most_tokens: MAX_TOKENS,
    };
    let details = json!({ "consumer_id": merged.id, "customer_id": merged.customer_id, "order_id": merged.order_id });
    let batch = (
        consumer_merges::record(organization, merge, &limits),
        note(app, &issuer.by, "consumer.merged", into, details)?,
        keep,
        consumer_merges::carry_out(organization, merge, MAX_SEATS),
        consumers::by_id(organization, into),
        tokens::of_consumer(organization, into),
    );
    let (is_merged, .., row, tokens) = app.ports.database.ask(batch).await?;
    let row = row.filter(|_| is_merged).ok_or_else(|| Failure::concurrent_change("consumers"))?;
    refresh_all_cached(app, tokens).await;
    Ok(ShownConsumer::changed(Consumer::open(app, row)?))
}
