//! `/api/invitations`.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::{BaseUrl, JsonBody, PathParams};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{Unlimited, UsersRead, UsersWrite};
use crate::http::kit::response::{Done, message, no_store};
use crate::http::management::auth::RoleName;
use crate::registry::identity::users::links;
use crate::registry::kernel::failure::Failure;
use crate::store::identity::invitations::InvitationRow;

/// An open invitation.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvitationView {
    id: String,
    email: String,
    /// `owner`, `admin`, `member` or `viewer`.
    role: String,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    expires_at: i64,
}

impl From<InvitationRow> for InvitationView {
    fn from(row: InvitationRow) -> Self {
        Self {
            id: row.uid,
            email: row.email,
            role: row.role,
            created_at: row.created_at.seconds(),
            expires_at: row.expires_at.seconds(),
        }
    }
}

/// An invitation that has just been made.
#[derive(Serialize, ToSchema)]
pub struct NewInvitationView {
    #[serde(flatten)]
    view: InvitationView,
    /// Opens a page that takes it; shown this once.
    link: String,
    /// The secret in it, for clients with a page of their own.
    token: String,
}

/// Open invitations, newest first.
#[utoipa::path(
    get,
    path = "/invitations",
    tag = "users",
    params(LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<InvitationView>)
    )
)]
pub async fn list_invitations(
    auth: RequestAuth<Unlimited<UsersRead>>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let page = query?.page;
    let (rows, total) = links::list(auth.app(), &view, page.rows()).await?;
    Ok(page.respond(rows.into_iter().map(InvitationView::from), total))
}

/// A request to invite somebody.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"email": "grace@example.org", "role": "member"}))]
pub struct InvitationRequest {
    email: String,
    role: RoleName,
}

/// Invites somebody. The answer is the only place that ever shows the link; hand it over yourself, no mail is sent.
#[utoipa::path(
    post,
    path = "/invitations",
    tag = "users",
    request_body = InvitationRequest,
    responses(
        (status = 201, description = "The invitation with its link, good for a week", body = NewInvitationView),
        (status = 403, description = "or the role holds more than it"),
        (status = 409, description = "The address is a user's or invited already")
    )
)]
pub async fn create_invitation(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    BaseUrl(base_url): BaseUrl,
    body: Result<JsonBody<InvitationRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(request) = body?;
    let (link, row) = links::invite(auth.app(), &issuer, &request.email, request.role.into()).await?;
    let view = NewInvitationView { view: row.into(), link: link.url(&base_url), token: link.plain.expose().to_owned() };
    Ok(no_store(StatusCode::CREATED, &view))
}

/// Revokes an open invitation.
#[utoipa::path(
    delete,
    path = "/invitations/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The invitation's id")),
    responses(
        (status = 200, description = "Revoked", body = Done),
        (status = 403, description = "or the role holds more than it"),
        (status = 404, description = "No such invitation")
    )
)]
pub async fn delete_invitation(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    links::revoke(auth.app(), &issuer, &id).await?;
    Ok(message("Invitation revoked"))
}
