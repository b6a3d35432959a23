//! `merged_consumers`: consumers that became part of another, and the statements by which they do. The row that says so is
//! written first; the other statements of the batch do nothing without it.

use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, Query};

/// A consumer that becomes part of another.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerMerge {
    /// Primary key of the one that is gone afterwards.
    pub from: i64,
    /// Primary key of the one that has everything afterwards.
    pub into: i64,
    /// Now.
    pub at: Millis,
}

/// Where a consumer has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct MergedConsumer {
    /// Primary key of the consumer that it is part of.
    pub consumer_id: i64,
}

/// Looks up what a consumer that is gone has become part of.
pub fn of_former(organization: OrganizationId, id: i64) -> Query<Option<MergedConsumer>> {
    Query::one(
        "SELECT consumer_id FROM merged_consumers WHERE organization_id = ?1 AND id = ?2",
        [organization.into(), id.into()],
    )
}

/// What must hold for two consumers to become one.
pub struct MergeLimits {
    /// JSON array of the grants that were checked: there are no others.
    pub grants: String,
    /// Most different grants of both.
    pub most_grants: i64,
    /// Most live tokens of both, their key pairs among them.
    pub most_tokens: i64,
}

/// Records a merge; whether it may be: both consumers are there, both are enabled or neither is, and the limits hold.
pub fn record(organization: OrganizationId, merge: ConsumerMerge, limits: &MergeLimits) -> Query<bool> {
    Query::any(
        "INSERT INTO merged_consumers (id, organization_id, consumer_id, merged_at)
         SELECT o.id, c.organization_id, c.id, ?4
           FROM consumers c JOIN consumers o ON o.id = ?3 AND o.organization_id = ?1 AND o.is_enabled = c.is_enabled
          WHERE c.organization_id = ?1 AND c.id = ?2
            AND (SELECT count(*) FROM tokens t WHERE t.consumer_id IN (?2, ?3) AND t.revoked_at IS NULL) <= ?7
            AND (SELECT count(DISTINCT json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability,
                                                  g.expires_at, g.order_id))
                   FROM grants g WHERE g.consumer_id IN (?2, ?3)) <= ?6
            AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.consumer_id IN (?2, ?3)
                 AND json_array(g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.expires_at)
              NOT IN (SELECT json_array(j.value ->> 'target', j.value ->> 'version_constraint',
                             j.value ->> 'updates_until', j.value ->> 'minimum_stability', j.value ->> 'expires_at')
                        FROM json_each(?5) j))
         RETURNING id",
        [
            organization.into(),
            merge.into.into(),
            merge.from.into(),
            merge.at.into(),
            (&limits.grants).into(),
            limits.most_grants.into(),
            limits.most_tokens.into(),
        ],
    )
}

macro_rules! recorded {
    () => {
        " m.organization_id = ?1 AND m.consumer_id = ?2 AND m.id = ?3"
    };
}

/// The statements that carry a recorded merge out. The grants keep their ids; of two that are the same the one of `into`
/// stays, with what the shop has noted on either. The key pair of `from` becomes a further token of `into`, for which there is a seat more, of `most_seats` at most.
pub fn carry_out(organization: OrganizationId, merge: ConsumerMerge, most_seats: i64) -> [Stmt; 10] {
    let ids = [organization.into(), merge.into.into(), merge.from.into()];
    let [moved_downloads, counted_downloads] = downloads(organization, merge);
    let consumer = Stmt::new(
        concat!(
            "UPDATE consumers SET customer_id = coalesce(consumers.customer_id, o.customer_id),
                    order_id = coalesce(consumers.order_id, o.order_id),
                    seats = min(consumers.seats + o.seats + 1, ?5), updated_at = max(consumers.updated_at + 1, ?4)
               FROM merged_consumers m JOIN consumers o ON o.id = m.id
              WHERE consumers.id = m.consumer_id AND",
            recorded!()
        ),
        [&ids[..], &[merge.at.into(), most_seats.into()]].concat(),
    );
    let metadata = Stmt::new(
        concat!(
            "UPDATE grants SET metadata = json_patch(o.metadata, coalesce(grants.metadata, '{}')),
                    updated_at = max(grants.updated_at + 1, ?4)
               FROM merged_consumers m JOIN grants o ON o.consumer_id = m.id
              WHERE grants.consumer_id = m.consumer_id AND grants.target = o.target
                AND grants.version_constraint = o.version_constraint AND grants.updates_until IS o.updates_until
                AND grants.minimum_stability = o.minimum_stability AND grants.expires_at IS o.expires_at
                AND grants.order_id IS o.order_id AND o.metadata IS NOT NULL
                AND json_patch(o.metadata, coalesce(grants.metadata, '{}')) IS NOT grants.metadata AND",
            recorded!()
        ),
        [&ids[..], &[merge.at.into()]].concat(),
    );
    let grants = Stmt::new(
        concat!(
            "UPDATE OR IGNORE grants SET consumer_id = m.consumer_id, updated_at = max(grants.updated_at + 1, ?4) FROM merged_consumers m
              WHERE grants.consumer_id = m.id AND",
            recorded!()
        ),
        [&ids[..], &[merge.at.into()]].concat(),
    );
    let past_grants = Stmt::new(
        concat!(
            "INSERT INTO past_grants (consumer_id, target, version_constraint, updates_until, minimum_stability, ended_at)
             SELECT m.consumer_id, g.target, g.version_constraint, g.updates_until, g.minimum_stability, g.ended_at
               FROM merged_consumers m JOIN past_grants g ON g.consumer_id = m.id WHERE",
            recorded!(),
            " ON CONFLICT (consumer_id, target, version_constraint, ifnull(updates_until, -1), minimum_stability)
              WHERE consumer_id IS NOT NULL DO UPDATE SET ended_at = max(ended_at, excluded.ended_at)"
        ),
        ids.clone(),
    );
    let tokens = Stmt::new(
        concat!(
            "UPDATE tokens SET consumer_id = m.consumer_id, revision = revision + 1 FROM merged_consumers m
              WHERE tokens.consumer_id = m.id AND",
            recorded!()
        ),
        ids.clone(),
    );
    let deliveries = Stmt::new(
        concat!(
            "UPDATE webhook_deliveries SET payload = json_set(payload, '$.consumer_id', m.consumer_id)
               FROM merged_consumers m
              WHERE state = 'pending' AND payload ->> '$.consumer_id' = m.id AND",
            recorded!(),
            " AND webhook_id IN (SELECT w.id FROM webhooks w WHERE w.organization_id = ?1)"
        ),
        ids.clone(),
    );
    let earlier = Stmt::new(
        "UPDATE merged_consumers SET consumer_id = ?2
          WHERE consumer_id = ?3 AND organization_id = ?1
            AND EXISTS (SELECT 1 FROM merged_consumers m WHERE m.organization_id = ?1 AND m.consumer_id = ?2 AND m.id = ?3)",
        ids.clone(),
    );
    let delete = Stmt::new(
        concat!("DELETE FROM consumers WHERE id = (SELECT m.id FROM merged_consumers m WHERE", recorded!(), ")"),
        ids,
    );
    [consumer, metadata, grants, past_grants, tokens, moved_downloads, counted_downloads, deliveries, earlier, delete]
}

/// The statements that count the installs of the one as those of the other.
fn downloads(organization: OrganizationId, merge: ConsumerMerge) -> [Stmt; 2] {
    let ids = [organization.into(), merge.into.into(), merge.from.into()];
    let count = Stmt::new(
        concat!(
            "INSERT INTO downloads (day, version_id, subject, count, first_at, last_at, address)
             SELECT d.day, d.version_id, 'consumer:' || m.consumer_id, d.count, d.first_at, d.last_at, d.address
               FROM merged_consumers m
               JOIN downloads d ON d.subject = 'consumer:' || m.id AND d.subject GLOB 'consumer:*'
              WHERE",
            recorded!(),
            " ON CONFLICT (version_id, day, subject) DO UPDATE SET
                count = count + excluded.count,
                address = CASE WHEN coalesce(last_at, 0) > coalesce(excluded.last_at, 0) THEN address
                               ELSE excluded.address END,
                first_at = min(coalesce(first_at, day * 86400000), coalesce(excluded.first_at, day * 86400000)),
                last_at = max(coalesce(last_at, day * 86400000), coalesce(excluded.last_at, day * 86400000))"
        ),
        ids.clone(),
    );
    let delete = Stmt::new(
        concat!(
            "DELETE FROM downloads WHERE subject GLOB 'consumer:*'
                AND subject = (SELECT 'consumer:' || m.id FROM merged_consumers m WHERE",
            recorded!(),
            ")"
        ),
        ids,
    );
    [count, delete]
}
