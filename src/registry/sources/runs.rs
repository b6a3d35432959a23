//! Runs: claiming a repository for a sync, ending that, and when the next one is due.
//!
//! A run is a lease for [`LEASE`]. One that dies stays unfinished; when its lease is over, cron finds the repository due. A
//! sync that was asked for while one ran is put on the queue again by the one that ran. So is the next one that waits for the
//! host, of which only [`MAX_SYNCS_OF_HOST`] are asked at once.

use std::time::Duration;

use crate::ports::Millis;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::store::kernel::webhook_events::notify_failed;
use crate::store::sources::sync_runs::{self, Claim, Finished, NewRun, SyncReport};

/// How long a sync may take before another one may take its place: a queue consumer's wall time.
pub const LEASE: Duration = Duration::from_mins(15);

/// The longest rest of a repository that keeps failing.
pub const MAX_BACKOFF: Duration = Duration::from_hours(24);

/// How many syncs of one host may be under way at once, in all isolates and for all organizations.
pub const MAX_SYNCS_OF_HOST: i64 = 5;

/// What a sync may always be due earlier by. Half of it is more than what is lost in waiting for the next tick of the cron
/// trigger, so that each sync comes nearer to its own moment.
const MIN_ADVANCE: Duration = Duration::from_secs(150);

/// Claims the repository. A claim that was made although the database did not say so is found by its uid: it would
/// otherwise stand in everybody's way until its lease is over. `None` when it is not due, is being synced already, or is
/// gone; and when its host is asked by others already: then it waits for one of these to end.
pub async fn claim(app: &App, repository_id: i64) -> Result<Option<Claim>, Failure> {
    let (now, database) = (app.now(), &*app.ports.database);
    let uid = new_uid(&*app.ports.entropy, now)?;
    let new = NewRun { uid: &uid, repository_id, now, lease_until: now.plus(LEASE), max_of_host: MAX_SYNCS_OF_HOST };
    let failure = match sync_runs::claim(database, new).await {
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

/// How much earlier than after `rest` a sync may be due.
pub fn longest_advance(rest: Duration) -> Duration {
    (rest / 4).max(MIN_ADVANCE).min(rest)
}

/// When a repository that rests for `rest` from `now` on is due. Each repository has a moment of its own within the
/// interval, and its sync is moved towards it, so that many that were registered or synced at once are not due at once for ever.
/// A sync is never due later than it would be, and not much earlier: by [`longest_advance`] at most.
pub fn next_due(repository_id: i64, now: Millis, rest: Duration, interval: Duration) -> Millis {
    // Multiples of the golden ratio: whatever ids follow each other, their moments are far from each other.
    let fraction = repository_id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let interval = interval.as_millis().max(1);
    let own = (u128::from(fraction) * interval) >> 32;
    let due = now.plus(rest);
    let past = (u128::try_from(due.0).unwrap_or(0) + interval - own) % interval;
    let longest = longest_advance(rest).as_millis();
    let half = longest / 2;
    let advance = if past <= longest { past } else { half + past.checked_rem(half).unwrap_or(0) };
    due.minus(Duration::from_millis(u64::try_from(advance).unwrap_or(0)))
}

/// When a repository whose sync went well is due again.
pub fn next_regular(app: &App, repository_id: i64) -> Millis {
    let interval = app.config.sync_interval;
    next_due(repository_id, app.now(), interval, interval)
}

/// Ends the run. It is tried twice, because a run without an end stands in everybody's way until its lease is over.
pub async fn finish(app: &App, claim: &Claim, report: &SyncReport, next_due_at: Millis) -> Result<Finished, Failure> {
    let now = app.now();
    let finish = || {
        (
            sync_runs::finish(claim.id, report, now, next_due_at),
            report.error.is_some().then(|| notify_failed(claim.id, now)),
        )
    };
    let finished = match app.ports.database.ask(finish()).await {
        Ok((finished, _)) => finished,
        Err(error) => {
            log::warn!("ending a sync again: {error}");
            // The first attempt may have ended it, and only its answer got lost.
            let (_, finished) = app.ports.database.ask((finish(), sync_runs::finished(claim.id, now))).await?;
            finished
        }
    };
    Ok(finished.unwrap_or_default())
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

    const INTERVAL: Duration = Duration::from_mins(10);

    #[test]
    fn a_sync_is_due_no_later_than_after_its_rest_and_not_much_earlier() {
        let now = Millis(1_767_225_600_000);
        for id in 0..1000 {
            for rest in [INTERVAL, Duration::from_hours(1), MAX_BACKOFF, Duration::from_secs(1), Duration::ZERO] {
                let due = next_due(id, now, rest, INTERVAL);
                assert!(due <= now.plus(rest) && due >= now, "{id} {rest:?}");
                assert!(due.plus(longest_advance(rest)) >= now.plus(rest), "{id} {rest:?}");
                assert_eq!(due, next_due(id, now, rest, INTERVAL));
            }
        }
        assert_eq!(longest_advance(INTERVAL), Duration::from_secs(150));
    }

    /// The repositories that a tick of the cron trigger finds due, in each minute of two hours, when these were registered at once.
    fn due_by_minute(repositories: i64) -> Vec<usize> {
        let tick = |minute: i64| Millis(1_767_225_600_000 + minute * 60_000);
        let mut due: Vec<Millis> = vec![tick(0); usize::try_from(repositories).expect("few")];
        let found = |minute| {
            let mut found = 0;
            for (id, due) in (1..).zip(&mut due).filter(|(_, due)| **due <= tick(minute)) {
                found += 1;
                // Each takes its time, and waits for others.
                *due = next_due(id, tick(minute).plus(Duration::from_secs(found / 10)), INTERVAL, INTERVAL);
            }
            usize::try_from(found).expect("few")
        };
        (0..120).map(found).collect()
    }

    #[test]
    fn repositories_that_were_registered_at_once_are_not_due_at_once_for_ever() {
        let found = due_by_minute(250);
        assert_eq!(found[0], 250);
        assert!(found[10..].iter().all(|found| *found <= 125), "no tick finds as many again: {found:?}");
        assert!(found[110..].iter().all(|found| (20..=30).contains(found)), "a tenth in each minute: {found:?}");
    }
}
