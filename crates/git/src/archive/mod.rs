//! A commit as a zip that Composer installs: the same commit gives the same bytes, always.
//!
//! What goes in is what `git archive` would put in, byte for byte: `export-ignore` and
//! `export-subst`, macros, `eol`, `ident` and `working-tree-encoding` are honoured. Different are:
//!
//! * everything lies below one directory, which Composer strips: without it, a package of which
//!   only `src/` is left would lose that;
//! * directories have no entries of their own; files imply them;
//! * of a package in a sub-directory, paths are relative to that, and the `.gitattributes` above it
//!   count (as for `git archive <commit> <path>`);
//! * submodules are left out (`git archive` leaves an empty directory);
//! * symlinks are stored as symlinks if they cannot lead outside the package, else left out: one
//!   stray link in a fixture should not make a release impossible to install;
//! * any other path that would not be safe everywhere is left out;
//! * `filter` is not applied, but that of Git LFS when the caller says what becomes of its pointers
//!   ([`ArchivePlan::replace_lfs_pointers`]); files of more than 8 MiB, and those of Git LFS,
//!   are not converted;
//! * what `export-subst` writes depends on the commit and its tag alone (see `placeholders`).
//!
//! What is left out, and what may surprise, is told as [`ArchiveRemarks`].
//!
//! Entries are sorted by their paths' bytes, deflated at a fixed level, dated with the committer's
//! time in UTC, and have the modes 0644, 0755 and, for symlinks, 120777. The zip's comment names
//! the commit and [`ARCHIVE_FORMAT`].
//!
//! What goes in is decided first ([`plan_archive`]), then the bytes are written from the first to the
//! last ([`ArchiveWriter`]): large archives over several invocations, with the contents of some files
//! at a time. The bytes are the same as those that [`build_zip`] makes in one go.
//!
//! Peak memory is the packs, the paths, and one file with what rebuilding it takes; see [`limits`].

mod attributes;
mod conversion;
mod encoding;
mod missing;
mod package;
mod placeholders;
mod plan;
mod remarks;
mod signature;
mod walk;
mod wildmatch;
mod work;
mod writer;
mod zip_format;
mod zip_time;

pub use attributes::{Attributes, TooManyRules};
pub use encoding::EncodingRefusal;
pub use missing::{missing_files, missing_rule_files};
pub use plan::{ArchivePlan, ArchivePlanning, LfsContent, PlannedEntry, PlannedKind, plan_archive};
pub use remarks::{ArchiveRemark, ArchiveRemarks, RemarkClass, RemarkKind, shown};
pub use work::{ArchiveWork, WorkSpent};
pub use writer::ArchiveWriter;
pub use zip_format::EntrySizes;

use bytes::Bytes;

use crate::limits;
use crate::object::ObjectId;
use crate::pack::{PackError, Packs};
use crate::tree::{InvalidPackagePath, TreeError};

/// Which zip a commit gives. It is counted up when the same commit is to give other bytes than before: zips that are
/// stored already stay what they are, because lock files have their checksums.
///
/// 1. Entries at the top; blobs as they are.
/// 2. One top-level directory; conversions and substitutions of `.gitattributes`; a comment.
pub const ARCHIVE_FORMAT: u32 = 2;

/// The file that makes a directory a package.
pub(crate) const MANIFEST: &str = "composer.json";

/// What an archive may cost. The defaults are the `ARCHIVE_…` constants of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Files, symlinks and directories together.
    pub entries: usize,
    /// Bytes of all paths together.
    pub path_bytes: usize,
    /// Bytes of all files together; never more than 4 GiB, for which zips have other headers.
    pub inflated_bytes: u64,
    /// Bytes of the finished zip; never more than 4 GiB.
    pub zip_bytes: u64,
    /// Steps of deciding what it holds; see [`ArchiveWork`].
    pub work: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries: limits::ARCHIVE_ENTRIES,
            path_bytes: limits::ARCHIVE_PATH_BYTES,
            inflated_bytes: limits::ARCHIVE_INFLATED_BYTES,
            zip_bytes: limits::ARCHIVE_ZIP_BYTES,
            work: limits::ARCHIVE_WORK,
        }
    }
}

/// Says of a path, and whether it is a directory, that it is left out.
pub type Exclude<'a> = dyn Fn(&str, bool, &mut ArchiveWork) -> Result<bool, WorkSpent> + Sync + 'a;

/// What to archive.
#[derive(Clone, Copy)]
pub struct ArchiveOptions<'a> {
    /// The package's directory in the repository; `None` is the root.
    pub path: Option<&'a str>,
    /// The directory in the zip that everything lies in.
    pub directory: &'a str,
    /// The tag that the archive is made for, as `export-subst` writes it.
    pub tag: Option<&'a str>,
    /// Says of a path relative to the package's directory, and whether it is a directory, that it
    /// is left out (`archive.exclude` of composer.json). Nothing below a directory that is left
    /// out is asked about. What that takes counts as work of the archive.
    pub exclude: &'a Exclude<'a>,
    /// What it may cost.
    pub limits: ArchiveLimits,
}

impl Default for ArchiveOptions<'_> {
    /// The whole repository within the default limits, in the directory `package`.
    fn default() -> Self {
        Self {
            path: None,
            directory: "package",
            tag: None,
            exclude: &|_, _, _| Ok(false),
            limits: ArchiveLimits::default(),
        }
    }
}

/// A finished archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The zip, in chunks that follow each other.
    pub chunks: Vec<Bytes>,
    /// How many files and symlinks it has.
    pub entries: usize,
    /// What it lacks, and what may surprise.
    pub remarks: ArchiveRemarks,
}

/// A commit cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A commit, tree or file cannot be read.
    #[error(transparent)]
    Tree(TreeError),
    /// The package's directory, or the one in the zip, is not a plain relative path.
    #[error(transparent)]
    Path(#[from] InvalidPackagePath),
    /// The commit has no such directory.
    #[error("the commit has no directory {0}")]
    PathNotFound(String),
    /// Too many files, symlinks and directories.
    #[error("there are more than {limit} files and directories")]
    TooManyEntries {
        /// The most that are accepted.
        limit: usize,
    },
    /// The paths are too long together.
    #[error("the paths add up to more than {limit} bytes")]
    PathsTooLong {
        /// The most that is accepted, in bytes.
        limit: usize,
    },
    /// The files are too large together.
    #[error("the files add up to more than {limit} bytes")]
    InflatesTooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// The zip is too large.
    #[error("the archive is larger than {limit} bytes")]
    ZipTooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// Too many rules in `.gitattributes`.
    #[error(transparent)]
    TooManyRules(#[from] TooManyRules),
    /// Deciding what it holds is too much work.
    #[error(transparent)]
    WorkSpent(#[from] WorkSpent),
    /// A file's content has not the size that it was begun with.
    #[error("the file {path} has another size than was declared")]
    SizeMismatch {
        /// The file.
        path: String,
    },
    /// Whoever writes the archive does it in another order than planned: a defect of ours.
    #[error("the archive is not written in the order of its plan")]
    OutOfOrder,
}

impl From<TreeError> for ArchiveError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Path(error) => Self::Path(error),
            error => Self::Tree(error),
        }
    }
}

impl From<PackError> for ArchiveError {
    fn from(error: PackError) -> Self {
        Self::Tree(TreeError::Pack(error))
    }
}

/// Bytes of the chunks of an [`Archive`], less than one piece of a file more or less.
const CHUNK_BYTES: usize = limits::MIB;

/// Archives a commit (or the commit of an annotated tag). `packs` has to hold its trees, and the
/// files that the archive is to hold. The archive is in memory as a whole; for one that need not be,
/// see [`ArchiveWriter`].
pub fn build_zip(packs: &Packs, commit: &ObjectId, options: &ArchiveOptions<'_>) -> Result<Archive, ArchiveError> {
    let mut plan = plan_archive(packs, commit, options)?;
    let mut remarks = std::mem::take(&mut plan.remarks);
    let mut writer = ArchiveWriter::new(plan, options.limits);
    let mut chunks = Vec::new();
    while let Some(entry) = writer.next_entry() {
        let mut blob = entry.open(packs, &mut remarks)?;
        writer.begin_entry(blob.size())?;
        while blob.next_piece(|piece| writer.write(piece))? {}
        writer.end_entry()?;
        if writer.waiting_bytes() >= CHUNK_BYTES {
            chunks.push(Bytes::from(writer.take_output()));
        }
    }
    while writer.write_directory()? {}
    chunks.push(Bytes::from(writer.take_output()));
    Ok(Archive { chunks, entries: writer.finished_entries(), remarks })
}
