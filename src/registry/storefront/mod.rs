//! What a shop sells and to whom.

pub mod absent_consumers;
pub mod bulk_permissions;
pub mod catalog;
pub mod consumer_erasure;
pub mod consumer_export;
pub mod consumer_keys;
pub mod consumer_lists;
pub mod consumer_merges;
pub mod consumer_seats;
pub mod consumer_statistics;
pub mod consumer_tokens;
pub mod consumers;
pub mod coverage;
pub mod customers;
pub mod deliveries;
pub mod entitlements;
pub mod installs;
pub mod instructions;
pub mod key_rotation;
pub mod orders;
pub mod permission_edits;
pub mod permission_lists;
pub mod permission_spec;
pub mod permission_warnings;
pub mod permissions;
pub mod webhooks;
