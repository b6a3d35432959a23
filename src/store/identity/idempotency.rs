//! `idempotency_keys` and `idempotency_results`: requests that may be repeated, and what they did.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::Query;
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};

/// A request that is about to be carried out.
pub struct NewKey<'a> {
    /// Public id (`UUIDv7`).
    pub uid: &'a str,
    /// SHA-256 of the caller and the key, lowercase hex.
    pub key_hash: &'a str,
    /// SHA-256 of the request, lowercase hex.
    pub request_hash: &'a str,
    /// Now.
    pub now: Millis,
    /// Until when nobody else may carry it out.
    pub lease_until: Millis,
    /// When it is forgotten.
    pub expires_at: Millis,
}

/// What is known of a key.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyRow {
    /// Public id of the request that has it.
    pub uid: String,
    /// SHA-256 of that request.
    pub request_hash: String,
    /// What it did, when it is done: JSON.
    pub result: Option<String>,
    /// What was shown once, sealed.
    pub secret: Option<String>,
}

// Across organizations: a key belongs to its caller.

/// Takes a key that is free, forgotten or left behind by somebody whose lease has ended; whoever has it then.
pub async fn claim(db: &dyn Database, new: NewKey<'_>) -> Result<Option<KeyRow>, DatabaseError> {
    let clean = Stmt::new(
        "DELETE FROM idempotency_keys WHERE key_hash = ?1 AND (expires_at <= ?2 OR (lease_until <= ?2
            AND NOT EXISTS (SELECT 1 FROM idempotency_results r WHERE r.key_uid = idempotency_keys.uid)))",
        [new.key_hash.into(), new.now.into()],
    );
    let insert = Stmt::new(
        "INSERT INTO idempotency_keys (uid, key_hash, request_hash, lease_until, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key_hash) DO NOTHING",
        [new.uid.into(), new.key_hash.into(), new.request_hash.into(), new.lease_until.into(), new.expires_at.into()],
    );
    let holder = Query::one(
        "SELECT k.uid, k.request_hash, r.result, r.secret FROM idempotency_keys k
           LEFT JOIN idempotency_results r ON r.key_uid = k.uid WHERE k.key_hash = ?1",
        [new.key_hash.into()],
    );
    let ((), (), holder) = db.ask((clean, insert, holder)).await?;
    Ok(holder)
}

/// The statement that keeps what a claimed request did (JSON, and a sealed secret) if the statement right before it in the
/// batch has changed a row, as the change itself and the one that notes it do. It fails, and its batch with it, when the claim
/// is lost.
pub fn keep(uid: &str, result: String, secret: Option<String>) -> Stmt {
    Stmt::new(
        "INSERT INTO idempotency_results (key_uid, result, secret) SELECT ?1, ?2, ?3 WHERE changes() > 0",
        [uid.into(), result.into(), secret.into()],
    )
}

/// The same, right behind the statement that makes a row: what identifies it is its primary key.
pub fn keep_inserted(uid: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO idempotency_results (key_uid, result) SELECT ?1, last_insert_rowid() WHERE changes() > 0",
        [uid.into()],
    )
}

/// Gives a claim up with which nothing was done.
pub async fn release(db: &dyn Database, uid: &str) -> Result<(), DatabaseError> {
    let stmt = Stmt::new(
        "DELETE FROM idempotency_keys WHERE uid = ?1
            AND NOT EXISTS (SELECT 1 FROM idempotency_results r WHERE r.key_uid = ?1)",
        [uid.into()],
    );
    db.ask(stmt).await
}

/// The statement that deletes at most 1000 expired keys, with what was done.
pub fn collect_garbage(now: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM idempotency_keys
          WHERE id IN (SELECT id FROM idempotency_keys WHERE expires_at <= ?1 ORDER BY expires_at LIMIT 1000)",
        [now.into()],
    )
    .idempotent()
}

/// What was shown once, for whoever re-seals it.
pub const SEALED: SealedColumn = SealedColumn { name: "idempotency_results.secret", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all(
        "SELECT substr(secret, 4, 8) AS key_id, count(*) AS count FROM idempotency_results
          WHERE secret IS NOT NULL GROUP BY 1",
        [],
    )
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT key_uid AS uid, secret AS sealed FROM idempotency_results
          WHERE substr(secret, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE idempotency_results SET secret = j.value ->> 'new' FROM json_each(?1) j
          WHERE key_uid = j.value ->> 'uid' AND secret = j.value ->> 'old' RETURNING key_uid",
        [texts.into()],
    )
}
