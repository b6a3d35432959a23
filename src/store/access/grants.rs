//! `grants`: what each token may see, and who holds which. Those of consumers are written by `entitlements`.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, Query};

/// A grant as stored; [`crate::registry::access::view`] gives it its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// The statement that gives grants to a live token that is no consumer's, if it is still at `revision`, when one is given.
pub fn insert(organization: OrganizationId, uid: &str, revision: Option<i64>, grants: &[GrantRow]) -> Stmt {
    Stmt::new(
        "INSERT INTO grants (token_id, target, version_constraint, updates_until, minimum_stability, expires_at)
         SELECT t.id, g.value ->> 'target', g.value ->> 'version_constraint', g.value ->> 'updates_until',
                g.value ->> 'minimum_stability', g.value ->> 'expires_at'
           FROM json_each(?3) g
           JOIN tokens t ON t.organization_id = ?1 AND t.uid = ?2 AND t.revoked_at IS NULL
                        AND t.consumer_id IS NULL AND (?4 IS NULL OR t.revision = ?4)",
        [organization.into(), uid.into(), json!(grants).to_string().into(), revision.into()],
    )
}

/// The statement that takes all grants from a live token, if it is still at `revision`, when one is given.
pub fn delete(organization: OrganizationId, uid: &str, revision: Option<i64>) -> Stmt {
    Stmt::new(
        "DELETE FROM grants WHERE token_id =
            (SELECT id FROM tokens WHERE organization_id = ?1 AND uid = ?2 AND revoked_at IS NULL AND consumer_id IS NULL
                AND (?3 IS NULL OR revision = ?3))",
        [organization.into(), uid.into(), revision.into()],
    )
}

/// Reads the different grants of an organization's tokens that are no consumers', `limit` at most, whose targets lie in `ranges`: a
/// JSON array of [`NameRange`](crate::store::kernel::name_range::NameRange)s.
pub fn different(organization: OrganizationId, ranges: &str, limit: i64) -> Query<Vec<GrantRow>> {
    Query::all(
        "SELECT DISTINCT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at
           FROM tokens t JOIN grants g ON g.token_id = t.id
          WHERE t.organization_id = ?1 AND t.consumer_id IS NULL
            AND EXISTS (SELECT 1 FROM json_each(?2) r
                         WHERE lower(g.target) BETWEEN r.value ->> '$[0]' AND r.value ->> '$[1]')
          LIMIT ?3",
        [organization.into(), ranges.into(), limit.into()],
    )
}

/// A grant in force, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeldGrant {
    /// Primary key; the public id of a permission.
    pub id: i64,
    /// `*`, a package name, or a pattern with `*`; in lower case.
    pub target: String,
    /// Public id of the token that holds it, unless a consumer does.
    pub token: Option<String>,
    /// Primary key of the consumer that holds it, its public id too.
    pub consumer: Option<i64>,
}

macro_rules! held {
    () => {
        "SELECT g.id, lower(g.target) AS target, t.uid AS token, NULL AS consumer, g.expires_at
           FROM tokens t JOIN grants g ON g.token_id = t.id WHERE t.organization_id = ?1 AND t.revoked_at IS NULL
         UNION ALL
         SELECT g.id, lower(g.target), NULL, c.id, g.expires_at
           FROM consumers c JOIN grants g ON g.consumer_id = c.id WHERE c.organization_id = ?1"
    };
}

/// What a grant names.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// `*`, a package name, or a pattern with `*`; in lower case.
    pub target: String,
}

/// Reads everything that grants in force name, each once.
pub fn targets(organization: OrganizationId, now: Millis) -> Query<Vec<Target>> {
    Query::all(
        concat!(
            "SELECT DISTINCT h.target FROM (",
            held!(),
            ") h WHERE h.expires_at IS NULL OR h.expires_at > ?2 ORDER BY h.target"
        ),
        [organization.into(), now.into()],
    )
}

/// Reads the grants in force that name one of `targets` (a JSON array), the oldest first.
pub fn naming(organization: OrganizationId, targets: String, now: Millis) -> Query<Vec<HeldGrant>> {
    Query::all(
        concat!(
            "SELECT h.id, h.target, h.token, h.consumer FROM (",
            held!(),
            ") h WHERE h.target IN (SELECT value FROM json_each(?2)) AND (h.expires_at IS NULL OR h.expires_at > ?3)
              ORDER BY h.id"
        ),
        [organization.into(), targets.into(), now.into()],
    )
}
