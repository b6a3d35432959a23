//! When a batch of the database that failed is run again.
//!
//! D1 repeats nothing but single statements that read. What it says when a connection broke, when its storage was reset or
//! when it was updated is over a moment later; whether a batch was carried out before it said so, nobody knows. So a batch
//! is run again if running it twice does what running it once does: all of it only reads, or says that it is idempotent.

use std::time::Duration;

use crate::ports::{Clock, DatabaseError, Entropy, Stmt};

/// Parts of what D1 says of a failure that is over a moment later.
const TRANSIENT: [&str; 3] =
    ["Network connection lost", "storage caused object to be reset", "reset because its code was updated"];

/// How often a batch is run again.
pub const MAX_RETRIES: u32 = 3;

/// The shortest wait before the first of them; each further one waits twice as long.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// Whether a batch may be run again, although it may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    /// It does the same.
    Yes,
    /// It may do something twice.
    No,
}

impl Repeatable {
    /// Whether the batch of `stmts` is.
    pub fn of(stmts: &[Stmt]) -> Self {
        if stmts.iter().all(|stmt| stmt.is_idempotent || only_reads(stmt.sql)) { Self::Yes } else { Self::No }
    }

    /// Runs `batch`, which is this, again and again if it fails for a moment only and may be run again.
    pub async fn run<T>(
        self,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        batch: impl AsyncFn() -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        for retry in 0..MAX_RETRIES {
            match batch().await {
                Err(DatabaseError::Fault(fault)) if self == Self::Yes && is_transient(&fault.reason) => {
                    log::warn!("the batch is run again: {fault}");
                    clock.sleep(delay(retry, entropy)).await;
                }
                result => return result,
            }
        }
        batch().await
    }
}

/// Whether every one of `stmts` only reads.
pub fn all_only_read(stmts: &[Stmt]) -> bool {
    stmts.iter().all(|stmt| only_reads(stmt.sql))
}

/// A `WITH` may stand before a change, too; none of ours that reads has one of these words in it.
fn only_reads(sql: &str) -> bool {
    let changes = || ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|word| sql.contains(word));
    let sql = sql.trim_start();
    sql.starts_with("SELECT") || (sql.starts_with("WITH") && !changes())
}

fn is_transient(reason: &str) -> bool {
    TRANSIENT.iter().any(|part| reason.contains(part))
}

/// How long to wait before a retry: at least so long, and up to twice that, so that those who failed together do not come
/// back together.
fn delay(retry: u32, entropy: &dyn Entropy) -> Duration {
    let mut random = [0];
    // Without randomness they do come back together.
    let chance = entropy.fill(&mut random).map_or(0, |()| u32::from(random[0]));
    let least = FIRST_DELAY * 2_u32.pow(retry);
    least + least * chance / u32::from(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;
    use crate::ports::{BoxFuture, Fault, Millis};

    const LOST: &str = "D1_ERROR: Network connection lost.";

    /// Notes how long it was slept.
    #[derive(Default)]
    struct Sleeper(Mutex<Vec<Duration>>);

    impl Clock for Sleeper {
        fn now(&self) -> Millis {
            Millis(0)
        }

        fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
            self.0.lock().expect("not poisoned").push(span);
            Box::pin(std::future::ready(()))
        }
    }

    /// The same byte again and again.
    struct Dice(u8);

    impl Entropy for Dice {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(self.0);
            Ok(())
        }
    }

    /// What a batch ends with that fails `failures` times for `reason`, how often it was run, and how long was waited.
    async fn outcome(
        repeatable: Repeatable,
        failures: u32,
        reason: &str,
        chance: u8,
    ) -> (Result<u32, DatabaseError>, u32, Vec<Duration>) {
        let (runs, sleeper) = (Cell::new(0), Sleeper::default());
        let batch = async || {
            runs.set(runs.get() + 1);
            if runs.get() <= failures { Err(Fault::new("database", reason).into()) } else { Ok(runs.get()) }
        };
        let result = repeatable.run(&sleeper, &Dice(chance), batch).await;
        let slept = sleeper.0.lock().expect("not poisoned").clone();
        (result, runs.get(), slept)
    }

    fn millis(list: &[u64]) -> Vec<Duration> {
        list.iter().map(|millis| Duration::from_millis(*millis)).collect()
    }

    #[tokio::test]
    async fn what_fails_for_a_moment_is_run_again_after_growing_waits() {
        for reason in [
            LOST,
            "D1_ERROR: internal storage caused object to be reset.",
            "D1_ERROR: D1 DB reset because its code was updated.",
        ] {
            let (result, runs, slept) = outcome(Repeatable::Yes, 2, reason, 0).await;
            assert_eq!((result.expect("the third time"), runs), (3, 3), "{reason}");
            assert_eq!(slept, millis(&[50, 100]));
        }
    }

    #[tokio::test]
    async fn waits_differ_by_chance_and_are_at_most_twice_as_long() {
        let (_, _, slept) = outcome(Repeatable::Yes, 3, LOST, 255).await;
        assert_eq!(slept, millis(&[100, 200, 400]));
    }

    #[tokio::test]
    async fn what_goes_on_failing_fails_after_three_retries() {
        let (result, runs, slept) = outcome(Repeatable::Yes, 9, LOST, 0).await;
        assert!(result.is_err());
        assert_eq!((runs, slept.len()), (4, 3));
    }

    #[tokio::test]
    async fn what_may_be_done_twice_and_what_is_simply_wrong_are_run_once() {
        for (repeatable, reason) in [(Repeatable::No, LOST), (Repeatable::Yes, "D1_ERROR: no such table: packages")] {
            let (result, runs, slept) = outcome(repeatable, 1, reason, 0).await;
            assert!(result.is_err());
            assert_eq!((runs, slept.len()), (1, 0), "{reason}");
        }
        let conflict = async || Err::<(), _>(DatabaseError::Conflict(LOST.to_owned()));
        let sleeper = Sleeper::default();
        assert!(Repeatable::Yes.run(&sleeper, &Dice(0), conflict).await.is_err());
        assert!(sleeper.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn a_batch_is_repeatable_if_all_of_it_reads_or_says_so() {
        let read = || Stmt::new("SELECT 1", []);
        let with = || Stmt::new("WITH x AS (SELECT 1) SELECT * FROM x", []);
        let write = || Stmt::new("UPDATE packages SET revision = revision + 1", []);
        let hidden = || Stmt::new("WITH x AS (SELECT 1 AS id) DELETE FROM packages WHERE id IN (SELECT id FROM x)", []);
        let idempotent = || Stmt::new("DELETE FROM sync_runs WHERE id < ?1", [1.into()]).idempotent();
        assert_eq!(Repeatable::of(&[read(), with(), idempotent()]), Repeatable::Yes);
        assert_eq!(Repeatable::of(&[read(), write()]), Repeatable::No);
        assert_eq!(Repeatable::of(&[hidden()]), Repeatable::No);
        assert!(all_only_read(&[read(), with()]) && !all_only_read(&[read(), idempotent()]));
    }
}
