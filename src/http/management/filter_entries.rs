//! `/api/filter-entries`: versions that composer refuses to install.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{AdvisoriesRead, AdvisoriesWrite, Unlimited};
use crate::http::kit::response::{Done, created, message};
use crate::registry::kernel::failure::Failure;
use crate::registry::security::advisories::{self, EntrySpec};
use crate::store::security::advisories::{FilterEntryRow, NoticeFilter};

/// A request to put versions of a package on a filter list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "package": "acme/lib", "constraint": "1.4.1", "reason": "Published from a stolen account"
}))]
pub struct FilterEntryRequest {
    /// `malware` when it is left out, which composer 2.10 and later heeds by itself; a project has to configure others.
    list: Option<String>,
    /// A published package; needed.
    package: Option<String>,
    /// A Composer constraint; every version when it is left out.
    constraint: Option<String>,
    /// What people are shown.
    reason: Option<String>,
    /// Where to read more.
    url: Option<String>,
    /// Who says so: a feed, a team.
    source: Option<String>,
}

impl From<FilterEntryRequest> for EntrySpec {
    fn from(request: FilterEntryRequest) -> Self {
        let FilterEntryRequest { list, package, constraint, reason, url, source } = request;
        Self { list, package, constraint, reason, url, source }
    }
}

/// An entry of a filter list.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterEntryView {
    id: String,
    list: String,
    package: String,
    constraint: String,
    reason: Option<String>,
    url: Option<String>,
    /// Who says so.
    source: Option<String>,
    /// Unix seconds.
    created_at: i64,
}

impl From<FilterEntryRow> for FilterEntryView {
    fn from(row: FilterEntryRow) -> Self {
        Self {
            id: row.uid,
            list: row.list,
            package: row.package_name,
            constraint: row.version_constraint,
            reason: row.reason,
            url: row.url,
            source: row.source,
            created_at: row.created_at.seconds(),
        }
    }
}

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterEntryQuery {
    /// Only those of this package
    package: Option<String>,
    /// Only those of this list
    list: Option<String>,
}

/// Entries of filter lists, newest first.
#[utoipa::path(
    get,
    path = "/filter-entries",
    tag = "advisories",
    params(FilterEntryQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many match", body = Vec<FilterEntryView>)
    )
)]
pub async fn list_filter_entries(
    auth: RequestAuth<Unlimited<AdvisoriesRead>>,
    query: Result<ListQuery<FilterEntryQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let filter = NoticeFilter { package: filter.package.as_deref(), class: filter.list.as_deref() };
    let (rows, total) = advisories::entries(auth.app(), &view, filter, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(FilterEntryView::from), total))
}

/// Puts versions of a package on a filter list; composer refuses them from the next request on.
#[utoipa::path(
    post,
    path = "/filter-entries",
    tag = "advisories",
    request_body = FilterEntryRequest,
    responses(
        (status = 201, description = "The entry", body = FilterEntryView),
        (status = 409, description = "It is there already")
    )
)]
pub async fn create_filter_entry(
    auth: RequestAuth<AdvisoriesWrite>,
    body: Result<JsonBody<FilterEntryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = advisories::flag(auth.app(), &actor, request.into()).await?;
    Ok(created(&FilterEntryView::from(row)))
}

/// Takes versions off a filter list.
#[utoipa::path(
    delete,
    path = "/filter-entries/{id}",
    tag = "advisories",
    params(
        ("id" = String, Path, description = "The entry's id")
    ),
    responses(
        (status = 200, description = "Removed", body = Done),
        (status = 404, description = "No such entry")
    )
)]
pub async fn delete_filter_entry(
    auth: RequestAuth<AdvisoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    advisories::unflag(auth.app(), &actor, &id).await?;
    Ok(message("Filter entry removed"))
}
