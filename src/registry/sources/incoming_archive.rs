//! Somebody else's archive on its way into the blob store: never in memory as a whole, never unpacked, and told from a web page
//! or from the first half of one by how it begins and ends.

use composer::DistType;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use crate::ports::{ByteStream, Fault};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::RequestError;
use crate::registry::kernel::pace::Pace;
use crate::registry::sources::composer::signature;
use crate::registry::sources::incoming_zip::IncomingZip;
use crate::store::sources::dists::NewArtifact;

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IncomingArchiveError {
    /// It broke off.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It is something else, or only the first part of one.
    #[error("what the server sends is not a complete {}", .0.as_str())]
    NotAnArchive(DistType),
    /// It is too large.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The blob store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Somebody else's archive on its way into the blob store.
pub struct IncomingArchive<'a> {
    app: &'a App,
    pace: Pace,
    kind: DistType,
    /// Most bytes.
    limit: u64,
    /// How long it is said to be.
    length: Option<u64>,
    zip: IncomingZip<'a>,
    /// Its first bytes, as many as a signature needs.
    head: Vec<u8>,
    /// Its last bytes, as many as an end record needs.
    tail: Vec<u8>,
}

impl<'a> IncomingArchive<'a> {
    /// An archive of at most `limit` bytes of which nothing has come yet but the `headers` of the answer.
    pub fn new(app: &'a App, kind: DistType, limit: u64, headers: &HeaderMap) -> Result<Self, IncomingArchiveError> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(IncomingArchiveError::TooLarge { limit });
        }
        let pace = Pace::of_archive(app);
        Ok(Self { app, pace, kind, limit, length, zip: IncomingZip::new(app), head: Vec::new(), tail: Vec::new() })
    }

    /// SHA-1 of what has come, lowercase hex.
    pub fn sha1(&self) -> String {
        self.zip.sha1()
    }

    /// Takes the next piece of `body`; says how many bytes it had, or nothing behind the last one.
    pub async fn take_next(&mut self, body: &mut dyn ByteStream) -> Result<Option<usize>, IncomingArchiveError> {
        let Some(chunk) = self.pace.next_chunk(&*self.app.ports.clock, body).await? else { return Ok(None) };
        if self.zip.size() + chunk.len() as u64 > self.limit {
            return Err(IncomingArchiveError::TooLarge { limit: self.limit });
        }
        let missing = signature::BEGINNING_BYTES - self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(missing)]);
        // A web page is recognised before anything of it is stored.
        if self.head.len() == signature::BEGINNING_BYTES {
            self.check_beginning()?;
        }
        self.tail.extend_from_slice(&chunk[chunk.len().saturating_sub(signature::END_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(signature::END_BYTES);
        self.tail.drain(..surplus);
        self.zip.take(&chunk).await?;
        Ok(Some(chunk.len()))
    }

    fn check_beginning(&self) -> Result<(), IncomingArchiveError> {
        let begins_well = signature::begins(self.kind, &self.head);
        if begins_well { Ok(()) } else { Err(IncomingArchiveError::NotAnArchive(self.kind)) }
    }

    /// Checks that all of it has come.
    pub fn check(&self) -> Result<(), IncomingArchiveError> {
        self.check_beginning()?;
        let is_whole = self.length.is_none_or(|length| length == self.zip.size());
        if is_whole && signature::ends(self.kind, &self.tail) {
            Ok(())
        } else {
            Err(IncomingArchiveError::NotAnArchive(self.kind))
        }
    }

    /// Makes it a blob under the hash of its content.
    pub async fn keep(self) -> Result<NewArtifact, Fault> {
        self.zip.keep().await
    }

    /// Forgets what is stored of it.
    pub async fn discard(self) {
        self.zip.discard().await;
    }
}
