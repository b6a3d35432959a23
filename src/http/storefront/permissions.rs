//! Permissions one by one: which versions of which packages a consumer may install.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::kit::extract::{JsonBody, PathParams, StrictQuery};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::if_match::{IF_MATCH_DOC, IfMatchHeader, with_tag};
use crate::http::kit::keyset::{After, KeysetQuery};
use crate::http::kit::moment::MomentSince;
use crate::http::kit::paging::LimitOffset;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::{no_content, ok, with_status};
use crate::http::storefront::permission_body::{PermissionRequest, PermissionView, StrictParam};
use crate::http::storefront::{entitlements, id_of};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::permissions::{self, WarnedPermission, change, get, grant, revoke};
use crate::registry::storefront::{orders, permission_lists};
use crate::store::storefront::entitlements::PermissionRow;
use crate::store::storefront::permission_lists::PermissionFilter;

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

/// Which permissions; of several conditions all hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PermissionsQuery {
    /// Only those that name this package or this pattern
    package: Option<String>,
    /// Only those with this version constraint, as it is written
    version: Option<String>,
    /// Only those of this consumer
    consumer_id: Option<i64>,
    /// Only those of the customer with this id of the shop's
    customer_id: Option<String>,
    /// Only those that were bought with this order
    order_id: Option<String>,
    /// Only those that changed then or later; a day alone is its first moment. What was deleted meanwhile is in no list
    #[param(value_type = Option<String>)]
    updated_since: Option<MomentSince>,
}

impl PermissionsQuery {
    fn filter<'a>(&'a self, target: Option<&'a str>) -> PermissionFilter<'a> {
        PermissionFilter {
            target,
            version: self.version.as_deref(),
            consumer_id: self.consumer_id,
            customer_id: self.customer_id.as_deref(),
            order_id: self.order_id.as_deref(),
            updated_since: self.updated_since.map(|MomentSince(moment)| moment),
            ..PermissionFilter::default()
        }
    }
}

/// Permissions of all consumers, the oldest first: what a shop reconciles with its orders.
#[utoipa::path(
    get,
    path = "/permissions",
    tag = "storefront",
    params(PermissionsQuery, LimitOffset, After),
    responses(
        (status = 200, description = "Permissions; `X-Total-Count` says how many there are", body = Vec<PermissionView>)
    )
)]
pub async fn list_all_permissions(
    auth: RequestAuth<StorefrontRead>,
    query: Result<KeysetQuery<PermissionsQuery>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let KeysetQuery { filter, page } = query?;
    let target = filter.package.as_deref().map(str::to_ascii_lowercase);
    let filter = filter.filter(target.as_deref());
    let found = permission_lists::list(auth.app(), &issuer, &filter, page.rows()).await?;
    Ok(page.respond(found, |row| row.id, PermissionView::from))
}

/// Which order.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrderParam {
    /// The shop's own id of the order
    order_id: String,
}

/// Which order is changed, and how strictly.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrderChangeParams {
    /// The shop's own id of the order
    order_id: String,
    /// 1: refuse (400) what is otherwise answered with `warnings`
    strict: Option<i64>,
}

/// Changes all permissions of an order, whosever they are, in one step: a renewal, for example. What the request does not name
/// stays.
#[utoipa::path(
    patch,
    path = "/permissions",
    tag = "storefront",
    params(OrderChangeParams),
    request_body(content = PermissionRequest, example = json!({"updates_until": "2029-01-01 00:00:00"})),
    responses(
        (status = 200, description = "The permissions of the order as they are now", body = Vec<PermissionView>),
        (status = 403, description = "or sees less than it would grant"),
        (status = 404, description = "No permission was bought with this order"),
        (status = 409, description = "A consumer has the very same already, or too many consumers have some, or others go on changing them")
    )
)]
pub async fn change_order_permissions(
    auth: RequestAuth<StorefrontWrite>,
    query: Result<StrictQuery<OrderChangeParams>, Failure>,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let StrictQuery(OrderChangeParams { order_id, strict }) = query?;
    let (spec, strict) = (body?.0.into(), StrictParam::new(strict).is_strict()?);
    let edited = orders::change_order(auth.app(), &issuer, &order_id, spec, strict).await?;
    let warned = |row: PermissionRow| PermissionView::warned(row, &edited.warnings);
    Ok(ok(&edited.rows.into_iter().map(warned).collect::<Vec<_>>()))
}

/// Takes back all permissions of an order, whosever they are, in one step: a refund or a chargeback. Doing it twice does nothing
/// more.
#[utoipa::path(
    delete,
    path = "/permissions",
    tag = "storefront",
    params(OrderParam),
    responses(
        (status = 200, description = "The permissions that were taken back, as they were; none the second time", body = Vec<PermissionView>),
        (status = 409, description = "Too many consumers have some, or others go on changing them")
    )
)]
pub async fn delete_order_permissions(
    auth: RequestAuth<StorefrontWrite>,
    query: Result<StrictQuery<OrderParam>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let StrictQuery(OrderParam { order_id }) = query?;
    let rows = orders::revoke_order(auth.app(), &issuer, &order_id).await?;
    Ok(ok(&rows.into_iter().map(PermissionView::from).collect::<Vec<_>>()))
}

fn warned_view(WarnedPermission { row, warnings }: WarnedPermission) -> PermissionView {
    PermissionView::warned(row, &warnings)
}

fn warned(status: StatusCode, permission: WarnedPermission) -> Response {
    let tag = permissions::tag_of(&permission.row);
    with_tag(with_status(status, &warned_view(permission)), &tag)
}

/// Gives a consumer a permission.
#[utoipa::path(
    post,
    path = "/permissions",
    tag = "storefront",
    params(StrictParam),
    request_body = PermissionRequest,
    responses(
        (status = 201, description = "The permission", body = PermissionView),
        (status = 403, description = "or sees less than it would grant"),
        (status = 409, description = "The consumer has this very permission, or as many as there can be")
    )
)]
pub async fn create_permission(
    auth: RequestAuth<StorefrontWrite>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    body: Result<IdempotentJson<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (strict, IdempotentJson { value, key }) = (query?.0.is_strict()?, body?);
    let answer = grant(auth.app(), &issuer, key, value.into(), strict).await?;
    let tag = permissions::tag_of(&answer.value.row);
    Ok(with_tag(answered(StatusCode::CREATED, &answer.map(warned_view)), &tag))
}

/// One permission; `ETag` is its own.
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
    let tag = permissions::tag_of(&row);
    Ok(with_tag(ok(&PermissionView::from(row)), &tag))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    method(put, patch),
    path = "/permissions/{id}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The permission's id"),
        StrictParam,
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    request_body = PermissionRequest,
    responses(
        (status = 200, description = "The permission as it is now", body = PermissionView),
        (status = 403, description = "or sees less than it would grant"),
        (status = 404, description = "No such permission"),
        (status = 409, description = "The consumer has this very permission, or others go on changing its permissions"),
        (status = 412, description = "The permission is not the one of `If-Match`")
    )
)]
pub async fn update_permission(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    if_match: Result<IfMatchHeader, Failure>,
    body: Result<JsonBody<PermissionRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (strict, if_match) = (query?.0.is_strict()?, if_match?.0);
    let spec = body?.0.into();
    let changed = change(auth.app(), &issuer, id_of(&id, "Permission")?, spec, &if_match, strict).await?;
    Ok(warned(StatusCode::OK, changed))
}

/// Takes a permission back.
#[utoipa::path(
    delete,
    path = "/permissions/{id}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The permission's id"),
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such permission"),
        (status = 412, description = "The permission is not the one of `If-Match`")
    )
)]
pub async fn delete_permission(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    if_match: Result<IfMatchHeader, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    revoke(auth.app(), &issuer, id_of(&id, "Permission")?, &if_match?.0).await?;
    Ok(no_content())
}
