//! Organizations, the audit log, and what lies sealed.

pub mod audit;
pub mod organizations;
pub mod sealed;
