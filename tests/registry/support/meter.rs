//! What the ports count, and how they are told to break.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rostrum::ports::Fault;

/// A port that can be broken.
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

/// When a broken call reports its failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before anything was done.
    Before,
    /// After everything was done: the caller is told of a failure that did not happen.
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
    Nth(usize, Moment),
    Always(Moment),
}

#[derive(Default)]
struct State {
    calls: Calls,
    plans: HashMap<Port, Plan>,
    /// Calls of each port since its plan was made.
    since: HashMap<Port, usize>,
    broken: usize,
}

/// Counts calls and breaks those that it was told to break.
#[derive(Clone, Default)]
pub struct Meter(Arc<Mutex<State>>);

impl Meter {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while counting")
    }

    pub fn count(&self, note: impl FnOnce(&mut Calls)) {
        note(&mut self.state().calls);
    }

    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    pub fn reset(&self) {
        self.state().calls = Calls::default();
    }

    /// Breaks the `nth` call of `port` from now on (1 is the next one), and no other.
    pub fn break_nth(&self, port: Port, nth: usize, moment: Moment) {
        self.plan(port, Plan::Nth(nth, moment));
    }

    /// Breaks every call of `port` from now on.
    pub fn break_all(&self, port: Port, moment: Moment) {
        self.plan(port, Plan::Always(moment));
    }

    fn plan(&self, port: Port, plan: Plan) {
        let mut state = self.state();
        state.since.insert(port, 0);
        state.plans.insert(port, plan);
        state.broken = 0;
    }

    /// Every port works again. Says how many calls were broken since the last plan was made.
    pub fn mend(&self) -> usize {
        let mut state = self.state();
        state.plans.clear();
        std::mem::take(&mut state.broken)
    }

    /// A port's call begins; says whether it is to break, and when.
    pub fn enter(&self, port: Port) -> Option<Moment> {
        let mut state = self.state();
        let since = state.since.entry(port).or_default();
        *since += 1;
        let since = *since;
        let moment = match state.plans.get(&port)? {
            Plan::Nth(nth, moment) if *nth == since => *moment,
            Plan::Nth(..) => return None,
            Plan::Always(moment) => *moment,
        };
        state.broken += 1;
        Some(moment)
    }

    /// The fault of a call that is to break.
    pub fn fault(port: Port) -> Fault {
        Fault::new(port.name(), "broken by the test")
    }

    /// Carries `work` out as [`Meter::enter`] says.
    pub async fn run<T>(&self, port: Port, work: impl FnOnce() -> T) -> Result<T, Fault> {
        // Others get a turn at every call, as they would while a platform answers.
        tokio::task::yield_now().await;
        match self.enter(port) {
            Some(Moment::Before) => Err(Self::fault(port)),
            Some(Moment::After) => {
                work();
                Err(Self::fault(port))
            }
            None => Ok(work()),
        }
    }
}
