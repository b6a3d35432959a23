//! What a shop sells and to whom.

pub mod absent_consumers;
pub mod catalog;
pub mod consumer_keys;
pub mod consumer_merges;
pub mod consumer_statistics;
pub mod consumer_tokens;
pub mod consumers;
pub mod coverage;
pub mod deliveries;
pub mod entitlements;
pub mod instructions;
pub mod webhooks;
