//! How slowly somebody else's server may send a body. A server that sends a byte now and then is never silent for as long as
//! [`TIMEOUT`](super::outbound::TIMEOUT), and would keep memory and places from others for hours.

use std::time::Duration;

use bytes::Bytes;

use crate::ports::{ByteStream, Fault, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::RequestError;

/// The time in which [`MIN_BYTES`] have to come: two pauses of almost 30 s, after which a server counts as silent, fit in.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Fewest bytes that have to come in each [`WINDOW`] but the last: 273 a second, far below what any line has.
pub const MIN_BYTES: usize = 16 << 10;

/// How long a document may take to come as a whole: 32 MiB at 109 kB a second.
pub const MAX_DOCUMENT_TIME: Duration = Duration::from_mins(5);

/// How long an archive may take to come as a whole: 512 MiB at 0.9 MB a second. A job has a quarter of an hour.
pub const MAX_ARCHIVE_TIME: Duration = Duration::from_mins(10);

/// Watches how fast a body comes.
pub struct UpstreamPace {
    max_time: Duration,
    until: Millis,
    /// When the present window began: with the first piece, because a server may think before it sends.
    window_began: Option<Millis>,
    window_bytes: usize,
}

impl UpstreamPace {
    /// For a body of which nothing has come yet.
    pub fn new(app: &App, max_time: Duration) -> Self {
        Self { max_time, until: app.now().plus(max_time), window_began: None, window_bytes: 0 }
    }

    /// The next piece of `body`, nothing behind its end.
    ///
    /// # Errors
    /// When it broke off, or comes too slowly.
    pub async fn next_chunk(&mut self, app: &App, body: &mut dyn ByteStream) -> Result<Option<Bytes>, RequestError> {
        let Some(chunk) = body.next_chunk().await else { return Ok(None) };
        let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
        self.note(app.now(), chunk.len())?;
        Ok(Some(chunk))
    }

    fn note(&mut self, now: Millis, bytes: usize) -> Result<(), RequestError> {
        if now > self.until {
            return Err(RequestError::TookTooLong { limit: self.max_time });
        }
        self.window_bytes += bytes;
        let began = *self.window_began.get_or_insert(now);
        if now >= began.plus(WINDOW) {
            if self.window_bytes < MIN_BYTES {
                return Err(RequestError::TooSlow { min_bytes: MIN_BYTES, window: WINDOW });
            }
            (self.window_began, self.window_bytes) = (Some(now), 0);
        }
        Ok(())
    }
}

/// Reads a body of at most `limit` bytes.
pub async fn read_all(app: &App, body: &mut dyn ByteStream, limit: usize) -> Result<Vec<u8>, RequestError> {
    let mut pace = UpstreamPace::new(app, MAX_DOCUMENT_TIME);
    let mut bytes = Vec::new();
    while let Some(chunk) = pace.next_chunk(app, body).await? {
        if bytes.len() + chunk.len() > limit {
            return Err(RequestError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> UpstreamPace {
        UpstreamPace {
            max_time: MAX_ARCHIVE_TIME,
            until: Millis(0).plus(MAX_ARCHIVE_TIME),
            window_began: None,
            window_bytes: 0,
        }
    }

    #[test]
    fn a_byte_now_and_then_is_too_slow_and_a_pause_is_not() {
        let mut drip = pace();
        let mut seconds = (0..).step_by(2);
        let error = seconds.by_ref().find_map(|second| drip.note(Millis::from_seconds(second), 1).err());
        assert!(matches!(error, Some(RequestError::TooSlow { .. })));
        assert_eq!(seconds.next(), Some(62), "after one window");
        let mut slow = pace();
        for second in [25, 54, 83, 84, 113] {
            slow.note(Millis::from_seconds(second), MIN_BYTES / 2).expect("it thinks, and then it sends");
        }
    }

    #[test]
    fn what_takes_too_long_as_a_whole_is_given_up_however_steady_it_is() {
        let mut steady = pace();
        for second in 0..=600 {
            steady.note(Millis::from_seconds(second), 4096).expect("fast enough");
        }
        let error = steady.note(Millis::from_seconds(601), 4096);
        assert!(matches!(error, Err(RequestError::TookTooLong { limit: MAX_ARCHIVE_TIME })));
    }
}
