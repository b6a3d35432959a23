//! [`ObjectStream`]: the one object of a pack that was asked for alone, inflated while the pack
//! arrives, so that neither has to be in memory.

use std::fmt;

use sha1::{Digest, Sha1};

use crate::object::{ObjectId, ObjectKind, hasher};
use crate::pack::PackError;
use crate::pack::inflate::Inflater;
use crate::pack::scan::{self, CHECKSUM_BYTES, EntryHeader, HEADER_BYTES};

/// A pack of one object, as it arrives.
pub struct ObjectStream {
    /// What has arrived and was not read yet.
    waiting: Vec<u8>,
    /// Bytes read before.
    read: usize,
    /// Of everything read.
    checksum: Sha1,
    inflater: Inflater,
    stage: Stage,
    /// Whether nothing more arrives.
    is_complete: bool,
}

enum Stage {
    /// The headers of the pack and of the object.
    Header,
    Content {
        id: Sha1,
        size: u64,
    },
    Checksum {
        id: ObjectId,
        size: u64,
    },
}

/// Longest header of an object: its size in 64 bits, and the id of a delta's base.
const LONGEST_HEADER: usize = 10 + ObjectId::BYTES;

impl Default for ObjectStream {
    fn default() -> Self {
        let (checksum, inflater) = (Sha1::new(), Inflater::new());
        Self { waiting: Vec::new(), read: 0, checksum, inflater, stage: Stage::Header, is_complete: false }
    }
}

impl ObjectStream {
    /// Takes bytes of the pack that have arrived. Read them before more are given.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Notes that all of the pack has arrived.
    pub fn end(&mut self) {
        self.is_complete = true;
    }

    /// The size of the object, once its header has arrived.
    pub fn size(&mut self) -> Result<Option<u64>, PackError> {
        // A tiny pack is shorter than the longest header.
        let is_enough = self.is_complete || self.waiting.len() >= HEADER_BYTES + LONGEST_HEADER + CHECKSUM_BYTES;
        if is_enough && matches!(self.stage, Stage::Header) {
            self.read_header()?;
        }
        match &self.stage {
            Stage::Header => Ok(None),
            Stage::Content { size, .. } | Stage::Checksum { size, .. } => Ok(Some(*size)),
        }
    }

    /// Gives `sink` the next piece of the content. Says whether there was one: if not, more has to
    /// arrive, or the object has ended.
    pub fn next_piece<E: From<PackError>>(&mut self, sink: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<bool, E> {
        if self.size()?.is_none() {
            return Ok(false);
        }
        let Stage::Content { id, size } = &mut self.stage else { return Ok(false) };
        let step = self.inflater.step(&self.waiting).map_err(|error| scan::defect(self.read, error.into()))?;
        if step.is_stuck() {
            return Ok(false);
        }
        let (consumed, is_end) = (step.consumed, step.is_end);
        id.update(step.piece);
        sink(step.piece)?;
        if is_end {
            self.stage = Stage::Checksum { id: ObjectId::from_hasher(id.clone()), size: *size };
        }
        self.consume(consumed);
        Ok(true)
    }

    /// The id of the object, when all of the pack has arrived and every piece was read.
    pub fn finish(self) -> Result<ObjectId, PackError> {
        let Stage::Checksum { id, .. } = self.stage else { return Err(PackError::Truncated) };
        match self.waiting.len().cmp(&CHECKSUM_BYTES) {
            std::cmp::Ordering::Less => Err(PackError::Truncated),
            std::cmp::Ordering::Greater => Err(PackError::TrailingBytes),
            std::cmp::Ordering::Equal if self.checksum.finalize()[..] != self.waiting[..] => {
                Err(PackError::BadChecksum)
            }
            std::cmp::Ordering::Equal => Ok(id),
        }
    }

    fn read_header(&mut self) -> Result<(), PackError> {
        let count = scan::header(&self.waiting)?;
        if count != 1 {
            return Err(PackError::TooManyObjects { count, limit: 1 });
        }
        let header = EntryHeader::parse(&self.waiting, HEADER_BYTES)?;
        let kind = header.kind().ok_or(PackError::UnexpectedDelta)?;
        if kind != ObjectKind::Blob {
            return Err(PackError::UnexpectedDelta);
        }
        self.inflater.begin(header.size);
        self.stage = Stage::Content { id: hasher(kind, header.size), size: header.size };
        self.consume(header.data);
        Ok(())
    }

    fn consume(&mut self, bytes: usize) {
        self.checksum.update(&self.waiting[..bytes]);
        self.waiting.drain(..bytes);
        self.read += bytes;
    }
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream").field("read", &self.read).finish_non_exhaustive()
    }
}
