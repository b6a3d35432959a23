//! Events of other domains that webhooks are notified of: each statement records the deliveries in the batch in which the
//! event happens. Which webhooks there are, and sending, is `storefront`'s.
//!
//! Each event is a row of a query `n`, and is told to those webhooks `w` of its organization that want it: that name it among
//! their events, and a package that it is about among their packages, if they name any.

use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, json_arguments};

/// Behind a query `n` that yields `event`: the webhooks that want one of that name.
macro_rules! webhooks_of_event {
    () => {
        " w.organization_id = n.organization_id AND w.is_enabled = 1
          AND EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = n.event)"
    };
}
pub(crate) use webhooks_of_event;

/// Whether names from `n.first` to `n.last` are among the packages of a webhook. No character of a name comes after the tilde.
macro_rules! is_of_its_packages {
    () => {
        " (w.packages IS NULL OR EXISTS (SELECT 1 FROM json_each(w.packages) r
                                          WHERE n.first <= r.value ->> 2 AND n.last >= r.value ->> 1))"
    };
}
pub(crate) use is_of_its_packages;

/// Before a query that yields `organization_id`, `event`, `payload`, `at`, `first` and `last`, which [`to_webhooks`] ends.
macro_rules! tell {
    () => {
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT w.id, n.event, n.payload, n.at, n.at FROM ("
    };
}
pub(crate) use tell;

macro_rules! to_webhooks {
    () => {
        concat!(
            ") n CROSS JOIN webhooks w WHERE",
            crate::store::kernel::webhook_events::webhooks_of_event!(),
            " AND",
            crate::store::kernel::webhook_events::is_of_its_packages!()
        )
    };
}
pub(crate) use to_webhooks;

/// The stability of a version `v`, as Composer reads it in a normalized one.
macro_rules! stability {
    () => {
        "CASE WHEN substr(v.normalized, 1, 4) = 'dev-' OR substr(v.normalized, -4) = '-dev' THEN 'dev'
              WHEN instr(v.normalized, '-alpha') > 0 THEN 'alpha' WHEN instr(v.normalized, '-beta') > 0 THEN 'beta'
              WHEN instr(v.normalized, '-RC') > 0 THEN 'RC' ELSE 'stable' END"
    };
}

/// Before a query `n` of versions, which yields `organization_id`, `event`, `at`, `package_id`, `first` and `last` (the
/// package's name), `id`, `pretty`, `stability`, `released_at` and `reason`, and which [`to_webhooks_by_stability`] ends: one
/// delivery for all of them to each webhook.
macro_rules! tell_of_versions {
    () => {
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT t.webhook_id, t.event, iif(t.reason IS NULL, t.payload, json_insert(t.payload, '$.reason', t.reason)), t.at, t.at
           FROM (SELECT w.id AS webhook_id, n.event, n.at, n.reason,
                        json_object('package_id', n.package_id, 'package', n.first, 'versions',
                            json_group_array(json_object('version_id', n.id, 'version', n.pretty,
                                'stability', n.stability,
                                'released_at', datetime(n.released_at / 1000, 'unixepoch')))) AS payload
                   FROM webhooks w CROSS JOIN ("
    };
}

/// A webhook is told of versions that are at least as stable as it says; of all but dev versions when it says nothing.
macro_rules! to_webhooks_by_stability {
    () => {
        concat!(
            ") n WHERE",
            webhooks_of_event!(),
            " AND",
            is_of_its_packages!(),
            " AND instr('stable RC beta alpha dev', n.stability)
               <= instr('stable RC beta alpha dev', coalesce(w.stability, 'alpha'))
              GROUP BY w.id) t"
        )
    };
}

/// The statements that tell of those versions of a package that have come to be shown, if that was not told yet: one
/// delivery for all of them, 1,000 at most, to each webhook that wants it. They belong behind the statements that show
/// the versions.
pub fn notify_published(organization: OrganizationId, package: &str, now: Millis) -> [Stmt; 2] {
    let tell = Stmt::new(
        concat!(
            tell_of_versions!(),
            "SELECT p.organization_id, 'version.published' AS event, ?3 AS at, p.id AS package_id, p.name AS first,
                    p.name AS last, v.id, v.pretty, v.released_at, NULL AS reason, ",
            stability!(),
            " AS stability
               FROM packages p CROSS JOIN versions v ON v.package_id = p.id
              WHERE p.organization_id = ?1 AND p.name = ?2 AND p.hidden_at IS NULL
                AND v.told_at IS NULL AND v.removed_at IS NULL AND v.hidden_at IS NULL AND v.yanked_at IS NULL
              ORDER BY v.id LIMIT 1000",
            to_webhooks_by_stability!()
        ),
        [organization.into(), package.into(), now.into()],
    );
    let note = Stmt::new(
        "UPDATE versions SET told_at = ?3
          WHERE package_id = (SELECT id FROM packages
                               WHERE organization_id = ?1 AND name = ?2 AND hidden_at IS NULL)
            AND told_at IS NULL AND removed_at IS NULL AND hidden_at IS NULL AND yanked_at IS NULL",
        [organization.into(), package.into(), now.into()],
    );
    [tell, note]
}

/// Why customers should look at a version that they may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// Nobody gets it any more.
    Hidden,
    /// It is out of the metadata, and stays for who has it in a lock file.
    Yanked,
    /// It is gone.
    Deleted,
    /// It is a security fix: the versions before it should not be used.
    SecurityFix,
}

impl Withdrawal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Yanked => "yanked",
            Self::Deleted => "deleted",
            Self::SecurityFix => "security_fix",
        }
    }
}

/// The statement that tells of versions of a package, or of all of them, that they are about to be withdrawn, those that customers
/// were told of and can see: one delivery for all of them, 1,000 at most. It belongs before the statements that withdraw them.
pub fn notify_withdrawn(
    organization: OrganizationId,
    package: &str,
    normalized: Option<&[&str]>,
    why: Withdrawal,
    now: Millis,
) -> Stmt {
    Stmt::new(
        concat!(
            tell_of_versions!(),
            "SELECT p.organization_id, 'version.withdrawn' AS event, ?3 AS at, p.id AS package_id, p.name AS first,
                    p.name AS last, v.id, v.pretty, v.released_at, ?5 AS reason, ",
            stability!(),
            " AS stability
               FROM packages p CROSS JOIN versions v ON v.package_id = p.id
              WHERE p.organization_id = ?1 AND p.name = ?2 AND p.hidden_at IS NULL
                AND v.told_at IS NOT NULL AND v.removed_at IS NULL AND v.hidden_at IS NULL
                AND (?4 IS NULL OR v.normalized IN (SELECT value FROM json_each(?4)))
              ORDER BY v.id LIMIT 1000",
            to_webhooks_by_stability!()
        ),
        [
            organization.into(),
            package.into(),
            now.into(),
            normalized.map(|normalized| json!(normalized).to_string()).into(),
            why.as_str().into(),
        ],
    )
}

/// The statements that tell of tags that point to another commit than their version was published from: one delivery for
/// each of `payloads` to each webhook that wants it.
pub fn notify_moved_tags(organization: OrganizationId, payloads: &[Value], now: Millis) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            concat!(
                tell!(),
                "SELECT ?1 AS organization_id, 'tag.moved' AS event, j.value AS payload, ?3 AS at,
                        j.value ->> '$.package' AS first, j.value ->> '$.package' AS last FROM json_each(?2) j",
                to_webhooks!()
            ),
            [organization.into(), rows.into(), now.into()],
        )
    };
    json_arguments(payloads.iter().cloned()).into_iter().map(statement).collect()
}

/// The statement that tells of those `installs` (JSON array of `{name, version}`) whose version the consumer (or
/// what that has become part of) has never installed before: one delivery for all of them to each webhook that wants it.
/// It belongs before the statement that counts them.
pub fn notify_first_downloads(organization: OrganizationId, consumer_id: i64, installs: String, now: Millis) -> Stmt {
    Stmt::new(
        concat!(
            "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
             SELECT w.id, n.event,
                    json_object('consumer_id', n.id, 'customer_id', n.customer_id, 'order_id', n.order_id,
                        'versions', json_group_array(json_object('package', n.first, 'version', n.pretty))), ?4, ?4
               FROM (SELECT c.organization_id, 'download.first' AS event, c.id, c.customer_id, c.order_id,
                            p.name AS first, p.name AS last, v.pretty
                       FROM consumers c CROSS JOIN json_each(?3) j
                       JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
                       JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
                      WHERE c.organization_id = ?1 AND c.id = coalesce(
                            (SELECT m.consumer_id FROM merged_consumers m
                              WHERE m.organization_id = ?1 AND m.id = ?2), ?2)
                        AND NOT EXISTS (SELECT 1 FROM downloads d
                                         WHERE d.subject = 'consumer:' || c.id AND d.subject GLOB 'consumer:*'
                                           AND d.version_id = v.id)
                      GROUP BY v.id) n
              CROSS JOIN webhooks w WHERE",
            webhooks_of_event!(),
            " AND",
            is_of_its_packages!(),
            " GROUP BY w.id"
        ),
        [organization.into(), consumer_id.into(), installs.into(), now.into()],
    )
}

/// Where a consumer's key is used from.
#[derive(Debug, Clone, Copy)]
pub struct KeyUse<'a> {
    /// Primary key of the consumer, as it is cached.
    pub consumer_id: i64,
    /// The network: an IPv4 address, or an IPv6 /64.
    pub network: &'a str,
    /// Now.
    pub at: Millis,
    /// The day of that: days since 1970-01-01 UTC.
    pub day: i64,
    /// From how many networks a day that is unusual, unless the organization has set it.
    pub unusual: i64,
}

/// The consumer whose key is used, and from how many networks a day that is unusual: `?1`, `?2` and `?6`.
macro_rules! used_key {
    () => {
        "(SELECT c.id, c.organization_id, c.customer_id, c.order_id,
                 coalesce((SELECT s.value ->> '$' FROM settings s
                            WHERE s.organization_id = ?1 AND s.key = 'unusual_networks'), ?6) AS most,
                 (SELECT count(*) FROM consumer_networks k WHERE k.consumer_id = c.id AND k.day = ?5) AS networks
            FROM consumers c WHERE c.organization_id = ?1 AND c.id = coalesce(
                 (SELECT m.consumer_id FROM merged_consumers m WHERE m.organization_id = ?1 AND m.id = ?2), ?2))"
    };
}

/// The statements that note from where a consumer's key is used, and tell that it is used from unusually many networks today,
/// once a day: no more are noted then.
pub fn note_network(organization: OrganizationId, by: KeyUse<'_>) -> [Stmt; 2] {
    let args =
        [organization.into(), by.consumer_id.into(), by.network.into(), by.at.into(), by.day.into(), by.unusual.into()];
    let note = Stmt::new(
        concat!(
            "INSERT INTO consumer_networks (consumer_id, day, network) SELECT u.id, ?5, ?3 FROM ",
            used_key!(),
            " u WHERE u.networks < u.most ON CONFLICT DO NOTHING"
        ),
        args.clone(),
    );
    let tell = Stmt::new(
        concat!(
            tell!(),
            "SELECT u.organization_id, 'key.unusual' AS event,
                    json_object('consumer_id', u.id, 'customer_id', u.customer_id, 'order_id', u.order_id,
                        'day', date(?5 * 86400, 'unixepoch'), 'networks', u.networks) AS payload,
                    ?4 AS at, '' AS first, '~' AS last
               FROM ",
            used_key!(),
            " u WHERE changes() > 0 AND u.networks = u.most",
            to_webhooks!()
        ),
        args,
    );
    [note, tell]
}

/// The statement that tells of a consumer that was disabled at this moment.
pub fn notify_disabled(organization: OrganizationId, consumer_id: i64, now: Millis) -> Stmt {
    Stmt::new(
        concat!(
            tell!(),
            "SELECT c.organization_id, 'consumer.disabled' AS event,
                    json_object('consumer_id', c.id, 'customer_id', c.customer_id, 'order_id', c.order_id) AS payload,
                    ?3 AS at, '' AS first, '~' AS last
               FROM consumers c
              WHERE c.organization_id = ?1 AND c.id = ?2 AND c.is_enabled = 0 AND changes() > 0",
            to_webhooks!()
        ),
        [organization.into(), consumer_id.into(), now.into()],
    )
}

// Across organizations: a run belongs to a repository, whoever owns that.

/// The statement that tells that the run which the statement right before it has ended has failed, unless one has since the
/// repository was last synced well. A run that was superseded did not fail: another one is due at once.
pub fn notify_failed(run_id: i64, now: Millis) -> Stmt {
    Stmt::new(
        concat!(
            tell!(),
            "SELECT r.organization_id, 'repository.failed' AS event,
                    json_object('repository_id', r.uid, 'url', r.url, 'error', s.error) AS payload, ?2 AS at,
                    coalesce((SELECT min(p.name) FROM packages p WHERE p.repository_id = r.id), '') AS first,
                    coalesce((SELECT max(p.name) FROM packages p WHERE p.repository_id = r.id), '~') AS last
               FROM sync_runs s JOIN repositories r ON r.id = s.repository_id
              WHERE s.id = ?1 AND s.outcome = 'failed' AND changes() > 0
                AND NOT EXISTS (SELECT 1 FROM sync_runs o
                                 WHERE o.repository_id = s.repository_id AND o.id < s.id AND o.outcome = 'failed'
                                   AND o.next_due_at > o.finished_at
                                   AND o.id > coalesce((SELECT max(g.id) FROM sync_runs g
                                                         WHERE g.repository_id = s.repository_id AND g.outcome = 'ok'), 0))",
            to_webhooks!()
        ),
        [run_id.into(), now.into()],
    )
}
