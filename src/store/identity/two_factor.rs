//! `recovery_codes`, and the columns of `users` that are about the second factor.

use crate::ports::{Millis, Stmt};
use crate::store::Query;
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};

/// What proves the second factor, to be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// The user needs none.
    None,
    /// The code of this time step.
    Totp(i64),
    /// A recovery code, SHA-256 in lowercase hex.
    RecoveryCode(String),
}

// Across organizations: an account has one second factor in all of them.

/// Spends a second factor; changes a row when it was good and unspent, and the user neither changed nor blocked since
/// `epoch`. What depends on that goes right behind it, under the condition `changes() > 0`.
pub fn spend(id: i64, epoch: i64, factor: &Factor) -> Stmt {
    match factor {
        Factor::None => Stmt::new(
            "UPDATE users SET totp_last_step = totp_last_step
              WHERE id = ?1 AND session_epoch = ?2 AND blocked_at IS NULL AND totp_enabled_at IS NULL",
            [id.into(), epoch.into()],
        ),
        Factor::Totp(step) => Stmt::new(
            "UPDATE users SET totp_last_step = ?3
              WHERE id = ?1 AND session_epoch = ?2 AND blocked_at IS NULL AND totp_enabled_at IS NOT NULL
                AND totp_last_step < ?3",
            [id.into(), epoch.into(), (*step).into()],
        ),
        Factor::RecoveryCode(hash) => Stmt::new(
            "DELETE FROM recovery_codes
              WHERE hash = ?3 AND user_id =
                (SELECT id FROM users
                  WHERE id = ?1 AND session_epoch = ?2 AND blocked_at IS NULL AND totp_enabled_at IS NOT NULL)",
            [id.into(), epoch.into(), hash.into()],
        ),
    }
}

/// Keeps a sealed secret that is not in force yet; says whether it did, which it does not when one is in force.
pub fn prepare_totp(id: i64, sealed: &str) -> Query<bool> {
    Query::any(
        "UPDATE users SET totp_secret = ?2 WHERE id = ?1 AND totp_enabled_at IS NULL RETURNING id",
        [id.into(), sealed.into()],
    )
}

/// Puts the prepared secret in force, the code of `step` being spent, with its recovery codes (a JSON array of hashes).
/// Says whether it did, which it does not when the secret is another or in force. Three statements: the change, `noted`,
/// and the codes.
pub fn enable_totp(
    id: i64,
    sealed: &str,
    step: i64,
    codes: &str,
    now: Millis,
    noted: Stmt,
) -> (Query<bool>, Stmt, Query<bool>) {
    (
        Query::any(
            "UPDATE users SET totp_enabled_at = ?4, totp_last_step = ?3
              WHERE id = ?1 AND totp_secret = ?2 AND totp_enabled_at IS NULL RETURNING id",
            [id.into(), sealed.into(), step.into(), now.into()],
        ),
        noted,
        insert_codes(id, codes),
    )
}

/// Takes the second factor away if the statement before, [`spend`], has spent it; says whether it did. Three statements:
/// the change, `noted`, and the removal of the recovery codes.
pub fn disable_totp(id: i64, noted: Stmt) -> (Query<bool>, Stmt, Stmt) {
    (
        Query::any(
            "UPDATE users SET totp_secret = NULL, totp_enabled_at = NULL WHERE id = ?1 AND changes() > 0 RETURNING id",
            [id.into()],
        ),
        noted,
        Stmt::new(
            "DELETE FROM recovery_codes
              WHERE user_id = ?1 AND EXISTS (SELECT 1 FROM users WHERE id = ?1 AND totp_enabled_at IS NULL)",
            [id.into()],
        ),
    )
}

/// Replaces the recovery codes (a JSON array of hashes) if the statement before, [`spend`], has spent the second factor;
/// says whether it did. Three statements: the new codes, `noted`, and the removal of the old ones.
pub fn replace_codes(id: i64, codes: &str, noted: Stmt) -> (Query<bool>, Stmt, Stmt) {
    (
        insert_codes(id, codes),
        noted,
        Stmt::new(
            "DELETE FROM recovery_codes
              WHERE user_id = ?1 AND hash NOT IN (SELECT value FROM json_each(?2))
                AND EXISTS (SELECT 1 FROM recovery_codes n WHERE n.user_id = ?1 AND n.hash = ?2 ->> '$[0]')",
            [id.into(), codes.into()],
        ),
    )
}

fn insert_codes(id: i64, codes: &str) -> Query<bool> {
    Query::any(
        "INSERT INTO recovery_codes (user_id, hash) SELECT ?1, value FROM json_each(?2) WHERE changes() > 0
         RETURNING user_id",
        [id.into(), codes.into()],
    )
}

/// The second factors' secrets, for whoever re-seals them.
pub const SEALED: SealedColumn = SealedColumn { name: "users.totp_secret", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all(
        "SELECT substr(totp_secret, 4, 8) AS key_id, count(*) AS count FROM users
          WHERE totp_secret IS NOT NULL GROUP BY 1",
        [],
    )
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT uid, totp_secret AS sealed FROM users
          WHERE substr(totp_secret, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE users SET totp_secret = j.value ->> 'new' FROM json_each(?1) j
          WHERE users.uid = j.value ->> 'uid' AND totp_secret = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
