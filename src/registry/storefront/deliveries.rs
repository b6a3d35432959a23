//! Telling shops what happened: sending, trying again, giving up.
//!
//! What is told is written in the batch in which it happens; cron finds it within a minute and puts a job on the queue. A
//! delivery is leased while it is sent, so that two workers do not send it at once. It is sent at least once, not exactly
//! once: an answer may get lost. Its id stays the same, so that the receiver can tell.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::Sha256;
use url::Url;

use crate::ports::{HttpRequest, Job, Millis};
use crate::registry::kernel::address_policy::check_target;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::php_date;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::pace::read_all;
use crate::store::storefront::deliveries::{
    ClaimedDelivery, DeliveryAttempt, DeliveryId, DueDelivery, claim, due, settle,
};
use crate::store::storefront::endings::{notify_ending_soon, notify_expired, notify_updates_ended};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than a receiver may take.
const LEASE: Duration = Duration::from_mins(1);

/// Bytes of an answer that are read.
const MAX_RESPONSE_BYTES: usize = 1024;

/// Delays between attempts; after the last one a delivery is given up.
const RETRY_DELAYS: [Duration; 6] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(6),
    Duration::from_hours(12),
];

const USER_AGENT_TEXT: &str = concat!("rostrum/", env!("CARGO_PKG_VERSION"));

/// Minutes between two looks for what ends soon: that is told days before.
const ENDING_SOON_MINUTES: i64 = 10;

/// Tells of the permissions and updates that have ended, or end soon, and puts one job on the queue for every delivery that is
/// due; which those are.
pub async fn enqueue_due(app: &App, now: Millis) -> Result<Vec<DueDelivery>, Failure> {
    let looks_ahead = now.seconds().div_euclid(60) % ENDING_SOON_MINUTES == 0;
    let soon = looks_ahead.then(|| notify_ending_soon(now));
    let (.., due) = app.ports.database.ask((notify_expired(now), notify_updates_ended(now), soon, due(now))).await?;
    app.enqueue_all(&jobs(due.iter().map(|one| DeliveryId { id: one.id })), Duration::ZERO).await;
    Ok(due)
}

/// The jobs that send the deliveries with these ids; ones that are lost are found by cron.
pub fn jobs(ids: impl IntoIterator<Item = DeliveryId>) -> Vec<Job> {
    ids.into_iter().map(|DeliveryId { id }| Job::Deliver { delivery_id: id }).collect()
}

/// Sends a delivery that is due, unless somebody else does.
pub async fn deliver(app: &App, id: i64) -> Result<(), Failure> {
    let now = app.now();
    let lease_until = now.plus(LEASE);
    let (true, Some(sending)) = app.ports.database.ask(claim(id, now, lease_until)).await? else {
        return Ok(());
    };
    let Sent { status, error } = send(app, &sending).await;
    let now = app.now();
    let delay = usize::try_from(sending.attempts - 1).ok().and_then(|place| RETRY_DELAYS.get(place));
    let (state, next_attempt_at) = match (&error, delay) {
        (None, _) => ("delivered", now),
        (Some(_), Some(delay)) => ("pending", now.plus(*delay)),
        (Some(_), None) => ("failed", now),
    };
    let finished_at = (state != "pending").then_some(now);
    let attempt = DeliveryAttempt { state, status, error: error.as_deref(), next_attempt_at, finished_at };
    app.ports.database.ask(settle(id, lease_until, &attempt, now)).await?;
    Ok(())
}

/// What became of a delivery that was sent once.
struct Sent {
    /// What the receiver answered, if it did.
    status: Option<i64>,
    /// What was wrong.
    error: Option<String>,
}

async fn send(app: &App, sending: &ClaimedDelivery) -> Sent {
    let request = match request(app, sending) {
        Ok(request) => request,
        Err(reason) => return Sent { status: None, error: Some(reason) },
    };
    match app.ports.http_client.send(request).await {
        Err(error) => Sent { status: None, error: Some(error.to_string()) },
        Ok(mut response) => {
            // Read, so that the connection can be used again; whatever it says.
            read_all(app, &mut *response.body, MAX_RESPONSE_BYTES).await.ok();
            let status = response.status;
            let error = (!status.is_success()).then(|| format!("the server answered {}", status.as_u16()));
            Sent { status: Some(i64::from(status.as_u16())), error }
        }
    }
}

fn request(app: &App, sending: &ClaimedDelivery) -> Result<HttpRequest, String> {
    let url = Url::parse(&sending.url).map_err(|_| "the address is not a URL".to_owned())?;
    // The operator's settings may have changed since it was given.
    check_target(&url, app.address_policy()).map_err(|error| format!("the address {error}"))?;
    let keyring = &app.config.keyring;
    let secret = keyring.open(&seal_row(&sending.webhook), &sending.secret).map_err(|error| error.to_string())?;
    let body = format!(
        "{{\"id\":{},\"event\":\"{}\",\"created_at\":\"{}\",\"data\":{}}}",
        sending.id,
        sending.event,
        php_date(sending.created_at),
        sending.payload
    );
    let timestamp = app.now().seconds().to_string();
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (USER_AGENT, USER_AGENT_TEXT.to_owned()),
        (HeaderName::from_static("x-rostrum-event"), sending.event.clone()),
        (HeaderName::from_static("x-rostrum-delivery"), sending.id.to_string()),
        (HeaderName::from_static("x-rostrum-signature"), signature(&secret, &timestamp, &body)),
        (HeaderName::from_static("x-rostrum-timestamp"), timestamp),
    ];
    let headers: Option<HeaderMap> =
        headers.into_iter().map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect();
    let headers = headers.ok_or_else(|| "the event cannot be sent".to_owned())?;
    Ok(HttpRequest { method: Method::POST, url, headers, body: body.into(), timeout: TIMEOUT })
}

/// `sha256=` and the HMAC over `{timestamp}.{body}`, lowercase hex.
fn signature(secret: &str, timestamp: &str, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// What the secret of the webhook with this uid is sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("webhook/{uid}/secret")
}
