//! The waker of a request that is polled once before anybody runs it.
//!
//! [`super::fetch`] polls before there is a promise, and so before there is anybody to wake. Some futures keep the waker of
//! their first poll and look at no later one (`worker::Delay`); with one that does nothing they would never be carried on.
//! So every poll of a request has the same waker, which wakes whoever runs the request by then.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Wakes whoever runs the request.
#[derive(Default)]
pub struct Relay(Mutex<Option<Waker>>);

impl Relay {
    /// From now on `runner` is woken.
    pub fn wakes(&self, runner: &Waker) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(known) => known.clone_from(runner),
            None => *slot = Some(runner.clone()),
        }
    }
}

impl Wake for Relay {
    /// Nobody has to be woken before there is a runner: who becomes it polls at once.
    fn wake(self: Arc<Self>) {
        let runner = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(runner) = runner {
            runner.wake();
        }
    }
}
