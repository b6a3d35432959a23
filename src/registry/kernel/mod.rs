//! What every use case stands on: the application's ports and settings, memory, failures, secrets, requests to others.

pub mod address_policy;
pub mod app;
pub mod cache;
pub mod pattern;
pub mod validation;
