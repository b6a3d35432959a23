//! How fast somebody has to send. Whoever drips would hold memory, connections and places that others wait for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::ports::{Clock, Millis};

/// Least bytes a second on the whole: a quarter of the slowest uplink that people still have, 512 kbit/s. A JSON body of
/// 1 MiB may take 74 s at it, a zip of 32 MiB 35 min.
pub const MIN_BYTES_PER_SECOND: u64 = 16 << 10;

/// How long nothing may come: a mobile connection takes some seconds to go on behind a tunnel.
pub const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Nothing came for longer than [`MAX_PAUSE`], or less than [`MIN_BYTES_PER_SECOND`] on the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it came too slowly: less than {} KiB a second, or nothing for {} s", MIN_BYTES_PER_SECOND >> 10, MAX_PAUSE.as_secs())]
pub struct TooSlow;

/// What has come so far, and how long it took.
#[derive(Debug)]
pub struct Pace {
    begun_at: Millis,
    received: u64,
}

impl Pace {
    /// Nothing has come yet.
    pub fn new(now: Millis) -> Self {
        Self { begun_at: now, received: 0 }
    }

    /// Notes that `bytes` have come.
    pub fn note(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// How long the next piece may take.
    fn patience(&self, now: Millis) -> Duration {
        let earned = Duration::from_secs(self.received / MIN_BYTES_PER_SECOND);
        let end = self.begun_at.plus(MAX_PAUSE).plus(earned);
        now.until(end).min(MAX_PAUSE)
    }

    /// The result of `work`, which waits for the next piece, unless that takes too long.
    pub async fn hold<T>(&self, clock: &dyn Clock, work: impl Future<Output = T>) -> Result<T, TooSlow> {
        within(clock, self.patience(clock.now()), work).await.ok_or(TooSlow)
    }
}

/// The result of `work`, unless `time_limit` runs out first. The clock is only asked to wake us when there is something to
/// wait for.
pub async fn within<T>(clock: &dyn Clock, time_limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut alarm = None;
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => {
            let alarm = alarm.get_or_insert_with(|| clock.sleep(time_limit));
            alarm.as_mut().poll(context).map(|()| None)
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(seconds: u32) -> Millis {
        Millis(0).plus(SECOND * seconds)
    }

    #[test]
    fn a_pause_is_short_whatever_has_come_before() {
        let mut pace = Pace::new(Millis(0));
        assert_eq!(pace.patience(Millis(0)), MAX_PAUSE);
        pace.note(100 << 20);
        assert_eq!(pace.patience(after(1)), MAX_PAUSE);
    }

    #[test]
    fn who_sends_too_little_on_the_whole_has_no_time_left() {
        let mut pace = Pace::new(Millis(0));
        for second in 0..9 {
            pace.note(1);
            assert_eq!(pace.patience(after(second)), after(second).until(after(10)));
        }
        assert_eq!(pace.patience(after(11)), Duration::ZERO);
        // Four seconds' worth of bytes are four more seconds.
        pace.note(64 << 10);
        assert_eq!(pace.patience(after(11)), SECOND * 3);
    }
}
