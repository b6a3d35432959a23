//! A byte buffer in one piece with an upper bound, for packs being received.

/// The content would exceed the buffer's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverLimit;

/// A `Vec` that refuses to exceed `limit` bytes and grows so that memory never holds more than
/// `limit` + `limit` / 4 for it: it doubles up to a quarter of the limit, then takes the limit at
/// once. A plain `Vec` doubling past half of the limit would hold 3 × the limit while it copies.
#[derive(Debug)]
pub(crate) struct BoundedBuffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl BoundedBuffer {
    const FIRST_BYTES: usize = 16 * 1024;

    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Appends `data`.
    pub(crate) fn put(&mut self, data: &[u8]) -> Result<(), OverLimit> {
        let end = self.bytes.len() + data.len();
        if end > self.limit {
            return Err(OverLimit);
        }
        self.make_room(end);
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// The content, without the room that was kept for more. The allocator of wasm gives such
    /// room back in place; where it has to copy, memory holds both for a moment.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
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
}
