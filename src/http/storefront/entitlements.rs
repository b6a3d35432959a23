//! All that a consumer was granted: packages, and permissions as a list.

use axum::response::Response;
use http::StatusCode;

use crate::http::kit::extract::{JsonBody, PathParams, StrictQuery};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::if_match::{IF_MATCH_DOC, IfMatchHeader, with_tag};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::ok;
use crate::http::storefront::catalog_body::StorefrontPackageView;
use crate::http::storefront::id_of;
use crate::http::storefront::permission_body::{PermissionRequest, PermissionView, StrictParam, into_specs};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::entitlements::{self, ListChange};
use crate::registry::storefront::instructions;
use crate::registry::storefront::permission_edits::{Edited, tag_of};
use crate::store::storefront::entitlements::PermissionRow;

fn permission_list(rows: Vec<PermissionRow>) -> Response {
    ok(&rows.into_iter().map(PermissionView::from).collect::<Vec<_>>())
}

/// The list as it is now, with what is to be said of it.
fn edited_list(edited: Edited) -> Response {
    let tag = tag_of(&edited.rows);
    with_tag(ok(&edited_views(edited)), &tag)
}

fn edited_views(Edited { rows, warnings, .. }: Edited) -> Vec<PermissionView> {
    rows.into_iter().map(|row| PermissionView::warned(row, &warnings)).collect()
}

/// The packages of which a consumer sees a version, by name.
#[utoipa::path(
    get,
    path = "/consumers/{id}/packages",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "Packages; `X-Total-Count` says how many there are", body = Vec<StorefrontPackageView>),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn list_consumer_packages(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let page = query?.page;
    let id = id_of(&id, "Consumer")?;
    let (rows, total) = instructions::visible(auth.app(), &issuer, id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(StorefrontPackageView::from), total))
}

/// The permissions of a consumer that name a package, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers/{id}/packages/{package}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        ("package" = i64, Path, description = "The package's id")
    ),
    responses(
        (status = 200, description = "Permissions", body = Vec<PermissionView>),
        (status = 404, description = "No such consumer or package")
    )
)]
pub async fn list_consumer_permissions(
    auth: RequestAuth<StorefrontRead>,
    PathParams([consumer, package]): PathParams<2>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (consumer, package) = (id_of(&consumer, "Consumer")?, id_of(&package, "Package")?);
    Ok(permission_list(entitlements::of_package(auth.app(), &issuer, consumer, package).await?))
}

/// All permissions of a consumer, the oldest first; `ETag` is the list's.
#[utoipa::path(
    get,
    path = "/consumers/{id}/entitlements",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "Permissions, 1000 at most", body = Vec<PermissionView>),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn list_entitlements(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let rows = entitlements::list(auth.app(), &issuer, id_of(&id, "Consumer")?).await?;
    let tag = tag_of(&rows);
    Ok(with_tag(permission_list(rows), &tag))
}

/// Makes a list the complete list of a consumer's permissions. What is on it already stays, with its id: a permission takes
/// over one of the same package, version and order, whose `order_id`, `metadata` and `minimum_stability` stay where the list
/// does not name them. Doing it twice does nothing more.
#[utoipa::path(
    put,
    path = "/consumers/{id}/entitlements",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        StrictParam,
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    request_body(
        content = Vec<PermissionRequest>,
        example = json!([{"package": "acme/extension", "version": "5.*", "updates_until": "2028-01-01 00:00:00"}])
    ),
    responses(
        (status = 200, description = "All permissions as they are now", body = Vec<PermissionView>),
        (status = 403, description = "or sees less than it would grant"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "With permissions of others the consumer would have too many, or others go on changing them"),
        (status = 412, description = "The list is not the one of `If-Match`")
    )
)]
pub async fn set_entitlements(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    if_match: Result<IfMatchHeader, Failure>,
    body: Result<JsonBody<Vec<PermissionRequest>>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let change = list_change(query?.0, if_match?, body?.0)?;
    Ok(edited_list(entitlements::set(auth.app(), &issuer, id_of(&id, "Consumer")?, change).await?))
}

/// Adds permissions to a consumer's, for a sale: one of the same package, version and order is extended, and nothing is
/// shortened or taken back. Doing it twice does nothing more.
#[utoipa::path(
    post,
    path = "/consumers/{id}/entitlements",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        StrictParam,
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    request_body(
        content = Vec<PermissionRequest>,
        example = json!([{"package": "acme/extension", "version": "5.*", "order_id": "1001", "updates_until": "2028-01-01 00:00:00"}])
    ),
    responses(
        (status = 200, description = "All permissions as they are now", body = Vec<PermissionView>),
        (status = 403, description = "or sees less than it would grant"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "The consumer would have too many, or others go on changing them"),
        (status = 412, description = "The list is not the one of `If-Match`")
    )
)]
pub async fn add_entitlements(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    if_match: Result<IfMatchHeader, Failure>,
    body: Result<IdempotentJson<Vec<PermissionRequest>>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (query, if_match, IdempotentJson { value, key }) = (query?.0, if_match?, body?);
    let (id, change) = (id_of(&id, "Consumer")?, list_change(query, if_match, value)?);
    let answer = entitlements::add_for_key(auth.app(), &issuer, key, id, change).await?;
    let tag = tag_of(&answer.value.rows);
    Ok(with_tag(answered(StatusCode::OK, &answer.map(edited_views)), &tag))
}

fn list_change(
    strict: StrictParam,
    IfMatchHeader(if_match): IfMatchHeader,
    requests: Vec<PermissionRequest>,
) -> Result<ListChange, Failure> {
    Ok(ListChange { specs: into_specs(requests), if_match, strict: strict.is_strict()?, place: "" })
}
