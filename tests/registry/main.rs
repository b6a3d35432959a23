//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod budget;
mod dist;
mod limits;
mod metadata;
mod sync;
mod tokens;
mod visibility;
