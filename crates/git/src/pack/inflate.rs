//! zlib streams of a known size, as packs hold them.

use flate2::{Decompress, FlushDecompress, Status};

/// A zlib stream is not what its object's header announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The stream is damaged, or its Adler-32 is wrong.
    #[error("its compressed data is damaged")]
    Corrupt,
    /// The bytes end before the stream does.
    #[error("its compressed data is cut off")]
    Truncated,
    /// The stream inflates to another size than announced.
    #[error("it inflates to another size than the {declared} bytes it declares")]
    SizeMismatch {
        /// What the header announced, in bytes.
        declared: u64,
    },
}

/// A reusable zlib decoder: 64 KiB, allocated once.
pub(crate) struct Inflater {
    state: Decompress,
    window: Box<[u8]>,
    /// What the stream has to inflate to, in bytes.
    declared: u64,
}

/// A step of inflating.
pub(crate) struct Inflated<'a> {
    /// How many bytes of the input it took.
    pub(crate) consumed: usize,
    /// What they inflate to; never more than was declared in all.
    pub(crate) piece: &'a [u8],
    /// Whether the stream has ended, with the declared size.
    pub(crate) is_end: bool,
}

impl Inflated<'_> {
    /// Whether nothing more comes of this input.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_end && self.consumed == 0 && self.piece.is_empty()
    }
}

impl Inflater {
    const WINDOW_BYTES: usize = 16 * 1024;

    pub(crate) fn new() -> Self {
        Self { state: Decompress::new(true), window: vec![0; Self::WINDOW_BYTES].into_boxed_slice(), declared: 0 }
    }

    /// Begins a stream that inflates to `declared` bytes.
    pub(crate) fn begin(&mut self, declared: u64) {
        self.state.reset(true);
        self.declared = declared;
    }

    /// Inflates the next piece; `input` is what was not consumed yet.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Inflated<'_>, InflateError> {
        let before = (self.state.total_in(), self.state.total_out());
        let status =
            self.state.decompress(input, &mut self.window, FlushDecompress::None).map_err(|_| InflateError::Corrupt)?;
        // Both differences are bounded by the lengths of the slices just passed.
        let consumed = to_len(self.state.total_in() - before.0);
        let written = to_len(self.state.total_out() - before.1);
        let (produced, declared) = (self.state.total_out(), self.declared);
        let is_end = status == Status::StreamEnd;
        if produced > declared || (is_end && produced < declared) {
            return Err(InflateError::SizeMismatch { declared });
        }
        Ok(Inflated { consumed, piece: &self.window[..written], is_end })
    }

    /// Inflates the stream at the start of `input` piece by piece into `sink`, and returns how
    /// many bytes of `input` it took. `sink` never gets more than `declared` bytes.
    pub(crate) fn stream(
        &mut self,
        input: &[u8],
        declared: u64,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<usize, InflateError> {
        self.begin(declared);
        let mut taken = 0;
        loop {
            let step = self.step(&input[taken..])?;
            if step.is_stuck() {
                return Err(InflateError::Truncated);
            }
            taken += step.consumed;
            sink(step.piece);
            if step.is_end {
                return Ok(taken);
            }
        }
    }

    /// Inflates the stream at the start of `input` whole. The caller has bounded `declared`.
    pub(crate) fn whole(&mut self, input: &[u8], declared: u32) -> Result<Vec<u8>, InflateError> {
        let mut content = Vec::with_capacity(declared as usize);
        self.stream(input, u64::from(declared), |piece| {
            content.extend_from_slice(piece);
        })?;
        Ok(content)
    }
}

fn to_len(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn deflate(content: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(content).expect("to memory");
        out.finish().expect("to memory")
    }

    #[test]
    fn a_stream_is_found_at_the_start_of_more_bytes() {
        for content in [&b""[..], b"x", &[7; 16_000].repeat(6)] {
            let stream = deflate(content);
            let input = [&stream[..], b"more"].concat();
            let mut got = Vec::new();
            let size = content.len() as u64;
            let mut inflater = Inflater::new();
            let taken = inflater.stream(&input, size, |piece| got.extend_from_slice(piece));
            assert_eq!(taken, Ok(stream.len()));
            assert_eq!(got, content);
        }
    }

    #[test]
    fn a_wrong_size_damage_and_a_cut_are_told_apart() {
        let mut stream = deflate(b"hello");
        let mut inflater = Inflater::new();
        for declared in [4, 6] {
            let mismatch = InflateError::SizeMismatch { declared: u64::from(declared) };
            assert_eq!(inflater.whole(&stream, declared), Err(mismatch));
        }
        assert_eq!(inflater.whole(&stream[..3], 5), Err(InflateError::Truncated));
        let last = stream.len() - 1;
        assert_eq!(inflater.whole(&stream[..last], 5), Err(InflateError::Truncated));
        stream[last] ^= 1;
        assert_eq!(inflater.whole(&stream, 5), Err(InflateError::Corrupt));
        assert_eq!(inflater.whole(b"nope", 5), Err(InflateError::Corrupt));
    }
}
