//! `Idempotency-Key`: the extractor of requests that may carry one, and the answers to them.

use axum::extract::MatchedPath;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::kit::extract::from_json;
use crate::http::kit::handler::{Incoming, Take};
use crate::registry::failure::Failure;
use crate::registry::idempotency::{Answer, IdempotencyKey};

const HEADER: &str = "idempotency-key";
/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A JSON body, and the key of its request. An empty body is an empty object.
pub struct KeyedJson<T> {
    /// The body.
    pub value: T,
    /// The key, when there is one.
    pub key: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned> Take for KeyedJson<T> {
    const READS_BODY: bool = true;

    fn take(incoming: &mut Incoming) -> Result<Self, Failure> {
        let bytes = incoming.body()?;
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        let value = from_json(if is_empty { b"{}" } else { &bytes })?;
        let parts = &incoming.parts;
        let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        let asked = [parts.method.as_str().as_bytes(), route.as_bytes(), parts.uri.path().as_bytes(), &bytes];
        let text = parts.headers.get(HEADER).map(|key| key.to_str().unwrap_or_default());
        Ok(Self { value, key: text.map(|text| IdempotencyKey::parse(text, &asked)).transpose()? })
    }
}

/// The answer that a request gets, and others with its key.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Result<Answer, Failure> {
    let body = serde_json::to_string(body).map_err(Failure::internal)?;
    Ok(Answer { status: status.as_u16(), body })
}

/// An answer that was just made.
pub fn fresh(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], answer.body).into_response()
}

/// An answer that was given before.
pub fn replayed(answer: Answer) -> Response {
    let mut response = fresh(answer);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
