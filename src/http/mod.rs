//! HTTP: routes, extractors, error dialects, caching headers. What a request means is the `registry`'s.
//!
//! | surface | mounted at | room |
//! |---|---|---|
//! | Composer | `/packages.json`, `/p2/…`, `/dist/…`, `/notify-batch`, `/list.json`, `/search.json` | [`composer`] |
//! | Management | `/api/…` | [`management`] |
//! | Storefront | `/api/storefront/…` | [`storefront`] |
//!
//! `/health`, `/api/openapi.json`, `/api/swagger` and the page that invitations lead to ([`assets::account_page`]) are
//! public.

pub mod assets;
pub mod composer;
#[cfg(not(target_arch = "wasm32"))]
pub mod document;
pub mod health;
pub mod kit;
pub mod management;
pub mod storefront;

use axum::Router;

use self::kit::routes::{Routes, routes};

/// The whole HTTP surface. Build it once for an isolate; every request carries its [`crate::registry::kernel::app::App`] as an
/// extension.
pub fn router() -> Router {
    surfaces().into_router()
}

fn surfaces() -> Routes {
    let management = Routes::new().nest("/api", management::routes()).nest("/api/storefront", storefront::routes());
    Routes::new()
        .routes(routes!(health::get_health))
        .routes(management.map_router(management::with_layers))
        .routes(composer::routes().map_router(composer::with_layers))
}
