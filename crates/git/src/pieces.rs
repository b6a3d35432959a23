//! A byte buffer in pieces, for zips being written: it grows without ever being copied, so that it
//! costs what it holds, and is handed over piece by piece.

use std::io::{self, Seek, SeekFrom, Write};

use bytes::Bytes;

/// Bytes of every piece but the last.
const PIECE_BYTES: usize = 1024 * 1024;

/// Refuses to exceed `limit` bytes, with [`io::ErrorKind::StorageFull`].
#[derive(Debug)]
pub(crate) struct PieceBuffer {
    /// All full but the last.
    pieces: Vec<Vec<u8>>,
    limit: usize,
    position: usize,
}

impl PieceBuffer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pieces: Vec::new(), limit, position: 0 }
    }

    /// The content, as pieces of a mebibyte and a rest.
    pub(crate) fn into_pieces(mut self) -> Vec<Bytes> {
        if let Some(last) = self.pieces.last_mut() {
            last.shrink_to_fit();
        }
        self.pieces.into_iter().map(Bytes::from).collect()
    }

    fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE_BYTES + last.len())
    }

    /// Writes what fits the piece at the position, over what is there, and says how much that was.
    fn put(&mut self, data: &[u8]) -> usize {
        let (index, at) = (self.position / PIECE_BYTES, self.position % PIECE_BYTES);
        let data = &data[..data.len().min(PIECE_BYTES - at)];
        if index == self.pieces.len() {
            // The whole piece at once: growing ones leave holes between each other that fit nothing.
            self.pieces.push(Vec::with_capacity(PIECE_BYTES));
        }
        let piece = &mut self.pieces[index];
        let overwritten = (piece.len() - at).min(data.len());
        piece[at..at + overwritten].copy_from_slice(&data[..overwritten]);
        piece.extend_from_slice(&data[overwritten..]);
        self.position += data.len();
        data.len()
    }
}

impl Write for PieceBuffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.limit - self.position {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.put(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for PieceBuffer {
    /// Goes anywhere within the content, but not beyond its end.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(offset) => (self.len() as u64, offset),
            SeekFrom::Current(offset) => (self.position as u64, offset),
        };
        let target = base
            .checked_add_signed(offset)
            .and_then(|target| usize::try_from(target).ok())
            .filter(|target| *target <= self.len())
            .ok_or(io::ErrorKind::InvalidInput)?;
        self.position = target;
        Ok(target as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(buffer: PieceBuffer) -> Vec<u8> {
        buffer.into_pieces().concat()
    }

    #[test]
    fn the_limit_is_reached_but_not_exceeded() {
        let mut buffer = PieceBuffer::new(10);
        buffer.write_all(b"0123456").expect("fits");
        let full = buffer.write_all(b"789a").expect_err("over the limit");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        buffer.write_all(b"789").expect("fits");
        assert_eq!(content(buffer), b"0123456789");
    }

    #[test]
    fn what_is_written_across_pieces_is_read_back_in_one() {
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(2 * PIECE_BYTES + 5).collect();
        let mut buffer = PieceBuffer::new(all.len());
        for part in all.chunks(300_007) {
            buffer.write_all(part).expect("fits");
        }
        let border = PIECE_BYTES as u64 - 2;
        buffer.seek(SeekFrom::Start(border)).expect("inside");
        buffer.write_all(b"over").expect("fits");
        assert_eq!(buffer.stream_position().expect("known"), border + 4);
        let pieces = buffer.into_pieces();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE_BYTES, PIECE_BYTES, 5]);
        let mut expected = all;
        expected[PIECE_BYTES - 2..PIECE_BYTES + 2].copy_from_slice(b"over");
        assert!(pieces.concat() == expected);
    }

    #[test]
    fn seeking_back_overwrites_and_seeking_on_is_refused() {
        let mut buffer = PieceBuffer::new(16);
        buffer.write_all(b"abcdef").expect("fits");
        buffer.seek(SeekFrom::Start(4)).expect("inside");
        buffer.write_all(b"XYZ").expect("fits");
        buffer.seek(SeekFrom::End(-1)).expect("inside");
        buffer.seek(SeekFrom::Current(1)).expect("at the end");
        buffer.write_all(b"!").expect("fits");
        assert!(buffer.seek(SeekFrom::Start(9)).is_err());
        assert!(buffer.seek(SeekFrom::Current(-100)).is_err());
        assert_eq!(content(buffer), b"abcdXYZ!");
    }
}
