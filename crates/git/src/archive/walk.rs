//! Which entries of a package's tree go into its archive: everything below its directory, less
//! what `.gitattributes` and the caller leave out, and nothing unsafe.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

use crate::archive::attributes::Attributes;
use crate::archive::conversion::Conversion;
use crate::archive::package::Package;
use crate::archive::plan::PlannedKind;
use crate::archive::remarks::{ArchiveRemarks, RemarkKind, shown};
use crate::archive::work::ArchiveWork;
use crate::archive::{ArchiveError, ArchiveOptions};
use crate::limits::{ARCHIVE_SLICE_WORK, ATTRIBUTE_BYTE_WORK};
use crate::object::{EntryMode, Object, ObjectId, ObjectKind, TreeEntries, TreeEntry};
use crate::pack::Packs;
use crate::tree::{UnsafeReason, check_name, check_path, read_kind, read_tree, with_tree};

/// The file whose rules hold in its directory and below.
pub(crate) const ATTRIBUTES: &[u8] = b".gitattributes";

/// A file or symlink to be archived.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Relative to the package's directory. Safe, and not always UTF-8.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: PlannedKind,
    pub(crate) oid: ObjectId,
    /// What becomes of its bytes; `None` when they are archived as they are.
    pub(crate) conversion: Option<Box<Conversion>>,
}

/// A directory that is still to be looked into.
struct Pending {
    /// Relative to the package's directory; empty for that itself.
    path: Vec<u8>,
    oid: ObjectId,
    depth: usize,
}

/// The directory that is being looked into.
struct OpenDirectory {
    /// Relative to the package's directory.
    path: Vec<u8>,
    depth: usize,
    tree: Object,
    /// Where in the tree's content the next entry is.
    at: usize,
}

/// What is at a path already, where case is ignored.
struct Taken {
    /// As written, unless that is the key itself.
    written: Option<Box<[u8]>>,
    kind: TakenKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TakenKind {
    Directory,
    File,
    Symlink,
}

/// The entries of an archive, and what is to be said of them before their contents are known.
pub(crate) struct WalkedTree {
    /// In the order of their paths' bytes.
    pub(crate) entries: Vec<Planned>,
    pub(crate) remarks: ArchiveRemarks,
}

pub(crate) struct Walk<'a> {
    packs: &'a Packs,
    options: &'a ArchiveOptions<'a>,
    package: Package,
    attributes: Attributes,
    /// How many rules there are on entering a directory of each depth.
    marks: Vec<usize>,
    /// By the path where case is ignored.
    taken: HashMap<Vec<u8>, Taken>,
    /// The keys of `taken` where a symlink would take a directory's place.
    links_over_directories: HashSet<Vec<u8>>,
    path_bytes: usize,
    work: ArchiveWork,
    pending: Vec<Pending>,
    open: Option<OpenDirectory>,
    planned: Vec<Planned>,
    remarks: ArchiveRemarks,
}

impl<'a> Walk<'a> {
    /// A walk that begins at the package's directory.
    pub(crate) fn new(
        packs: &'a Packs,
        options: &'a ArchiveOptions<'a>,
        package: Package,
    ) -> Result<Self, ArchiveError> {
        let above: Vec<(Vec<u8>, ObjectId)> =
            package.above.iter().map(|above| (above.path.clone(), above.tree)).collect();
        let begin = Pending { path: Vec::new(), oid: package.tree, depth: 0 };
        let mut walk = Self {
            packs,
            options,
            package,
            attributes: Attributes::new(),
            marks: Vec::new(),
            taken: HashMap::new(),
            links_over_directories: HashSet::new(),
            path_bytes: 0,
            work: ArchiveWork::new(options.limits.work),
            pending: vec![begin],
            open: None,
            planned: Vec::new(),
            remarks: ArchiveRemarks::default(),
        };
        for (path, tree) in above {
            walk.add_attributes(&path, tree)?;
        }
        Ok(walk)
    }

    /// Looks at the next directories and what is in them, `entries` in all or fewer that are much work: the last directory
    /// may be looked at in several steps. Says whether there are no more.
    pub(crate) fn step(&mut self, entries: usize) -> Result<bool, ArchiveError> {
        let until = self.work.spent().saturating_add(ARCHIVE_SLICE_WORK);
        for _ in 0..entries {
            if self.work.spent() >= until {
                return Ok(false);
            }
            let is_within = match self.open.take() {
                Some(mut directory) => {
                    let is_within = self.look_at_next(&mut directory)?;
                    self.open = is_within.then_some(directory);
                    is_within
                }
                None => false,
            };
            if !is_within {
                let Some(next) = self.pending.pop() else { return Ok(true) };
                self.open = Some(self.enter(next)?);
            }
        }
        Ok(false)
    }

    /// The steps that were taken so far.
    pub(crate) fn work(&self) -> ArchiveWork {
        self.work
    }

    /// The entries below the package's directory, and what was left out.
    pub(crate) fn finish(mut self) -> Result<WalkedTree, ArchiveError> {
        while !self.step(usize::MAX)? {}
        self.drop_links_over_directories();
        self.planned.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(WalkedTree { entries: self.planned, remarks: self.remarks })
    }

    fn enter(&mut self, directory: Pending) -> Result<OpenDirectory, ArchiveError> {
        self.load_attributes(&directory)?;
        let Pending { path, oid, depth } = directory;
        Ok(OpenDirectory { path, depth, tree: read_tree(self.packs, &oid)?, at: 0 })
    }

    /// Puts the rules in force that hold inside `directory`: those of the directories above it,
    /// and its own.
    fn load_attributes(&mut self, directory: &Pending) -> Result<(), ArchiveError> {
        self.marks.truncate(directory.depth + 1);
        match self.marks.get(directory.depth) {
            Some(mark) => self.attributes.truncate(*mark),
            None => self.marks.push(self.attributes.len()),
        }
        let path = self.package.in_repository(&directory.path);
        self.add_attributes(&path, directory.oid)
    }

    fn add_attributes(&mut self, path: &[u8], tree: ObjectId) -> Result<(), ArchiveError> {
        let file = with_tree(self.packs, &tree, |tree| tree.get(ATTRIBUTES).map(|entry| (entry.mode, entry.oid)))?;
        if let Some((EntryMode::File | EntryMode::Executable, oid)) = file {
            let content = read_kind(self.packs, &oid, ObjectKind::Blob)?;
            self.work.spend(content.data().len().saturating_mul(ATTRIBUTE_BYTE_WORK))?;
            self.attributes.add_file(path, content.data())?;
        }
        Ok(())
    }

    /// Decides on the next entry of a directory; says whether there was one.
    fn look_at_next(&mut self, directory: &mut OpenDirectory) -> Result<bool, ArchiveError> {
        let Some(tree) = directory.tree.data().get(directory.at..) else { return Ok(false) };
        let mut entries = TreeEntries::of_checked(tree);
        let Some(entry) = entries.next() else { return Ok(false) };
        let path = joined(&directory.path, entry.name);
        self.consider(&entry, path, directory.depth)?;
        directory.at += tree.len() - entries.rest_len();
        Ok(true)
    }

    fn consider(&mut self, entry: &TreeEntry<'_>, path: Vec<u8>, depth: usize) -> Result<(), ArchiveError> {
        // git archive asks about a submodule as about a directory.
        let is_dir = matches!(entry.mode, EntryMode::Directory | EntryMode::Submodule);
        let asked = self.attributes.of(&self.package.in_repository(&path), is_dir, &mut self.work)?;
        if asked.export_ignore || (self.options.exclude)(&String::from_utf8_lossy(&path), is_dir, &mut self.work)? {
            return Ok(());
        }
        if let Err(reason) = check_name(entry.name).and_then(|()| check_path(&path)) {
            self.remarks.add(&path, RemarkKind::Unsafe(reason));
            return Ok(());
        }
        self.path_bytes += path.len();
        let limit = self.options.limits.path_bytes;
        if self.path_bytes > limit {
            return Err(ArchiveError::PathsTooLong { limit });
        }
        let oid = entry.oid;
        let (kind, taken) = match entry.mode {
            EntryMode::File => (PlannedKind::File, TakenKind::File),
            EntryMode::Executable => (PlannedKind::Executable, TakenKind::File),
            EntryMode::Symlink => (PlannedKind::Symlink, TakenKind::Symlink),
            EntryMode::Directory => {
                if self.take(&path, TakenKind::Directory)? {
                    self.pending.push(Pending { path, oid, depth: depth + 1 });
                }
                return Ok(());
            }
            EntryMode::Submodule => {
                self.remarks.add(&path, RemarkKind::Submodule);
                return Ok(());
            }
        };
        if self.take(&path, taken)? {
            let conversion = asked.conversion.filter(|_| kind != PlannedKind::Symlink);
            self.planned.push(Planned { path, kind, oid, conversion });
        }
        Ok(())
    }

    /// Claims a path, and says whether it can be had: nothing has the same. What differs in case only is remarked on.
    /// Two directories may: what they hold is compared in turn.
    fn take(&mut self, path: &[u8], kind: TakenKind) -> Result<bool, ArchiveError> {
        let limit = self.options.limits.entries;
        if self.taken.len() >= limit {
            return Err(ArchiveError::TooManyEntries { limit });
        }
        let key = without_case(path);
        let known = match self.taken.entry(key) {
            Slot::Vacant(slot) => {
                let written = (slot.key() != path).then(|| path.into());
                slot.insert(Taken { written, kind });
                return Ok(true);
            }
            Slot::Occupied(slot) => slot,
        };
        let other = known.get().written.as_deref().unwrap_or(known.key());
        if other == path {
            self.remarks.add(path, RemarkKind::Unsafe(UnsafeReason::Duplicate));
            return Ok(false);
        }
        match (kind, known.get().kind) {
            (TakenKind::Directory, TakenKind::Directory) => {}
            // Unpacking what is in the directory would write wherever the link leads.
            (TakenKind::Directory, TakenKind::Symlink) | (TakenKind::Symlink, TakenKind::Directory) => {
                self.links_over_directories.insert(known.key().clone());
            }
            _ => self.remarks.add(path, RemarkKind::SameWhereCaseIsIgnored { other: shown(other) }),
        }
        Ok(true)
    }

    fn drop_links_over_directories(&mut self) {
        let Self { planned, links_over_directories: links, remarks, .. } = self;
        if links.is_empty() {
            return;
        }
        planned.retain(|entry| {
            let is_kept = entry.kind != PlannedKind::Symlink || !links.contains(&without_case(&entry.path));
            if !is_kept {
                remarks.add(&entry.path, RemarkKind::Unsafe(UnsafeReason::LinkOverDirectory));
            }
            is_kept
        });
    }
}

/// The path of an entry of a directory.
pub(crate) fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The path as file systems compare it that ignore case.
fn without_case(path: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(path) {
        Ok(path) => path.to_lowercase().into_bytes(),
        Err(_) => path.to_ascii_lowercase(),
    }
}
