//! `grants`: what each token may see. Those of consumers are `entitlements`'s.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::OrganizationId;

/// A grant as stored; [`crate::registry::access::view`] gives it its meaning.
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
