//! `/api/organizations/{organization}/packages`.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::PathParams;
use crate::http::kit::paging::{ListQuery, PageNumber};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::PackagesRead;
use crate::http::kit::response::ok;
use crate::http::organizations::PageMeta;
use crate::http::organizations::repositories::repo_identifier;
use crate::registry::access::view::View;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::read::{self, VisiblePackage};
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort};
use crate::store::packages::versions::SlimVersion;

/// A package of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationPackage {
    id: String,
    name: String,
    description: Option<String>,
    #[serde(rename = "type")]
    package_type: String,
    latest_version: Option<String>,
    /// ISO 8601.
    created_at: String,
}

impl From<PackageRow> for OrganizationPackage {
    fn from(row: PackageRow) -> Self {
        Self {
            id: row.uid,
            name: row.name,
            description: row.description,
            package_type: row.package_type,
            latest_version: row.latest_version,
            created_at: rfc3339(row.created_at),
        }
    }
}

/// Where a package comes from.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageRepository {
    id: String,
    /// `github`, `gitlab`, `bitbucket`, `gitea`, `git`, `composer` or `artifact`
    provider: String,
    /// `owner/repository`
    repo_identifier: String,
}

/// A version of a package.
#[derive(Debug, Serialize, ToSchema)]
pub struct PackageVersion {
    version: String,
    /// As Composer compares it.
    normalized_version: String,
    /// ISO 8601.
    released_at: String,
}

impl From<SlimVersion> for PackageVersion {
    fn from(row: SlimVersion) -> Self {
        Self {
            version: row.pretty.to_string(),
            normalized_version: row.normalized,
            released_at: rfc3339(row.released.at),
        }
    }
}

/// A package of an organization with its versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationPackageDetails {
    id: String,
    name: String,
    description: Option<String>,
    #[serde(rename = "type")]
    package_type: String,
    /// Null for customers, who are not told where packages come from.
    repository: Option<PackageRepository>,
    versions: Vec<PackageVersion>,
    /// ISO 8601.
    created_at: String,
}

impl OrganizationPackageDetails {
    /// A package as `view` is told of it.
    fn new(view: &View, VisiblePackage { package, versions }: VisiblePackage) -> Self {
        let repository = PackageRepository {
            id: package.repository_uid,
            repo_identifier: repo_identifier(&package.repository_url),
            provider: package.provider,
        };
        Self {
            id: package.uid,
            name: package.name,
            description: package.description,
            package_type: package.package_type,
            repository: Some(repository).filter(|_| view.shows_source()),
            versions: versions.into_iter().map(PackageVersion::from).collect(),
            created_at: rfc3339(package.created_at),
        }
    }
}

/// A package that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationPackageData {
    data: OrganizationPackageDetails,
}

/// A page of packages.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
pub struct OrganizationPackagePage {
    data: Vec<OrganizationPackage>,
    meta: PageMeta,
}

/// What narrows a list of packages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrganizationPackagesQuery {
    /// Only those whose name, description or keywords hold every word of this
    search: Option<String>,
}

/// The visible packages, by name.
#[utoipa::path(
    get,
    path = "/{organization}/packages",
    tag = "organizations",
    params(OrganizationPackagesQuery, PageNumber),
    responses(
        (status = 200, description = "A page of them", body = OrganizationPackagePage)
    )
)]
pub async fn list_organization_packages(
    auth: RequestAuth<PackagesRead>,
    query: Result<ListQuery<OrganizationPackagesQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let filter = PackageFilter { search: filter.search.as_deref(), ..PackageFilter::default() };
    let (rows, total) = read::list(auth.app(), &view, filter, Sort::default(), page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(OrganizationPackage::from), total))
}

async fn package_details(auth: RequestAuth<PackagesRead>, key: &str) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let package = read::visible_package(auth.app(), &view, key).await?;
    Ok(ok(&OrganizationPackageData { data: OrganizationPackageDetails::new(&view, package) }))
}

/// One package with its visible versions.
#[utoipa::path(
    get,
    path = "/{organization}/packages/{package}",
    tag = "organizations",
    params(("package" = String, Path, description = "The package's id, or `vendor%2Fname`")),
    responses(
        (status = 200, description = "The package", body = OrganizationPackageData),
        (status = 404, description = "No such package")
    )
)]
pub async fn get_organization_package(
    auth: RequestAuth<PackagesRead>,
    PathParams([package]): PathParams<1>,
) -> Result<Response, Failure> {
    package_details(auth, &package).await
}

/// The same by its name.
#[utoipa::path(
    get,
    path = "/{organization}/packages/{vendor}/{name}",
    tag = "organizations",
    params(
        ("vendor" = String, Path, description = "The vendor"),
        ("name" = String, Path, description = "The package")
    ),
    responses(
        (status = 200, description = "The package", body = OrganizationPackageData),
        (status = 404, description = "No such package")
    )
)]
pub async fn get_organization_package_by_name(
    auth: RequestAuth<PackagesRead>,
    PathParams([vendor, name]): PathParams<2>,
) -> Result<Response, Failure> {
    package_details(auth, &format!("{vendor}/{name}")).await
}
