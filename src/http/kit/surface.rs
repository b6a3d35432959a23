//! The layer of a surface: which clients are served at all, rate limit headers, the error dialect.
//!
//! It is one layer for all three: axum clones everything inside of a layer for every request.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::http::kit::extract::Client;
use crate::http::kit::failure::{Dialect, render_failure};
use crate::http::kit::request_auth::{AuthenticatedSlot, RequestId, write_rate_limit_headers};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};

/// A part of the registry for one kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// What `composer` requests.
    Composer,
    /// What operators and shops request.
    Management,
}

/// `router` with the layer of `surface`.
pub fn with_layer(router: Router, surface: Surface) -> Router {
    router.layer(from_fn(move |request, next| answer(surface, request, next)))
}

async fn answer(surface: Surface, request: Request, next: Next) -> Response {
    if surface == Surface::Management {
        return serve(surface, Dialect::Management, request, next).await;
    }
    // Composer 1 reads another protocol, and would fail with a message that helps nobody.
    if Client::of(request.headers()) == Client::Composer1 {
        let detail = "This registry serves Composer 2 and later. Update with `composer self-update --2`.";
        let rejected = Failure::new(Kind::NotAcceptable, detail).into_response();
        return render_failure(Dialect::Composer, &RequestInfo::of(&request), rejected);
    }
    // Composer prints the `warning` of every response; that to its report must not have one
    // (docs/composer-protocol.md, section 0, rule 19).
    let is_report = request.uri().path() == "/notify-batch";
    let dialect = if is_report { Dialect::Management } else { Dialect::Composer };
    serve(surface, dialect, request, next).await
}

async fn serve(surface: Surface, dialect: Dialect, mut request: Request, next: Next) -> Response {
    let info = RequestInfo::of(&request);
    let app = request.extensions().get::<App>().cloned();
    let authenticated = AuthenticatedSlot::default();
    request.extensions_mut().insert(authenticated.clone());
    request.extensions_mut().insert(surface);
    let mut response = next.run(request).await;
    if let Some(app) = app {
        write_rate_limit_headers(&app, &authenticated, &mut response);
    }
    render_failure(dialect, &info, response)
}

/// What the log says about a request.
pub struct RequestInfo {
    /// Its method.
    pub method: http::Method,
    /// Its URI.
    pub uri: http::Uri,
    /// Its id.
    pub id: RequestId,
}

impl RequestInfo {
    fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), id: RequestId::of(request.headers()) }
    }
}
