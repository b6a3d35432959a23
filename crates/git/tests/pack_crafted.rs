//! Packs that no git would make: every limit and every defect by name.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use proptest::prelude::*;
use rostrum_git::{DeltaError, InflateError, ObjectDefect, ObjectId, ObjectKind, Pack, PackError, PackLimits};
use sha1::{Digest, Sha1};

fn open(bytes: &[u8]) -> Result<Pack, PackError> {
    Pack::open(bytes.to_vec(), &PackLimits::default())
}

fn open_within(bytes: &[u8], change: impl FnOnce(&mut PackLimits)) -> Result<Pack, PackError> {
    let mut limits = PackLimits::default();
    change(&mut limits);
    Pack::open(bytes.to_vec(), &limits)
}

/// A pack written by hand.
struct Crafted {
    body: Vec<u8>,
    objects: u32,
}

impl Crafted {
    const COMMIT: u8 = 1;
    const BLOB: u8 = 3;
    const OFFSET_DELTA: u8 = 6;
    const REFERENCE_DELTA: u8 = 7;

    fn new() -> Self {
        Self { body: Vec::new(), objects: 0 }
    }

    /// Adds an object whose header declares `size`, and returns where it starts.
    fn raw(&mut self, kind: u8, size: u64, base: &[u8], stream: &[u8]) -> usize {
        let offset = 12 + self.body.len();
        let mut rest = size >> 4;
        let first = kind << 4 | u8::try_from(size & 15).expect("four bits");
        self.body.push(if rest > 0 { first | 0x80 } else { first });
        while rest > 0 {
            let bits = u8::try_from(rest & 0x7f).expect("seven bits");
            rest >>= 7;
            self.body.push(if rest > 0 { bits | 0x80 } else { bits });
        }
        self.body.extend_from_slice(base);
        self.body.extend_from_slice(stream);
        self.objects += 1;
        offset
    }

    fn blob(&mut self, content: &[u8]) -> usize {
        self.raw(Self::BLOB, content.len() as u64, b"", &deflate(content))
    }

    fn delta_on(&mut self, base: ObjectId, delta: &[u8]) -> usize {
        let size = delta.len() as u64;
        self.raw(Self::REFERENCE_DELTA, size, base.as_bytes(), &deflate(delta))
    }

    /// A delta on what starts `distance` (below 128) bytes earlier.
    fn delta_back(&mut self, distance: u8, delta: &[u8]) -> usize {
        self.raw(Self::OFFSET_DELTA, delta.len() as u64, &[distance], &deflate(delta))
    }

    fn finish(&self) -> Vec<u8> {
        self.finish_as(*b"PACK", 2, self.objects)
    }

    fn finish_as(&self, magic: [u8; 4], version: u32, objects: u32) -> Vec<u8> {
        let mut bytes = magic.to_vec();
        bytes.extend(version.to_be_bytes());
        bytes.extend(objects.to_be_bytes());
        bytes.extend(&self.body);
        sign(bytes)
    }
}

/// Appends the checksum.
fn sign(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = Sha1::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("to memory");
    encoder.finish().expect("to memory")
}

fn blob_id(content: &[u8]) -> ObjectId {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    ObjectId::from_bytes(hasher.finalize().into())
}

/// A delta that appends one byte to a base of `size` (below 127) bytes.
fn append(size: u8, byte: u8) -> Vec<u8> {
    vec![size, size + 1, 0x90, size, 1, byte]
}

fn defect(result: Result<Pack, PackError>) -> ObjectDefect {
    match result {
        Err(PackError::BadObject { defect, .. }) => defect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pack_without_objects_is_a_pack() {
    let pack = open(&Crafted::new().finish()).expect("valid");
    assert!(pack.is_empty());
    assert_eq!(pack.read(&blob_id(b"x")), Ok(None));
    assert!(!pack.contains(&blob_id(b"x")));
}

#[test]
fn reference_deltas_find_their_bases_in_any_order() {
    let mut crafted = Crafted::new();
    crafted.delta_on(blob_id(b"abc1"), &append(4, b'2'));
    crafted.delta_on(blob_id(b"abc"), &append(3, b'1'));
    crafted.delta_on(blob_id(b"abc12"), &append(5, b'3'));
    crafted.blob(b"abc");
    let pack = open(&crafted.finish()).expect("valid");
    for content in ["abc", "abc1", "abc12", "abc123"] {
        let object = pack.read(&blob_id(content.as_bytes())).expect("readable").expect("there");
        assert_eq!((object.kind(), object.data()), (ObjectKind::Blob, content.as_bytes()));
    }
}

#[test]
fn the_same_object_twice_is_one_object() {
    let mut crafted = Crafted::new();
    crafted.blob(b"abc");
    crafted.blob(b"abc");
    crafted.delta_on(blob_id(b"abc"), &append(3, b'1'));
    let pack = open(&crafted.finish()).expect("valid");
    assert!(pack.contains(&blob_id(b"abc")) && pack.contains(&blob_id(b"abc1")));
}

#[test]
fn a_delta_without_its_base_names_the_base() {
    let mut crafted = Crafted::new();
    crafted.blob(b"abc");
    crafted.delta_on(blob_id(b"elsewhere"), &append(9, b'1'));
    let error = PackError::DeltaWithoutBase(blob_id(b"elsewhere"));
    assert_eq!(open(&crafted.finish()).err(), Some(error));
}

#[test]
fn what_is_no_pack_or_another_version_is_refused() {
    let crafted = Crafted::new();
    assert_eq!(open(&crafted.finish_as(*b"KCAP", 2, 0)).err(), Some(PackError::NotAPack));
    assert_eq!(open(b"<html>").err(), Some(PackError::NotAPack));
    assert_eq!(open(&crafted.finish_as(*b"PACK", 4, 0)).err(), Some(PackError::UnsupportedVersion(4)));
    assert!(open(&crafted.finish_as(*b"PACK", 3, 0)).is_ok());
}

#[test]
fn more_bytes_than_objects_are_refused() {
    let mut crafted = Crafted::new();
    crafted.blob(b"abc");
    crafted.blob(b"def");
    let bytes = crafted.finish_as(*b"PACK", 2, 1);
    assert_eq!(open(&bytes).err(), Some(PackError::TrailingBytes));
}

#[test]
fn counts_and_sizes_are_limited() {
    let mut crafted = Crafted::new();
    crafted.blob(&[b'a'; 100]);
    crafted.blob(&[b'b'; 100]);
    let bytes = crafted.finish();
    let refused = |change: fn(&mut PackLimits)| open_within(&bytes, change).err();
    assert_eq!(refused(|limits| limits.objects = 1), Some(PackError::TooManyObjects { count: 2, limit: 1 }));
    assert_eq!(
        refused(|limits| limits.pack_bytes = 10),
        Some(PackError::PackTooLarge { bytes: bytes.len(), limit: 10 })
    );
    let limit = 199;
    assert_eq!(refused(|limits| limits.total_bytes = 199), Some(PackError::InflatesTooLarge { limit }));
    assert_eq!(refused(|limits| limits.work_bytes = 199), Some(PackError::InflatesTooLarge { limit }));
    let exactly = open_within(&bytes, |limits| {
        limits.objects = 2;
        limits.total_bytes = 200;
        limits.work_bytes = 200;
        limits.hashed_object_bytes = 100;
    });
    assert_eq!(exactly.expect("at every limit").len(), 2);
    let billions = crafted.finish_as(*b"PACK", 2, u32::MAX);
    assert!(matches!(open(&billions), Err(PackError::TooManyObjects { count: u32::MAX, .. })));
}

#[test]
fn a_declared_size_of_four_gigabytes_is_refused_at_once() {
    let declared = 4 << 30;
    let mut whole = Crafted::new();
    whole.raw(Crafted::BLOB, declared, b"", &deflate(b"abc"));
    let limit = PackLimits::default().hashed_object_bytes;
    assert_eq!(open(&whole.finish()).err(), Some(PackError::ObjectTooLarge { declared, limit }));
    let limit = PackLimits::default().object_bytes;
    let mut instructions = Crafted::new();
    let base = *blob_id(b"abc").as_bytes();
    instructions.raw(Crafted::REFERENCE_DELTA, declared, &base, &deflate(b"abc"));
    assert_eq!(open(&instructions.finish()).err(), Some(PackError::ObjectTooLarge { declared, limit }));
    let mut result = Crafted::new();
    result.blob(b"abc");
    // Base of 3 bytes, result of 2³² in seven-bit groups.
    result.delta_on(blob_id(b"abc"), &[3, 0x80, 0x80, 0x80, 0x80, 0x10, 0x90, 3]);
    assert_eq!(open(&result.finish()).err(), Some(PackError::ObjectTooLarge { declared, limit }));
}

#[test]
fn a_file_too_large_to_hold_is_verified_but_not_read() {
    let large = vec![b'x'; 9 << 20];
    let mut crafted = Crafted::new();
    crafted.blob(&large);
    let pack = open(&crafted.finish()).expect("hashed piece by piece");
    let id = blob_id(&large);
    assert_eq!(pack.size(&id), Some(9 << 20));
    let limit = PackLimits::default().object_bytes;
    let too_large = PackError::ObjectTooLarge { declared: 9 << 20, limit };
    assert_eq!(pack.read(&id), Err(too_large.clone()));
    // As a delta's base it would have to be held.
    crafted.delta_on(id, &[3, 3, 0x90, 3]);
    assert_eq!(open(&crafted.finish()).err(), Some(too_large));
}

#[test]
fn work_on_chains_is_bounded() {
    let mut crafted = Crafted::new();
    let mut content = vec![b'a'; 100];
    crafted.blob(&content);
    for _ in 0..20 {
        let size = u8::try_from(content.len()).expect("small");
        crafted.delta_on(blob_id(&content), &append(size, b'b'));
        content.push(b'b');
    }
    let bytes = crafted.finish();
    let refused = open_within(&bytes, |limits| limits.work_bytes = 2000);
    assert_eq!(refused.err(), Some(PackError::InflatesTooLarge { limit: 2000 }));
    let pack = open_within(&bytes, |limits| limits.work_bytes = 5000).expect("enough");
    assert_eq!(pack.read(&blob_id(&content)).expect("readable").expect("there").data(), content);
}

#[test]
fn the_defects_of_an_object_are_told_apart() {
    let mut unknown = Crafted::new();
    unknown.raw(5, 3, b"", &deflate(b"abc"));
    assert_eq!(defect(open(&unknown.finish())), ObjectDefect::Type);

    let mut endless = Crafted::new();
    endless.body = vec![0xbf; 20];
    endless.objects = 1;
    assert_eq!(defect(open(&endless.finish())), ObjectDefect::Size);

    let mut short = Crafted::new();
    short.raw(Crafted::BLOB, 4, b"", &deflate(b"abc"));
    let mismatch = InflateError::SizeMismatch { declared: 4 };
    assert_eq!(defect(open(&short.finish())), ObjectDefect::Inflate(mismatch));

    let mut damaged = Crafted::new();
    damaged.raw(Crafted::COMMIT, 3, b"", b"not zlib at all");
    assert_eq!(defect(open(&damaged.finish())), ObjectDefect::Inflate(InflateError::Corrupt));

    for distance in [0, 1, 100] {
        let mut astray = Crafted::new();
        astray.blob(b"abc");
        astray.delta_back(distance, &append(3, b'1'));
        assert_eq!(defect(open(&astray.finish())), ObjectDefect::BaseOffset, "{distance}");
    }
}

#[test]
fn the_defects_of_a_delta_are_told_apart() {
    for (delta, expected) in [
        (&[4, 1, 1, b'x'][..], DeltaError::BaseMismatch),
        (&[3, 1, 0x91, 9, 1], DeltaError::CopyOutOfRange),
        (&[3, 1, 0], DeltaError::ReservedInstruction),
        (&[3, 2, 1, b'x'], DeltaError::ResultMismatch),
        (&[3, 9, 9, b'x'], DeltaError::Truncated),
        (&[0xff; 11], DeltaError::BadSize),
    ] {
        let mut crafted = Crafted::new();
        let base = crafted.blob(b"abc");
        let distance = u8::try_from(12 + crafted.body.len() - base).expect("small");
        crafted.delta_back(distance, delta);
        assert_eq!(defect(open(&crafted.finish())), ObjectDefect::Delta(expected));
    }
}

#[test]
fn a_pack_says_what_it_holds_and_not_all_of_it() {
    let pack = open(&Crafted::new().finish()).expect("valid");
    assert_eq!(format!("{pack:?}"), "Pack { bytes: 32, objects: 0, .. }");
}

/// Opens a pack that may be anything, and reads whatever it claims to hold.
fn survive(bytes: &[u8]) {
    if let Ok(pack) = open(bytes) {
        for id in pack.ids() {
            let _ = pack.read(&id);
        }
    }
}

proptest! {
    #[test]
    fn random_deltas_never_panic(
        deltas in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 1..5),
    ) {
        let mut crafted = Crafted::new();
        crafted.blob(b"abc");
        for delta in deltas {
            let tail = [&[3, 4][..], &delta].concat();
            crafted.delta_on(blob_id(b"abc"), &tail);
        }
        survive(&crafted.finish());
    }
}
