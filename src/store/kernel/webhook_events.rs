//! Events of other domains that webhooks are notified of: each statement records the deliveries in the batch in which the
//! event happens. Which webhooks there are, and sending, is `storefront`'s.

use serde_json::Value;

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, json_arguments};

/// The statements that tell of those versions of a package that have come to be shown, if that was not told yet: one
/// delivery for all of them, 1,000 at most, to each webhook that wants it. They belong behind the statements that show
/// the versions.
pub fn notify_published(organization: OrganizationId, package: &str, now: Millis) -> [Stmt; 2] {
    let tell = Stmt::new(
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT w.id, 'version.published', n.payload, ?3, ?3
           FROM (SELECT count(*) AS versions,
                        json_object('package', ?2, 'versions', json_group_array(json_object(
                            'version', u.pretty,
                            'released_at', datetime(u.released_at / 1000, 'unixepoch')))) AS payload
                   FROM (SELECT v.pretty, v.released_at
                           FROM packages p CROSS JOIN versions v ON v.package_id = p.id
                          WHERE p.organization_id = ?1 AND p.name = ?2 AND p.hidden_at IS NULL
                            AND v.told_at IS NULL AND v.removed_at IS NULL AND v.hidden_at IS NULL
                          ORDER BY v.id LIMIT 1000) u) n
          CROSS JOIN webhooks w
          WHERE n.versions > 0 AND w.organization_id = ?1 AND w.is_enabled = 1
            AND EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = 'version.published')",
        [organization.into(), package.into(), now.into()],
    );
    let note = Stmt::new(
        "UPDATE versions SET told_at = ?3
          WHERE package_id = (SELECT id FROM packages
                               WHERE organization_id = ?1 AND name = ?2 AND hidden_at IS NULL)
            AND told_at IS NULL AND removed_at IS NULL AND hidden_at IS NULL",
        [organization.into(), package.into(), now.into()],
    );
    [tell, note]
}

/// The statements that tell of tags that point to another commit than their version was published from: one delivery for
/// each of `payloads` to each webhook that wants it.
pub fn notify_moved_tags(organization: OrganizationId, payloads: &[Value], now: Millis) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
             SELECT w.id, 'tag.moved', n.value, ?3, ?3
               FROM json_each(?2) n CROSS JOIN webhooks w
              WHERE w.organization_id = ?1 AND w.is_enabled = 1
                AND EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = 'tag.moved')",
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
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT w.id, 'download.first', n.payload, ?4, ?4
           FROM (SELECT count(*) AS versions,
                        json_object('consumer_id', f.id, 'customer_id', f.customer_id, 'order_id', f.order_id,
                            'versions', json_group_array(json_object('package', f.name, 'version', f.pretty)))
                        AS payload
                   FROM (SELECT c.id, c.customer_id, c.order_id, p.name, v.pretty
                           FROM consumers c CROSS JOIN json_each(?3) j
                           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
                           JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
                          WHERE c.organization_id = ?1 AND c.id = coalesce(
                                (SELECT m.consumer_id FROM merged_consumers m
                                  WHERE m.organization_id = ?1 AND m.id = ?2), ?2)
                            AND NOT EXISTS (SELECT 1 FROM downloads d
                                             WHERE d.subject = 'consumer:' || c.id AND d.subject GLOB 'consumer:*'
                                               AND d.version_id = v.id)
                          GROUP BY v.id) f) n
          CROSS JOIN webhooks w
          WHERE n.versions > 0 AND w.organization_id = ?1 AND w.is_enabled = 1
            AND EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = 'download.first')",
        [organization.into(), consumer_id.into(), installs.into(), now.into()],
    )
}
