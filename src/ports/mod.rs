//! What Rostrum needs from outside, as a few small traits: a database, a blob store, a key-value cache,
//! HTTP out, a clock, randomness, and work that outlives the response.
//!
//! Nothing here says how it is done: the `cloudflare` room does it with D1, R2, KV, `fetch` and queues, the
//! tests do it with in-memory SQLite and maps. Every future is boxed and `Send`, so that the whole stack above
//! runs natively under `cargo test` as well as in workerd.

mod rows;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

pub use rows::Rows;

/// A boxed future that may move between threads; what every port returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A port did not do what was asked. The text is for the operator's log, never for a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{port}: {reason}")]
pub struct Fault {
    /// Which port failed: `database`, `blobs`, `cache`, `queue`, `entropy`, `rate limiter`.
    pub port: &'static str,
    /// What the platform said.
    pub reason: String,
}

impl Fault {
    /// A fault of `port` with the platform's own words.
    pub fn new(port: &'static str, reason: impl fmt::Display) -> Self {
        Self { port, reason: reason.to_string() }
    }
}

// ---------------------------------------------------------------------------------------------- database

/// One bound parameter. D1 has no 64-bit integers and no booleans on its wire: integers travel as doubles
/// (exact up to 2^53), booleans as 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    /// SQL `NULL`.
    Null,
    /// An integer; must stay within ±2^53 so that a double holds it exactly.
    Integer(i64),
    /// Text. At most 2 MB (D1's limit for one value).
    Text(String),
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Argument {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&String> for Argument {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}
impl From<i64> for Argument {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}
impl From<bool> for Argument {
    fn from(flag: bool) -> Self {
        Self::Integer(i64::from(flag))
    }
}
impl<T: Into<Argument>> From<Option<T>> for Argument {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One SQL statement with its parameters, bound to `?1`, `?2`, … in order.
#[derive(Debug, Clone)]
pub struct Stmt {
    /// The SQL text. Always a constant: values never become part of it.
    pub sql: &'static str,
    /// At most 100 parameters (D1's limit); longer lists travel as one JSON argument for `json_each`.
    pub args: Vec<Argument>,
    /// Whether to carry it out twice is to carry it out once, so that it may be run again after a failure.
    pub is_idempotent: bool,
}

impl Stmt {
    /// A statement with `args` bound in order.
    pub fn new(sql: &'static str, args: impl Into<Vec<Argument>>) -> Self {
        Self { sql, args: args.into(), is_idempotent: false }
    }

    /// The same statement, which may be carried out twice. What it returns is not looked at, or is the same then.
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self { is_idempotent: true, ..self }
    }
}

/// Why a batch was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// A `UNIQUE` constraint said no; nothing of the batch was written. Holds the platform's message, which names
    /// the columns.
    #[error("a row with this key exists already: {0}")]
    Conflict(String),
    /// Anything else; nothing of the batch was written, or the platform does not know whether it was.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The SQL database (D1; SQLite in tests).
pub trait Database: Send + Sync {
    /// Runs all statements in one transaction and one round trip: all of them happen or none.
    fn batch(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>>;

    /// Runs statements that only read, in one round trip, on the nearest copy of the database. That may be behind, by a
    /// second as a rule, but never behind what this isolate has written.
    fn batch_on_replica(&self, stmts: Vec<Stmt>) -> BoxFuture<'_, Result<Vec<Rows>, DatabaseError>> {
        self.batch(stmts)
    }
}

// ---------------------------------------------------------------------------------------------- bodies

/// A body that arrives in pieces. The platform's own streams stay what they are until somebody asks for bytes, so
/// that an R2 object can reach the client without passing through our memory.
pub trait ByteStream: Send {
    /// The next piece, or `None` at the end.
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>>;
    /// The platform's own stream, for the adapter that made it to recognise (`Any::downcast`).
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// A body held in memory, as a stream of one piece.
pub struct SingleChunk(pub Option<Bytes>);

impl ByteStream for SingleChunk {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        let piece = self.0.take().filter(|bytes| !bytes.is_empty()).map(Ok);
        Box::pin(std::future::ready(piece))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

// ---------------------------------------------------------------------------------------------- blobs

/// A range of bytes asked of a blob: `offset` and a `length` that lies within the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte, from 0.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// A stored blob, or the asked part of it.
pub struct Blob {
    /// Size of the whole blob in bytes.
    pub size: u64,
    /// The bytes asked for.
    pub body: Box<dyn ByteStream>,
}

/// Bytes of each part of a [`BlobUpload`] but the last: R2 wants 5 MiB at least, and all of the same size.
pub const PART_BYTES: usize = 5 << 20;

/// How far a [`BlobUpload`] has come: what it takes to go on with it in another invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadProgress {
    /// Where the blob will be.
    pub key: String,
    /// The store's own name of the upload.
    pub id: String,
    /// The store's own names of the parts that it has, the first part's first.
    pub part_tags: Vec<String>,
}

/// A blob that is stored part by part, so that none larger than [`PART_BYTES`] has to be in memory.
pub trait BlobUpload: Send {
    /// Stores the next part.
    fn put_part(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Fault>>;
    /// How far it has come.
    fn progress(&self) -> UploadProgress;
    /// Makes a blob of the parts; there is none before.
    fn complete(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>>;
    /// Forgets the parts.
    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>>;
}

/// The blob store (R2).
pub trait Blobs: Send + Sync {
    /// Stores a blob under `key`, replacing what was there. It is given in pieces that follow each other, so that it
    /// need not be in memory a second time while it is sent.
    fn put(&self, key: &str, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), Fault>>;
    /// The blob under `key`, or the part of it within `range`.
    fn get(&self, key: &str, range: Option<ByteRange>) -> BoxFuture<'_, Result<Option<Blob>, Fault>>;
    /// Begins a blob that will be stored under `key` part by part.
    fn upload(&self, key: &str) -> BoxFuture<'_, Result<Box<dyn BlobUpload>, Fault>>;
    /// Goes on with an upload that was begun before. Whether the store still has it, the next part tells.
    fn resume_upload(&self, progress: UploadProgress) -> Result<Box<dyn BlobUpload>, Fault>;
    /// Moves the blob under `from`, which must be there, to `to`, replacing what was there.
    fn rename(&self, from: &str, to: &str) -> BoxFuture<'_, Result<(), Fault>>;
    /// Removes the blobs under `keys` (at most 1000); absent ones are no error.
    fn delete(&self, keys: Vec<String>) -> BoxFuture<'_, Result<(), Fault>>;
}

// ---------------------------------------------------------------------------------------------- cache

/// An entry found by [`Cache::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// The entry's key.
    pub key: String,
    /// The metadata it was stored with.
    pub metadata: Option<String>,
}

/// The key-value store (KV): eventually consistent, so nothing in it is the truth.
pub trait Cache: Send + Sync {
    /// The value under `key`. Another place's write may take a minute to be seen.
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<String>, Fault>>;
    /// Stores `value` for `ttl` (at least 60 s), with metadata of at most 1 KB that [`Cache::list`] gives back.
    fn put(
        &self,
        key: &str,
        value: String,
        ttl: Duration,
        metadata: Option<String>,
    ) -> BoxFuture<'_, Result<(), Fault>>;
    /// Removes `key`; an absent one is no error.
    fn delete(&self, key: &str) -> BoxFuture<'_, Result<(), Fault>>;
    /// The first 1000 entries whose key starts with `prefix`.
    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<CacheEntry>, Fault>>;
}

// ---------------------------------------------------------------------------------------------- rate limiter

/// A limit that all isolates of a place count together (Rate Limiting).
pub trait RateLimiter: Send + Sync {
    /// Counts one more for `key`; whether that is within the limit.
    fn is_within_limit(&self, key: &str) -> BoxFuture<'_, Result<bool, Fault>>;
}

// ---------------------------------------------------------------------------------------------- upstream

/// A request to somebody else's server. Redirects are never followed by the port: who may be asked next, and with
/// which credentials, is decided above it.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET` or `POST`.
    pub method: Method,
    /// Absolute URL without credentials.
    pub url: Url,
    /// Headers to send; credentials are among them.
    pub headers: HeaderMap,
    /// Body to send.
    pub body: Bytes,
    /// How long to wait for the response's head, and then for each piece of its body.
    pub timeout: Duration,
}

/// What the other server answered.
pub struct HttpResponse {
    /// Its status, redirects included.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; a content encoding (gzip) is already undone.
    pub body: Box<dyn ByteStream>,
}

/// Why there is no answer. The text is shown to operators and holds neither credentials nor bodies.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpClientError {
    /// No connection, a broken one, or a name that does not resolve.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing came within the request's timeout.
    #[error("the server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// HTTP out (`fetch`).
pub trait HttpClient: Send + Sync {
    /// Sends one request and returns as soon as the response's head is there.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, HttpClientError>>;
}

// ---------------------------------------------------------------------------------------------- time, chance, work

/// Unix time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// The last second of the year 9999: no later moment can be stored and written as a date.
    pub const LAST: Self = Self(253_402_300_799_000);

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `seconds` after the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// This moment plus `span`.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from this moment to `later`; none when that is past.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// This moment less `span`.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl From<Millis> for Argument {
    fn from(moment: Millis) -> Self {
        Self::Integer(moment.0)
    }
}

/// The clock.
pub trait Clock: Send + Sync {
    /// Now. In workerd it stands still between two I/O operations.
    fn now(&self) -> Millis;
    /// Resolves after `span`.
    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()>;
}

/// Cryptographic randomness.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault>;
}

/// Work handed to the queue; one message is one invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Sync one repository.
    SyncRepository {
        /// Primary key of the repository.
        repository_id: i64,
    },
    /// Build the dist archives that a repository still lacks, the large ones excepted.
    BuildArchives {
        /// Primary key of the repository.
        repository_id: i64,
    },
    /// Build one large dist archive, or go on with it.
    BuildLargeArchive {
        /// Primary key of the dist.
        dist_id: i64,
    },
    /// Tell a webhook something.
    Deliver {
        /// Primary key of the delivery.
        delivery_id: i64,
    },
}

/// Where jobs wait. Each queue hands its jobs out by itself, so that none waits for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobQueue {
    /// What somebody waits for, and takes seconds.
    Jobs,
    /// The building of archives, which takes minutes.
    Builds,
}

impl JobQueue {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Jobs, Self::Builds];
}

impl Job {
    /// The queue that it waits in.
    pub fn queue(&self) -> JobQueue {
        match self {
            Self::SyncRepository { .. } | Self::Deliver { .. } => JobQueue::Jobs,
            Self::BuildArchives { .. } | Self::BuildLargeArchive { .. } => JobQueue::Builds,
        }
    }
}

/// Most jobs that one call of [`Tasks::enqueue`] takes: the queue's limit. Its other one, 256 KB, is out of reach for
/// a hundred of them.
pub const MAX_JOBS: usize = 100;

/// Work that outlives the response.
pub trait Tasks: Send + Sync {
    /// Keeps the isolate alive until `work` is done; the response does not wait for it.
    fn wait_until(&self, work: BoxFuture<'static, ()>);
    /// Puts `jobs`, at most [`MAX_JOBS`], on `queue` in one call, each to be handed out after `delay` at the earliest.
    fn enqueue(&self, queue: JobQueue, jobs: Vec<Job>, delay: Duration) -> BoxFuture<'_, Result<(), Fault>>;
}
