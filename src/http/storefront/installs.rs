//! Who installed which version of a package, and since when.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::PathParams;
use crate::http::kit::keyset::{After, KeysetQuery};
use crate::http::kit::paging::LimitOffset;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::StorefrontRead;
use crate::http::storefront::id_of;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::installs::{InstalledVersion, Installer, MAX_INSTALLERS, of_package};

/// Which installs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InstallsQuery {
    /// Only those of this version
    version: Option<String>,
}

/// A version that a consumer installed.
#[derive(Serialize, ToSchema)]
pub struct InstalledVersionView {
    version_id: i64,
    version: String,
    /// How often composer reported an install.
    downloads: i64,
    /// `YYYY-MM-DD HH:MM:SS`, in UTC: since when it has it.
    first_at: String,
    last_at: String,
}

impl From<InstalledVersion> for InstalledVersionView {
    fn from(version: InstalledVersion) -> Self {
        Self {
            version_id: version.id,
            version: version.pretty.into_string(),
            downloads: version.count,
            first_at: php_date(version.first_at),
            last_at: php_date(version.last_at),
        }
    }
}

/// A consumer, and what it installed of the package.
#[derive(Serialize, ToSchema)]
pub struct InstallerView {
    consumer_id: i64,
    email: String,
    customer_id: Option<String>,
    versions: Vec<InstalledVersionView>,
}

impl From<Installer> for InstallerView {
    fn from(installer: Installer) -> Self {
        Self {
            consumer_id: installer.consumer_id,
            email: installer.email,
            customer_id: installer.customer_id,
            versions: installer.versions.into_iter().map(InstalledVersionView::from).collect(),
        }
    }
}

/// The consumers that installed a version of a package, by their ids, up to 1000 at a time; `after` is the id of a consumer. A page
/// ends earlier when there are more than 10,000 versions on it.
#[utoipa::path(
    get,
    path = "/packages/{id}/installs",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The package's id"),
        InstallsQuery,
        LimitOffset,
        After
    ),
    responses(
        (status = 200, description = "Consumers; `X-Total-Count` says how many there are", body = Vec<InstallerView>),
        (status = 404, description = "No such package")
    )
)]
pub async fn list_installs(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
    query: Result<KeysetQuery<InstallsQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let KeysetQuery { filter, page } = query?;
    let page = page.resized(MAX_INSTALLERS, MAX_INSTALLERS)?;
    let package = id_of(&id, "Package")?;
    let found = of_package(auth.app(), &view, package, filter.version.as_deref(), page.rows()).await?;
    Ok(page.respond(found, |installer| installer.consumer_id, InstallerView::from))
}
