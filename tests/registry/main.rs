//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod advisories;
mod archives;
mod audit;
mod bad_input;
mod budget;
mod cron;
mod dist;
mod encryption;
mod faults;
mod idempotency;
mod limits;
mod links;
mod login;
mod metadata;
mod notify;
mod search;
mod sessions;
mod statistics;
mod sync;
mod sync_runs;
mod token_lists;
mod token_rights;
mod token_rotation;
mod tokens;
mod two_factor;
mod upstream_faults;
mod user_faults;
mod users;
mod visibility;
