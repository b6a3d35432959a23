//! What requests about consumers and their tokens hold, and what is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::update;
use crate::http::storefront::permission_body::{PermissionRequest, PermissionView, into_specs};
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_lists::ListedConsumer;
use crate::registry::storefront::consumers::{ConsumerSpec, OnKnownCustomer};
use crate::registry::storefront::coverage::ShownConsumer;
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
    /// For a new consumer alone: what is done when there is one with this `customer_id` already.
    on_known_customer: Option<OnKnownCustomerName>,
    /// For a new consumer, and for that of a customer: what is added to its permissions in the same step. A consumer that there is
    /// gets them as by `POST …/entitlements`.
    #[schema(nullable = false)]
    entitlements: Option<Vec<PermissionRequest>>,
}

impl ConsumerRequest {
    /// Takes the permissions out that it names.
    pub fn take_entitlements(&mut self) -> Result<Option<Vec<PermissionSpec>>, Failure> {
        self.entitlements.take().map(|requests| into_specs(requests, "entitlements")).transpose()
    }

    /// Refuses what is said of new consumers alone.
    pub fn refuse_fields_of_new(&self) -> Result<(), Failure> {
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
            entitlements: None,
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
    /// The token itself: the password for composer, with any user name. Only in the answer to its making, and in a repetition
    /// of that with an `Idempotency-Key` while it is valid.
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
