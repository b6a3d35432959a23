//! Changing `grants` of consumers: read, plan, then one batch that begins with a [`guard`].

use serde::Serialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::storefront::entitlements::{Entitlement, PermissionRow};
use crate::store::{OrganizationId, json_arguments};

/// A permission of a consumer about to be made, or what one becomes.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenPermission {
    /// Primary key of the one that it is made from; `None` is a new one.
    pub id: Option<i64>,
    /// Whose it is.
    pub consumer_id: i64,
    /// What it says.
    #[serde(flatten)]
    pub entitlement: Entitlement,
}

/// The statement that aborts its batch when the consumers with the primary keys `consumers` do not have just these
/// permissions, each as it was read. See `packages::publication::guard_revisions` for how.
pub fn guard(organization: OrganizationId, consumers: &[i64], known: &[PermissionRow]) -> Stmt {
    let known: Vec<_> = known.iter().map(|row| (row.id, row.consumer_id, row.updated_at)).collect();
    Stmt::new(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM json_each(?2) j
                                   WHERE NOT EXISTS (SELECT 1 FROM consumers c
                                                      WHERE c.id = j.value AND c.organization_id = ?1))
               OR (SELECT count(*) FROM json_each(?2) j CROSS JOIN grants g ON g.consumer_id = j.value)
                  <> json_array_length(?3)
               OR EXISTS (SELECT 1 FROM json_each(?3) k LEFT JOIN grants g ON g.id = k.value ->> 0
                           WHERE g.consumer_id IS NOT k.value ->> 1 OR g.updated_at IS NOT k.value ->> 2)
             THEN json('the permissions were changed meanwhile') END AS guard",
        [organization.into(), json!(consumers).to_string().into(), json!(known).to_string().into()],
    )
}

/// The statement that takes permissions back, by their primary keys.
pub fn delete(organization: OrganizationId, ids: &[i64]) -> Stmt {
    Stmt::new(
        "DELETE FROM grants
          WHERE id IN (SELECT value FROM json_each(?2))
            AND consumer_id IN (SELECT c.id FROM consumers c WHERE c.organization_id = ?1)",
        [organization.into(), json!(ids).to_string().into()],
    )
}

/// The statements that make permissions what they become, more than one for very many bytes. Their batch fails with a conflict when a consumer has the very same
/// already.
pub fn update(organization: OrganizationId, permissions: &[WrittenPermission], now: Millis) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "UPDATE grants SET consumer_id = j.value ->> 'consumer_id', target = j.value ->> 'target',
                version_constraint = j.value ->> 'version_constraint', updates_until = j.value ->> 'updates_until',
                minimum_stability = j.value ->> 'minimum_stability', expires_at = j.value ->> 'expires_at',
                order_id = j.value ->> 'order_id', metadata = j.value ->> 'metadata',
                updated_at = max(grants.updated_at + 1, ?3)
           FROM json_each(?2) j JOIN consumers c ON c.id = j.value ->> 'consumer_id' AND c.organization_id = ?1
          WHERE grants.id = j.value ->> 'id'
            AND grants.consumer_id IN (SELECT o.id FROM consumers o WHERE o.organization_id = ?1)",
            [organization.into(), rows.into(), now.into()],
        )
    };
    rows(permissions).into_iter().map(statement).collect()
}

/// The statements that give permissions to the consumers among them that are there, in their order. Their batch fails with a
/// conflict when a consumer has the very same already.
pub fn insert(organization: OrganizationId, permissions: &[WrittenPermission], now: Millis) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO grants (consumer_id, target, version_constraint, updates_until, minimum_stability, expires_at,
                order_id, metadata, created_at, updated_at)
         SELECT c.id, j.value ->> 'target', j.value ->> 'version_constraint', j.value ->> 'updates_until',
                j.value ->> 'minimum_stability', j.value ->> 'expires_at', j.value ->> 'order_id',
                j.value ->> 'metadata', ?3, ?3
           FROM json_each(?2) j CROSS JOIN consumers c ON c.id = j.value ->> 'consumer_id' AND c.organization_id = ?1
          ORDER BY j.key",
            [organization.into(), rows.into(), now.into()],
        )
    };
    rows(permissions).into_iter().map(statement).collect()
}

/// The statement that keeps the latest permission of a consumer as what a request made, right behind the statement that notes
/// that. See [`keep`](crate::store::identity::idempotency::keep).
pub fn keep_latest(organization: OrganizationId, request_uid: &str, consumer_id: i64) -> Stmt {
    Stmt::new(
        "INSERT INTO idempotency_results (key_uid, result)
         SELECT ?2, g.id FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
          WHERE g.id = (SELECT max(id) FROM grants WHERE consumer_id = ?3) AND changes() > 0",
        [organization.into(), request_uid.into(), consumer_id.into()],
    )
}

fn rows(permissions: &[WrittenPermission]) -> Vec<String> {
    json_arguments(permissions.iter().map(|permission| json!(permission)))
}

/// The statement that dates consumers, by their primary keys, because their permissions change. The note belongs behind it.
pub fn date_consumers(organization: OrganizationId, ids: &[i64], now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE consumers SET updated_at = max(updated_at + 1, ?3)
          WHERE organization_id = ?1 AND id IN (SELECT value FROM json_each(?2))",
        [organization.into(), json!(ids).to_string().into(), now.into()],
    )
}
