//! The Composer surface of one organization, below `/org/{organization}`: what the one at the root has, at the addresses of that
//! organization.
//!
//! Composer is answered as it is there. Other programs get what the document of this surface promises them: `packages.json`
//! with everything in it, a package with all its versions, and zips by version, at `/packages/{vendor}/{package}/{version}.zip`.

mod metadata;
mod zips;

use crate::http::composer::routes_of_every_organization;
use crate::http::kit::routes::{Routes, routes};

/// The surface's routes, with their entries in the API document.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(metadata::get_organization_packages_json))
        .routes(routes!(metadata::get_organization_package_metadata))
        .routes(routes!(zips::get_organization_zip))
        .routes(routes_of_every_organization())
}
