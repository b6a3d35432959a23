//! `/api/tokens`.

use axum::response::{Json, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::http::extract::{JsonBody, PageQuery, PathOf, StrictQuery, update};
use crate::http::management::{ErrorBody, list};
use crate::http::session::Session;
use crate::ports::Millis;
use crate::registry::failure::Failure;
use crate::registry::secrets::PlainToken;
use crate::registry::tokens::{self, Permissions, Scope, TokenSpec, prefixes_of};
use crate::store::Update;
use crate::store::tokens::TokenRow;

/// What a token may do, in short.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum PermissionName {
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

/// A request to make or to change a token.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({
    "description": "Customer token", "permissions": "readonly", "expires_at": 1_893_456_000,
    "allowed_package_prefixes": ["vendor/"], "metadata": {"order_id": "1001"}
}))]
pub struct TokenRequest {
    /// What it is for; needed when the token is made.
    description: Option<String>,
    /// `readonly` (the default) or `write`.
    permissions: Option<PermissionName>,
    /// Unix seconds; null is never.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<i64>)]
    expires_at: Update<i64>,
    /// The packages it sees have names that start with one of these; null is every package.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    allowed_package_prefixes: Update<Vec<String>>,
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
            expires_at: match request.expires_at {
                Update::Keep => Update::Keep,
                Update::Set(seconds) => Update::Set(seconds.map(Millis::from_seconds)),
            },
            allowed_package_prefixes: request.allowed_package_prefixes,
            rate_limit_max: request.rate_limit_max,
            metadata: request.metadata,
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
    allowed_package_prefixes: Option<Vec<String>>,
    /// Requests an hour, when it has a limit of its own.
    rate_limit_max: Option<i64>,
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; up to six minutes behind.
    last_used_at: Option<i64>,
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
            rate_limit_max: row.rate_limit_max,
            metadata: row.metadata,
            created_at: row.created_at.seconds(),
            last_used_at: row.last_used_at.map(Millis::seconds),
        }
    }
}

/// A token that has just been made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewTokenView {
    #[serde(flatten)]
    view: TokenView,
    /// The token itself; shown this once and stored nowhere.
    token: String,
}

impl NewTokenView {
    fn new(plain: &PlainToken, row: TokenRow) -> Self {
        Self { view: row.into(), token: plain.reveal().to_owned() }
    }
}

/// Live tokens, newest first.
#[utoipa::path(
    get,
    path = "/tokens",
    tag = "tokens",
    params(
        ("limit" = Option<i64>, Query, description = "1 to 1000, 100 by default"),
        ("offset" = Option<i64>, Query, description = "How many to pass over")
    ),
    responses(
        (status = 200, description = "A page of tokens; `X-Total-Count` says how many there are", body = Vec<TokenView>),
        (status = 400, description = "A parameter is wrong", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `tokens:read`", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn list_tokens(
    session: Session,
    query: Result<StrictQuery<PageQuery>, Failure>,
) -> Result<Response, Failure> {
    let caller = session.require(Scope::TokensRead).await?;
    let StrictQuery(query) = query?;
    let page = query.page()?;
    let (rows, total) = tokens::list(&session.app, caller.organization_id, page).await?;
    Ok(list(rows.into_iter().map(TokenView::from).collect(), total))
}

/// Makes a token; the answer is the only place that ever shows it.
#[utoipa::path(
    post,
    path = "/tokens",
    tag = "tokens",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token", body = NewTokenView),
        (status = 400, description = "A field is wrong or unknown", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `tokens:write`", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn create_token(
    session: Session,
    body: Result<JsonBody<TokenRequest>, Failure>,
) -> Result<(StatusCode, Json<NewTokenView>), Failure> {
    let by = session.actor(Scope::TokensWrite).await?;
    let JsonBody(request) = body?;
    let (plain, row) = tokens::issue(&session.app, &by, request.into()).await?;
    Ok((StatusCode::CREATED, Json(NewTokenView::new(&plain, row))))
}

/// One token.
#[utoipa::path(
    get,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 200, description = "The token", body = TokenView),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `tokens:read`", body = ErrorBody),
        (status = 404, description = "No such token", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn get_token(session: Session, PathOf(id): PathOf<String>) -> Result<Json<TokenView>, Failure> {
    let caller = session.require(Scope::TokensRead).await?;
    let row = tokens::get(&session.app, caller.organization_id, &id).await?;
    Ok(Json(row.into()))
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
        (status = 400, description = "A field is wrong or unknown", body = ErrorBody),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `tokens:write`", body = ErrorBody),
        (status = 404, description = "No such token", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn update_token(
    session: Session,
    PathOf(id): PathOf<String>,
    body: Result<JsonBody<TokenRequest>, Failure>,
) -> Result<Json<TokenView>, Failure> {
    let by = session.actor(Scope::TokensWrite).await?;
    let JsonBody(request) = body?;
    let row = tokens::change(&session.app, &by, &id, request.into()).await?;
    Ok(Json(row.into()))
}

/// Revokes a token. It is refused at once where this was done, elsewhere within a minute and a half as a rule.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 200, description = "Revoked"),
        (status = 401, description = "No valid token", body = ErrorBody),
        (status = 403, description = "The token lacks `tokens:write`", body = ErrorBody),
        (status = 404, description = "No such token", body = ErrorBody),
        (status = 429, description = "The token's hour is used up", body = ErrorBody)
    )
)]
pub async fn delete_token(session: Session, PathOf(id): PathOf<String>) -> Result<Json<Value>, Failure> {
    let by = session.actor(Scope::TokensWrite).await?;
    tokens::revoke(&session.app, &by, &id).await?;
    Ok(Json(serde_json::json!({ "message": "Token revoked" })))
}
