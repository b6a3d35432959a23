//! Organizations, the kinds of their repositories, the audit log, and what lies sealed.

pub mod audit;
pub mod organizations;
pub mod repository_kind;
pub mod sealed;
