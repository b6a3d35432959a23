//! The registry as its users meet it: every surface driven in process, on the real SQL and against a real git server.

mod support;

mod advisories;
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
mod links;
mod login;
mod metadata;
mod mirror;
mod mirror_archives;
mod mirror_faults;
mod mirror_names;
mod mirror_whole;
mod notify;
mod packages;
mod repositories;
mod search;
mod sessions;
mod settings;
mod sync;
mod sync_runs;
mod tokens;
mod two_factor;
mod uploads;
mod upstream_faults;
mod user_faults;
mod users;
mod visibility;
