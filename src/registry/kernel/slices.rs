//! Long work of the CPU in slices: between two of them the isolate's other requests have their turn.

use std::time::Duration;

use crate::registry::kernel::app::App;
use crate::registry::kernel::memory::Permit;

/// Work of one slice, in bytes that are inflated or hashed: some 30 ms.
pub const SLICE_WORK: u64 = 4 << 20;

/// How much more work it is to deflate a byte.
pub const DEFLATE_WORK: u64 = 8;

/// Work that is done in slices, under a permit that is renewed meanwhile.
pub struct Slices<'a> {
    app: &'a App,
    permit: Permit,
    spent: u64,
}

impl<'a> Slices<'a> {
    /// Work that is done while `permit` is held.
    pub fn new(app: &'a App, permit: Permit) -> Self {
        Self { app, permit, spent: 0 }
    }

    /// Notes work that was done; waits for a turn when a slice is full.
    pub async fn spend(&mut self, work: u64) {
        self.spent += work;
        if self.spent >= SLICE_WORK {
            self.spent = 0;
            self.pause().await;
        }
    }

    /// Lets the others have their turn.
    pub async fn pause(&mut self) {
        self.app.ports.clock.sleep(Duration::ZERO).await;
        self.permit.renew(self.app.now());
    }
}
