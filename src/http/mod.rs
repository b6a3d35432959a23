//! HTTP: routes, extractors, error dialects, caching headers. What a request means is the `registry`'s.
//!
//! [`SURFACES`] is the table of the surfaces: a surface is one row and one folder. What all of them are made of is
//! [`kit`].
//!
//! | surface | mounted at | folder | who may call |
//! |---|---|---|---|
//! | Composer | `/packages.json`, `/p2/…`, `/dist/…`, `/notify-batch`, `/list.json`, `/search.json`, … | [`composer`] | composer |
//! | Composer, one organization | `/org/{organization}/…`: the same | [`composer::organization`] | composer |
//! | Management | `/api/…` | [`management`] | operators, programs, the pages of `public/` |
//! | Storefront | `/api/storefront/…` | [`storefront`] | the back end of a shop |
//! | Organizations | `/api/organizations/…` | [`organizations`] | programs of platform teams |
//!
//! Beside the surfaces are `/health` ([`health`]), and what [`assets`] serves: the API document, Swagger UI, and the page
//! that invitations lead to.
//!
//! # What travels in extensions
//!
//! | type | on | put there by | read by | what it is |
//! |---|---|---|---|---|
//! | [`crate::registry::kernel::app::App`] | request | `cloudflare::fetch` | the surface's layer, [`RequestAuth`], [`BaseUrl`] | ports, configuration and memory |
//! | `&'static` [`Surface`] | request | the surface's layer | [`Tenant`], [`RequestAuth`], [`ListQuery`] | the row of the table |
//! | [`AuthenticatedSlot`] | request | the surface's layer, empty | filled by [`RequestAuth`]; then the layer | the caller, and what is left of its rate limits |
//! | [`OriginalUri`](axum::extract::OriginalUri) | request | axum | [`original_uri`](kit::extract::original_uri) | the address, with the mount that axum takes off |
//! | [`AnsweredFromMemory`] | response | [`conditional`] | the surface's layer | the request asked nobody but memory |
//! | [`Failure`] | response | [`IntoResponse`] of [`Failure`] | the surface's layer | the failure, which becomes the body |
//! | [`PassThrough`] | response | [`pass_through`] | `cloudflare::bridge` | a port's stream that nobody has read from yet |
//! | [`StaticAsset`] | response | [`assets`] | `cloudflare::fetch` | the response is the file at this path, if there is one |
//!
//! [`RequestAuth`]: kit::request_auth::RequestAuth
//! [`AnsweredFromMemory`]: kit::caching::AnsweredFromMemory
//! [`conditional`]: kit::caching::conditional
//! [`AuthenticatedSlot`]: kit::request_auth::AuthenticatedSlot
//! [`BaseUrl`]: kit::extract::BaseUrl
//! [`Tenant`]: kit::tenant::Tenant
//! [`ListQuery`]: kit::paging::ListQuery
//! [`Failure`]: crate::registry::kernel::failure::Failure
//! [`IntoResponse`]: axum::response::IntoResponse
//! [`PassThrough`]: kit::pass_through::PassThrough
//! [`pass_through`]: kit::pass_through::pass_through
//! [`StaticAsset`]: assets::StaticAsset

pub mod assets;
pub mod composer;
#[cfg(not(target_arch = "wasm32"))]
pub mod document;
pub mod health;
pub mod kit;
pub mod management;
pub mod organizations;
pub mod storefront;

use axum::Router;

use crate::http::kit::failure::{Challenge, Dialect, ErrorForm};
use crate::http::kit::paging::{MAX_LIMIT, MAX_SHOP_LIMIT, Paging};
use crate::http::kit::routes::{Routes, routes};
use crate::http::kit::surface::{DialectOverride, Limits, Surface};
use crate::http::kit::tenant::TenantSource;
use crate::registry::access::rate_limit::RateLimit;

/// As many requests an hour as the credential allows.
const BY_CREDENTIAL: Limits = Limits { requests: RateLimit::OfCredential, downloads: None };

/// The same, and downloads by themselves: a cold install may be hundreds of them, and composer never repeats one that was
/// refused for its rate (docs/composer-protocol.md, section 0, rule 16).
const DOWNLOADS_APART: Limits = Limits { downloads: Some(RateLimit::Downloads), ..BY_CREDENTIAL };

/// `{error, code, details}`, for programs that send a token.
const CODED: Dialect = Dialect { form: ErrorForm::ErrorCodeDetails, warning: false, challenge: Challenge::Bearer };

/// `{message, errors}`, for programs that send a token.
const MESSAGES: Dialect = Dialect { form: ErrorForm::MessageErrors, ..CODED };

/// 1000 requests a minute, and downloads by themselves, as the document of organizations has it.
const BY_MINUTE: Limits = Limits { requests: RateLimit::PerMinute(1000), downloads: Some(RateLimit::Downloads) };

/// The surfaces. `/health` is beside them.
pub static SURFACES: [Surface; 5] = [
    Surface {
        name: "composer",
        mount: "",
        routes: composer::routes,
        undocumented: |router| router,
        rejects_composer_1: true,
        rejects_cross_site: false,
        meets_old_clients: false,
        tenant: TenantSource::Root,
        limits: DOWNLOADS_APART,
        paging: None,
        dialect: Dialect { form: ErrorForm::ErrorCodeDetails, warning: true, challenge: Challenge::Basic },
        // Composer prints the `warning` of every response; that to its report of installs must not have one
        // (docs/composer-protocol.md, section 0, rule 19).
        dialect_overrides: &[DialectOverride { path: "/notify-batch", dialect: CODED }],
    },
    Surface {
        name: "composer/organization",
        mount: "/org/{organization}",
        routes: composer::organization::routes,
        undocumented: |router| router,
        rejects_composer_1: true,
        rejects_cross_site: false,
        meets_old_clients: false,
        tenant: TenantSource::Path,
        limits: BY_MINUTE,
        paging: None,
        dialect: Dialect { form: ErrorForm::MessageErrors, warning: true, challenge: Challenge::Basic },
        dialect_overrides: &[DialectOverride { path: "/notify-batch", dialect: MESSAGES }],
    },
    Surface {
        name: "management",
        mount: "/api",
        routes: management::routes,
        undocumented: assets::pages,
        rejects_composer_1: false,
        rejects_cross_site: true,
        meets_old_clients: false,
        tenant: TenantSource::Credential,
        limits: BY_CREDENTIAL,
        paging: Some(Paging::LimitOffset { default_limit: 100, max_limit: MAX_LIMIT }),
        dialect: CODED,
        dialect_overrides: &[],
    },
    Surface {
        name: "storefront",
        mount: "/api/storefront",
        routes: storefront::routes,
        undocumented: |router| router,
        rejects_composer_1: false,
        rejects_cross_site: true,
        meets_old_clients: true,
        tenant: TenantSource::Credential,
        limits: BY_CREDENTIAL,
        paging: Some(Paging::LimitOffset { default_limit: MAX_SHOP_LIMIT, max_limit: MAX_SHOP_LIMIT }),
        dialect: CODED,
        dialect_overrides: &[],
    },
    Surface {
        name: "organizations",
        mount: "/api/organizations",
        routes: organizations::routes,
        undocumented: |router| router,
        rejects_composer_1: false,
        rejects_cross_site: true,
        meets_old_clients: false,
        tenant: TenantSource::Path,
        limits: BY_MINUTE,
        paging: Some(Paging::PageNumber { default_per_page: 20 }),
        dialect: MESSAGES,
        dialect_overrides: &[],
    },
];

/// The whole HTTP API. Build it once for an isolate; every request carries its [`crate::registry::kernel::app::App`] as an extension.
pub fn router() -> Router {
    routes_of_all().into_router()
}

fn routes_of_all() -> Routes {
    let open = Routes::new().routes(routes!(health::get_health));
    SURFACES.iter().fold(open, |all, surface| all.routes(surface.mounted()))
}
