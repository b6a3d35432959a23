//! What the queue hands out.

use crate::ports::Job;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::sources;
use crate::registry::sources::git::archives;
use crate::registry::storefront::deliveries;

/// Does one job. An error means that it should be tried again later.
pub async fn perform(app: &App, job: Job) -> Result<(), Failure> {
    match job {
        Job::SyncRepository { repository_id } => sources::sync(app, repository_id).await,
        Job::BuildArchives { repository_id } => {
            unless_gone(Box::pin(archives::build_missing(app, repository_id)).await)
        }
        Job::BuildLargeArchive { dist_id } => unless_gone(Box::pin(archives::build_large(app, dist_id)).await),
        Job::Deliver { delivery_id } => deliveries::deliver(app, delivery_id).await,
    }
}

/// What was to be built may have been removed meanwhile, or be gone upstream.
fn unless_gone(result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failure) if failure.kind == Kind::NotFound => Ok(()),
        result => result,
    }
}
