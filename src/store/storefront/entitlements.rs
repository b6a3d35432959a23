//! `grants` of consumers, which shops call permissions: what each consumer has. Changing them is `permission_edits`'s, listing
//! those of many consumers `permission_lists`'s.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::Millis;
use crate::store::access::grants::GrantRow;
use crate::store::storefront::consumers::ConsumerId;
use crate::store::{OrganizationId, Query};

/// What a permission says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entitlement {
    /// What it lets through.
    #[serde(flatten)]
    pub grant: GrantRow,
    /// The shop's own id of the order that it was bought with.
    pub order_id: Option<String>,
    /// The shop's own JSON object, as text.
    pub metadata: Option<String>,
}

/// A grant of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PermissionRow {
    /// Primary key; its public id too.
    pub id: i64,
    /// Whose it is.
    pub consumer_id: i64,
    /// Primary key of the package that it names, if there is one of that name.
    pub package_id: Option<i64>,
    /// What it says.
    #[serde(flatten)]
    pub entitlement: Entitlement,
    /// When it was granted.
    pub created_at: Millis,
    /// When it last changed; later with every change.
    pub updated_at: Millis,
}

impl PermissionRow {
    /// What it lets through.
    pub fn grant(&self) -> &GrantRow {
        &self.entitlement.grant
    }
}

/// What is read of permissions; `?1` is the organization.
macro_rules! permissions {
    () => {
        "SELECT g.id, g.consumer_id, p.id AS package_id, g.target, g.version_constraint, g.updates_until,
                g.minimum_stability, g.expires_at, g.order_id, g.metadata, g.created_at, g.updated_at
           FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
           LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = g.target"
    };
}

pub(crate) use permissions;

/// Looks a permission up.
pub fn by_id(organization: OrganizationId, id: i64) -> Query<Option<PermissionRow>> {
    Query::one(concat!(permissions!(), " WHERE g.id = ?2"), [organization.into(), id.into()])
}

/// All permissions of a consumer, the oldest first.
pub fn of_consumer(organization: OrganizationId, consumer_id: i64) -> Query<Vec<PermissionRow>> {
    Query::all(
        concat!(permissions!(), " WHERE g.consumer_id = ?2 ORDER BY g.id"),
        [organization.into(), consumer_id.into()],
    )
}

/// All permissions of the consumers with these primary keys (JSON array), the oldest first.
pub fn of_consumers(organization: OrganizationId, ids: &str) -> Query<Vec<PermissionRow>> {
    Query::all(
        concat!(permissions!(), " WHERE g.consumer_id IN (SELECT value FROM json_each(?2)) ORDER BY g.id"),
        [organization.into(), ids.into()],
    )
}

/// Reads the different grants that the consumers with these primary keys (JSON array) have, `limit` at most.
pub fn different(organization: OrganizationId, ids: &str, limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT DISTINCT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at
           FROM json_each(?2) j CROSS JOIN consumers c ON c.id = j.value AND c.organization_id = ?1
           CROSS JOIN grants g ON g.consumer_id = c.id LIMIT ?3",
        [organization.into(), ids.into(), limit.into()],
    )
}

/// Reads which of the consumers with these primary keys (JSON array) have no grant but some of these.
pub fn holders_of_nothing_else(organization: OrganizationId, ids: &str, grants: &[GrantRow]) -> Query<Vec<ConsumerId>> {
    Query::all(
        "SELECT c.id FROM json_each(?2) i CROSS JOIN consumers c ON c.id = i.value AND c.organization_id = ?1
          WHERE NOT EXISTS (SELECT 1 FROM grants g WHERE g.consumer_id = c.id
                 AND json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
              NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                             j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                        FROM json_each(?3) j))",
        [organization.into(), ids.into(), json!(grants).to_string().into()],
    )
}

/// The name of a package.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedPackage {
    /// Primary key.
    pub id: i64,
    /// `vendor/package`.
    pub name: String,
}

/// The names of the packages with these primary keys (JSON array).
pub fn packages(organization: OrganizationId, ids: String) -> Query<Vec<NamedPackage>> {
    Query::all(
        "SELECT p.id, p.name FROM json_each(?2) j CROSS JOIN packages p ON p.id = j.value WHERE p.organization_id = ?1",
        [organization.into(), ids.into()],
    )
}
