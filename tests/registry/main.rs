//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod dist;
mod metadata;
mod sync;
mod tokens;
mod visibility;
