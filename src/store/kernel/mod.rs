//! Organizations, the kinds of their repositories, ranges of package names, the audit log, what lies sealed, and the
//! events that webhooks are notified of.

pub mod audit;
pub mod name_range;
pub mod organizations;
pub mod repository_kind;
pub mod sealed;
pub mod source_protocol;
pub mod webhook_events;
