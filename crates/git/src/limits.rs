//! Every default bound of this crate in one place, with the arithmetic that leads to it.
//!
//! The budget is a Cloudflare isolate: 128 MiB in all, of which some 20 MiB are left for the wasm
//! module, the HTTP stack and other requests in flight. The table in [`crate`] adds these up.

/// One mebibyte, in bytes.
pub const MIB: usize = 1024 * 1024;

/// Most bytes of the packs that are held at the same time. An archive needs them and a zip of about
/// the same size.
pub const PACK_BYTES: usize = 24 * MIB;

/// Most bytes of one object that is held whole: a tree, a manifest, a packaged file, a delta's
/// base. Applying a delta holds three such buffers (base, instructions, result): 3 × 8 = 24 MiB.
pub const OBJECT_BYTES: u64 = 8 * MIB as u64;

/// Most bytes of one object that is only hashed while the pack is verified, never held. It lets a
/// repository keep a large fixture that no archive contains: such an object fails when it is read,
/// not when the pack is opened.
pub const HASHED_OBJECT_BYTES: u64 = 128 * MIB as u64;

/// Most bytes that all objects of one pack may inflate to: 16 × the pack, beyond what source code
/// reaches (zlib gives 3 to 5, deltas some more).
pub const TOTAL_INFLATED_BYTES: u64 = 16 * PACK_BYTES as u64;

/// Most bytes inflated while a pack is verified, counting a base again each time that it has
/// fallen out of the cache. Twice the honest total; about two seconds of CPU time.
pub const VERIFY_WORK_BYTES: u64 = 2 * TOTAL_INFLATED_BYTES;

/// Most objects in a pack. 150 000 × (16 bytes entry + 24 bytes index) = 6 MB held, and 20 bytes
/// of bookkeeping each while opening: 9 MB. A delta that names its base by id costs 60 more bytes
/// while opening, 18 MB in all, but servers send those only if they ignore `ofs-delta`.
pub const OBJECTS: u32 = 150_000;

/// Longest delta chain. git writes at most 4095 (`pack.depth`, default 50); a chain costs its
/// length in inflations, so stop well before that.
pub const DELTA_DEPTH: u32 = 512;

/// Bytes of delta bases kept inflated between reads. The latest base is kept even when it alone is
/// larger, so that a chain is walked once: never more than [`OBJECT_BYTES`].
pub const BASE_CACHE_BYTES: usize = 4 * MIB;

/// Most files, symlinks and directories in an archive. 100 000 × (path 100 + its lower case 100 + 150
/// of bookkeeping) = 35 MB while it is planned, 20 MB while it is written.
pub const ARCHIVE_ENTRIES: usize = 100_000;

/// Most bytes of paths in an archive, so that [`ARCHIVE_ENTRIES`] long paths stay in memory too.
/// Held twice (as written, and in lower case) while it is planned.
pub const ARCHIVE_PATH_BYTES: usize = 10 * MIB;

/// Most bytes that an archive's files add up to before compression: four times the largest zip.
/// Zips need no other headers below 4 GiB.
pub const ARCHIVE_INFLATED_BYTES: u64 = 2048 * MIB as u64;

/// Most bytes of a finished archive. It is never in memory as a whole.
pub const ARCHIVE_ZIP_BYTES: u64 = 512 * MIB as u64;

/// Largest file whose compressed data is held until its header is written before it, with the
/// sizes. Of larger ones the sizes follow the data. Part of the format: another value makes other
/// bytes.
pub const HELD_FILE_BYTES: u64 = 4 * MIB as u64;

/// Longest path in an archive, in bytes. Linux takes 4096 including the vendor directory.
pub const PATH_BYTES: usize = 1024;

/// Most nested directories in an archive.
pub const PATH_DEPTH: usize = 64;

/// Most rules in `.gitattributes` that matter to one archive. Real repositories have a few dozen.
pub const ATTRIBUTE_RULES: usize = 1_000;

/// Most bytes of these rules: of a pattern each byte, of an attribute one, and those of its value. A byte is held as 16 bytes, a
/// `[a]` as 48, an attribute as 32: 256 Ki × 32 = 8 MiB. That of the largest known files is a tenth.
pub const ATTRIBUTE_RULE_BYTES: usize = 256 * 1024;

/// Steps that each byte of a `.gitattributes` counts as, which is read anew for each directory that has it: a range (`a-z`) is
/// 256 of them at worst.
pub const ATTRIBUTE_BYTE_WORK: usize = 64;

/// Most steps (see [`ArchiveWork`](crate::ArchiveWork)) that it may take to decide what an archive holds. 100 000 paths × 1000
/// rules that end otherwise than the path are 100 million, and so are 100 000 × 25 rules × 40 bytes of a path that only
/// the whole pattern tells. About a second.
pub const ARCHIVE_WORK: u64 = 1 << 28;

/// Steps after which a walk gives way to others, whatever it has got done: some 30 ms.
pub const ARCHIVE_SLICE_WORK: u64 = ARCHIVE_WORK / 32;

/// Most remarks of one class on one archive that are told one by one; further ones are only counted.
pub const ARCHIVE_REMARKS: usize = 5;

/// Bytes of a path that a remark shows.
pub const PATH_SHOWN_BYTES: usize = 200;

/// Most refs that are kept. 50 000 × (20 + 20 bytes of ids + 64 of name and bookkeeping) = 5 MB.
pub const REFS: usize = 50_000;

/// Longest ref name that is kept, in bytes.
pub const REF_NAME_BYTES: usize = 1024;

/// Most skipped refs that are reported one by one; further ones are only counted.
pub const SKIPPED_REFS: usize = 100;

/// Most bytes of the server's own words that an error carries.
pub const REMOTE_MESSAGE_BYTES: usize = 500;
