//! `/api/packages`.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::abandoned::Abandoned;
use crate::http::kit::extract::{JsonBody, PathParams, update};
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{PackagesRead, PackagesWrite};
use crate::http::kit::response::{Done, message, ok};
use crate::http::management::versions::VersionView;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::manage::{self, PackageChanges};
use crate::registry::packages::read;
use crate::registry::packages::revise::ManagedBy;
use crate::store::Update;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort, SortKey};

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
    /// Why it is abandoned, if the registry has found that out: its upstream has it no longer.
    abandoned_reason: Option<String>,
    /// Installs that composer reported; null for customers, who learn no figures of others.
    downloads: Option<i64>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    updated_at: i64,
}

impl PackageView {
    /// A package as `view` is told of it.
    fn new(view: &View, row: PackageRow) -> Self {
        let abandoned_reason = abandoned_reason(&row);
        Self {
            id: row.uid,
            repo_id: row.repository_uid,
            name: row.name,
            description: row.description,
            package_type: row.package_type,
            latest_version: row.latest_version,
            abandoned_reason,
            abandoned: row.abandoned.is_some(),
            replacement: row.abandoned.filter(|text| text != "true"),
            downloads: Some(row.downloads).filter(|_| view.shows_installs()),
            created_at: row.created_at.seconds(),
            updated_at: row.updated_at.seconds(),
        }
    }
}

/// Why a package is abandoned that its upstream has no longer.
fn abandoned_reason(row: &PackageRow) -> Option<String> {
    let found_at = rfc3339(row.vanished_at?);
    Some(format!(
        "It is no longer at {}. That was found at {found_at}; the versions that it had are kept.",
        row.repository_url
    ))
}

/// A package with its versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageDetails {
    #[serde(flatten)]
    package: PackageView,
    versions: Vec<VersionView>,
}

/// What a list of packages is sorted by.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SortName {
    /// Name.
    Name,
    /// When it last changed.
    UpdatedAt,
    /// When it first appeared.
    CreatedAt,
    /// Installs that composer reported.
    Downloads,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OrderName {
    /// The smallest.
    Asc,
    /// The largest.
    Desc,
}

/// Names ascend by themselves, moments and counts descend.
fn sort_of(key: Option<SortName>, order: Option<OrderName>) -> Sort {
    let key = match key {
        None | Some(SortName::Name) => SortKey::Name,
        Some(SortName::UpdatedAt) => SortKey::UpdatedAt,
        Some(SortName::CreatedAt) => SortKey::CreatedAt,
        Some(SortName::Downloads) => SortKey::Downloads,
    };
    let descending = order.map_or(key != SortKey::Name, |order| order == OrderName::Desc);
    Sort { key, descending }
}

/// What narrows a list of packages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PackagesQuery {
    /// Only those of this repository
    repo_id: Option<String>,
    /// Only those whose name, description or keywords hold every word of this
    search: Option<String>,
    /// Only those of this Composer type
    #[serde(rename = "type")]
    package_type: Option<String>,
    /// `name` (the default), `updated_at`, `created_at` or `downloads`
    #[param(value_type = Option<String>)]
    sort: Option<SortName>,
    /// `asc` (the default for names) or `desc` (for the others)
    #[param(value_type = Option<String>)]
    order: Option<OrderName>,
}

/// The visible packages.
#[utoipa::path(
    get,
    path = "/packages",
    tag = "packages",
    params(PackagesQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<PackageView>),
        (status = 403, description = "or is a customer's, and they are to be sorted by `downloads`")
    )
)]
pub async fn list_packages(
    auth: RequestAuth<PackagesRead>,
    query: Result<ListQuery<PackagesQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let sort = sort_of(filter.sort, filter.order);
    let filter = PackageFilter {
        repository_uid: filter.repo_id.as_deref(),
        search: filter.search.as_deref(),
        package_type: filter.package_type.as_deref(),
        names: None,
    };
    let (rows, total) = read::list(auth.app(), &view, filter, sort, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(|row| PackageView::new(&view, row)), total))
}

async fn package_details(app: &App, view: &View, key: &str) -> Result<Response, Failure> {
    let (package, versions) = read::details(app, view, key).await?;
    Ok(ok(&PackageDetails {
        package: PackageView::new(view, package),
        versions: versions.into_iter().map(VersionView::from).collect(),
    }))
}

/// One package with its visible versions. It can be named by its name too, with the slash as `%2F`, here and wherever
/// else its id stands.
#[utoipa::path(
    get,
    path = "/packages/{id}",
    tag = "packages",
    params(("id" = String, Path, description = "The package's id, or `vendor%2Fname`")),
    responses(
        (status = 200, description = "The package", body = PackageDetails),
        (status = 404, description = "No such package")
    )
)]
pub async fn get_package(
    auth: RequestAuth<PackagesRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    package_details(auth.app(), &view, &id).await
}

/// The same by its name.
#[utoipa::path(
    get,
    path = "/packages/{vendor}/{name}",
    tag = "packages",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("name" = String, Path, description = "The package's name without its vendor")
    ),
    responses(
        (status = 200, description = "The package", body = PackageDetails),
        (status = 404, description = "No such package")
    )
)]
pub async fn get_package_by_name(
    auth: RequestAuth<PackagesRead>,
    PathParams([vendor, name]): PathParams<2>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    package_details(auth.app(), &view, &format!("{vendor}/{name}")).await
}

/// What an operator says of a package over its composer.json.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"abandoned": "acme/successor"}))]
pub struct PackageRequest {
    /// Whether it is abandoned, or the package to use instead; null leaves it to composer.json, and of a package that was
    /// renamed to its new name.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Value>)]
    abandoned: Update<Abandoned>,
    /// In lists and searches; null leaves it to composer.json.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    description: Update<String>,
}

impl From<PackageRequest> for PackageChanges {
    fn from(request: PackageRequest) -> Self {
        Self {
            abandoned: request.abandoned.map(Abandoned::into_stored),
            description: request.description,
            hidden: None,
        }
    }
}

/// Says that a package is abandoned, or describes it, whatever its composer.json says; composer warns of it.
#[utoipa::path(
    patch,
    path = "/packages/{id}",
    tag = "packages",
    params(("id" = String, Path, description = "The package's id, or `vendor%2Fname`")),
    request_body = PackageRequest,
    responses(
        (status = 200, description = "The package as it is now", body = PackageDetails),
        (status = 403, description = "or does not cover all versions"),
        (status = 404, description = "No such package"),
        (status = 409, description = "It is mirrored: it is as its upstream has it")
    )
)]
pub async fn update_package(
    auth: RequestAuth<PackagesWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<PackageRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    manage::change_package(auth.app(), &actor, ManagedBy::Operator, &id, request.into()).await?;
    package_details(auth.app(), &actor.view, &id).await
}

/// Deletes an uploaded package, or a former name of one, with all its versions: nobody can download them any more. One that
/// comes from a repository would come back with its next sync: remove the repository instead.
#[utoipa::path(
    delete,
    path = "/packages/{id}",
    tag = "packages",
    params(("id" = String, Path, description = "The package's id, or `vendor%2Fname`")),
    responses(
        (status = 200, description = "Deleted", body = Done),
        (status = 403, description = "or does not cover all versions"),
        (status = 404, description = "No such package"),
        (status = 409, description = "It comes from a repository")
    )
)]
pub async fn delete_package(
    auth: RequestAuth<PackagesWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    manage::delete_package(auth.app(), &actor, ManagedBy::Operator, &id).await?;
    Ok(message("Package deleted"))
}
