//! Repositories, their runs, their zips, and what upstreams answered.

pub mod archive_builds;
pub mod artifacts;
pub mod dists;
pub mod host_credentials;
pub mod monorepos;
pub mod refs;
pub mod repositories;
pub mod repository_names;
pub mod sync_runs;
pub mod uploads;
pub mod upstream_answers;
pub mod upstream_feeds;

use serde::Deserialize;

/// How many rows one repository has of something; there is none of these without the repository.
#[derive(Deserialize)]
struct Total {
    total: i64,
}
