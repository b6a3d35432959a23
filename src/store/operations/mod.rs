//! Settings and totals.

pub mod settings;
pub mod statistics;
