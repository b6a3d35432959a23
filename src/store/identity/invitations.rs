//! `invitations`: links that let their holder become a user, once.
//!
//! A link can do no more than whoever issued it still may: [`link_issuers`](crate::store::identity::link_issuers).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::users::{ManagedUsers, UserRow, by_uid};
use crate::store::identity::link_issuers::{LinkIssuer, NewLinkIssuer, is_unchanged, is_void, with_issuer};
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

/// What makes an invitation open at `?2`, unless its issuer cannot issue it any more.
macro_rules! is_open {
    () => {
        " expires_at > ?2"
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
    /// Who invites.
    pub issuer: &'a NewLinkIssuer,
    /// Now.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

/// Somebody who has issued invitations, and the role of some of them.
#[derive(Debug, Clone, Deserialize)]
pub struct InvitingIssuer {
    /// Who.
    #[serde(flatten)]
    pub issuer: LinkIssuer,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: String,
}

/// Reads who has issued an organization's invitations that have not ended by time, and for which roles.
pub fn issuers(organization: OrganizationId, now: Millis) -> Query<Vec<InvitingIssuer>> {
    Query::all(
        concat!(
            with_issuer!(),
            "SELECT DISTINCT organization_id, invited_by AS user_id, token_id, admin_key, role
               FROM invitations WHERE organization_id = ?1 AND",
            is_open!(),
            ") l"
        ),
        [organization.into(), now.into()],
    )
}

/// Makes an invitation and reads it back, in place of those that have ended or are `void` (a list of [`LinkIssuer::links`]);
/// `None` when the address is a user's already. A [`DatabaseError::Conflict`] says that the address has an open invitation.
/// `noted` is run right behind the change, here and below.
pub async fn insert(
    db: &dyn Database,
    new: NewInvitation<'_>,
    void: &[Value],
    noted: Stmt,
) -> Result<Option<InvitationRow>, DatabaseError> {
    let clean = Stmt::new(
        concat!("DELETE FROM invitations WHERE organization_id = ?1 AND (NOT (", is_open!(), ") OR", is_void!(), ")"),
        [new.organization.into(), new.created_at.into(), json!(void).to_string().into()],
    );
    let [user, token, admin] = new.issuer.columns();
    let insert = Query::one(
        concat!(
            "INSERT INTO invitations (uid, organization_id, email, role, hash, invited_by, token_id, admin_key,
                    created_at, expires_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 WHERE NOT EXISTS (SELECT 1 FROM users WHERE email = ?3)
             RETURNING ",
            invitation_columns!()
        ),
        [
            new.uid.into(),
            new.organization.into(),
            new.email.into(),
            new.role.into(),
            new.hash.into(),
            user,
            token,
            admin,
            new.created_at.into(),
            new.expires_at.into(),
        ],
    );
    let ((), made, ()) = db.ask((clean, insert, noted)).await?;
    Ok(made)
}

/// A page of an organization's open invitations but for those that are `void`, newest first, and how many there are in all.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    now: Millis,
    void: &[Value],
    page: Page,
) -> Result<(Vec<InvitationRow>, i64), DatabaseError> {
    let void = json!(void).to_string();
    let invitations = Query::all(
        concat!(
            "SELECT ",
            invitation_columns!(),
            " FROM invitations WHERE organization_id = ?1 AND",
            is_open!(),
            " AND NOT",
            is_void!(),
            " ORDER BY id DESC LIMIT ?4 OFFSET ?5"
        ),
        [organization.into(), now.into(), (&void).into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        concat!(
            "SELECT count(*) AS total FROM invitations WHERE organization_id = ?1 AND",
            is_open!(),
            " AND NOT",
            is_void!()
        ),
        [organization.into(), now.into(), (&void).into()],
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

/// Removes an open invitation to be one of `managed`, whatever its issuer may still do.
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
    /// Its issuer, as they were found to be.
    pub issuer: &'a LinkIssuer,
}

/// Makes the user whom an open invitation names, and removes the invitation; `None` when it is not open any more, or its
/// issuer has changed. A [`DatabaseError::Conflict`] says that the address is a user's already.
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
            is_open!(),
            " AND",
            is_unchanged!()
        ),
        [
            by.hash.into(),
            by.now.into(),
            by.user_uid.into(),
            by.name.into(),
            by.password.into(),
            by.issuer.state(organization).into(),
        ],
    );
    // There is a user of this new public id only if that has made it.
    let membership = Stmt::new(
        "INSERT INTO memberships (user_id, organization_id, role, created_at)
         SELECT u.id, i.organization_id, i.role, ?2 FROM invitations i JOIN users u ON u.uid = ?3 WHERE i.hash = ?1",
        [by.hash.into(), by.now.into(), by.user_uid.into()],
    );
    let delete = Stmt::new(
        "DELETE FROM invitations WHERE hash = ?1 AND EXISTS (SELECT 1 FROM users WHERE uid = ?2)",
        [by.hash.into(), by.user_uid.into()],
    );
    let (.., user) = db.ask((insert, membership, noted, delete, by_uid(organization, by.user_uid))).await?;
    Ok(user)
}

/// An invitation with whoever has issued it.
#[derive(Debug, Clone, Deserialize)]
pub struct IssuedInvitation {
    /// The invitation.
    #[serde(flatten)]
    pub invitation: InvitationRow,
    /// Who invites.
    #[serde(flatten)]
    pub issuer: LinkIssuer,
}

// Across organizations: who holds an invitation is found by its hash alone; the row names the organization.

/// The invitation whose token has this hash, if it has not ended by time.
pub async fn by_hash(db: &dyn Database, hash: &str, now: Millis) -> Result<Option<IssuedInvitation>, DatabaseError> {
    let query = Query::one(
        concat!(
            with_issuer!(),
            "SELECT ",
            invitation_columns!(),
            ", invited_by AS user_id, token_id, admin_key FROM invitations WHERE hash = ?1 AND",
            is_open!(),
            ") l"
        ),
        [hash.into(), now.into()],
    );
    db.ask(query).await
}
