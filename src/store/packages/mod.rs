//! Packages, versions, and writing them.

pub mod authority;
pub mod packages;
pub mod publication;
pub mod version_source;
pub mod versions;
