//! `password_resets`: links that let their holder choose a user's new password, once.
//!
//! A link can do no more than whoever issued it still may: [`link_issuers`](crate::store::identity::link_issuers).

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::users::{ManagedUsers, UserChangeOutcome, by_uid};
use crate::store::identity::link_issuers::{LinkIssuer, NewLinkIssuer, is_unchanged, with_issuer};
use crate::store::{OrganizationId, Query};

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
    /// Who issues it.
    pub issuer: &'a NewLinkIssuer,
    /// Now.
    pub created_at: Millis,
    /// When it ends.
    pub expires_at: Millis,
}

/// Makes a link to a new password, in place of the one before. It is refused when the user is blocked or not the issuer's
/// to manage. `noted` is run right behind the change, here and below.
pub async fn insert(db: &dyn Database, new: NewReset<'_>, noted: Stmt) -> Result<UserChangeOutcome, DatabaseError> {
    let [user, token, admin] = new.issuer.columns();
    let insert = Query::any(
        "INSERT INTO password_resets (user_id, hash, issued_by, token_id, admin_key, created_at, expires_at)
         SELECT u.id, ?4, ?5, ?6, ?7, ?8, ?9 FROM users u JOIN memberships m ON m.user_id = u.id
          WHERE m.organization_id = ?1 AND u.uid = ?2 AND u.blocked_at IS NULL
            AND m.role IN (SELECT value FROM json_each(?3))
            AND (NOT ?10 OR NOT EXISTS (SELECT 1 FROM memberships e
                                         WHERE e.user_id = u.id AND e.organization_id <> ?1))
         ON CONFLICT (user_id) DO UPDATE SET hash = ?4, issued_by = ?5, token_id = ?6, admin_key = ?7, created_at = ?8,
                expires_at = ?9
         RETURNING user_id",
        [
            new.organization.into(),
            new.user_uid.into(),
            (&new.managed.roles).into(),
            new.hash.into(),
            user,
            token,
            admin,
            new.created_at.into(),
            new.expires_at.into(),
            new.managed.are_only_here.into(),
        ],
    );
    let (is_made, (), user) = db.ask((insert, noted, by_uid(new.organization, new.user_uid))).await?;
    Ok(UserChangeOutcome::of(is_made, user))
}

/// Whom a link is for, and who has issued it.
#[derive(Debug, Clone, Deserialize)]
pub struct ResetRow {
    /// Primary key.
    pub id: i64,
    /// Public id.
    pub uid: String,
    /// E-mail address.
    pub email: String,
    /// The first of the user's organizations.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// The role there.
    pub role: String,
    /// How many these are.
    pub organizations: i64,
    /// Sessions of an earlier epoch are void.
    pub session_epoch: i64,
    /// Who has issued it, as they are now in that organization.
    #[serde(flatten)]
    pub issuer: LinkIssuer,
}

// Across organizations: who holds a link is found by its hash alone; the row names the organization.

/// The link whose token has this hash, if it has not ended by time and its user is not blocked.
pub async fn by_hash(db: &dyn Database, hash: &str, now: Millis) -> Result<Option<ResetRow>, DatabaseError> {
    let query = Query::one(
        concat!(
            with_issuer!(),
            "SELECT u.id, u.uid, u.email, u.session_epoch, m.role, m.organization_id, r.issued_by AS user_id, r.token_id,
                    r.admin_key, (SELECT count(*) FROM memberships o WHERE o.user_id = u.id) AS organizations
               FROM password_resets r JOIN users u ON u.id = r.user_id JOIN memberships m ON m.user_id = u.id
              WHERE r.hash = ?1 AND r.expires_at > ?2 AND u.blocked_at IS NULL
              ORDER BY m.organization_id LIMIT 1) l"
        ),
        [hash.into(), now.into()],
    );
    db.ask(query).await
}

/// Sets the password of a link's user, ends the sessions and removes the link; says whether it did, which it does not when
/// the link, its user or its issuer is not what was found any more. Three statements: the change, `noted`, and the removal.
pub fn carry_out(hash: &str, found: &ResetRow, password: &str, now: Millis, noted: Stmt) -> (Query<bool>, Stmt, Stmt) {
    (
        Query::any(
            concat!(
                "UPDATE users SET password = ?3, session_epoch = session_epoch + 1
                  WHERE id = (SELECT r.user_id FROM password_resets r WHERE r.hash = ?1 AND r.expires_at > ?2)
                    AND session_epoch = ?4 AND blocked_at IS NULL
                    AND (SELECT count(*) FROM memberships o WHERE o.user_id = users.id) = ?5 AND",
                is_unchanged!(),
                " RETURNING id"
            ),
            [
                hash.into(),
                now.into(),
                password.into(),
                found.session_epoch.into(),
                found.organizations.into(),
                found.issuer.state(found.organization).into(),
            ],
        ),
        noted,
        Stmt::new(
            "DELETE FROM password_resets WHERE hash = ?1 AND EXISTS (SELECT 1 FROM users WHERE id = ?2 AND password = ?3)",
            [hash.into(), found.id.into(), password.into()],
        ),
    )
}

/// Removes a user's open link once the user has this password (a PHC string): whoever knows the old one, or holds the
/// link, is not to choose another.
pub fn delete(user_id: i64, password: &str) -> Stmt {
    Stmt::new(
        "DELETE FROM password_resets
          WHERE user_id = ?1 AND EXISTS (SELECT 1 FROM users WHERE id = ?1 AND password = ?2)",
        [user_id.into(), password.into()],
    )
}
