//! Settings, totals, and which migrations were applied.

pub mod addresses;
pub mod migrations;
pub mod settings;
pub mod statistics;
