//! Sessions: what keeps a user signed in after a login.
//!
//! The database says whether a session is alive: one statement a request, which brings its user along. So a session
//! ends at once, everywhere, when it is logged out of, and all of a user's end when the user is blocked or removed from an
//! organization, or its role in one or its password changes. A user who is in no organization has no session. KV holds
//! when a session was last seen: as long as that is less than [`LAST_SEEN_INTERVAL`] ago, nothing is written. A session that KV
//! does not know (its entry ended, was not spread yet, or KV fails) is the database's alone to decide.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::Millis;
use crate::registry::access::account::Account;
use crate::registry::access::caller::Caller;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::secrets::TokenHash;
use crate::store::access::sessions::{self, SessionRow};
use crate::store::query::Batch;

/// A session ends when it was not used for so long.
pub const IDLE_TIMEOUT: Duration = Duration::from_hours(12);
/// A session ends after this in any case.
pub const MAX_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// How far behind the note of a session's last use may be; [`IDLE_TIMEOUT`] is exact to this. A place where KV still shows an
/// older note writes one of its own for each request, until KV's minute is over.
pub const LAST_SEEN_INTERVAL: Duration = Duration::from_mins(15);
/// Sessions that a user may have at once; a login beyond ends the oldest.
pub const MAX_SESSIONS_PER_USER: i64 = 50;

/// What KV holds of a session.
#[derive(Debug, Serialize, Deserialize)]
struct CachedSession {
    session: String,
    seen_at: Millis,
}

/// The key under which KV holds when a session was last seen.
pub fn session_cache_key(hash: &TokenHash) -> String {
    format!("session:{}", hash.as_str())
}

/// Notes in KV that a session was seen. KV failing costs a write to the database at the session's next use.
pub async fn cache_session(app: &App, hash: &TokenHash, uid: &str, now: Millis) {
    let value = json!(CachedSession { session: uid.to_owned(), seen_at: now }).to_string();
    if let Err(fault) = app.ports.cache.put(&session_cache_key(hash), value, IDLE_TIMEOUT, None).await {
        log::warn!("a session was not written to KV: {fault}");
    }
}

/// Whether KV says that a session was seen less than [`LAST_SEEN_INTERVAL`] ago.
async fn was_seen(app: &App, hash: &TokenHash, now: Millis) -> bool {
    let cached = app.ports.cache.get(&session_cache_key(hash)).await.unwrap_or_else(|fault| {
        log::warn!("a session goes to the database: {fault}");
        None
    });
    let record = cached.and_then(|text| serde_json::from_str::<CachedSession>(&text).ok());
    record.is_some_and(|record| now < record.seen_at.plus(LAST_SEEN_INTERVAL))
}

/// The user whose session has this token; `None` for a session that never was and for one that has ended. `prefetch` is
/// asked in the same round trip.
///
/// # Errors
/// When the database does not answer, or a row cannot be read.
pub async fn look_up_session<B: Batch>(
    app: &App,
    hash: &TokenHash,
    slug: Option<&str>,
    prefetch: Option<B>,
) -> Result<(Option<Arc<Caller>>, Option<B::Answer>), Failure> {
    let now = app.now();
    let was_seen = was_seen(app, hash, now).await;
    let batch = (sessions::look_up(hash.as_str(), now, now.minus(IDLE_TIMEOUT), slug), prefetch);
    let (session, prefetched) = app.ports.database.ask(batch).await?;
    let Some(SessionRow { id, uid, user: Some(user), organization_slug, rate_limits, .. }) = session else {
        return Ok((None, prefetched));
    };
    if !was_seen {
        note_seen(app, hash, id, &uid, now);
    }
    let rate_limits = rate_limits.unwrap_or_default();
    let account = Account { user, session_id: id, session_uid: uid, rate_limits };
    Ok((Some(Arc::new(Caller::of_account(account, organization_slug)?)), prefetched))
}

/// Has the database note that a session was seen, and KV behind it. Nobody waits for that, and nothing is written for a
/// token that is nobody's.
fn note_seen(app: &App, hash: &TokenHash, id: i64, uid: &str, now: Millis) {
    let (later, hash, uid) = (app.clone(), hash.clone(), uid.to_owned());
    app.ports.tasks.wait_until(Box::pin(async move {
        match later.ports.database.ask(sessions::touch_last_seen(id, now, now.minus(IDLE_TIMEOUT))).await {
            Ok(()) => cache_session(&later, &hash, &uid, now).await,
            Err(error) => log::warn!("the last use of a session was not noted: {error}"),
        }
    }));
}

/// The refusal of a session's token, in the same words for a session that never was and one that has ended.
pub fn ended() -> Failure {
    Failure::new(Kind::Unauthenticated, "This session has ended. Log in again.")
}
