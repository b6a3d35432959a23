//! Counts of installs.

pub mod downloads;
