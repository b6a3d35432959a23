//! `tokens`: credentials by their hash, and whom they were made for.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Argument, Database, DatabaseError, Millis, Stmt};
pub use crate::store::access::grants::GrantRow;
use crate::store::access::rate_limits::RateLimits;
use crate::store::access::{grants, past_grants};
use crate::store::{OrganizationId, Page, Query, Update, flag, json_text, optional_json_text};

/// A live token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The organization it belongs to.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// What that is called; `None` of a token that was not read from the database.
    pub organization_slug: Option<String>,
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
    /// Installs that were reported with it, while it was a consumer's.
    pub downloads: i64,
    /// When the last of them was.
    pub last_download_at: Option<Millis>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
    /// Counts its changes.
    pub revision: i64,
    /// Primary key of the consumer whose key pair or further token it is.
    pub consumer_id: Option<i64>,
    /// Whether that consumer is disabled.
    #[serde(deserialize_with = "flag")]
    pub is_disabled: bool,
    /// The limits of its organization, when they are set.
    #[serde(deserialize_with = "optional_json_text")]
    pub rate_limits: Option<RateLimits>,
    /// What it may see; of a consumer's, what that was granted.
    #[serde(deserialize_with = "json_text")]
    pub grants: Vec<GrantRow>,
}

macro_rules! columns_but_expiry {
    () => {
        "id, uid, organization_id, description, scopes, metadata, created_at, last_used_at, downloads, last_download_at,
         revoked_at, revision, consumer_id,
         (SELECT o.slug FROM organizations o WHERE o.id = tokens.organization_id) AS organization_slug,
         coalesce(rate_limit_max, (SELECT c.rate_limit_max FROM consumers c WHERE c.id = tokens.consumer_id))
             AS rate_limit_max,
         EXISTS (SELECT 1 FROM consumers c WHERE c.id = tokens.consumer_id AND c.is_enabled = 0) AS is_disabled,
         (SELECT s.value FROM settings s
           WHERE s.organization_id = tokens.organization_id AND s.key = 'rate_limits') AS rate_limits,
         (SELECT json_group_array(json_object('target', g.target, 'version_constraint', g.version_constraint,
                 'updates_until', g.updates_until, 'minimum_stability', g.minimum_stability,
                 'expires_at', g.expires_at))
            FROM grants g WHERE g.token_id = tokens.id OR g.consumer_id = tokens.consumer_id) AS grants"
    };
}

macro_rules! token_columns {
    () => {
        concat!("expires_at, ", columns_but_expiry!())
    };
}

macro_rules! hashed {
    () => {
        concat!("SELECT hash, previous_hash, previous_until, ", token_columns!())
    };
}

/// Makes a token with its grants, both or nothing. `hash` is the SHA-256 of its secret, lowercase hex; the row's primary
/// key is the database's to give. `noted` is run right behind the change, here and below, and `keep`
/// right behind that.
pub async fn insert(
    db: &dyn Database,
    row: &TokenRow,
    hash: &str,
    noted: Stmt,
    keep: Option<Stmt>,
) -> Result<(), DatabaseError> {
    let token = Stmt::new(
        "INSERT INTO tokens (uid, organization_id, hash, description, scopes, expires_at, rate_limit_max, metadata,
                created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        [
            (&row.uid).into(),
            row.organization.into(),
            hash.into(),
            (&row.description).into(),
            json!(row.scopes).to_string().into(),
            row.expires_at.into(),
            row.rate_limit_max.into(),
            json!(row.metadata).to_string().into(),
            row.created_at.into(),
        ],
    );
    let grants = grants::insert(row.organization, &row.uid, None, &row.grants);
    db.ask((token, noted, keep, grants)).await.map(drop)
}

/// What an update sets; a field that is `None` stays as it is.
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
    /// Now.
    pub at: Millis,
}

/// A token with the hashes that look-up caches know it by.
#[derive(Debug, Clone, Deserialize)]
pub struct HashedTokenRow {
    /// SHA-256 of the token, lowercase hex.
    pub hash: String,
    /// The same of its secret before the last rotation.
    pub previous_hash: Option<String>,
    /// Until when that one works, if it did not end at once.
    pub previous_until: Option<Millis>,
    /// The token.
    #[serde(flatten)]
    pub token: TokenRow,
}

/// Updates a live token; `None` when there is none of that id, or when it is not at `revision` any more, if one is given.
pub async fn update(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    revision: Option<i64>,
    changes: TokenChanges,
    noted: Stmt,
) -> Result<Option<HashedTokenRow>, DatabaseError> {
    let change = Query::any(
        "UPDATE tokens SET description = coalesce(?3, description), scopes = coalesce(?4, scopes),
                expires_at = CASE WHEN ?5 THEN ?6 ELSE expires_at END,
                rate_limit_max = CASE WHEN ?7 THEN ?8 ELSE rate_limit_max END,
                metadata = coalesce(?9, metadata), revision = revision + 1
          WHERE organization_id = ?1 AND uid = ?2 AND consumer_id IS NULL AND revoked_at IS NULL
            AND (?10 IS NULL OR revision = ?10)
         RETURNING id",
        [
            organization.into(),
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
    let grants = changes.grants.map(|list| {
        [
            past_grants::record_of_token(organization, uid, revision, &list, changes.at),
            grants::delete(organization, uid, revision),
            grants::insert(organization, uid, revision, &list),
        ]
    });
    let (_, has_changed, (), row) = db.ask((grants, change, noted, by_uid(organization, uid))).await?;
    Ok(row.filter(|_| has_changed))
}

/// Looks a live token up by its public id, unless it is a consumer's.
pub fn by_uid(organization: OrganizationId, uid: &str) -> Query<Option<HashedTokenRow>> {
    Query::one(
        concat!(
            hashed!(),
            " FROM tokens WHERE organization_id = ?1 AND uid = ?2 AND consumer_id IS NULL AND revoked_at IS NULL"
        ),
        [organization.into(), uid.into()],
    )
}

/// Whose tokens are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenHolder {
    /// Nobody's: those of `/api/tokens`.
    Anybody,
    /// Those of the consumer with this primary key, less its key pair.
    Consumer(i64),
}

impl From<TokenHolder> for Argument {
    fn from(holder: TokenHolder) -> Self {
        match holder {
            TokenHolder::Anybody => Self::Null,
            TokenHolder::Consumer(id) => id.into(),
        }
    }
}

/// Looks a token up by its public id, a revoked one too.
pub fn known(organization: OrganizationId, holder: TokenHolder, uid: &str) -> Query<Option<HashedTokenRow>> {
    Query::one(
        concat!(
            hashed!(),
            " FROM tokens WHERE organization_id = ?1 AND uid = ?2 AND consumer_id IS ?3
                AND NOT EXISTS (SELECT 1 FROM consumers c WHERE c.uid = tokens.uid)"
        ),
        [organization.into(), uid.into(), holder.into()],
    )
}

/// The live tokens of a consumer, its key pair among them, the oldest first.
pub fn of_consumer(organization: OrganizationId, consumer_id: i64) -> Query<Vec<HashedTokenRow>> {
    Query::all(
        concat!(
            hashed!(),
            " FROM tokens WHERE organization_id = ?1 AND consumer_id = ?2 AND revoked_at IS NULL ORDER BY id"
        ),
        [organization.into(), consumer_id.into()],
    )
}

/// The live tokens of the consumers with these primary keys (JSON array), their key pairs among them, the oldest first.
pub fn of_consumers(organization: OrganizationId, ids: &str) -> Query<Vec<HashedTokenRow>> {
    Query::all(
        concat!(
            hashed!(),
            " FROM tokens WHERE organization_id = ?1 AND consumer_id IN (SELECT value FROM json_each(?2))
                AND revoked_at IS NULL ORDER BY id"
        ),
        [organization.into(), ids.into()],
    )
}

/// Gives a live token that is still at its revision another secret with this hash, and keeps the old one until
/// `previous_until`, if it is to work at all; whether it was done.
pub fn rotate(token: &TokenRow, hash: &str, previous_until: Option<Millis>) -> Query<bool> {
    Query::any(
        "UPDATE tokens SET previous_hash = hash, previous_until = ?4, hash = ?3, revision = revision + 1
          WHERE id = ?1 AND revision = ?2 AND revoked_at IS NULL RETURNING id",
        [token.id.into(), token.revision.into(), hash.into(), previous_until.into()],
    )
}

/// Which tokens count: those that are valid or have expired, or those that were revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenStatus {
    /// Not revoked.
    #[default]
    Live,
    /// Revoked.
    Revoked,
    /// Revoked at this moment or later.
    RevokedSince(Millis),
}

/// Which tokens are meant; every field that is set narrows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenFilter<'a> {
    /// `customer_id` of the metadata.
    pub customer_id: Option<&'a str>,
    /// `order_id` of the metadata.
    pub order_id: Option<&'a str>,
    /// `customer_email` of the metadata, in whatever case.
    pub customer_email: Option<&'a str>,
    /// The description holds this, in whatever case.
    pub description: Option<&'a str>,
    /// Whether it changes nothing.
    pub reads_only: Option<bool>,
    /// Whether its end has come.
    pub has_expired: Option<bool>,
    /// Live or revoked.
    pub standing: TokenStatus,
    /// JSON array of grants: it has no others.
    pub only_granted: Option<&'a str>,
}

macro_rules! narrowed {
    () => {
        " AND (?2 IS NULL OR customer_id = ?2) AND (?3 IS NULL OR order_id = ?3)
          AND (?4 IS NULL OR customer_email = lower(?4))
          AND (?5 IS NULL OR instr(lower(description), lower(?5)) > 0)
          AND (?6 IS NULL OR ?6 = NOT EXISTS (SELECT 1 FROM json_each(scopes) s
                                               WHERE s.value NOT LIKE '%:read' AND s.value <> 'storefront:keys'))
          AND (?7 IS NULL OR ?7 = (expires_at IS NOT NULL AND expires_at <= ?8))
          AND ?9 = (revoked_at IS NOT NULL) AND (?10 IS NULL OR revoked_at >= ?10) AND consumer_id IS NULL
          AND (?11 IS NULL OR NOT EXISTS (SELECT 1 FROM grants g WHERE g.token_id = tokens.id
                 AND json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
              NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                             j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                        FROM json_each(?11) j)))"
    };
}

macro_rules! all {
    () => {
        concat!(" FROM tokens WHERE organization_id = ?1", narrowed!())
    };
}
macro_rules! of_customer {
    () => {
        concat!(" FROM tokens WHERE organization_id = ?1 AND customer_id = ?2", narrowed!())
    };
}
macro_rules! of_order {
    () => {
        concat!(" FROM tokens WHERE organization_id = ?1 AND order_id = ?3", narrowed!())
    };
}
macro_rules! of_email {
    () => {
        concat!(" FROM tokens WHERE organization_id = ?1 AND customer_email = lower(?4)", narrowed!())
    };
}

macro_rules! newest {
    () => {
        " ORDER BY id DESC LIMIT ?12 OFFSET ?13"
    };
}
macro_rules! sorted {
    () => {
        " ORDER BY CASE ?14 WHEN 'created_at' THEN id WHEN 'expires_at' THEN expires_at
                            WHEN 'last_used_at' THEN last_used_at WHEN 'description' THEN lower(description) END
                   NULLS LAST,
                   CASE ?14 WHEN '-expires_at' THEN expires_at WHEN '-last_used_at' THEN last_used_at
                            WHEN '-description' THEN lower(description) END DESC,
                   id DESC
           LIMIT ?12 OFFSET ?13"
    };
}

/// What a list of tokens can be sorted by, as [`listed`] takes it.
pub const SORTS: [&str; 8] = [
    "created_at",
    "-created_at",
    "expires_at",
    "-expires_at",
    "last_used_at",
    "-last_used_at",
    "description",
    "-description",
];

impl TokenFilter<'_> {
    fn args(&self, organization: OrganizationId, now: Millis) -> Vec<Argument> {
        let (is_revoked, since) = match self.standing {
            TokenStatus::Live => (false, None),
            TokenStatus::Revoked => (true, None),
            TokenStatus::RevokedSince(moment) => (true, Some(moment)),
        };
        vec![
            organization.into(),
            self.customer_id.into(),
            self.order_id.into(),
            self.customer_email.into(),
            self.description.into(),
            self.reads_only.into(),
            self.has_expired.into(),
            now.into(),
            is_revoked.into(),
            since.into(),
            self.only_granted.into(),
        ]
    }
}

/// Reads a page of an organization's tokens, by one of [`SORTS`] or else newest first. What it reads grows with the customer's, the order's or the address's tokens when the filter names one of them.
pub fn listed(
    organization: OrganizationId,
    filter: &TokenFilter<'_>,
    sort: Option<&str>,
    page: Page,
    now: Millis,
) -> Query<Vec<HashedTokenRow>> {
    let mut args = filter.args(organization, now);
    args.extend([page.limit.into(), page.offset.into()]);
    if sort.is_none_or(|sort| sort == "-created_at") {
        return match filter {
            TokenFilter { order_id: Some(_), .. } => Query::all(concat!(hashed!(), of_order!(), newest!()), args),
            TokenFilter { customer_id: Some(_), .. } => Query::all(concat!(hashed!(), of_customer!(), newest!()), args),
            TokenFilter { customer_email: Some(_), .. } => Query::all(concat!(hashed!(), of_email!(), newest!()), args),
            _ => Query::all(concat!(hashed!(), all!(), newest!()), args),
        };
    }
    args.push(sort.into());
    match filter {
        TokenFilter { order_id: Some(_), .. } => Query::all(concat!(hashed!(), of_order!(), sorted!()), args),
        TokenFilter { customer_id: Some(_), .. } => Query::all(concat!(hashed!(), of_customer!(), sorted!()), args),
        TokenFilter { customer_email: Some(_), .. } => Query::all(concat!(hashed!(), of_email!(), sorted!()), args),
        _ => Query::all(concat!(hashed!(), all!(), sorted!()), args),
    }
}

/// Counts an organization's tokens.
pub fn counted(organization: OrganizationId, filter: &TokenFilter<'_>, now: Millis) -> Query<i64> {
    let args = filter.args(organization, now);
    match filter {
        TokenFilter { order_id: Some(_), .. } => Query::count(concat!("SELECT count(*) AS total", of_order!()), args),
        TokenFilter { customer_id: Some(_), .. } => {
            Query::count(concat!("SELECT count(*) AS total", of_customer!()), args)
        }
        TokenFilter { customer_email: Some(_), .. } => {
            Query::count(concat!("SELECT count(*) AS total", of_email!()), args)
        }
        _ => Query::count(concat!("SELECT count(*) AS total", all!()), args),
    }
}

/// A page of an organization's tokens, as [`listed`] has it, and how many there are in all.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    filter: &TokenFilter<'_>,
    sort: Option<&str>,
    page: Page,
    now: Millis,
) -> Result<(Vec<TokenRow>, i64), DatabaseError> {
    let batch = (listed(organization, filter, sort, page, now), counted(organization, filter, now));
    let (rows, total) = db.ask(batch).await?;
    Ok((rows.into_iter().map(|row| row.token).collect(), total))
}

// Across organizations: who presents a secret is found by its hash alone; the row names the organization.

/// Looks a live token up by its hash (SHA-256, lowercase hex).
/// By the hash of the secret before the last rotation it is found until that one's time is over, and ends with it.
pub fn find_valid(hash: &str, now: Millis) -> Query<Option<TokenRow>> {
    Query::one(
        concat!(
            "SELECT CASE WHEN hash = ?1 THEN expires_at
                         ELSE min(previous_until, coalesce(expires_at, previous_until)) END AS expires_at, ",
            columns_but_expiry!(),
            " FROM tokens
              WHERE (hash = ?1 OR (previous_hash = ?1 AND previous_until > ?2)) AND revoked_at IS NULL"
        ),
        [hash.into(), now.into()],
    )
}

/// Notes that a token was used.
pub fn touch_last_used(id: i64, now: Millis) -> Stmt {
    Stmt::new("UPDATE tokens SET last_used_at = ?2 WHERE id = ?1", [id.into(), now.into()]).idempotent()
}
