//! Who holds credentials: tokens, users, and requests that may be sent again.

pub mod idempotency;
pub mod tokens;
pub mod users;
