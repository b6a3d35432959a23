//! The use cases, in folders by domain; a domain imports only those before it (tests/rooms.rs proves it):
//!
//! `kernel` ← `access` ← `identity`, `packages` ← `sources`, `security`, `organizations` ← `delivery`, `storefront` ← `operations`
//!
//! No HTTP, no SQL.

pub mod access;
pub mod delivery;
pub mod identity;
pub mod kernel;
pub mod operations;
pub mod organizations;
pub mod packages;
pub mod security;
pub mod sources;
pub mod storefront;
