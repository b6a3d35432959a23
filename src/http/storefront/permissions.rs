//! Permissions one by one: which versions of which packages a consumer may install.

use axum::response::Response;

use crate::http::extract::{JsonBody, PathOf};
use crate::http::management::ErrorBody;
use crate::http::reply::{gone, made, ok};
use crate::http::session::Session;
use crate::http::storefront::body::{PermissionRequest, PermissionView};
use crate::http::storefront::{entitlements, id_of};
use crate::registry::access::scope::Scope;
use crate::registry::entitlements::{change, get, grant, revoke};
use crate::registry::failure::Failure;

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
        (status = 403, description = "The token lacks `storefront:read`", body = ErrorBody),
        (status = 404, description = "No such consumer or package", body = ErrorBody)
    )
)]
pub async fn list_permissions(session: Session, ids: PathOf<(String, String)>) -> Result<Response, Failure> {
    entitlements::list_consumer_permissions(session, ids).await
}

/// Gives a consumer a permission.
#[utoipa::path(
    post,
    path = "/permissions",
    tag = "storefront",
    request_body = PermissionRequest,
    responses(
        (status = 201, description = "The permission", body = PermissionView),
        (status = 403, description = "The token lacks `storefront:write`, or sees less than it would grant", body = ErrorBody),
        (status = 409, description = "The consumer has this very permission, or as many as there can be", body = ErrorBody)
    )
)]
pub async fn create_permission(
    session: Session,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = session.issuer(Scope::StorefrontWrite).await?;
    let JsonBody(request) = body?;
    let row = grant(&session.app, &issuer, request.into_spec("")?).await?;
    Ok(made(&PermissionView::from(row)))
}

/// One permission.
#[utoipa::path(
    get,
    path = "/permissions/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The permission's id")),
    responses(
        (status = 200, description = "The permission", body = PermissionView),
        (status = 403, description = "The token lacks `storefront:read`", body = ErrorBody),
        (status = 404, description = "No such permission", body = ErrorBody)
    )
)]
pub async fn get_permission(session: Session, PathOf(id): PathOf<String>) -> Result<Response, Failure> {
    let view = session.view(Scope::StorefrontRead).await?;
    let row = get(&session.app, &view, id_of(&id, "Permission")?).await?;
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
        (status = 403, description = "The token lacks `storefront:write`, or sees less than it would grant", body = ErrorBody),
        (status = 404, description = "No such permission", body = ErrorBody),
        (status = 409, description = "The consumer has this very permission, or somebody else changed this one at the same time", body = ErrorBody)
    )
)]
pub async fn update_permission(
    session: Session,
    PathOf(id): PathOf<String>,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = session.issuer(Scope::StorefrontWrite).await?;
    let JsonBody(request) = body?;
    let row = change(&session.app, &issuer, id_of(&id, "Permission")?, request.into_spec("")?).await?;
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
        (status = 403, description = "The token lacks `storefront:write`", body = ErrorBody),
        (status = 404, description = "No such permission", body = ErrorBody)
    )
)]
pub async fn delete_permission(session: Session, PathOf(id): PathOf<String>) -> Result<Response, Failure> {
    let issuer = session.issuer(Scope::StorefrontWrite).await?;
    revoke(&session.app, &issuer, id_of(&id, "Permission")?).await?;
    Ok(gone())
}
