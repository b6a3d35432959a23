//! `/api/packages`.

use axum::response::{Json, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::extract::{PathOf, StrictQuery, page};
use crate::http::management::{ErrorBody, list};
use crate::http::session::Session;
use crate::registry::failure::Failure;
use crate::registry::packages;
use crate::registry::tokens::Scope;
use crate::store::packages::{PackageFilter, PackageRow, VersionRow};

/// A package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageView {
    id: String,
    /// The repository it comes from.
    repo_id: String,
    name: String,
    description: Option<String>,
    #[serde(rename = "type")]
    package_type: String,
    latest_version: Option<String>,
    abandoned: bool,
    /// What to use instead.
    replacement: Option<String>,
    /// Installs that composer reported.
    downloads: i64,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    updated_at: i64,
}

impl From<PackageRow> for PackageView {
    fn from(row: PackageRow) -> Self {
        Self {
            id: row.uid,
            repo_id: row.repository_uid,
            name: row.name,
            description: row.description,
            package_type: row.package_type,
            latest_version: row.latest_version,
            abandoned: row.abandoned.is_some(),
            replacement: row.abandoned.filter(|text| text != "true"),
            downloads: row.downloads,
            created_at: row.created_at.seconds(),
            updated_at: row.updated_at.seconds(),
        }
    }
}

/// A version of a package.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    id: String,
    version: String,
    normalized_version: String,
    /// Commit id.
    reference: String,
    default_branch: bool,
    /// SHA-1 of its zip, once that is built.
    shasum: Option<String>,
    /// Bytes of its zip, once that is built.
    size: Option<i64>,
    /// Why its zip cannot be built.
    dist_error: Option<String>,
    /// README, CHANGELOG and licence files that it has.
    files: Vec<String>,
    /// Unix seconds.
    released_at: i64,
}

impl From<VersionRow> for VersionView {
    fn from(row: VersionRow) -> Self {
        Self {
            id: row.uid,
            version: row.pretty,
            normalized_version: row.normalized,
            reference: row.reference,
            default_branch: row.is_default_branch,
            shasum: row.shasum,
            size: row.size,
            dist_error: row.dist_error,
            files: row.files.into_iter().map(|(_, name)| name).collect(),
            released_at: row.released_at.seconds(),
        }
    }
}

/// A package with its versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageDetails {
    #[serde(flatten)]
    package: PackageView,
    versions: Vec<VersionView>,
}

/// What narrows a list of packages.
#[derive(Debug, Deserialize)]
pub struct PackagesQuery {
    repo_id: Option<String>,
    search: Option<String>,
    #[serde(rename = "type")]
    package_type: Option<String>,
    limit: Option<i64>,
    offset: Option<i64>,
}

/// The visible packages by name.
#[utoipa::path(
    get,
    path = "/packages",
    tag = "packages",
    params(
        ("repo_id" = Option<String>, Query, description = "Only those of this repository"),
        ("search" = Option<String>, Query, description = "Only those whose name or description holds this"),
        ("type" = Option<String>, Query, description = "Only those of this Composer type"),
        ("limit" = Option<i64>, Query, description = "1 to 1000, 100 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<PackageView>),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `packages:read`", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn list_packages(
    session: Session,
    query: Result<StrictQuery<PackagesQuery>, Failure>,
) -> Result<Response, Failure> {
    let caller = session.require(Scope::PackagesRead).await?;
    let StrictQuery(query) = query?;
    let filter = PackageFilter {
        repository_uid: query.repo_id.as_deref(),
        search: query.search.as_deref(),
        package_type: query.package_type.as_deref(),
    };
    let page = page(query.limit, query.offset)?;
    let view = caller.view(session.app.now());
    let (rows, total) = packages::list(&session.app, caller.organization_id, &view, filter, page).await?;
    Ok(list(rows.into_iter().map(PackageView::from).collect(), total))
}

/// One package with its visible versions.
#[utoipa::path(
    get,
    path = "/packages/{id}",
    tag = "packages",
    params(("id" = String, Path, description = "The package's id")),
    responses(
        (status = 200, description = "The package", body = PackageDetails),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `packages:read`", body = ErrorBody),
        (status = 404, description = "No such package", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn get_package(session: Session, PathOf(id): PathOf<String>) -> Result<Json<PackageDetails>, Failure> {
    let caller = session.require(Scope::PackagesRead).await?;
    let view = caller.view(session.app.now());
    let (package, versions) = packages::details(&session.app, caller.organization_id, &view, &id).await?;
    Ok(Json(PackageDetails {
        package: package.into(),
        versions: versions.into_iter().map(VersionView::from).collect(),
    }))
}
