//! `/api/organizations`: which organizations there are, and of each its packages, repositories and tokens.

mod packages;
mod repositories;
mod tokens;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::{JsonBody, update};
use crate::http::kit::paging::{ListQuery, NoFilter, PageNumber};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{AdminToken, PackagesRead, SettingsWrite, Unlimited};
use crate::http::kit::response::{created, ok};
use crate::http::kit::routes::{Routes, routes};
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::organizations;
use crate::registry::organizations::manage::{self, OrganizationSpec};
use crate::store::Update;
use crate::store::organizations::profiles::OrganizationRow;

/// The surface's routes, with their entries in the API document.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(self::list_organizations, self::create_organization))
        .routes(routes!(self::get_organization, self::update_organization))
        .routes(routes!(packages::list_organization_packages))
        .routes(routes!(packages::get_organization_package))
        .routes(routes!(packages::get_organization_package_by_name))
        .routes(routes!(repositories::list_organization_repositories))
        .routes(routes!(repositories::sync_organization_repository))
        .routes(routes!(tokens::list_organization_tokens, tokens::create_organization_token))
        .routes(routes!(tokens::delete_organization_token))
}

/// Which page of a list it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
pub struct PageMeta {
    current_page: i64,
    last_page: i64,
    per_page: i64,
    /// How many rows there are in all.
    total: i64,
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationView {
    id: String,
    name: String,
    /// What its addresses have.
    slug: String,
    description: Option<String>,
    /// ISO 8601.
    created_at: String,
}

impl From<OrganizationRow> for OrganizationView {
    fn from(row: OrganizationRow) -> Self {
        let OrganizationRow { uid, slug, name, description, created_at } = row;
        Self { id: uid, name, slug, description, created_at: rfc3339(created_at) }
    }
}

/// An organization that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct OrganizationData {
    data: OrganizationView,
}

/// A page of organizations.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the answer")]
pub struct OrganizationPage {
    data: Vec<OrganizationView>,
    meta: PageMeta,
}

/// The organizations that the caller acts in, by slug: a user's, or the one of the token; all of them for `ADMIN_TOKEN`.
#[utoipa::path(
    get,
    path = "/",
    tag = "organizations",
    params(PageNumber),
    responses(
        (status = 200, description = "A page of them", body = OrganizationPage)
    )
)]
pub async fn list_organizations(
    auth: RequestAuth<PackagesRead>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let caller = auth.caller().await?;
    let page = query?.page;
    let (rows, total) = organizations::list(auth.app(), &caller, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(OrganizationView::from), total))
}

/// One organization.
#[utoipa::path(
    get,
    path = "/{organization}",
    tag = "organizations",
    responses(
        (status = 200, description = "The organization", body = OrganizationData),
        (status = 404, description = "There is no such organization, or it is not the caller's")
    )
)]
pub async fn get_organization(auth: RequestAuth<PackagesRead>) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let row = organizations::get(auth.app(), &view).await?;
    Ok(ok(&OrganizationData { data: row.into() }))
}

/// What an organization is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"name": "Acme Inc.", "slug": "acme", "description": "What our teams share"}))]
pub struct OrganizationRequest {
    /// What people call it.
    name: Option<String>,
    /// What its addresses have: lower-case letters, digits and hyphens; made of the name if nothing is said.
    slug: Option<String>,
    /// What it is for.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    description: Update<String>,
}

impl From<OrganizationRequest> for OrganizationSpec {
    fn from(OrganizationRequest { name, slug, description }: OrganizationRequest) -> Self {
        Self { slug, name, description }
    }
}

/// Makes an organization. It has nothing yet, and nobody but the holder of `ADMIN_TOKEN` is in it: they invite its first owner
/// with the header `X-Rostrum-Organization`.
#[utoipa::path(
    post,
    path = "/",
    tag = "organizations",
    request_body = OrganizationRequest,
    responses(
        (status = 201, description = "The organization", body = OrganizationData),
        (status = 409, description = "The slug is taken")
    )
)]
pub async fn create_organization(
    auth: RequestAuth<AdminToken>,
    body: Result<JsonBody<OrganizationRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.administrator().await?;
    let JsonBody(request) = body?;
    let row = manage::create(auth.app(), &actor, request.into()).await?;
    Ok(created(&OrganizationData { data: row.into() }))
}

/// Changes what the request names. Addresses with the slug that it had before lead to those with its new one, until another
/// organization takes it.
#[utoipa::path(
    patch,
    path = "/{organization}",
    tag = "organizations",
    request_body = OrganizationRequest,
    responses(
        (status = 200, description = "The organization as it is now", body = OrganizationData),
        (status = 404, description = "There is no such organization, or it is not the caller's"),
        (status = 409, description = "The slug is taken")
    )
)]
pub async fn update_organization(
    auth: RequestAuth<Unlimited<SettingsWrite>>,
    body: Result<JsonBody<OrganizationRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.actor().await?;
    let JsonBody(request) = body?;
    let row = manage::change(auth.app(), &actor, request.into()).await?;
    Ok(ok(&OrganizationData { data: row.into() }))
}
