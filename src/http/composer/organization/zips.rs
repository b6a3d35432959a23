//! Zips by version.

use axum::response::Response;
use http::{HeaderMap, Method};

use crate::http::composer::dist::archive_response;
use crate::http::kit::extract::PathParams;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, Uncounted};
use crate::http::kit::zip_body::Zip;
use crate::registry::kernel::failure::Failure;

/// The zip of a version, as it is now; what `/dist/…` has at the same version. Takes `Range`.
#[utoipa::path(
    get,
    path = "/packages/{vendor}/{package}/{*version}",
    tag = "composer",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("package" = String, Path, description = "The package"),
        ("version" = String, Path, description = "`{version}.zip`")
    ),
    responses(
        (status = 200, description = "The zip", content_type = "application/zip", body = Zip),
        (status = 206, description = "The asked part of it", content_type = "application/zip", body = Zip),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "There is no such version, or it is not visible"),
        (status = 410, description = "The version is on the list of malware"),
        (status = 416, description = "The asked range lies outside of the zip"),
        (status = 502, description = "The zip has to be built first, and its repository does not deliver"),
        (status = 503, description = "Its repository has had too many requests")
    )
)]
pub async fn get_organization_zip(
    auth: RequestAuth<Uncounted<PackagesRead>>,
    method: Method,
    PathParams(path): PathParams<3>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    archive_response(&auth, &method, &path, &headers).await
}
