//! Moments as text and back, always in UTC.

use std::time::UNIX_EPOCH;

use serde_json::Value;
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcDateTime};

use crate::ports::Millis;

const DAY_SECONDS: i64 = 24 * 3600;

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");
const PHP_DATE: StaticFormatDescription = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
/// RFC 3339 without a fraction, in UTC.
const UTC_RFC3339: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The number of a moment's day: days since 1970-01-01.
pub fn day_number(moment: Millis) -> i64 {
    moment.seconds().div_euclid(DAY_SECONDS)
}

/// The first moment of a day.
pub fn start_of_day(number: i64) -> Millis {
    Millis::from_seconds(number.saturating_mul(DAY_SECONDS))
}

/// As PHP and the storefront write it: `2026-01-31 12:00:00`.
pub fn php_date(moment: Millis) -> String {
    write(moment, PHP_DATE)
}

/// As metadata has it: `2026-01-31T12:00:00Z`.
pub fn rfc3339(moment: Millis) -> String {
    write(moment, UTC_RFC3339)
}

/// The day alone: `2026-01-31`.
pub fn day(moment: Millis) -> String {
    write(moment, DAY)
}

fn write(moment: Millis, form: StaticFormatDescription) -> String {
    let at = UtcDateTime::from_unix_timestamp(moment.seconds()).unwrap_or(UtcDateTime::UNIX_EPOCH);
    // It fails for components that a moment lacks alone, and these forms name none.
    at.format(form).unwrap_or_default()
}

/// The moment that RFC 3339 text names.
pub fn read_rfc3339(text: &str) -> Option<Millis> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Millis::from_seconds(moment.unix_timestamp()))
}

/// The moment that a header of HTTP names: `Thu, 01 Jan 2026 00:00:00 GMT`.
pub fn read_http_date(text: &str) -> Option<Millis> {
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Millis::from_seconds(i64::try_from(since.as_secs()).ok()?))
}

/// The first moment of the day that text like [`day`]'s names.
pub fn read_day(text: &str) -> Option<Millis> {
    let moment = Date::parse(unsigned(text)?, DAY).ok()?.midnight().as_utc();
    Some(Millis::from_seconds(moment.unix_timestamp()))
}

/// A moment as Composer's loader reads it: the forms that repositories write.
pub fn read_moment(value: &Value) -> Option<Millis> {
    let text = match value {
        Value::String(text) => text.trim(),
        Value::Number(seconds) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a cast to an integer saturates, and what is too far is none"
            )]
            let whole = seconds.as_i64().or_else(|| seconds.as_f64().map(|seconds| seconds.floor() as i64));
            return whole.and_then(date);
        }
        _ => return None,
    };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().and_then(date);
    }
    let forms = [text.to_owned(), format!("{}Z", text.replacen(' ', "T", 1)), format!("{text}T00:00:00Z")];
    forms.iter().find_map(|form| read_rfc3339(form))
}

/// A moment as whoever calls the storefront states it: as [`php_date`] writes it, by ISO 8601 (without a zone it is in UTC), or
/// in unix seconds, as a number or in a text. A day alone is its last second in UTC, so that what is granted until a day is
/// granted on it.
pub fn read_stated_moment(value: &Value) -> Option<Millis> {
    let Some(text) = value.as_str().map(str::trim) else { return read_moment(value) };
    let end_of_day = read_day(text).map(|midnight| Millis::from_seconds(midnight.seconds() + DAY_SECONDS - 1));
    let moment = end_of_day.or_else(|| read_moment(&Value::from(text))).or_else(|| {
        // PHP's DATE_ISO8601 and `date +%z` write no colon into the zone.
        let colon = text.len().checked_sub(2).filter(|at| text.is_char_boundary(*at) && text.contains('T'))?;
        read_moment(&Value::from(format!("{}:{}", &text[..colon], &text[colon..])))
    });
    moment.filter(|moment| (Millis(0)..=Millis::LAST).contains(moment))
}

/// The moment `seconds` after the epoch, if it is one that can be written as a date.
fn date(seconds: i64) -> Option<Millis> {
    Some(Millis::from_seconds(seconds)).filter(|moment| (Millis(0)..=Millis::LAST).contains(moment))
}

/// `text`, unless it begins with a sign, which `time` takes before a year.
fn unsigned(text: &str) -> Option<&str> {
    (!text.starts_with(['+', '-'])).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let moment = Millis::from_seconds(1_769_860_805);
        assert_eq!(php_date(moment), "2026-01-31 12:00:05");
        assert_eq!(rfc3339(moment), "2026-01-31T12:00:05Z");
        assert_eq!(day(moment), "2026-01-31");
        let stated = read_stated_moment(&json!(php_date(moment)));
        assert_eq!((stated, read_rfc3339(&rfc3339(moment))), (Some(moment), Some(moment)));
        assert_eq!(read_day("2026-01-31").map(php_date).as_deref(), Some("2026-01-31 00:00:00"));
        assert_eq!(day(start_of_day(day_number(moment))), "2026-01-31");
        assert_eq!((day_number(Millis(0)), day_number(Millis(-1))), (0, -1));
        assert_eq!(rfc3339(Millis::from_seconds(-1)), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(Millis::LAST), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in ["", "2026-1-31", "2026-02-30", "2026-01-31 12:00:00", "+2026-01-31", "-2026-01-31"] {
            assert_eq!(read_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_that_is_no_date_is_none() {
        for (value, expected) in [
            (json!(1_700_000_000), Some(1_700_000_000)),
            (json!("1700000000"), Some(1_700_000_000)),
            (json!("2023-11-14 22:13:20"), Some(1_700_000_000)),
            (json!(1_700_000_000.75), Some(1_700_000_000)),
            (json!(1e300), None),
            (json!(i64::MAX), None),
            (json!(i64::MAX.to_string()), None),
            (json!(-1), None),
            (json!("soon"), None),
        ] {
            assert_eq!(read_moment(&value).map(Millis::seconds), expected, "{value}");
        }
    }

    #[test]
    fn moments_are_read_in_the_forms_that_shops_state_them_in() {
        for stated in [
            json!("2023-11-14 22:13:20"),
            json!("2023-11-14T22:13:20Z"),
            json!("2023-11-14T22:13:20"),
            json!("2023-11-14T23:13:20+01:00"),
            json!("2023-11-14T23:13:20+0100"),
            json!("2023-11-14T17:13:20.250-05:00"),
            json!(1_700_000_000),
            json!("1700000000"),
        ] {
            assert_eq!(read_stated_moment(&stated), Some(Millis(1_700_000_000_000)), "{stated}");
        }
        let of_day = read_stated_moment(&json!("2023-11-14")).map(php_date);
        assert_eq!(of_day.as_deref(), Some("2023-11-14 23:59:59"));
        for none in [
            json!("soon"),
            json!(""),
            json!("2023-02-30"),
            json!("2023-11-14 22:13"),
            json!("0000-00-00 00:00:00"),
            json!("14.11.2023"),
            json!("11/14/2023"),
            json!("1969-12-31"),
            json!("ü2"),
            json!("Tü"),
            json!(-1),
            json!(1_700_000_000_000_000_i64),
            json!(true),
            json!(null),
            json!([1_700_000_000]),
        ] {
            assert_eq!(read_stated_moment(&none), None, "{none}");
        }
    }

    #[test]
    fn moments_are_read_in_the_forms_that_repositories_write() {
        for text in ["2023-11-14T22:13:20+00:00", "2023-11-14T23:13:20+01:00", "2023-11-14 22:13:20", "1700000000"] {
            assert_eq!(read_moment(&json!(text)), Some(Millis(1_700_000_000_000)), "{text}");
        }
        assert_eq!(read_moment(&json!("2023-11-14")), Some(Millis(1_699_920_000_000)));
        assert_eq!(read_moment(&json!(1_700_000_000)), Some(Millis(1_700_000_000_000)));
        for text in ["yesterday", "", "99999999999999999999"] {
            assert_eq!(read_moment(&json!(text)), None, "{text}");
        }
    }
}
