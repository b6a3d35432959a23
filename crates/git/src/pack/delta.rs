//! Deltas: an object as copies from another object and pieces of its own (gitformat-pack(5),
//! "Deltified representation").

/// A delta cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The instructions end early.
    #[error("its delta is cut off")]
    Truncated,
    /// A size in the delta's header does not fit 64 bits.
    #[error("its delta declares an impossible size")]
    BadSize,
    /// The delta was made for a base of another size.
    #[error("its delta belongs to another base")]
    BaseMismatch,
    /// An instruction copies bytes that the base does not have.
    #[error("its delta copies from outside its base")]
    CopyOutOfRange,
    /// An instruction that the format reserves.
    #[error("its delta holds a reserved instruction")]
    ReservedInstruction,
    /// The instructions make another size than the header announced.
    #[error("its delta makes another size than it declares")]
    ResultMismatch,
}

/// The sizes in a delta's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeltaHeader {
    pub(crate) base_size: u64,
    pub(crate) result_size: u64,
    /// Where the instructions start.
    instructions: usize,
}

impl DeltaHeader {
    /// Longest header: two sizes of 64 bits, seven bits in a byte.
    pub(crate) const MAX_BYTES: usize = 2 * 10;

    pub(crate) fn parse(delta: &[u8]) -> Result<Self, DeltaError> {
        let mut at = 0;
        let base_size = size(delta, &mut at)?;
        let result_size = size(delta, &mut at)?;
        Ok(Self { base_size, result_size, instructions: at })
    }
}

/// Rebuilds an object. The caller has bounded the result's declared size.
pub(crate) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let header = DeltaHeader::parse(delta)?;
    if header.base_size != base.len() as u64 {
        return Err(DeltaError::BaseMismatch);
    }
    let result_size = usize::try_from(header.result_size).map_err(|_| DeltaError::BadSize)?;
    let mut result = Vec::with_capacity(result_size);
    let mut at = header.instructions;
    while let Some(&opcode) = delta.get(at) {
        at += 1;
        let piece = match opcode {
            0 => return Err(DeltaError::ReservedInstruction),
            1..=0x7f => {
                let end = at + usize::from(opcode);
                let own = delta.get(at..end).ok_or(DeltaError::Truncated)?;
                at = end;
                own
            }
            0x80.. => copied(base, delta, opcode, &mut at)?,
        };
        if piece.len() > result_size - result.len() {
            return Err(DeltaError::ResultMismatch);
        }
        result.extend_from_slice(piece);
    }
    if result.len() == result_size { Ok(result) } else { Err(DeltaError::ResultMismatch) }
}

/// The part of `base` that a copy instruction names: bits 0 to 3 of the opcode say which bytes of
/// the offset follow, bits 4 to 6 which bytes of the size; a size of 0 means 65 536.
fn copied<'a>(base: &'a [u8], delta: &[u8], opcode: u8, at: &mut usize) -> Result<&'a [u8], DeltaError> {
    let mut number = |first_bit: u8, bytes: u8| -> Result<usize, DeltaError> {
        let mut value: u32 = 0;
        for index in 0..bytes {
            if opcode & (1 << (first_bit + index)) != 0 {
                let byte = *delta.get(*at).ok_or(DeltaError::Truncated)?;
                *at += 1;
                value |= u32::from(byte) << (8 * index);
            }
        }
        usize::try_from(value).map_err(|_| DeltaError::CopyOutOfRange)
    };
    let offset = number(0, 4)?;
    let size = match number(4, 3)? {
        0 => 0x10000,
        size => size,
    };
    let end = offset.checked_add(size).ok_or(DeltaError::CopyOutOfRange)?;
    base.get(offset..end).ok_or(DeltaError::CopyOutOfRange)
}

/// A little-endian number of seven bits a byte; the eighth says that more follow.
fn size(delta: &[u8], at: &mut usize) -> Result<u64, DeltaError> {
    let mut value: u64 = 0;
    for shift in (0..64).step_by(7) {
        let byte = *delta.get(*at).ok_or(DeltaError::Truncated)?;
        *at += 1;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(DeltaError::BadSize);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DeltaError::BadSize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn copies_and_own_pieces_are_joined() {
        // 11 → 8 bytes: copy 5 from 6, then "!", then copy 2 from 0.
        let delta = [11, 8, 0x91, 6, 5, 1, b'!', 0x90, 2];
        assert_eq!(apply(b"hello world", &delta), Ok(b"world!he".to_vec()));
    }

    #[test]
    fn a_size_of_zero_copies_64_kibibytes() {
        let base = vec![1; 0x10000];
        let delta = [0x80, 0x80, 4, 0x80, 0x80, 4, 0x80];
        assert_eq!(apply(&base, &delta), Ok(base.clone()));
    }

    #[test]
    fn every_defect_has_its_name() {
        let cases: [(&[u8], DeltaError); 10] = [
            (&[], DeltaError::Truncated),
            (&[3], DeltaError::Truncated),
            (&[4, 0], DeltaError::BaseMismatch),
            (&[3, 2, 5, b'x'], DeltaError::Truncated),
            (&[3, 2, 0x91, 0], DeltaError::Truncated),
            (&[3, 2, 0x91, 2, 2], DeltaError::CopyOutOfRange),
            (&[3, 2, 0], DeltaError::ReservedInstruction),
            (&[3, 2, 1, b'x'], DeltaError::ResultMismatch),
            (&[3, 2, 3, b'x', b'y', b'z'], DeltaError::ResultMismatch),
            (&[0xff; 12], DeltaError::BadSize),
        ];
        for (delta, error) in cases {
            assert_eq!(apply(b"abc", delta), Err(error), "{delta:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_applied_or_refused(
            base in prop::collection::vec(any::<u8>(), 0..100),
            // Without a high bit the two sizes stay small.
            sizes in prop::array::uniform2(0u8..0x80),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let delta = [&sizes[..], &rest].concat();
            if let Ok(result) = apply(&base, &delta) {
                prop_assert_eq!(result.len(), usize::from(sizes[1]));
            }
        }
    }
}
