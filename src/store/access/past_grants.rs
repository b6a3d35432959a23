//! `past_grants`: what credentials were granted once, until it was taken back or changed. What ends by time stays in `grants`.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::access::grants::GrantRow;
use crate::store::{OrganizationId, Query};

/// Who holds grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantHolder {
    /// The token with this primary key.
    Token(i64),
    /// The consumer with this primary key; all of its tokens share its grants.
    Consumer(i64),
}

/// A grant that was taken back or changed.
#[derive(Debug, Clone, Deserialize)]
pub struct PastGrantRow {
    /// `*`, a package name, or a pattern with `*`.
    pub target: String,
    /// A Composer version constraint.
    pub version_constraint: String,
    /// Only versions released up to this moment.
    pub updates_until: Option<Millis>,
    /// Composer's name of a stability.
    pub minimum_stability: String,
    /// When it was taken back, for the last time.
    pub ended_at: Millis,
}

impl PastGrantRow {
    /// The grant as if it had been given until it was taken back.
    pub fn into_ended(self) -> GrantRow {
        GrantRow {
            target: self.target,
            version_constraint: self.version_constraint,
            updates_until: self.updates_until,
            minimum_stability: self.minimum_stability,
            expires_at: Some(self.ended_at),
        }
    }
}

/// Reads what a token or a consumer was granted once.
pub fn of_holder(organization: OrganizationId, holder: GrantHolder) -> Query<Vec<PastGrantRow>> {
    match holder {
        GrantHolder::Token(id) => Query::all(
            "SELECT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.ended_at
               FROM past_grants g JOIN tokens t ON t.id = g.token_id AND t.organization_id = ?1
              WHERE g.token_id = ?2",
            [organization.into(), id.into()],
        ),
        GrantHolder::Consumer(id) => Query::all(
            "SELECT g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.ended_at
               FROM past_grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
              WHERE g.consumer_id = ?2",
            [organization.into(), id.into()],
        ),
    }
}

/// The statement that records that grants of consumers are about to end, by their primary keys. What has ended by time already
/// is not taken back.
pub fn record_of_consumers(organization: OrganizationId, ids: &[i64], now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO past_grants (consumer_id, target, version_constraint, updates_until, minimum_stability, ended_at)
         SELECT g.consumer_id, g.target, g.version_constraint, g.updates_until, g.minimum_stability, ?3
           FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
          WHERE g.id IN (SELECT value FROM json_each(?2)) AND (g.expires_at IS NULL OR g.expires_at > ?3)
             ON CONFLICT (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
          WHERE consumer_id IS NOT NULL DO UPDATE SET ended_at = excluded.ended_at",
        [organization.into(), json!(ids).to_string().into(), now.into()],
    )
}

/// The statement that records which grants of a live token are about to end: those that are not `kept`, if it is still at
/// `revision`, when one is given.
pub fn record_of_token(
    organization: OrganizationId,
    uid: &str,
    revision: Option<i64>,
    kept: &[GrantRow],
    now: Millis,
) -> Stmt {
    Stmt::new(
        "INSERT INTO past_grants (token_id, target, version_constraint, updates_until, minimum_stability, ended_at)
         SELECT g.token_id, g.target, g.version_constraint, g.updates_until, g.minimum_stability, ?5
           FROM tokens t JOIN grants g ON g.token_id = t.id
          WHERE t.organization_id = ?1 AND t.uid = ?2 AND t.revoked_at IS NULL AND t.consumer_id IS NULL
            AND (?3 IS NULL OR t.revision = ?3) AND (g.expires_at IS NULL OR g.expires_at > ?5)
            AND json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
         NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint', j.value ->> 'updates_until',
                        j.value ->> 'minimum_stability', j.value ->> 'expires_at') FROM json_each(?4) j)
             ON CONFLICT (token_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
          WHERE token_id IS NOT NULL DO UPDATE SET ended_at = excluded.ended_at",
        [organization.into(), uid.into(), revision.into(), json!(kept).to_string().into(), now.into()],
    )
}

// Across organizations: what is old goes, whose it was does not matter.

/// The statement that deletes what ended before a moment.
pub fn prune(before: Millis) -> Stmt {
    Stmt::new("DELETE FROM past_grants WHERE ended_at < ?1", [before.into()])
}
