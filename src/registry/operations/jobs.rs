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
        Job::BuildArchives { repository_id } => match archives::build_missing(app, repository_id).await {
            // The repository was removed meanwhile.
            Err(failure) if failure.kind == Kind::NotFound => Ok(()),
            result => result,
        },
        Job::Deliver { delivery_id } => deliveries::deliver(app, delivery_id).await,
    }
}
