//! Consumers: customers with the key pairs that composer takes as user name and password.

use axum::response::Response;
use http::StatusCode;

use crate::http::extract::{JsonBody, PageQuery, PathOf, StrictQuery};
use crate::http::idempotency::{KeyedJson, answer, fresh, replayed};
use crate::http::management::ErrorBody;
use crate::http::reply::{gone, list, ok};
use crate::http::session::Session;
use crate::http::storefront::body::{ConsumerRequest, ConsumerView};
use crate::http::storefront::id_of;
use crate::registry::access::scope::Scope;
use crate::registry::consumers::{self, Consumer, ConsumerSpec};
use crate::registry::failure::Failure;
use crate::registry::idempotency::{self, Begun};

fn page_of((consumers, total): (Vec<Consumer>, i64)) -> Response {
    list(consumers.into_iter().map(ConsumerView::from), total)
}

/// Consumers, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers",
    tag = "storefront",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 1000, 1000 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "Consumers; `X-Total-Count` says how many there are", body = Vec<ConsumerView>),
        (status = 403, description = "The token lacks `storefront:read`", body = ErrorBody)
    )
)]
pub async fn list_consumers(
    session: Session,
    query: Result<StrictQuery<PageQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = session.view(Scope::StorefrontRead).await?;
    let StrictQuery(query) = query?;
    Ok(page_of(consumers::list(&session.app, &view, None, query.whole()?).await?))
}

/// Consumers with an e-mail address, in whatever case, the oldest first.
#[utoipa::path(
    get,
    path = "/consumers/email/{email}",
    tag = "storefront",
    params(
        ("email" = String, Path, description = "The address"),
        ("limit" = Option<i64>, Query, description = "1 to 1000, 1000 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "Consumers; `X-Total-Count` says how many there are", body = Vec<ConsumerView>),
        (status = 403, description = "The token lacks `storefront:read`", body = ErrorBody)
    )
)]
pub async fn list_consumers_by_email(
    session: Session,
    PathOf(email): PathOf<String>,
    query: Result<StrictQuery<PageQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = session.view(Scope::StorefrontRead).await?;
    let StrictQuery(query) = query?;
    Ok(page_of(consumers::list(&session.app, &view, Some(&email), query.whole()?).await?))
}

/// One consumer.
#[utoipa::path(
    get,
    path = "/consumers/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 200, description = "The consumer", body = ConsumerView),
        (status = 403, description = "The token lacks `storefront:read`", body = ErrorBody),
        (status = 404, description = "No such consumer", body = ErrorBody)
    )
)]
pub async fn get_consumer(session: Session, PathOf(id): PathOf<String>) -> Result<Response, Failure> {
    let view = session.view(Scope::StorefrontRead).await?;
    let consumer = consumers::get(&session.app, &view, id_of(&id, "Consumer")?).await?;
    Ok(ok(&ConsumerView::from(consumer)))
}

/// Makes a consumer, with keys of the shop's or with new ones.
#[utoipa::path(
    post,
    path = "/consumers",
    tag = "storefront",
    params(("Idempotency-Key" = Option<String>, Header, description = "Up to 255 characters: with the same key, the same request within a day is answered the same and makes no second consumer")),
    request_body = ConsumerRequest,
    responses(
        (status = 201, description = "The consumer", body = ConsumerView),
        (status = 403, description = "The token lacks `storefront:write`", body = ErrorBody),
        (status = 409, description = "The public key is taken; or the key came with another request, or this one is still in progress", body = ErrorBody)
    )
)]
pub async fn create_consumer(
    session: Session,
    body: Result<KeyedJson<ConsumerRequest>, Failure>,
) -> Result<Response, Failure> {
    let app = &session.app;
    let issuer = session.issuer(Scope::StorefrontWrite).await?;
    let KeyedJson { value, key } = body?;
    let spec = ConsumerSpec::from(value);
    consumers::check_new(&spec)?;
    let claim = match idempotency::begin(app, &issuer.caller, key).await? {
        Begun::Answered(answer) => return Ok(replayed(answer)),
        Begun::Claimed(claim) => claim,
    };
    let consumer = consumers::draft(app, spec).await?;
    let answer = answer(StatusCode::CREATED, &ConsumerView::from(consumer.clone()))?;
    let keep = claim.keep(app, &answer)?;
    claim.settle(app, consumers::create(app, &issuer.by, &consumer, keep).await).await?;
    Ok(fresh(answer))
}

/// Changes what the request names, and nothing else. Its old keys end at once where this was done, elsewhere within a
/// minute and a half as a rule.
#[utoipa::path(
    method(put, patch),
    path = "/consumers/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    request_body = ConsumerRequest,
    responses(
        (status = 200, description = "The consumer as it is now", body = ConsumerView),
        (status = 403, description = "The token lacks `storefront:write`", body = ErrorBody),
        (status = 404, description = "No such consumer", body = ErrorBody),
        (status = 409, description = "The public key is taken, or somebody else changed the consumer at the same time", body = ErrorBody)
    )
)]
pub async fn update_consumer(
    session: Session,
    PathOf(id): PathOf<String>,
    body: Result<JsonBody<ConsumerRequest>, Failure>,
) -> Result<Response, Failure> {
    let by = session.actor(Scope::StorefrontWrite).await?;
    let JsonBody(request) = body?;
    let consumer = consumers::change(&session.app, &by, id_of(&id, "Consumer")?, request.into()).await?;
    Ok(ok(&ConsumerView::from(consumer)))
}

/// Deletes a consumer with its permissions; its credentials end.
#[utoipa::path(
    delete,
    path = "/consumers/{id}",
    tag = "storefront",
    params(("id" = i64, Path, description = "The consumer's id")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 403, description = "The token lacks `storefront:write`", body = ErrorBody),
        (status = 404, description = "No such consumer", body = ErrorBody)
    )
)]
pub async fn delete_consumer(session: Session, PathOf(id): PathOf<String>) -> Result<Response, Failure> {
    let by = session.actor(Scope::StorefrontWrite).await?;
    consumers::delete(&session.app, &by, id_of(&id, "Consumer")?).await?;
    Ok(gone())
}
