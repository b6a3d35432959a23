//! `Idempotency-Key`: the extractor of requests that may carry one, and the answers to them.

use axum::extract::{FromRequest, MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::http::extract::{MAX_BODY_BYTES, from_json, read_body};
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

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for KeyedJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
        let key = request.headers().get(HEADER).cloned();
        let bytes = read_body(request, MAX_BODY_BYTES).await?;
        let is_empty = bytes.iter().all(u8::is_ascii_whitespace);
        let value = from_json(if is_empty { b"{}" } else { &bytes })?;
        let asked = [method.as_str().as_bytes(), route.as_bytes(), path.as_bytes(), &bytes];
        let text = key.as_ref().map(|key| key.to_str().unwrap_or_default());
        Ok(Self { value, key: text.map(|text| IdempotencyKey::parse(text, &asked)).transpose()? })
    }
}

/// The answer that a request gets, and others with its key.
pub fn answer(status: StatusCode, body: &impl Serialize) -> Answer {
    Answer { status: status.as_u16(), body: json!(body).to_string() }
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
