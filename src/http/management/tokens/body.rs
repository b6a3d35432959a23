//! What requests to `/api/tokens` hold, and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::update;
use crate::ports::Millis;
use crate::registry::access::scope::Permissions;
use crate::registry::identity::tokens::spec::{GrantSpec, TokenSpec, prefixes_of};
use crate::registry::identity::tokens::{Revoked, ShownToken};
use crate::registry::kernel::failure::Failure;
use crate::store::Update;
use crate::store::access::tokens::{GrantRow, TokenFilter, TokenRow, TokenStatus};

/// What a token may do, in short.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PermissionName {
    /// Read metadata and download.
    ReadOnly,
    /// Publish and manage repositories too.
    Write,
}

impl From<PermissionName> for Permissions {
    fn from(name: PermissionName) -> Self {
        match name {
            PermissionName::ReadOnly => Self::ReadOnly,
            PermissionName::Write => Self::Write,
        }
    }
}

/// Packages, and which versions of them.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"package": "acme/extension", "constraint": "5.*", "updates_until": 1_893_456_000}))]
pub struct GrantRequest {
    /// The name of one package. Either it or `pattern` is needed.
    package: Option<String>,
    /// `acme/*`: every package whose name matches.
    pattern: Option<String>,
    /// As composer writes it: `5.*`, `^2.1 || ^3.0`; absent is every version.
    constraint: Option<String>,
    /// Unix seconds: only versions that were released up to then, for as long as the grant lasts.
    updates_until: Option<i64>,
    /// `stable`, `RC`, `beta`, `alpha` or `dev` (the default, which leaves none out).
    minimum_stability: Option<String>,
    /// Unix seconds at which the grant ends.
    expires_at: Option<i64>,
}

impl From<GrantRequest> for GrantSpec {
    fn from(request: GrantRequest) -> Self {
        Self {
            package: request.package,
            pattern: request.pattern,
            constraint: request.constraint,
            updates_until: request.updates_until.map(Millis::from_seconds),
            minimum_stability: request.minimum_stability,
            expires_at: request.expires_at.map(Millis::from_seconds),
        }
    }
}

/// A request to make or to change a token.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "description": "Customer token", "permissions": "readonly", "expires_at": 1_893_456_000,
    "allowed_package_prefixes": ["vendor/"], "metadata": {"order_id": "1001"}
}))]
pub struct TokenRequest {
    /// What it is for; needed when the token is made.
    description: Option<String>,
    /// `readonly` (the default) or `write`: short for `packages:read`, and for `packages:*` and `repositories:*`.
    permissions: Option<PermissionName>,
    /// What it may do, one by one, in place of `permissions`; `packages:*` is all of an area.
    #[schema(example = json!(["packages:read", "tokens:*"]))]
    scopes: Option<Vec<String>>,
    /// Unix seconds; null is never.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    expires_at: Update<i64>,
    /// The packages it sees have names that start with one of these; null is every package.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_package_prefixes: Update<Vec<String>>,
    /// What it sees, one by one, in place of `allowed_package_prefixes`; an empty list is no package.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<GrantRequest>>)]
    grants: Update<Vec<GrantRequest>>,
    /// Requests an hour; null is the default, 1000 for `readonly` and 500 for `write`.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    rate_limit_max: Update<i64>,
    /// Anything of the caller's own, up to 16 kB.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Object>)]
    metadata: Update<Map<String, Value>>,
}

impl From<TokenRequest> for TokenSpec {
    fn from(request: TokenRequest) -> Self {
        Self {
            description: request.description,
            permissions: request.permissions.map(Into::into),
            scopes: request.scopes,
            expires_at: request.expires_at.map(Millis::from_seconds),
            allowed_package_prefixes: request.allowed_package_prefixes,
            grants: request.grants.map(|grants| grants.into_iter().map(Into::into).collect()),
            rate_limit_max: request.rate_limit_max,
            metadata: request.metadata,
            prefix: None,
        }
    }
}

/// Packages, and which versions of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantView {
    /// The name of the package, if the grant is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<String>,
    /// The pattern of names, if the grant is for every package whose name matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    /// Which versions, as composer writes it.
    constraint: String,
    /// Unix seconds: only versions that were released up to then.
    updates_until: Option<i64>,
    minimum_stability: String,
    /// Unix seconds at which the grant ends.
    expires_at: Option<i64>,
}

impl From<GrantRow> for GrantView {
    fn from(row: GrantRow) -> Self {
        let is_pattern = row.target.contains('*');
        Self {
            package: Some(&row.target).filter(|_| !is_pattern).cloned(),
            pattern: Some(row.target).filter(|_| is_pattern),
            constraint: row.version_constraint,
            updates_until: row.updates_until.map(Millis::seconds),
            minimum_stability: row.minimum_stability,
            expires_at: row.expires_at.map(Millis::seconds),
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    id: String,
    description: String,
    permissions: PermissionName,
    /// What it may do, one by one.
    scopes: Vec<String>,
    /// Unix seconds.
    expires_at: Option<i64>,
    /// Null when it sees every package; else the beginnings of those names that it sees with all versions and for good.
    allowed_package_prefixes: Option<Vec<String>>,
    /// What it sees, all of it.
    grants: Vec<GrantView>,
    /// Requests an hour, when it has a limit of its own.
    rate_limit_max: Option<i64>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; up to six minutes behind.
    last_used_at: Option<i64>,
    /// Unix seconds; only on one that is not valid any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<i64>,
}

impl From<TokenRow> for TokenView {
    fn from(row: TokenRow) -> Self {
        let permissions = match Permissions::of(&row.scopes) {
            Permissions::ReadOnly => PermissionName::ReadOnly,
            Permissions::Write => PermissionName::Write,
        };
        let prefixes = prefixes_of(&row.grants).map(|list| list.into_iter().map(str::to_owned).collect());
        Self {
            id: row.uid,
            description: row.description,
            permissions,
            scopes: row.scopes,
            expires_at: row.expires_at.map(Millis::seconds),
            allowed_package_prefixes: prefixes,
            grants: row.grants.into_iter().map(GrantView::from).collect(),
            rate_limit_max: row.rate_limit_max,
            metadata: row.metadata,
            created_at: row.created_at.seconds(),
            last_used_at: row.last_used_at.map(Millis::seconds),
            revoked_at: row.revoked_at.map(Millis::seconds),
        }
    }
}

/// A token that has just been made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// The token itself, which nothing else ever shows. A repetition with an `Idempotency-Key` shows it while it is valid, and
    /// null after a rotation.
    token: Option<String>,
}

impl From<ShownToken> for NewTokenView {
    fn from(shown: ShownToken) -> Self {
        Self { token: shown.secret, view: shown.row.into() }
    }
}

/// A token with what it has done lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenDetails {
    #[serde(flatten)]
    view: TokenView,
    /// Requests that count in this clock hour, up to a minute behind; null if the count is not available just now.
    requests_this_hour: Option<i64>,
}

impl TokenDetails {
    /// A token that made as many requests.
    pub fn new(row: TokenRow, requests_this_hour: Option<i64>) -> Self {
        Self { view: row.into(), requests_this_hour }
    }
}

/// A request to replace a token's secret.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"grace_seconds": 86_400}))]
pub struct RotationRequest {
    /// For how long the old secret works yet: 0 (the default) to 604800, a week.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub grace_seconds: i64,
}

/// A token whose secret has just been replaced.
#[derive(Debug, Serialize, ToSchema)]
pub struct RotatedTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// The new secret, which nothing else ever shows. A repetition with an `Idempotency-Key` shows it while it is valid, and
    /// null after another rotation.
    token: Option<String>,
    /// Unix seconds until which the old secret works; null when it has ended.
    previous_valid_until: Option<i64>,
}

impl From<ShownToken> for RotatedTokenView {
    fn from(shown: ShownToken) -> Self {
        Self {
            token: shown.secret,
            view: shown.row.into(),
            previous_valid_until: shown.previous_until.map(Millis::seconds),
        }
    }
}

/// What revoking by a filter did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"revoked": 2, "ids": ["019b…", "019c…"], "remaining": 0}))]
pub struct RevokedView {
    /// How many tokens were revoked.
    revoked: usize,
    /// Their ids.
    ids: Vec<String>,
    /// How many there still are; ask again until there are none.
    remaining: i64,
}

impl From<Revoked> for RevokedView {
    fn from(revoked: Revoked) -> Self {
        Self { revoked: revoked.uids.len(), ids: revoked.uids, remaining: revoked.remaining }
    }
}

/// Which tokens, in which order, and which part of them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// Only those with this `customer_id` in their metadata
    customer_id: Option<String>,
    /// Only those with this `order_id` in their metadata
    order_id: Option<String>,
    /// Only those with this `customer_email` in their metadata
    customer_email: Option<String>,
    /// Only those whose description holds this
    description: Option<String>,
    /// Only those that read, or only those that write
    permissions: Option<PermissionName>,
    /// Only those that have expired, or only those that have not
    expired: Option<bool>,
    /// `true`: those that were revoked, in place of all others
    revoked: Option<bool>,
    /// `created_at`, `expires_at`, `last_used_at` or `description`, with a `-` in front for the other way round
    pub sort: Option<String>,
}

impl TokensQuery {
    /// The filter that it is.
    pub fn store_filter(&self) -> Result<TokenFilter<'_>, Failure> {
        let filter = TokenFilter {
            customer_id: self.customer_id.as_deref(),
            order_id: self.order_id.as_deref(),
            customer_email: self.customer_email.as_deref(),
            description: self.description.as_deref(),
            reads_only: self.permissions.map(|name| matches!(name, PermissionName::ReadOnly)),
            has_expired: self.expired,
            standing: if self.revoked == Some(true) { TokenStatus::Revoked } else { TokenStatus::Live },
            only_granted: None,
        };
        without_empty_filters(filter)
    }
}

/// An empty filter would mean no token, or every one; neither is what somebody wants who left it empty.
fn without_empty_filters(filter: TokenFilter<'_>) -> Result<TokenFilter<'_>, Failure> {
    let given = [
        ("customer_id", filter.customer_id),
        ("order_id", filter.order_id),
        ("customer_email", filter.customer_email),
        ("description", filter.description),
    ];
    match given.into_iter().find(|(_, value)| *value == Some("")) {
        Some((field, _)) => Err(Failure::invalid_field(field, "must not be empty; leave it out for all tokens")),
        None => Ok(filter),
    }
}

/// Which tokens are to be revoked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RevocationQuery {
    /// Those with this `customer_id` in their metadata
    customer_id: Option<String>,
    /// Those with this `order_id` in their metadata
    order_id: Option<String>,
    /// Those with this `customer_email` in their metadata
    customer_email: Option<String>,
    /// Those whose description holds this
    description: Option<String>,
    /// `true`: those that have expired
    expired: Option<bool>,
    /// Of these, only those that read or only those that write; needs another filter beside it
    permissions: Option<PermissionName>,
}

impl RevocationQuery {
    /// The filter that it is.
    pub fn store_filter(&self) -> Result<TokenFilter<'_>, Failure> {
        let filter = TokenFilter {
            customer_id: self.customer_id.as_deref(),
            order_id: self.order_id.as_deref(),
            customer_email: self.customer_email.as_deref(),
            description: self.description.as_deref(),
            reads_only: self.permissions.map(|name| matches!(name, PermissionName::ReadOnly)),
            has_expired: self.expired,
            standing: TokenStatus::Live,
            only_granted: None,
        };
        let names = [filter.customer_id, filter.order_id, filter.customer_email, filter.description];
        if names.iter().all(Option::is_none) && filter.has_expired != Some(true) {
            return Err(Failure::invalid(
                "Say which tokens: `customer_id`, `order_id`, `customer_email`, `description` or `expired=true`.",
            ));
        }
        without_empty_filters(filter)
    }
}
