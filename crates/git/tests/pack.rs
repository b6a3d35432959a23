//! Packs from a real git, compared object by object, whole, damaged and cut.

#[expect(dead_code, reason = "each test file uses its part")]
mod support;

use proptest::prelude::*;
use rostrum_git::{ObjectId, Pack, PackError, PackLimits};
use sha1::{Digest, Sha1};
use support::Repo;

fn open(bytes: &[u8]) -> Result<Pack, PackError> {
    Pack::open(bytes.to_vec(), &PackLimits::default())
}

fn open_within(bytes: &[u8], change: impl FnOnce(&mut PackLimits)) -> Result<Pack, PackError> {
    let mut limits = PackLimits::default();
    change(&mut limits);
    Pack::open(bytes.to_vec(), &limits)
}

/// A file that changes a little in each of `commits` commits, so that git makes long chains.
fn changing(commits: usize) -> Repo {
    let mut repo = Repo::new();
    let mut lines: Vec<String> = (0..300).map(|n| format!("line {n} {}", n * 7919)).collect();
    for n in 0..commits {
        lines[n % 300] = format!("changed in {n}");
        repo.write("file.txt", lines.join("\n"));
        repo.write("composer.json", format!("{{\"version\": \"1.{n}\"}}"));
        repo.commit();
    }
    repo.git(&["tag", "-a", "-m", "A release", "v1"]);
    repo
}

/// Compares every object with what git says of it.
fn assert_same_as_git(repo: &Repo, pack: &Pack) {
    let listed = repo.git(&["cat-file", "--batch-all-objects", "--batch-check"]);
    let listed = String::from_utf8(listed).expect("ASCII");
    assert_eq!(pack.len(), listed.lines().count());
    assert_eq!(pack.ids().count(), pack.len());
    for line in listed.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let id = ObjectId::parse(words[0]).expect("an id");
        let object = pack.read(&id).expect("readable").expect("there");
        assert_eq!(object.kind().as_str(), words[1]);
        assert_eq!(pack.kind(&id), Some(object.kind()));
        assert_eq!(pack.size(&id).map(|size| size.to_string()).as_deref(), Some(words[2]));
        let mut hasher = Sha1::new();
        hasher.update(format!("{} {}\0", object.kind(), object.data().len()));
        hasher.update(object.data());
        assert_eq!(ObjectId::from_bytes(hasher.finalize().into()), id);
    }
}

#[test]
fn chains_of_offset_deltas_are_read_as_git_reads_them() {
    let repo = changing(300);
    let bytes = repo.pack_everything(&["--delta-base-offset", "--depth=100", "--window=20"]);
    assert_same_as_git(&repo, &open(&bytes).expect("valid"));
}

#[test]
fn chains_of_reference_deltas_are_read_as_git_reads_them() {
    let repo = changing(300);
    let bytes = repo.pack_everything(&["--depth=100", "--window=20"]);
    assert_same_as_git(&repo, &open(&bytes).expect("valid"));
}

#[test]
fn a_cache_without_room_changes_nothing_but_the_work() {
    let repo = changing(60);
    let bytes = repo.pack_everything(&["--delta-base-offset", "--depth=50"]);
    let pack = open_within(&bytes, |limits| limits.base_cache_bytes = 0);
    assert_same_as_git(&repo, &pack.expect("valid"));
}

#[test]
fn real_chains_deeper_than_the_limit_are_refused() {
    let repo = changing(60);
    let bytes = repo.pack_everything(&["--delta-base-offset", "--depth=50"]);
    let limit = 3;
    let refused = open_within(&bytes, |limits| limits.delta_depth = limit);
    assert_eq!(refused.err(), Some(PackError::DeltaTooDeep { limit }));
}

#[test]
fn a_cut_anywhere_is_truncated() {
    let bytes = changing(5).pack_everything(&["--delta-base-offset"]);
    for end in 0..bytes.len() {
        assert_eq!(open(&bytes[..end]).err(), Some(PackError::Truncated), "{end}");
    }
}

#[test]
fn a_flipped_bit_anywhere_behind_the_header_is_found() {
    let bytes = changing(3).pack_everything(&["--delta-base-offset"]);
    for at in 12..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        // A damaged length can make the last object run into the end.
        let error = open(&damaged).expect_err("damaged");
        assert!(matches!(error, PackError::BadChecksum | PackError::Truncated), "{at}: {error}");
    }
}

/// Appends the checksum.
fn sign(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = Sha1::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// A small real pack of both kinds of deltas.
fn samples() -> &'static [Vec<u8>; 2] {
    static SAMPLES: std::sync::OnceLock<[Vec<u8>; 2]> = std::sync::OnceLock::new();
    SAMPLES.get_or_init(|| {
        let repo = changing(12);
        [repo.pack_everything(&["--delta-base-offset"]), repo.pack_everything(&[])]
    })
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
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_and_cut_packs_never_panic(
        which in 0usize..2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        signed in any::<bool>(),
    ) {
        let sample = &samples()[which];
        let mut bytes = sample[..sample.len() - 20].to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        survive(&if signed { sign(bytes) } else { bytes });
    }
}
