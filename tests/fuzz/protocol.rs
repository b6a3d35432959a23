//! What a git server sends.

use std::collections::HashMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git::limits::{MIB, REFS};
use git::{
    Advertisement, FetchError, ObjectId, Pack, PackLimits, Packet, PktDecoder, PktLineError, Tree, encode_data,
    encode_delim, encode_flush, parse_ls_refs,
};
use sha1::{Digest, Sha1};

use crate::engine::Target;

#[test]
fn pkt_line() {
    let words = &[
        "0000",
        "0001",
        "0002",
        "0004",
        "0005a",
        "fff0",
        "ffff",
        "000cversion 2",
        "001e# service=git-upload-pack\n",
        "ls-refs\n",
        "fetch=shallow filter\n",
        "object-format=sha1\n",
        " symref-target:refs/heads/main",
        " peeled:",
        "refs/tags/",
        "HEAD",
        "\0",
    ];
    Target { name: "pkt-line", words, read: read_pkt_lines }.run();
}

/// A packet that outlives its message.
#[derive(Debug, PartialEq)]
enum Held {
    Flush,
    Delim,
    ResponseEnd,
    Data(Vec<u8>),
}

fn packets_of<'b>(chunks: impl Iterator<Item = &'b [u8]>) -> (Vec<Held>, Result<(), PktLineError>) {
    let (mut decoder, mut packets) = (PktDecoder::new(), Vec::new());
    for chunk in chunks {
        let pushed = decoder.push(chunk, |packet| {
            packets.push(match packet {
                Packet::Flush => Held::Flush,
                Packet::Delim => Held::Delim,
                Packet::ResponseEnd => Held::ResponseEnd,
                Packet::Data(data) => Held::Data(data.to_vec()),
            });
            Ok(())
        });
        if let Err(error) = pushed {
            return (packets, Err(error));
        }
    }
    (packets, decoder.finish())
}

fn read_pkt_lines(input: &[u8]) {
    let (packets, ended) = packets_of([input].into_iter());
    let in_pieces = packets_of(input.chunks(3));
    assert_eq!((&packets, &ended), (&in_pieces.0, &in_pieces.1), "however it arrives");
    if ended.is_ok() {
        let mut encoded = Vec::new();
        for packet in &packets {
            match packet {
                Held::Flush => encode_flush(&mut encoded),
                Held::Delim => encode_delim(&mut encoded),
                Held::ResponseEnd => encoded.extend(b"0002"),
                Held::Data(data) if data.is_empty() => encoded.extend(b"0004"),
                Held::Data(data) => encode_data(&mut encoded, data),
            }
        }
        assert_eq!(encoded.to_ascii_lowercase(), input.to_ascii_lowercase());
    }
    let _ = Advertisement::parse(input);
    if let Ok(refs) = parse_ls_refs(input) {
        assert!(refs.refs.len() <= REFS);
    }
    let mut advertisement = b"000eversion 2\n000ffetch=filter0000".to_vec();
    encode_flush(&mut advertisement);
    if let Ok(Advertisement { capabilities, .. }) = Advertisement::parse(&advertisement) {
        let mut receiver = git::PackReceiver::new(&capabilities, 4096);
        match receiver.push(input).and_then(|()| receiver.finish()) {
            Ok(pack) => assert!(pack.len() <= 4096),
            Err(FetchError::TooLarge { limit }) => assert_eq!(limit, 4096),
            Err(_) => {}
        }
    }
}

fn small_limits() -> PackLimits {
    PackLimits {
        pack_bytes: MIB,
        object_bytes: 256 << 10,
        hashed_object_bytes: 512 << 10,
        total_bytes: 2 * MIB as u64,
        work_bytes: 4 * MIB as u64,
        objects: 200,
        delta_depth: 20,
        base_cache_bytes: 64 << 10,
    }
}

/// The same with the checksum that a pack ends with.
fn signed(mut pack: Vec<u8>) -> Vec<u8> {
    let checksum = Sha1::digest(&pack);
    pack.extend_from_slice(&checksum);
    pack
}

#[test]
fn pack() {
    let words = &["PACK\0\0\0\x02\0\0\0\x01", "x\x01", "\x78\u{1}\x03", "\0\0\0\0", "\x30", "\x60\x14", "\x70"];
    Target { name: "pack", words, read: read_pack }.run();
}

/// A pack without the checksum at its end, which would hide everything that is behind it.
fn read_pack(input: &[u8]) {
    let limits = small_limits();
    let Ok(pack) = Pack::open(signed(input.to_vec()), &limits) else { return };
    assert!(pack.len() <= limits.objects as usize);
    let mut total = 0;
    for id in pack.ids() {
        let Ok(Some(object)) = pack.read(&id) else { continue };
        let head = format!("{} {}\0", object.kind(), object.data().len());
        assert_eq!(hex::encode(Sha1::new().chain_update(head).chain_update(object.data()).finalize()), id.to_hex());
        assert!(object.data().len() as u64 <= limits.object_bytes);
        total += object.data().len() as u64;
    }
    assert!(total <= limits.total_bytes);
}

#[test]
fn delta() {
    let words = &["\x01", "\x10", "\u{10}\u{1}", "\u{ff}", "\0", "\x05hello", "\u{7f}"];
    Target { name: "delta", words, read: read_delta }.run();
}

/// The length of a base, the base, and instructions: read by the pack, and by the plainest reader there is.
fn read_delta(input: &[u8]) {
    let Some((&length, rest)) = input.split_first() else { return };
    let (base, delta) = rest.split_at(usize::from(length).min(rest.len()));
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    let at = pack.len();
    append_object(&mut pack, 3, &[], base);
    let distance = pack.len() - at;
    let Some(distance) = offset(distance) else { return };
    append_object(&mut pack, 6, &distance, delta);
    let limits = small_limits();
    let pack = Pack::open(signed(pack), &limits);
    let expected = apply_plainly(base, delta, usize::try_from(limits.object_bytes).expect("it fits"));
    match (pack, expected) {
        (Ok(pack), Some(expected)) => {
            let head = format!("blob {}\0", expected.len());
            let id = Sha1::new().chain_update(head).chain_update(&expected).finalize();
            let id = ObjectId::from_bytes(id.into());
            let object = pack.read(&id).expect("is read").expect("is there");
            assert!(object.data() == expected, "another result");
        }
        (Err(_), None) => {}
        // What is never held may be larger than what is.
        (Ok(pack), None) => assert!(pack.ids().any(|id| pack.size(&id).is_some_and(|size| size > limits.object_bytes))),
        (Err(error), Some(expected)) => {
            assert!(expected.len() as u64 > limits.object_bytes, "{error} for {} bytes", expected.len());
        }
    }
}

fn append_object(pack: &mut Vec<u8>, kind: u8, before: &[u8], content: &[u8]) {
    let mut rest = content.len() >> 4;
    let first = kind << 4 | u8::try_from(content.len() & 15).expect("four bits");
    pack.push(if rest > 0 { first | 0x80 } else { first });
    while rest > 0 {
        let bits = u8::try_from(rest & 0x7f).expect("seven bits");
        rest >>= 7;
        pack.push(if rest > 0 { bits | 0x80 } else { bits });
    }
    pack.extend_from_slice(before);
    let mut encoder = ZlibEncoder::new(pack, Compression::fast());
    encoder.write_all(content).expect("to memory");
    encoder.finish().expect("to memory");
}

/// How a delta names the distance to its base, if that is below 16 512.
fn offset(distance: usize) -> Option<Vec<u8>> {
    if distance < 128 {
        return Some(vec![u8::try_from(distance).ok()?]);
    }
    let distance = distance - 128;
    Some(vec![0x80 | u8::try_from(distance >> 7).ok().filter(|high| *high < 128)?, u8::try_from(distance & 127).ok()?])
}

/// A delta as git's documentation describes it, applied byte for byte.
fn apply_plainly(base: &[u8], delta: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut bytes = delta.iter().copied();
    let mut size = || {
        let (mut size, mut shift) = (0_u64, 0);
        loop {
            let byte = bytes.next()?;
            size |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(size);
            }
        }
    };
    let (base_size, result_size) = (size()?, size()?);
    if base_size != base.len() as u64 || result_size > limit as u64 {
        return None;
    }
    let mut result = Vec::new();
    while let Some(instruction) = bytes.next() {
        if instruction & 0x80 == 0 {
            if instruction == 0 {
                return None;
            }
            for _ in 0..instruction {
                result.push(bytes.next()?);
            }
        } else {
            let mut argument = |first: u8, count: u8| {
                (0..count)
                    .filter(|at| instruction & (1 << (first + at)) != 0)
                    .try_fold(0_usize, |value, at| Some(value | usize::from(bytes.next()?) << (8 * at)))
            };
            let (from, count) = (argument(0, 4)?, argument(4, 3)?);
            let count = if count == 0 { 0x10000 } else { count };
            result.extend_from_slice(base.get(from..from.checked_add(count)?)?);
        }
        if result.len() as u64 > result_size {
            return None;
        }
    }
    (result.len() as u64 == result_size).then_some(result)
}

#[test]
fn tree() {
    let words = &[
        "100644 ",
        "100755 ",
        "120000 ",
        "40000 ",
        "160000 ",
        "a\0",
        "..\0",
        ".git\0",
        "composer.json\0",
        "aaaaaaaaaaaaaaaaaaaa",
    ];
    Target { name: "tree", words, read: read_tree }.run();
}

fn read_tree(input: &[u8]) {
    let Ok(tree) = Tree::parse(input) else { return };
    let (mut names, mut bytes) = (HashMap::new(), 0);
    for entry in tree.entries() {
        bytes += entry.name.len() + 22;
        names.entry(entry.name.to_vec()).or_insert(entry.oid);
    }
    assert!(bytes < input.len() || input.is_empty(), "entries are made of the tree's bytes");
    for (name, oid) in names {
        assert_eq!(tree.get(&name).map(|entry| entry.oid), Some(oid), "{name:?}");
    }
}
