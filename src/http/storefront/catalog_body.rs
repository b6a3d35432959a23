//! What requests about packages and versions hold, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::abandoned::Abandoned;
use crate::http::kit::extract::update;
use crate::http::kit::moment::Moment;
use crate::registry::kernel::dates::php_date;
use crate::registry::storefront::catalog::PackageSpec;
use crate::registry::storefront::catalog_versions::VersionSpec;
use crate::store::Update;
use crate::store::packages::lists::PackageRow;
use crate::store::storefront::catalog::{CatalogPackage, CatalogVersion};

/// A package as shops see it.
#[derive(Serialize, ToSchema)]
pub struct StorefrontPackageView {
    id: i64,
    name: String,
    description: Option<String>,
    /// 1: composer sees it.
    status: i64,
    created_at: String,
    updated_at: String,
    /// Its id at `/api/packages`.
    uid: String,
    /// Whether it is abandoned, or the package to use instead.
    #[schema(value_type = Value)]
    abandoned: Abandoned,
}

impl From<PackageRow> for StorefrontPackageView {
    fn from(row: PackageRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            description: row.description,
            status: 1,
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            uid: row.uid,
            abandoned: Abandoned::from_stored(row.abandoned),
        }
    }
}

impl From<CatalogPackage> for StorefrontPackageView {
    fn from(row: CatalogPackage) -> Self {
        Self {
            id: row.id,
            name: row.name,
            description: row.description,
            status: i64::from(!row.hidden),
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            uid: row.uid,
            abandoned: Abandoned::from_stored(row.abandoned),
        }
    }
}

/// A request to make or to change a package.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"name": "acme/extension", "description": "Does it all", "status": 1}))]
pub struct StorefrontPackageRequest {
    /// Needed when the package is made; later it cannot change.
    name: Option<String>,
    /// What lists show, whatever composer.json says; null leaves it to composer.json.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    description: Update<String>,
    /// 1 (the default) is shown, 0 is hidden: for everybody but shops it is as if it were not there.
    status: Option<i64>,
    /// Whether it is abandoned, or the package to use instead; null leaves it to composer.json. Composer warns of it.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Value>)]
    abandoned: Update<Abandoned>,
}

impl From<StorefrontPackageRequest> for PackageSpec {
    fn from(request: StorefrontPackageRequest) -> Self {
        Self {
            name: request.name,
            description: request.description,
            status: request.status,
            abandoned: request.abandoned.map(Abandoned::into_stored),
        }
    }
}

/// A version as shops see it.
#[derive(Serialize, ToSchema)]
pub struct StorefrontVersionView {
    id: i64,
    package_id: i64,
    /// The version, as its author wrote it.
    name: String,
    /// The name of its zip: the one that the shop gave it, else its SHA-1 with `.zip`, once there is one.
    filename: Option<String>,
    /// 1 is shown, 0 is hidden.
    status: i64,
    created_at: String,
    updated_at: String,
    /// Whether those have it too whose `updates_until` ended before it was released.
    security_fix: bool,
    /// The date by which it is sold; null until it is shown for the first time, unless that was stated.
    released_at: Option<String>,
    /// Its id at `/api/packages/{id}/versions`.
    uid: String,
    /// Whether it was taken out of the metadata; lock files that name it still work.
    yanked: bool,
}

impl From<CatalogVersion> for StorefrontVersionView {
    fn from(row: CatalogVersion) -> Self {
        Self {
            id: row.id,
            package_id: row.package_id,
            name: row.pretty.into_string(),
            filename: row.filename.or_else(|| row.sha1.map(|sha1| format!("{sha1}.zip"))),
            status: i64::from(!row.hidden),
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            security_fix: row.released.security_fix,
            uid: row.uid,
            yanked: row.yanked,
            released_at: (!row.released_when_shown).then(|| php_date(row.released.at)),
        }
    }
}

/// A request to make or to change a version.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"name": "1.2.0", "status": 1}))]
pub struct StorefrontVersionRequest {
    /// Needed when the version is made; what is published keeps it.
    name: Option<String>,
    /// The SHA-1 or SHA-256 of a zip that the package has, with `.zip`. Any other name is what the shop calls the zip that
    /// it uploads later, and may be left out.
    filename: Option<String>,
    /// 1 (the default) is shown, 0 is hidden: for everybody but shops it is as if it were not there.
    status: Option<i64>,
    /// Whether it is a security fix (by default it is none): those have it too whose `updates_until` ended before it was
    /// released. What else limits their permission goes on to do so.
    security_fix: Option<bool>,
    /// The date by which it is sold, which can be stated as long as nobody could see it, and not for the future. By default,
    /// and for null, it is when the version is shown for the first time.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Moment>)]
    released_at: Update<Moment>,
    /// Whether it is taken out of the metadata, so that nobody comes to require it; whoever has it in a lock file goes on
    /// downloading it.
    yanked: Option<bool>,
}

impl From<StorefrontVersionRequest> for VersionSpec {
    fn from(request: StorefrontVersionRequest) -> Self {
        Self {
            name: request.name,
            filename: request.filename,
            status: request.status,
            security_fix: request.security_fix,
            released_at: request.released_at.map(|Moment(moment)| moment),
            yanked: request.yanked,
        }
    }
}
