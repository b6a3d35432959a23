//! What every surface is made of: routes, extractors, authentication, responses, error dialects, caching headers.

pub mod caching;
pub mod extract;
pub mod failure;
pub mod handler;
pub mod idempotency;
pub mod paging;
pub mod pass_through;
pub mod range;
pub mod request_auth;
pub mod requirement;
pub mod response;
pub mod routes;
pub mod secret;
pub mod surface;
pub mod tenant;
pub mod zip_body;
