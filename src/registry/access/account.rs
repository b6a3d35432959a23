//! The account of a user who has logged in.

use crate::registry::access::actor::Actor;
use crate::store::access::rate_limits::RateLimits;
use crate::store::access::users::UserRow;

/// The session that a request came with, and its user.
#[derive(Debug, Clone)]
pub struct Account {
    /// As the database has it at this request.
    pub user: UserRow,
    /// Primary key of the session.
    pub session_id: i64,
    /// Public id of the session.
    pub session_uid: String,
    /// Those of the user's organization.
    pub rate_limits: RateLimits,
}

/// An account whose user acts on it.
#[derive(Debug, Clone)]
pub struct CurrentUser {
    /// What the audit log says of them.
    pub by: Actor,
    /// Their account.
    pub account: Account,
}
