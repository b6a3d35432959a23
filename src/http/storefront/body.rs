//! What requests to `/api/storefront` hold, and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::kit::extract::update;
use crate::ports::Millis;
use crate::registry::kernel::dates::{php_date, read_php_date};
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::catalog::{PackageSpec, VersionSpec};
use crate::registry::storefront::consumers::{ConsumerSpec, OnKnownCustomer};
use crate::registry::storefront::coverage::ShownConsumer;
use crate::registry::storefront::entitlements::PermissionSpec;
use crate::store::Update;
use crate::store::access::tokens::TokenRow;
use crate::store::packages::lists::PackageRow;
use crate::store::storefront::catalog::{CatalogPackage, CatalogVersion};
use crate::store::storefront::entitlements::PermissionRow;

/// A request to make or to change a consumer. Each name may also be written without its underscore.
#[derive(Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "email": "one@example.com", "customer_id": "42", "order_id": "1001", "on_known_customer": "return"
}))]
pub struct ConsumerRequest {
    /// Needed when the consumer is made.
    email: Option<String>,
    /// The user name for composer: 16 to 255 visible ASCII characters without a colon; made up when it is left out.
    #[serde(alias = "publickey")]
    public_key: Option<String>,
    /// The password for composer: 16 to 255 visible ASCII characters; made up when it is left out.
    #[serde(alias = "privatekey")]
    private_key: Option<String>,
    /// 1 is enabled, 0 is disabled: its credentials are refused until it is enabled again.
    status: Option<i64>,
    /// The shop's own.
    #[serde(default, deserialize_with = "update", alias = "customerid")]
    #[schema(value_type = Option<String>)]
    customer_id: Update<String>,
    /// The shop's own.
    #[serde(default, deserialize_with = "update", alias = "orderid")]
    #[schema(value_type = Option<String>)]
    order_id: Update<String>,
    /// How many tokens it may have besides its key pair: 0 to 100; null is 100.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    seats: Update<i64>,
    /// For a new consumer alone: what is done when there is one with this `customer_id` already.
    on_known_customer: Option<OnKnownCustomerName>,
}

impl ConsumerRequest {
    /// What is done when there is a consumer with its `customer_id` already; `None` when it does not say.
    pub fn on_known_customer(&self) -> Option<OnKnownCustomer> {
        self.on_known_customer.map(OnKnownCustomer::from)
    }
}

/// What is done when a customer has a consumer.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnKnownCustomerName {
    /// Another one is made, as when nothing is said.
    Create,
    /// The answer is the one that there is (200), the oldest of several, unchanged.
    Return,
    /// The request is refused (409) with the id of the one that there is.
    Refuse,
}

impl From<OnKnownCustomerName> for OnKnownCustomer {
    fn from(name: OnKnownCustomerName) -> Self {
        match name {
            OnKnownCustomerName::Create => Self::Create,
            OnKnownCustomerName::Return => Self::Return,
            OnKnownCustomerName::Refuse => Self::Refuse,
        }
    }
}

impl From<ConsumerRequest> for ConsumerSpec {
    fn from(request: ConsumerRequest) -> Self {
        Self {
            email: request.email,
            public_key: request.public_key,
            private_key: request.private_key,
            status: request.status,
            customer_id: request.customer_id,
            order_id: request.order_id,
            seats: request.seats,
        }
    }
}

/// A customer with the credentials that composer takes.
#[derive(Serialize, ToSchema)]
pub struct ConsumerView {
    id: i64,
    email: String,
    /// The user name for composer.
    public_key: String,
    /// The password for composer; null for callers without the scope `storefront:keys`, and for those who do not see all that
    /// the consumer was granted.
    private_key: Option<String>,
    /// `YYYY-MM-DD HH:MM:SS`, in UTC, like every time here.
    created_at: String,
    updated_at: String,
    /// 1 is enabled, 0 is disabled.
    status: i64,
    customer_id: Option<String>,
    order_id: Option<String>,
    /// How many tokens it may have besides its key pair; null is 100.
    seats: Option<i64>,
}

impl From<ShownConsumer> for ConsumerView {
    fn from(ShownConsumer { row, private_key }: ShownConsumer) -> Self {
        Self {
            id: row.id,
            email: row.email,
            public_key: row.public_key,
            private_key,
            created_at: php_date(row.created_at),
            updated_at: php_date(row.updated_at),
            status: i64::from(row.is_enabled),
            customer_id: row.customer_id,
            order_id: row.order_id,
            seats: row.seats,
        }
    }
}

/// A request to make another consumer part of one.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"consumer_id": 2}))]
pub struct MergeRequest {
    /// The consumer that is part of the one in the address afterwards; it may be written without its underscore.
    #[serde(alias = "consumerid")]
    pub consumer_id: i64,
}

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
}

impl From<StorefrontPackageRequest> for PackageSpec {
    fn from(request: StorefrontPackageRequest) -> Self {
        Self { name: request.name, description: request.description, status: request.status }
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
}

impl From<StorefrontVersionRequest> for VersionSpec {
    fn from(request: StorefrontVersionRequest) -> Self {
        Self {
            name: request.name,
            filename: request.filename,
            status: request.status,
            security_fix: request.security_fix,
        }
    }
}

/// A request to make a token of a consumer.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"description": "build server"}))]
pub struct ConsumerTokenRequest {
    /// Who it is for.
    pub description: String,
}

/// A token of a consumer.
#[derive(Serialize, ToSchema)]
pub struct ConsumerTokenView {
    id: String,
    description: String,
    /// The token itself: the password for composer, with any user name. Only in the answer to its making.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    created_at: String,
    /// Up to six minutes behind.
    last_used_at: Option<String>,
}

impl ConsumerTokenView {
    /// A token, with its text when it was just made.
    pub fn new(row: TokenRow, token: Option<String>) -> Self {
        Self {
            id: row.uid,
            description: row.description,
            token,
            created_at: php_date(row.created_at),
            last_used_at: row.last_used_at.map(php_date),
        }
    }
}

/// What a shop shows its customer, to be copied.
#[derive(Serialize, ToSchema)]
pub struct InstructionsView {
    /// For `auth.json`; null for callers who are not shown the consumer's private key.
    #[schema(value_type = Option<Object>, example = json!({"http-basic": {"registry.example.com": {"username": "zPMm…", "password": "XzVT…"}}}))]
    pub auth_json: Option<Value>,
    /// For `composer.json`.
    #[schema(value_type = Vec<Object>, example = json!([{"type": "composer", "url": "https://registry.example.com"}]))]
    pub repositories: Value,
    /// For `composer.json`: package → constraint, for just what was bought.
    #[schema(value_type = Object, example = json!({"acme/extension": "5.*"}))]
    pub require: Value,
    /// The same as commands.
    pub commands: Vec<String>,
}
