//! `/api/tokens`.

mod body;

use axum::response::Response;
use http::StatusCode;

use body::{
    NewTokenView, RevocationQuery, RevokedView, RotatedTokenView, RotationRequest, TokenDetails, TokenRequest,
    TokenView, TokensQuery,
};

use crate::http::kit::extract::{JsonBody, PathParams, StrictQuery};
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{TokensRead, TokensWrite};
use crate::http::kit::response::{Done, message, ok};
use crate::registry::access::caller::Subject;
use crate::registry::access::rate_limit;
use crate::registry::identity::tokens::{self, read, rotation};
use crate::registry::kernel::failure::Failure;

/// Tokens that are not revoked, newest first.
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens",
    params(TokensQuery, LimitOffset),
    responses(
        (status = 200, description = "A page of tokens; `X-Total-Count` says how many there are", body = Vec<TokenView>)
    )
)]
pub async fn list_tokens(
    auth: RequestAuth<TokensRead>,
    query: Result<ListQuery<TokensQuery>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let ListQuery { filter, page } = query?;
    let (order, filter) = (filter.sort.as_deref(), filter.store_filter()?);
    let (rows, total) = read::list(auth.app(), &issuer, &filter, order, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(TokenView::from), total))
}

/// Revokes the tokens that the filters mean, up to 100 with each call.
#[utoipa::path(
    delete,
    path = "/tokens",
    tag = "tokens",
    params(RevocationQuery),
    responses(
        (status = 200, description = "What was revoked, and how many are left", body = RevokedView),
        (status = 400, description = "A filter is unknown or wrong, or there is none"),
        (status = 403, description = "or one of these holds more than it")
    )
)]
pub async fn delete_tokens(
    auth: RequestAuth<TokensWrite>,
    query: Result<StrictQuery<RevocationQuery>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let StrictQuery(query) = query?;
    let revoked = tokens::revoke_all(auth.app(), &issuer, &query.store_filter()?).await?;
    Ok(ok(&RevokedView::from(revoked)))
}

/// Makes a token; the answer is the only place that ever shows it.
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token", body = NewTokenView),
        (status = 403, description = "or what it would pass on")
    )
)]
pub async fn create_token(
    auth: RequestAuth<TokensWrite>,
    body: Result<IdempotentJson<TokenRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let answer = tokens::issue(auth.app(), &issuer, key, value.into()).await?;
    Ok(answered(StatusCode::CREATED, &answer.map(NewTokenView::from)))
}

/// One token.
#[utoipa::path(
    get,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 200, description = "The token", body = TokenDetails),
        (status = 404, description = "No such token")
    )
)]
pub async fn get_token(auth: RequestAuth<TokensRead>, PathParams([id]): PathParams<1>) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let row = read::get(auth.app(), &issuer, &id).await?;
    let used = rate_limit::used(auth.app(), Subject::Token { id: row.id }).await;
    Ok(ok(&TokenDetails::new(row, used)))
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    patch,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    request_body = TokenRequest,
    responses(
        (status = 200, description = "The token as it is now", body = TokenView),
        (status = 403, description = "or what it would pass on"),
        (status = 404, description = "No such token"),
        (status = 409, description = "Somebody else changed it at the same time")
    )
)]
pub async fn update_token(
    auth: RequestAuth<TokensWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<TokenRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(request) = body?;
    let row = tokens::change(auth.app(), &issuer, &id, request.into()).await?;
    Ok(ok(&TokenView::from(row)))
}

/// Replaces a token's secret; everything else of it stays. The answer is the only place that ever shows the new one.
#[utoipa::path(
    post,
    path = "/tokens/{id}/rotate",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    request_body = Option<RotationRequest>,
    responses(
        (status = 200, description = "The token with its new secret", body = RotatedTokenView),
        (status = 403, description = "or this one holds more than it"),
        (status = 404, description = "No such token"),
        (status = 409, description = "Somebody else changed it at the same time")
    )
)]
pub async fn rotate_token(
    auth: RequestAuth<TokensWrite>,
    PathParams([id]): PathParams<1>,
    body: Result<IdempotentJson<RotationRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let answer = rotation::rotate(auth.app(), &issuer, key, &id, value.grace_seconds).await?;
    Ok(answered(StatusCode::OK, &answer.map(RotatedTokenView::from)))
}

/// Revokes a token. It is refused at once where this was done, elsewhere within a minute and a half as a rule.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 200, description = "Revoked", body = Done),
        (status = 403, description = "or what it would pass on"),
        (status = 404, description = "No such token"),
        (status = 409, description = "Somebody else changed it at the same time")
    )
)]
pub async fn delete_token(
    auth: RequestAuth<TokensWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    tokens::revoke(auth.app(), &issuer, &id).await?;
    Ok(message("Token revoked"))
}
