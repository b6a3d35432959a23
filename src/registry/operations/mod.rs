//! What the operator and the clock do: settings, statistics, keys, jobs, and whether the registry can serve.

pub mod audit_log;
pub mod cron;
pub mod encryption;
pub mod health;
pub mod jobs;
pub mod settings;
pub mod statistics;
