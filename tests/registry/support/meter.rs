//! Counts the calls of the ports, and makes them fail on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rostrum::ports::Fault;

/// A port whose calls can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    Database,
    Cache,
    Blobs,
    Queue,
}

impl Port {
    fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Cache => "cache",
            Self::Blobs => "blobs",
            Self::Queue => "queue",
        }
    }
}

/// When a call that is made to fail does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTiming {
    /// Before anything was done.
    Before,
    /// After everything was done: the caller gets an error for work that was carried out.
    After,
}

/// How often the ports were called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    pub round_trips: usize,
    pub statements: usize,
    pub cache_reads: usize,
    pub cache_writes: usize,
    pub cache_deletes: usize,
    pub cache_lists: usize,
    pub blob_reads: usize,
    pub blob_writes: usize,
    pub upstream: usize,
    pub enqueues: usize,
}

#[derive(Debug, Clone, Copy)]
enum Plan {
    Nth(usize, FaultTiming),
    Always(FaultTiming),
}

#[derive(Default)]
struct State {
    calls: Calls,
    /// Bytes of the texts in the parameters of the largest batch so far.
    largest_batch: usize,
    plans: HashMap<Port, Plan>,
    /// Calls of each port since its plan was made.
    since: HashMap<Port, usize>,
    broken: usize,
}

/// Counts calls, and makes those fail that were chosen.
#[derive(Clone, Default)]
pub struct PortMeter(Arc<Mutex<State>>);

impl PortMeter {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while counting")
    }

    pub fn count(&self, note: impl FnOnce(&mut Calls)) {
        note(&mut self.state().calls);
    }

    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    /// Notes that a batch's parameters hold so many bytes of text.
    pub fn note_batch(&self, bytes: usize) {
        let mut state = self.state();
        state.largest_batch = state.largest_batch.max(bytes);
    }

    /// Bytes of text in the parameters of the largest batch so far.
    pub fn largest_batch(&self) -> usize {
        self.state().largest_batch
    }

    pub fn reset(&self) {
        self.state().calls = Calls::default();
    }

    /// Breaks the `nth` call of `port` from now on (1 is the next one), and no other.
    pub fn break_nth(&self, port: Port, nth: usize, timing: FaultTiming) {
        self.plan(port, Plan::Nth(nth, timing));
    }

    /// Breaks every call of `port` from now on.
    pub fn break_all(&self, port: Port, timing: FaultTiming) {
        self.plan(port, Plan::Always(timing));
    }

    fn plan(&self, port: Port, plan: Plan) {
        let mut state = self.state();
        state.since.insert(port, 0);
        state.plans.insert(port, plan);
        state.broken = 0;
    }

    /// Every port works again. Says how many calls were broken since the last plan was made.
    pub fn clear_faults(&self) -> usize {
        let mut state = self.state();
        state.plans.clear();
        std::mem::take(&mut state.broken)
    }

    /// A port's call begins; says whether it is to break, and when.
    pub fn enter(&self, port: Port) -> Option<FaultTiming> {
        let mut state = self.state();
        let since = state.since.entry(port).or_default();
        *since += 1;
        let since = *since;
        let timing = match state.plans.get(&port)? {
            Plan::Nth(nth, timing) if *nth == since => *timing,
            Plan::Nth(..) => return None,
            Plan::Always(timing) => *timing,
        };
        state.broken += 1;
        Some(timing)
    }

    /// The fault of a call that is to break.
    pub fn fault(port: Port) -> Fault {
        Fault::new(port.name(), "broken by the test")
    }

    /// Carries `work` out as [`PortMeter::enter`] says.
    pub async fn run<T>(&self, port: Port, work: impl FnOnce() -> T) -> Result<T, Fault> {
        // Others get a turn at every call, as they would while a platform answers.
        tokio::task::yield_now().await;
        match self.enter(port) {
            Some(FaultTiming::Before) => Err(Self::fault(port)),
            Some(FaultTiming::After) => {
                work();
                Err(Self::fault(port))
            }
            None => Ok(work()),
        }
    }
}
