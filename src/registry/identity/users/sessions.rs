//! One's own sessions: which there are, and ending them.

use serde_json::json;

use crate::registry::access::account::CurrentUser;
use crate::registry::access::session::{IDLE_TIMEOUT, MAX_SESSIONS_PER_USER, session_cache_key};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::TokenHash;
use crate::store::Page;
use crate::store::access::sessions::{self, EndedRow, SessionRow};
use crate::store::access::users;

/// A page of one's sessions, newest first, and how many there are in all.
pub async fn list(app: &App, me: &CurrentUser, page: Page) -> Result<(Vec<SessionRow>, i64), Failure> {
    let now = app.now();
    Ok(sessions::page(&*app.ports.database, me.account.user.id, now, now.minus(IDLE_TIMEOUT), page).await?)
}

/// Ends one of one's sessions.
pub async fn end(app: &App, me: &CurrentUser, uid: &str) -> Result<(), Failure> {
    let recorded =
        me.by.record(app, &AuditEvent { action: "session.ended", target: uid, label: None, details: json!({}) })?;
    let (ended, ()) = app.ports.database.ask((sessions::end(me.account.user.id, uid), recorded)).await?;
    let EndedRow { hash } = ended.ok_or_else(|| Failure::not_found("Session"))?;
    if let Err(fault) = app.ports.cache.delete(&session_cache_key(&TokenHash::from_stored(hash))).await {
        log::warn!("KV keeps a session that has ended for a while: {fault}");
    }
    Ok(())
}

/// Ends all of one's sessions, this one too.
pub async fn end_all(app: &App, me: &CurrentUser) -> Result<(), Failure> {
    let user = &me.account.user;
    let event = AuditEvent { action: "user.sessions_ended", target: &user.uid, label: None, details: json!({}) };
    let now = app.now();
    let batch = [
        users::end_sessions(user.id),
        me.by.record(app, &event)?,
        sessions::prune(user.id, now, now.minus(IDLE_TIMEOUT), MAX_SESSIONS_PER_USER),
    ];
    app.ports.database.ask(batch).await?;
    Ok(())
}
