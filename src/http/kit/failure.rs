//! How a [`Failure`] looks on the wire.
//!
//! A handler returns the failure; [`IntoResponse`] sets the status and puts it into the extensions of the response; the
//! surface's layer renders it with [`render`] in the surface's dialect. So no handler writes an error body, and one place
//! says what each kind of failure looks like.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode, Uri};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::http::kit::surface::RequestInfo;
use crate::registry::kernel::failure::{Failure, Kind};

/// How a surface renders failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The form of bodies.
    pub form: ErrorForm,
    /// Whether bodies also have the `warning` that composer prints.
    pub warning: bool,
    /// How `WWW-Authenticate` asks for credentials.
    pub challenge: Challenge,
}

/// The form of error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{error, code, details}`.
    ErrorCodeDetails,
    /// `{message, errors}`. A failure that names fields is a `422`.
    MessageErrors,
    /// `{detail}`.
    Detail,
}

/// The authentication scheme of a `WWW-Authenticate` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// User name and password, as composer sends them.
    Basic,
    /// A token. A browser would answer Basic with a dialog of its own, in front of the page that sent the request.
    Bearer,
}

impl Challenge {
    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Basic => "Basic realm=\"Rostrum\", charset=\"UTF-8\"",
            Self::Bearer => "Bearer realm=\"Rostrum\"",
        })
    }
}

/// The body of every failure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"error": "Token not found", "code": "NOT_FOUND", "details": {}}))]
pub struct ErrorBody {
    /// What was wrong and what to do.
    error: String,
    /// Its machine-readable name.
    code: String,
    /// Field name → what is wrong with it.
    details: Map<String, Value>,
    /// The same as `error`, on the Composer surface: composer prints it.
    #[schema(required = false)]
    warning: String,
}

/// The body of every failure where organizations are in the address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"message": "`name` is required", "errors": {"name": ["is required"]}}))]
pub struct MessageBody {
    /// What was wrong and what to do.
    message: String,
    /// Field name → what is wrong with it.
    errors: Map<String, Value>,
    /// The same as `message`, on the Composer surface: composer prints it.
    #[schema(required = false)]
    warning: String,
}

/// Every kind of failure; of those with the same status, the first one is what an operation means that says no more.
pub const KINDS: [Kind; 20] = [
    Kind::Unauthenticated,
    Kind::WrongCredentials,
    Kind::TwoFactorRequired,
    Kind::Forbidden,
    Kind::NotFound,
    Kind::Moved,
    Kind::Gone,
    Kind::MethodNotAllowed,
    Kind::NotAcceptable,
    Kind::Conflict,
    Kind::PreconditionFailed,
    Kind::Invalid,
    Kind::UnsupportedMediaType,
    Kind::RequestTimeout,
    Kind::RangeNotSatisfiable { size: 0 },
    Kind::TooMany { retry_after: 60 },
    Kind::Upstream,
    Kind::UpstreamBusy { retry_after: 60 },
    Kind::Busy { retry_after: 5 },
    Kind::Internal,
];

/// The status code of a kind of failure.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Unauthenticated | Kind::WrongCredentials | Kind::TwoFactorRequired => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Moved => StatusCode::PERMANENT_REDIRECT,
        Kind::Gone => StatusCode::GONE,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        Kind::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        Kind::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Busy { .. } | Kind::UpstreamBusy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The machine-readable name of a kind of failure.
pub fn code(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthenticated => "UNAUTHENTICATED",
        Kind::WrongCredentials => "INVALID_CREDENTIALS",
        Kind::TwoFactorRequired => "TWO_FACTOR_REQUIRED",
        Kind::Forbidden => "FORBIDDEN",
        Kind::NotFound => "NOT_FOUND",
        Kind::Moved => "MOVED",
        Kind::Gone => "GONE",
        Kind::MethodNotAllowed => "METHOD_NOT_ALLOWED",
        Kind::NotAcceptable => "NOT_ACCEPTABLE",
        Kind::Conflict => "CONFLICT",
        Kind::PreconditionFailed => "PRECONDITION_FAILED",
        Kind::Invalid => "INVALID_REQUEST",
        Kind::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
        Kind::RequestTimeout => "REQUEST_TIMEOUT",
        Kind::RangeNotSatisfiable { .. } => "RANGE_NOT_SATISFIABLE",
        Kind::TooMany { .. } => "RATE_LIMITED",
        Kind::Upstream => "UPSTREAM_FAILED",
        Kind::Busy { .. } => "BUSY",
        Kind::UpstreamBusy { .. } => "UPSTREAM_BUSY",
        Kind::Internal => "INTERNAL_ERROR",
    }
}

/// The status code of a failure in a dialect.
fn status_in(dialect: Dialect, failure: &Failure) -> StatusCode {
    match (dialect.form, failure.kind) {
        (ErrorForm::MessageErrors, Kind::Invalid) if !failure.fields.is_empty() => StatusCode::UNPROCESSABLE_ENTITY,
        (_, kind) => status(kind),
    }
}

/// The body of a failure in a dialect. `request_id` is part of it where the operator may have to look the request up.
pub fn render(dialect: Dialect, failure: &Failure, request_id: &str) -> Value {
    let mut body = match dialect.form {
        ErrorForm::ErrorCodeDetails => {
            let mut details = json!(failure.fields);
            if matches!(failure.kind, Kind::Internal | Kind::Upstream | Kind::UpstreamBusy { .. }) {
                details["request_id"] = json!(request_id);
            }
            json!({ "error": failure.detail, "code": code(failure.kind), "details": details })
        }
        ErrorForm::MessageErrors => json!({ "message": failure.detail, "errors": failure.fields }),
        ErrorForm::Detail => json!({ "detail": failure.detail }),
    };
    if dialect.warning {
        body["warning"] = json!(failure.detail);
    }
    body
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = status(self.kind).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Renders the failure in the extensions of `response`, if there is one, and logs its source, which is never sent.
pub fn render_failure(dialect: Dialect, request: &RequestInfo, mut response: Response) -> Response {
    let Some(failure) = response.extensions_mut().remove::<Failure>() else { return response };
    if let Some(source) = &failure.source {
        log::error!("request {} {} {}: {source}", request.id.as_str(), request.method, request.uri.path());
    }
    let body = render(dialect, &failure, request.id.as_str()).to_string();
    let (mut parts, _) = response.into_parts();
    parts.status = status_in(dialect, &failure);
    parts.headers.insert("x-request-id", request.id.header());
    // Without a charset: composer prints the warning only for exactly this type.
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = header_of(dialect, failure.kind) {
        parts.headers.insert(name, value);
    }
    if let Some(location) = failure.moved_to().and_then(|slug| moved_address(&request.uri, slug)) {
        parts.headers.insert(LOCATION, location);
    }
    Response::from_parts(parts, axum::body::Body::from(body))
}

/// The address that was asked for, with `slug` in the place of the organization: behind `/org` or `/api/organizations`.
fn moved_address(uri: &Uri, slug: &str) -> Option<HeaderValue> {
    let path = uri.path();
    let mount = ["/org/", "/api/organizations/"].into_iter().find(|mount| path.starts_with(mount))?;
    let rest = path[mount.len()..].find('/').map_or("", |at| &path[mount.len() + at..]);
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    HeaderValue::try_from([mount, slug, rest, &query].concat()).ok()
}

fn header_of(dialect: Dialect, kind: Kind) -> Option<(HeaderName, HeaderValue)> {
    match kind {
        Kind::Unauthenticated | Kind::WrongCredentials | Kind::TwoFactorRequired => {
            Some((WWW_AUTHENTICATE, dialect.challenge.header()))
        }
        Kind::TooMany { retry_after } | Kind::Busy { retry_after } | Kind::UpstreamBusy { retry_after } => {
            Some((RETRY_AFTER, HeaderValue::from(retry_after)))
        }
        Kind::RangeNotSatisfiable { size } => {
            Some((CONTENT_RANGE, HeaderValue::try_from(format!("bytes */{size}")).ok()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_looks_like_this_in_every_dialect() {
        let mut snapshot = Vec::new();
        for kind in KINDS {
            let failure = Failure::new(kind, "what was wrong").with_field("name", "why");
            for form in [ErrorForm::ErrorCodeDetails, ErrorForm::MessageErrors, ErrorForm::Detail] {
                for warning in [false, true] {
                    let dialect = Dialect { form, warning, challenge: Challenge::Bearer };
                    let (status, body) = (status_in(dialect, &failure), render(dialect, &failure, "r-1"));
                    snapshot.push(format!("{} {body}\n", status.as_u16()));
                }
            }
        }
        assert_eq!(snapshot.concat(), include_str!("failure.snapshot"));
    }

    #[test]
    fn only_an_invalid_field_is_a_422_and_only_where_the_form_says_so() {
        let status_of = |form, failure: Failure| {
            status_in(Dialect { form, warning: false, challenge: Challenge::Bearer }, &failure).as_u16()
        };
        assert_eq!(status_of(ErrorForm::MessageErrors, Failure::invalid_field("name", "is missing")), 422);
        assert_eq!(status_of(ErrorForm::MessageErrors, Failure::invalid("The request body is not JSON.")), 400);
        assert_eq!(status_of(ErrorForm::ErrorCodeDetails, Failure::invalid_field("name", "is missing")), 400);
        assert_eq!(status_of(ErrorForm::Detail, Failure::invalid_field("name", "is missing")), 400);
    }

    #[test]
    fn what_has_moved_is_at_the_same_address_of_the_organization_as_it_is_called_now() {
        for (asked, expected) in [
            ("/org/old/p2/acme/lib.json", Some("/org/new/p2/acme/lib.json")),
            ("/org/old/search.json?q=old", Some("/org/new/search.json?q=old")),
            ("/api/organizations/old", Some("/api/organizations/new")),
            ("/api/packages", None),
        ] {
            let address = moved_address(&asked.parse().expect("a URI"), "new");
            assert_eq!(address.as_ref().and_then(|value| value.to_str().ok()), expected, "{asked}");
        }
    }

    #[test]
    fn the_challenge_is_the_dialects() {
        for (challenge, scheme) in [(Challenge::Basic, "Basic "), (Challenge::Bearer, "Bearer ")] {
            let dialect = Dialect { form: ErrorForm::Detail, warning: false, challenge };
            let (name, value) = header_of(dialect, Kind::Unauthenticated).expect("a header");
            assert_eq!(name, WWW_AUTHENTICATE);
            assert!(value.to_str().expect("text").starts_with(scheme));
        }
    }
}
