//! Times as zips have them.

use time::OffsetDateTime;

/// 1980-01-01T00:00:00Z in unix seconds: the first moment that a zip can express.
const FIRST_ZIP_SECOND: i64 = 315_532_800;
/// 2107-12-31T23:59:58Z in unix seconds: the last one, as zip counts in steps of two.
const LAST_ZIP_SECOND: i64 = 4_354_819_198;

/// A moment in UTC, clamped to 1980 to 2107, in steps of two seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ZipTime {
    /// Years since 1980, month and day in 7, 4 and 5 bits.
    pub(crate) date: u16,
    /// Hour, minute and half seconds in 5, 6 and 5 bits.
    pub(crate) time: u16,
}

impl ZipTime {
    /// A unix time as zip writes it.
    pub(crate) fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST_ZIP_SECOND, LAST_ZIP_SECOND);
        // No clamped time is out of reach.
        let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let years = u16::try_from(at.year() - 1980).unwrap_or(0);
        let date = years << 9 | u16::from(u8::from(at.month())) << 5 | u16::from(at.day());
        let time = u16::from(at.hour()) << 11 | u16::from(at.minute()) << 5 | u16::from(at.second() / 2);
        Self { date, time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clamped_to_what_a_zip_can_express() {
        for (seconds, expected) in [
            (i64::MIN, (1980, 1, 1, 0, 0, 0)),
            (0, (1980, 1, 1, 0, 0, 0)),
            (FIRST_ZIP_SECOND, (1980, 1, 1, 0, 0, 0)),
            (1_700_000_001, (2023, 11, 14, 22, 13, 20)),
            (LAST_ZIP_SECOND, (2107, 12, 31, 23, 59, 58)),
            (i64::MAX, (2107, 12, 31, 23, 59, 58)),
        ] {
            let ZipTime { date, time } = ZipTime::from_unix(seconds);
            let at = zip::DateTime::try_from_msdos(date, time).expect("a time");
            let parts = (at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second());
            assert_eq!(parts, expected, "{seconds}");
        }
    }
}
