//! `webhook_deliveries`: what shops are told, from the batch in which it happened until it is delivered or given up.

use crate::ports::{Fault, Millis, Row, Stmt};
use crate::store::packages::publication::Target;
use crate::store::{OrganizationId, Page};

/// The statements that tell of those versions of a package that have come to be shown, if that was not told yet: one
/// delivery for all of them, 1,000 at most, to each webhook that wants it. They belong behind the statements that show
/// the versions.
pub fn tell_published(target: Target<'_>) -> [Stmt; 2] {
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
        [target.organization.into(), target.name.into(), target.now.into()],
    );
    let note = Stmt::new(
        "UPDATE versions SET told_at = ?3
          WHERE package_id = (SELECT id FROM packages
                               WHERE organization_id = ?1 AND name = ?2 AND hidden_at IS NULL)
            AND told_at IS NULL AND removed_at IS NULL AND hidden_at IS NULL",
        [target.organization.into(), target.name.into(), target.now.into()],
    );
    [tell, note]
}

/// The statement that tells of those `installs` (JSON array of `{name, version}`) whose version the consumer, which is
/// counted as `subject`, has never installed before: one delivery for all of them to each webhook that wants it. It
/// belongs before the statement that counts them.
pub fn tell_first_downloads(
    organization: OrganizationId,
    consumer_id: i64,
    subject: &str,
    installs: String,
    now: Millis,
) -> Stmt {
    Stmt::new(
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT w.id, 'download.first', n.payload, ?5, ?5
           FROM (SELECT count(*) AS versions,
                        json_object('consumer_id', f.id, 'customer_id', f.customer_id, 'order_id', f.order_id,
                            'versions', json_group_array(json_object('package', f.name, 'version', f.pretty)))
                        AS payload
                   FROM (SELECT c.id, c.customer_id, c.order_id, p.name, v.pretty
                           FROM consumers c CROSS JOIN json_each(?4) j
                           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
                           JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
                          WHERE c.organization_id = ?1 AND c.id = ?2
                            AND NOT EXISTS (SELECT 1 FROM downloads d
                                             WHERE d.subject = ?3 AND d.subject GLOB 'consumer:*'
                                               AND d.version_id = v.id)
                          GROUP BY v.id) f) n
          CROSS JOIN webhooks w
          WHERE n.versions > 0 AND w.organization_id = ?1 AND w.is_enabled = 1
            AND EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = 'download.first')",
        [organization.into(), consumer_id.into(), subject.into(), installs.into(), now.into()],
    )
}

/// The statement that tells an enabled webhook that it is being tried; returns the delivery's id.
pub fn ping(organization: OrganizationId, webhook: &str, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT id, 'ping', json_object('webhook_id', uid), ?3, ?3 FROM webhooks
          WHERE organization_id = ?1 AND uid = ?2 AND is_enabled = 1 RETURNING id",
        [organization.into(), webhook.into(), now.into()],
    )
}

/// The statement that has a delivery of an enabled webhook sent again, whatever became of it; returns its id.
pub fn send_again(organization: OrganizationId, webhook: &str, id: i64, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?4, finished_at = NULL
          WHERE id = ?3 AND webhook_id = (
                SELECT w.id FROM webhooks w WHERE w.organization_id = ?1 AND w.uid = ?2 AND w.is_enabled = 1)
         RETURNING id",
        [organization.into(), webhook.into(), id.into(), now.into()],
    )
}

/// A delivery that is being sent.
pub struct Sending {
    /// Its id.
    pub id: i64,
    /// The event's name.
    pub event: String,
    /// JSON object.
    pub payload: String,
    /// How often it was sent, with this time.
    pub attempts: i64,
    /// When it was told.
    pub created_at: Millis,
    /// Public id of the webhook.
    pub webhook: String,
    /// Where it is sent.
    pub url: String,
    /// The webhook's secret, sealed.
    pub secret: String,
}

impl Sending {
    /// Reads what [`claim`] yields.
    pub fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.needed_number("id")?,
            event: row.needed_text("event")?,
            payload: row.needed_text("payload")?,
            attempts: row.needed_number("attempts")?,
            created_at: Millis(row.needed_number("created_at")?),
            webhook: row.needed_text("webhook")?,
            url: row.needed_text("url")?,
            secret: row.needed_text("secret")?,
        })
    }
}

/// How an attempt ended.
pub struct Attempt<'a> {
    /// `pending`, `delivered` or `failed`.
    pub state: &'static str,
    /// What the receiver answered, if it did.
    pub status: Option<i64>,
    /// What was wrong.
    pub error: Option<&'a str>,
    /// When the next one is due.
    pub next_attempt_at: Millis,
    /// When the last one ended.
    pub finished_at: Option<Millis>,
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    /// Its id.
    pub id: i64,
    /// The event's name.
    pub event: String,
    /// JSON object.
    pub payload: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// How often it was sent.
    pub attempts: i64,
    /// When it is sent next, while it is pending.
    pub next_attempt_at: Millis,
    /// What the receiver answered last.
    pub last_status: Option<i64>,
    /// What was wrong last.
    pub last_error: Option<String>,
    /// When it was told.
    pub created_at: Millis,
    /// When it was delivered or given up.
    pub finished_at: Option<Millis>,
}

impl DeliveryRow {
    /// Reads what [`by_id`] and [`page`] yield.
    pub fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.needed_number("id")?,
            event: row.needed_text("event")?,
            payload: row.needed_text("payload")?,
            state: row.needed_text("state")?,
            attempts: row.needed_number("attempts")?,
            next_attempt_at: Millis(row.needed_number("next_attempt_at")?),
            last_status: row.number("last_status"),
            last_error: row.text("last_error"),
            created_at: Millis(row.needed_number("created_at")?),
            finished_at: row.number("finished_at").map(Millis),
        })
    }
}

macro_rules! deliveries {
    () => {
        "SELECT d.id, d.event, d.payload, d.state, d.attempts, d.next_attempt_at, d.last_status, d.last_error,
                d.created_at, d.finished_at
           FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.id
          WHERE w.organization_id = ?1 AND w.uid = ?2"
    };
}

/// Looks a delivery of a webhook up, the latest without an id; one [`DeliveryRow`] or none.
pub fn by_id(organization: OrganizationId, webhook: &str, id: Option<i64>) -> Stmt {
    Stmt::new(
        concat!(deliveries!(), " AND (?3 IS NULL OR d.id = ?3) ORDER BY d.id DESC LIMIT 1"),
        [organization.into(), webhook.into(), id.into()],
    )
}

/// The statements of a page of a webhook's log, the latest first, as [`DeliveryRow`]s, and of how many there are in all.
pub fn page(organization: OrganizationId, webhook: &str, page: Page) -> Vec<Stmt> {
    vec![
        Stmt::new(
            concat!(deliveries!(), " ORDER BY d.id DESC LIMIT ?3 OFFSET ?4"),
            [organization.into(), webhook.into(), page.limit.into(), page.offset.into()],
        ),
        Stmt::new(
            "SELECT count(*) AS total FROM webhook_deliveries WHERE webhook_id =
                (SELECT id FROM webhooks WHERE organization_id = ?1 AND uid = ?2)",
            [organization.into(), webhook.into()],
        ),
    ]
}

// Across organizations: the cron and the queue send what is due, whoever it is told.

/// The statements that tell of the permissions that ended, at most 1000 of them, and note that it is told.
pub fn tell_expired(now: Millis) -> [Stmt; 2] {
    let tell = Stmt::new(
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT w.id, 'permission.expired',
                json_object('permission_id', g.id, 'consumer_id', c.id, 'customer_id', c.customer_id,
                    'order_id', c.order_id, 'package', g.target, 'version', g.version_constraint,
                    'expires_at', datetime(g.expires_at / 1000, 'unixepoch')), ?1, ?1
           FROM (SELECT id, consumer_id, target, version_constraint, expires_at FROM grants
                  WHERE consumer_id IS NOT NULL AND expires_at IS NOT expiry_told AND expires_at <= ?1
                  ORDER BY expires_at, id LIMIT 1000) g
           JOIN consumers c ON c.id = g.consumer_id
           JOIN webhooks w ON w.organization_id = c.organization_id AND w.is_enabled = 1
          WHERE EXISTS (SELECT 1 FROM json_each(w.events) e WHERE e.value = 'permission.expired')",
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

/// Finds what is to be sent and is not being sent, at most 200: `id` of each, the longest due first.
pub fn due(now: Millis) -> Stmt {
    Stmt::new(
        "SELECT d.id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id AND w.is_enabled = 1
          WHERE d.state = 'pending' AND d.next_attempt_at <= ?1 AND coalesce(d.lease_until, 0) <= ?1
          ORDER BY d.next_attempt_at LIMIT 200",
        [now.into()],
    )
}

/// The statements that claim a delivery until `lease_until`: the first returns its id if it is to be sent and nobody else
/// is sending it, the second reads it as a [`Sending`].
pub fn claim(id: i64, now: Millis, lease_until: Millis) -> Vec<Stmt> {
    vec![
        Stmt::new(
            "UPDATE webhook_deliveries SET attempts = attempts + 1, lease_until = ?3
              WHERE id = ?1 AND state = 'pending' AND next_attempt_at <= ?2 AND coalesce(lease_until, 0) <= ?2
                AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_id AND w.is_enabled = 1)
             RETURNING id",
            [id.into(), now.into(), lease_until.into()],
        ),
        Stmt::new(
            "SELECT d.id, d.event, d.payload, d.attempts, d.created_at, w.uid AS webhook, w.url, w.secret
               FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.id = ?1",
            [id.into()],
        ),
    ]
}

/// The statement that ends an attempt, if it still holds its lease.
pub fn settle(id: i64, lease_until: Millis, attempt: &Attempt<'_>) -> Stmt {
    Stmt::new(
        "UPDATE webhook_deliveries SET state = ?3, last_status = ?4, last_error = ?5, next_attempt_at = ?6,
                finished_at = ?7, lease_until = NULL
          WHERE id = ?1 AND lease_until = ?2",
        [
            id.into(),
            lease_until.into(),
            attempt.state.into(),
            attempt.status.into(),
            attempt.error.into(),
            attempt.next_attempt_at.into(),
            attempt.finished_at.into(),
        ],
    )
}

/// The statement that forgets at most 1000 deliveries that are older than `before`.
pub fn forget(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM webhook_deliveries
          WHERE id IN (SELECT id FROM webhook_deliveries WHERE created_at < ?1 ORDER BY created_at LIMIT 1000)",
        [before.into()],
    )
}
