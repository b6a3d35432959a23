//! Rostrum: a private Composer (PHP) registry that runs as one Cloudflare Worker.
//!
//! The crate is a row of rooms, and imports point only leftwards (a test proves it):
//!
//! `json`, `ports` ← `store` ← `registry` ← `http` ← `cloudflare`
//!
//! * [`json`]: reads JSON that others wrote, and says where it is wrong.
//! * [`ports`]: what we need from outside, as a few small traits.
//! * [`store`]: SQL, one file per table family.
//! * [`registry`]: the use cases: publish, sync, authenticate, limit. No HTTP, no SQL.
//! * [`http`]: routes, extractors, error dialects, caching headers.
//! * `cloudflare`: entry points and adapters; the only room that names the `worker` crate.
//!
//! Every room may use the two crates beside this one, which are pure: no I/O, no clock, no randomness.
//!
//! * [`composer`]: Composer's own rules (names, versions, constraints, metadata).
//! * [`git`]: git's wire protocol, pack format and "commit → zip".

#[cfg(any(target_arch = "wasm32", lint_cloudflare))]
mod cloudflare;
pub mod http;
pub mod json;
pub mod ports;
pub mod registry;
pub mod store;
