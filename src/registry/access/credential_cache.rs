//! What isolates and KV know of credentials, for how long, and how they hear of a change.
//!
//! A token is looked up in the isolate's memory, then in KV, then in the database. What KV holds is a copy: a revocation
//! deletes it, and it ends by itself after [`CACHE_TTL`].

use std::sync::Arc;
use std::time::Duration;

use crate::ports::Millis;
use crate::registry::access::caller::{CachedCredential, Caller};
use crate::registry::access::caller_cache::Callers;
use crate::registry::access::failed_credentials::recognize;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::Cached;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::TokenHash;
use crate::registry::kernel::side_by_side::side_by_side;
use crate::store::access::tokens::{HashedTokenRow, TokenRow, find_valid, touch_last_used};
use crate::store::query::Batch;

/// How long an isolate goes by what it has read of a token.
pub const CALLER_TTL: Duration = Duration::from_secs(30);

/// How long KV keeps a token that nobody changes; each time it runs out, the look-up in the database notes that the
/// token was used.
pub const CACHE_TTL: Duration = Duration::from_mins(5);

/// The key under which KV holds a token.
pub fn cache_key(hash: &TokenHash) -> String {
    format!("token:{}", hash.as_str())
}

/// What this isolate knows of a token, while that is fresh: a caller, or that the token was revoked. Tokens that are nobody's
/// are with [`failed_credentials`](crate::registry::access::failed_credentials).
pub fn recall(app: &App, hash: &TokenHash, now: Millis) -> Option<Option<Arc<Caller>>> {
    let callers = app.memory.slot::<Callers>();
    let mut callers = callers.lock();
    callers.get(hash).filter(|entry| entry.is_fresh(now, CALLER_TTL)).map(|entry| entry.value.clone())
}

/// Asks KV, then the database, and caches the answer. `prefetch` is asked in the same round trip as the database,
/// and what it yields is returned.
///
/// # Errors
/// When the database does not answer, or a row cannot be read.
pub async fn look_up<B: Batch>(
    app: &App,
    hash: &TokenHash,
    prefetch: Option<B>,
) -> Result<(Option<Arc<Caller>>, Option<B::Answer>), Failure> {
    let now = app.now();
    let cached = app.ports.cache.get(&cache_key(hash)).await.unwrap_or_else(|fault| {
        log::warn!("token look-up goes to the database: {fault}");
        None
    });
    if let Some(record) = cached.and_then(|text| serde_json::from_str::<CachedCredential>(&text).ok()) {
        return cache_in_memory(app, hash, Some(record), app.now()).map(|caller| (caller, None));
    }
    let (row, prefetched) = app.ports.database.ask((find_valid(hash.as_str(), now), prefetch)).await?;
    let Some(row) = row else { return Ok((None, prefetched)) };
    note_use(app, row.id, now);
    let record = CachedCredential::from(row);
    cache_in_kv(app, hash, &record).await;
    Ok((cache_in_memory(app, hash, Some(record), app.now())?, prefetched))
}

/// Has the database note that a token was used. Nobody waits for that, and nothing is written for a credential that is
/// nobody's.
fn note_use(app: &App, id: i64, now: Millis) {
    let later = app.clone();
    app.ports.tasks.wait_until(Box::pin(async move {
        if let Err(error) = later.ports.database.ask(touch_last_used(id, now)).await {
            log::warn!("the last use of a token was not noted: {error}");
        }
    }));
}

async fn cache_in_kv(app: &App, hash: &TokenHash, record: &CachedCredential) {
    let value = serde_json::json!(record).to_string();
    if let Err(fault) = app.ports.cache.put(&cache_key(hash), value, CACHE_TTL, None).await {
        log::warn!("a token was not cached: {fault}");
    }
}

/// How long KV may go on handing out what it held before a change.
const KV_PROPAGATION: Duration = Duration::from_mins(1);

/// Takes note of what a token has become, or that it was revoked: here at once, in KV as fast as KV spreads it. Until
/// then this isolate goes by its own memory, because KV may still show it the old copy. When KV fails, its copy ends
/// by itself after [`CACHE_TTL`]; the change in the database stands either way. The secret before a rotation is the
/// same token until its time is over.
pub async fn refresh_cached(app: &App, row: HashedTokenRow) {
    let HashedTokenRow { hash, previous_hash, previous_until, token } = row;
    let is_live = token.revoked_at.is_none();
    if let Some(previous_hash) = previous_hash {
        let ends = previous_until.filter(|end| is_live && app.now() < *end);
        let previous = ends.map(|end| {
            let expires_at = Some(token.expires_at.map_or(end, |own| own.min(end)));
            TokenRow { expires_at, ..token.clone() }
        });
        refresh_cached_by_hash(app, &TokenHash::from_stored(previous_hash), previous).await;
    }
    refresh_cached_by_hash(app, &TokenHash::from_stored(hash), is_live.then_some(token)).await;
}

/// The same of many tokens: of a consumer's, of those of hundreds of consumers.
pub async fn refresh_all_cached(app: &App, tokens: Vec<HashedTokenRow>) {
    side_by_side(tokens, |token| refresh_cached(app, token)).await;
}

/// Takes note that these tokens were revoked at `now`.
pub async fn end_cached(app: &App, tokens: Vec<HashedTokenRow>, now: Millis) {
    let revoked = |mut row: HashedTokenRow| {
        row.token.revoked_at = Some(now);
        row
    };
    refresh_all_cached(app, tokens.into_iter().map(revoked).collect()).await;
}

/// The same of one secret; `None` is not valid any more.
pub async fn refresh_cached_by_hash(app: &App, hash: &TokenHash, token: Option<TokenRow>) {
    let known_for = if token.is_some() { KV_PROPAGATION } else { CACHE_TTL };
    match cache_in_memory(app, hash, token.map(CachedCredential::from), app.now().plus(known_for)) {
        Ok(Some(_)) => recognize(app, hash),
        Ok(None) => {}
        Err(failure) => {
            log::error!("a changed token cannot be read: {failure:?}");
            app.memory.slot::<Callers>().lock().remove(hash);
        }
    }
    if let Err(fault) = app.ports.cache.delete(&cache_key(hash)).await {
        log::error!("a changed token may stay cached for {} s more: {fault}", CACHE_TTL.as_secs());
    }
}

/// Has this isolate go by `record` for [`CALLER_TTL`] after `cached_at`; `None` is a revoked token. The caller.
fn cache_in_memory(
    app: &App,
    hash: &TokenHash,
    record: Option<CachedCredential>,
    cached_at: Millis,
) -> Result<Option<Arc<Caller>>, Failure> {
    let callers = app.memory.slot::<Callers>();
    let mut callers = callers.lock();
    let read = |record| Caller::from_record(record, |written| callers.constraint(written)).map(Arc::new);
    let value = record.map(read).transpose()?;
    callers.put(hash.clone(), Cached { value: value.clone(), cached_at });
    Ok(value)
}
