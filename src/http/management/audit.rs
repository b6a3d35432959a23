//! `/api/audit-log`.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{AuditRead, Unlimited};
use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::audit_log;
use crate::store::kernel::audit::{AuditEntryRow, AuditFilter};

/// One thing that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    id: String,
    /// Unix seconds.
    at: i64,
    /// Who: `admin`, `token:{id}`, `user:{id}`; `anonymous` when a login fails.
    actor: String,
    /// The client's IP address.
    address: Option<String>,
    /// What: `token.created`.
    action: String,
    /// The id of what was acted on.
    target: String,
    /// What people call it, when the change named it.
    label: Option<String>,
    /// More of it.
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

impl From<AuditEntryRow> for EntryView {
    fn from(row: AuditEntryRow) -> Self {
        Self {
            id: row.uid,
            at: row.at.seconds(),
            actor: row.actor,
            address: row.address,
            action: row.action,
            target: row.target,
            label: row.label,
            details: row.details,
        }
    }
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditLogQuery {
    /// Only what this actor did: `admin`, `token:{id}`, `user:{id}`
    actor: Option<String>,
    /// Only actions that begin like this: `token.`
    action: Option<String>,
    /// Only what was done to the thing with this id
    target: Option<String>,
    /// Unix seconds, included
    since: Option<i64>,
    /// Unix seconds, excluded
    until: Option<i64>,
}

impl AuditLogQuery {
    fn store_filter(&self) -> AuditFilter<'_> {
        AuditFilter {
            actor: self.actor.as_deref(),
            action: self.action.as_deref(),
            target: self.target.as_deref(),
            since: self.since.map(Millis::from_seconds),
            until: self.until.map(Millis::from_seconds),
        }
    }
}

/// What was done, by whom and from where; newest first.
#[utoipa::path(
    get,
    path = "/audit-log",
    tag = "audit",
    params(AuditLogQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<EntryView>)
    )
)]
pub async fn list_audit_log(
    auth: RequestAuth<Unlimited<AuditRead>>,
    query: Result<ListQuery<AuditLogQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let (rows, total) = audit_log::list(auth.app(), &view, filter.store_filter(), page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(EntryView::from), total))
}

/// Most entries of one export; `offset` reaches the rest.
const MAX_EXPORTED: i64 = 10_000;

/// The same as lines of JSON, up to 10,000 of them.
#[utoipa::path(
    get,
    path = "/audit-log/export",
    tag = "audit",
    params(
        AuditLogQuery,
        ("limit" = Option<i64>, Query, description = "1 to 1000, or all up to 10,000 when it is absent"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "One entry a line", content_type = "application/x-ndjson", body = String)
    )
)]
pub async fn export_audit_log(
    auth: RequestAuth<Unlimited<AuditRead>>,
    query: Result<ListQuery<AuditLogQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let page = page.resized(MAX_EXPORTED, MAX_EXPORTED)?;
    let (rows, _) = audit_log::list(auth.app(), &view, filter.store_filter(), page.rows()).await?;
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, &EntryView::from(row)).map_err(Failure::internal)?;
        lines.push(b'\n');
    }
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"audit-log.ndjson\"")),
    ];
    Ok((head, lines).into_response())
}
