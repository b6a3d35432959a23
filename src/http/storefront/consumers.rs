//! Consumers: customers with the key pairs that composer takes as user name and password.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::kit::extract::{JsonBody, PathParams, StrictQuery};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::if_match::{IF_MATCH_DOC, IfMatchHeader, with_tag};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::{no_content, with_status};
use crate::http::storefront::consumer_body::{
    ConsumerRequest, ConsumerView, KeyRotationRequest, MergeRequest, RotatedConsumerView,
};
use crate::http::storefront::id_of;
use crate::http::storefront::permission_body::StrictParam;
use crate::registry::identity::idempotency::Answer;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_erasure;
use crate::registry::storefront::consumer_merges;
use crate::registry::storefront::consumers;
use crate::registry::storefront::coverage::{self, ShownConsumer};
use crate::registry::storefront::customers::{self, CustomerSpec, NewConsumer, PutCustomer};
use crate::registry::storefront::key_rotation;

/// One consumer; `ETag` is its own, and that of its permissions another.
#[utoipa::path(
    get,
    path = "/consumers/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "The consumer", body = ConsumerView),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn get_consumer(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let consumer = coverage::get(auth.app(), &issuer, id_of(&id, "Consumer")?).await?;
    Ok(tagged(StatusCode::OK, consumer))
}

/// A consumer with its tag.
fn tagged(status: StatusCode, consumer: ShownConsumer) -> Response {
    let tag = consumers::tag_of(&consumer.row);
    with_tag(with_status(status, &ConsumerView::from(consumer)), &tag)
}

/// Makes a consumer, with keys of the shop's or with new ones. For the second order of a customer, send
/// `"on_known_customer": "return"`: a customer has one key pair, because composer holds one for a registry.
#[utoipa::path(
    post,
    path = "/consumers",
    tag = "storefront",
    params(StrictParam),
    request_body = ConsumerRequest,
    responses(
        (status = 200, description = "With `on_known_customer: return`: the consumer that the customer has", body = ConsumerView),
        (status = 201, description = "The consumer", body = ConsumerView),
        (status = 409, description = "The public key is taken; or the customer has a consumer, with `on_known_customer: refuse`")
    )
)]
pub async fn create_consumer(
    auth: RequestAuth<StorefrontWrite>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    body: Result<IdempotentJson<ConsumerRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (strict, IdempotentJson { value: mut request, key }) = (query?.0.is_strict()?, body?);
    request.refuse_fields_of_changes()?;
    let on_known = request.on_known_customer().unwrap_or_default();
    let entitlements = request.take_entitlements();
    let new = NewConsumer { consumer: request.into(), entitlements, on_known, strict };
    Ok(put_response(customers::create(auth.app(), &issuer, key, new).await?))
}

/// A customer's consumer with its tag.
fn put_response(answer: Answer<PutCustomer>) -> Response {
    let status = if answer.value.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let tag = consumers::tag_of(&answer.value.consumer.row);
    let view = |put: PutCustomer| ConsumerView::from(put.consumer).with_entitlements(put.permissions, &put.warnings);
    with_tag(answered(status, &answer.map(view)), &tag)
}

/// Changes what the request names, and nothing else. Its old keys end at once where this was done, elsewhere within a
/// minute and a half as a rule.
#[utoipa::path(
    method(put, patch),
    path = "/consumers/{id}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    request_body = ConsumerRequest,
    responses(
        (status = 200, description = "The consumer as it is now", body = ConsumerView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "The public key is taken; or there are more tokens than `seats`, which `details` lists; or somebody else changed the consumer at the same time"),
        (status = 412, description = "The consumer is not the one of `If-Match`")
    )
)]
pub async fn update_consumer(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    if_match: Result<IfMatchHeader, Failure>,
    body: Result<JsonBody<ConsumerRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (if_match, request) = (if_match?.0, body?.0);
    request.refuse_fields_of_new()?;
    let id = id_of(&id, "Consumer")?;
    Ok(tagged(StatusCode::OK, consumers::change(auth.app(), &issuer, id, request.into(), &if_match).await?))
}

/// Makes the consumer of a customer, by the shop's own id of the customer, or changes what the request names of it. `entitlements`
/// are added to its permissions: one of the same package, version and order is extended, and nothing is shortened. Sending
/// it twice does nothing more. Of several consumers of the customer it is the oldest.
#[utoipa::path(
    put,
    path = "/consumers/by-customer/{customer_id}",
    tag = "storefront",
    params(
        ("customer_id" = String, Path, description = "The shop's own id of the customer"),
        StrictParam,
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    request_body(content = ConsumerRequest, example = json!({
        "email": "one@example.com",
        "entitlements": [{"package": "acme/extension", "version": "5.*", "order_id": "1001"}]
    })),
    responses(
        (status = 200, description = "The consumer that there was, as it is now", body = ConsumerView),
        (status = 201, description = "The consumer, which was made", body = ConsumerView),
        (status = 403, description = "or does not see all that the consumer was granted, or that it would be"),
        (status = 409, description = "The public key is taken, or others go on changing the consumer or its permissions"),
        (status = 412, description = "The consumer is not the one of `If-Match`")
    )
)]
pub async fn put_consumer_of_customer(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([customer_id]): PathParams<1>,
    query: Result<StrictQuery<StrictParam>, Failure>,
    if_match: Result<IfMatchHeader, Failure>,
    body: Result<JsonBody<ConsumerRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (strict, if_match) = (query?.0.is_strict()?, if_match?.0);
    let mut request = body?.0;
    let entitlements = request.take_entitlements();
    request.refuse_fields_of_new()?;
    let spec = CustomerSpec { consumer: request.into(), entitlements, if_match, strict };
    let put = customers::put(auth.app(), &issuer, &customer_id, spec).await?;
    Ok(put_response(Answer::first(put)))
}

/// Gives a consumer another key pair. The old one ends at once where this was done, elsewhere within a minute and a half as a rule,
/// or works for as long as `grace_seconds` says. Everything else of the consumer stays.
#[utoipa::path(
    post,
    path = "/consumers/{id}/rotate-keys",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    request_body = Option<KeyRotationRequest>,
    responses(
        (status = 200, description = "The consumer with its new keys", body = RotatedConsumerView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "Somebody else changed the consumer at the same time")
    )
)]
pub async fn rotate_keys(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<KeyRotationRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (IdempotentJson { value, key }, id) = (body?, id_of(&id, "Consumer")?);
    let answer = key_rotation::rotate(auth.app(), &issuer, key, id, value.grace_seconds).await?;
    Ok(answered(StatusCode::OK, &answer.map(RotatedConsumerView::from)))
}

/// How a consumer is deleted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeletionQuery {
    /// `1` erases besides what is known of the consumer: addresses, and what the audit log and the log of webhooks say of it.
    /// What it installed stays counted as nobody's. That works for a consumer that was deleted before, too.
    erase: Option<u8>,
}

/// Deletes a consumer with its permissions; its credentials end.
#[utoipa::path(
    delete,
    path = "/consumers/{id}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        DeletionQuery,
        ("If-Match" = Option<String>, Header, description = IF_MATCH_DOC)
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "Somebody else changed the consumer at the same time"),
        (status = 412, description = "The consumer is not the one of `If-Match`")
    )
)]
pub async fn delete_consumer(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    query: Result<StrictQuery<DeletionQuery>, Failure>,
    if_match: Result<IfMatchHeader, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let StrictQuery(DeletionQuery { erase }) = query?;
    let (id, if_match) = (id_of(&id, "Consumer")?, if_match?.0);
    match erase {
        None | Some(0) => consumers::delete(auth.app(), &issuer, id, &if_match).await?,
        Some(1) => consumer_erasure::erase(auth.app(), &issuer, id, &if_match).await?,
        Some(_) => return Err(Failure::invalid_field("erase", "must be 1, or 0 as without it")),
    }
    Ok(no_content())
}

/// Makes another consumer part of this one, in one step: this one has all permissions, tokens and downloads of both, and the
/// key pairs of both work. The other is gone; its key pair is a token of this one. Doing it twice does nothing more.
#[utoipa::path(
    post,
    path = "/consumers/{id}/merge",
    tag = "storefront",
    params(("id" = i64, Path, description = "The id of the consumer that stays")),
    request_body = MergeRequest,
    responses(
        (status = 200, description = "The consumer as it is now", body = ConsumerView),
        (status = 403, description = "or sees less than the two consumers were granted"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "One of them is disabled and the other is not, or together they have too many permissions or tokens, or somebody else changed one of them at the same time")
    )
)]
pub async fn merge_consumers(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<MergeRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let id = id_of(&id, "Consumer")?;
    let answer = consumer_merges::merge(auth.app(), &issuer, key, id, value.consumer_id).await?;
    Ok(answered(StatusCode::OK, &answer.map(ConsumerView::from)))
}
