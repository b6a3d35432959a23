//! What the operator and the clock do: settings, statistics, keys, jobs.

pub mod audit_log;
pub mod cron;
pub mod encryption;
pub mod jobs;
pub mod settings;
pub mod statistics;
