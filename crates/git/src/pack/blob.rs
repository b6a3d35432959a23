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
    /// It is small, or had to be rebuilt from a delta. Taken when it was read.
    Held(Option<Object>),
    /// It is inflated as it is read.
    Stored { input: &'p [u8], offset: usize, inflater: Box<Inflater> },
}

impl<'p> BlobReader<'p> {
    /// A reader of content that is in memory.
    pub(crate) fn held(object: Object) -> Self {
        Self { size: object.data().len() as u64, content: Content::Held(Some(object)) }
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

    /// Gives `sink` the next piece. Says whether there was one.
    pub fn next_piece<E: From<PackError>>(&mut self, sink: impl FnOnce(&[u8]) -> Result<(), E>) -> Result<bool, E> {
        match &mut self.content {
            Content::Held(object) => match object.take() {
                Some(object) => sink(object.data()).map(|()| true),
                None => Ok(false),
            },
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
                    self.content = Content::Held(None);
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
