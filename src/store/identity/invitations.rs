//! `invitations` and `password_resets`: links that let their holder become a user, or choose a new password, once.
//!
//! A link can do no more than whoever issued it still may: it rests while its issuer is blocked or may not do that any
//! more, in whichever organization, and goes when the issuer is removed from the last of its own.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::users::{ManagedUsers, UserChangeOutcome, UserRow, by_uid};
use crate::store::{OrganizationId, Page, Query};

/// An open invitation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvitationRow {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The organization it is for.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Who is invited; normalized.
    pub email: String,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: String,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

macro_rules! invitation_columns {
    () => {
        "uid, organization_id, email, role, created_at, expires_at"
    };
}

/// What makes an invitation good at `?2`.
macro_rules! is_open {
    () => {
        " expires_at > ?2 AND (invited_by IS NULL OR EXISTS
            (SELECT 1 FROM users i JOIN memberships m ON m.user_id = i.id
              WHERE i.id = invited_by AND i.blocked_at IS NULL AND m.organization_id = invitations.organization_id
                AND (m.role = 'owner' OR (m.role = 'admin' AND invitations.role <> 'owner'))))"
    };
}

/// An invitation about to be made.
pub struct NewInvitation<'a> {
    /// Public id.
    pub uid: &'a str,
    /// The organization it is for.
    pub organization: OrganizationId,
    /// Who is invited; normalized.
    pub email: &'a str,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: &'a str,
    /// SHA-256 of its token, lowercase hex.
    pub hash: &'a str,
    /// Primary key of the user who invites.
    pub invited_by: Option<i64>,
    /// Now.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

/// Makes an invitation and reads it back, in place of those that have ended; `None` when the address is a user's
/// already. A [`DatabaseError::Conflict`] says that the address has an open invitation. `noted` is run right behind the
/// change, here and below.
pub async fn insert(
    db: &dyn Database,
    new: NewInvitation<'_>,
    noted: Stmt,
) -> Result<Option<InvitationRow>, DatabaseError> {
    let clean = Stmt::new(
        concat!("DELETE FROM invitations WHERE organization_id = ?1 AND NOT (", is_open!(), ")"),
        [new.organization.into(), new.created_at.into()],
    );
    let insert = Query::one(
        concat!(
            "INSERT INTO invitations (uid, organization_id, email, role, hash, invited_by, created_at, expires_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (SELECT 1 FROM users WHERE email = ?3)
             RETURNING ",
            invitation_columns!()
        ),
        [
            new.uid.into(),
            new.organization.into(),
            new.email.into(),
            new.role.into(),
            new.hash.into(),
            new.invited_by.into(),
            new.created_at.into(),
            new.expires_at.into(),
        ],
    );
    let ((), made, ()) = db.ask((clean, insert, noted)).await?;
    Ok(made)
}

/// A page of an organization's open invitations, newest first, and how many there are in all.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    now: Millis,
    page: Page,
) -> Result<(Vec<InvitationRow>, i64), DatabaseError> {
    let invitations = Query::all(
        concat!(
            "SELECT ",
            invitation_columns!(),
            " FROM invitations WHERE organization_id = ?1 AND",
            is_open!(),
            " ORDER BY id DESC LIMIT ?3 OFFSET ?4"
        ),
        [organization.into(), now.into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        concat!("SELECT count(*) AS total FROM invitations WHERE organization_id = ?1 AND", is_open!()),
        [organization.into(), now.into()],
    );
    db.ask((invitations, total)).await
}

/// What became of removing an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationRemoval {
    /// It is gone.
    Done,
    /// Its role is none of those that were given.
    Refused(InvitationRow),
    /// There is no open one.
    Absent,
}

/// Removes an open invitation to be one of `managed`.
pub async fn delete(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    managed: &ManagedUsers,
    now: Millis,
    noted: Stmt,
) -> Result<InvitationRemoval, DatabaseError> {
    let find = Query::one(
        concat!(
            "SELECT ",
            invitation_columns!(),
            " FROM invitations WHERE organization_id = ?1 AND uid = ?3 AND",
            is_open!()
        ),
        [organization.into(), now.into(), uid.into()],
    );
    let delete = Query::any(
        concat!(
            "DELETE FROM invitations
              WHERE organization_id = ?1 AND uid = ?3 AND role IN (SELECT value FROM json_each(?4)) AND",
            is_open!(),
            " RETURNING id"
        ),
        [organization.into(), now.into(), uid.into(), (&managed.roles).into()],
    );
    let (found, is_done, ()) = db.ask((find, delete, noted)).await?;
    Ok(match found {
        None => InvitationRemoval::Absent,
        Some(_) if is_done => InvitationRemoval::Done,
        Some(invitation) => InvitationRemoval::Refused(invitation),
    })
}

/// A user about to be made from an invitation.
pub struct Acceptance<'a> {
    /// SHA-256 of the invitation's token, lowercase hex.
    pub hash: &'a str,
    /// Public id of the user.
    pub user_uid: &'a str,
    /// What people call the user.
    pub name: &'a str,
    /// argon2id as a PHC string.
    pub password: String,
    /// Now.
    pub now: Millis,
}

/// Makes the user whom an open invitation names, and removes the invitation; `None` when it is not open any more. A
/// [`DatabaseError::Conflict`] says that the address is a user's already.
pub async fn accept(
    db: &dyn Database,
    organization: OrganizationId,
    by: Acceptance<'_>,
    noted: Stmt,
) -> Result<Option<UserRow>, DatabaseError> {
    let insert = Stmt::new(
        concat!(
            "INSERT INTO users (uid, email, name, password, created_at)
             SELECT ?3, email, ?4, ?5, ?2 FROM invitations WHERE hash = ?1 AND",
            is_open!()
        ),
        [by.hash.into(), by.now.into(), by.user_uid.into(), by.name.into(), by.password.into()],
    );
    // There is a user of this new public id only if that has made it.
    let membership = Stmt::new(
        "INSERT INTO memberships (user_id, organization_id, role, created_at)
         SELECT u.id, i.organization_id, i.role, ?2 FROM invitations i JOIN users u ON u.uid = ?3 WHERE i.hash = ?1",
        [by.hash.into(), by.now.into(), by.user_uid.into()],
    );
    let delete = Stmt::new("DELETE FROM invitations WHERE hash = ?1", [by.hash.into()]);
    let (.., user) = db.ask((insert, membership, noted, delete, by_uid(organization, by.user_uid))).await?;
    Ok(user)
}

// ---------------------------------------------------------------------------------------------- new passwords

/// What makes a link good at `?2`, `users u` being whom it is for and `memberships m` one of theirs: that they are
/// managed there by its issuer, if a user has issued it.
macro_rules! is_good {
    () => {
        " r.expires_at > ?2 AND u.blocked_at IS NULL AND (r.issued_by IS NULL OR EXISTS
            (SELECT 1 FROM users i JOIN memberships n ON n.user_id = i.id
              WHERE i.id = r.issued_by AND i.blocked_at IS NULL AND n.organization_id = m.organization_id
                AND (n.role = 'owner' OR (n.role = 'admin' AND m.role <> 'owner'))))"
    };
}

/// A link to a new password, about to be made.
pub struct NewReset<'a> {
    /// Whom it is for, by public id.
    pub user_uid: &'a str,
    /// The organization of both.
    pub organization: OrganizationId,
    /// Whose passwords the issuer may have reset.
    pub managed: &'a ManagedUsers,
    /// SHA-256 of its token, lowercase hex.
    pub hash: &'a str,
    /// Primary key of the user who issues it.
    pub issued_by: Option<i64>,
    /// Now.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

/// Makes a link to a new password, in place of the one before. It is refused when the user is blocked or not the issuer's
/// to manage.
pub async fn insert_reset(
    db: &dyn Database,
    new: NewReset<'_>,
    noted: Stmt,
) -> Result<UserChangeOutcome, DatabaseError> {
    let insert = Query::any(
        "INSERT INTO password_resets (user_id, hash, issued_by, created_at, expires_at)
         SELECT u.id, ?4, ?5, ?6, ?7 FROM users u JOIN memberships m ON m.user_id = u.id
          WHERE m.organization_id = ?1 AND u.uid = ?2 AND u.blocked_at IS NULL
            AND m.role IN (SELECT value FROM json_each(?3))
            AND (NOT ?8 OR NOT EXISTS (SELECT 1 FROM memberships e
                                        WHERE e.user_id = u.id AND e.organization_id <> ?1))
         ON CONFLICT (user_id) DO UPDATE SET hash = ?4, issued_by = ?5, created_at = ?6, expires_at = ?7
         RETURNING user_id",
        [
            new.organization.into(),
            new.user_uid.into(),
            (&new.managed.roles).into(),
            new.hash.into(),
            new.issued_by.into(),
            new.created_at.into(),
            new.expires_at.into(),
            new.managed.are_only_here.into(),
        ],
    );
    let (is_made, (), user) = db.ask((insert, noted, by_uid(new.organization, new.user_uid))).await?;
    Ok(UserChangeOutcome::of(is_made, user))
}

/// Whom a good link is for.
#[derive(Debug, Clone, Deserialize)]
pub struct ResetRow {
    /// Primary key.
    pub id: i64,
    /// Public id.
    pub uid: String,
    /// The first of its organizations in which the link is good.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// E-mail address.
    pub email: String,
    /// Sessions of an earlier epoch are void.
    pub session_epoch: i64,
}

// Across organizations: who holds a link is found by its hash alone; the row names the organization.

/// The open invitation whose token has this hash.
pub async fn by_hash(db: &dyn Database, hash: &str, now: Millis) -> Result<Option<InvitationRow>, DatabaseError> {
    let query = Query::one(
        concat!("SELECT ", invitation_columns!(), " FROM invitations WHERE hash = ?1 AND", is_open!()),
        [hash.into(), now.into()],
    );
    db.ask(query).await
}

/// The user of the good link whose token has this hash.
pub async fn reset_by_hash(db: &dyn Database, hash: &str, now: Millis) -> Result<Option<ResetRow>, DatabaseError> {
    let query = Query::one(
        concat!(
            "SELECT u.id, u.uid, m.organization_id, u.email, u.session_epoch
               FROM password_resets r JOIN users u ON u.id = r.user_id JOIN memberships m ON m.user_id = u.id
              WHERE r.hash = ?1 AND",
            is_good!(),
            " ORDER BY m.organization_id LIMIT 1"
        ),
        [hash.into(), now.into()],
    );
    db.ask(query).await
}

/// Sets the password of a good link's user, ends the sessions and removes the link; says whether it did, which it does
/// not when the link is not good any more. Three statements: the change, `noted`, and the removal.
pub fn reset(hash: &str, password: &str, now: Millis, noted: Stmt) -> (Query<bool>, Stmt, Stmt) {
    (
        Query::any(
            concat!(
                "UPDATE users SET password = ?3, session_epoch = session_epoch + 1
                  WHERE id = (SELECT u.id FROM password_resets r JOIN users u ON u.id = r.user_id
                                JOIN memberships m ON m.user_id = u.id
                               WHERE r.hash = ?1 AND",
                is_good!(),
                ") RETURNING id"
            ),
            [hash.into(), now.into(), password.into()],
        ),
        noted,
        Stmt::new("DELETE FROM password_resets WHERE hash = ?1", [hash.into()]),
    )
}

/// Removes a user's open link once the user has this password (a PHC string): whoever knows the old one, or holds the
/// link, is not to choose another.
pub fn delete_reset(user_id: i64, password: &str) -> Stmt {
    Stmt::new(
        "DELETE FROM password_resets
          WHERE user_id = ?1 AND EXISTS (SELECT 1 FROM users WHERE id = ?1 AND password = ?2)",
        [user_id.into(), password.into()],
    )
}
