//! One change of many permissions.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontWrite;
use crate::http::storefront::permission_body::PermissionRequest;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::bulk_permissions::{BulkAction, BulkOutcome, BulkRequest, change_many};
use crate::store::storefront::permission_lists::PermissionFilter;

/// Which permissions a request is about; of several conditions all hold.
#[derive(Default, Deserialize, ToSchema)]
pub struct BulkFilter {
    /// Those that name this package or this pattern. Either it or `order_id` is needed.
    package: Option<String>,
    /// Those with this version constraint, as it is written.
    version: Option<String>,
    /// Those that were bought with this order.
    order_id: Option<String>,
    /// Those of the customer with this id of the shop's.
    customer_id: Option<String>,
    /// Those that have ended too; otherwise they are left out.
    #[serde(default)]
    ended: bool,
}

/// A request about many permissions: just one of `add`, `change` and `delete`.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "filter": {"package": "acme/extension", "version": "5.*"},
    "add": {"package": "acme/extension", "version": "6.0.1"},
    "dry_run": true
}))]
pub struct BulkPermissionsRequest {
    filter: BulkFilter,
    /// The permission that everybody gets who has such a one: it extends one of the same package, version and order.
    add: Option<PermissionRequest>,
    /// What such permissions become; what it does not name stays.
    change: Option<PermissionRequest>,
    /// True: such permissions are taken back.
    #[serde(default)]
    delete: bool,
    /// True: nothing is done; the answer says what would be.
    #[serde(default)]
    dry_run: bool,
    /// `next` of the answer before.
    #[serde(default)]
    after: i64,
}

impl BulkPermissionsRequest {
    fn action(&mut self) -> Result<BulkAction, Failure> {
        match (self.add.take(), self.change.take(), self.delete) {
            (Some(add), None, false) => Ok(BulkAction::Add(add.into())),
            (None, Some(change), false) => Ok(BulkAction::Change(change.into())),
            (None, None, true) => Ok(BulkAction::Delete),
            _ => Err(Failure::invalid("Say what is to be done: just one of `add`, `change` and `\"delete\": true`.")),
        }
    }
}

/// What was done, or would be.
#[derive(Serialize, ToSchema)]
pub struct BulkPermissionsView {
    /// Whether nothing was done.
    dry_run: bool,
    /// The ids of the consumers that have such permissions.
    consumers: Vec<i64>,
    /// How many permissions were given.
    added: usize,
    /// How many changed.
    changed: usize,
    /// How many were taken back.
    removed: usize,
    /// Send the request again with this as `after`; null: all is done.
    next: Option<i64>,
}

impl BulkPermissionsView {
    fn new(dry_run: bool, outcome: BulkOutcome) -> Self {
        let BulkOutcome { consumers, added, changed, removed, next } = outcome;
        Self { dry_run, consumers, added, changed, removed, next }
    }
}

/// Changes many permissions at once: gives everybody who bought something another thing, extends or takes back. A request
/// does it for some hundred consumers; `next` says where the next one goes on. Doing it twice does nothing more.
#[utoipa::path(
    post,
    path = "/permissions/bulk",
    tag = "storefront",
    request_body = BulkPermissionsRequest,
    responses(
        (status = 200, description = "What was done, or would be", body = BulkPermissionsView),
        (status = 403, description = "or sees less than it would grant"),
        (status = 409, description = "A consumer would have the very same permission twice or too many, or others go on changing them")
    )
)]
pub async fn change_permissions_in_bulk(
    auth: RequestAuth<StorefrontWrite>,
    body: Result<IdempotentJson<BulkPermissionsRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value: mut request, key } = body?;
    let (action, app) = (request.action()?, auth.app());
    let BulkPermissionsRequest { filter, dry_run, after, .. } = request;
    if filter.package.is_none() && filter.order_id.is_none() {
        return Err(Failure::invalid_field("filter.package", "is required, or `order_id`"));
    }
    let target = filter.package.as_deref().map(str::to_ascii_lowercase);
    let narrowed = PermissionFilter {
        target: target.as_deref(),
        version: filter.version.as_deref(),
        order_id: filter.order_id.as_deref(),
        customer_id: filter.customer_id.as_deref(),
        live_at: Some(app.now()).filter(|_| !filter.ended),
        ..PermissionFilter::default()
    };
    let request = BulkRequest { filter: narrowed, action, is_dry_run: dry_run, after };
    let answer = change_many(app, &issuer, key, request).await?;
    Ok(answered(StatusCode::OK, &answer.map(|outcome| BulkPermissionsView::new(dry_run, outcome))))
}
