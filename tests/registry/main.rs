//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod metadata;
mod tokens;
mod visibility;
