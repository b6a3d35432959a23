//! What is known to be wrong with packages: advisories and filter lists, and how composer reads them.

pub mod advisories;
pub mod concerns;
pub mod feed;
