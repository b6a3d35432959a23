//! What every use case stands on: the application's ports and settings, memory, failures, secrets, requests to others.

pub mod address_policy;
pub mod app;
pub mod audit;
pub mod batches;
pub mod body_budget;
pub mod cache;
pub mod content_encoding;
pub mod dates;
pub mod email;
pub mod entity_tag;
pub mod failure;
pub mod git_address;
pub mod ids;
pub mod memory;
pub mod network;
pub mod outbound;
pub mod pace;
pub mod pattern;
pub mod provider;
pub mod secrets;
pub mod side_by_side;
pub mod slices;
pub mod validation;
