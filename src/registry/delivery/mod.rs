//! What composer is handed: the root document, metadata, zips; and counting installs.

pub mod claims;
pub mod dist;
pub mod dist_address;
pub mod document_text;
pub mod downloads;
pub mod filtered;
pub mod inline;
pub mod metadata;
pub mod pinned;
pub mod root;
pub mod search;
