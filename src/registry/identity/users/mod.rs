//! Users: people who log in. Here: making, changing and removing them; the files beside are what they do themselves.
//!
//! * [`login`], [`sessions`]: signing in, and the sessions that keep a user signed in
//! * [`account`], [`two_factor`]: what users change of their own
//! * [`links`], [`link_issuers`]: invitations and links to a new password, and who has issued them
//! * [`password`], [`totp`], [`throttle`]: what these are made of

pub mod account;
pub mod confirmation;
pub mod link_issuers;
pub mod links;
pub mod login;
pub mod password;
pub mod second_factor;
pub mod sessions;
pub mod throttle;
pub mod totp;
pub mod two_factor;

use serde_json::{Value, json};

use crate::ports::{DatabaseError, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::role::Role;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::email::Email;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::store::access::users::{
    self, InsertCondition, ManagedUsers, NewUser, UserChangeOutcome, UserChanges, UserRow,
};
use crate::store::{OrganizationId, Page};

/// A request to make a user.
#[derive(Debug, Clone)]
pub struct UserSpec {
    /// As typed in.
    pub email: String,
    /// What people call the user.
    pub name: String,
    /// As chosen.
    pub password: String,
}

/// Whether the organization still needs its first owner.
pub async fn needs_owner(app: &App, organization: OrganizationId) -> Result<bool, Failure> {
    Ok(users::owners(&*app.ports.database, organization).await? == 0)
}

/// Makes the first owner.
pub async fn set_up(app: &App, by: &Actor, spec: &UserSpec) -> Result<UserRow, Failure> {
    let made = insert(app, by, spec, Role::Owner, InsertCondition::WithoutOwner).await?;
    made.ok_or_else(|| Failure::new(Kind::Conflict, "There is an owner already. Log in, or have an owner invite you."))
}

/// Makes a user who can log in at once.
pub async fn create(app: &App, issuer: &Issuer, spec: &UserSpec, role: Role) -> Result<UserRow, Failure> {
    issuer.check_role(role)?;
    let made = insert(app, &issuer.by, spec, role, InsertCondition::Always).await?;
    made.ok_or_else(|| Failure::not_found("User"))
}

async fn insert(
    app: &App,
    by: &Actor,
    spec: &UserSpec,
    role: Role,
    only: InsertCondition,
) -> Result<Option<UserRow>, Failure> {
    let email = Email::parse(&spec.email)?;
    let name = checked_name(&spec.name)?;
    password::check("password", &spec.password, email.as_str())?;
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let new = NewUser {
        uid: &uid,
        organization: by.organization(),
        email: email.as_str(),
        name,
        role: role.as_str(),
        password: password::hash(&*app.ports.entropy, &spec.password)?,
        created_at: now,
    };
    let event = AuditEvent {
        action: "user.created",
        target: &uid,
        label: Some(new.email),
        details: json!({ "role": new.role, "name": new.name }),
    };
    let recorded = by.record(app, &event)?;
    users::insert(&*app.ports.database, new, only, recorded).await.map_err(taken)
}

/// A failure whose conflict is that of an e-mail address.
fn taken(error: DatabaseError) -> Failure {
    match error {
        DatabaseError::Conflict(_) => {
            Failure::new(Kind::Conflict, "A user with this e-mail address exists already. Change that one instead.")
        }
        DatabaseError::Fault(fault) => fault.into(),
    }
}

/// One user.
pub async fn get(app: &App, view: &View, uid: &str) -> Result<UserRow, Failure> {
    let row = app.ports.database.ask(users::by_uid(view.organization(), uid)).await?;
    row.ok_or_else(|| Failure::not_found("User"))
}

/// A page of users, newest first, and how many there are in all; only those whose address or name holds `search`.
pub async fn list(app: &App, view: &View, search: Option<&str>, page: Page) -> Result<(Vec<UserRow>, i64), Failure> {
    Ok(users::page(&*app.ports.database, view.organization(), search, page).await?)
}

/// What a request to change a user says; every field is optional.
#[derive(Debug, Clone, Default)]
pub struct UserUpdate {
    /// As typed in.
    pub email: Option<String>,
    /// What people call the user.
    pub name: Option<String>,
    /// Ends the user's sessions when it differs.
    pub role: Option<Role>,
    /// Ends the user's sessions when it is true.
    pub is_blocked: Option<bool>,
    /// Takes the second factor away.
    pub without_second_factor: bool,
}

impl UserUpdate {
    /// Whether it changes what opens the account, in whichever organization.
    fn is_about_account(&self) -> bool {
        self.email.is_some() || self.is_blocked.is_some() || self.without_second_factor
    }

    /// The fields that the request names, for the audit log, and what decides over power.
    fn details(&self) -> Value {
        let fields = [
            ("email", self.email.is_some()),
            ("name", self.name.is_some()),
            ("role", self.role.is_some()),
            ("blocked", self.is_blocked.is_some()),
            ("two_factor_enabled", self.without_second_factor),
        ];
        let named: Vec<&str> = fields.iter().filter(|(_, is_named)| *is_named).map(|(field, _)| *field).collect();
        json!({ "fields": named, "role": self.role.map(Role::as_str), "blocked": self.is_blocked })
    }
}

/// Changes what the request names, and nothing else.
pub async fn change(app: &App, issuer: &Issuer, uid: &str, update: UserUpdate) -> Result<UserRow, Failure> {
    if let Some(role) = update.role {
        issuer.check_role(role)?;
    }
    let is_about_account = update.is_about_account();
    let managed = issuer.managed_users()?;
    let managed = ManagedUsers { are_only_here: managed.are_only_here && is_about_account, ..managed };
    let outcome = apply(app, &issuer.by, &managed, uid, update).await?;
    done(issuer, is_about_account, outcome)
}

/// Changes what the request names of a user who is one of `managed`.
async fn apply(
    app: &App,
    by: &Actor,
    managed: &ManagedUsers,
    uid: &str,
    update: UserUpdate,
) -> Result<UserChangeOutcome, Failure> {
    let email = update.email.as_deref().map(Email::parse).transpose()?;
    let name = update.name.as_deref().map(checked_name).transpose()?;
    let changes = UserChanges {
        email: email.as_ref().map(Email::as_str),
        name,
        role: update.role.map(Role::as_str),
        is_blocked: update.is_blocked,
        without_second_factor: update.without_second_factor,
    };
    let recorded = note(app, by, "user.changed", uid, update.details())?;
    let outcome =
        users::update(&*app.ports.database, by.organization(), uid, managed, changes, app.now(), recorded).await;
    outcome.map_err(taken)
}

/// Removes a user from the organization; its sessions end, and the links it has issued there are void. From its last
/// organization the user is removed altogether.
pub async fn remove(app: &App, issuer: &Issuer, uid: &str) -> Result<(), Failure> {
    let recorded = note(app, &issuer.by, "user.removed", uid, json!({}))?;
    let managed = issuer.managed_users()?;
    let outcome = users::delete(&*app.ports.database, issuer.organization(), uid, &managed, recorded).await?;
    done(issuer, false, outcome).map(drop)
}

fn note(app: &App, by: &Actor, action: &'static str, uid: &str, details: Value) -> Result<Stmt, Failure> {
    Ok(by.record(app, &AuditEvent { action, target: uid, label: None, details })?)
}

fn done(issuer: &Issuer, is_about_account: bool, outcome: UserChangeOutcome) -> Result<UserRow, Failure> {
    match outcome {
        UserChangeOutcome::Done(user) => Ok(user),
        UserChangeOutcome::Absent => Err(Failure::not_found("User")),
        UserChangeOutcome::Refused(user) => {
            issuer.check_managed(&user, is_about_account)?;
            Err(Failure::new(
                Kind::Conflict,
                "This is the last owner who can log in. Make somebody else an owner first.",
            ))
        }
    }
}

const MAX_NAME: usize = 200;

/// A user's name, trimmed.
///
/// # Errors
/// Names the field `name`.
pub fn checked_name(text: &str) -> Result<&str, Failure> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
        let detail = format!("must hold 1 to {MAX_NAME} characters, without control characters");
        return Err(Failure::invalid_field("name", detail));
    }
    Ok(name)
}
