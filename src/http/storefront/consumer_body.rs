//! What requests about consumers and their tokens hold, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::update;
use crate::http::kit::moment::Moment;
use crate::http::storefront::permission_body::{PermissionRequest, PermissionView, into_specs};
use crate::registry::identity::tokens::ShownToken;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_imports::ImportLine;
use crate::registry::storefront::consumer_lists::ListedConsumer;
use crate::registry::storefront::consumer_seats::ExcessTokens;
use crate::registry::storefront::consumer_tokens::ConsumerTokenSpec;
use crate::registry::storefront::consumers::{ConsumerSpec, OnKnownCustomer};
use crate::registry::storefront::coverage::ShownConsumer;
use crate::registry::storefront::key_rotation::RotatedConsumer;
use crate::registry::storefront::permission_spec::PermissionSpec;
use crate::registry::storefront::permission_warnings::Warning;
use crate::store::Update;
use crate::store::access::tokens::TokenRow;
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
    /// Requests an hour of each of its credentials; null is the default, 1000.
    #[serde(default, deserialize_with = "update", alias = "ratelimitmax")]
    #[schema(value_type = Option<i64>)]
    rate_limit_max: Update<i64>,
    /// For a change of `seats` alone: whether the least recently used tokens are revoked when there are more than seats. Else the
    /// change is refused with a list of them.
    revoke: Option<bool>,
    /// For an import alone: when it was made elsewhere, with its permissions.
    #[schema(nullable = false)]
    created_at: Option<Moment>,
    /// For a new consumer alone: what is done when there is one with this `customer_id` already.
    on_known_customer: Option<OnKnownCustomerName>,
    /// For a new consumer, and for that of a customer: what is added to its permissions in the same step. A consumer that there is
    /// gets them as by `POST …/entitlements`.
    #[schema(nullable = false)]
    entitlements: Option<Vec<PermissionRequest>>,
}

impl ConsumerRequest {
    /// As an import takes it.
    pub fn into_line(mut self) -> Result<ImportLine, Failure> {
        if self.on_known_customer.is_some() {
            return Err(Failure::invalid_field("on_known_customer", "must be left out here"));
        }
        if self.revoke.is_some() {
            return Err(Failure::invalid_field("revoke", "is for a change of `seats` alone"));
        }
        let created_at = self.created_at.take().map(|Moment(moment)| moment);
        let entitlements = self.take_entitlements().unwrap_or_default();
        Ok(ImportLine { consumer: self.into(), entitlements, created_at })
    }

    /// Refuses what is said of an import alone.
    fn refuse_fields_of_imports(&self) -> Result<(), Failure> {
        match self.created_at {
            Some(_) => Err(Failure::invalid_field("created_at", "is for an import alone")),
            None => Ok(()),
        }
    }

    /// Takes the permissions out that it names.
    pub fn take_entitlements(&mut self) -> Option<Vec<PermissionSpec>> {
        self.entitlements.take().map(into_specs)
    }

    /// Refuses what is said of new consumers alone.
    pub fn refuse_fields_of_new(&self) -> Result<(), Failure> {
        self.refuse_fields_of_imports()?;
        if self.on_known_customer.is_some() {
            return Err(Failure::invalid_field("on_known_customer", "is for a new consumer alone"));
        }
        if self.entitlements.is_some() {
            let detail = "are changed with PUT or POST /consumers/{id}/entitlements";
            return Err(Failure::invalid_field("entitlements", detail));
        }
        Ok(())
    }

    /// What is done when there is a consumer with its `customer_id` already; `None` when it does not say.
    pub fn on_known_customer(&self) -> Option<OnKnownCustomer> {
        self.on_known_customer.map(OnKnownCustomer::from)
    }

    /// Refuses what is said of changes alone.
    pub fn refuse_fields_of_changes(&self) -> Result<(), Failure> {
        self.refuse_fields_of_imports()?;
        if self.revoke.is_some() {
            return Err(Failure::invalid_field("revoke", "is for a change of `seats` alone"));
        }
        Ok(())
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
            rate_limit_max: request.rate_limit_max,
            excess: if request.revoke == Some(true) { ExcessTokens::Revoke } else { ExcessTokens::Refuse },
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
    /// Requests an hour of each of its credentials; null is the default, 1000.
    rate_limit_max: Option<i64>,
    /// Its permissions, the oldest first, where the request names or asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlements: Option<Vec<PermissionView>>,
}

impl ConsumerView {
    /// The same with permissions, if there are any to show, and what is to be said of them.
    pub fn with_entitlements(self, permissions: Option<Vec<PermissionRow>>, warnings: &[Warning]) -> Self {
        let warned = |row| PermissionView::warned(row, warnings);
        Self { entitlements: permissions.map(|rows| rows.into_iter().map(warned).collect()), ..self }
    }
}

impl From<ListedConsumer> for ConsumerView {
    fn from(ListedConsumer { shown, permissions }: ListedConsumer) -> Self {
        Self::from(shown).with_entitlements(permissions, &[])
    }
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
            rate_limit_max: row.rate_limit_max,
            entitlements: None,
        }
    }
}

/// A consumer whose keys have just been replaced.
#[derive(Serialize, ToSchema)]
pub struct RotatedConsumerView {
    #[serde(flatten)]
    view: ConsumerView,
    /// Until when the keys before work; null when they have ended.
    previous_valid_until: Option<String>,
}

impl From<RotatedConsumer> for RotatedConsumerView {
    fn from(rotated: RotatedConsumer) -> Self {
        Self { view: rotated.shown.into(), previous_valid_until: rotated.previous_until.map(php_date) }
    }
}

/// A request to replace the keys of a consumer, or a token of it.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"grace_seconds": 86_400}))]
pub struct KeyRotationRequest {
    /// For how long the old ones work yet: 0 (the default) to 604800, a week.
    #[serde(default)]
    #[schema(value_type = Option<i64>)]
    pub grace_seconds: i64,
}

/// A request to make another consumer part of one.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"consumer_id": 2}))]
pub struct MergeRequest {
    /// The consumer that is part of the one in the address afterwards; it may be written without its underscore.
    #[serde(alias = "consumerid")]
    pub consumer_id: i64,
}

/// A request to make or to change a token of a consumer.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"description": "build server"}))]
pub struct ConsumerTokenRequest {
    /// Who it is for; needed when it is made.
    description: Option<String>,
    /// When it ends; null is never.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Moment>)]
    expires_at: Update<Moment>,
}

impl From<ConsumerTokenRequest> for ConsumerTokenSpec {
    fn from(request: ConsumerTokenRequest) -> Self {
        Self { description: request.description, expires_at: request.expires_at.map(|Moment(moment)| moment) }
    }
}

/// A token of a consumer.
#[derive(Serialize, ToSchema)]
pub struct ConsumerTokenView {
    id: String,
    description: String,
    /// The token itself: the password for composer, with any user name. Only in the answer to its making, and in a repetition
    /// of that with an `Idempotency-Key` while it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    created_at: String,
    /// Up to six minutes behind.
    last_used_at: Option<String>,
    /// Installs that composer reported with it, whatever its secret was then.
    downloads: i64,
    /// When the last of them was.
    last_download_at: Option<String>,
    /// When it ends; null is never.
    expires_at: Option<String>,
    /// Until when the token works that this one has replaced, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_valid_until: Option<String>,
}

impl From<TokenRow> for ConsumerTokenView {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.uid,
            description: row.description,
            token: None,
            created_at: php_date(row.created_at),
            last_used_at: row.last_used_at.map(php_date),
            downloads: row.downloads,
            last_download_at: row.last_download_at.map(php_date),
            expires_at: row.expires_at.map(php_date),
            previous_valid_until: None,
        }
    }
}

impl From<ShownToken> for ConsumerTokenView {
    fn from(shown: ShownToken) -> Self {
        let previous_valid_until = shown.previous_until.map(php_date);
        Self { token: shown.secret, previous_valid_until, ..shown.row.into() }
    }
}
