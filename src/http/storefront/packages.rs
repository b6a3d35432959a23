//! Packages as shops keep them, the hidden ones too.

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
use crate::http::kit::response::{created, no_content, ok};
use crate::http::storefront::catalog_body::{StorefrontPackageRequest, StorefrontPackageView};
use crate::http::storefront::id_of;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::catalog::{self, PackageKey};

/// Which packages.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StorefrontPackagesQuery {
    /// Only that with this id at `/api/packages`
    uid: Option<String>,
    /// Only that of this name
    name: Option<String>,
}

impl StorefrontPackagesQuery {
    fn key(&self) -> Result<Option<PackageKey<'_>>, Failure> {
        match (self.uid.as_deref(), self.name.as_deref()) {
            (Some(_), Some(_)) => Err(Failure::invalid_field("uid", "cannot be asked for together with `name`")),
            (Some(uid), None) => Ok(Some(PackageKey::Uid(uid))),
            (None, name) => Ok(name.map(PackageKey::Name)),
        }
    }
}

/// Packages, the oldest first, with those that are hidden.
#[utoipa::path(
    get,
    path = "/packages",
    tag = "storefront",
    params(StorefrontPackagesQuery, LimitOffset, After),
    responses(
        (status = 200, description = "Packages; `X-Total-Count` says how many there are", body = Vec<StorefrontPackageView>)
    )
)]
pub async fn list_storefront_packages(
    auth: RequestAuth<StorefrontRead>,
    query: Result<KeysetQuery<StorefrontPackagesQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let KeysetQuery { filter, page } = query?;
    let app = auth.app();
    let list = match filter.key()? {
        Some(key) => page.rows().of(catalog::find_package(app, &view, key).await?.into_iter().collect(), |row| row.id),
        None => catalog::packages(app, &view, page.rows()).await?,
    };
    Ok(page.respond(list, |row| row.id, StorefrontPackageView::from))
}

/// Makes a package without versions; their zips are uploaded.
#[utoipa::path(
    post,
    path = "/packages",
    tag = "storefront",
    request_body = StorefrontPackageRequest,
    responses(
        (status = 201, description = "The package", body = StorefrontPackageView),
        (status = 403, description = "or does not cover the package"),
        (status = 409, description = "There is a package of that name")
    )
)]
pub async fn create_storefront_package(
    auth: RequestAuth<StorefrontWrite>,
    body: Result<IdempotentJson<StorefrontPackageRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let answer = catalog::create_package(auth.app(), &issuer, key, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(StorefrontPackageView::from)))
}

/// One package.
#[utoipa::path(
    get,
    path = "/packages/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The package's id")),
    responses(
        (status = 200, description = "The package", body = StorefrontPackageView),
        (status = 404, description = "No such package")
    )
)]
pub async fn get_storefront_package(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let id = id_of(&id, "Package")?;
    let row = catalog::package(auth.app(), &view, id).await?;
    Ok(ok(&StorefrontPackageView::from(row)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    method(put, patch),
    path = "/packages/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The package's id")),
    request_body = StorefrontPackageRequest,
    responses(
        (status = 201, description = "The package as it is now", body = StorefrontPackageView),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such package"),
        (status = 409, description = "The package is mirrored")
    )
)]
pub async fn update_storefront_package(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<StorefrontPackageRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = catalog::change_package(auth.app(), &actor, id_of(&id, "Package")?, request.into()).await?;
    Ok(created(&StorefrontPackageView::from(row)))
}

/// Deletes a package with all its versions. To keep it for later, set its status to 0.
#[utoipa::path(
    delete,
    path = "/packages/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The package's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "or does not cover the package"),
        (status = 404, description = "No such package"),
        (status = 409, description = "It comes from a repository, whose next sync would bring it back")
    )
)]
pub async fn delete_storefront_package(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    catalog::delete_package(auth.app(), &actor, id_of(&id, "Package")?).await?;
    Ok(no_content())
}
