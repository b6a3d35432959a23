//! Webhooks: where a shop is notified of events, and the log of deliveries.
//!
//! Events are about every package, so only a caller that sees everything may read or change webhooks.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::kit::extract::{JsonBody, PathParams, update};
use crate::http::kit::idempotency::{IdempotencyHeader, IdempotentJson, answered};
use crate::http::kit::paging::{ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite, Unlimited};
use crate::http::kit::response::{no_content, ok};
use crate::http::storefront::id_of;
use crate::json::parse;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::webhooks::{self, CreatedWebhook, WebhookSpec};
use crate::store::Update;
use crate::store::storefront::deliveries::DeliveryRow;
use crate::store::storefront::webhooks::WebhookRow;

/// A request to make or to change a webhook.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"url": "https://shop.example.com/hooks", "events": ["permission.expired"]}))]
pub struct WebhookRequest {
    /// The URL that is notified, by POST: https, without a query. Needed when the webhook is made.
    url: Option<String>,
    /// `version.published`, `version.withdrawn`, `tag.moved`, `download.first`, `permission.expiring_soon`, `permission.expired`,
    /// `updates.ending_soon`, `updates.ended`, `consumer.disabled`, `key.unusual`, `repository.failed`. Needed when the webhook is
    /// made.
    events: Option<Vec<String>>,
    /// Of which packages it is notified: up to 100 names, or beginnings of names with a `*` behind them, like `acme/*`. Null is all.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    packages: Update<Vec<String>>,
    /// Of versions at least as stable it is notified: `stable`, `RC`, `beta`, `alpha` or `dev`. Null is all but `dev`.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    stability: Update<String>,
    /// How many days before an end it is notified of that: 1 to 366, 14 by default.
    lead_days: Option<i64>,
    /// What signs: 16 to 255 visible ASCII characters; made up when the webhook is made without.
    secret: Option<String>,
    /// 1 is enabled, 0 is disabled: nothing is sent, and deliveries that are pending wait.
    status: Option<i64>,
}

impl From<WebhookRequest> for WebhookSpec {
    fn from(request: WebhookRequest) -> Self {
        Self {
            url: request.url,
            events: request.events,
            packages: request.packages,
            stability: request.stability,
            lead_days: request.lead_days,
            secret: request.secret,
            status: request.status,
        }
    }
}

/// A webhook.
#[derive(Serialize, ToSchema)]
pub struct WebhookView {
    id: String,
    url: String,
    #[schema(value_type = Vec<String>)]
    events: Value,
    /// Of which packages it is notified; null is all.
    #[schema(value_type = Option<Vec<String>>)]
    packages: Option<Vec<Value>>,
    /// Of versions at least as stable it is notified; null is all but `dev`.
    stability: Option<String>,
    /// How many days before an end it is notified of that.
    lead_days: i64,
    /// 1 is enabled, 0 is disabled.
    status: i64,
    /// What signs. Only in the answer to its making, and in a repetition of that with an `Idempotency-Key` while it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: String,
    updated_at: String,
}

/// The packages of a webhook, as they were written.
fn as_written(stored: &str) -> Vec<Value> {
    let stored = parse(stored.as_bytes()).unwrap_or_default();
    stored.as_array().into_iter().flatten().map(|package| package[0].clone()).collect()
}

fn webhook_view(row: WebhookRow, secret: Option<String>) -> WebhookView {
    WebhookView {
        id: row.uid,
        url: row.url,
        events: parse(row.events.as_bytes()).unwrap_or_default(),
        packages: row.packages.map(|packages| as_written(&packages)),
        stability: row.stability,
        lead_days: row.lead_days,
        status: i64::from(row.is_enabled),
        secret,
        created_at: php_date(row.created_at),
        updated_at: php_date(row.updated_at),
    }
}

/// A delivery to a webhook: an event, and what became of it.
#[derive(Serialize, ToSchema)]
pub struct DeliveryView {
    /// The same in every attempt.
    id: i64,
    event: String,
    #[schema(value_type = Object)]
    data: Value,
    /// `pending`, `delivered` or `failed`.
    state: String,
    /// How often it was sent, seven times at most.
    attempts: i64,
    /// When it is sent again, while it is pending.
    next_attempt_at: Option<String>,
    /// The HTTP status that the shop answered last.
    last_status: Option<i64>,
    /// What was wrong last.
    last_error: Option<String>,
    created_at: String,
    /// When it was delivered or given up.
    finished_at: Option<String>,
}

fn delivery_view(row: DeliveryRow) -> DeliveryView {
    let next_attempt_at = (row.state == "pending").then(|| php_date(row.next_attempt_at));
    DeliveryView {
        id: row.id,
        event: row.event,
        data: parse(row.payload.as_bytes()).unwrap_or_default(),
        state: row.state,
        attempts: row.attempts,
        next_attempt_at,
        last_status: row.last_status,
        last_error: row.last_error,
        created_at: php_date(row.created_at),
        finished_at: row.finished_at.map(php_date),
    }
}

/// All webhooks, the oldest first.
#[utoipa::path(
    get,
    path = "/webhooks",
    tag = "storefront",
    responses(
        (status = 200, description = "Webhooks, 20 at most", body = Vec<WebhookView>)
    )
)]
pub async fn list_webhooks(auth: RequestAuth<Unlimited<StorefrontRead>>) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let rows = webhooks::list(auth.app(), &actor.view).await?;
    Ok(ok(&rows.into_iter().map(|row| webhook_view(row, None)).collect::<Vec<_>>()))
}

/// Makes a webhook; the answer is the only place that ever shows its secret.
#[utoipa::path(
    post,
    path = "/webhooks",
    tag = "storefront",
    request_body = WebhookRequest,
    responses(
        (status = 201, description = "The webhook", body = WebhookView),
        (status = 409, description = "There is one with this address, or there are 20")
    )
)]
pub async fn create_webhook(
    auth: RequestAuth<Unlimited<StorefrontWrite>>,
    body: Result<IdempotentJson<WebhookRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let answer = webhooks::create(auth.app(), &issuer, key, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(|CreatedWebhook { row, secret }| webhook_view(row, secret))))
}

/// One webhook.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    tag = "storefront",
    params(("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        (status = 404, description = "No such webhook")
    )
)]
pub async fn get_webhook(
    auth: RequestAuth<Unlimited<StorefrontRead>>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    Ok(ok(&webhook_view(webhooks::get(auth.app(), &actor.view, &id).await?, None)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    method(put, patch),
    path = "/webhooks/{id}",
    tag = "storefront",
    params(("id" = String, Path, description = "The webhook's id")),
    request_body = WebhookRequest,
    responses(
        (status = 200, description = "The webhook as it is now", body = WebhookView),
        (status = 404, description = "No such webhook"),
        (status = 409, description = "There is another with this address")
    )
)]
pub async fn update_webhook(
    auth: RequestAuth<Unlimited<StorefrontWrite>>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<WebhookRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    Ok(ok(&webhook_view(webhooks::change(auth.app(), &actor, &id, request.into()).await?, None)))
}

/// Deletes a webhook with its log.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    tag = "storefront",
    params(("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "No such webhook")
    )
)]
pub async fn delete_webhook(
    auth: RequestAuth<Unlimited<StorefrontWrite>>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    webhooks::delete(auth.app(), &actor, &id).await?;
    Ok(no_content())
}

/// Deliveries of a page, if the request does not say.
const DEFAULT_LIMIT: i64 = 100;
/// Most deliveries of a page: each may tell of a thousand versions.
const MAX_DELIVERIES: i64 = 1000;

/// The deliveries to a webhook in the last 30 days, the latest first.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries",
    tag = "storefront",
    params(
        ("id" = String, Path, description = "The webhook's id"),
        ("limit" = Option<i64>, Query, description = "1 to 1000, 100 by default", maximum = 1000),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "Deliveries; `X-Total-Count` says how many there are", body = Vec<DeliveryView>),
        (status = 404, description = "No such webhook")
    )
)]
pub async fn list_deliveries(
    auth: RequestAuth<Unlimited<StorefrontRead>>,
    PathParams([id]): PathParams<1>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let page = query?.page.resized(DEFAULT_LIMIT, MAX_DELIVERIES)?;
    let (rows, total) = webhooks::log(auth.app(), &actor.view, &id, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(delivery_view), total))
}

/// Sends a delivery again, with the same id, whatever became of it.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/deliveries/{delivery}/redeliver",
    tag = "storefront",
    params(
        ("id" = String, Path, description = "The webhook's id"),
        ("delivery" = i64, Path, description = "The delivery's id")
    ),
    responses(
        (status = 200, description = "The delivery, which is sent now", body = DeliveryView),
        (status = 404, description = "No such webhook or delivery"),
        (status = 409, description = "The webhook is disabled")
    )
)]
pub async fn redeliver(
    auth: RequestAuth<Unlimited<StorefrontWrite>>,
    PathParams([id, delivery]): PathParams<2>,
    key: Result<IdempotencyHeader, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let delivery = id_of(&delivery, "Delivery")?;
    let answer = webhooks::redeliver(auth.app(), &issuer, key?.0, &id, delivery).await?;
    Ok(answered(StatusCode::OK, &answer.map(delivery_view)))
}

/// Sends a `ping`, to see whether the webhook works.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    tag = "storefront",
    params(("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 201, description = "The delivery, which is sent now", body = DeliveryView),
        (status = 404, description = "No such webhook"),
        (status = 409, description = "The webhook is disabled")
    )
)]
pub async fn test_webhook(
    auth: RequestAuth<Unlimited<StorefrontWrite>>,
    PathParams([id]): PathParams<1>,
    key: Result<IdempotencyHeader, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let answer = webhooks::ping(auth.app(), &issuer, key?.0, &id).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(delivery_view)))
}
