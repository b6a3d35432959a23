//! What users change of their own account.

use serde_json::json;

use crate::registry::access::account::CurrentUser;
use crate::registry::access::session::{IDLE_TIMEOUT, MAX_SESSIONS_PER_USER};
use crate::registry::identity::users::confirmation::{Confirmed, confirm};
use crate::registry::identity::users::{UserUpdate, apply, password};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::store::access::sessions::prune;
use crate::store::access::users::{ManagedUsers, UserChangeOutcome, UserRow, set_password};
use crate::store::identity::password_resets;

/// What users change of their own as they like; every field is optional.
pub struct OwnUpdate {
    /// What people call the user.
    pub name: Option<String>,
    /// As typed in; needs `password`, because who has the address has the account.
    pub email: Option<String>,
    /// The account's, to prove that it is its owner who asks.
    pub password: Option<String>,
}

/// Changes one's own name and e-mail address.
pub async fn update(app: &App, me: &CurrentUser, update: OwnUpdate) -> Result<UserRow, Failure> {
    let OwnUpdate { name, email, password } = update;
    if email.is_some() {
        let confirmed = confirm(app, me, "current_password", &password.unwrap_or_default(), None).await?;
        app.ports.database.ask(confirmed.attempt.on_success()).await?;
    }
    let update = UserUpdate { email, name, ..UserUpdate::default() };
    match apply(app, &me.by, &ManagedUsers::everybody(), &me.account.user.uid, update).await? {
        UserChangeOutcome::Done(user) => Ok(user),
        UserChangeOutcome::Absent | UserChangeOutcome::Refused(_) => Err(Failure::not_found("User")),
    }
}

/// Changes one's own password; all other sessions end.
pub async fn change_password(app: &App, me: &CurrentUser, current: &str, new: &str) -> Result<(), Failure> {
    password::check("password", new, &me.account.user.email)?;
    let Confirmed { row, attempt, .. } = confirm(app, me, "current_password", current, None).await?;
    let user = &row.user;
    let hashed = password::hash(&*app.ports.entropy, new)?;
    let event = AuditEvent { action: "user.password_changed", target: &user.uid, label: None, details: json!({}) };
    let now = app.now();
    let recorded = me.by.record(app, &event)?;
    let batch = (
        set_password(user.id, user.session_epoch, &hashed, Some(me.account.session_id), recorded),
        prune(user.id, now, now.minus(IDLE_TIMEOUT), MAX_SESSIONS_PER_USER),
        password_resets::delete(user.id, &hashed),
        attempt.on_success(),
    );
    let ((is_changed, ..), ..) = app.ports.database.ask(batch).await?;
    if !is_changed {
        // Another change came first: what was typed in is not the password any more.
        return Err(Failure::invalid_field("current_password", "is not the password of this account"));
    }
    Ok(())
}
