//! What every answer of a surface goes through: who may be served at all, the caller's quota, the error dialect.
//!
//! One layer does all three: each layer of its own would cost every request a copy of everything inside it.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::http::extract::Client;
use crate::http::failure::{Dialect, render_failure};
use crate::http::session::{RequestId, SignedIn, show_quota};
use crate::registry::failure::{Failure, Kind};
use crate::registry::kernel::app::App;

/// A part of the registry for one kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// What `composer` asks.
    Composer,
    /// What operators and shops ask.
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
    // Composer 1 reads another protocol; it would fail with words that help nobody.
    if Client::of(request.headers()) == Client::Composer1 {
        let words = "This registry serves Composer 2 and later. Update with `composer self-update --2`.";
        let refused = Failure::new(Kind::NotAcceptable, words).into_response();
        return render_failure(Dialect::Composer, &About::of(&request), refused);
    }
    // Composer prints the `warning` of every answer but that to its report, which must not hold one
    // (docs/composer-protocol.md, section 0, rule 19).
    let is_report = request.uri().path() == "/notify-batch";
    let dialect = if is_report { Dialect::Management } else { Dialect::Composer };
    serve(surface, dialect, request, next).await
}

async fn serve(surface: Surface, dialect: Dialect, mut request: Request, next: Next) -> Response {
    let about = About::of(&request);
    let app = request.extensions().get::<App>().cloned();
    let signed_in = SignedIn::default();
    request.extensions_mut().insert(signed_in.clone());
    request.extensions_mut().insert(surface);
    let mut response = next.run(request).await;
    if let Some(app) = app {
        show_quota(&app, &signed_in, &mut response);
    }
    render_failure(dialect, &about, response)
}

/// What the log says of a request.
pub struct About {
    /// Its method.
    pub method: http::Method,
    /// Its address.
    pub uri: http::Uri,
    /// Its id.
    pub id: RequestId,
}

impl About {
    fn of(request: &Request) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), id: RequestId::of(request.headers()) }
    }
}
