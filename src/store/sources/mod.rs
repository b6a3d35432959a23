//! Repositories, their runs, their zips, and what upstreams answered.

pub mod artifacts;
pub mod dists;
pub mod repositories;
pub mod sync_runs;
pub mod uploads;
pub mod upstream_answers;
