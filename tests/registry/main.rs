//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod archives;
mod artifacts;
mod audit;
mod bad_input;
mod budget;
mod cron;
mod curate;
mod dist;
mod faults;
mod limits;
mod metadata;
mod notify;
mod packages;
mod search;
mod sync;
mod sync_runs;
mod tokens;
mod uploads;
mod upstream_faults;
mod visibility;
