//! `grants` of consumers, which shops call permissions: one by one, and as the complete list.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::access::grants::GrantRow;
use crate::store::{OrganizationId, Query};

/// A grant of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PermissionRow {
    /// Primary key; its public id too.
    pub id: i64,
    /// Whose it is.
    pub consumer_id: i64,
    /// Primary key of the package that it names, if there is one of that name.
    pub package_id: Option<i64>,
    /// What it lets through.
    #[serde(flatten)]
    pub grant: GrantRow,
    /// When it was granted.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

macro_rules! permissions {
    () => {
        "SELECT g.id, g.consumer_id, p.id AS package_id, g.target, g.version_constraint, g.updates_until,
                g.minimum_stability, g.expires_at, g.created_at, g.updated_at
           FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
           LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = g.target"
    };
}

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

/// Reads the different grants that the consumers with these primary keys (JSON array) have, `limit` at most.
pub fn different(organization: OrganizationId, ids: &str, limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT DISTINCT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at
           FROM json_each(?2) j CROSS JOIN consumers c ON c.id = j.value AND c.organization_id = ?1
           CROSS JOIN grants g ON g.consumer_id = c.id LIMIT ?3",
        [organization.into(), ids.into(), limit.into()],
    )
}

/// A consumer that has certain grants.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct GrantedConsumer {
    /// Primary key.
    pub id: i64,
}

/// Reads which of the consumers with these primary keys (JSON array) have no grant but some of these.
pub fn holders_of_nothing_else(
    organization: OrganizationId,
    ids: &str,
    grants: &[GrantRow],
) -> Query<Vec<GrantedConsumer>> {
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

/// The latest permission of a consumer.
pub fn latest(organization: OrganizationId, consumer_id: i64) -> Query<Option<PermissionRow>> {
    Query::one(
        concat!(permissions!(), " WHERE g.id = (SELECT max(id) FROM grants WHERE consumer_id = ?2)"),
        [organization.into(), consumer_id.into()],
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

/// Grants something to a consumer, unless that has `most` permissions; whether it was granted. Its batch fails with a
/// conflict when the consumer has the very same.
pub fn insert(organization: OrganizationId, consumer_id: i64, grant: &GrantRow, now: Millis, most: i64) -> Query<bool> {
    Query::any(
        "INSERT INTO grants (consumer_id, target, version_constraint, updates_until, minimum_stability, expires_at,
                created_at, updated_at)
         SELECT c.id, ?3, ?4, ?5, ?6, ?7, ?8, ?8 FROM consumers c
          WHERE c.organization_id = ?1 AND c.id = ?2
            AND (SELECT count(*) FROM grants g WHERE g.consumer_id = c.id) < ?9
         RETURNING id",
        [
            organization.into(),
            consumer_id.into(),
            (&grant.target).into(),
            (&grant.version_constraint).into(),
            grant.updates_until.into(),
            (&grant.minimum_stability).into(),
            grant.expires_at.into(),
            now.into(),
            most.into(),
        ],
    )
}

/// Makes a permission that of `consumer_id` to `grant`, if it still is what `old` says; whether it was. Its batch fails
/// with a conflict when the consumer has the very same in another row.
pub fn update(
    organization: OrganizationId,
    old: &PermissionRow,
    consumer_id: i64,
    grant: &GrantRow,
    now: Millis,
) -> Query<bool> {
    Query::any(
        "UPDATE grants SET consumer_id = ?3, target = ?4, version_constraint = ?5, updates_until = ?6,
                minimum_stability = ?7, expires_at = ?8, updated_at = ?9
          WHERE id = ?2 AND consumer_id = ?10 AND target = ?11 AND version_constraint = ?12 AND updates_until IS ?13
            AND minimum_stability = ?14 AND expires_at IS ?15
            AND EXISTS (SELECT 1 FROM consumers c WHERE c.id = ?3 AND c.organization_id = ?1)
         RETURNING id",
        [
            organization.into(),
            old.id.into(),
            consumer_id.into(),
            (&grant.target).into(),
            (&grant.version_constraint).into(),
            grant.updates_until.into(),
            (&grant.minimum_stability).into(),
            grant.expires_at.into(),
            now.into(),
            old.consumer_id.into(),
            (&old.grant.target).into(),
            (&old.grant.version_constraint).into(),
            old.grant.updates_until.into(),
            (&old.grant.minimum_stability).into(),
            old.grant.expires_at.into(),
        ],
    )
}

/// Takes a permission back; whether there was one.
pub fn delete(organization: OrganizationId, consumer_id: i64, id: i64) -> Query<bool> {
    Query::any(
        "DELETE FROM grants
          WHERE id = ?3 AND consumer_id IN (SELECT c.id FROM consumers c WHERE c.id = ?2 AND c.organization_id = ?1)
         RETURNING id",
        [organization.into(), consumer_id.into(), id.into()],
    )
}

/// The statements that make a list, on which nothing stands twice, the complete list of a consumer's permissions: the first
/// dates the consumer if the list changes, and the note belongs behind that one. What is on the list already stays. With
/// `only` (a JSON array of primary keys) none but these is taken back.
pub fn replace(
    organization: OrganizationId,
    consumer_id: i64,
    grants: &[GrantRow],
    only: Option<&str>,
    now: Millis,
) -> [Stmt; 3] {
    let list = json!(grants).to_string();
    let change = Stmt::new(
        "UPDATE consumers SET updated_at = ?4 WHERE organization_id = ?1 AND id = ?2
            AND ((SELECT count(*) FROM grants g WHERE g.consumer_id = ?2) <> json_array_length(?3)
              OR EXISTS (SELECT 1 FROM grants g WHERE g.consumer_id = ?2
                    AND json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
                 NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                                j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                           FROM json_each(?3) j)))
         RETURNING id",
        [organization.into(), consumer_id.into(), (&list).into(), now.into()],
    );
    let delete = Stmt::new(
        "DELETE FROM grants
          WHERE consumer_id = (SELECT c.id FROM consumers c WHERE c.organization_id = ?1 AND c.id = ?2)
            AND json_array(target, version_constraint, updates_until, minimum_stability, expires_at)
         NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                        j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                   FROM json_each(?3) j)
            AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4)))",
        [organization.into(), consumer_id.into(), (&list).into(), only.into()],
    );
    let insert = Stmt::new(
        "INSERT INTO grants (consumer_id, target, version_constraint, updates_until, minimum_stability,
                expires_at, created_at, updated_at)
         SELECT c.id, j.value ->> 'target', j.value ->> 'version_constraint', j.value ->> 'updates_until',
                j.value ->> 'minimum_stability', j.value ->> 'expires_at', ?4, ?4
           FROM consumers c CROSS JOIN json_each(?3) j
          WHERE c.organization_id = ?1 AND c.id = ?2
            AND json_array(j.value ->> 'target', j.value ->> 'version_constraint', j.value ->> 'updates_until',
                           j.value ->> 'minimum_stability', j.value ->> 'expires_at')
         NOT IN (SELECT json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
                   FROM grants g WHERE g.consumer_id = ?2)
          ORDER BY j.key",
        [organization.into(), consumer_id.into(), (&list).into(), now.into()],
    );
    [change, delete, insert]
}
