//! `/api/advisories`: security advisories for the organization's packages.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{JsonBody, PathParams, update};
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{AdvisoriesRead, AdvisoriesWrite, Unlimited};
use crate::http::kit::response::{Done, created, message, ok};
use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::security::advisories::{self, AdvisorySourceSpec, AdvisorySpec};
use crate::store::Update;
use crate::store::security::advisories::{AdvisoryRow, NoticeFilter};

/// Where an advisory was published elsewhere.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SourceRequest {
    /// `GitHub`.
    name: String,
    /// Its id there, which composer's ignore list takes. `remoteId`, as composer writes it, is understood too.
    #[serde(alias = "remoteId")]
    remote_id: String,
}

/// Where an advisory was published elsewhere.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceView {
    /// `GitHub`.
    name: String,
    /// Its id there.
    remote_id: String,
}

impl From<Value> for SourceView {
    fn from(stored: Value) -> Self {
        let text = |key: &str| stored[key].as_str().unwrap_or_default().to_owned();
        Self { name: text("name"), remote_id: text("remoteId") }
    }
}

/// A request to write down or to change an advisory.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "package": "acme/lib", "title": "Path traversal in the importer", "affected_versions": ">=1.0,<1.4.2",
    "severity": "high", "cve": "CVE-2026-12345", "link": "https://acme.example/security/1",
    "sources": [{"name": "GitHub", "remote_id": "GHSA-aaaa-bbbb-cccc"}]
}))]
pub struct AdvisoryRequest {
    /// What people call it; made up when it is left out, and never changed.
    advisory_id: Option<String>,
    /// A published package; needed when the advisory is made, and never changed.
    package: Option<String>,
    /// A Composer constraint; needed when the advisory is made.
    affected_versions: Option<String>,
    /// One line; needed when the advisory is made.
    title: Option<String>,
    /// Its CVE.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    cve: Update<String>,
    /// Where to read more.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    link: Update<String>,
    /// `low`, `medium`, `high` or `critical`.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    severity: Update<String>,
    /// Where it was published elsewhere.
    sources: Option<Vec<SourceRequest>>,
    /// Unix seconds; now when it is left out.
    reported_at: Option<i64>,
}

impl From<AdvisoryRequest> for AdvisorySpec {
    fn from(request: AdvisoryRequest) -> Self {
        let source = |source: SourceRequest| AdvisorySourceSpec { name: source.name, remote_id: source.remote_id };
        Self {
            advisory_id: request.advisory_id,
            package: request.package,
            affected_versions: request.affected_versions,
            title: request.title,
            cve: request.cve,
            link: request.link,
            severity: request.severity,
            sources: request.sources.map(|sources| sources.into_iter().map(source).collect()),
            reported_at: request.reported_at.map(Millis::from_seconds),
        }
    }
}

/// An advisory.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdvisoryView {
    id: String,
    advisory_id: String,
    package: String,
    affected_versions: String,
    title: String,
    cve: Option<String>,
    link: Option<String>,
    severity: Option<String>,
    /// Where it was published elsewhere.
    sources: Vec<SourceView>,
    /// Unix seconds.
    reported_at: i64,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    updated_at: i64,
}

impl From<AdvisoryRow> for AdvisoryView {
    fn from(row: AdvisoryRow) -> Self {
        Self {
            id: row.uid,
            advisory_id: row.advisory_id,
            package: row.package_name,
            affected_versions: row.affected_versions,
            title: row.title,
            cve: row.cve,
            link: row.link,
            severity: row.severity,
            sources: row.sources.into_iter().map(SourceView::from).collect(),
            reported_at: row.reported_at.seconds(),
            created_at: row.created_at.seconds(),
            updated_at: row.updated_at.seconds(),
        }
    }
}

/// Which advisories.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdvisoryQuery {
    /// Only those of this package
    package: Option<String>,
    /// Only those of this severity
    severity: Option<String>,
}

/// Advisories, newest first.
#[utoipa::path(
    get,
    path = "/advisories",
    tag = "advisories",
    params(AdvisoryQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many match", body = Vec<AdvisoryView>)
    )
)]
pub async fn list_advisories(
    auth: RequestAuth<Unlimited<AdvisoriesRead>>,
    query: Result<ListQuery<AdvisoryQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let filter = NoticeFilter { package: filter.package.as_deref(), class: filter.severity.as_deref() };
    let (rows, total) = advisories::list(auth.app(), &view, filter, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(AdvisoryView::from), total))
}

/// Writes an advisory down; `composer audit` and `composer update` know it from the next request on.
#[utoipa::path(
    post,
    path = "/advisories",
    tag = "advisories",
    request_body = AdvisoryRequest,
    responses(
        (status = 201, description = "The advisory", body = AdvisoryView),
        (status = 409, description = "It is there already")
    )
)]
pub async fn create_advisory(
    auth: RequestAuth<AdvisoriesWrite>,
    body: Result<JsonBody<AdvisoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = advisories::report(auth.app(), &actor, request.into(), |_| None).await?;
    Ok(created(&AdvisoryView::from(row)))
}

/// One advisory.
#[utoipa::path(
    get,
    path = "/advisories/{id}",
    tag = "advisories",
    params(
        ("id" = String, Path, description = "The advisory's id")
    ),
    responses(
        (status = 200, description = "The advisory", body = AdvisoryView),
        (status = 404, description = "No such advisory")
    )
)]
pub async fn get_advisory(
    auth: RequestAuth<AdvisoriesRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let row = advisories::get(auth.app(), &view, &id).await?;
    Ok(ok(&AdvisoryView::from(row)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    patch,
    path = "/advisories/{id}",
    tag = "advisories",
    params(
        ("id" = String, Path, description = "The advisory's id")
    ),
    request_body = AdvisoryRequest,
    responses(
        (status = 200, description = "The advisory as it is now", body = AdvisoryView),
        (status = 404, description = "No such advisory")
    )
)]
pub async fn update_advisory(
    auth: RequestAuth<AdvisoriesWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<AdvisoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = advisories::change(auth.app(), &actor, &id, request.into()).await?;
    Ok(ok(&AdvisoryView::from(row)))
}

/// Removes an advisory.
#[utoipa::path(
    delete,
    path = "/advisories/{id}",
    tag = "advisories",
    params(
        ("id" = String, Path, description = "The advisory's id")
    ),
    responses(
        (status = 200, description = "Removed", body = Done),
        (status = 404, description = "No such advisory")
    )
)]
pub async fn delete_advisory(
    auth: RequestAuth<AdvisoriesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    advisories::withdraw(auth.app(), &actor, &id).await?;
    Ok(message("Advisory removed"))
}
