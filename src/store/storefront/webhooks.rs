//! `webhooks`: where a shop wants to be told, and of what. What it is told is `deliveries`'s.

use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};
use crate::store::{OrganizationId, Query, flag};

/// A webhook as stored, but for its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookRow {
    /// Public id.
    pub uid: String,
    /// Where it is told.
    pub url: String,
    /// JSON array of the events' names.
    pub events: String,
    /// Whether it is told anything.
    #[serde(deserialize_with = "flag")]
    pub is_enabled: bool,
    /// When it was made.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// Makes a webhook with a sealed secret, unless there are `most`; whether it was made. Its batch fails with a conflict when
/// the organization has one with this address.
pub fn insert(organization: OrganizationId, row: &WebhookRow, secret: &str, most: i64) -> Query<bool> {
    Query::any(
        "INSERT INTO webhooks (organization_id, uid, url, secret, events, is_enabled, created_at, updated_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7
          WHERE (SELECT count(*) FROM webhooks WHERE organization_id = ?1) < ?8 RETURNING id",
        [
            organization.into(),
            (&row.uid).into(),
            (&row.url).into(),
            secret.into(),
            (&row.events).into(),
            row.is_enabled.into(),
            row.created_at.into(),
            most.into(),
        ],
    )
}

/// What is changed of a webhook; `None` stays as it is.
#[derive(Default)]
pub struct WebhookChange {
    /// Where it is told.
    pub url: Option<String>,
    /// The secret, sealed.
    pub secret: Option<String>,
    /// JSON array of the events' names.
    pub events: Option<String>,
    /// Whether it is told anything.
    pub is_enabled: Option<bool>,
}

/// The statement that changes a webhook. Its batch fails with a conflict when the organization has another with its address.
pub fn update(organization: OrganizationId, uid: &str, change: WebhookChange, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE webhooks SET url = coalesce(?3, url), secret = coalesce(?4, secret), events = coalesce(?5, events),
                is_enabled = coalesce(?6, is_enabled), updated_at = ?7
          WHERE organization_id = ?1 AND uid = ?2 RETURNING id",
        [
            organization.into(),
            uid.into(),
            change.url.into(),
            change.secret.into(),
            change.events.into(),
            change.is_enabled.into(),
            now.into(),
        ],
    )
}

/// Deletes a webhook with its log; whether there was one.
pub fn delete(organization: OrganizationId, uid: &str) -> Query<bool> {
    Query::any(
        "DELETE FROM webhooks WHERE organization_id = ?1 AND uid = ?2 RETURNING id",
        [organization.into(), uid.into()],
    )
}

/// Looks a webhook up.
pub fn by_uid(organization: OrganizationId, uid: &str) -> Query<Option<WebhookRow>> {
    Query::one(
        "SELECT uid, url, events, is_enabled, created_at, updated_at FROM webhooks
          WHERE organization_id = ?1 AND uid = ?2",
        [organization.into(), uid.into()],
    )
}

/// All webhooks of an organization, the oldest first.
pub fn all(organization: OrganizationId) -> Query<Vec<WebhookRow>> {
    Query::all(
        "SELECT uid, url, events, is_enabled, created_at, updated_at FROM webhooks
          WHERE organization_id = ?1 ORDER BY id",
        [organization.into()],
    )
}

// Across organizations: a key of ENCRYPTION_KEY seals for all of them.

/// The secrets.
pub const SEALED: SealedColumn = SealedColumn { name: "webhooks.secret", counts, sealed_by, replace };

fn counts() -> Query<Vec<KeyCount>> {
    Query::all("SELECT substr(secret, 4, 8) AS key_id, count(*) AS count FROM webhooks GROUP BY 1", [])
}

fn sealed_by(keys: String, limit: i64) -> Query<Vec<SealedRow>> {
    Query::all(
        "SELECT uid, secret AS sealed FROM webhooks
          WHERE substr(secret, 4, 8) IN (SELECT value FROM json_each(?1)) LIMIT ?2",
        [keys.into(), limit.into()],
    )
}

fn replace(texts: String) -> Query<Vec<Replaced>> {
    Query::all(
        "UPDATE webhooks SET secret = j.value ->> 'new' FROM json_each(?1) j
          WHERE webhooks.uid = j.value ->> 'uid' AND secret = j.value ->> 'old' RETURNING id",
        [texts.into()],
    )
}
