//! Runs: claiming a repository for a sync, ending that, and when the next one is due.
//!
//! A run is a lease for [`LEASE`]. One that dies stays unfinished; when its lease is over, cron finds the repository due. A
//! sync that was asked for while one ran is put on the queue again by the one that ran.

use std::time::Duration;

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::store::sources::sync_runs::{self, Claim, SyncReport};

/// How long a sync may take before another one may take its place: a queue consumer's wall time.
pub const LEASE: Duration = Duration::from_mins(15);

/// The longest rest of a repository that keeps failing.
pub const MAX_BACKOFF: Duration = Duration::from_hours(24);

/// Claims the repository. A claim that was made although the database did not say so is found by its uid: it would
/// otherwise stand in everybody's way until its lease is over. `None` when it is not due, is being synced already, or is
/// gone.
pub async fn claim(app: &App, repository_id: i64) -> Result<Option<Claim>, Failure> {
    let (now, database) = (app.now(), &*app.ports.database);
    let uid = new_uid(&*app.ports.entropy, now)?;
    let failure = match sync_runs::claim(database, &uid, repository_id, now, now.plus(LEASE)).await {
        Ok(claim) => return Ok(claim),
        Err(error) => Failure::from(error),
    };
    match sync_runs::claimed(database, &uid).await {
        Ok(Some(claim)) => Ok(Some(claim)),
        Ok(None) | Err(_) => Err(failure),
    }
}

/// How long a repository rests after one more failure.
pub fn backoff(interval: Duration, failures: i64) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 16)).unwrap_or(0);
    interval.saturating_mul(1 << doublings).min(MAX_BACKOFF)
}

/// Ends the run; says whether a sync was asked for meanwhile. It is tried twice, because a run without an end stands in
/// everybody's way until its lease is over.
pub async fn finish(app: &App, claim: &Claim, report: &SyncReport, rest: Duration) -> Result<bool, Failure> {
    let now = app.now();
    let finish = || sync_runs::finish(claim.id, report, now, now.plus(rest));
    let finished = match app.ports.database.ask(finish()).await {
        Ok(finished) => finished,
        Err(error) => {
            log::warn!("ending a sync again: {error}");
            // The first attempt may have ended it, and only its answer got lost.
            let (_, finished) = app.ports.database.ask((finish(), sync_runs::finished(claim.id))).await?;
            finished
        }
    };
    Ok(finished.is_some_and(|finished| finished.resync_requested))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_rest_up_to_a_day() {
        let interval = Duration::from_mins(10);
        assert_eq!(backoff(interval, 0), interval);
        assert_eq!(backoff(interval, 3), Duration::from_mins(80));
        assert_eq!(backoff(interval, 60), MAX_BACKOFF);
    }
}
