//! Links, second factors, throttles, revocations, and requests that may be sent again.

pub mod idempotency;
pub mod invitations;
pub mod link_issuers;
pub mod password_resets;
pub mod revocations;
pub mod throttles;
pub mod two_factor;
