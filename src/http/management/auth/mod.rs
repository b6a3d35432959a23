//! `/api/auth`: signing in, and what users do with their own account.

mod account;
mod login;
mod two_factor;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::kit::routes::{Routes, routes};
use crate::ports::Millis;
use crate::registry::access::role::{Role, role_of};
use crate::registry::kernel::failure::Failure;
use crate::store::access::users::UserRow;

/// The routes below `/api/auth`.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(login::get_setup, login::set_up))
        .routes(routes!(login::log_in))
        .routes(routes!(login::accept_invitation))
        .routes(routes!(login::reset_password))
        .routes(routes!(account::log_out))
        .routes(routes!(account::get_me, account::update_me))
        .routes(routes!(account::change_password))
        .routes(routes!(account::list_sessions, account::delete_sessions))
        .routes(routes!(account::delete_session))
        .routes(routes!(two_factor::set_up_two_factor))
        .routes(routes!(two_factor::enable_two_factor))
        .routes(routes!(two_factor::disable_two_factor))
        .routes(routes!(two_factor::renew_recovery_codes))
}

/// What a user may do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Everything.
    Owner,
    /// Everything but managing owners.
    Admin,
    /// Change packages and repositories, and read tokens.
    Member,
    /// Read packages and repositories.
    Viewer,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::Viewer => Self::Viewer,
        }
    }
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Admin => Self::Admin,
            Role::Member => Self::Member,
            Role::Viewer => Self::Viewer,
        }
    }
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "01976c1e-4a00-7000-8000-000000000000", "email": "ada@example.org", "name": "Ada", "role": "owner",
    "blocked": false, "two_factor_enabled": true, "recovery_codes_left": 10, "created_at": 1_767_225_600,
    "last_login_at": 1_767_225_700
}))]
pub struct UserView {
    id: String,
    email: String,
    name: String,
    role: RoleName,
    /// Whether it is kept from logging in.
    blocked: bool,
    two_factor_enabled: bool,
    recovery_codes_left: i64,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    last_login_at: Option<i64>,
}

impl TryFrom<UserRow> for UserView {
    type Error = Failure;

    fn try_from(row: UserRow) -> Result<Self, Failure> {
        Ok(Self {
            role: role_of(&row)?.into(),
            id: row.uid,
            email: row.email,
            name: row.name,
            blocked: row.blocked_at.is_some(),
            two_factor_enabled: row.totp_enabled_at.is_some(),
            recovery_codes_left: row.recovery_codes_left,
            created_at: row.created_at.seconds(),
            last_login_at: row.last_login_at.map(Millis::seconds),
        })
    }
}
