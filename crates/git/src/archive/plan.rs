//! Which files an archive is going to hold, decided before the first of them is written: so the
//! writing can be put down after any of them and taken up again.

use crate::archive::walk::Walk;
use crate::archive::{ArchiveError, ArchiveOptions, OmissionReason, OmittedEntry, package_root};
use crate::object::{ObjectId, ObjectKind};
use crate::pack::{BlobReader, Packs};
use crate::tree::{check_symlink, read_commit, read_kind};

/// What an archive of a commit is going to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePlan {
    /// When the commit was made, in unix seconds.
    pub committed: i64,
    /// The files and symlinks, in the order of their paths' bytes.
    pub entries: Vec<PlannedEntry>,
    /// What a working copy would have and the archive will not, in the order of the paths.
    pub omitted: Vec<OmittedEntry>,
}

/// A file or symlink that is to be archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedEntry {
    /// Its path in the archive.
    pub path: String,
    /// How it is written.
    pub kind: PlannedKind,
    /// Its content.
    pub oid: ObjectId,
}

impl PlannedEntry {
    /// Opens what the archive has of it, which must be in `packs`, to be read piece by piece.
    pub fn open<'p>(&self, packs: &'p Packs) -> Result<BlobReader<'p>, ArchiveError> {
        Ok(packs.open_blob(&self.oid)?)
    }
}

/// How an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedKind {
    /// A file.
    File,
    /// A file that can be run.
    Executable,
    /// A symlink.
    Symlink,
}

impl PlannedKind {
    /// File type and permissions as unix has them.
    pub(crate) const fn mode(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_777,
        }
    }
}

/// Decides what an archive of a commit (or of the commit of an annotated tag) holds. `packs` has to
/// hold its trees, and what [`missing_rule_files`](crate::missing_rule_files) names.
pub fn plan_archive(
    packs: &Packs,
    commit: &ObjectId,
    options: &ArchiveOptions<'_>,
) -> Result<ArchivePlan, ArchiveError> {
    let commit = read_commit(packs, commit)?;
    let root = package_root(packs, &commit, options.path)?;
    let (mut entries, mut omitted) = Walk::new(packs, options).run(root)?;
    let mut unreadable = None;
    entries.retain(|entry| match refusal_of(packs, entry) {
        Ok(None) => true,
        Ok(Some(reason)) => {
            omitted.push(OmittedEntry { path: entry.path.clone(), reason });
            false
        }
        Err(error) => {
            unreadable.get_or_insert(error);
            true
        }
    });
    if let Some(error) = unreadable {
        return Err(error);
    }
    OmittedEntry::sort(&mut omitted);
    Ok(ArchivePlan { committed: commit.committed.seconds, entries, omitted })
}

/// Why an entry cannot be in an archive: it is a symlink that leads out.
fn refusal_of(packs: &Packs, entry: &PlannedEntry) -> Result<Option<OmissionReason>, ArchiveError> {
    if entry.kind != PlannedKind::Symlink {
        return Ok(None);
    }
    let target = read_kind(packs, &entry.oid, ObjectKind::Blob)?;
    let depth = entry.path.matches('/').count();
    Ok(check_symlink(depth, target.data()).err().map(OmissionReason::Symlink))
}
