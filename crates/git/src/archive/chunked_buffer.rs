//! A byte buffer in chunks, for zips being written: it grows without ever being copied, so that it
//! costs what it holds, and is handed over chunk by chunk.

use std::io::{self, Seek, SeekFrom, Write};

use bytes::Bytes;

/// Bytes of every chunk but the last.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Refuses to exceed `limit` bytes, with [`io::ErrorKind::StorageFull`].
#[derive(Debug)]
pub(crate) struct ChunkedBuffer {
    /// All full but the last.
    chunks: Vec<Vec<u8>>,
    limit: usize,
    position: usize,
}

impl ChunkedBuffer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { chunks: Vec::new(), limit, position: 0 }
    }

    /// The content, as chunks of a mebibyte and a rest.
    pub(crate) fn into_chunks(mut self) -> Vec<Bytes> {
        if let Some(last) = self.chunks.last_mut() {
            last.shrink_to_fit();
        }
        self.chunks.into_iter().map(Bytes::from).collect()
    }

    fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK_BYTES + last.len())
    }

    /// Writes what fits the chunk at the position, over what is there, and says how much that was.
    fn put(&mut self, data: &[u8]) -> usize {
        let (index, at) = (self.position / CHUNK_BYTES, self.position % CHUNK_BYTES);
        let data = &data[..data.len().min(CHUNK_BYTES - at)];
        if index == self.chunks.len() {
            // The whole chunk at once: growing ones leave holes between each other that fit nothing.
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES));
        }
        let chunk = &mut self.chunks[index];
        let overwritten = (chunk.len() - at).min(data.len());
        chunk[at..at + overwritten].copy_from_slice(&data[..overwritten]);
        chunk.extend_from_slice(&data[overwritten..]);
        self.position += data.len();
        data.len()
    }
}

impl Write for ChunkedBuffer {
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

impl Seek for ChunkedBuffer {
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

    fn content(buffer: ChunkedBuffer) -> Vec<u8> {
        buffer.into_chunks().concat()
    }

    #[test]
    fn the_limit_is_reached_but_not_exceeded() {
        let mut buffer = ChunkedBuffer::new(10);
        buffer.write_all(b"0123456").expect("fits");
        let full = buffer.write_all(b"789a").expect_err("over the limit");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        buffer.write_all(b"789").expect("fits");
        assert_eq!(content(buffer), b"0123456789");
    }

    #[test]
    fn what_is_written_across_chunks_is_read_back_in_one() {
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(2 * CHUNK_BYTES + 5).collect();
        let mut buffer = ChunkedBuffer::new(all.len());
        for part in all.chunks(300_007) {
            buffer.write_all(part).expect("fits");
        }
        let border = CHUNK_BYTES as u64 - 2;
        buffer.seek(SeekFrom::Start(border)).expect("inside");
        buffer.write_all(b"over").expect("fits");
        assert_eq!(buffer.stream_position().expect("known"), border + 4);
        let chunks = buffer.into_chunks();
        assert_eq!(chunks.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK_BYTES, CHUNK_BYTES, 5]);
        let mut expected = all;
        expected[CHUNK_BYTES - 2..CHUNK_BYTES + 2].copy_from_slice(b"over");
        assert!(chunks.concat() == expected);
    }

    #[test]
    fn seeking_back_overwrites_and_seeking_on_is_refused() {
        let mut buffer = ChunkedBuffer::new(16);
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
