//! `packages.json` and the p2 documents of one organization.

use axum::response::{IntoResponse, Response};
use composer::DocumentForm;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LAST_MODIFIED, VARY};
use http::{HeaderValue, StatusCode};

use crate::http::composer::metadata::{document_response, root_response};
use crate::http::composer::schemas::{InlinePackages, PackageMetadata};
use crate::http::kit::caching::{PRIVATE_NO_CACHE, Preconditions, VARY_BY_CLIENT, http_date};
use crate::http::kit::extract::{Client, PathParams, SurfaceUrl};
use crate::http::kit::pass_through::streamed;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::registry::delivery::inline::{InlineDocument, inline_document};
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::documents::DocumentKind;

/// All packages of an organization, each with all its versions.
///
/// Composer gets the same root document as at `/packages.json`, which says where everything is and has no packages in it.
#[utoipa::path(
    get,
    path = "/packages.json",
    tag = "composer",
    responses(
        (status = 200, description = "The visible versions of all packages", body = InlinePackages),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "There is no such organization, or it is not the caller's")
    )
)]
pub async fn get_organization_packages_json(
    auth: RequestAuth<PackagesRead>,
    SurfaceUrl(base_url): SurfaceUrl,
    preconditions: Preconditions,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    if preconditions.client != Client::Other {
        return root_response(auth.app(), &view, &base_url, &preconditions).await;
    }
    let document = inline_document(auth.app(), view, base_url).await?;
    Ok(inline_response(&preconditions, document))
}

/// The response to a request with `preconditions`: the document, or `304` if the client has it.
fn inline_response(preconditions: &Preconditions, document: InlineDocument) -> Response {
    let InlineDocument { etag, last_modified, stream } = document;
    let date = http_date(last_modified);
    let value = |text: &str| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let head = [
        (CACHE_CONTROL, PRIVATE_NO_CACHE),
        (VARY, VARY_BY_CLIENT),
        (LAST_MODIFIED, value(&date)),
        (ETAG, value(&etag)),
    ];
    if preconditions.is_not_modified(&etag, Some(&date)) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    let media_type = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (head, media_type, streamed(stream)).into_response()
}

/// A package's metadata with all its versions, branches too.
///
/// Composer gets a minified list instead, and asks for branches at `{package}~dev.json`.
#[utoipa::path(
    get,
    path = "/p2/{vendor}/{file}",
    tag = "composer",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("file" = String, Path, description = "`{package}.json` or `{package}~dev.json`")
    ),
    responses(
        (status = 200, description = "The visible versions", body = PackageMetadata),
        (status = 304, description = "Nothing has changed"),
        (status = 404, description = "There is no such package, or nothing of it is visible"),
        (status = 502, description = "Its upstream does not answer, and nothing of it was mirrored before"),
        (status = 503, description = "Its upstream has had too many requests, and nothing of it was mirrored before")
    )
)]
pub async fn get_organization_package_metadata(
    auth: RequestAuth<PackagesRead>,
    PathParams(file): PathParams<2>,
    SurfaceUrl(base_url): SurfaceUrl,
    preconditions: Preconditions,
) -> Result<Response, Failure> {
    let whole = |part| match part {
        DocumentKind::Stable => (DocumentForm::KeyedByVersion, DocumentKind::Both),
        DocumentKind::Dev | DocumentKind::Both => (DocumentForm::KeyedByVersion, part),
    };
    document_response(&auth, &file, &base_url, &preconditions, whole).await
}
