//! Running a deployment: cron, settings, statistics, encryption keys and the audit log.

mod addresses;
mod audit;
mod cron;
mod encryption;
mod health;
mod settings;
mod statistics;
