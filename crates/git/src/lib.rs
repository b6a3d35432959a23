//! git's wire protocol and pack format as pure functions over bytes.
//!
//! Nothing here does I/O, reads a clock or names an HTTP type: the caller moves the bytes. One
//! synchronisation is
//!
//! 1. `GET {repository}/`[`ADVERTISEMENT_PATH`] with the header `Git-Protocol: version=2`, parsed
//!    by [`Advertisement::parse`];
//! 2. `POST {repository}/`[`UPLOAD_PACK_PATH`] of [`ls_refs_request`], parsed by
//!    [`parse_ls_refs`]; not of a server of version 0 or 1, whose advertisement has the refs;
//! 3. one or two `POST`s of a [`FetchRequest`] chosen by a [`MetadataPlan`], received by a
//!    [`PackReceiver`] and opened as a [`Pack`];
//! 4. [`find_package_files`] to read manifests out of it; or [`build_zip`] to make a dist archive,
//!    for which [`missing_rule_files`] and [`missing_files`] say what is still to be fetched when
//!    trees came first; or [`plan_archive`] and an [`ArchiveWriter`] to make a large one.
//!
//! It is not a git implementation: no writing, no history walks, no SHA-256 repositories.
//!
//! # Memory
//! An isolate of a Cloudflare Worker has 128 MiB in all. The worst moment of each step, with the default limits
//! ([`limits`]):
//!
//! | step | held | MiB |
//! |---|---|---|
//! | receive | pack 24 + the quarter it outgrows 6 | 30 |
//! | open | pack 24 + index 18 + delta (base, instructions, result) 24 + base cache 8 | 74 |
//! | plan | packs 24 + index 6 + paths 35 + delta 24 + base caches 12 | 101 |
//! | write | packs 24 + index 6 + paths 20 + a file 8 + delta 24 + base caches 12 | 94 |
//!
//! A zip is written from its first byte to its last ([`ArchiveWriter`]) and need not be in memory; nor
//! need the contents of all files, which can be fetched some at a time. [`build_zip`] holds both.
//!
//! # Example
//! ```
//! use rostrum_git::{Advertisement, FetchRequest, encode_data, encode_flush, parse_ls_refs};
//!
//! // What a server answers to `GET …/info/refs?service=git-upload-pack`, …
//! let mut advertisement = Vec::new();
//! for line in ["version 2\n", "agent=git/2.47.3\n", "ls-refs\n", "fetch=shallow filter\n"] {
//!     encode_data(&mut advertisement, line);
//! }
//! encode_flush(&mut advertisement);
//! let capabilities = Advertisement::parse(&advertisement)?.capabilities;
//! assert!(capabilities.filter);
//!
//! // … and to the request for its refs.
//! let mut answer = Vec::new();
//! encode_data(&mut answer, "1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6 refs/tags/v1.0.0\n");
//! encode_flush(&mut answer);
//! let refs = parse_ls_refs(&answer)?;
//! let (tag, commit) = refs.tags().next().expect("a tag");
//! assert_eq!(tag, "v1.0.0");
//!
//! let request = FetchRequest::commits([commit], Some("tree:1")).encode(&capabilities);
//! assert!(request.ends_with(b"want 1a7ec78d9fbdb28c1d12aabc70c695277cd91ba6\n0009done\n0000"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The README shows the whole conversation, from the advertisement to the zip of a tag.

mod archive;
mod lfs;
pub mod limits;
mod object;
mod pack;
mod protocol;
mod tree;

pub use archive::{
    ARCHIVE_FORMAT, Archive, ArchiveError, ArchiveLimits, ArchiveOptions, ArchivePlan, ArchivePlanning, ArchiveRemark,
    ArchiveRemarks, ArchiveWork, ArchiveWriter, Attributes, EncodingRefusal, EntrySizes, LfsContent, PlannedEntry,
    PlannedKind, RemarkClass, RemarkKind, TooManyRules, WorkSpent, build_zip, missing_files, missing_rule_files,
    plan_archive, shown,
};
pub use lfs::{LfsPointer, find_lfs_config, lfs_url};
pub use object::{
    Commit, EntryMode, InvalidObjectId, Object, ObjectError, ObjectId, ObjectKind, Tag, Timestamp, Tree, TreeEntries,
    TreeEntry,
};
pub use pack::{
    BlobReader, DeltaError, InflateError, ObjectDefect, ObjectStream, Pack, PackError, PackLimits, PackOpening, Packs,
};
pub use protocol::{
    ADVERTISEMENT_PATH, AGENT, Acknowledgments, Advertisement, AdvertisementError, Capabilities, FetchError,
    FetchRequest, LsRefsError, MetadataPlan, PROTOCOL_VERSION, PackReceiver, Packet, PktDecoder, PktLineError,
    RemoteRef, RemoteRefs, SideBand, SkipReason, SkippedRef, UPLOAD_PACK_PATH, Version0, encode_data, encode_delim,
    encode_flush, ls_refs_request, parse_ls_refs,
};
pub use tree::{
    BlobRef, DOCUMENTATION_FILES, DirectoryRef, InvalidPackagePath, PackageFiles, PackagePath, SymlinkRefusal,
    TreeError, UnsafeReason, check_relative_path, check_symlink, find_directories, find_package_files, list_files,
    missing_blobs, preferred_name, read_commit, read_tag, tree_at,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
