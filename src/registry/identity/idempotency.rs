//! Requests that may be sent again when their answer got lost: with the same `Idempotency-Key` a second one does
//! nothing and is answered with what the first one did.
//!
//! A key belongs to its caller. [`begin`] claims it, the use case puts one of the `keep` statements of [`IdempotencyClaim`] into
//! the batch that does what was asked, and [`IdempotencyClaim::release_on_failure`] gives the claim up when nothing was done. So
//! a result is kept if and only if the thing was done; when nobody knows, because the database did not answer, the claim stands
//! until its lease is over.
//!
//! What is kept identifies what was made, and is no answer: that is made anew from what is there ([`DoneRequest::again`]), so
//! that nobody is handed what has changed since, and who may not read it now is refused.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::json::read_text;
use crate::ports::Stmt;
use crate::registry::access::issuer::Issuer;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::store::identity::idempotency::{self, NewKey};

const MAX_KEY: usize = 255;
/// Longer than any batch of the database takes.
const LEASE: Duration = Duration::from_mins(1);
/// How long a result is kept.
const RETENTION: Duration = Duration::from_hours(24);

/// A request's key, and what was asked with it.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    request_hash: String,
}

impl IdempotencyKey {
    /// Reads a key; `request` is everything that is asked with it (method, path, query, body). The same fields in another order
    /// are the same request.
    pub fn parse(key: &str, mut request: Value) -> Result<Self, Failure> {
        let is_visible = |c: char| c.is_ascii_graphic() || c == ' ';
        if key.is_empty() || key.len() > MAX_KEY || !key.chars().all(is_visible) {
            let detail = format!("must be 1 to {MAX_KEY} visible ASCII characters");
            return Err(Failure::invalid_field("Idempotency-Key", detail));
        }
        request.sort_all_objects();
        Ok(Self { key: key.to_owned(), request_hash: digest(&[request.to_string().as_bytes()]) })
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

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// It.
    pub value: T,
    /// Whether the request did nothing, because it was carried out before.
    pub is_replayed: bool,
}

impl<T> Answer<T> {
    /// The answer to a request that was carried out now.
    pub fn first(value: T) -> Self {
        Self { value, is_replayed: false }
    }

    /// The same answer as another type has it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), is_replayed: self.is_replayed }
    }
}

/// A request that was carried out before, and what it did.
pub struct DoneRequest {
    result: Value,
    secret: Option<String>,
}

impl DoneRequest {
    /// What identifies what it made, for who has kept JSON of their own.
    pub fn result(&self) -> &Value {
        &self.result
    }

    /// The primary key of what it made.
    pub fn id(&self) -> i64 {
        self.result.as_i64().unwrap_or_default()
    }

    /// The public id of what it made.
    pub fn uid(&self) -> &str {
        self.result.as_str().unwrap_or_default()
    }

    /// What it showed once.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    /// The answer to it, from what it made as that is now.
    ///
    /// # Errors
    /// `Gone` when that is not there any more, in the words of who looked for it.
    pub fn again<T>(found: Result<T, Failure>) -> Result<Answer<T>, Failure> {
        match found {
            Ok(value) => Ok(Answer { value, is_replayed: true }),
            Err(failure) if failure.kind == Kind::NotFound => {
                let detail = format!(
                    "The request with this Idempotency-Key was carried out before, and what it was about is gone: {}",
                    failure.detail
                );
                Err(Failure::new(Kind::Gone, detail))
            }
            Err(failure) => Err(failure),
        }
    }
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
    Done(DoneRequest),
}

/// Claims `key` for whoever asks. Whether they still may ask this is for whoever answers it to say: what is told of something
/// that was done before is bounded by what they hold now.
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
    let Some(result) = row.result else {
        let is_ours = row.uid == uid;
        return if is_ours {
            Ok(IdempotencyState::Claimed(IdempotencyClaim { uid: Some(uid) }))
        } else {
            Err(in_progress())
        };
    };
    let open = |sealed: String| app.config.keyring.open(&seal_row(&row.uid), &sealed).map_err(Failure::internal);
    let result = read_text(&result).map_err(Failure::internal)?;
    Ok(IdempotencyState::Done(DoneRequest { result, secret: row.secret.map(open).transpose()? }))
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

/// What the secret that the request with public id `uid` showed is sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("idempotency/{uid}/secret")
}

impl IdempotencyClaim {
    /// The statement that keeps what identifies what was done; it belongs right behind the one that does it, or the one that
    /// records that ([`Actor::record`](crate::registry::access::actor::Actor::record)).
    pub fn keep(&self, result: impl Into<Value>) -> Option<Stmt> {
        self.keep_with(|uid| idempotency::keep(uid, result.into().to_string(), None))
    }

    /// The same, with a secret that the answer shows this once. It is shown again while it is still what it was.
    pub fn keep_secret(&self, app: &App, result: impl Into<Value>, secret: &str) -> Result<Option<Stmt>, Failure> {
        let Some(uid) = &self.uid else { return Ok(None) };
        let sealed = app.config.keyring.seal(&*app.ports.entropy, &seal_row(uid), secret);
        let sealed = sealed.map_err(Failure::internal_with_detail)?;
        Ok(Some(idempotency::keep(uid, result.into().to_string(), Some(sealed))))
    }

    /// The statement that keeps the primary key which the statement right before it has given to the row that it made.
    pub fn keep_inserted(&self) -> Option<Stmt> {
        self.keep_with(idempotency::keep_inserted)
    }

    /// A statement that keeps what only the database knows; `stmt` takes the public id of the request.
    pub fn keep_with(&self, stmt: impl FnOnce(&str) -> Stmt) -> Option<Stmt> {
        self.uid.as_deref().map(stmt)
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
