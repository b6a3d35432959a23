//! [`BlobReader`]: a file's content out of a pack, piece by piece, so that a large one need not be in
//! memory.

use std::fmt;

use crate::object::Object;
use crate::pack::PackError;
use crate::pack::inflate::{InflateError, Inflater};

/// Reads the content of a file piece by piece.
pub struct BlobReader<'p> {
    size: u64,
    content: Content<'p>,
}

enum Content<'p> {
    /// It is small, or had to be rebuilt from a delta; how much of it was read.
    Held(Object, usize),
    /// It is inflated as it is read.
    Stored { input: &'p [u8], offset: usize, inflater: Box<Inflater> },
    /// It was read to its end.
    Read,
}

/// Most bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;

impl<'p> BlobReader<'p> {
    /// A reader of content that is in memory.
    pub(crate) fn held(object: Object) -> Self {
        Self { size: object.data().len() as u64, content: Content::Held(object, 0) }
    }

    /// A reader of the object that starts at `offset` of its pack, `size` bytes when it is inflated;
    /// `input` begins with its zlib stream.
    pub(crate) fn stored(input: &'p [u8], offset: usize, size: u64) -> Self {
        let mut inflater = Box::new(Inflater::new());
        inflater.begin(size);
        Self { size, content: Content::Stored { input, offset, inflater } }
    }

    /// Bytes of the whole content.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives `sink` the next piece, of at most 64 KiB. Says whether there was one.
    pub fn next_piece<E: From<PackError>>(&mut self, sink: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<bool, E> {
        match &mut self.content {
            Content::Held(object, at) => {
                let rest = &object.data()[*at..];
                let piece = &rest[..rest.len().min(PIECE_BYTES)];
                if piece.is_empty() {
                    return Ok(false);
                }
                *at += piece.len();
                sink(piece)?;
                Ok(true)
            }
            Content::Read => Ok(false),
            Content::Stored { input, offset, inflater } => {
                let at = *offset;
                let defect = |error| PackError::BadObject { offset: at, defect: error };
                let step = inflater.step(input).map_err(|error| defect(error.into()))?;
                if step.is_stuck() {
                    return Err(defect(InflateError::Truncated.into()).into());
                }
                *input = &input[step.consumed..];
                let is_end = step.is_end;
                sink(step.piece)?;
                if is_end {
                    self.content = Content::Read;
                }
                Ok(true)
            }
        }
    }
}

impl fmt::Debug for BlobReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("size", &self.size).finish_non_exhaustive()
    }
}
