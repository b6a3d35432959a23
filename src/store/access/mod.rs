//! Credentials, and what they may see.

pub mod grants;
pub mod past_grants;
pub mod rate_limits;
pub mod released;
pub mod sessions;
pub mod tokens;
pub mod users;
