//! git's wire protocol v2 and pack format as pure functions over bytes.
//!
//! Nothing here does I/O, reads a clock or names an HTTP type: the caller moves the bytes. One
//! synchronisation is
//!
//! 1. `GET {repository}/`[`ADVERTISEMENT_PATH`] with the header `Git-Protocol: version=2`, parsed
//!    by [`Capabilities::parse`];
//! 2. `POST {repository}/`[`UPLOAD_PACK_PATH`] of [`ls_refs_request`], parsed by
//!    [`parse_ls_refs`];
//! 3. one or two `POST`s of a [`FetchRequest`] chosen by a [`MetadataPlan`], received by a
//!    [`PackReceiver`] and opened as a [`Pack`];
//! 4. [`find_package_files`] to read manifests out of it; or [`build_zip`] to make a dist archive,
//!    for which [`missing_rule_files`] and [`missing_files`] say what is still to be fetched when
//!    trees came first.
//!
//! It is not a git implementation: no writing, no history walks, no SHA-256 repositories, and no
//! protocol older than v2 (git 2.18 and every public host speak v2).
//!
//! # Memory
//! An isolate has 128 MiB in all. The worst moment of each step, with the default limits
//! ([`limits`]):
//!
//! | step | held | MiB |
//! |---|---|---|
//! | receive | pack 24 + the quarter it outgrows 6 | 30 |
//! | open | pack 24 + index 18 + delta (base, instructions, result) 24 + base cache 8 | 74 |
//! | archive | packs 24 + index 6 + zip 32 + paths 8 + delta 24 + base caches 12 | 106 |
//!
//! An archive of 25 MB that nothing compresses was measured to need 58 MB of wasm memory in all.

mod archive;
mod attributes;
mod buffer;
mod capabilities;
mod chunked_buffer;
mod delta;
mod fetch;
mod inflate;
pub mod limits;
mod ls_refs;
mod object;
mod oid;
mod pack;
mod pack_scan;
mod packs;
mod path_safety;
mod pkt_line;
mod plan;
mod selection;
mod tree;
mod tree_object;
mod walk;
mod wildmatch;

pub use archive::{Archive, ArchiveError, ArchiveLimits, ArchiveOptions, OmissionReason, OmittedEntry, build_zip};
pub use attributes::{Attributes, TooManyRules};
pub use capabilities::{ADVERTISEMENT_PATH, AGENT, AdvertisementError, Capabilities, UPLOAD_PACK_PATH};
pub use delta::DeltaError;
pub use fetch::{FetchError, FetchRequest, PackReceiver};
pub use inflate::InflateError;
pub use ls_refs::{LsRefsError, RemoteRef, RemoteRefs, SkipReason, SkippedRef, ls_refs_request, parse_ls_refs};
pub use object::{Commit, Object, ObjectError, ObjectKind, Tag, Timestamp};
pub use oid::{InvalidObjectId, ObjectId};
pub use pack::{ObjectDefect, Pack, PackError, PackLimits};
pub use packs::Packs;
pub use path_safety::{
    InvalidPackagePath, PackagePath, SymlinkRefusal, UnsafeReason, check_relative_path, check_symlink,
};
pub use pkt_line::{Packet, PktDecoder, PktLineError, encode_data, encode_delim, encode_flush};
pub use plan::MetadataPlan;
pub use selection::{missing_files, missing_rule_files};
pub use tree::{
    BlobRef, DOCUMENTATION_FILES, PackageFiles, TreeError, find_package_files, list_files, missing_blobs,
    preferred_name, read_commit, tree_at,
};
pub use tree_object::{EntryMode, Tree, TreeEntries, TreeEntry};
