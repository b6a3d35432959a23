//! What the clock asks for, once a minute: repositories and deliveries that are due, jobs that were lost, rows and zips
//! that nobody needs any more.

use std::time::Duration;

use crate::ports::{Job, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::day_number;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::settings::ADDRESS_RETENTION_DAYS;
use crate::registry::sources::artifacts;
use crate::registry::sources::git::archives;
use crate::registry::storefront::deliveries;
use crate::store;
use crate::store::access::{past_grants, sessions};
use crate::store::identity::{idempotency, throttles};
use crate::store::operations::addresses;
use crate::store::sources::sync_runs::DueRepository;
use crate::store::sources::{dists, sync_runs, upstream_answers};
use crate::store::storefront::endings;

/// Minutes between two looks for lost jobs.
const LOST_JOB_CHECK_MINUTES: i64 = 10;

/// How long the jobs that build a repository's archives may take before they count as lost.
const ARCHIVE_BUILD_GRACE_PERIOD: Duration = Duration::from_mins(30);

/// How long nobody may have gone on with a large archive before its job counts as lost.
const LARGE_BUILD_GRACE_PERIOD: Duration = Duration::from_mins(10);

/// How long the names are kept that no upstream had.
const ABSENT_ANSWER_RETENTION: Duration = Duration::from_hours(24);

/// How long the log of webhooks is kept.
const DELIVERY_RETENTION: Duration = Duration::from_hours(720);

/// How long something may be due, while its job waits on the queue, before the log tells of it.
const OVERDUE_AFTER: Duration = Duration::from_mins(5);

/// How long it is known what was granted once: somewhat longer than a year.
const PAST_GRANT_RETENTION: Duration = Duration::from_hours(400 * 24);

/// How long finished runs are kept.
const SYNC_RUN_RETENTION: Duration = Duration::from_hours(720);

/// Puts one job on the queue for every repository and every delivery that is due. Every tenth minute also for those whose archives are
/// behind; every hour it removes what nobody needs. Says how many repositories were due.
pub async fn run_scheduled(app: &App) -> Result<usize, Failure> {
    let now = app.now();
    let minute = now.seconds().div_euclid(60);
    let due = app.ports.database.ask(sync_runs::due(now)).await?;
    let syncs: Vec<Job> = due.iter().map(|one| Job::SyncRepository { repository_id: one.id }).collect();
    app.enqueue_all(&syncs, Duration::ZERO).await;
    let (waiting, queued): (Vec<DueRepository>, Vec<DueRepository>) = due.into_iter().partition(|one| one.is_waiting);
    warn_of_overdue("syncs", queued.iter().map(|one| one.due_at), QUEUE_IS_BEHIND, now);
    warn_of_overdue("syncs", waiting.iter().map(|one| one.due_at), HOST_IS_BUSY, now);
    let sent = deliveries::enqueue_due(app, now).await?;
    warn_of_overdue("deliveries to webhooks", sent.iter().map(|one| one.due_at), QUEUE_IS_BEHIND, now);
    if minute % LOST_JOB_CHECK_MINUTES == 0 {
        requeue_lost_jobs(app, now).await?;
    }
    if minute % 60 == 0 {
        delete_expired(app, now).await?;
        artifacts::collect_garbage(app).await?;
    }
    Ok(syncs.len())
}

async fn requeue_lost_jobs(app: &App, now: Millis) -> Result<(), Failure> {
    let behind =
        dists::repositories_awaiting_archives(&*app.ports.database, now.minus(ARCHIVE_BUILD_GRACE_PERIOD)).await?;
    if !behind.is_empty() {
        log::warn!(
            "the archives of {} repositories have been pending for more than {} min: their jobs are queued again",
            behind.len(),
            ARCHIVE_BUILD_GRACE_PERIOD.as_secs() / 60
        );
    }
    let builds: Vec<Job> = behind.into_iter().map(|repository_id| Job::BuildArchives { repository_id }).collect();
    app.enqueue_all(&builds, Duration::ZERO).await;
    archives::requeue_stalled(app, now.minus(LARGE_BUILD_GRACE_PERIOD)).await
}

/// Why jobs are not done that each tick queues: the queue does not hand them out, or they do not get as far as to claim what
/// they are for.
const QUEUE_IS_BEHIND: &str = "the queue is behind, or does not work";

/// Why a sync is not begun that wanted to be.
const HOST_IS_BUSY: &str = "they wait for other syncs of the same host to end, of which only a few may run at once";

/// Tells the operator of what has been due for minutes, and why.
fn warn_of_overdue(what: &str, due_at: impl Iterator<Item = Millis>, why: &str, now: Millis) {
    let overdue: Vec<Millis> = due_at.filter(|due_at| *due_at < now.minus(OVERDUE_AFTER)).collect();
    if let Some(longest) = overdue.iter().min() {
        let minutes = (now.seconds() - longest.seconds()) / 60;
        log::warn!(
            "{} {what} have been pending for more than {} min, the longest for {minutes} min: {why}",
            overdue.len(),
            OVERDUE_AFTER.as_secs() / 60
        );
    }
}

/// Removes the rows that are only kept for a while.
async fn delete_expired(app: &App, now: Millis) -> Result<(), Failure> {
    let old = [
        sync_runs::prune(now.minus(SYNC_RUN_RETENTION)),
        past_grants::prune(now.minus(PAST_GRANT_RETENTION)),
        idempotency::collect_garbage(now),
        upstream_answers::prune(now.minus(ABSENT_ANSWER_RETENTION)),
        store::storefront::deliveries::delete_old(now.minus(DELIVERY_RETENTION)),
        sessions::delete_ended(now),
        throttles::clean(now),
    ];
    let today = day_number(now);
    let forgotten = (addresses::forget(now, today, ADDRESS_RETENTION_DAYS), endings::prune(now, today));
    app.ports.database.ask((old, forgotten)).await?;
    Ok(())
}
