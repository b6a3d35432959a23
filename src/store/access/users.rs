//! `users` and `memberships`: who may sign in, with what, and with which role in which organizations. The second factor
//! is in [`two_factor`](crate::store::identity::two_factor).
//!
//! A user who is in no organization is not found by anything that signs in. One who is looked up without an organization
//! is looked up in the first of its own.
//!
//! An organization always keeps an owner who is not blocked. The statements that could take the last one away see to
//! that themselves, so that two of them at once cannot do it either.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::{OrganizationId, Page, Query, json_text};

/// A user as a member of one of its organizations, without what it signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UserRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The organization of the membership.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// E-mail address, trimmed and in lower case.
    pub email: String,
    /// What people call the user.
    pub name: String,
    /// In that organization: `owner`, `admin`, `member` or `viewer`.
    pub role: String,
    /// Sessions of an earlier epoch are void.
    pub session_epoch: i64,
    /// Since when it may not sign in.
    pub blocked_at: Option<Millis>,
    /// Since when a second factor is needed.
    pub totp_enabled_at: Option<Millis>,
    /// When it was made.
    pub created_at: Millis,
    /// When it last signed in.
    pub last_login_at: Option<Millis>,
    /// Recovery codes that it has not used.
    pub recovery_codes_left: i64,
    /// How many organizations it is in.
    pub organizations: i64,
}

/// Of the user `u` with the membership `m`.
macro_rules! user_columns {
    () => {
        "u.id, u.uid, m.organization_id, u.email, u.name, m.role, u.session_epoch, u.blocked_at, u.totp_enabled_at,
         u.created_at, u.last_login_at,
         (SELECT count(*) FROM recovery_codes r WHERE r.user_id = u.id) AS recovery_codes_left,
         (SELECT count(*) FROM memberships o WHERE o.user_id = u.id) AS organizations"
    };
}

/// A user with what it signs in with.
#[derive(Debug, Clone, Deserialize)]
pub struct CredentialRow {
    /// The user.
    #[serde(flatten)]
    pub user: UserRow,
    /// argon2id as a PHC string.
    pub password: String,
    /// Sealed.
    pub totp_secret: Option<String>,
    /// The latest time step whose code was used.
    pub totp_last_step: i64,
    /// Hashes of the recovery codes that are left.
    #[serde(deserialize_with = "json_text")]
    pub recovery_codes: Vec<String>,
}

macro_rules! credential_columns {
    () => {
        concat!(
            user_columns!(),
            ", u.password, u.totp_secret, u.totp_last_step,
             (SELECT json_group_array(r.hash) FROM recovery_codes r WHERE r.user_id = u.id) AS recovery_codes"
        )
    };
}

/// Looks a member of an organization up by public id.
pub fn by_uid(organization: OrganizationId, uid: &str) -> Query<Option<UserRow>> {
    Query::one(
        concat!(
            "SELECT ",
            user_columns!(),
            " FROM users u JOIN memberships m ON m.user_id = u.id WHERE m.organization_id = ?1 AND u.uid = ?2"
        ),
        [organization.into(), uid.into()],
    )
}

/// How many owners an organization has.
pub async fn owners(db: &dyn Database, organization: OrganizationId) -> Result<i64, DatabaseError> {
    let owners = Query::count(
        "SELECT count(*) AS total FROM memberships WHERE organization_id = ?1 AND role = 'owner'",
        [organization.into()],
    );
    db.ask(owners).await
}

/// Whether a new user is made whoever there is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertCondition {
    /// In any case.
    Always,
    /// Only while the organization has no owner.
    WithoutOwner,
}

/// A user about to be made.
pub struct NewUser<'a> {
    /// Public id.
    pub uid: &'a str,
    /// The organization it is to be a member of.
    pub organization: OrganizationId,
    /// Normalized.
    pub email: &'a str,
    /// What people call the user.
    pub name: &'a str,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: &'a str,
    /// argon2id as a PHC string.
    pub password: String,
    /// Now.
    pub created_at: Millis,
}

/// Makes the user with this public id, if there is one, a member of an organization that it is not in.
pub fn insert_membership(organization: OrganizationId, uid: &str, role: &str, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO memberships (user_id, organization_id, role, created_at)
         SELECT id, ?1, ?3, ?4 FROM users WHERE uid = ?2",
        [organization.into(), uid.into(), role.into(), now.into()],
    )
}

/// Makes a user with its first membership and reads it back; `None` when `only` forbids it. `noted` is run right behind
/// the change, here and below. A [`DatabaseError::Conflict`] says that the address is taken.
pub async fn insert(
    db: &dyn Database,
    new: NewUser<'_>,
    only: InsertCondition,
    noted: Stmt,
) -> Result<Option<UserRow>, DatabaseError> {
    let insert = Stmt::new(
        "INSERT INTO users (uid, email, name, password, created_at)
         SELECT ?1, ?3, ?4, ?5, ?6
          WHERE NOT ?7 OR NOT EXISTS (SELECT 1 FROM memberships WHERE organization_id = ?2 AND role = 'owner')",
        [
            new.uid.into(),
            new.organization.into(),
            new.email.into(),
            new.name.into(),
            new.password.into(),
            new.created_at.into(),
            (only == InsertCondition::WithoutOwner).into(),
        ],
    );
    // There is a user of this new public id only if that has made it.
    let membership = insert_membership(new.organization, new.uid, new.role, new.created_at);
    let (.., user) = db.ask((insert, membership, noted, by_uid(new.organization, new.uid))).await?;
    Ok(user)
}

/// A page of an organization's users, newest first, and how many there are in all; only those whose address or name
/// holds `search`, in whatever case.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    search: Option<&str>,
    page: Page,
) -> Result<(Vec<UserRow>, i64), DatabaseError> {
    let users = Query::all(
        concat!(
            "SELECT ",
            user_columns!(),
            " FROM memberships m JOIN users u ON u.id = m.user_id
               WHERE m.organization_id = ?1
                 AND (?2 IS NULL OR instr(lower(u.email || char(10) || u.name), lower(?2)) > 0)
               ORDER BY m.user_id DESC LIMIT ?3 OFFSET ?4"
        ),
        [organization.into(), search.into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        "SELECT count(*) AS total FROM memberships m JOIN users u ON u.id = m.user_id
          WHERE m.organization_id = ?1
            AND (?2 IS NULL OR instr(lower(u.email || char(10) || u.name), lower(?2)) > 0)",
        [organization.into(), search.into()],
    );
    db.ask((users, total)).await
}

/// What an update sets; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChanges<'a> {
    /// Normalized e-mail address.
    pub email: Option<&'a str>,
    /// What people call the user.
    pub name: Option<&'a str>,
    /// Ends the sessions when it differs.
    pub role: Option<&'a str>,
    /// Ends the sessions when it is true.
    pub is_blocked: Option<bool>,
    /// Takes the second factor away.
    pub without_second_factor: bool,
}

/// Whom somebody may manage in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedUsers {
    /// JSON array of the roles that these have there.
    pub roles: String,
    /// Whether those who are in other organizations too are left out.
    pub are_only_here: bool,
}

impl ManagedUsers {
    /// Everybody: for what users change of their own.
    pub fn everybody() -> Self {
        Self { roles: r#"["owner","admin","member","viewer"]"#.to_owned(), are_only_here: false }
    }
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChangeOutcome {
    /// It was made; the user as it is now, or was before it was removed.
    Done(UserRow),
    /// A guard objected; the user as it is.
    Refused(UserRow),
    /// There is no such user.
    Absent,
}

impl UserChangeOutcome {
    /// Of a change, by whether it was made and the user that was found in the same batch.
    pub fn of(is_made: bool, user: Option<UserRow>) -> Self {
        match user {
            None => Self::Absent,
            Some(user) if is_made => Self::Done(user),
            Some(user) => Self::Refused(user),
        }
    }
}

/// Whether `o` is the membership of the only owner of its organization who is not blocked.
macro_rules! is_last_owner {
    () => {
        "o.role = 'owner' AND EXISTS (SELECT 1 FROM users WHERE id = o.user_id AND blocked_at IS NULL)
         AND NOT EXISTS (SELECT 1 FROM memberships a JOIN users u ON u.id = a.user_id
                          WHERE a.organization_id = o.organization_id AND a.user_id <> o.user_id
                            AND a.role = 'owner' AND u.blocked_at IS NULL)"
    };
}

/// Changes a member who is one of `managed`, unless that would take the last owner away: of this organization or, by
/// blocking, of any other.
pub async fn update(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    managed: &ManagedUsers,
    changes: UserChanges<'_>,
    now: Millis,
    noted: Stmt,
) -> Result<UserChangeOutcome, DatabaseError> {
    let update = Query::any(
        concat!(
            "UPDATE users SET email = coalesce(?4, email), name = coalesce(?5, name),
                    blocked_at = CASE WHEN ?7 IS NULL THEN blocked_at WHEN ?7 THEN coalesce(blocked_at, ?8) END,
                    totp_secret = CASE WHEN ?9 THEN NULL ELSE totp_secret END,
                    totp_enabled_at = CASE WHEN ?9 THEN NULL ELSE totp_enabled_at END,
                    session_epoch = session_epoch + (coalesce(?6, m.role) <> m.role OR coalesce(?7, 0))
               FROM memberships m
              WHERE m.organization_id = ?1 AND m.user_id = users.id AND users.uid = ?2
                AND m.role IN (SELECT value FROM json_each(?3))
                AND (NOT ?10 OR NOT EXISTS (SELECT 1 FROM memberships e
                                             WHERE e.user_id = users.id AND e.organization_id <> ?1))
                AND NOT EXISTS (SELECT 1 FROM memberships o
                                 WHERE o.user_id = users.id AND ",
            is_last_owner!(),
            "     AND (coalesce(?7, 0) OR (o.organization_id = ?1 AND coalesce(?6, o.role) <> 'owner')))
             RETURNING id"
        ),
        [
            organization.into(),
            uid.into(),
            (&managed.roles).into(),
            changes.email.into(),
            changes.name.into(),
            changes.role.into(),
            changes.is_blocked.into(),
            now.into(),
            changes.without_second_factor.into(),
            managed.are_only_here.into(),
        ],
    );
    let role = Stmt::new(
        "UPDATE memberships SET role = coalesce(?3, role)
          WHERE organization_id = ?1 AND user_id = (SELECT id FROM users WHERE uid = ?2) AND changes() > 0",
        [organization.into(), uid.into(), changes.role.into()],
    );
    let codes = Stmt::new(
        "DELETE FROM recovery_codes WHERE user_id =
            (SELECT m.user_id FROM users u JOIN memberships m ON m.user_id = u.id
              WHERE m.organization_id = ?1 AND u.uid = ?2 AND u.totp_enabled_at IS NULL)",
        [organization.into(), uid.into()],
    );
    let (is_changed, .., user) = db.ask((update, role, noted, codes, by_uid(organization, uid))).await?;
    Ok(UserChangeOutcome::of(is_changed, user))
}

/// Removes a member who is one of `managed` from its organization, unless it is the last owner, and ends its sessions. When it is in no other organization, the user goes with all that hangs on it.
pub async fn delete(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    managed: &ManagedUsers,
    noted: Stmt,
) -> Result<UserChangeOutcome, DatabaseError> {
    let leave = Query::any(
        concat!(
            "DELETE FROM memberships AS o
              WHERE o.organization_id = ?1 AND o.user_id = (SELECT id FROM users WHERE uid = ?2)
                AND o.role IN (SELECT value FROM json_each(?3)) AND NOT (",
            is_last_owner!(),
            ") RETURNING user_id"
        ),
        [organization.into(), uid.into(), (&managed.roles).into()],
    );
    // `noted` changes a row if the membership went, and only then: what follows goes by that.
    let end_sessions =
        Stmt::new("UPDATE users SET session_epoch = session_epoch + 1 WHERE uid = ?1 AND changes() > 0", [uid.into()]);
    let delete = Stmt::new(
        "DELETE FROM users
          WHERE uid = ?1 AND changes() > 0 AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id)",
        [uid.into()],
    );
    let batch = (by_uid(organization, uid), leave, noted, end_sessions, delete);
    let (user, has_left, ..) = db.ask(batch).await?;
    Ok(UserChangeOutcome::of(has_left, user))
}

// Across organizations: an account is one in every organization, and is found by what its user signs in with.

/// Looks a user up by e-mail address, in its first organization.
pub fn credentials_by_email(email: &str) -> Query<Option<CredentialRow>> {
    Query::one(
        concat!(
            "SELECT ",
            credential_columns!(),
            " FROM users u JOIN memberships m ON m.user_id = u.id
              WHERE u.email = ?1 ORDER BY m.organization_id LIMIT 1"
        ),
        [email.into()],
    )
}

/// Looks a user up by primary key, in its first organization.
pub fn credentials(id: i64) -> Query<Option<CredentialRow>> {
    Query::one(
        concat!(
            "SELECT ",
            credential_columns!(),
            " FROM users u JOIN memberships m ON m.user_id = u.id
              WHERE u.id = ?1 ORDER BY m.organization_id LIMIT 1"
        ),
        [id.into()],
    )
}

/// Notes a refused login of the user with this primary key, if there is one; changes a row or none.
pub fn touch_failed(id: Option<i64>, now: Millis) -> Stmt {
    Stmt::new("UPDATE users SET last_failed_at = ?2 WHERE id = ?1", [id.into(), now.into()])
}

/// Notes a login, and keeps the password's hash with newer parameters if there is one, once session `session_uid` of
/// this user is made.
pub fn touch_login(id: i64, session_uid: &str, rehashed: Option<String>, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE users SET last_login_at = ?4, password = coalesce(?3, password)
          WHERE id = ?1 AND EXISTS (SELECT 1 FROM sessions WHERE uid = ?2 AND user_id = ?1)",
        [id.into(), session_uid.into(), rehashed.into(), now.into()],
    )
}

/// Sets the password and ends all sessions but `kept`; says whether it did, which it does not when the user was changed
/// or blocked since `epoch`. Three statements: the change, `noted`, and the session that is kept.
pub fn set_password(id: i64, epoch: i64, password: &str, kept: Option<i64>, noted: Stmt) -> (Query<bool>, Stmt, Stmt) {
    (
        Query::any(
            "UPDATE users SET password = ?3, session_epoch = session_epoch + 1
              WHERE id = ?1 AND session_epoch = ?2 AND blocked_at IS NULL RETURNING id",
            [id.into(), epoch.into(), password.into()],
        ),
        noted,
        Stmt::new(
            "UPDATE sessions SET epoch = ?2 + 1
              WHERE id = ?4 AND user_id = ?1 AND epoch = ?2
                AND EXISTS (SELECT 1 FROM users WHERE id = ?1 AND password = ?3)",
            [id.into(), epoch.into(), password.into(), kept.into()],
        ),
    )
}

/// Ends all sessions of a user.
pub fn end_sessions(id: i64) -> Stmt {
    Stmt::new("UPDATE users SET session_epoch = session_epoch + 1 WHERE id = ?1", [id.into()])
}
