//! The clock: `Date.now()`, and timers.

use std::time::Duration;

use worker::Delay;
use worker::send::SendFuture;

use crate::ports::{BoxFuture, Clock, Millis};

/// The Worker's clock. It stands still between two I/O operations.
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, far below 2^53")]
    fn now(&self) -> Millis {
        Millis(js_sys::Date::now() as i64)
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(SendFuture::new(Delay::from(span)))
    }
}
