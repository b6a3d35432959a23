//! `login_throttles`: how many logins have failed in the current window, of an account and from an address.
//!
//! An attempt is counted before its password is looked at, and given back when it was good: so many at once cannot get
//! past the limit together.

use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::Query;

/// A counter after an attempt was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct AttemptCount {
    /// Attempts in the window, this one included.
    pub attempts: i64,
    /// When the window ends.
    pub ends_at: Millis,
}

// Across organizations: failures are counted before anybody is known.

/// Forgets the windows that have ended.
pub fn clean(now: Millis) -> Stmt {
    Stmt::new("DELETE FROM login_throttles WHERE ends_at <= ?1", [now.into()])
}

/// A counter that has to be within `most` attempts for another one to count.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimit<'a> {
    /// Its key.
    pub key: &'a str,
    /// Attempts.
    pub most: i64,
}

/// Counts an attempt, unless `gate` is closed. The first begins a window that ends at `ends_at`.
pub fn count(key: &str, now: Millis, ends_at: Millis, gate: Option<ThrottleLimit<'_>>) -> Query<Option<AttemptCount>> {
    Query::one(
        "INSERT INTO login_throttles (key, attempts, ends_at)
         SELECT ?1, 1, ?3
          WHERE NOT EXISTS (SELECT 1 FROM login_throttles WHERE key = ?4 AND attempts > ?5 AND ends_at > ?2)
         ON CONFLICT (key) DO UPDATE SET
           attempts = CASE WHEN ends_at <= ?2 THEN 1 ELSE attempts + 1 END,
           is_noted = CASE WHEN ends_at <= ?2 THEN 0 ELSE is_noted END,
           ends_at = CASE WHEN ends_at <= ?2 THEN ?3 ELSE ends_at END
         RETURNING attempts, ends_at",
        [key.into(), now.into(), ends_at.into(), gate.map(|gate| gate.key).into(), gate.map(|gate| gate.most).into()],
    )
}

/// Takes back one attempt of each counter.
pub fn refund(account: &str, address: &str) -> Stmt {
    Stmt::new(
        "UPDATE login_throttles SET attempts = attempts - 1 WHERE key IN (?1, ?2) AND attempts > 0",
        [account.into(), address.into()],
    )
}

/// Begins anew to count an account.
pub fn clear(account: &str) -> Stmt {
    Stmt::new("DELETE FROM login_throttles WHERE key = ?1", [account.into()])
}

/// Changes a row the first time it is asked in a window that has gone beyond `most` attempts: for the audit log.
pub fn is_first_beyond(key: &str, most: i64) -> Stmt {
    Stmt::new(
        "UPDATE login_throttles SET is_noted = 1 WHERE key = ?1 AND is_noted = 0 AND attempts > ?2",
        [key.into(), most.into()],
    )
}
