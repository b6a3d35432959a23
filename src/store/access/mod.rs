//! Credentials, and what they may see.

pub mod grants;
pub mod sessions;
pub mod tokens;
pub mod users;
