//! `webhook_deliveries`: what shops are told, from the batch in which it happened until it is delivered or given up.

use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, Page, Query};

/// The id of a delivery.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct DeliveryId {
    /// Primary key.
    pub id: i64,
}

/// Tells an enabled webhook that it is being tried; the delivery, if there is such a webhook.
pub fn ping(organization: OrganizationId, webhook: &str, now: Millis) -> Query<Option<DeliveryId>> {
    Query::one(
        "INSERT INTO webhook_deliveries (webhook_id, event, payload, next_attempt_at, created_at)
         SELECT id, 'ping', json_object('webhook_id', uid), ?3, ?3 FROM webhooks
          WHERE organization_id = ?1 AND uid = ?2 AND is_enabled = 1 RETURNING id",
        [organization.into(), webhook.into(), now.into()],
    )
}

/// Has a delivery of an enabled webhook sent again, whatever became of it; the delivery, if there is one.
pub fn redeliver(organization: OrganizationId, webhook: &str, id: i64, now: Millis) -> Query<Option<DeliveryId>> {
    Query::one(
        "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?4, finished_at = NULL
          WHERE id = ?3 AND webhook_id = (
                SELECT w.id FROM webhooks w WHERE w.organization_id = ?1 AND w.uid = ?2 AND w.is_enabled = 1)
         RETURNING id",
        [organization.into(), webhook.into(), id.into(), now.into()],
    )
}

/// A delivery that is being sent.
#[derive(Deserialize)]
pub struct ClaimedDelivery {
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

/// How an attempt ended.
pub struct DeliveryAttempt<'a> {
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
#[derive(Debug, Clone, Deserialize)]
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

macro_rules! deliveries {
    () => {
        "SELECT d.id, d.event, d.payload, d.state, d.attempts, d.next_attempt_at, d.last_status, d.last_error,
                d.created_at, d.finished_at
           FROM webhooks w JOIN webhook_deliveries d ON d.webhook_id = w.id
          WHERE w.organization_id = ?1 AND w.uid = ?2"
    };
}

/// Looks a delivery of a webhook up, the latest without an id.
pub fn by_id(organization: OrganizationId, webhook: &str, id: Option<i64>) -> Query<Option<DeliveryRow>> {
    Query::one(
        concat!(deliveries!(), " AND (?3 IS NULL OR d.id = ?3) ORDER BY d.id DESC LIMIT 1"),
        [organization.into(), webhook.into(), id.into()],
    )
}

/// A page of a webhook's log, the latest first, and how many entries there are in all.
pub fn page(organization: OrganizationId, webhook: &str, page: Page) -> (Query<Vec<DeliveryRow>>, Query<i64>) {
    (
        Query::all(
            concat!(deliveries!(), " ORDER BY d.id DESC LIMIT ?3 OFFSET ?4"),
            [organization.into(), webhook.into(), page.limit.into(), page.offset.into()],
        ),
        Query::count(
            "SELECT count(*) AS total FROM webhook_deliveries WHERE webhook_id =
                (SELECT id FROM webhooks WHERE organization_id = ?1 AND uid = ?2)",
            [organization.into(), webhook.into()],
        ),
    )
}

// Across organizations: the cron and the queue send what is due, whoever it is told.

/// A delivery that is to be sent and is not being sent.
#[derive(Debug, Clone, Deserialize)]
pub struct DueDelivery {
    /// Its primary key.
    pub id: i64,
    /// Since when.
    pub due_at: Millis,
}

/// Finds what is to be sent and is not being sent, at most 200, the longest due first: of a webhook 100, so that one does not keep
/// the others waiting, and of one whose receiver does not answer one.
pub fn due(now: Millis) -> Query<Vec<DueDelivery>> {
    Query::all(
        "SELECT q.id, q.due_at FROM (
            SELECT d.id, d.next_attempt_at AS due_at, w.silent_since,
                   row_number() OVER (PARTITION BY d.webhook_id ORDER BY d.next_attempt_at, d.id) AS place
              FROM webhooks w CROSS JOIN webhook_deliveries d ON d.webhook_id = w.id
             WHERE w.is_enabled = 1 AND d.state = 'pending' AND d.next_attempt_at <= ?1
               AND coalesce(d.lease_until, 0) <= ?1) q
          WHERE q.place <= iif(q.silent_since IS NULL, 100, 1)
          ORDER BY q.due_at, q.id LIMIT 200",
        [now.into()],
    )
}

/// Claims a delivery until `lease_until` if it is to be sent and nobody else is sending it, nor any other to a receiver that does not
/// answer; whether it was claimed, and the delivery.
pub fn claim(id: i64, now: Millis, lease_until: Millis) -> (Query<bool>, Query<Option<ClaimedDelivery>>) {
    (
        Query::any(
            "UPDATE webhook_deliveries SET attempts = attempts + 1, lease_until = ?3
              WHERE id = ?1 AND state = 'pending' AND next_attempt_at <= ?2 AND coalesce(lease_until, 0) <= ?2
                AND EXISTS (SELECT 1 FROM webhooks w WHERE w.id = webhook_id AND w.is_enabled = 1
                               AND (w.silent_since IS NULL OR NOT EXISTS (
                                    SELECT 1 FROM webhook_deliveries o
                                     WHERE o.webhook_id = w.id AND o.state = 'pending' AND o.lease_until > ?2)))
             RETURNING id",
            [id.into(), now.into(), lease_until.into()],
        ),
        Query::one(
            "SELECT d.id, d.event, d.payload, d.attempts, d.created_at, w.uid AS webhook, w.url, w.secret
               FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.id = ?1",
            [id.into()],
        ),
    )
}

/// The statements that end an attempt, if it still holds its lease, and note whether the receiver answers.
pub fn settle(id: i64, lease_until: Millis, attempt: &DeliveryAttempt<'_>, now: Millis) -> [Stmt; 2] {
    let settle = Stmt::new(
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
    );
    let note = Stmt::new(
        "UPDATE webhooks SET silent_since = iif(?2 IS NULL, ?3, NULL)
          WHERE id = (SELECT d.webhook_id FROM webhook_deliveries d WHERE d.id = ?1)
            AND (silent_since IS NULL) = (?2 IS NULL)",
        [id.into(), attempt.status.into(), now.into()],
    );
    [settle, note]
}

/// The statement that forgets at most 1000 deliveries that are older than `before`.
pub fn delete_old(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM webhook_deliveries
          WHERE id IN (SELECT id FROM webhook_deliveries WHERE created_at < ?1 ORDER BY created_at LIMIT 1000)",
        [before.into()],
    )
    .idempotent()
}
