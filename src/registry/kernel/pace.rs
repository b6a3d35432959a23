//! How fast somebody has to send: a client the body of a request, somebody else's server an answer. Whoever drips would hold
//! memory, connections and places that others wait for, and is never silent for long.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::ports::{ByteStream, Clock, Fault, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::{RequestError, TIMEOUT};

/// Least bytes a second on the whole of a client: a quarter of the slowest uplink that people still have, 512 kbit/s. A JSON
/// body of 1 MiB may take 74 s at it, a zip of 32 MiB 35 min.
pub const MIN_BYTES_PER_SECOND: u64 = 16 << 10;

/// How long nothing may come of a client: a mobile connection takes some seconds to go on behind a tunnel.
pub const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How long a client may take as a whole: more than the 35 min of the largest zip.
const MAX_CLIENT_TIME: Duration = Duration::from_hours(1);

/// The time in which [`MIN_BYTES`] have to come of a server, on the whole: two pauses of almost [`TIMEOUT`], after which it
/// counts as silent, fit in.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Fewest bytes of a server for each [`WINDOW`], on the whole: 273 a second, far below what any line has.
pub const MIN_BYTES: u64 = 16 << 10;

/// How long a document may take to come as a whole: 32 MiB at 109 kB a second.
pub const MAX_DOCUMENT_TIME: Duration = Duration::from_mins(5);

/// How long an archive, a pack or a file may take to come as a whole: 512 MiB at 0.9 MB a second. A job has a quarter of an hour.
pub const MAX_ARCHIVE_TIME: Duration = Duration::from_mins(10);

/// Nothing came of a client for longer than [`MAX_PAUSE`], or less than [`MIN_BYTES_PER_SECOND`] on the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it came too slowly: less than {} KiB a second, or nothing for {} s", MIN_BYTES_PER_SECOND >> 10, MAX_PAUSE.as_secs())]
pub struct TooSlow;

/// What has to come in which time.
#[derive(Debug, Clone, Copy)]
struct PaceLimits {
    /// As many bytes earn the time of a window more.
    min_bytes: u64,
    window: Duration,
    /// The time that it has before it has earned any.
    advance: Duration,
    /// The time that it has as a whole.
    max_time: Duration,
}

const OF_CLIENTS: PaceLimits = PaceLimits {
    min_bytes: MIN_BYTES_PER_SECOND,
    window: Duration::from_secs(1),
    advance: MAX_PAUSE,
    max_time: MAX_CLIENT_TIME,
};

/// A server may think before it sends, until it counts as silent.
const OF_SERVERS: PaceLimits = PaceLimits {
    min_bytes: MIN_BYTES,
    window: WINDOW,
    advance: WINDOW.saturating_add(TIMEOUT),
    max_time: MAX_ARCHIVE_TIME,
};

/// What has come so far, and how long it took.
#[derive(Debug)]
pub struct Pace {
    limits: PaceLimits,
    begun_at: Millis,
    received: u64,
}

impl Pace {
    /// For the body of a request, of which nothing has come yet.
    pub fn of_client(app: &App) -> Self {
        Self::new(OF_CLIENTS, app.now())
    }

    /// The same for a document of a server.
    pub fn of_document(app: &App) -> Self {
        Self::new(PaceLimits { max_time: MAX_DOCUMENT_TIME, ..OF_SERVERS }, app.now())
    }

    /// The same for an archive, a pack or a file of a server.
    pub fn of_archive(app: &App) -> Self {
        Self::new(OF_SERVERS, app.now())
    }

    fn new(limits: PaceLimits, now: Millis) -> Self {
        Self { limits, begun_at: now, received: 0 }
    }

    /// Notes that `bytes` have come.
    pub fn note(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// By when more has to have come.
    fn due_at(&self) -> Millis {
        let PaceLimits { min_bytes, window, advance, .. } = self.limits;
        let windows = u32::try_from(self.received / min_bytes).unwrap_or(u32::MAX);
        self.begun_at.plus(advance).plus(window.saturating_mul(windows))
    }

    /// By when all of it has to have come.
    fn ends_at(&self) -> Millis {
        self.begun_at.plus(self.limits.max_time)
    }

    /// How long the next piece of a client may take.
    fn patience(&self, now: Millis) -> Duration {
        now.until(self.due_at().min(self.ends_at())).min(MAX_PAUSE)
    }

    /// The result of `work`, which waits for the next piece of a client, unless that takes too long.
    pub async fn hold<T>(&self, clock: &dyn Clock, work: impl Future<Output = T>) -> Result<T, TooSlow> {
        within(clock, self.patience(clock.now()), work).await.ok_or(TooSlow)
    }

    /// The next piece of `body`, which a server sends, nothing behind its end. How long it may be silent is the port's to say.
    ///
    /// # Errors
    /// When it broke off, or comes too slowly.
    pub async fn next_chunk(
        &mut self,
        clock: &dyn Clock,
        body: &mut dyn ByteStream,
    ) -> Result<Option<Bytes>, RequestError> {
        let Some(chunk) = body.next_chunk().await else { return Ok(None) };
        let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
        self.note(chunk.len());
        self.check(clock.now())?;
        Ok(Some(chunk))
    }

    fn check(&self, now: Millis) -> Result<(), RequestError> {
        let PaceLimits { min_bytes, window, max_time, .. } = self.limits;
        if now > self.ends_at() {
            return Err(RequestError::TookTooLong { limit: max_time });
        }
        if now > self.due_at() {
            return Err(RequestError::TooSlow { min_bytes, window });
        }
        Ok(())
    }
}

/// Reads a document of a server, of at most `limit` bytes.
pub async fn read_all(app: &App, body: &mut dyn ByteStream, limit: usize) -> Result<Vec<u8>, RequestError> {
    let mut pace = Pace::of_document(app);
    let mut bytes = Vec::new();
    while let Some(chunk) = pace.next_chunk(&*app.ports.clock, body).await? {
        if bytes.len() + chunk.len() > limit {
            return Err(RequestError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
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
        let mut pace = Pace::new(OF_CLIENTS, Millis(0));
        assert_eq!(pace.patience(Millis(0)), MAX_PAUSE);
        pace.note(100 << 20);
        assert_eq!(pace.patience(after(1)), MAX_PAUSE);
    }

    #[test]
    fn who_sends_too_little_on_the_whole_has_no_time_left() {
        let mut pace = Pace::new(OF_CLIENTS, Millis(0));
        for second in 0..9 {
            pace.note(1);
            assert_eq!(pace.patience(after(second)), after(second).until(after(10)));
        }
        assert_eq!(pace.patience(after(11)), Duration::ZERO);
        // Four seconds' worth of bytes are four more seconds.
        pace.note(64 << 10);
        assert_eq!(pace.patience(after(11)), SECOND * 3);
    }

    #[test]
    fn a_client_that_is_slow_for_an_hour_has_no_time_left_whatever_has_come() {
        let mut pace = Pace::new(OF_CLIENTS, Millis(0));
        pace.note(1 << 30);
        assert_eq!(pace.patience(after(3_595)), SECOND * 5);
        assert_eq!(pace.patience(after(3_601)), Duration::ZERO);
    }

    #[test]
    fn a_byte_of_a_server_now_and_then_is_too_slow_and_a_pause_is_not() {
        let mut drip = Pace::new(OF_SERVERS, Millis(0));
        let mut seconds = (0..).step_by(2);
        let error = seconds.by_ref().find_map(|second| {
            drip.note(1);
            drip.check(after(second)).err()
        });
        assert!(matches!(error, Some(RequestError::TooSlow { .. })));
        assert_eq!(seconds.next(), Some(94), "after it might have thought, and one window");
        let mut slow = Pace::new(OF_SERVERS, Millis(0));
        for second in [29, 58, 87, 116, 117, 146] {
            slow.note(8 << 10);
            slow.check(after(second)).expect("it thinks, and then it sends");
        }
    }

    #[test]
    fn what_takes_too_long_as_a_whole_is_given_up_however_steady_it_is() {
        let mut steady = Pace::new(OF_SERVERS, Millis(0));
        for second in 0..=600 {
            steady.note(4096);
            steady.check(after(second)).expect("fast enough");
        }
        assert!(matches!(steady.check(after(601)), Err(RequestError::TookTooLong { limit: MAX_ARCHIVE_TIME })));
    }
}
