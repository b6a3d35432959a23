//! A commit as a zip that Composer installs: the same commit gives the same bytes, always.
//!
//! What goes in is what `git archive` would put in: `export-ignore` is honoured. Different are:
//!
//! * directories have no entries of their own; files imply them;
//! * submodules are left out (`git archive` leaves an empty directory) and reported;
//! * symlinks are stored as symlinks if they cannot lead outside the package, else left out and
//!   reported: one stray link in a fixture should not make a release impossible to install;
//! * contents are the repository's bytes: no `eol`, `ident`, `export-subst` or `filter`;
//! * of a package in a sub-directory, only the `.gitattributes` in there count, as if it were a
//!   repository of its own (`git archive <commit>:<path>`);
//! * any other path that would not be safe everywhere refuses the whole archive.
//!
//! Entries are sorted by their paths' bytes, deflated at a fixed level, dated with the committer's
//! time in UTC, and have the modes 0644, 0755 and, for symlinks, 120777.
//!
//! Peak memory is the packs, the zip, the paths, and one file with what rebuilding it takes; see
//! [`limits`].

mod attributes;
mod chunked_buffer;
mod missing;
mod walk;
mod wildmatch;

pub use attributes::{Attributes, TooManyRules};
pub use missing::{missing_files, missing_rule_files};

use std::io::{self, Write};

use bytes::Bytes;
use time::OffsetDateTime;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use crate::archive::chunked_buffer::ChunkedBuffer;
use crate::archive::walk::{Planned, PlannedKind, Walk};
use crate::limits;
use crate::object::{Commit, EntryMode, ObjectId, ObjectKind};
use crate::pack::{PackError, Packs};
use crate::tree::{
    InvalidPackagePath, PackagePath, SymlinkRefusal, TreeError, UnsafeReason, check_symlink, directory, read_commit,
    read_kind, with_tree,
};

/// The file that makes a directory a package.
pub(crate) const MANIFEST: &str = "composer.json";
/// zlib's default: 9 costs twice the time for one percent.
const DEFLATE_LEVEL: i64 = 6;
/// 1980-01-01T00:00:00Z in unix seconds: the first moment that a zip can express.
const FIRST_ZIP_SECOND: i64 = 315_532_800;
/// 2107-12-31T23:59:58Z in unix seconds: the last one, as zip counts in steps of two.
const LAST_ZIP_SECOND: i64 = 4_354_819_198;

/// What an archive may cost. The defaults are the `ARCHIVE_…` constants of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Files, symlinks and directories together.
    pub entries: usize,
    /// Bytes of all paths together.
    pub path_bytes: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub inflated_bytes: u64,
    /// Bytes of the finished zip.
    pub zip_bytes: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            entries: limits::ARCHIVE_ENTRIES,
            path_bytes: limits::ARCHIVE_PATH_BYTES,
            file_bytes: limits::OBJECT_BYTES,
            inflated_bytes: limits::ARCHIVE_INFLATED_BYTES,
            zip_bytes: limits::ARCHIVE_ZIP_BYTES,
        }
    }
}

/// What to archive.
pub struct ArchiveOptions<'a> {
    /// The package's directory in the repository; `None` is the root.
    pub path: Option<&'a str>,
    /// Says of a path relative to the package's directory, and whether it is a directory, that it
    /// is left out (`archive.exclude` of composer.json). Nothing below a directory that is left
    /// out is asked about.
    pub exclude: &'a dyn Fn(&str, bool) -> bool,
    /// What it may cost.
    pub limits: ArchiveLimits,
}

impl Default for ArchiveOptions<'_> {
    /// The whole repository within the default limits.
    fn default() -> Self {
        Self { path: None, exclude: &|_, _| false, limits: ArchiveLimits::default() }
    }
}

/// A finished archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The zip, in chunks that follow each other.
    pub chunks: Vec<Bytes>,
    /// How many files and symlinks it has.
    pub entries: usize,
    /// The package's `composer.json`, even if the archive leaves it out.
    pub manifest: Option<Vec<u8>>,
    /// What a working copy would have and the archive has not, in the order of the paths.
    pub omitted: Vec<OmittedEntry>,
}

/// Something that an archive cannot carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmittedEntry {
    /// Its path relative to the package's directory.
    pub path: String,
    /// Why it is missing.
    pub reason: OmissionReason,
}

impl OmittedEntry {
    /// Sorts by path.
    pub(crate) fn sort(omitted: &mut [Self]) {
        omitted.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    }
}

/// Why something is not in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OmissionReason {
    /// It is another repository, which we have not got.
    #[error("it is a submodule")]
    Submodule,
    /// It is a symlink that could lead outside the package.
    #[error("it is a symlink: {0}")]
    Symlink(SymlinkRefusal),
}

/// A commit cannot be archived.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A commit, tree or file cannot be read.
    #[error(transparent)]
    Tree(TreeError),
    /// The package's directory is not a plain relative path.
    #[error(transparent)]
    Path(#[from] InvalidPackagePath),
    /// The commit has no such directory.
    #[error("the commit has no directory {0}")]
    PathNotFound(String),
    /// Unpacking this path could write where it must not.
    #[error("the path {path} is unsafe: {reason}")]
    UnsafePath {
        /// The path, odd characters escaped.
        path: String,
        /// Why it is refused.
        reason: UnsafeReason,
    },
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
    /// One file is too large.
    #[error("the file {path} has {size} bytes, more than {limit}")]
    FileTooLarge {
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The most that is accepted.
        limit: u64,
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
        limit: usize,
    },
    /// Too many rules in `.gitattributes`.
    #[error(transparent)]
    TooManyRules(#[from] TooManyRules),
    /// The zip cannot be written: a defect of ours, as all its input has been checked.
    #[error("the archive cannot be written")]
    Zip(#[source] ZipError),
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

/// Archives a commit (or the commit of an annotated tag). `source` has to hold its trees, and the
/// files that the archive is to hold.
pub fn build_zip(packs: &Packs, commit: &ObjectId, options: &ArchiveOptions<'_>) -> Result<Archive, ArchiveError> {
    let commit = read_commit(packs, commit)?;
    let root = package_root(packs, &commit, options.path)?;
    let manifest = manifest(packs, &root, &options.limits)?;
    let (planned, omitted) = Walk::new(packs, options).run(root)?;
    let mut writer = Writer::new(packs, options.limits, commit.committed.seconds, omitted);
    for entry in &planned {
        writer.entry(entry)?;
    }
    writer.finish(manifest)
}

/// The tree of the package's directory.
pub(crate) fn package_root(packs: &Packs, commit: &Commit, path: Option<&str>) -> Result<ObjectId, ArchiveError> {
    let path = PackagePath::parse(path.unwrap_or_default())?;
    directory(packs, commit.tree, &path)?.ok_or_else(|| ArchiveError::PathNotFound(path.as_str().to_owned()))
}

fn manifest(packs: &Packs, root: &ObjectId, limits: &ArchiveLimits) -> Result<Option<Vec<u8>>, ArchiveError> {
    let entry = with_tree(packs, root, |tree| tree.get(MANIFEST.as_bytes()).map(|entry| (entry.mode, entry.oid)));
    match entry {
        Ok(Some((EntryMode::File | EntryMode::Executable, oid))) => {
            check_size(packs, &oid, MANIFEST, limits.file_bytes)?;
            Ok(Some(read_kind(packs, &oid, ObjectKind::Blob)?.into_data()))
        }
        // The walk reads a malformed tree again, and names the path.
        Ok(_) | Err(TreeError::Malformed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The size of a blob, refused before it is inflated.
fn check_size(packs: &Packs, oid: &ObjectId, path: &str, limit: u64) -> Result<u64, ArchiveError> {
    let size = packs.size(oid).ok_or(TreeError::MissingObject(*oid))?;
    if size > limit {
        return Err(ArchiveError::FileTooLarge { path: path.to_owned(), size, limit });
    }
    Ok(size)
}

struct Writer<'a> {
    packs: &'a Packs,
    limits: ArchiveLimits,
    options: SimpleFileOptions,
    zip: ZipWriter<ChunkedBuffer>,
    entries: usize,
    inflated: u64,
    omitted: Vec<OmittedEntry>,
}

impl<'a> Writer<'a> {
    fn new(packs: &'a Packs, limits: ArchiveLimits, committed: i64, omitted: Vec<OmittedEntry>) -> Self {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(DEFLATE_LEVEL))
            .last_modified_time(zip_time(committed))
            .system(System::Unix);
        let zip = ZipWriter::new(ChunkedBuffer::new(limits.zip_bytes));
        Self { packs, limits, options, zip, entries: 0, inflated: 0, omitted }
    }

    fn entry(&mut self, entry: &Planned) -> Result<(), ArchiveError> {
        let size = check_size(self.packs, &entry.oid, &entry.path, self.limits.file_bytes)?;
        self.inflated += size;
        if self.inflated > self.limits.inflated_bytes {
            return Err(ArchiveError::InflatesTooLarge { limit: self.limits.inflated_bytes });
        }
        let content = read_kind(self.packs, &entry.oid, ObjectKind::Blob)?;
        let written = match entry.kind {
            PlannedKind::File => self.file(&entry.path, 0o644, content.data()),
            PlannedKind::Executable => self.file(&entry.path, 0o755, content.data()),
            PlannedKind::Symlink => {
                let depth = entry.path.matches('/').count();
                match check_symlink(depth, content.data()) {
                    Ok(target) => self.zip.add_symlink(&entry.path, target, self.options.unix_permissions(0o777)),
                    Err(refusal) => {
                        let reason = OmissionReason::Symlink(refusal);
                        self.omitted.push(OmittedEntry { path: entry.path.clone(), reason });
                        return Ok(());
                    }
                }
            }
        };
        written.map_err(|error| self.limits.zip_error(error))?;
        self.entries += 1;
        Ok(())
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), ZipError> {
        self.zip.start_file(path, self.options.unix_permissions(mode))?;
        self.zip.write_all(content)?;
        Ok(())
    }

    fn finish(self, manifest: Option<Vec<u8>>) -> Result<Archive, ArchiveError> {
        let limits = self.limits;
        let buffer = self.zip.finish().map_err(|error| limits.zip_error(error))?;
        let mut omitted = self.omitted;
        OmittedEntry::sort(&mut omitted);
        Ok(Archive { chunks: buffer.into_chunks(), entries: self.entries, manifest, omitted })
    }
}

impl ArchiveLimits {
    /// The buffer says that it is full with an error kind of its own.
    fn zip_error(&self, error: ZipError) -> ArchiveError {
        match error {
            ZipError::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
                ArchiveError::ZipTooLarge { limit: self.zip_bytes }
            }
            error => ArchiveError::Zip(error),
        }
    }
}

/// A unix time as zip writes it: in UTC, clamped to 1980 to 2107, in steps of two seconds.
fn zip_time(seconds: i64) -> DateTime {
    let seconds = seconds.clamp(FIRST_ZIP_SECOND, LAST_ZIP_SECOND);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| {
            let year = u16::try_from(at.year()).ok()?;
            let (month, day) = (at.month().into(), at.day());
            DateTime::from_date_and_time(year, month, day, at.hour(), at.minute(), at.second()).ok()
        })
        // Out of reach for a clamped time; 1980-01-01 is zip's own default.
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clamped_to_what_a_zip_can_express() {
        for (seconds, expected) in [
            (i64::MIN, (1980, 1, 1, 0, 0, 0)),
            (0, (1980, 1, 1, 0, 0, 0)),
            (FIRST_ZIP_SECOND, (1980, 1, 1, 0, 0, 0)),
            (1_700_000_001, (2023, 11, 14, 22, 13, 20)),
            (LAST_ZIP_SECOND, (2107, 12, 31, 23, 59, 58)),
            (i64::MAX, (2107, 12, 31, 23, 59, 58)),
        ] {
            let at = zip_time(seconds);
            let parts = (at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second());
            assert_eq!(parts, expected, "{seconds}");
        }
    }
}
