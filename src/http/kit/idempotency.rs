//! `Idempotency-Key`: the extractor of a JSON body with its key, and the responses that are stored under one.

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::kit::extract::read_body;
use crate::http::kit::handler::{BufferedRequest, Extract};
use crate::registry::identity::idempotency::{IdempotencyKey, StoredResponse};
use crate::registry::kernel::failure::Failure;

const HEADER: &str = "idempotency-key";
/// On a response that is a repetition.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A JSON body, and the key of its request. An empty body is an empty object.
pub struct IdempotentJson<T> {
    /// The body.
    pub value: T,
    /// The key, when there is one.
    pub key: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned> Extract for IdempotentJson<T> {
    const READS_BODY: bool = true;

    fn extract(request: &mut BufferedRequest) -> Result<Self, Failure> {
        let bytes = request.take_body();
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        let parts = &request.parts;
        let value = read_body(parts, if is_empty { b"{}" } else { &bytes })?;
        let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let fingerprinted = [parts.method.as_str().as_bytes(), route.as_bytes(), parts.uri.path().as_bytes(), &bytes];
        let text = parts.headers.get(HEADER).map(|key| key.to_str().unwrap_or_default());
        Ok(Self { value, key: text.map(|text| IdempotencyKey::parse(text, &fingerprinted)).transpose()? })
    }
}

/// The response to a request, to be stored for repetitions with the same key.
pub fn stored_response(status: StatusCode, body: &impl Serialize) -> Result<StoredResponse, Failure> {
    let body = serde_json::to_string(body).map_err(Failure::internal)?;
    Ok(StoredResponse { status: status.as_u16(), body })
}

/// `stored` as the response to the first request with its key.
pub fn first_response(stored: StoredResponse) -> Response {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], stored.body).into_response()
}

/// `stored` as the response to a repeated request.
pub fn replayed_response(stored: StoredResponse) -> Response {
    let mut response = first_response(stored);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
