//! `Idempotency-Key`: the extractors of a request's key, and the response that says whether it is a repetition.
//!
//! An operation takes the header if one of its arguments is made from it; any other refuses a request that has it
//! ([`refuse`]), because whoever sends it counts on it.

use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::http::kit::extract::{body_value, from_value, original_uri, query_parameters};
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::http::kit::response::with_status;
use crate::registry::identity::idempotency::{Answer, IdempotencyKey};
use crate::registry::kernel::failure::Failure;

/// The header, as the API document names it.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// On a response that is a repetition.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Refuses a request with a key, for an operation that does not take one.
pub fn refuse(parts: &Parts) -> Result<(), Failure> {
    if !parts.headers.contains_key(HEADER) {
        return Ok(());
    }
    let detail = "does nothing for this request, which may be carried out each time that it is sent. Send it without; \
                  /api/openapi.json says which operations take the header";
    Err(Failure::invalid_field(IDEMPOTENCY_KEY, detail))
}

/// The key of a request, when it has one; `body` is what it asks besides.
fn key_of(parts: &Parts, body: &Value) -> Result<Option<IdempotencyKey>, Failure> {
    let Some(key) = parts.headers.get(HEADER) else { return Ok(None) };
    let (path, query) = (original_uri(parts).path(), query_parameters(&parts.uri));
    let request = json!({"method": parts.method.as_str(), "path": path, "query": query, "body": body});
    IdempotencyKey::parse(key.to_str().unwrap_or_default(), request).map(Some)
}

/// A JSON body, and the key of its request. An empty body is an empty object.
pub struct IdempotentJson<T> {
    /// The body.
    pub value: T,
    /// The key, when there is one.
    pub key: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned> Extract for IdempotentJson<T> {
    const READS_BODY: bool = true;
    const TAKES_KEY: bool = true;

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let bytes = request.take_body();
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        let (body, spelling) = body_value(&request.parts, if is_empty { b"{}" } else { &bytes })?;
        let value = from_value(&body, spelling)?;
        Ok(Self { value, key: key_of(&request.parts, &body)? })
    }
}

/// The key of a request without a body.
pub struct IdempotencyHeader(pub Option<IdempotencyKey>);

impl Extract for IdempotencyHeader {
    const TAKES_KEY: bool = true;

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        key_of(&request.parts, &Value::Null).map(Self)
    }
}

/// A response of `status` with an answer as JSON.
pub fn answered<T: Serialize>(status: StatusCode, answer: &Answer<T>) -> Response {
    let mut response = with_status(status, &answer.value);
    if answer.is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
