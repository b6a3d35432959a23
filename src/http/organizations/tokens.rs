//! `/api/organizations/{organization}/tokens`.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::PathParams;
use crate::http::kit::idempotency::{IdempotentJson, answered};
use crate::http::kit::moment::Moment;
use crate::http::kit::paging::{ListQuery, NoFilter, PageNumber};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{TokensRead, TokensWrite};
use crate::http::kit::response::{Done, message};
use crate::http::organizations::PageMeta;
use crate::registry::access::issuer::Issuer;
use crate::registry::identity::tokens::spec::{GrantSpec, TokenSpec};
use crate::registry::identity::tokens::{self, ShownToken, read};
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::ORGANIZATION_TOKEN_PREFIX;
use crate::registry::organizations::package_names;
use crate::store::Update;
use crate::store::access::tokens::{TokenFilter, TokenRow};

/// A token of an organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationToken {
    id: String,
    name: String,
    scopes: Vec<String>,
    /// ISO 8601; up to ten minutes behind; null before the first use.
    last_used_at: Option<String>,
    /// ISO 8601; null is never.
    expires_at: Option<String>,
    /// ISO 8601.
    created_at: String,
}

impl From<TokenRow> for OrganizationToken {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.uid,
            name: row.description,
            scopes: row.scopes,
            last_used_at: row.last_used_at.map(rfc3339),
            expires_at: row.expires_at.map(rfc3339),
            created_at: rfc3339(row.created_at),
        }
    }
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewOrganizationToken {
    id: String,
    name: String,
    /// The token itself; this answer is the only place that ever shows it.
    token: Option<String>,
    scopes: Vec<String>,
    /// ISO 8601; null is never.
    expires_at: Option<String>,
    /// ISO 8601.
    created_at: String,
}

impl From<ShownToken> for NewOrganizationToken {
    fn from(ShownToken { row, secret, .. }: ShownToken) -> Self {
        let OrganizationToken { id, name, scopes, expires_at, created_at, .. } = row.into();
        Self { id, name, token: secret, scopes, expires_at, created_at }
    }
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationTokenData {
    data: NewOrganizationToken,
}

/// A page of tokens.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
pub struct OrganizationTokenPage {
    data: Vec<OrganizationToken>,
    meta: PageMeta,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"name": "CI Pipeline", "scopes": ["packages:read"], "expires_at": "2027-01-01"}))]
pub struct OrganizationTokenRequest {
    /// What it is for.
    name: Option<String>,
    /// What it may do, `packages:read` if nothing is said.
    scopes: Option<Vec<String>>,
    /// When it ends; a day is its last second in UTC. Never, if nothing is said.
    #[schema(value_type = Option<String>)]
    expires_at: Option<Moment>,
    /// The ids of the packages that it sees; all of them, if nothing is said.
    packages: Option<Vec<String>>,
}

impl OrganizationTokenRequest {
    /// The token as the use case takes it.
    async fn into_spec(self, app: &App, issuer: &Issuer) -> Result<TokenSpec, Failure> {
        let Self { name, scopes, expires_at, packages } = self;
        let name = name.ok_or_else(|| Failure::invalid_field("name", "is required: say what the token is for"))?;
        if expires_at.is_some_and(|Moment(end)| end <= app.now()) {
            return Err(Failure::invalid_field("expires_at", "must be in the future"));
        }
        let grants = match packages {
            None => Update::Keep,
            Some(uids) => {
                let names = package_names(app, &issuer.by.view, "packages", &uids).await?;
                let grant = |name| GrantSpec { package: Some(name), ..GrantSpec::default() };
                Update::Set(Some(names.into_iter().map(grant).collect()))
            }
        };
        Ok(TokenSpec {
            description: Some(name),
            scopes,
            expires_at: Update::Set(expires_at.map(|Moment(end)| end)),
            grants,
            prefix: Some(ORGANIZATION_TOKEN_PREFIX),
            ..TokenSpec::default()
        })
    }
}

/// Tokens that are not revoked, newest first.
#[utoipa::path(
    get,
    path = "/{organization}/tokens",
    tag = "organizations",
    params(PageNumber),
    responses(
        (status = 200, description = "A page of them", body = OrganizationTokenPage)
    )
)]
pub async fn list_organization_tokens(
    auth: RequestAuth<TokensRead>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let page = query?.page;
    let (rows, total) = read::list(auth.app(), &issuer, &TokenFilter::default(), None, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(OrganizationToken::from), total))
}

/// Makes a token; the answer is the only place that ever shows it.
#[utoipa::path(
    post,
    path = "/{organization}/tokens",
    tag = "organizations",
    request_body = OrganizationTokenRequest,
    responses(
        (status = 201, description = "The token", body = OrganizationTokenData),
        (status = 403, description = "or what it would pass on")
    )
)]
pub async fn create_organization_token(
    auth: RequestAuth<TokensWrite>,
    body: Result<IdempotentJson<OrganizationTokenRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let IdempotentJson { value, key } = body?;
    let spec = value.into_spec(auth.app(), &issuer).await?;
    let answer = tokens::issue(auth.app(), &issuer, key, spec).await?;
    let shown = answer.map(|token| OrganizationTokenData { data: token.into() });
    Ok(answered(StatusCode::CREATED, &shown))
}

/// Revokes a token. Whoever has it is refused at once.
#[utoipa::path(
    delete,
    path = "/{organization}/tokens/{id}",
    tag = "organizations",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 200, description = "Revoked", body = Done, example = json!({"message": "Token revoked successfully"})),
        (status = 403, description = "or the token holds more than it"),
        (status = 404, description = "No such token"),
        (status = 409, description = "Somebody else changed it at the same time")
    )
)]
pub async fn delete_organization_token(
    auth: RequestAuth<TokensWrite>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    tokens::revoke(auth.app(), &issuer, &id).await?;
    Ok(message("Token revoked successfully"))
}
