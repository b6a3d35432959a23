//! What the clock asks for, once a minute: repositories and deliveries that are due, jobs that were lost, rows and zips
//! that nobody needs any more.

use std::time::Duration;

use crate::ports::{Job, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::artifacts;
use crate::registry::storefront::deliveries;
use crate::store;
use crate::store::identity::idempotency;
use crate::store::sources::{dists, repositories, sync_runs, upstream_answers};

/// Minutes between two looks for lost jobs.
const LOST_JOBS_EVERY: i64 = 10;

/// How long the jobs that build a repository's archives may take before they count as lost.
const ARCHIVES_MAY_TAKE: Duration = Duration::from_mins(30);

/// How long the names are kept that no upstream had.
const ABSENCES_KEPT: Duration = Duration::from_hours(24);

/// How long the log of webhooks is kept.
const DELIVERIES_KEPT: Duration = Duration::from_hours(720);

/// How long finished runs are kept.
const RUNS_KEPT: Duration = Duration::from_hours(720);

/// Puts one job on the queue for every repository and every delivery that is due. Every tenth minute also for those whose archives are
/// behind; every hour it removes what nobody needs. Says how many repositories were due.
pub async fn tick(app: &App) -> Result<usize, Failure> {
    let now = app.now();
    let minute = now.seconds().div_euclid(60);
    let due = repositories::due(&*app.ports.database, now).await?;
    let syncs: Vec<Job> = due.into_iter().map(|repository_id| Job::SyncRepository { repository_id }).collect();
    app.enqueue_all(&syncs, Duration::ZERO).await;
    deliveries::tick(app, now).await?;
    if minute % LOST_JOBS_EVERY == 0 {
        enqueue_lost(app, now).await?;
    }
    if minute % 60 == 0 {
        forget(app, now).await?;
        artifacts::sweep(app).await?;
    }
    Ok(syncs.len())
}

async fn enqueue_lost(app: &App, now: Millis) -> Result<(), Failure> {
    let behind = dists::behind(&*app.ports.database, now.minus(ARCHIVES_MAY_TAKE)).await?;
    let builds: Vec<Job> = behind.into_iter().map(|repository_id| Job::BuildArchives { repository_id }).collect();
    app.enqueue_all(&builds, Duration::ZERO).await;
    Ok(())
}

/// Removes the rows that are only kept for a while.
async fn forget(app: &App, now: Millis) -> Result<(), Failure> {
    let old = [
        sync_runs::prune(now.minus(RUNS_KEPT)),
        idempotency::sweep(now),
        upstream_answers::prune(now.minus(ABSENCES_KEPT)),
        store::storefront::deliveries::forget(now.minus(DELIVERIES_KEPT)),
    ];
    app.ports.database.ask(old).await?;
    Ok(())
}
