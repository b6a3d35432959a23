//! Conditional requests: `ETag`, `Last-Modified` and `304 Not Modified`.
//!
//! Composer validates by `Last-Modified` alone and sends it back as it got it, so it is compared for equality, never as
//! a date: another view of the same document has another date, later or earlier (docs/composer-protocol.md, section 0,
//! rules 3-5). Other clients get an entity tag too; when they send one, it decides.

use std::time::{Duration, UNIX_EPOCH};

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::http::kit::extract::Client;
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::registry::delivery::metadata::{Body, Source};
use crate::registry::kernel::failure::Failure;

/// `Cache-Control` of what only the caller may keep, and must revalidate each time.
pub const PRIVATE_NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
/// `Vary`: the kind of the client decides the form, the credentials decide the content.
pub const VARY_BY_CLIENT: HeaderValue = HeaderValue::from_static("User-Agent, Authorization");

/// On a response: memory alone answered, once the caller was known. Its request is free when it is a `304`; every other one
/// asks the database or the blob store, whatever it is answered with.
#[derive(Debug, Clone, Copy)]
pub struct AnsweredFromMemory;

/// `seconds` since the epoch as an HTTP date.
pub fn http_date(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

/// The preconditions of a request: the validators of what the client has; and what kind of client it is.
#[derive(Debug)]
pub struct Preconditions {
    if_none_match: Option<HeaderValue>,
    if_modified_since: Option<HeaderValue>,
    /// The kind of client that sent the request.
    pub client: Client,
}

impl Preconditions {
    /// The preconditions in `headers`.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
            if_modified_since: headers.get(IF_MODIFIED_SINCE).cloned(),
            client: Client::of(headers),
        }
    }

    /// Whether the client has the representation with these validators, so that the response is `304 Not Modified`.
    pub fn is_not_modified(&self, etag: &str, last_modified: Option<&str>) -> bool {
        if let Some(tags) = self.if_none_match.as_ref().and_then(|tags| tags.to_str().ok()) {
            return tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*");
        }
        let since = self.if_modified_since.as_ref().and_then(|date| date.to_str().ok());
        since.is_some() && since == last_modified
    }
}

impl Extract for Preconditions {
    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        Ok(Self::of(&request.parts.headers))
    }
}

/// The response to a request with `preconditions`: the body, or `304` if the client has it. `source`: where it was.
pub fn conditional(preconditions: &Preconditions, body: &Body, source: Source) -> Response {
    let date = http_date(body.last_modified);
    let unchanged = preconditions.is_not_modified(&body.etag, Some(&date));
    let mut response =
        if unchanged { StatusCode::NOT_MODIFIED.into_response() } else { body.bytes.clone().into_response() };
    let headers = response.headers_mut();
    if !unchanged {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(LAST_MODIFIED, HeaderValue::try_from(date).unwrap_or(HeaderValue::from_static("")));
    headers.insert(ETAG, HeaderValue::try_from(body.etag.as_str()).unwrap_or(HeaderValue::from_static("")));
    headers.insert(CACHE_CONTROL, PRIVATE_NO_CACHE);
    headers.insert(VARY, VARY_BY_CLIENT);
    if source == Source::Memory {
        response.extensions_mut().insert(AnsweredFromMemory);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn preconditions<const N: usize>(headers: [(HeaderName, &str); N]) -> Preconditions {
        let value = |text| HeaderValue::try_from(text).expect("a header");
        Preconditions::of(&headers.into_iter().map(|(name, text)| (name, value(text))).collect())
    }

    #[test]
    fn a_later_date_is_another_date() {
        let date = http_date(1_700_000_000);
        assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
        assert!(preconditions([(IF_MODIFIED_SINCE, &date)]).is_not_modified("\"a\"", Some(&date)));
        let later = http_date(1_700_000_001);
        assert!(!preconditions([(IF_MODIFIED_SINCE, &later)]).is_not_modified("\"a\"", Some(&date)));
        assert!(!preconditions([]).is_not_modified("\"a\"", Some(&date)));
    }

    #[test]
    fn an_entity_tag_decides_over_the_date() {
        let date = http_date(1_700_000_000);
        let both = preconditions([(IF_MODIFIED_SINCE, &date), (IF_NONE_MATCH, "\"b\"")]);
        assert!(!both.is_not_modified("\"a\"", Some(&date)));
        assert!(preconditions([(IF_NONE_MATCH, "\"b\", W/\"a\"")]).is_not_modified("\"a\"", Some(&date)));
    }
}
