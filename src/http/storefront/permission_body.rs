//! What requests about permissions hold, and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::update;
use crate::ports::Millis;
use crate::registry::kernel::dates::{php_date, read_php_date};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::permission_spec::PermissionSpec;
use crate::registry::storefront::permission_warnings::Warning;
use crate::store::Update;
use crate::store::storefront::entitlements::{Entitlement, PermissionRow};

/// A request to give or to change a permission. Each name may also be written without its underscore.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({"consumer_id": 1, "package_id": 2, "version": "5.*", "order_id": "1001"}))]
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
    /// `stable` (the default of a new permission), `RC`, `beta`, `alpha` or `dev`, which leaves none out.
    #[serde(alias = "minimumstability")]
    minimum_stability: Option<String>,
    /// The shop's own id of the order that it was bought with, by which a refund or a renewal finds it.
    #[serde(default, deserialize_with = "update", alias = "orderid")]
    #[schema(value_type = Option<String>)]
    order_id: Update<String>,
    /// The shop's own JSON object, of 1,000 bytes at most.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Object>)]
    metadata: Update<Map<String, Value>>,
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
            order_id: self.order_id,
            metadata: self.metadata,
        })
    }
}

/// The moment that a field of a change names; `path` is where it is in the request.
pub fn parse_moment(path: &str, field: &str, text: Update<String>) -> Result<Update<Millis>, Failure> {
    let Update::Set(Some(text)) = text else { return Ok(text.map(|_| Millis(0))) };
    Ok(Update::Set(Some(moment(&format!("{path}{field}"), &text)?)))
}

/// The moment that a field names.
pub fn moment(field: &str, text: &str) -> Result<Millis, Failure> {
    let wrong = || Failure::invalid_field(field, "must be written `YYYY-MM-DD HH:MM:SS`, in UTC");
    read_php_date(text).ok_or_else(wrong)
}

/// As the use cases take the permissions of a list, which stands at `path` in the request.
pub fn into_specs(requests: Vec<PermissionRequest>, path: &str) -> Result<Vec<PermissionSpec>, Failure> {
    let specs = requests.into_iter().enumerate();
    specs.map(|(index, request)| request.into_spec(&format!("{path}[{index}]."))).collect()
}

/// Whether a request is refused that is warned of something.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StrictParam {
    /// 1: refuse (400) what is otherwise answered with `warnings`: a package that is not there or has no version that the permission
    /// lets through
    strict: Option<i64>,
}

impl StrictParam {
    /// The parameter of a query that has others too.
    pub fn new(strict: Option<i64>) -> Self {
        Self { strict }
    }

    /// Whether it is.
    pub fn is_strict(self) -> Result<bool, Failure> {
        match self.strict {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(_) => Err(Failure::invalid_field("strict", "must be 1 or 0")),
        }
    }
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
    /// The shop's own id of the order that it was bought with.
    order_id: Option<String>,
    /// The shop's own.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// In the answer to a change: why nobody can install anything by it, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

impl PermissionView {
    /// A permission in the answer to a request that is warned of something.
    pub fn warned(row: PermissionRow, warnings: &[Warning]) -> Self {
        let texts = Warning::texts_of(warnings, row.grant());
        Self { warnings: Some(texts), ..Self::from(row) }
    }
}

impl From<PermissionRow> for PermissionView {
    fn from(row: PermissionRow) -> Self {
        let Entitlement { grant, order_id, metadata } = row.entitlement;
        Self {
            id: row.id,
            consumer_id: row.consumer_id,
            package_id: row.package_id,
            version: grant.version_constraint,
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            package: grant.target,
            expires_at: grant.expires_at.map(php_date),
            updates_until: grant.updates_until.map(php_date),
            minimum_stability: grant.minimum_stability,
            order_id,
            metadata: metadata.and_then(|text| serde_json::from_str(&text).ok()),
            warnings: None,
        }
    }
}
