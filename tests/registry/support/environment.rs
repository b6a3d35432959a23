//! A clock that stands still, chance that repeats itself, and work that waits to be done.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rostrum::ports::{BoxFuture, Clock, Entropy, Fault, Job, MAX_JOBS, Millis, Tasks};
use sha2::{Digest, Sha256};

use super::meter::{Meter, Port};

/// 2026-01-01T00:00:00Z: every world begins on the hour.
pub const DAWN: Millis = Millis(1_767_225_600_000);

/// A clock that only the test moves. Sleeping takes no time.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn new() -> Self {
        Self(AtomicI64::new(DAWN.0))
    }

    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(i64::try_from(span.as_millis()).expect("a test's lifetime"), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::task::yield_now())
    }
}

/// The same bytes in every run, and no two fills alike.
#[derive(Default)]
pub struct Chance(AtomicU64);

impl Entropy for Chance {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        for chunk in buffer.chunks_mut(32) {
            let turn = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Sha256::digest(turn.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// Work that the test does when it wants to.
pub struct Desk {
    background: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    jobs: Mutex<VecDeque<Job>>,
    meter: Meter,
}

impl Desk {
    pub fn new(meter: Meter) -> Self {
        Self { background: Mutex::default(), jobs: Mutex::default(), meter }
    }

    pub fn next_background(&self) -> Option<BoxFuture<'static, ()>> {
        self.background.lock().expect("not poisoned").pop_front()
    }

    pub fn next_job(&self) -> Option<Job> {
        self.jobs.lock().expect("not poisoned").pop_front()
    }

    pub fn jobs(&self) -> Vec<Job> {
        self.jobs.lock().expect("not poisoned").iter().cloned().collect()
    }

    /// Loses every job, as a queue that was emptied by hand.
    pub fn lose_jobs(&self) {
        self.jobs.lock().expect("not poisoned").clear();
    }
}

impl Tasks for Desk {
    fn wait_until(&self, work: BoxFuture<'static, ()>) {
        self.background.lock().expect("not poisoned").push_back(work);
    }

    fn enqueue(&self, jobs: Vec<Job>, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        assert!((1..=MAX_JOBS).contains(&jobs.len()), "the queue takes {MAX_JOBS} jobs a call: {}", jobs.len());
        Box::pin(async move {
            self.meter.count(|calls| calls.enqueues += 1);
            self.meter.run(Port::Queue, || self.jobs.lock().expect("not poisoned").extend(jobs)).await
        })
    }
}
