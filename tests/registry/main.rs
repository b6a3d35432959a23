//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod access;
mod bad_input;
mod bodies;
mod browsers;
mod budget;
mod delivery;
mod faults;
mod identity;
mod operations;
mod organizations;
mod packages;
mod parallel;
mod security;
mod sources;
mod storefront;
mod surfaces;
