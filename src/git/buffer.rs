//! A byte buffer with an upper bound, for packs being received and zips being written.

use std::io::{self, Seek, SeekFrom, Write};

/// The content would exceed the buffer's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverLimit;

/// A `Vec` that refuses to exceed `limit` bytes and grows so that memory never holds more than
/// `limit` + `limit` / 4 for it: it doubles up to a quarter of the limit, then takes the limit at
/// once. A plain `Vec` doubling past half of the limit would hold 3 × the limit while it copies.
#[derive(Debug)]
pub(super) struct BoundedBuffer {
    bytes: Vec<u8>,
    limit: usize,
    position: usize,
}

impl BoundedBuffer {
    const FIRST_BYTES: usize = 16 * 1024;

    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, position: 0 }
    }

    /// Writes at the position, over what is there, and moves the position behind it.
    pub(super) fn put(&mut self, data: &[u8]) -> Result<(), OverLimit> {
        let end = self.position.checked_add(data.len()).ok_or(OverLimit)?;
        if end > self.limit {
            return Err(OverLimit);
        }
        self.make_room(end);
        let overwritten = self.bytes.len().saturating_sub(self.position).min(data.len());
        if self.position > self.bytes.len() {
            self.bytes.resize(self.position, 0);
        }
        self.bytes[self.position..self.position + overwritten].copy_from_slice(&data[..overwritten]);
        self.bytes.extend_from_slice(&data[overwritten..]);
        self.position = end;
        Ok(())
    }

    /// The content, without the room that was kept for more. The allocator of wasm gives such
    /// room back in place; where it has to copy, memory holds both for a moment.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.shrink_to_fit();
        self.bytes
    }

    fn make_room(&mut self, end: usize) {
        if end <= self.bytes.capacity() {
            return;
        }
        let doubled = end.max(self.bytes.capacity() * 2).max(Self::FIRST_BYTES);
        let capacity = if doubled > self.limit / 4 { self.limit } else { doubled };
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }
}

impl Write for BoundedBuffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.put(data).map_err(|OverLimit| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for BoundedBuffer {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, offset) = match to {
            SeekFrom::Start(offset) => (offset, 0),
            SeekFrom::End(offset) => (self.bytes.len() as u64, offset),
            SeekFrom::Current(offset) => (self.position as u64, offset),
        };
        let target = base
            .checked_add_signed(offset)
            .and_then(|target| usize::try_from(target).ok())
            .filter(|target| *target <= self.limit)
            .ok_or(io::ErrorKind::InvalidInput)?;
        self.position = target;
        Ok(target as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_reached_but_not_exceeded() {
        let mut buffer = BoundedBuffer::new(10);
        assert_eq!(buffer.put(b"0123456"), Ok(()));
        assert_eq!(buffer.put(b"789a"), Err(OverLimit));
        assert_eq!(buffer.put(b"789"), Ok(()));
        assert_eq!(buffer.into_vec(), b"0123456789");
    }

    #[test]
    fn capacity_goes_straight_from_a_quarter_to_the_limit() {
        const LIMIT: usize = 1024 * 1024;
        let mut buffer = BoundedBuffer::new(LIMIT);
        let mut capacities = Vec::new();
        for _ in 0..LIMIT / 1024 {
            buffer.put(&[7; 1024]).expect("within the limit");
            capacities.push(buffer.bytes.capacity());
        }
        capacities.dedup();
        assert_eq!(capacities.last(), Some(&LIMIT));
        assert!(capacities[..capacities.len() - 1].iter().all(|capacity| *capacity <= LIMIT / 4));
    }

    #[test]
    fn seeking_back_overwrites_and_seeking_on_fills_with_zeros() {
        let mut buffer = BoundedBuffer::new(16);
        buffer.write_all(b"abcdef").expect("fits");
        buffer.seek(SeekFrom::Start(4)).expect("inside");
        buffer.write_all(b"XYZ").expect("fits");
        buffer.seek(SeekFrom::End(2)).expect("inside the limit");
        buffer.write_all(b"!").expect("fits");
        assert!(buffer.seek(SeekFrom::Start(17)).is_err());
        assert!(buffer.seek(SeekFrom::Current(-100)).is_err());
        let full = buffer.write_all(&[0; 16]).expect_err("over the limit");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(buffer.into_vec(), b"abcdXYZ\0\0!");
    }
}
