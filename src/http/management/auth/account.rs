//! One's own account: name, password, sessions.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::{JsonBody, PathParams};
use crate::http::kit::paging::{LimitOffset, ListQuery, NoFilter};
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::OwnAccount;
use crate::http::kit::response::{Done, message, ok};
use crate::http::kit::secret::Secret;
use crate::http::management::auth::UserView;
use crate::registry::access::role::role_of;
use crate::registry::access::scope::Scope;
use crate::registry::identity::users::account::{self, OwnUpdate};
use crate::registry::identity::users::sessions;
use crate::registry::kernel::failure::Failure;
use crate::store::access::sessions::SessionRow;
use crate::store::access::users::UserRow;

/// The user who asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeView {
    #[serde(flatten)]
    user: UserView,
    /// What the user may do, one by one.
    scopes: Vec<&'static str>,
}

impl TryFrom<UserRow> for MeView {
    type Error = Failure;

    fn try_from(row: UserRow) -> Result<Self, Failure> {
        let scopes = role_of(&row)?.scopes().into_iter().map(Scope::as_str).collect();
        Ok(Self { user: row.try_into()?, scopes })
    }
}

/// Ends the session that asks.
#[utoipa::path(
    post,
    path = "/logout",
    tag = "authentication",
    responses(
        (status = 200, description = "Ended", body = Done)
    )
)]
pub async fn log_out(auth: RequestAuth<OwnAccount>) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    sessions::end(auth.app(), &me, &me.account.session_uid).await?;
    Ok(message("Logged out"))
}

/// The user who asks.
#[utoipa::path(
    get,
    path = "/me",
    tag = "authentication",
    responses(
        (status = 200, description = "The user", body = MeView)
    )
)]
pub async fn get_me(auth: RequestAuth<OwnAccount>) -> Result<Response, Failure> {
    Ok(ok(&MeView::try_from(auth.current_user().await?.account.user)?))
}

/// A request to change one's own account.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"name": "Ada Lovelace"}))]
pub struct MeRequest {
    name: Option<String>,
    /// Needs `current_password`.
    email: Option<String>,
    current_password: Option<Secret>,
}

/// Changes one's own name and e-mail address.
#[utoipa::path(
    patch,
    path = "/me",
    tag = "authentication",
    request_body = MeRequest,
    responses(
        (status = 200, description = "The user as it is now", body = MeView),
        (status = 400, description = "The password is wrong, or a field is wrong or unknown"),
        (status = 409, description = "There is a user with this address already"),
        (status = 429, description = "Too many wrong passwords, or the account's hour is used up")
    )
)]
pub async fn update_me(
    auth: RequestAuth<OwnAccount>,
    body: Result<JsonBody<MeRequest>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let JsonBody(MeRequest { name, email, current_password }) = body?;
    let update = OwnUpdate { name, email, password: current_password.map(|password| password.0) };
    Ok(ok(&MeView::try_from(account::update(auth.app(), &me, update).await?)?))
}

/// A request to change one's own password.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"current_password": "correct horse battery", "password": "another horse battery"}))]
pub struct PasswordRequest {
    current_password: Secret,
    /// The new one: 12 to 1024 bytes.
    password: Secret,
}

/// Changes one's own password. All other sessions end.
#[utoipa::path(
    post,
    path = "/password",
    tag = "authentication",
    request_body = PasswordRequest,
    responses(
        (status = 200, description = "Changed", body = Done),
        (status = 429, description = "Too many wrong passwords, or the account's hour is used up")
    )
)]
pub async fn change_password(
    auth: RequestAuth<OwnAccount>,
    body: Result<JsonBody<PasswordRequest>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let JsonBody(PasswordRequest { current_password, password }) = body?;
    account::change_password(auth.app(), &me, &current_password.0, &password.0).await?;
    Ok(message("Password changed"))
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// The client's IP address at login.
    address: Option<String>,
    /// What the client called itself at login.
    user_agent: Option<String>,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; up to a quarter of an hour behind.
    last_used_at: i64,
    /// Unix seconds; it also ends when it was not used for 12 hours.
    expires_at: i64,
}

impl SessionView {
    fn new(row: SessionRow, current: &str) -> Self {
        Self {
            current: row.uid == current,
            id: row.uid,
            address: row.address,
            user_agent: row.user_agent,
            created_at: row.created_at.seconds(),
            last_used_at: row.seen_at.seconds(),
            expires_at: row.expires_at.seconds(),
        }
    }
}

/// One's sessions, newest first.
#[utoipa::path(
    get,
    path = "/sessions",
    tag = "authentication",
    params(LimitOffset),
    responses(
        (status = 200, description = "A page; `X-Total-Count` says how many there are", body = Vec<SessionView>)
    )
)]
pub async fn list_sessions(
    auth: RequestAuth<OwnAccount>,
    query: Result<ListQuery<NoFilter>, Failure>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    let page = query?.page;
    let (rows, total) = sessions::list(auth.app(), &me, page.rows()).await?;
    let current = &me.account.session_uid;
    Ok(page.respond(rows.into_iter().map(|row| SessionView::new(row, current)), total))
}

/// Ends one of one's sessions, at once and everywhere.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    tag = "authentication",
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 200, description = "Ended", body = Done),
        (status = 404, description = "No such session")
    )
)]
pub async fn delete_session(
    auth: RequestAuth<OwnAccount>,
    PathParams([id]): PathParams<1>,
) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    sessions::end(auth.app(), &me, &id).await?;
    Ok(message("Session ended"))
}

/// Ends all of one's sessions, the one that asks too.
#[utoipa::path(
    delete,
    path = "/sessions",
    tag = "authentication",
    responses(
        (status = 200, description = "Ended", body = Done)
    )
)]
pub async fn delete_sessions(auth: RequestAuth<OwnAccount>) -> Result<Response, Failure> {
    let me = auth.current_user().await?;
    sessions::end_all(auth.app(), &me).await?;
    Ok(message("All sessions ended"))
}
