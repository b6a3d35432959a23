//! `tokens` and `grants`: credentials by their hash, and what each may see.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::{Page, Update, json_text, total};

/// A grant as stored; [`crate::registry::access`] gives it its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    /// `*`, a package name, or a pattern with `*`.
    pub target: String,
    /// A Composer version constraint.
    pub version_constraint: String,
    /// Only versions released up to this moment.
    pub updates_until: Option<Millis>,
    /// Composer's name of a stability.
    pub minimum_stability: String,
    /// When the grant ends.
    pub expires_at: Option<Millis>,
}

/// A live token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The organization it belongs to.
    pub organization_id: i64,
    /// Free text of whoever made it.
    pub description: String,
    /// Scope names.
    #[serde(deserialize_with = "json_text")]
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Millis>,
    /// Requests an hour, when it has a limit of its own.
    pub rate_limit_max: Option<i64>,
    /// The caller's own JSON object.
    #[serde(deserialize_with = "json_text")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last presented; up to ten minutes behind.
    pub last_used_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
    /// Counts its changes.
    pub revision: i64,
    /// What it may see.
    #[serde(deserialize_with = "json_text")]
    pub grants: Vec<GrantRow>,
}

macro_rules! columns_but_expiry {
    () => {
        "id, uid, organization_id, description, scopes, rate_limit_max, metadata, created_at, last_used_at, revoked_at,
         revision,
         (SELECT json_group_array(json_object('target', g.target, 'version_constraint', g.version_constraint,
                 'updates_until', g.updates_until, 'minimum_stability', g.minimum_stability,
                 'expires_at', g.expires_at))
            FROM grants g WHERE g.token_id = tokens.id) AS grants"
    };
}

macro_rules! token_columns {
    () => {
        concat!("expires_at, ", columns_but_expiry!())
    };
}

/// Looks a live token up by its hash (SHA-256, lowercase hex) and notes that it was used; one [`TokenRow`] or none.
/// By the hash of the secret before the last rotation it is found until that one's time is over, and ends with it.
pub fn present(hash: &str, now: Millis) -> Stmt {
    Stmt::new(
        concat!(
            "UPDATE tokens SET last_used_at = ?2
              WHERE (hash = ?1 OR (previous_hash = ?1 AND previous_until > ?2)) AND revoked_at IS NULL
             RETURNING CASE WHEN hash = ?1 THEN expires_at
                            ELSE min(previous_until, coalesce(expires_at, previous_until)) END AS expires_at, ",
            columns_but_expiry!()
        ),
        [hash.into(), now.into()],
    )
}

/// Notes that a token was used.
pub fn touch(id: i64, now: Millis) -> Stmt {
    Stmt::new("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1", [id.into(), now.into()])
}

/// Makes a token with its grants, both or nothing. `hash` is the SHA-256 of its secret, lowercase hex; the row's primary
/// key is the database's to give. `noted` is run right behind the change, here and below.
pub async fn insert(db: &dyn Database, hash: &str, row: &TokenRow, noted: Stmt) -> Result<(), DatabaseError> {
    let token = Stmt::new(
        "INSERT INTO tokens (uid, organization_id, hash, description, scopes, expires_at, rate_limit_max, metadata,
                created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [
            (&row.uid).into(),
            row.organization_id.into(),
            hash.into(),
            (&row.description).into(),
            json!(row.scopes).to_string().into(),
            row.expires_at.into(),
            row.rate_limit_max.into(),
            json!(row.metadata).to_string().into(),
            row.created_at.into(),
        ],
    );
    db.batch(vec![token, noted, insert_grants(row.organization_id, &row.uid, None, &row.grants)]).await?;
    Ok(())
}

fn insert_grants(organization_id: i64, uid: &str, revision: Option<i64>, grants: &[GrantRow]) -> Stmt {
    Stmt::new(
        "INSERT INTO grants (token_id, target, version_constraint, updates_until, minimum_stability, expires_at)
         SELECT t.id, g.value ->> 'target', g.value ->> 'version_constraint', g.value ->> 'updates_until',
                g.value ->> 'minimum_stability', g.value ->> 'expires_at'
           FROM json_each(?3) g
           JOIN tokens t ON t.organization_id = ?1 AND t.uid = ?2 AND t.revoked_at IS NULL
                        AND (?4 IS NULL OR t.revision = ?4)",
        [organization_id.into(), uid.into(), json!(grants).to_string().into(), revision.into()],
    )
}

/// What an update sets; a field that is `None` stays as it is.
#[derive(Default)]
pub struct TokenChanges {
    /// Free text.
    pub description: Option<String>,
    /// JSON array of scope names.
    pub scopes: Option<String>,
    /// When it ends; cleared is never.
    pub expires_at: Update<Millis>,
    /// Requests an hour; cleared is the default.
    pub rate_limit_max: Update<i64>,
    /// JSON object.
    pub metadata: Option<String>,
    /// The complete list of grants.
    pub grants: Option<Vec<GrantRow>>,
}

/// A token with the hashes that look-up caches know it by.
#[derive(Debug, Clone, Deserialize)]
pub struct HashedTokenRow {
    /// SHA-256 of the token, lowercase hex.
    pub hash: String,
    /// The same of its secret before the last rotation.
    pub previous_hash: Option<String>,
    /// Until when that one works.
    pub previous_until: Option<Millis>,
    /// The token.
    #[serde(flatten)]
    pub token: TokenRow,
}

/// Updates a live token; `None` when there is none of that id, or when it is not at `revision` any more, if one is given.
pub async fn update(
    db: &dyn Database,
    organization_id: i64,
    uid: &str,
    revision: Option<i64>,
    changes: TokenChanges,
    noted: Stmt,
) -> Result<Option<HashedTokenRow>, DatabaseError> {
    let change = Stmt::new(
        "UPDATE tokens SET description = coalesce(?3, description), scopes = coalesce(?4, scopes),
                expires_at = CASE WHEN ?5 THEN ?6 ELSE expires_at END,
                rate_limit_max = CASE WHEN ?7 THEN ?8 ELSE rate_limit_max END,
                metadata = coalesce(?9, metadata), revision = revision + 1
          WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL AND (?10 IS NULL OR revision = ?10)
         RETURNING id",
        [
            organization_id.into(),
            uid.into(),
            changes.description.into(),
            changes.scopes.into(),
            changes.expires_at.is_set().into(),
            changes.expires_at.into_value().into(),
            changes.rate_limit_max.is_set().into(),
            changes.rate_limit_max.into_value().into(),
            changes.metadata.into(),
            revision.into(),
        ],
    );
    // The grants come first: all of the batch goes by the revision as it was before.
    let mut batch = Vec::new();
    if let Some(grants) = &changes.grants {
        batch.push(Stmt::new(
            "DELETE FROM grants WHERE token_id =
                (SELECT id FROM tokens WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL
                    AND (?3 IS NULL OR revision = ?3))",
            [organization_id.into(), uid.into(), revision.into()],
        ));
        batch.push(insert_grants(organization_id, uid, revision, grants));
    }
    let place = batch.len();
    batch.extend([change, noted, by_uid(organization_id, uid)]);
    let mut results = db.batch(batch).await?;
    let row = results.pop().unwrap_or_default().first()?;
    let has_changed = results.get(place).is_some_and(|rows| !rows.0.is_empty());
    Ok(row.filter(|_| has_changed))
}

/// Looks a live token up by its public id; one [`HashedTokenRow`] or none.
pub fn by_uid(organization_id: i64, uid: &str) -> Stmt {
    Stmt::new(
        concat!(
            "SELECT hash, previous_hash, previous_until, ",
            token_columns!(),
            " FROM tokens WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL"
        ),
        [organization_id.into(), uid.into()],
    )
}

/// Looks a token up by its public id, a revoked one too; one [`HashedTokenRow`] or none.
pub fn known(organization_id: i64, uid: &str) -> Stmt {
    Stmt::new(
        concat!(
            "SELECT hash, previous_hash, previous_until, ",
            token_columns!(),
            " FROM tokens WHERE organization_id = ?1 AND uid = ?2"
        ),
        [organization_id.into(), uid.into()],
    )
}

/// What became of a revocation.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// The token as it is now.
    pub token: HashedTokenRow,
    /// Whether it was this call that revoked it.
    pub is_new: bool,
}

/// Revokes a token; `None` when there is none of that id. One that was revoked before is told as such, so that whoever
/// asks again, because the first answer got lost, still has every copy of it forgotten. One that is not at `revision`
/// any more, if one is given, is left alone.
pub async fn revoke(
    db: &dyn Database,
    organization_id: i64,
    uid: &str,
    revision: Option<i64>,
    now: Millis,
    noted: Stmt,
) -> Result<Option<Revocation>, DatabaseError> {
    let revoke = Stmt::new(
        "UPDATE tokens SET revoked_at = ?3, revision = revision + 1
          WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL AND (?4 IS NULL OR revision = ?4)
         RETURNING id",
        [organization_id.into(), uid.into(), now.into(), revision.into()],
    );
    let mut results = db.batch(vec![revoke, noted, known(organization_id, uid)]).await?;
    let token = results.pop().unwrap_or_default().first()?;
    let is_new = results.first().is_some_and(|rows| !rows.0.is_empty());
    Ok(token.map(|token| Revocation { token, is_new }))
}

/// A page of an organization's live tokens, newest first, and how many there are in all.
pub async fn page(db: &dyn Database, organization_id: i64, page: Page) -> Result<(Vec<TokenRow>, i64), DatabaseError> {
    let mut results = db
        .batch(vec![
            Stmt::new(
                concat!(
                    "SELECT ",
                    token_columns!(),
                    " FROM tokens WHERE organization_id = ?1 AND revoked_at IS NULL
                       ORDER BY id DESC LIMIT ?2 OFFSET ?3"
                ),
                [organization_id.into(), page.limit.into(), page.offset.into()],
            ),
            Stmt::new(
                "SELECT count(*) AS total FROM tokens WHERE organization_id = ?1 AND revoked_at IS NULL",
                [organization_id.into()],
            ),
        ])
        .await?
        .into_iter();
    let tokens = results.next().unwrap_or_default().decode()?;
    Ok((tokens, total(results.next().unwrap_or_default())?))
}
