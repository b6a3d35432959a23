//! What every surface is made of. A new surface needs a row in [`crate::http::SURFACES`] and a folder beside this one with
//! its `routes()`; the rest is here. Nothing here knows a surface by name.
//!
//! | what | where |
//! |---|---|
//! | the row of a surface, and the layer that reads it | [`surface`] |
//! | the organization of a request | [`tenant`] |
//! | handlers and their routes | [`handler`], [`routes`] |
//! | who may call an operation, and the caller | [`requirement`], [`request_auth`] |
//! | bodies, queries and path parameters | [`abandoned`], [`body`], [`extract`], [`form`], [`idempotency`], [`moment`], [`secret`], [`zip_body`] |
//! | whose page a request comes from | [`cross_site`] |
//! | what a change must find | [`if_match`] |
//! | lists in pages | [`paging`], [`keyset`] |
//! | responses | [`response`], [`caching`], [`range`], [`pass_through`] |
//! | failures in the surface's dialect | [`failure`] |

pub mod abandoned;
pub mod body;
pub mod caching;
pub mod cross_site;
pub mod extract;
pub mod failure;
pub mod form;
pub mod handler;
pub mod idempotency;
pub mod if_match;
pub mod keyset;
pub mod moment;
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
