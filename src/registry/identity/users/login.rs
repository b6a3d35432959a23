//! Logging in: a password, the second factor where there is one, and a session for both.

use serde_json::json;

use crate::ports::Millis;
use crate::registry::access::actor::Actor;
use crate::registry::access::failed_credentials::recognize;
use crate::registry::access::session::{IDLE_TIMEOUT, MAX_LIFETIME, MAX_SESSIONS_PER_USER, cache_session};
use crate::registry::identity::users::password::{self, PasswordCheck};
use crate::registry::identity::users::second_factor::{SecondFactorInput, SecondFactorProof, prove};
use crate::registry::identity::users::throttle::{self, LoginAttempt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::email::Email;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, TokenKind};
use crate::store::access::sessions::{self, NewSession};
use crate::store::access::users::{CredentialRow, UserRow, credentials_by_email, touch_login};
use crate::store::identity::two_factor::{Factor, spend};

/// What somebody logs in with.
pub struct LoginSpec {
    /// As typed in.
    pub email: String,
    /// As typed in.
    pub password: String,
    /// The second factor, if it was given.
    pub given: SecondFactorInput,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

/// A session that has begun.
pub struct Login {
    /// Its token, to be shown once.
    pub plain: PlainToken,
    /// When it ends whatever happens.
    pub expires_at: Millis,
    /// Whose it is.
    pub user: UserRow,
}

/// Begins a session.
///
/// # Errors
/// [`Kind::WrongCredentials`] in the same words, after the same work, for an unknown address and a wrong password;
/// [`Kind::TwoFactorRequired`] when the password is right and no code came with it; [`Kind::Forbidden`] when the
/// password is right and the user blocked; [`Kind::TooMany`] after too many failures.
pub async fn log_in(app: &App, by: &Actor, spec: LoginSpec) -> Result<Login, Failure> {
    let email = Email::normalize(&spec.email);
    let attempt = LoginAttempt::new(&email, by.address.as_deref());
    let found = throttle::begin(app, by, &attempt, credentials_by_email(&email)).await?;
    let verdict = password::verify(found.as_ref().map(|row| row.password.as_str()), &spec.password)?;
    let row = match found {
        Some(row) if verdict != PasswordCheck::Wrong => row,
        other => {
            throttle::failed(app, by, other.as_ref(), "password").await?;
            return Err(wrong_password());
        }
    };
    if row.user.blocked_at.is_some() {
        throttle::failed(app, by, Some(&row), "blocked").await?;
        return Err(Failure::new(Kind::Forbidden, "This account is blocked. Ask an administrator to unblock it."));
    }
    let factor = match prove(app, &row, &spec.given)? {
        SecondFactorProof::Good(factor) => factor,
        SecondFactorProof::Missing => {
            app.ports.database.ask(attempt.refund_stmt()).await?;
            return Err(Failure::new(
                Kind::TwoFactorRequired,
                "This account needs a second factor. Log in again with `totp_code` or `recovery_code` as well.",
            ));
        }
        SecondFactorProof::Wrong => {
            throttle::failed(app, by, Some(&row), "code").await?;
            return Err(wrong_code());
        }
    };
    let rehashed = match verdict {
        PasswordCheck::Outdated => Some(password::hash(&*app.ports.entropy, &spec.password)?),
        PasswordCheck::Right | PasswordCheck::Wrong => None,
    };
    start(app, by, row, &factor, rehashed, spec.user_agent.as_deref(), &attempt).await
}

fn wrong_password() -> Failure {
    Failure::new(Kind::WrongCredentials, "The e-mail address or the password is wrong.")
}

fn wrong_code() -> Failure {
    Failure::new(Kind::WrongCredentials, "The code is wrong, too old or was used before. Wait for the next one.")
}

/// Spends the second factor and begins the session, both or neither.
async fn start(
    app: &App,
    by: &Actor,
    row: CredentialRow,
    factor: &Factor,
    rehashed: Option<String>,
    user_agent: Option<&str>,
    attempt: &LoginAttempt,
) -> Result<Login, Failure> {
    let now = app.now();
    let expires_at = now.plus(MAX_LIFETIME);
    let plain = PlainToken::generate(TokenKind::Session, &*app.ports.entropy)?;
    let hash = plain.hash();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let user = &row.user;
    let new = NewSession {
        uid: &uid,
        user_id: user.id,
        hash: hash.as_str(),
        address: by.address.as_deref(),
        user_agent,
        created_at: now,
        expires_at,
    };
    let by = Actor::without_view(user.organization, format!("user:{}", user.uid), by.address.clone());
    let second_factor = match factor {
        Factor::None => None,
        Factor::Totp(_) => Some("totp"),
        Factor::RecoveryCode(_) => Some("recovery_code"),
    };
    let event = AuditEvent {
        action: "session.started",
        target: &uid,
        label: Some(&user.email),
        details: json!({ "second_factor": second_factor }),
    };
    let batch = (
        spend(user.id, user.session_epoch, factor),
        sessions::insert(&new),
        by.record(app, &event)?,
        touch_login(user.id, &uid, rehashed, now),
        sessions::prune(user.id, now, now.minus(IDLE_TIMEOUT), MAX_SESSIONS_PER_USER),
        attempt.on_success(),
    );
    let ((), is_started, ..) = app.ports.database.ask(batch).await?;
    if !is_started {
        // Another login has spent the same code, or the user was changed, since the password was looked at.
        return Err(if second_factor.is_some() { wrong_code() } else { wrong_password() });
    }
    recognize(app, &hash);
    cache_session(app, &hash, &uid, now).await;
    let user = UserRow { last_login_at: Some(now), ..row.user };
    let spent = i64::from(matches!(factor, Factor::RecoveryCode(_)));
    Ok(Login { plain, expires_at, user: UserRow { recovery_codes_left: user.recovery_codes_left - spent, ..user } })
}
