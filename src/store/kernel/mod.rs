//! Organizations, the audit log, what lies sealed, and the events that webhooks are told.

pub mod audit;
pub mod organizations;
pub mod sealed;
pub mod webhook_events;
