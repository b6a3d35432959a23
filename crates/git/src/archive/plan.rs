//! Which files an archive is going to hold, decided before the first of them is written: so the
//! writing can be put down after any of them and taken up again.

use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::archive::conversion::Conversion;
use crate::archive::package::Package;
use crate::archive::placeholders::CommitText;
use crate::archive::remarks::{ArchiveRemarks, RemarkKind};
use crate::archive::walk::{Planned, Walk, WalkedTree, joined};
use crate::archive::work::ArchiveWork;
use crate::archive::{ARCHIVE_FORMAT, ArchiveError, ArchiveOptions};
use crate::lfs::LfsPointer;
use crate::limits::OBJECT_BYTES;
use crate::object::{Object, ObjectId, ObjectKind};
use crate::pack::{BlobReader, Packs};
use crate::tree::{FoundCommit, InvalidPackagePath, check_name, check_symlink, find_commit, read_kind};

/// What an archive of a commit is going to hold.
#[derive(Debug, Clone)]
pub struct ArchivePlan {
    /// When the commit was made, in unix seconds.
    pub committed: i64,
    /// What the zip says of itself.
    pub comment: String,
    /// The files and symlinks, in the order of their paths' bytes.
    pub entries: Vec<PlannedEntry>,
    /// What it will lack, and what may surprise, as far as no file's content tells it.
    pub remarks: ArchiveRemarks,
}

impl ArchivePlan {
    /// Identifies what the archive's bytes depend on: two plans with one digest make one archive.
    pub fn digest(&self) -> [u8; 20] {
        let mut hasher = Sha1::new();
        hasher.update(&self.comment);
        hasher.update(self.committed.to_be_bytes());
        for entry in &self.entries {
            hasher.update(entry.kind.mode().to_be_bytes());
            hasher.update(entry.oid.as_bytes());
            hasher.update(&entry.path);
            hasher.update([0]);
            if let Some(object) = entry.lfs_object() {
                hasher.update(&object.oid);
            }
        }
        hasher.finalize().into()
    }

    /// The blobs that `.gitattributes` leaves to Git LFS: pointers, as a rule.
    pub fn lfs_blobs(&self) -> impl Iterator<Item = ObjectId> {
        self.entries.iter().filter(|entry| entry.is_lfs()).map(|entry| entry.oid)
    }

    /// Decides what the archive has in place of the pointers among [`lfs_blobs`](Self::lfs_blobs). It has those as they are
    /// of which `content` says nothing.
    pub fn replace_lfs_pointers(&mut self, content: impl Fn(&ObjectId) -> Option<LfsContent>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is_lfs()) {
            entry.lfs = content(&entry.oid).map(Box::new);
        }
    }
}

/// What becomes of a pointer of Git LFS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LfsContent {
    /// The archive has the file that it stands for.
    Object(LfsPointer),
    /// The archive has the pointer, because nobody has that file.
    Absent,
}

/// A file or symlink that is to be archived.
#[derive(Debug, Clone)]
pub struct PlannedEntry {
    /// Its path in the archive. Safe, and not always UTF-8.
    pub path: Vec<u8>,
    /// How it is written.
    pub kind: PlannedKind,
    /// Its content.
    pub oid: ObjectId,
    conversion: Option<Box<EntryConversion>>,
    /// What becomes of it when it is a pointer of Git LFS, if that was asked.
    lfs: Option<Box<LfsContent>>,
}

/// What becomes of an entry's content.
#[derive(Debug, Clone)]
struct EntryConversion {
    conversion: Conversion,
    commit: Arc<CommitText>,
}

impl PlannedEntry {
    /// An entry that has its blob's bytes.
    pub fn new(path: impl Into<Vec<u8>>, kind: PlannedKind, oid: ObjectId) -> Self {
        Self { path: path.into(), kind, oid, conversion: None, lfs: None }
    }

    /// The file that Git LFS keeps, if the archive has that in place of its pointer. It is written as it is.
    pub fn lfs_object(&self) -> Option<&LfsPointer> {
        match self.lfs.as_deref() {
            Some(LfsContent::Object(object)) => Some(object),
            Some(LfsContent::Absent) | None => None,
        }
    }

    /// Whether `.gitattributes` leaves it to Git LFS.
    fn is_lfs(&self) -> bool {
        self.conversion.as_deref().is_some_and(|entry| entry.conversion.is_lfs)
    }

    /// Opens what the archive has of it unless that is an [`lfs_object`](Self::lfs_object), to be read piece by piece. Its
    /// blob must be in `packs`. What the content tells is added to `remarks`.
    pub fn open<'p>(&self, packs: &'p Packs, remarks: &mut ArchiveRemarks) -> Result<BlobReader<'p>, ArchiveError> {
        let Some(EntryConversion { conversion, commit }) = self.conversion.as_deref() else {
            return Ok(packs.open_blob(&self.oid)?);
        };
        let blob = packs.open_blob(&self.oid)?;
        if blob.size() > OBJECT_BYTES {
            self.remark_too_large(remarks);
            return Ok(blob);
        }
        let mut remark = |kind| remarks.add(self.path_in_package(), kind);
        let object = read_kind(packs, &self.oid, ObjectKind::Blob)?;
        if let Some(LfsPointer { size, .. }) = LfsPointer::parse(object.data()).filter(|_| conversion.is_lfs) {
            remark(match self.lfs.as_deref() {
                Some(LfsContent::Absent) => RemarkKind::LfsAbsent { size },
                Some(LfsContent::Object(_)) | None => RemarkKind::LfsPointer { size },
            });
        }
        let converted = conversion.apply(object.data(), &self.oid, commit, &mut remark).into_owned();
        Ok(BlobReader::held(Object::new(ObjectKind::Blob, Arc::new(converted))))
    }

    /// What is to be said of it when its content does not come from [`open`](Self::open), because that is too large to be
    /// converted.
    pub fn remark_too_large(&self, remarks: &mut ArchiveRemarks) {
        if self.conversion.as_deref().is_some_and(|entry| !entry.conversion.keeps_bytes()) {
            remarks.add(self.path_in_package(), RemarkKind::TooLargeToConvert);
        }
    }

    /// Its path without the archive's top-level directory.
    pub fn path_in_package(&self) -> &[u8] {
        let slash = self.path.iter().position(|byte| *byte == b'/');
        slash.map_or(&self.path, |at| &self.path[at + 1..])
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
    ArchivePlanning::new(packs, commit, options)?.finish()
}

/// The same step by step: others may have their turn in between.
pub struct ArchivePlanning<'a> {
    packs: &'a Packs,
    options: &'a ArchiveOptions<'a>,
    id: ObjectId,
    committed: i64,
    commit: Arc<CommitText>,
    walk: Walk<'a>,
}

impl<'a> ArchivePlanning<'a> {
    /// A plan of which nothing is decided yet.
    pub fn new(packs: &'a Packs, commit: &ObjectId, options: &'a ArchiveOptions<'a>) -> Result<Self, ArchiveError> {
        check_name(options.directory.as_bytes()).map_err(InvalidPackagePath)?;
        let FoundCommit { id, commit, object } = find_commit(packs, commit)?;
        let walk = Walk::new(packs, options, Package::find(packs, commit.tree, options.path)?)?;
        let committed = commit.committed.seconds;
        let commit = Arc::new(CommitText::new(id, commit, object.into_data(), options.tag));
        Ok(Self { packs, options, id, committed, commit, walk })
    }

    /// Decides on the next directories and what is in them, `entries` in all. Says whether they were the last.
    pub fn step(&mut self, entries: usize) -> Result<bool, ArchiveError> {
        self.walk.step(entries)
    }

    /// The steps that were taken so far.
    pub fn work(&self) -> ArchiveWork {
        self.walk.work()
    }

    /// Decides on what is left.
    pub fn finish(self) -> Result<ArchivePlan, ArchiveError> {
        let Self { packs, options, id, committed, commit, walk } = self;
        let WalkedTree { entries: walked, mut remarks } = walk.finish()?;
        let mut entries = Vec::with_capacity(walked.len());
        for Planned { path, kind, oid, conversion } in walked {
            if kind == PlannedKind::Symlink {
                let target = read_kind(packs, &oid, ObjectKind::Blob)?;
                let depth = path.split(|byte| *byte == b'/').count() - 1;
                if let Err(refusal) = check_symlink(depth, target.data()) {
                    remarks.add(&path, RemarkKind::Symlink(refusal));
                    continue;
                }
            }
            let conversion = conversion
                .map(|conversion| Box::new(EntryConversion { conversion: *conversion, commit: commit.clone() }));
            entries.push(PlannedEntry {
                path: joined(options.directory.as_bytes(), &path),
                kind,
                oid,
                conversion,
                lfs: None,
            });
        }
        let comment = format!("commit {id}, format {ARCHIVE_FORMAT}");
        Ok(ArchivePlan { committed, comment, entries, remarks })
    }
}
