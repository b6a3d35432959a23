//! What composer is handed: metadata and archives, and what it reports back.

pub mod dist;
mod metadata;
mod notify;
mod pinned;
mod replicas;
