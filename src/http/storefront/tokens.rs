//! Further tokens of a consumer, one for each seat.

use axum::response::Response;
use http::StatusCode;

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{StorefrontRead, StorefrontWrite};
use crate::http::kit::response::{no_content, ok};
use crate::http::storefront::consumer_body::{ConsumerTokenRequest, ConsumerTokenView, KeyRotationRequest};
use crate::http::storefront::id_of;
use crate::registry::kernel::failure::Failure;
use crate::registry::storefront::consumer_tokens;

/// A consumer's tokens, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers/{id}/tokens",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "Tokens, 100 at most", body = Vec<ConsumerTokenView>),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer")
    )
)]
pub async fn list_consumer_tokens(
    auth: RequestAuth<StorefrontRead>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let rows = consumer_tokens::list(auth.app(), &issuer, id_of(&id, "Consumer")?).await?;
    Ok(ok(&rows.into_iter().map(ConsumerTokenView::from).collect::<Vec<_>>()))
}

/// Makes a token of a consumer, which sees what that sees; the answer is the only place that ever shows it.
#[utoipa::path(
    post,
    path = "/consumers/{id}/tokens",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    request_body = ConsumerTokenRequest,
    responses(
        (status = 201, description = "The token", body = ConsumerTokenView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer"),
        (status = 409, description = "Every seat is taken")
    )
)]
pub async fn create_consumer_token(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<ConsumerTokenRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let id = id_of(&id, "Consumer")?;
    let answer = consumer_tokens::issue(auth.app(), &issuer, key, id, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(ConsumerTokenView::from)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    patch,
    path = "/consumers/{id}/tokens/{token}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        ("token" = String, Path, description = "The token's id")
    ),
    request_body = ConsumerTokenRequest,
    responses(
        (status = 200, description = "The token as it is now", body = ConsumerTokenView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer or token")
    )
)]
pub async fn update_consumer_token(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id, token]): PathParams<2>,
    body: Result<JsonBody<ConsumerTokenRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (JsonBody(request), id) = (body?, id_of(&id, "Consumer")?);
    let row = consumer_tokens::change(auth.app(), &issuer, id, &token, request.into()).await?;
    Ok(ok(&ConsumerTokenView::from(row)))
}

/// Replaces a token of a consumer by another one with everything else the same; the answer is the only place that ever shows it.
#[utoipa::path(
    post,
    path = "/consumers/{id}/tokens/{token}/rotate",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        ("token" = String, Path, description = "The token's id")
    ),
    request_body = Option<KeyRotationRequest>,
    responses(
        (status = 200, description = "The token with its new secret", body = ConsumerTokenView),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer or token"),
        (status = 409, description = "Somebody else changed it at the same time")
    )
)]
pub async fn rotate_consumer_token(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id, token]): PathParams<2>,
    body: Result<IdempotentJson<KeyRotationRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let (IdempotentJson { value, key }, id) = (body?, id_of(&id, "Consumer")?);
    let answer = consumer_tokens::rotate(auth.app(), &issuer, key, id, &token, value.grace_seconds).await?;
    Ok(answered(StatusCode::OK, &answer.map(ConsumerTokenView::from)))
}

/// Revokes a token of a consumer.
#[utoipa::path(
    delete,
    path = "/consumers/{id}/tokens/{token}",
    tag = "storefront",
    params(
        ("id" = i64, Path, description = "The consumer's id"),
        ("token" = String, Path, description = "The token's id")
    ),
    responses(
        (status = 204, description = "Revoked"),
        (status = 403, description = "or does not see all that the consumer was granted"),
        (status = 404, description = "No such consumer or token")
    )
)]
pub async fn delete_consumer_token(
    auth: RequestAuth<StorefrontWrite>,
    PathParams([id, token]): PathParams<2>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    consumer_tokens::revoke(auth.app(), &issuer, id_of(&id, "Consumer")?, &token).await?;
    Ok(no_content())
}
