//! `Range` requests for one range, as downloads take them (RFC 9110, section 14).

use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};

use crate::ports::ByteRange;
use crate::registry::kernel::failure::{Failure, Kind};

/// The range of `size` bytes that the request asks for; `None` for all of them, as for several ranges, for other units
/// and for a header that cannot be read.
///
/// # Errors
/// [`Kind::RangeNotSatisfiable`] if the range lies outside.
pub fn requested_range(headers: &HeaderMap, size: u64, etag: &str) -> Result<Option<ByteRange>, Failure> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if text(&IF_RANGE).is_some_and(|validator| validator != etag) {
        return Ok(None);
    }
    let Some((first, last)) =
        text(&RANGE).and_then(|value| value.strip_prefix("bytes=")).and_then(|range| range.trim().split_once('-'))
    else {
        return Ok(None);
    };
    let (offset, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.is_empty() => (first, size),
        (Err(_), Ok(suffix)) if first.is_empty() => (size.saturating_sub(suffix), size),
        _ => return Ok(None),
    };
    if offset >= end {
        let detail = format!("The archive has {size} bytes; the asked range lies outside of them.");
        return Err(Failure::new(Kind::RangeNotSatisfiable { size }, detail));
    }
    Ok(Some(ByteRange { offset, length: end - offset }))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn ask(range: &str) -> Result<Option<(u64, u64)>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::try_from(range).expect("a header"));
        requested_range(&headers, 100, "\"a\"").map(|range| range.map(|range| (range.offset, range.length)))
    }

    #[test]
    fn one_part_is_served_and_everything_odd_gets_the_whole() {
        for (range, expected) in [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=90-", Some((90, 10))),
            ("bytes=-10", Some((90, 10))),
            ("bytes=-1000", Some((0, 100))),
            ("bytes=50-1000", Some((50, 50))),
            ("bytes=0-1,5-6", None),
            ("bytes=9-1", None),
            ("lines=1-2", None),
            ("bytes=a-b", None),
        ] {
            assert_eq!(ask(range).expect("satisfiable"), expected, "{range}");
        }
        for range in ["bytes=100-", "bytes=200-300", "bytes=-0"] {
            assert!(ask(range).is_err(), "{range}");
        }
    }

    #[test]
    fn a_stale_if_range_gets_the_whole() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-9"));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"old\""));
        assert_eq!(requested_range(&headers, 100, "\"new\"").expect("the whole"), None);
    }
}
