//! `packages.json` and the p2 documents.

use axum::response::Response;
use composer::{DocumentForm, PackageName};

use crate::http::composer::schemas::{PackageMetadata, PackagesJson};
use crate::http::kit::caching::{Preconditions, conditional};
use crate::http::kit::extract::{Client, PathParams, SurfaceUrl};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::registry::access::view::View;
use crate::registry::delivery::document_text::DocumentRequest;
use crate::registry::delivery::metadata::{document, prefetch, source_of};
use crate::registry::delivery::root::{root_document, source_of_names};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::documents::DocumentKind;

/// The root document: where everything is, and which names may be asked for.
#[utoipa::path(
    get,
    path = "/packages.json",
    tag = "composer",
    responses(
        (status = 200, description = "Where composer finds everything, and which names it may ask for", body = PackagesJson),
        (status = 304, description = "Nothing has changed")
    )
)]
pub async fn get_packages_json(
    auth: RequestAuth<PackagesRead>,
    SurfaceUrl(base_url): SurfaceUrl,
    preconditions: Preconditions,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    root_response(auth.app(), &view, &base_url, &preconditions).await
}

/// The root document as composer wants it.
pub async fn root_response(
    app: &App,
    view: &View,
    base_url: &str,
    preconditions: &Preconditions,
) -> Result<Response, Failure> {
    let source = source_of_names(app, view);
    let body = root_document(app, view, base_url).await?;
    Ok(conditional(preconditions, &body, source))
}

/// `{package}.json` or `{package}~dev.json`.
fn parse_file(vendor: &str, file: &str) -> Option<(PackageName, DocumentKind)> {
    let name = file.strip_suffix(".json")?;
    let (name, part) = match name.strip_suffix("~dev") {
        Some(name) => (name, DocumentKind::Dev),
        None => (name, DocumentKind::Stable),
    };
    Some((PackageName::parse_ignoring_case(&format!("{vendor}/{name}")).ok()?, part))
}

/// The metadata of a package's versions; `~dev` after the package's name asks for its branches.
///
/// Composer gets a minified list, other clients an object keyed by version. Of a vendor that is claimed (setting
/// `claim_vendors`) composer gets an empty list for every name of which nothing is visible, so that it looks for it nowhere
/// else; other clients get 404.
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
pub async fn get_package_metadata(
    auth: RequestAuth<PackagesRead>,
    PathParams(file): PathParams<2>,
    SurfaceUrl(base_url): SurfaceUrl,
    preconditions: Preconditions,
) -> Result<Response, Failure> {
    let other = |part| (DocumentForm::KeyedByVersion, part);
    document_response(&auth, &file, &base_url, &preconditions, other).await
}

/// The document `{vendor}/{file}`. Composer gets the minified one that it asks for; `other` says in which form another
/// program gets which one.
pub async fn document_response(
    auth: &RequestAuth<PackagesRead>,
    [vendor, file]: &[String; 2],
    base_url: &str,
    preconditions: &Preconditions,
    other: impl FnOnce(DocumentKind) -> (DocumentForm, DocumentKind),
) -> Result<Response, Failure> {
    let Some((name, part)) = parse_file(vendor, file) else {
        auth.caller().await?;
        return Err(Failure::not_found("Package"));
    };
    let app = auth.app();
    let read = |organization| prefetch(app, organization, &name);
    let (view, rows) = auth.view_with(read).await?;
    let (form, part) = match preconditions.client {
        Client::Other => other(part),
        Client::Composer | Client::Composer1 => (DocumentForm::Minified, part),
    };
    let wanted = DocumentRequest { name: &name, part, form, base_url };
    let source = source_of(app, view.organization(), &name);
    let body = document(app, &view, wanted, rows).await?;
    Ok(conditional(preconditions, &body, source))
}
