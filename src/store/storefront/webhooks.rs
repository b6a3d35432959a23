//! `webhooks`: where a shop wants to be told, and of what. What it is told is `deliveries`'s.

use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::kernel::sealed::{KeyCount, Replaced, SealedColumn, SealedRow};
use crate::store::{OrganizationId, Query, Update, flag};

/// A webhook as stored, but for its secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookRow {
    /// Public id.
    pub uid: String,
    /// Where it is told.
    pub url: String,
    /// JSON array of the events' names.
    pub events: String,
    /// JSON array of the packages that it is told of, each as it was written and with its first and last name; `None` is all.
    pub packages: Option<String>,
    /// Composer's name of the least stable versions that it is told of; `None` is all but dev.
    pub stability: Option<String>,
    /// How many days before an end it is told of that.
    pub lead_days: i64,
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
        "INSERT INTO webhooks (organization_id, uid, url, secret, events, is_enabled, created_at, updated_at, packages,
                stability, lead_days)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?9, ?10, ?11
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
            row.packages.as_ref().into(),
            row.stability.as_ref().into(),
            row.lead_days.into(),
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
    /// Of which packages, as in [`WebhookRow`].
    pub packages: Update<String>,
    /// Of how stable versions.
    pub stability: Update<String>,
    /// How many days before an end.
    pub lead_days: Option<i64>,
    /// Whether it is told anything.
    pub is_enabled: Option<bool>,
}

/// The statement that changes a webhook. Its batch fails with a conflict when the organization has another with its address.
pub fn update(organization: OrganizationId, uid: &str, change: WebhookChange, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE webhooks SET url = coalesce(?3, url), secret = coalesce(?4, secret), events = coalesce(?5, events),
                is_enabled = coalesce(?6, is_enabled), updated_at = ?7, packages = iif(?8, ?9, packages),
                stability = iif(?10, ?11, stability), lead_days = coalesce(?12, lead_days)
          WHERE organization_id = ?1 AND uid = ?2 RETURNING id",
        [
            organization.into(),
            uid.into(),
            change.url.into(),
            change.secret.into(),
            change.events.into(),
            change.is_enabled.into(),
            now.into(),
            change.packages.is_set().into(),
            change.packages.into_value().into(),
            change.stability.is_set().into(),
            change.stability.into_value().into(),
            change.lead_days.into(),
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

macro_rules! columns {
    () => {
        "SELECT uid, url, events, packages, stability, lead_days, is_enabled, created_at, updated_at FROM webhooks"
    };
}

/// Looks a webhook up.
pub fn by_uid(organization: OrganizationId, uid: &str) -> Query<Option<WebhookRow>> {
    Query::one(concat!(columns!(), " WHERE organization_id = ?1 AND uid = ?2"), [organization.into(), uid.into()])
}

/// What signs the deliveries of a webhook.
#[derive(Deserialize)]
pub struct WebhookSecret {
    /// Sealed.
    pub secret: String,
}

/// Looks the secret of a webhook up.
pub fn sealed_secret(organization: OrganizationId, uid: &str) -> Query<Option<WebhookSecret>> {
    Query::one("SELECT secret FROM webhooks WHERE organization_id = ?1 AND uid = ?2", [organization.into(), uid.into()])
}

/// All webhooks of an organization, the oldest first.
pub fn all(organization: OrganizationId) -> Query<Vec<WebhookRow>> {
    Query::all(concat!(columns!(), " WHERE organization_id = ?1 ORDER BY id"), [organization.into()])
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
