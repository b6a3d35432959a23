//! The clock: `Date.now()`.

use crate::ports::{Clock, Millis};

/// The Worker's clock. It stands still between two I/O operations.
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, far below 2^53")]
    fn now(&self) -> Millis {
        Millis(js_sys::Date::now() as i64)
    }
}
