//! An object of Git LFS on its way, which is checked while it is read.

use std::sync::Arc;

use bytes::Bytes;
use git::LfsPointer;
use sha2::{Digest, Sha256};

use crate::ports::{ByteStream, Clock};
use crate::registry::kernel::app::App;
use crate::registry::kernel::pace::Pace;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::lfs::error::LfsError;

/// An object of Git LFS on its way.
pub struct LfsDownload {
    object: LfsPointer,
    body: Box<dyn ByteStream>,
    pace: Pace,
    clock: Arc<dyn Clock>,
    received: u64,
    sha256: Sha256,
    file: String,
    server: String,
}

impl LfsDownload {
    /// The content `body` of `object`, for the file `file` of a zip, from the server `server`.
    pub fn new(app: &App, object: LfsPointer, body: Box<dyn ByteStream>, file: String, server: String) -> Self {
        let (pace, clock) = (Pace::of_archive(app), app.ports.clock.clone());
        Self { object, body, pace, clock, received: 0, sha256: Sha256::new(), file, server }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.object.size
    }

    /// The next piece of it. Nothing behind the last one, when all of it was what the pointer promises.
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, SyncError> {
        let piece = self.receive().await;
        piece.map_err(|reason| SyncError::Lfs { file: self.file.clone(), server: self.server.clone(), reason })
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, LfsError> {
        let LfsPointer { oid, size } = &self.object;
        match self.pace.next_chunk(&*self.clock, &mut *self.body).await? {
            Some(piece) => {
                self.received += piece.len() as u64;
                if self.received > *size {
                    return Err(LfsError::Size { found: self.received, expected: *size });
                }
                self.sha256.update(&piece);
                Ok(Some(piece))
            }
            None if self.received < *size => Err(LfsError::Size { found: self.received, expected: *size }),
            None => {
                let found = hex::encode(self.sha256.clone().finalize());
                if found == *oid { Ok(None) } else { Err(LfsError::Hash { found, expected: oid.clone() }) }
            }
        }
    }
}
