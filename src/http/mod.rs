//! HTTP: routes, extractors, error dialects, caching headers. What a request means is the `registry`'s.
//!
//! | surface | mounted at | room |
//! |---|---|---|
//! | Composer | `/packages.json`, `/p2/…`, `/dist/…`, `/notify-batch`, `/list.json`, `/search.json` | [`composer`] |
//! | Management | `/api/…` | [`management`] |
//!
//! `/health` and `/api/openapi.json` are public.

pub mod caching;
pub mod composer;
pub mod extract;
pub mod failure;
pub mod management;
pub mod pass_through;
pub mod range;
pub mod session;
pub mod surface;

use axum::Router;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme) in [("bearer", HttpAuthScheme::Bearer), ("basic", HttpAuthScheme::Basic)] {
            components.add_security_scheme(name, SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build()));
        }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Rostrum", description = "A private Composer registry.", license(name = "MIT OR Apache-2.0")),
    modifiers(&Credentials),
    security(("bearer" = []), ("basic" = []))
)]
struct ApiDocument;

/// The whole HTTP surface. Build it once for an isolate; every request carries its [`crate::registry::App`] as an
/// extension.
pub fn router() -> Router {
    let (management, document) =
        OpenApiRouter::with_openapi(ApiDocument::openapi()).nest("/api", management::router()).split_for_parts();
    let (composer, mut document) = OpenApiRouter::with_openapi(document).merge(composer::router()).split_for_parts();
    // OpenAPI knows no `{*rest}`: there it is a parameter like any other.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    let document = Bytes::from(json!(document).to_string());
    let public = Router::new()
        .route("/health", get(health))
        .route("/api/openapi.json", get(move || std::future::ready(api_document(document))));
    public.merge(management::with_layers(management)).merge(composer::with_layers(composer))
}

/// The API document, rendered once for an isolate.
fn api_document(document: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], document)
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
