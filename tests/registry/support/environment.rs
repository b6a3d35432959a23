//! A clock that stands still, deterministic entropy, and background work that waits until the test runs it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use rostrum::ports::{BoxFuture, Clock, Entropy, Fault, Job, JobQueue, MAX_JOBS, Millis, Tasks};
use sha2::{Digest, Sha256};

use super::meter::{Port, PortMeter};

/// When every test begins: 2026-01-01T00:00:00Z, on the hour.
pub const START: Millis = Millis(1_767_225_600_000);

/// A clock that only the test moves. Sleeping takes no time.
pub struct ManualClock {
    now: AtomicI64,
    slept: Mutex<Vec<Duration>>,
}

impl ManualClock {
    pub fn new() -> Self {
        Self { now: AtomicI64::new(START.0), slept: Mutex::default() }
    }

    /// How long was slept each time, since the last call of this.
    pub fn take_slept(&self) -> Vec<Duration> {
        std::mem::take(&mut self.slept.lock().expect("not poisoned"))
    }

    pub fn advance(&self, span: Duration) {
        self.now.fetch_add(i64::try_from(span.as_millis()).expect("a test's lifetime"), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::Relaxed))
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        self.slept.lock().expect("not poisoned").push(span);
        Box::pin(tokio::task::yield_now())
    }
}

/// The same bytes in every run, and no two fills alike.
#[derive(Default)]
pub struct DeterministicEntropy(AtomicU64);

impl Entropy for DeterministicEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
        for chunk in buffer.chunks_mut(32) {
            let counter = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&Sha256::digest(counter.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

/// Background work and jobs, kept until the test runs them.
pub struct TestTasks {
    background: Mutex<VecDeque<BoxFuture<'static, ()>>>,
    jobs: Mutex<VecDeque<Job>>,
    meter: PortMeter,
}

impl TestTasks {
    pub fn new(meter: PortMeter) -> Self {
        Self { background: Mutex::default(), jobs: Mutex::default(), meter }
    }

    pub fn next_background(&self) -> Option<BoxFuture<'static, ()>> {
        self.background.lock().expect("not poisoned").pop_front()
    }

    pub fn next_job(&self) -> Option<Job> {
        self.jobs.lock().expect("not poisoned").pop_front()
    }

    /// The next job of one queue.
    pub fn next_job_of(&self, queue: JobQueue) -> Option<Job> {
        let mut jobs = self.jobs.lock().expect("not poisoned");
        let at = jobs.iter().position(|job| job.queue() == queue)?;
        jobs.remove(at)
    }

    pub fn jobs(&self) -> Vec<Job> {
        self.jobs.lock().expect("not poisoned").iter().cloned().collect()
    }

    /// Loses every job, as a queue that was emptied by hand.
    pub fn lose_jobs(&self) {
        self.jobs.lock().expect("not poisoned").clear();
    }
}

impl Tasks for TestTasks {
    fn wait_until(&self, work: BoxFuture<'static, ()>) {
        self.background.lock().expect("not poisoned").push_back(work);
    }

    fn enqueue(&self, queue: JobQueue, jobs: Vec<Job>, _: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        assert!(jobs.iter().all(|job| job.queue() == queue), "{queue:?} takes none of another queue: {jobs:?}");
        assert!((1..=MAX_JOBS).contains(&jobs.len()), "the queue takes {MAX_JOBS} jobs a call: {}", jobs.len());
        Box::pin(async move {
            self.meter.count(|calls| calls.enqueues += 1);
            self.meter.run(Port::Queue, || self.jobs.lock().expect("not poisoned").extend(jobs)).await
        })
    }
}
