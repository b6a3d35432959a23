//! Rostrum: a private Composer (PHP) registry that runs as one Cloudflare Worker.
//!
//! The crate is a row of rooms, and imports point only leftwards (a test proves it):
//!
//! `composer`, `git` ← `json`, `ports` ← `store` ← `registry` ← `http` ← `cloudflare`
//!
//! * [`composer`]: Composer's own rules (names, versions, constraints, metadata). Pure.
//! * [`git`]: git's wire protocol v2, pack format and "commit → zip". Pure.
//! * [`json`]: reads JSON that others wrote, and says where it is wrong.
//! * [`ports`]: what we need from outside, as a few small traits.
//! * [`store`]: SQL, one file per table family.
//! * [`registry`]: the use cases: publish, sync, authenticate, limit. No HTTP, no SQL.
//! * [`http`]: routes, extractors, error dialects, caching headers.
//! * `cloudflare`: entry points and adapters; the only room that names the `worker` crate.

#[cfg(any(target_arch = "wasm32", lint_cloudflare))]
mod cloudflare;
pub mod composer;
pub mod git;
pub mod http;
pub mod json;
pub mod ports;
pub mod registry;
pub mod store;
