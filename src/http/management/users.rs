//! `/api/users`.

use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::{BaseUrl, JsonBody, PathParams};
use crate::http::kit::paging::{LimitOffset, ListQuery};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{Unlimited, UsersRead, UsersWrite};
use crate::http::kit::response::{Done, created, message, no_store, ok};
use crate::http::kit::secret::Secret;
use crate::http::management::auth::{RoleName, UserView};
use crate::registry::identity::users::{self, UserSpec, UserUpdate, links};
use crate::registry::kernel::failure::Failure;

/// What narrows a list of users.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// Only those whose e-mail address or name holds this
    search: Option<String>,
}

/// Users, newest first.
#[utoipa::path(
    get,
    path = "/users",
    tag = "users",
    params(UsersQuery, LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<UserView>)
    )
)]
pub async fn list_users(
    auth: RequestAuth<Unlimited<UsersRead>>,
    query: Result<ListQuery<UsersQuery>, Failure>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    let ListQuery { filter, page } = query?;
    let (rows, total) = users::list(auth.app(), &view, filter.search.as_deref(), page.rows()).await?;
    let views = rows.into_iter().map(UserView::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(page.respond(views, total))
}

/// A request to make a user.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "email": "grace@example.org", "name": "Grace", "role": "member", "password": "correct horse battery"
}))]
pub struct UserRequest {
    email: String,
    name: String,
    role: RoleName,
    /// 12 to 1024 bytes.
    password: Secret,
}

/// Makes a user who can log in at once. With an invitation, people choose their password themselves.
#[utoipa::path(
    post,
    path = "/users",
    tag = "users",
    request_body = UserRequest,
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 403, description = "or the role holds more than it"),
        (status = 409, description = "There is a user with this address already")
    )
)]
pub async fn create_user(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    body: Result<JsonBody<UserRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(UserRequest { email, name, role, password }) = body?;
    let spec = UserSpec { email, name, password: password.0 };
    let user = users::create(auth.app(), &issuer, &spec, role.into()).await?;
    Ok(created(&UserView::try_from(user)?))
}

/// One user.
#[utoipa::path(
    get,
    path = "/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = UserView),
        (status = 404, description = "No such user")
    )
)]
pub async fn get_user(
    auth: RequestAuth<Unlimited<UsersRead>>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let view = auth.view().await?;
    Ok(ok(&UserView::try_from(users::get(auth.app(), &view, &id).await?)?))
}

/// A request to change a user.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"role": "admin", "blocked": false}))]
pub struct UserChangeRequest {
    email: Option<String>,
    name: Option<String>,
    /// Another role ends the user's sessions.
    role: Option<RoleName>,
    /// A blocked user cannot log in, and has no sessions.
    blocked: Option<bool>,
    /// `false` takes the second factor away from somebody who has lost it; only users themselves turn it on.
    two_factor_enabled: Option<bool>,
}

impl TryFrom<UserChangeRequest> for UserUpdate {
    type Error = Failure;

    fn try_from(request: UserChangeRequest) -> Result<Self, Failure> {
        if request.two_factor_enabled == Some(true) {
            let detail = "can only be false here; users turn it on themselves with POST /api/auth/2fa/setup";
            return Err(Failure::invalid_field("two_factor_enabled", detail));
        }
        Ok(Self {
            email: request.email,
            name: request.name,
            role: request.role.map(Into::into),
            is_blocked: request.blocked,
            without_second_factor: request.two_factor_enabled.is_some(),
        })
    }
}

/// Changes what the request names, and nothing else.
#[utoipa::path(
    patch,
    path = "/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    request_body = UserChangeRequest,
    responses(
        (status = 200, description = "The user as it is now", body = UserView),
        (status = 403, description = "or the user or the role holds more than it"),
        (status = 404, description = "No such user"),
        (status = 409, description = "It is the last owner, or the address is taken")
    )
)]
pub async fn update_user(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    PathParams([id]): PathParams<1>,
    body: Result<JsonBody<UserChangeRequest>, Failure>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let JsonBody(request) = body?;
    let user = users::change(auth.app(), &issuer, &id, request.try_into()?).await?;
    Ok(ok(&UserView::try_from(user)?))
}

/// Removes a user. The sessions end at once, and the links that the user has issued are void.
#[utoipa::path(
    delete,
    path = "/users/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "Removed", body = Done),
        (status = 403, description = "or the user holds more than it"),
        (status = 404, description = "No such user"),
        (status = 409, description = "It is the last owner")
    )
)]
pub async fn delete_user(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    users::remove(auth.app(), &issuer, &id).await?;
    Ok(message("User removed"))
}

/// A link to hand over.
#[derive(Serialize, ToSchema)]
pub struct LinkView {
    /// Opens a page that takes it; shown this once.
    link: String,
    /// The secret in it, for clients with a page of their own.
    token: String,
    /// Unix seconds.
    expires_at: i64,
}

/// Issues a link with which a user chooses a new password, within a day. It replaces the one before.
#[utoipa::path(
    post,
    path = "/users/{id}/reset-link",
    tag = "users",
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 201, description = "The link", body = LinkView),
        (status = 403, description = "or the user holds more than it"),
        (status = 404, description = "No such user"),
        (status = 409, description = "The user is blocked")
    )
)]
pub async fn create_reset_link(
    auth: RequestAuth<Unlimited<UsersWrite>>,
    PathParams([id]): PathParams<1>,
    BaseUrl(base_url): BaseUrl,
) -> Result<Response, Failure> {
    let issuer = auth.issuer().await?;
    let link = links::issue_reset(auth.app(), &issuer, &id).await?;
    let view = LinkView {
        link: link.url(&base_url),
        token: link.plain.expose().to_owned(),
        expires_at: link.expires_at.seconds(),
    };
    Ok(no_store(StatusCode::CREATED, &view))
}
