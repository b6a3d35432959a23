//! Organizations, the kinds of their repositories, the audit log, what lies sealed, and the events that webhooks are
//! notified of.

pub mod audit;
pub mod organizations;
pub mod repository_kind;
pub mod sealed;
pub mod webhook_events;
