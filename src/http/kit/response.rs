//! Responses of handlers: JSON, mostly.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::registry::kernel::failure::Failure;

/// `200 OK` with `view` as JSON.
pub fn ok(view: &impl Serialize) -> Response {
    with_status(StatusCode::OK, view)
}

/// `201 Created` with `view` as JSON.
pub fn created(view: &impl Serialize) -> Response {
    with_status(StatusCode::CREATED, view)
}

/// A response of `status` with `view` as JSON.
pub fn with_status(status: StatusCode, view: &impl Serialize) -> Response {
    json_response(status, serde_json::to_vec(view))
}

/// `204 No Content`.
pub fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A change that has nothing to show.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"message": "Logged out"}))]
pub struct Done {
    message: &'static str,
}

/// `200 OK` with a message that says what was done.
pub fn message(message: &'static str) -> Response {
    ok(&Done { message })
}

/// A response with a secret that is shown once, which nobody may store.
pub fn no_store(status: StatusCode, view: &impl Serialize) -> Response {
    let mut response = with_status(status, view);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A response of `status` with JSON that has been written.
pub fn json_response(status: StatusCode, bytes: serde_json::Result<Vec<u8>>) -> Response {
    match bytes {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => Failure::internal(error).into_response(),
    }
}
