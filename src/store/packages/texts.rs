//! `texts`: what people read of versions, stored once however many versions share it. Reading them is `versions`'.

use std::time::Duration;

use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::json_arguments;

// Across organizations: a text belongs to whatever content it has.

/// A text that several versions may have, as one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewText {
    /// SHA-256 of the content, lowercase hex.
    pub sha256: String,
    /// What it says.
    pub content: String,
}

/// How exactly it is known when a text was stored last: a text that many versions share is not written with each of them.
const STORED_PRECISION: Duration = Duration::from_hours(1);

/// Stores texts by their hash. They are kept for a while without a version that has them.
pub fn insert_texts(texts: &[NewText], now: Millis) -> Vec<Stmt> {
    json_arguments(texts.iter().map(|text| json!([text.sha256, text.content])))
        .into_iter()
        .map(|list| {
            Stmt::new(
                "INSERT INTO texts (sha256, content, stored_at)
                 SELECT j.value ->> 0, j.value ->> 1, ?2 FROM json_each(?1) j WHERE true
                     ON CONFLICT (sha256) DO UPDATE SET stored_at = excluded.stored_at WHERE texts.stored_at < ?3",
                [list.into(), now.into(), now.minus(STORED_PRECISION).into()],
            )
            .idempotent()
        })
        .collect()
}

/// The statement that forgets texts that were stored before `before` and that no version has; at most 500.
pub fn delete_unreferenced_texts(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM texts WHERE sha256 IN
           (SELECT t.sha256 FROM texts t
             WHERE t.stored_at < ?1
               AND NOT EXISTS (SELECT 1 FROM version_files f WHERE f.text_sha256 = t.sha256) LIMIT 500)",
        [before.into()],
    )
    .idempotent()
}
