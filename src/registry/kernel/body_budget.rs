//! The memory for the bodies of requests that are being received: one budget for all of the isolate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::{Millis, PART_BYTES};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::memory::Memory;

/// Most bytes that all of them take together: of an isolate's 128 MB, 24 are for caches and some 32 for the one archive that
/// is built or looked through. It is what 24 JSON bodies take, or four zips of any size, a part of each of which is in
/// memory, and still 4 MiB for the rest.
pub const MAX_BYTES_IN_FLIGHT: usize = 24 << 20;

/// How long a request waits until others have been received.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client is told to wait when that was not enough.
const RETRY_AFTER_SECONDS: i64 = 5;

/// How long a reservation counts when it is neither given back nor renewed: a request that its client has left may never be
/// carried on. A body that comes renews it more often (`pace::MAX_PAUSE`).
const TTL: Duration = Duration::from_mins(1);

/// What is reserved, by a number for each.
#[derive(Default)]
struct InFlight {
    last: u64,
    reserved: HashMap<u64, Reserved>,
}

struct Reserved {
    bytes: usize,
    until: Millis,
}

impl InFlight {
    fn try_reserve(&mut self, bytes: usize, now: Millis) -> Option<u64> {
        self.reserved.retain(|_, reserved| now < reserved.until);
        let taken: usize = self.reserved.values().map(|reserved| reserved.bytes).sum();
        if taken + bytes > MAX_BYTES_IN_FLIGHT {
            return None;
        }
        self.last += 1;
        self.reserved.insert(self.last, Reserved { bytes, until: now.plus(TTL) });
        Some(self.last)
    }
}

/// Memory for a body; given back when it is dropped.
pub struct Reservation {
    memory: Arc<Memory>,
    number: u64,
}

impl Reservation {
    /// Waits until there is memory for a body of which `bytes` are in memory at a time, at most a part of an upload.
    ///
    /// # Errors
    /// `Busy` when there is none for ten seconds.
    pub async fn of(app: &App, bytes: usize) -> Result<Self, Failure> {
        let bytes = bytes.min(PART_BYTES);
        let reserve = |now| app.memory.slot::<InFlight>().lock().try_reserve(bytes, now);
        if let Some(number) = app.acquire(PATIENCE, reserve).await {
            return Ok(Self { memory: app.memory.clone(), number });
        }
        let detail = "The registry is receiving too much at once. Send the request again in a moment.";
        Err(Failure::new(Kind::Busy { retry_after: RETRY_AFTER_SECONDS }, detail))
    }

    /// Keeps it for longer: the body goes on coming.
    pub fn renew(&self, now: Millis) {
        if let Some(reserved) = self.memory.slot::<InFlight>().lock().reserved.get_mut(&self.number) {
            reserved.until = now.plus(TTL);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.slot::<InFlight>().lock().reserved.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_given_back_nor_renewed_is_free_again_after_a_minute() {
        let mut in_flight = InFlight::default();
        let whole = in_flight.try_reserve(MAX_BYTES_IN_FLIGHT, Millis(0)).expect("nothing is taken");
        assert!(in_flight.try_reserve(1, Millis(0)).is_none());
        assert!(in_flight.try_reserve(0, Millis(0)).is_some(), "what takes nothing always fits");
        let later = Millis(0).plus(TTL);
        assert!(in_flight.try_reserve(1, later).is_some());
        assert!(!in_flight.reserved.contains_key(&whole));
    }
}
