//! Links: invitations, and links to a new password. Whoever issues one hands it over themselves; no mail is sent.
//!
//! A link leads to the page that the registry has for it. The token stands behind the `#`, which no browser sends: it
//! gets into nobody's log.

use std::time::Duration;

use serde_json::json;

use crate::ports::{DatabaseError, Millis};
use crate::registry::access::actor::Actor;
use crate::registry::access::failed_credentials;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::rights::{Extent, Rights};
use crate::registry::access::role::Role;
use crate::registry::access::session::{IDLE_TIMEOUT, MAX_SESSIONS_PER_USER};
use crate::registry::access::view::View;
use crate::registry::identity::users::link_issuers::{new_issuer, still_holds, void_invitations};
use crate::registry::identity::users::throttle::LoginAttempt;
use crate::registry::identity::users::{checked_name, password, taken};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::email::Email;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::secrets::{PlainToken, TokenKind};
use crate::store::Page;
use crate::store::access::sessions;
use crate::store::access::users::{UserChangeOutcome, UserRow};
use crate::store::identity::invitations::{
    self, Acceptance, InvitationRemoval, InvitationRow, IssuedInvitation, NewInvitation,
};
use crate::store::identity::password_resets::{self, NewReset};

/// How long an invitation is open.
const INVITATION_TTL: Duration = Duration::from_hours(7 * 24);
/// How long a link to a new password is good.
const RESET_TTL: Duration = Duration::from_hours(24);

/// The page that takes what a link holds.
pub const PAGE: &str = "/account/";

/// A link that has just been made.
pub struct Link {
    /// Its token, to be shown once.
    pub plain: PlainToken,
    /// When it ends.
    pub expires_at: Millis,
}

impl Link {
    /// The address to hand over; `base_url` is the registry's origin.
    pub fn url(&self, base_url: &str) -> String {
        format!("{base_url}{PAGE}#{}", self.plain.expose())
    }
}

/// The refusal of a link's token that came from the address of `by`, which counts as a failure of it.
fn not_good(app: &App, by: &Actor, what: &str) -> Failure {
    failed_credentials::record_failure(app, by.address.as_deref());
    let detail = format!("This {what} is not valid: it is mistyped, has ended or was used before. Ask for a new one.");
    Failure::new(Kind::NotFound, detail)
}

// ---------------------------------------------------------------------------------------------- invitations

/// Invites somebody to become a user.
pub async fn invite(app: &App, issuer: &Issuer, email: &str, role: Role) -> Result<(Link, InvitationRow), Failure> {
    issuer.check_role(role)?;
    let email = Email::parse(email)?;
    let now = app.now();
    let link = Link {
        plain: PlainToken::generate(TokenKind::Invitation, &*app.ports.entropy)?,
        expires_at: now.plus(INVITATION_TTL),
    };
    let uid = new_uid(&*app.ports.entropy, now)?;
    let hash = link.plain.hash();
    let new = NewInvitation {
        uid: &uid,
        organization: issuer.organization(),
        email: email.as_str(),
        role: role.as_str(),
        hash: hash.as_str(),
        issuer: &new_issuer(app, issuer),
        created_at: now,
        expires_at: link.expires_at,
    };
    let event = AuditEvent {
        action: "invitation.created",
        target: &uid,
        label: Some(new.email),
        details: json!({ "role": new.role }),
    };
    let recorded = issuer.by.record(app, &event)?;
    let void = void_invitations(app, issuer.organization(), now).await?;
    let made = invitations::insert(&*app.ports.database, new, &void, recorded).await.map_err(|error| match error {
        DatabaseError::Conflict(_) => Failure::new(
            Kind::Conflict,
            "This e-mail address has an open invitation already. Revoke that one first to make another.",
        ),
        DatabaseError::Fault(fault) => fault.into(),
    })?;
    let row = made.ok_or_else(|| taken(DatabaseError::Conflict(String::new())))?;
    Ok((link, row))
}

/// A page of open invitations that their issuers could still issue, newest first, and how many there are in all.
pub async fn list(app: &App, view: &View, page: Page) -> Result<(Vec<InvitationRow>, i64), Failure> {
    let (organization, now) = (view.organization(), app.now());
    let void = void_invitations(app, organization, now).await?;
    Ok(invitations::page(&*app.ports.database, organization, now, &void, page).await?)
}

/// Revokes an open invitation.
pub async fn revoke(app: &App, issuer: &Issuer, uid: &str) -> Result<(), Failure> {
    let event = AuditEvent { action: "invitation.revoked", target: uid, label: None, details: json!({}) };
    let recorded = issuer.by.record(app, &event)?;
    let managed = issuer.managed_users()?;
    let removal =
        invitations::delete(&*app.ports.database, issuer.organization(), uid, &managed, app.now(), recorded).await?;
    match removal {
        InvitationRemoval::Done => Ok(()),
        InvitationRemoval::Refused(invitation) => {
            issuer.check_role(Role::from_stored(&invitation.role)?)?;
            Err(Failure::concurrent_change("invitation"))
        }
        InvitationRemoval::Absent => Err(Failure::not_found("Invitation")),
    }
}

/// Makes the user whom an invitation's holder becomes.
pub async fn accept(app: &App, by: &Actor, token: &str, name: &str, chosen: &str) -> Result<UserRow, Failure> {
    let name = checked_name(name)?;
    let refused = || not_good(app, by, "invitation");
    failed_credentials::admit(app, by.address.as_deref()).await?;
    let hash = PlainToken::hash_of(token, TokenKind::Invitation).ok_or_else(refused)?;
    let now = app.now();
    // Before the password is hashed: that is work that not everybody is to cause.
    let found = invitations::by_hash(&*app.ports.database, hash.as_str(), now).await?;
    let IssuedInvitation { invitation, issuer } = found.ok_or_else(refused)?;
    let InvitationRow { uid, organization, email, role, .. } = invitation;
    let handed_on = Rights::of_role(Role::from_stored(&role)?, Extent::One(organization))?;
    if !still_holds(app, organization, &issuer, &handed_on)? {
        return Err(refused());
    }
    password::check("password", chosen, &email)?;
    let user_uid = new_uid(&*app.ports.entropy, now)?;
    let by = Actor::without_view(organization, format!("user:{user_uid}"), by.address.clone());
    let event = AuditEvent {
        action: "invitation.accepted",
        target: &uid,
        label: Some(&email),
        details: json!({ "role": role, "user": user_uid }),
    };
    let acceptance = Acceptance {
        hash: hash.as_str(),
        user_uid: &user_uid,
        name,
        password: password::hash(&*app.ports.entropy, chosen)?,
        now,
        issuer: &issuer,
    };
    let recorded = by.record(app, &event)?;
    let made = invitations::accept(&*app.ports.database, organization, acceptance, recorded).await;
    made.map_err(taken)?.ok_or_else(refused)
}

// ---------------------------------------------------------------------------------------------- new passwords

/// Issues a link with which a user chooses a new password.
pub async fn issue_reset(app: &App, issuer: &Issuer, uid: &str) -> Result<Link, Failure> {
    let now = app.now();
    let link =
        Link { plain: PlainToken::generate(TokenKind::Reset, &*app.ports.entropy)?, expires_at: now.plus(RESET_TTL) };
    let hash = link.plain.hash();
    let managed = issuer.managed_users()?;
    let new = NewReset {
        user_uid: uid,
        organization: issuer.organization(),
        managed: &managed,
        hash: hash.as_str(),
        issuer: &new_issuer(app, issuer),
        created_at: now,
        expires_at: link.expires_at,
    };
    let event = AuditEvent { action: "user.reset_link_issued", target: uid, label: None, details: json!({}) };
    let recorded = issuer.by.record(app, &event)?;
    match password_resets::insert(&*app.ports.database, new, recorded).await? {
        UserChangeOutcome::Done(_) => Ok(link),
        UserChangeOutcome::Absent => Err(Failure::not_found("User")),
        UserChangeOutcome::Refused(user) => {
            issuer.check_managed(&user, true)?;
            Err(Failure::new(Kind::Conflict, "This user is blocked. Unblock the user first."))
        }
    }
}

/// Sets the password that a link's holder chooses. All sessions end; a second factor stays.
pub async fn reset(app: &App, by: &Actor, token: &str, chosen: &str) -> Result<(), Failure> {
    let refused = || not_good(app, by, "link");
    failed_credentials::admit(app, by.address.as_deref()).await?;
    let hash = PlainToken::hash_of(token, TokenKind::Reset).ok_or_else(refused)?;
    let now = app.now();
    let found = password_resets::by_hash(&*app.ports.database, hash.as_str(), now).await?;
    let found = found.ok_or_else(refused)?;
    let organization = found.organization;
    let extent = if found.organizations > 1 { Extent::Several } else { Extent::One(organization) };
    let handed_on = Rights::of_role(Role::from_stored(&found.role)?, extent)?;
    if !still_holds(app, organization, &found.issuer, &handed_on)? {
        return Err(refused());
    }
    password::check("password", chosen, &found.email)?;
    let hashed = password::hash(&*app.ports.entropy, chosen)?;
    let by = Actor::without_view(organization, format!("user:{}", found.uid), by.address.clone());
    let event = AuditEvent { action: "user.password_reset", target: &found.uid, label: None, details: json!({}) };
    let batch = (
        password_resets::carry_out(hash.as_str(), &found, &hashed, now, by.record(app, &event)?),
        sessions::prune(found.id, now, now.minus(IDLE_TIMEOUT), MAX_SESSIONS_PER_USER),
        // Whoever forgot the password has typed wrong ones.
        LoginAttempt::new(&found.email, by.address.as_deref()).cleared(),
    );
    let ((is_set, ..), ..) = app.ports.database.ask(batch).await?;
    if is_set { Ok(()) } else { Err(refused()) }
}
