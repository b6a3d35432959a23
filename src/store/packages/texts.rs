//! `texts`: what people read of versions, stored once however many versions share it. Reading them is `versions`'.

use serde_json::json;

use crate::ports::Stmt;
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

/// Stores texts by their hash.
pub fn insert_texts(texts: &[NewText]) -> Vec<Stmt> {
    json_arguments(texts.iter().map(|text| json!([text.sha256, text.content])))
        .into_iter()
        .map(|list| {
            Stmt::new(
                "INSERT OR IGNORE INTO texts (sha256, content)
                 SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?1) j",
                [list.into()],
            )
            .idempotent()
        })
        .collect()
}
