//! Conditional answers.
//!
//! Composer validates by `Last-Modified` alone and sends it back as it got it, so it is compared for equality, never as
//! a date: another view of the same document has another date, later or earlier (composer-protocol, section 0,
//! rules 3-5). Other clients get an entity tag too; when they send one, it decides.

use std::time::{Duration, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::registry::metadata::Body;

/// Of `Cache-Control`: private, and to be asked for again each time.
pub const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// The client's kind decides the form, the credentials decide the content.
const VARIES: HeaderValue = HeaderValue::from_static("User-Agent, Authorization");

/// `seconds` since the epoch as an HTTP date.
pub fn http_date(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

/// Whether the client has what it would be sent.
pub fn is_unchanged(headers: &HeaderMap, etag: &str, last_modified: Option<&str>) -> bool {
    if let Some(tags) = headers.get(IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()) {
        return tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*");
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(|date| date.to_str().ok());
    since.is_some() && since == last_modified
}

/// `body` as an answer to a request with `headers`: the body, or `304` when the client has it.
pub fn answer(headers: &HeaderMap, body: &Body) -> Response {
    let date = http_date(body.last_modified);
    let validators: [(HeaderName, HeaderValue); 4] = [
        (LAST_MODIFIED, HeaderValue::try_from(date.as_str()).unwrap_or(HeaderValue::from_static(""))),
        (ETAG, HeaderValue::try_from(body.etag.as_str()).unwrap_or(HeaderValue::from_static(""))),
        (CACHE_CONTROL, PRIVATE),
        (VARY, VARIES),
    ];
    if is_unchanged(headers, &body.etag, Some(&date)) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (validators, [content_type], body.bytes.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(value).expect("a header"));
        headers
    }

    #[test]
    fn a_later_date_is_another_date() {
        let date = http_date(1_700_000_000);
        assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
        assert!(is_unchanged(&headers(IF_MODIFIED_SINCE, &date), "\"a\"", Some(&date)));
        let later = http_date(1_700_000_001);
        assert!(!is_unchanged(&headers(IF_MODIFIED_SINCE, &later), "\"a\"", Some(&date)));
        assert!(!is_unchanged(&HeaderMap::new(), "\"a\"", Some(&date)));
    }

    #[test]
    fn an_entity_tag_decides_over_the_date() {
        let date = http_date(1_700_000_000);
        let mut both = headers(IF_MODIFIED_SINCE, &date);
        both.insert(IF_NONE_MATCH, HeaderValue::from_static("\"b\""));
        assert!(!is_unchanged(&both, "\"a\"", Some(&date)));
        assert!(is_unchanged(&headers(IF_NONE_MATCH, "\"b\", W/\"a\""), "\"a\"", Some(&date)));
    }
}
