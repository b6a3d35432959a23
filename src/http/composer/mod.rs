//! The Composer surface of the root organization: what `composer` asks.
//!
//! * `GET /packages.json`, `GET /p2/{vendor}/{package}.json`, `…~dev.json`: metadata
//! * `GET /dist/{vendor}/{package}/{version}/{reference}.zip` and `…/{version}.zip`: archives
//! * `POST /notify-batch`, `GET /list.json`, `GET /search.json`

mod dist;
mod metadata;
mod notify;
mod search;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{Client, fallback, method_not_allowed};
use crate::http::failure::{Dialect, render_failures};
use crate::http::session::show_quota;
use crate::registry::failure::{Failure, Kind};

/// The surface's routes, with their entries in the API document.
pub fn router() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(metadata::get_packages_json))
        .routes(routes!(metadata::get_package_metadata))
        .routes(routes!(dist::get_dist))
        .routes(routes!(notify::post_notify_batch))
        .routes(routes!(search::list_package_names))
        .routes(routes!(search::search_packages))
}

/// The surface with its layers and its answers to what it does not have.
pub fn with_layers(router: Router) -> Router {
    router
        .fallback(fallback)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(refuse_composer_1))
        .layer(from_fn(show_quota))
        .layer(from_fn(|request: Request, next| render_failures(dialect(request.uri().path()), request, next)))
}

/// Composer prints the `warning` of every answer but that to its report, which it must not hold (composer-protocol,
/// section 0, rule 19).
fn dialect(path: &str) -> Dialect {
    if path == "/notify-batch" { Dialect::Management } else { Dialect::Composer }
}

/// Composer 1 reads another protocol; it would fail with words that help nobody.
async fn refuse_composer_1(request: Request, next: Next) -> Response {
    if Client::of(request.headers()) == Client::Composer1 {
        let words = "This registry serves Composer 2 and later. Update with `composer self-update --2`.";
        return Failure::new(Kind::NotAcceptable, words).into_response();
    }
    next.run(request).await
}
