//! Permissions one by one: which versions of which packages a consumer may install.

use axum::response::Response;

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::{created, no_content, ok};
use crate::http::storefront::permission_body::{PermissionRequest, PermissionView};
use crate::http::storefront::{entitlements, id_of};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::entitlements::{change, get, grant, revoke};

/// The permissions of a consumer that name a package, the oldest first.
#[utoipa::path(
    get,
    path = "/permissions/consumer/{consumer}/package/{package}",
    tag = "storefront",
    params(
        ("consumer" = i64, Path, description = "The consumer's id"),
        ("package" = i64, Path, description = "The package's id")
    ),
    responses(
        (status = 200, description = "Permissions", body = Vec<PermissionView>),
        (status = 404, description = "No such consumer or package")
    )
)]
pub async fn list_permissions(auth: RequestAuth<StorefrontRead>, ids: PathParams<2>) -> Result<Response, Failure> {
    entitlements::list_consumer_permissions(auth, ids).await
}

/// Gives a consumer a permission.
#[utoipa::path(
    post,
    path = "/permissions",
    tag = "storefront",
    request_body = PermissionRequest,
    responses(
        (status = 201, description = "The permission", body = PermissionView),
        (status = 403, description = "or sees less than it would grant"),
        (status = 409, description = "The consumer has this very permission, or as many as there can be")
    )
)]
pub async fn create_permission(
    auth: RequestAuth<StorefrontWrite>,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(request) = body?;
    let row = grant(auth.app(), &issuer, request.into_spec("")?).await?;
    Ok(created(&PermissionView::from(row)))
}

/// One permission.
#[utoipa::path(
    get,
    path = "/permissions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The permission's id")),
    responses(
        (status = 200, description = "The permission", body = PermissionView),
        (status = 404, description = "No such permission")
    )
)]
pub async fn get_permission(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let row = get(auth.app(), &issuer, id_of(&id, "Permission")?).await?;
    Ok(ok(&PermissionView::from(row)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    method(put, patch),
    path = "/permissions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The permission's id")),
    request_body = PermissionRequest,
    responses(
        (status = 200, description = "The permission as it is now", body = PermissionView),
        (status = 403, description = "or sees less than it would grant"),
        (status = 404, description = "No such permission"),
        (status = 409, description = "The consumer has this very permission, or somebody else changed this one at the same time")
    )
)]
pub async fn update_permission(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(request) = body?;
    let row = change(auth.app(), &issuer, id_of(&id, "Permission")?, request.into_spec("")?).await?;
    Ok(ok(&PermissionView::from(row)))
}

/// Takes a permission back.
#[utoipa::path(
    delete,
    path = "/permissions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The permission's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such permission")
    )
)]
pub async fn delete_permission(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    revoke(auth.app(), &issuer, id_of(&id, "Permission")?).await?;
    Ok(no_content())
}
