//! What is known of a consumer beside its own row, which goes with it: to be erased, or to be handed out.
//!
//! What became part of it, in however many merges, is the same person. The audit log knows that also when the consumer is gone.

use composer::NormalizedVersion;
use serde::Deserialize;
use serde_json::Value;

use crate::ports::Stmt;
use crate::store::access::released::Released;
use crate::store::{OrganizationId, Query, json_text};

/// The primary keys of a consumer (`?2`) and of what has become part of it.
macro_rules! same_person {
    () => {
        "(WITH RECURSIVE same (id) AS (
            SELECT CAST(?2 AS INTEGER)
             UNION
            SELECT a.details ->> '$.consumer_id' FROM same
              JOIN audit_log a ON a.target = CAST(same.id AS TEXT) AND a.organization_id = ?1
               AND a.action = 'consumer.merged' AND a.details ->> '$.consumer_id' IS NOT NULL
          ) SELECT id FROM same)"
    };
}

/// Whether an entry of the audit log `a` is about one of them: it names them, or it is about many permissions, some of which are
/// theirs.
macro_rules! is_about_them {
    () => {
        concat!(
            " a.id IN (
                SELECT o.id FROM audit_log o
                 WHERE o.organization_id = ?1 AND o.target IN (SELECT CAST(p.id AS TEXT) FROM ",
            same_person!(),
            " p) AND substr(o.action, 1, instr(o.action, '.') - 1) IN ('consumer', 'permission', 'entitlements')
                 UNION
                SELECT o.id FROM audit_log o
                 WHERE o.organization_id = ?1 AND o.action IN ('order.changed', 'order.revoked', 'permissions.changed')
                   AND EXISTS (SELECT 1 FROM json_tree(o.details) t WHERE t.key = 'consumer_id' AND t.value IN ",
            same_person!(),
            "))"
        )
    };
}

/// The statements that count a consumer's installs as nobody's, and take back what webhooks are told of it and have been.
pub fn forget_traces(organization: OrganizationId, id: i64) -> [Stmt; 3] {
    let args = [organization.into(), id.into()];
    let count = Stmt::new(
        concat!(
            "INSERT INTO downloads (day, version_id, subject, count)
             SELECT d.day, d.version_id, 'erased', sum(d.count) FROM ",
            same_person!(),
            " s JOIN downloads d ON d.subject = 'consumer:' || s.id AND d.subject GLOB 'consumer:*'
               JOIN versions v ON v.id = d.version_id JOIN packages p ON p.id = v.package_id
              WHERE p.organization_id = ?1 GROUP BY d.day, d.version_id
             ON CONFLICT (version_id, day, subject) DO UPDATE SET count = count + excluded.count"
        ),
        args.clone(),
    );
    let delete = Stmt::new(
        concat!(
            "DELETE FROM downloads WHERE subject GLOB 'consumer:*'
                AND subject IN (SELECT 'consumer:' || s.id FROM ",
            same_person!(),
            " s) AND EXISTS (SELECT 1 FROM versions v JOIN packages p ON p.id = v.package_id
                              WHERE v.id = downloads.version_id AND p.organization_id = ?1)"
        ),
        args.clone(),
    );
    let deliveries = Stmt::new(
        concat!(
            "DELETE FROM webhook_deliveries
              WHERE webhook_id IN (SELECT w.id FROM webhooks w WHERE w.organization_id = ?1)
                AND payload ->> '$.consumer_id' IN ",
            same_person!()
        ),
        args,
    );
    [count, delete, deliveries]
}

/// The statement that erases what the audit log says of a consumer; whether there was anything. It belongs behind those that
/// have to know what became part of the consumer.
pub fn forget_entries(organization: OrganizationId, id: i64) -> Query<bool> {
    Query::any(
        concat!(
            "UPDATE audit_log SET address = NULL, label = NULL, details = '{\"erased\":true}',
                    target = iif(action IN ('order.changed', 'order.revoked', 'permissions.changed'), '', target)
              WHERE id IN (SELECT a.id FROM audit_log a WHERE",
            is_about_them!(),
            " AND a.action <> 'consumer.erased' AND a.details <> '{\"erased\":true}') RETURNING id"
        ),
        [organization.into(), id.into()],
    )
}

/// One of the things that are known of a consumer, as JSON, and how many there are of its kind.
#[derive(Debug, Deserialize)]
pub struct KnownEntry {
    /// It.
    #[serde(deserialize_with = "json_text")]
    pub entry: Value,
    /// How many there are.
    pub total: i64,
}

/// Installs of a version on a day.
#[derive(Debug, Deserialize)]
pub struct KnownDownload {
    /// The package's name.
    pub package: String,
    /// What Composer compares.
    pub normalized: String,
    /// When the version was released.
    #[serde(flatten)]
    pub released: Released,
    /// As it is told.
    #[serde(flatten)]
    pub known: KnownEntry,
}

impl KnownDownload {
    /// The version.
    pub fn version(&self) -> NormalizedVersion {
        NormalizedVersion::from_stored(self.normalized.clone())
    }
}

/// What became part of a consumer, its tokens (revoked ones too), its permissions, and the networks in which its keys were used
/// today: `limit` of each at most.
pub fn own_rows(organization: OrganizationId, id: i64, limit: i64) -> [Query<Vec<KnownEntry>>; 4] {
    let args = [organization.into(), id.into(), limit.into()];
    [
        Query::all(
            "SELECT json_object('consumer_id', m.id, 'merged_at', datetime(m.merged_at / 1000, 'unixepoch')) AS entry,
                    count(*) OVER () AS total
               FROM merged_consumers m WHERE m.organization_id = ?1 AND m.consumer_id = ?2 ORDER BY m.id LIMIT ?3",
            args.clone(),
        ),
        Query::all(
            "SELECT json_object('id', t.uid, 'description', t.description,
                        'created_at', datetime(t.created_at / 1000, 'unixepoch'),
                        'last_used_at', datetime(t.last_used_at / 1000, 'unixepoch'), 'downloads', t.downloads,
                        'last_download_at', datetime(t.last_download_at / 1000, 'unixepoch'),
                        'revoked_at', datetime(t.revoked_at / 1000, 'unixepoch')) AS entry, count(*) OVER () AS total
               FROM tokens t WHERE t.organization_id = ?1 AND t.consumer_id = ?2 ORDER BY t.id LIMIT ?3",
            args.clone(),
        ),
        Query::all(
            "SELECT json_object('id', g.id, 'package', g.target, 'version', g.version_constraint,
                        'expires_at', datetime(g.expires_at / 1000, 'unixepoch'),
                        'updates_until', datetime(g.updates_until / 1000, 'unixepoch'),
                        'minimum_stability', g.minimum_stability, 'order_id', g.order_id, 'metadata', json(g.metadata),
                        'created_at', datetime(g.created_at / 1000, 'unixepoch'),
                        'updated_at', datetime(g.updated_at / 1000, 'unixepoch')) AS entry, count(*) OVER () AS total
               FROM grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
              WHERE g.consumer_id = ?2 ORDER BY g.id LIMIT ?3",
            args.clone(),
        ),
        Query::all(
            "SELECT json_object('day', date(k.day * 86400, 'unixepoch'), 'network', k.network) AS entry,
                    count(*) OVER () AS total
               FROM consumer_networks k JOIN consumers c ON c.id = k.consumer_id AND c.organization_id = ?1
              WHERE k.consumer_id = ?2 ORDER BY k.day, k.network LIMIT ?3",
            args,
        ),
    ]
}

/// A consumer's installs by version and day, the latest first, `limit` at most.
pub fn downloads(organization: OrganizationId, id: i64, limit: i64) -> Query<Vec<KnownDownload>> {
    Query::all(
        "SELECT p.name AS package, v.normalized, v.released_at, v.security_fix_at IS NOT NULL AS security_fix,
                json_object('package', p.name, 'version', v.pretty, 'day', date(d.day * 86400, 'unixepoch'),
                    'downloads', d.count, 'first_at', datetime(d.first_at / 1000, 'unixepoch'),
                    'last_at', datetime(d.last_at / 1000, 'unixepoch'), 'last_address', d.address) AS entry,
                count(*) OVER () AS total
           FROM downloads d JOIN versions v ON v.id = d.version_id
           JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
          WHERE d.subject = 'consumer:' || CAST(?2 AS INTEGER) AND d.subject GLOB 'consumer:*'
          ORDER BY d.day DESC, d.version_id DESC LIMIT ?3",
        [organization.into(), id.into(), limit.into()],
    )
}

/// What a consumer was granted once, what webhooks were told of it, and what the audit log says of it, the latest first: `limit`
/// of each at most, and no more than have so many `bytes` together.
pub fn history(organization: OrganizationId, id: i64, limit: i64, bytes: i64) -> [Query<Vec<KnownEntry>>; 3] {
    let args = [organization.into(), id.into(), limit.into(), bytes.into()];
    [
        Query::all(
            "SELECT json_object('package', g.target, 'version', g.version_constraint,
                        'updates_until', datetime(g.updates_until / 1000, 'unixepoch'),
                        'minimum_stability', g.minimum_stability,
                        'ended_at', datetime(g.ended_at / 1000, 'unixepoch')) AS entry, count(*) OVER () AS total
               FROM past_grants g JOIN consumers c ON c.id = g.consumer_id AND c.organization_id = ?1
              WHERE g.consumer_id = ?2 ORDER BY g.ended_at DESC LIMIT ?3",
            args[..3].to_vec(),
        ),
        Query::all(
            concat!(
                "SELECT e.entry, e.total FROM (
                   SELECT json_object('id', d.id, 'webhook_id', w.uid, 'event', d.event, 'data', json(d.payload),
                              'state', d.state, 'created_at', datetime(d.created_at / 1000, 'unixepoch')) AS entry,
                          d.id, count(*) OVER () AS total, sum(length(d.payload)) OVER (ORDER BY d.id DESC) AS bytes
                     FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.id
                    WHERE w.organization_id = ?1 AND d.payload ->> '$.consumer_id' IN ",
                same_person!(),
                ") e WHERE e.bytes <= ?4 ORDER BY e.id DESC LIMIT ?3"
            ),
            args.clone(),
        ),
        Query::all(
            concat!(
                "SELECT e.entry, e.total FROM (
                   SELECT json_object('at', datetime(a.at / 1000, 'unixepoch'), 'actor', a.actor, 'address', a.address,
                              'action', a.action, 'details',
                              iif(a.action IN ('order.changed', 'order.revoked', 'permissions.changed'), NULL, json(a.details)))
                          AS entry,
                          a.id, count(*) OVER () AS total, sum(length(a.details)) OVER (ORDER BY a.id DESC) AS bytes
                     FROM audit_log a WHERE",
                is_about_them!(),
                ") e WHERE e.bytes <= ?4 ORDER BY e.id DESC LIMIT ?3"
            ),
            args,
        ),
    ]
}
