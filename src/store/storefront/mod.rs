//! What a shop sells, its consumers, and what it is told.

pub mod catalog;
pub mod consumer_erasure;
pub mod consumer_imports;
pub mod consumer_lists;
pub mod consumer_merges;
pub mod consumer_statistics;
pub mod consumers;
pub mod deliveries;
pub mod endings;
pub mod entitlements;
pub mod offers;
pub mod permission_edits;
pub mod permission_lists;
pub mod webhooks;
