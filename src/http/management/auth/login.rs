//! The ways in: first set-up, login, invitation, link to a new password.

use axum::response::Response;
use http::header::USER_AGENT;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::extract::JsonBody;
use crate::http::kit::request_auth::RequestAuth;
use crate::http::kit::requirement::{AdminToken, Public};
use crate::http::kit::response::{Done, created, message, no_store, ok};
use crate::http::kit::secret::Secret;
use crate::http::kit::tenant::Tenant;
use crate::http::management::auth::UserView;
use crate::registry::identity::users::login::{Login, LoginSpec, log_in as start_session};
use crate::registry::identity::users::second_factor::SecondFactorInput;
use crate::registry::identity::users::{self, UserSpec, links};
use crate::registry::kernel::failure::Failure;

/// Whether the registry has its first owner.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetupView {
    /// Whether `POST /api/auth/setup` is still to be asked.
    setup_required: bool,
}

/// Whether the registry still needs its first owner.
#[utoipa::path(
    get,
    path = "/setup",
    tag = "authentication",
    responses((status = 200, description = "Whether it does", body = SetupView))
)]
pub async fn get_setup(auth: RequestAuth<Public>) -> Result<Response, Failure> {
    Ok(ok(&SetupView { setup_required: users::needs_owner(auth.app(), Tenant::OF_ANONYMOUS).await? }))
}

/// The first owner.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "name": "Ada", "password": "correct horse battery"}))]
pub struct SetupRequest {
    email: String,
    name: String,
    /// 12 to 1024 bytes.
    password: Secret,
}

/// Makes the first owner. Takes `ADMIN_TOKEN`, so that no stranger can come first.
#[utoipa::path(
    post,
    path = "/setup",
    tag = "authentication",
    request_body = SetupRequest,
    responses(
        (status = 201, description = "The owner", body = UserView),
        (status = 409, description = "There is an owner already")
    )
)]
pub async fn set_up(
    auth: RequestAuth<AdminToken>,
    body: Result<JsonBody<SetupRequest>, Failure>,
) -> Result<Response, Failure> {
    let actor = auth.administrator().await?;
    let JsonBody(request) = body?;
    let spec = UserSpec { email: request.email, name: request.name, password: request.password.0 };
    let user = users::set_up(auth.app(), &actor, &spec).await?;
    Ok(created(&UserView::try_from(user)?))
}

/// What somebody logs in with.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"email": "ada@example.org", "password": "correct horse battery", "totp_code": "123456"}))]
pub struct LoginRequest {
    email: String,
    password: Secret,
    /// What the authenticator app shows, when the account has a second factor.
    totp_code: Option<Secret>,
    /// One of the recovery codes instead; it is used up by that.
    recovery_code: Option<Secret>,
}

impl LoginRequest {
    fn into_spec(self, headers: &HeaderMap) -> Result<LoginSpec, Failure> {
        if self.totp_code.is_some() && self.recovery_code.is_some() {
            return Err(Failure::invalid_field("recovery_code", "must not stand beside `totp_code`: give one of them"));
        }
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(LoginSpec {
            email: self.email,
            password: self.password.0,
            given: SecondFactorInput {
                totp_code: self.totp_code.map(|code| code.0),
                recovery_code: self.recovery_code.map(|code| code.0),
            },
            // Header values that are text are ASCII.
            user_agent: agent.map(|agent| agent[..agent.len().min(MAX_USER_AGENT)].to_owned()),
        })
    }
}

/// Most bytes that are kept of what a client calls itself.
const MAX_USER_AGENT: usize = 255;

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub struct LoginView {
    /// The session's token, to be sent as Bearer token; shown this once and stored nowhere.
    token: String,
    /// Unix seconds; the session also ends when it was not used for 12 hours.
    expires_at: i64,
    user: UserView,
}

impl TryFrom<Login> for LoginView {
    type Error = Failure;

    fn try_from(login: Login) -> Result<Self, Failure> {
        let token = login.plain.expose().to_owned();
        Ok(Self { token, expires_at: login.expires_at.seconds(), user: login.user.try_into()? })
    }
}

/// Begins a session.
///
/// An unknown e-mail address and a wrong password get the same answer. After ten failures of an account, or fifty from
/// an address, nothing more is let through for the rest of their quarter of an hour.
#[utoipa::path(
    post,
    path = "/login",
    tag = "authentication",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "The session", body = LoginView),
        (status = 401, description = "`INVALID_CREDENTIALS`: something is wrong. `TWO_FACTOR_REQUIRED`: the password is right, send a code too"),
        (status = 403, description = "The password is right, and the account is blocked"),
        (status = 429, description = "Too many failures; `Retry-After` says for how long")
    )
)]
pub async fn log_in(
    auth: RequestAuth<Public>,
    headers: HeaderMap,
    body: Result<JsonBody<LoginRequest>, Failure>,
) -> Result<Response, Failure> {
    let JsonBody(request) = body?;
    let login = start_session(auth.app(), &auth.anonymous(), request.into_spec(&headers)?).await?;
    Ok(no_store(StatusCode::OK, &LoginView::try_from(login)?))
}

/// What an invitation's holder becomes.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"token": "rsi_…", "name": "Grace", "password": "correct horse battery"}))]
pub struct AcceptRequest {
    /// The invitation's, which stands in its link behind the `#`.
    token: Secret,
    name: String,
    /// 12 to 1024 bytes.
    password: Secret,
}

/// Makes the user whom an invitation is for. Log in afterwards.
#[utoipa::path(
    post,
    path = "/accept-invitation",
    tag = "authentication",
    request_body = AcceptRequest,
    responses(
        (status = 201, description = "The user", body = UserView),
        (status = 404, description = "The invitation is not valid (any more)"),
        (status = 409, description = "There is a user with this address already"),
        (status = 429, description = "Too many links and credentials from this network were not valid; `Retry-After` says for how long")
    )
)]
pub async fn accept_invitation(
    auth: RequestAuth<Public>,
    body: Result<JsonBody<AcceptRequest>, Failure>,
) -> Result<Response, Failure> {
    let JsonBody(AcceptRequest { token, name, password }) = body?;
    let user = links::accept(auth.app(), &auth.anonymous(), &token.0, &name, &password.0).await?;
    Ok(created(&UserView::try_from(user)?))
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"token": "rsr_…", "password": "correct horse battery"}))]
pub struct ResetRequest {
    /// The link's, which stands behind its `#`.
    token: Secret,
    /// 12 to 1024 bytes.
    password: Secret,
}

/// Sets the password that the holder of a link chooses. All sessions of the user end; a second factor stays.
#[utoipa::path(
    post,
    path = "/reset",
    tag = "authentication",
    request_body = ResetRequest,
    responses(
        (status = 200, description = "Set", body = Done),
        (status = 404, description = "The link is not valid (any more)"),
        (status = 429, description = "Too many links and credentials from this network were not valid; `Retry-After` says for how long")
    )
)]
pub async fn reset_password(
    auth: RequestAuth<Public>,
    body: Result<JsonBody<ResetRequest>, Failure>,
) -> Result<Response, Failure> {
    let JsonBody(ResetRequest { token, password }) = body?;
    links::reset(auth.app(), &auth.anonymous(), &token.0, &password.0).await?;
    Ok(message("Password set"))
}
