//! Requests that may be sent again when their answer got lost: with the same `Idempotency-Key` a second one does
//! nothing and is answered like the first.
//!
//! A key belongs to its caller. [`begin`] claims it, the use case puts [`IdempotencyClaim::store_response`] into the batch that does what was
//! asked, and [`IdempotencyClaim::release_on_failure`] gives the claim up when nothing was done. So an answer is kept if and only if the thing
//! was done; when nobody knows, because the database did not answer, the claim stands until its lease is over.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::ports::Stmt;
use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::store::identity::idempotency::{self, NewKey};

const MAX_KEY: usize = 255;
/// Longer than any batch of the database takes.
const LEASE: Duration = Duration::from_mins(1);
/// How long an answer is given again.
const RETENTION: Duration = Duration::from_hours(24);

/// A request's key, and what was asked with it.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    request_hash: String,
}

impl IdempotencyKey {
    /// Reads a key; `request` tells what is asked from everything else (method, path, body).
    pub fn parse(key: &str, request: &[&[u8]]) -> Result<Self, Failure> {
        let is_visible = |c: char| c.is_ascii_graphic() || c == ' ';
        if key.is_empty() || key.len() > MAX_KEY || !key.chars().all(is_visible) {
            let detail = format!("must be 1 to {MAX_KEY} visible ASCII characters");
            return Err(Failure::invalid_field("Idempotency-Key", detail));
        }
        Ok(Self { key: key.to_owned(), request_hash: digest(request) })
    }
}

/// SHA-256 of parts that cannot run into one another, lowercase hex.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// The right to carry a request out; of a request without a key, the right that everybody has.
#[must_use]
pub struct IdempotencyClaim {
    uid: Option<String>,
}

/// What [`begin`] finds.
pub enum IdempotencyState {
    /// Carry it out.
    Claimed(IdempotencyClaim),
    /// It was carried out before.
    Answered(StoredResponse),
}

/// Claims `key` for whoever asks. Whether they still may ask this is for whoever answers it to say: an answer that is given
/// again is bounded by what they hold now.
///
/// # Errors
/// [`Kind::Conflict`] when the key came with another request before, or when the same request is being carried out.
pub async fn begin(app: &App, issuer: &Issuer, key: Option<IdempotencyKey>) -> Result<IdempotencyState, Failure> {
    let Some(IdempotencyKey { key, request_hash }) = key else {
        return Ok(IdempotencyState::Claimed(IdempotencyClaim { uid: None }));
    };
    let now = app.now();
    let uid = new_uid(&*app.ports.entropy, now)?;
    let new = NewKey {
        uid: &uid,
        key_hash: &key_hash(issuer, &key),
        request_hash: &request_hash,
        now,
        lease_until: now.plus(LEASE),
        expires_at: now.plus(RETENTION),
    };
    let row = idempotency::claim(&*app.ports.database, new).await?.ok_or_else(in_progress)?;
    if row.request_hash != request_hash {
        return Err(Failure::new(
            Kind::Conflict,
            "This Idempotency-Key came with another request before. Use a new key for a new request.",
        ));
    }
    match (row.status, row.body) {
        (Some(status), Some(sealed)) => {
            let body = app.config.keyring.open(&seal_row(&row.uid), &sealed).map_err(Failure::internal)?;
            Ok(IdempotencyState::Answered(StoredResponse { status, body }))
        }
        _ if row.uid == uid => Ok(IdempotencyState::Claimed(IdempotencyClaim { uid: Some(uid) })),
        _ => Err(in_progress()),
    }
}

/// A key belongs to a credential, and of one that belongs to all organizations to the organization that it acts in.
fn key_hash(issuer: &Issuer, key: &str) -> String {
    let name = issuer.caller.name.as_bytes();
    match issuer.caller.home() {
        Some(_) => digest(&[name, key.as_bytes()]),
        None => digest(&[name, json!(issuer.organization()).to_string().as_bytes(), key.as_bytes()]),
    }
}

fn in_progress() -> Failure {
    Failure::new(
        Kind::Conflict,
        "The request with this Idempotency-Key is still in progress. Send it again in a minute to get its answer.",
    )
}

/// What the answer to the request with public id `uid` is sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("idempotency/{uid}/answer")
}

impl IdempotencyClaim {
    /// The statement that keeps `answer`; it belongs right behind the one that records the change
    /// ([`Actor::record`](crate::registry::access::actor::Actor::record)).
    pub fn store_response(&self, app: &App, answer: &StoredResponse) -> Result<Option<Stmt>, Failure> {
        let Some(uid) = &self.uid else { return Ok(None) };
        let sealed = app.config.keyring.seal(&*app.ports.entropy, &seal_row(uid), &answer.body);
        let sealed = sealed.map_err(Failure::internal_with_detail)?;
        Ok(Some(idempotency::store_response(uid, answer.status, sealed)))
    }

    /// Hands `result` on; when it says that nothing was done, the key is free again.
    pub async fn release_on_failure<T>(&self, app: &App, result: Result<T, Failure>) -> Result<T, Failure> {
        if result.as_ref().is_err_and(|failure| failure.kind != Kind::Internal) {
            self.release(app).await;
        }
        result
    }

    /// Gives the claim up: nothing was done, and the key is free again.
    pub async fn release(&self, app: &App) {
        if let Some(uid) = &self.uid
            && let Err(error) = idempotency::release(&*app.ports.database, uid).await
        {
            log::warn!("an Idempotency-Key stays claimed until its lease ends: {error}");
        }
    }
}
