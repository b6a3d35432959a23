//! `sessions`: which sessions are alive.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::rate_limits::RateLimits;
use crate::store::access::users::UserRow;
use crate::store::{Page, Query, optional_json_text};

/// A session with its user.
#[derive(Debug, Clone, Deserialize)]
pub struct SessionRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The client's IP address at login.
    pub address: Option<String>,
    /// What the client called itself at login.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: Millis,
    /// When it was last used; up to fifteen minutes behind.
    pub seen_at: Millis,
    /// When it ends whatever happens.
    pub expires_at: Millis,
    /// The user, in the organization that was asked for, or else in its first one; `None` when the user is blocked or in
    /// none, or has ended all sessions of this one's epoch.
    #[serde(deserialize_with = "optional_json_text")]
    pub user: Option<UserRow>,
    /// What that organization is called.
    pub organization_slug: Option<String>,
    /// Its limits, when they are set.
    #[serde(deserialize_with = "optional_json_text")]
    pub rate_limits: Option<RateLimits>,
}

/// Of the session `sessions`, whose user is the member `m` of the organization `o`, if it is one of any.
macro_rules! session_columns {
    () => {
        "sessions.id, sessions.uid, sessions.address, sessions.user_agent, sessions.created_at, sessions.seen_at,
         sessions.expires_at, o.slug AS organization_slug,
         (SELECT json_object('id', u.id, 'uid', u.uid, 'organization_id', m.organization_id, 'email', u.email,
                 'name', u.name, 'role', m.role, 'session_epoch', u.session_epoch, 'blocked_at', u.blocked_at,
                 'totp_enabled_at', u.totp_enabled_at, 'created_at', u.created_at, 'last_login_at', u.last_login_at,
                 'recovery_codes_left', (SELECT count(*) FROM recovery_codes r WHERE r.user_id = u.id),
                 'organizations', (SELECT count(*) FROM memberships o WHERE o.user_id = u.id))
            FROM users u
           WHERE u.id = m.user_id AND u.session_epoch = sessions.epoch AND u.blocked_at IS NULL) AS user,
         (SELECT s.value FROM settings s
           WHERE s.key = 'rate_limits' AND s.organization_id = m.organization_id) AS rate_limits"
    };
}

/// What makes a session alive, apart from its user: bound as `?2` (now) and `?3` (since when it must have been seen).
macro_rules! is_alive {
    () => {
        " sessions.expires_at > ?2 AND sessions.seen_at > ?3"
    };
}

// Across organizations: a session belongs to a user, who is one in every organization.

/// The session whose token has this hash (SHA-256, lowercase hex), if it was seen after `idle_since` and is not over; its
/// user as a member of the organization with this `slug`, or of its first one.
pub fn look_up(hash: &str, now: Millis, idle_since: Millis, slug: Option<&str>) -> Query<Option<SessionRow>> {
    Query::one(
        concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions
              LEFT JOIN memberships m ON m.user_id = sessions.user_id AND m.organization_id = coalesce(
                (SELECT n.organization_id FROM organizations b
                   JOIN memberships n ON n.organization_id = b.id AND n.user_id = sessions.user_id WHERE b.slug = ?4),
                (SELECT min(f.organization_id) FROM memberships f WHERE f.user_id = sessions.user_id))
              LEFT JOIN organizations o ON o.id = m.organization_id
              WHERE sessions.hash = ?1 AND",
            is_alive!()
        ),
        [hash.into(), now.into(), idle_since.into(), slug.into()],
    )
}

/// Notes that a session was seen, if it is not over.
pub fn touch_last_seen(id: i64, now: Millis, idle_since: Millis) -> Stmt {
    Stmt::new(
        concat!("UPDATE sessions SET seen_at = ?2 WHERE id = ?1 AND", is_alive!()),
        [id.into(), now.into(), idle_since.into()],
    )
    .idempotent()
}

/// A session about to begin.
pub struct NewSession<'a> {
    /// Public id.
    pub uid: &'a str,
    /// Whose it is.
    pub user_id: i64,
    /// SHA-256 of its token, lowercase hex.
    pub hash: &'a str,
    /// The client's IP address.
    pub address: Option<&'a str>,
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
    /// Now.
    pub created_at: Millis,
    /// When it ends whatever happens.
    pub expires_at: Millis,
}

/// Begins a session if the statement before has changed a row; says whether it did.
pub fn insert(new: &NewSession<'_>) -> Query<bool> {
    Query::any(
        "INSERT INTO sessions (uid, user_id, hash, epoch, address, user_agent, created_at, seen_at, expires_at)
         SELECT ?1, u.id, ?3, u.session_epoch, ?4, ?5, ?6, ?6, ?7 FROM users u WHERE u.id = ?2 AND changes() > 0
         RETURNING id",
        [
            new.uid.into(),
            new.user_id.into(),
            new.hash.into(),
            new.address.into(),
            new.user_agent.into(),
            new.created_at.into(),
            new.expires_at.into(),
        ],
    )
}

/// The statement that forgets at most 1000 sessions whose time is over.
pub fn delete_ended(now: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 ORDER BY id LIMIT 1000)",
        [now.into()],
    )
    .idempotent()
}

/// Forgets a user's sessions that are no longer alive, and all but the `most` latest.
pub fn prune(user_id: i64, now: Millis, idle_since: Millis, most: i64) -> Stmt {
    Stmt::new(
        concat!(
            "DELETE FROM sessions
              WHERE user_id = ?1
                AND (NOT (",
            is_alive!(),
            ") OR epoch <> (SELECT session_epoch FROM users WHERE id = ?1)
                 OR id NOT IN (SELECT id FROM sessions WHERE user_id = ?1 ORDER BY id DESC LIMIT ?4))"
        ),
        [user_id.into(), now.into(), idle_since.into(), most.into()],
    )
}

/// A session that was ended.
#[derive(Debug, Clone, Deserialize)]
pub struct EndedRow {
    /// SHA-256 of its token, lowercase hex.
    pub hash: String,
}

/// Ends one session of a user, if there is such a session.
pub fn end(user_id: i64, uid: &str) -> Query<Option<EndedRow>> {
    Query::one("DELETE FROM sessions WHERE user_id = ?1 AND uid = ?2 RETURNING hash", [user_id.into(), uid.into()])
}

/// A page of a user's live sessions, newest first, and how many there are in all.
pub async fn page(
    db: &dyn Database,
    user_id: i64,
    now: Millis,
    idle_since: Millis,
    page: Page,
) -> Result<(Vec<SessionRow>, i64), DatabaseError> {
    let sessions = Query::all(
        concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions
              LEFT JOIN memberships m ON m.user_id = sessions.user_id AND m.organization_id = (
                SELECT min(f.organization_id) FROM memberships f WHERE f.user_id = sessions.user_id)
              LEFT JOIN organizations o ON o.id = m.organization_id
              WHERE sessions.user_id = ?1 AND sessions.epoch = (SELECT session_epoch FROM users WHERE id = ?1) AND",
            is_alive!(),
            " ORDER BY sessions.id DESC LIMIT ?4 OFFSET ?5"
        ),
        [user_id.into(), now.into(), idle_since.into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        concat!(
            "SELECT count(*) AS total FROM sessions
              WHERE user_id = ?1 AND epoch = (SELECT session_epoch FROM users WHERE id = ?1) AND",
            is_alive!()
        ),
        [user_id.into(), now.into(), idle_since.into()],
    );
    db.ask((sessions, total)).await
}
