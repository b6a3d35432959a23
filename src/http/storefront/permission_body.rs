//! What requests about permissions hold, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::update;
use crate::ports::Millis;
use crate::registry::kernel::dates::{php_date, read_php_date};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::entitlements::PermissionSpec;
use crate::store::Update;
use crate::store::storefront::entitlements::PermissionRow;

/// A request to give or to change a permission. Each name may also be written without its underscore.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"consumer_id": 1, "package_id": 2, "version": "5.*"}))]
pub struct PermissionRequest {
    /// Needed when one permission is given.
    #[serde(alias = "consumerid")]
    consumer_id: Option<i64>,
    /// The package. Either it or `package` is needed when the permission is given.
    #[serde(alias = "packageid")]
    package_id: Option<i64>,
    /// The name of the package, or a pattern of names: `acme/*`, `*`.
    package: Option<String>,
    /// As composer writes it: `5.*`, `^2.1 || ^3.0`; `*` is every version. Needed when the permission is given.
    version: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS` in UTC: when it ends; null is never.
    #[serde(default, deserialize_with = "update", alias = "expiresat")]
    #[schema(value_type = Option<String>)]
    expires_at: Update<String>,
    /// `YYYY-MM-DD HH:MM:SS` in UTC: only versions that were released up to then; null is all.
    #[serde(default, deserialize_with = "update", alias = "updatesuntil")]
    #[schema(value_type = Option<String>)]
    updates_until: Update<String>,
    /// `stable`, `RC`, `beta`, `alpha` or `dev` (the default, which leaves none out).
    #[serde(alias = "minimumstability")]
    minimum_stability: Option<String>,
}

impl PermissionRequest {
    /// As the use case takes it; `path` is where it is in the request.
    pub fn into_spec(self, path: &str) -> Result<PermissionSpec, Failure> {
        Ok(PermissionSpec {
            consumer_id: self.consumer_id,
            package_id: self.package_id,
            package: self.package,
            version: self.version,
            expires_at: parse_moment(path, "expires_at", self.expires_at)?,
            updates_until: parse_moment(path, "updates_until", self.updates_until)?,
            minimum_stability: self.minimum_stability,
        })
    }
}

fn parse_moment(path: &str, field: &str, text: Update<String>) -> Result<Update<Millis>, Failure> {
    let Update::Set(Some(text)) = text else { return Ok(text.map(|_| Millis(0))) };
    let wrong = || Failure::invalid_field(&format!("{path}{field}"), "must be written `YYYY-MM-DD HH:MM:SS`, in UTC");
    Ok(Update::Set(Some(read_php_date(&text).ok_or_else(wrong)?)))
}

/// What a consumer may install.
#[derive(Serialize, ToSchema)]
pub struct PermissionView {
    id: i64,
    consumer_id: i64,
    /// Null for a pattern, and while there is no package of that name.
    package_id: Option<i64>,
    /// Which versions, as composer writes it.
    version: String,
    created_at: String,
    updated_at: String,
    /// The package's name, or a pattern of names.
    package: String,
    /// When it ends.
    expires_at: Option<String>,
    /// Only versions that were released up to then.
    updates_until: Option<String>,
    minimum_stability: String,
}

impl From<PermissionRow> for PermissionView {
    fn from(row: PermissionRow) -> Self {
        Self {
            id: row.id,
            consumer_id: row.consumer_id,
            package_id: row.package_id,
            version: row.grant.version_constraint,
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            package: row.grant.target,
            expires_at: row.grant.expires_at.map(php_date),
            updates_until: row.grant.updates_until.map(php_date),
            minimum_stability: row.grant.minimum_stability,
        }
    }
}
