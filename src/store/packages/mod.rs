//! Packages, versions, and writing them.

pub mod mirror_publication;
pub mod packages;
pub mod publication;
pub mod versions;
