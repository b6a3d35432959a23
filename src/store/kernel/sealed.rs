//! Columns that hold sealed secrets, as whoever re-seals them sees them. Each is described beside its table.

use serde::{Deserialize, Serialize};

use crate::store::Query;

/// A column of sealed texts, `v1.<key id>.…` each.
pub struct SealedColumn {
    /// For people and for the audit log.
    pub name: &'static str,
    /// Counts its texts by the key that sealed them.
    pub counts: fn() -> Query<Vec<KeyCount>>,
    /// Reads texts that one of some keys (JSON array of ids) has sealed, so many at most.
    pub sealed_by: fn(keys: String, limit: i64) -> Query<Vec<SealedRow>>,
    /// Replaces texts (JSON array of [`Resealed`]) that are still what they were; returns a row for each.
    pub replace: fn(texts: String) -> Query<Vec<Replaced>>,
}

/// How many texts a key has sealed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyCount {
    /// The key's id.
    pub key_id: String,
    /// Texts.
    pub count: i64,
}

/// A sealed text and the public id of what it belongs to.
#[derive(Debug, Clone, Deserialize)]
pub struct SealedRow {
    /// Public id.
    pub uid: String,
    /// Sealed.
    pub sealed: String,
}

/// Says that a text was replaced.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Replaced {}

/// A text that another key has sealed.
#[derive(Debug, Clone, Serialize)]
pub struct Resealed {
    /// Public id of what it belongs to.
    pub uid: String,
    /// As it was.
    pub old: String,
    /// As it is to be.
    pub new: String,
}
