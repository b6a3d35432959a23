//! Packages: reading and managing them, and publishing what they are from now on.

pub mod documents;
pub mod manage;
pub mod manage_versions;
pub mod notices;
pub mod publish;
pub mod read;
pub mod released;
pub mod render;
pub mod revise;
pub mod support;
pub mod visible;
