//! The ends of permissions, and of the updates that they include, of which webhooks are told: when they come, and some days before.
//! What was told stands beside the permission, so that it is told once, and again when it was extended.

use crate::ports::{Millis, Stmt};
use crate::store::kernel::webhook_events::{is_of_its_packages, tell, to_webhooks, webhooks_of_event};

/// What an event says of a permission `g` of a consumer `c`.
macro_rules! permission {
    () => {
        "json_object('permission_id', g.id, 'consumer_id', c.id, 'customer_id', c.customer_id,
             'order_id', coalesce(g.order_id, c.order_id), 'package', g.target, 'version', g.version_constraint,
             'updates_until', datetime(g.updates_until / 1000, 'unixepoch'),
             'expires_at', datetime(g.expires_at / 1000, 'unixepoch'))"
    };
}

/// The names that a permission `g` is about, from the first to the last.
macro_rules! names {
    () => {
        " substr(g.target, 1, instr(g.target || '*', '*') - 1) AS first,
          substr(g.target, 1, instr(g.target || '*', '*') - 1) || iif(instr(g.target, '*') > 0, '~', '') AS last"
    };
}

// Across organizations: the cron tells what has come to its end, whoever it is told.

/// The statements that tell of the permissions that ended, at most 1000 of them, and note that it is told.
pub fn notify_expired(now: Millis) -> [Stmt; 2] {
    let tell = Stmt::new(
        concat!(
            tell!(),
            "SELECT c.organization_id, 'permission.expired' AS event, ",
            permission!(),
            " AS payload, ?1 AS at,",
            names!(),
            " FROM (SELECT id, consumer_id, target, version_constraint, updates_until, expires_at, order_id FROM grants
                     WHERE consumer_id IS NOT NULL AND expires_at IS NOT expiry_told AND expires_at <= ?1
                     ORDER BY expires_at, id LIMIT 1000) g
               JOIN consumers c ON c.id = g.consumer_id",
            to_webhooks!()
        ),
        [now.into()],
    );
    let note = Stmt::new(
        "UPDATE grants SET expiry_told = expires_at
          WHERE id IN (SELECT id FROM grants
                        WHERE consumer_id IS NOT NULL AND expires_at IS NOT expiry_told AND expires_at <= ?1
                        ORDER BY expires_at, id LIMIT 1000)",
        [now.into()],
    );
    [tell, note]
}

/// The same for updates. Nothing is told of those that ended before the permission was made, or that end with it.
pub fn notify_updates_ended(now: Millis) -> [Stmt; 2] {
    let tell = Stmt::new(
        concat!(
            tell!(),
            "SELECT c.organization_id, 'updates.ended' AS event, ",
            permission!(),
            " AS payload, ?1 AS at,",
            names!(),
            " FROM (SELECT id, consumer_id, target, version_constraint, updates_until, expires_at, order_id, created_at FROM grants
                     WHERE consumer_id IS NOT NULL AND updates_until IS NOT updates_told AND updates_until <= ?1
                     ORDER BY updates_until, id LIMIT 1000) g
               JOIN consumers c ON c.id = g.consumer_id
              WHERE g.updates_until > g.created_at AND (g.expires_at IS NULL OR g.expires_at > g.updates_until)",
            to_webhooks!()
        ),
        [now.into()],
    );
    let note = Stmt::new(
        "UPDATE grants SET updates_told = updates_until
          WHERE id IN (SELECT id FROM grants
                        WHERE consumer_id IS NOT NULL AND updates_until IS NOT updates_told AND updates_until <= ?1
                        ORDER BY updates_until, id LIMIT 1000)",
        [now.into()],
    );
    [tell, note]
}

/// The last moment at which an end is soon for some webhook, at `?1`.
macro_rules! latest_that_is_soon {
    () => {
        " ?1 + 86400000 * (SELECT max(w.lead_days) FROM webhooks w WHERE w.is_enabled = 1)"
    };
}

/// The statements that tell each webhook of what ends within as many days as it has asked for, at most 1000 ends: first they
/// note it.
pub fn notify_ending_soon(now: Millis) -> [Stmt; 2] {
    let note = Stmt::new(
        concat!(
            "INSERT INTO ending_notices (grant_id, webhook_id, event, ends_at, told_at)
             SELECT n.grant_id, w.id, n.event, n.ends_at, ?1
               FROM (SELECT e.*, c.organization_id FROM (
                       SELECT g.id AS grant_id, g.consumer_id, 'permission.expiring_soon' AS event, g.expires_at AS ends_at,",
            names!(),
            "            FROM grants g
                        WHERE g.consumer_id IS NOT NULL AND g.expires_at IS NOT g.expiry_told
                          AND g.expires_at > ?1 AND g.expires_at <= ",
            latest_that_is_soon!(),
            "          UNION ALL
                       SELECT g.id, g.consumer_id, 'updates.ending_soon', g.updates_until,",
            names!(),
            "            FROM grants g
                        WHERE g.consumer_id IS NOT NULL AND g.updates_until IS NOT g.updates_told
                          AND g.updates_until > ?1 AND g.updates_until <= ",
            latest_that_is_soon!(),
            "             AND (g.expires_at IS NULL OR g.expires_at > g.updates_until)) e
                      CROSS JOIN consumers c ON c.id = e.consumer_id) n
              CROSS JOIN webhooks w WHERE",
            webhooks_of_event!(),
            " AND",
            is_of_its_packages!(),
            " AND n.ends_at <= ?1 + 86400000 * w.lead_days
              AND NOT EXISTS (SELECT 1 FROM ending_notices t
                               WHERE t.grant_id = n.grant_id AND t.webhook_id = w.id AND t.event = n.event
                                 AND t.ends_at = n.ends_at)
              ORDER BY n.ends_at, n.grant_id LIMIT 1000
             ON CONFLICT (grant_id, webhook_id, event)
             DO UPDATE SET ends_at = excluded.ends_at, told_at = excluded.told_at"
        ),
        [now.into()],
    );
    let tell = Stmt::new(
        concat!(
            "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
             SELECT t.webhook_id, t.event, ",
            permission!(),
            ", ?1, ?1
               FROM ending_notices t JOIN grants g ON g.id = t.grant_id JOIN consumers c ON c.id = g.consumer_id
              WHERE t.told_at = ?1"
        ),
        [now.into()],
    );
    [note, tell]
}

/// The statements that forget what nobody asks any more: what was told of ends that have come, and from where keys were used before
/// `day` (days since 1970-01-01 UTC); at most 10,000 of each.
pub fn prune(now: Millis, day: i64) -> [Stmt; 2] {
    [
        Stmt::new(
            "DELETE FROM ending_notices WHERE (grant_id, webhook_id, event) IN (
                SELECT grant_id, webhook_id, event FROM ending_notices WHERE ends_at <= ?1 LIMIT 10000)",
            [now.into()],
        )
        .idempotent(),
        Stmt::new(
            "DELETE FROM consumer_networks WHERE (consumer_id, day, network) IN (
                SELECT consumer_id, day, network FROM consumer_networks WHERE day < ?1 LIMIT 10000)",
            [day.into()],
        )
        .idempotent(),
    ]
}
