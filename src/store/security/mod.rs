//! Advisories and filter entries.

pub mod advisories;
