//! Moments as text and back, always in UTC.
//!
//! They are put together from their parts: `time`'s own formatter, which can write any, costs
//! some kilobytes of wasm for each form.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ports::Millis;

const DAY_SECONDS: i64 = 24 * 3600;

/// The number of a moment's day: days since 1970-01-01.
pub fn day_number(moment: Millis) -> i64 {
    moment.seconds().div_euclid(DAY_SECONDS)
}

/// The first moment of a day.
pub fn start_of_day(number: i64) -> Millis {
    Millis::from_seconds(number.saturating_mul(DAY_SECONDS))
}

/// The date and the time of day.
fn parts(moment: Millis) -> (String, String) {
    let at = OffsetDateTime::from_unix_timestamp(moment.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    (
        format!("{:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day()),
        format!("{hour:02}:{minute:02}:{second:02}"),
    )
}

/// As PHP and the storefront write it: `2026-01-31 12:00:00`.
pub fn php_date(moment: Millis) -> String {
    let (date, time) = parts(moment);
    format!("{date} {time}")
}

/// As metadata has it: `2026-01-31T12:00:00Z`.
pub fn rfc3339(moment: Millis) -> String {
    let (date, time) = parts(moment);
    format!("{date}T{time}Z")
}

/// The day alone: `2026-01-31`.
pub fn day(moment: Millis) -> String {
    parts(moment).0
}

/// The moment that RFC 3339 text names.
pub fn read_rfc3339(text: &str) -> Option<Millis> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Millis::from_seconds(moment.unix_timestamp()))
}

/// The moment that text like [`php_date`]'s names.
pub fn read_php_date(text: &str) -> Option<Millis> {
    let (date, time) = text.split_once(' ')?;
    read_day(date)?;
    (time.len() == "12:00:00".len()).then(|| read_rfc3339(&format!("{date}T{time}Z"))).flatten()
}

/// The first moment of the day that text like [`day`]'s names.
pub fn read_day(text: &str) -> Option<Millis> {
    (text.len() == "2026-01-31".len()).then(|| read_rfc3339(&format!("{text}T00:00:00Z"))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let moment = Millis::from_seconds(1_769_860_805);
        assert_eq!(php_date(moment), "2026-01-31 12:00:05");
        assert_eq!(rfc3339(moment), "2026-01-31T12:00:05Z");
        assert_eq!(day(moment), "2026-01-31");
        assert_eq!((read_php_date(&php_date(moment)), read_rfc3339(&rfc3339(moment))), (Some(moment), Some(moment)));
        assert_eq!(read_day("2026-01-31").map(php_date).as_deref(), Some("2026-01-31 00:00:00"));
        assert_eq!(day(start_of_day(day_number(moment))), "2026-01-31");
        assert_eq!((day_number(Millis(0)), day_number(Millis(-1))), (0, -1));
        assert_eq!(rfc3339(Millis::from_seconds(-1)), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(Millis::LAST), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in
            ["", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30 12:00:00", "2026-01-31 12:00:00Z", "x 12:00:00"]
        {
            assert_eq!(read_php_date(text), None, "{text}");
        }
        for text in ["", "2026-1-31", "2026-02-30", "2026-01-31 12:00:00"] {
            assert_eq!(read_day(text), None, "{text}");
        }
    }
}
