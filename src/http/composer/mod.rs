//! The Composer surface of the root organization: what `composer` requests.
//!
//! * `GET /packages.json`, `GET /p2/{vendor}/{package}.json`, `…~dev.json`: metadata
//! * `GET /dist/{vendor}/{package}/{version}/{reference}.zip` and `…/{version}.zip`: archives
//! * `POST /notify-batch`, `GET /list.json`, `GET /search.json`, `GET /providers/{vendor}/{package}.json`
//! * `POST /security-advisories`, `POST /filter-lists`, `GET /filter-lists/summary.json`

mod dist;
mod metadata;
mod notify;
pub mod organization;
pub mod schemas;
mod search;
mod security;

use crate::http::kit::routes::{Routes, routes};

/// The surface's routes, with their entries in the API document.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(metadata::get_packages_json))
        .routes(routes!(metadata::get_package_metadata))
        .routes(routes_of_every_organization())
}

/// Those that the Composer surface of every organization has just so.
fn routes_of_every_organization() -> Routes {
    Routes::new()
        .routes(routes!(dist::get_dist))
        .routes(routes!(notify::post_notify_batch))
        .routes(routes!(search::list_package_names))
        .routes(routes!(search::search_packages))
        .routes(routes!(search::list_providers))
        .routes(routes!(search::list_platform_providers))
        .routes(routes!(security::post_security_advisories))
        .routes(routes!(security::post_filter_lists))
        .routes(routes!(security::get_filter_summary))
}
