//! Security advisories of what a shop sells, for `composer audit` of its customers.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::PathParams;
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::moment::Moment;
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::no_content;
use crate::http::storefront::id_of;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::security::advisories::AdvisorySpec;
use crate::registry::storefront::package_advisories;
use crate::store::Update;
use crate::store::security::advisories::AdvisoryRow;

/// An advisory about versions of a package.
#[derive(Serialize, ToSchema)]
pub struct StorefrontAdvisoryView {
    id: String,
    /// What people call it.
    advisory_id: String,
    /// The package's name.
    package: String,
    /// A Composer constraint.
    affected_versions: String,
    title: String,
    cve: Option<String>,
    /// Where to read more.
    link: Option<String>,
    severity: Option<String>,
    reported_at: String,
    created_at: String,
    updated_at: String,
}

impl From<AdvisoryRow> for StorefrontAdvisoryView {
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
            reported_at: php_date(row.reported_at),
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
        }
    }
}

/// A request to write an advisory down.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"affected_versions": ">=5.0,<5.1.2", "title": "Path traversal in the importer", "severity": "high"}))]
pub struct StorefrontAdvisoryRequest {
    /// A Composer constraint; needed.
    affected_versions: Option<String>,
    /// One line; needed.
    title: Option<String>,
    /// What people call it; made up when it is left out.
    advisory_id: Option<String>,
    /// Its CVE.
    cve: Option<String>,
    /// Where to read more.
    link: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    severity: Option<String>,
    /// When it was made public; now when it is left out.
    reported_at: Option<Moment>,
}

impl From<StorefrontAdvisoryRequest> for AdvisorySpec {
    fn from(request: StorefrontAdvisoryRequest) -> Self {
        Self {
            advisory_id: request.advisory_id,
            affected_versions: request.affected_versions,
            title: request.title,
            cve: Update::Set(request.cve),
            link: Update::Set(request.link),
            severity: Update::Set(request.severity),
            reported_at: request.reported_at.map(|Moment(moment)| moment),
            ..Self::default()
        }
    }
}

/// The advisories of a package, newest first. Those that were written down at `/api/advisories` are among them.
#[utoipa::path(
    get,
    path = "/packages/{id}/advisories",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The package's id"),
        LimitOffset
    ),
    responses(
        (status = 200, description = "Advisories; `X-Total-Count` says how many there are, 1,000 at most", body = Vec<StorefrontAdvisoryView>),
        (status = 404, description = "No such package")
    )
)]
pub async fn list_storefront_advisories(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let id = id_of(&id, "Package")?;
    let (rows, total) = package_advisories::list(auth.app(), &view, id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(StorefrontAdvisoryView::from), total))
}

/// Writes an advisory down: the customers' `composer audit` and `composer update` know it from the next request on.
#[utoipa::path(
    post,
    path = "/packages/{id}/advisories",
    tag = "storefront",
    params(("id" = i64, Path, description = "The package's id")),
    request_body = StorefrontAdvisoryRequest,
    responses(
        (status = 201, description = "The advisory", body = StorefrontAdvisoryView),
        (status = 404, description = "No such package"),
        (status = 409, description = "There is an advisory of that `advisory_id`")
    )
)]
pub async fn create_storefront_advisory(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<StorefrontAdvisoryRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (IdempotentJson { value, key }, id) = (body?, id_of(&id, "Package")?);
    let answer = package_advisories::report(auth.app(), &issuer, key, id, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(StorefrontAdvisoryView::from)))
}

/// Removes an advisory.
#[utoipa::path(
    delete,
    path = "/packages/{id}/advisories/{advisory}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The package's id"),
        ("advisory" = String, Path, description = "The advisory's id")
    ),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "No such package or advisory")
    )
)]
pub async fn delete_storefront_advisory(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id, advisory]): PathParams<2>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    package_advisories::withdraw(auth.app(), &actor, id_of(&id, "Package")?, &advisory).await?;
    Ok(no_content())
}
