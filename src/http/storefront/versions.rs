//! Versions of packages as shops keep them, and their zips.

use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::keyset::{After, KeysetQuery};
use crate::http::kit::paging::LimitOffset;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::{no_content, ok, with_status};
use crate::http::kit::zip_body::receive_zip;
use crate::http::storefront::catalog_body::{StorefrontVersionRequest, StorefrontVersionView};
use crate::http::storefront::id_of;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::uploads;
use crate::registry::storefront::catalog_versions::{self, VersionsFilter};

/// Which versions of a package.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StorefrontVersionsQuery {
    /// Only that with this id at `/api/packages/{id}/versions`
    uid: Option<String>,
    /// Only that which is written so, or is the same to composer: `1.2` and `v1.2.0` are
    version: Option<String>,
}

/// A package's versions, the oldest first, with those that are hidden and those that wait for their zip.
#[utoipa::path(
    get,
    path = "/versions/package/{id}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The package's id"),
        StorefrontVersionsQuery,
        LimitOffset,
        After
    ),
    responses(
        (status = 200, description = "Versions; `X-Total-Count` says how many there are", body = Vec<StorefrontVersionView>),
        (status = 404, description = "No such package")
    )
)]
pub async fn list_storefront_versions(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
    query: Result<KeysetQuery<StorefrontVersionsQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let KeysetQuery { filter, page } = query?;
    let id = id_of(&id, "Package")?;
    let filter = VersionsFilter { uid: filter.uid.as_deref(), version: filter.version.as_deref() };
    let list = catalog_versions::versions(auth.app(), &view, id, filter, page.rows()).await?;
    Ok(page.respond(list, |row| row.id, StorefrontVersionView::from))
}

/// Makes a version: one that waits for its zip, or at once with a zip that the package has.
#[utoipa::path(
    post,
    path = "/versions/package/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The package's id")),
    request_body = StorefrontVersionRequest,
    responses(
        (status = 201, description = "The version", body = StorefrontVersionView),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such package"),
        (status = 409, description = "The package has the version, or comes from a repository")
    )
)]
pub async fn create_storefront_version(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<StorefrontVersionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let answer =
        catalog_versions::create_version(auth.app(), &issuer, key, id_of(&id, "Package")?, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(StorefrontVersionView::from)))
}

/// One version.
#[utoipa::path(
    get,
    path = "/versions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The version's id")),
    responses(
        (status = 200, description = "The version", body = StorefrontVersionView),
        (status = 404, description = "No such version")
    )
)]
pub async fn get_storefront_version(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let id = id_of(&id, "Version")?;
    let row = catalog_versions::version(auth.app(), &view, id).await?;
    Ok(ok(&StorefrontVersionView::from(row)))
}

/// Changes what the request names, and nothing else. What is published keeps its name and its zip.
#[utoipa::path(
    method(put, patch),
    path = "/versions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The version's id")),
    request_body = StorefrontVersionRequest,
    responses(
        (status = 200, description = "The version as it is now", body = StorefrontVersionView),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such version"),
        (status = 409, description = "It is published with another zip, or its package is mirrored, or somebody else changed it at the same time")
    )
)]
pub async fn update_storefront_version(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<StorefrontVersionRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = catalog_versions::change_version(auth.app(), &actor, id_of(&id, "Version")?, request.into()).await?;
    Ok(ok(&StorefrontVersionView::from(row)))
}

/// Deletes a version with its zip; its package stays. To keep it for later, set its status to 0.
#[utoipa::path(
    delete,
    path = "/versions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The version's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such version"),
        (status = 409, description = "It comes from a repository, whose next sync would bring it back")
    )
)]
pub async fn delete_storefront_version(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    catalog_versions::delete_version(auth.app(), &actor, id_of(&id, "Version")?).await?;
    Ok(no_content())
}

/// Publishes the zip of a version: the body (`curl -T package.zip`), or the one file of a form. Its composer.json must
/// state the package's name, and the version if it states one. What is published stays as it is: the same zip again
/// changes nothing, another one is refused.
#[utoipa::path(
    put,
    path = "/versions/{id}/file",
    tag = "storefront",
    params(("id" = i64, Path, description = "The version's id")),
    request_body(
        description = "The zip, of at most 32 MiB",
        content((Vec<u8> = "application/zip"), (Vec<u8> = "application/octet-stream"))
    ),
    responses(
        (status = 200, description = "It is published already, with these very bytes", body = StorefrontVersionView),
        (status = 201, description = "Published; hidden while the status is 0", body = StorefrontVersionView),
        (status = 400, description = "The zip or its composer.json will not do"),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such version"),
        (status = 409, description = "The version has other bytes, or comes from a repository"),
        (status = 502, description = "Archives are being built at the same time; try again")
    )
)]
pub async fn upload_storefront_file(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    request: Request,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let (app, id) = (auth.app(), id_of(&id, "Version")?);
    let address = catalog_versions::address(app, &actor, id).await?;
    let zip = receive_zip(app, &actor, request).await?;
    let uploaded = uploads::publish(app, &actor, address, zip).await?;
    let row = catalog_versions::version(app, &actor.view, id).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(with_status(status, &StorefrontVersionView::from(row)))
}
