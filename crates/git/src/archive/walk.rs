//! Which entries of a package's tree go into its archive: everything below its directory, less
//! what `.gitattributes` and the caller leave out, and nothing unsafe.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};

use crate::archive::attributes::Attributes;
use crate::archive::conversion::Conversion;
use crate::archive::package::Package;
use crate::archive::plan::PlannedKind;
use crate::archive::remarks::{ArchiveRemarks, RemarkKind, shown};
use crate::archive::{ArchiveError, ArchiveOptions};
use crate::object::{EntryMode, ObjectId, ObjectKind};
use crate::pack::Packs;
use crate::tree::{UnsafeReason, check_name, check_path, read_kind, with_tree};

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

/// One entry, copied out of its tree so that the tree need not stay in memory.
struct Child {
    path: Vec<u8>,
    mode: EntryMode,
    oid: ObjectId,
    conversion: Option<Box<Conversion>>,
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
    pending: Vec<Pending>,
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
            pending: vec![begin],
            planned: Vec::new(),
            remarks: ArchiveRemarks::default(),
        };
        for (path, tree) in above {
            walk.add_attributes(&path, tree)?;
        }
        Ok(walk)
    }

    /// Looks into the next directories, until they have had `entries` entries. Says whether they were the last.
    pub(crate) fn step(&mut self, entries: usize) -> Result<bool, ArchiveError> {
        let mut seen = 0;
        while seen < entries {
            let Some(directory) = self.pending.pop() else { break };
            seen += 1 + self.enter(&directory)?;
        }
        Ok(self.pending.is_empty())
    }

    /// The entries below the package's directory, and what was left out.
    pub(crate) fn finish(mut self) -> Result<WalkedTree, ArchiveError> {
        self.step(usize::MAX)?;
        self.drop_links_over_directories();
        self.planned.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(WalkedTree { entries: self.planned, remarks: self.remarks })
    }

    /// Looks into a directory, and says how many entries it has that are not left out.
    fn enter(&mut self, directory: &Pending) -> Result<usize, ArchiveError> {
        self.load_attributes(directory)?;
        let children = self.children(directory)?;
        let count = children.len();
        for child in children {
            self.child(child, directory.depth)?;
        }
        Ok(count)
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
            self.attributes.add_file(path, content.data())?;
        }
        Ok(())
    }

    /// The entries of a directory that are not left out.
    fn children(&mut self, directory: &Pending) -> Result<Vec<Child>, ArchiveError> {
        let Self { packs, options, package, attributes, path_bytes, taken, remarks, .. } = self;
        with_tree(packs, &directory.oid, |tree| {
            let mut children = Vec::new();
            for entry in tree.entries() {
                // git archive asks about a submodule as about a directory.
                let is_dir = matches!(entry.mode, EntryMode::Directory | EntryMode::Submodule);
                let path = joined(&directory.path, entry.name);
                let asked = attributes.of(&package.in_repository(&path), is_dir);
                if asked.export_ignore || (options.exclude)(&String::from_utf8_lossy(&path), is_dir) {
                    continue;
                }
                if let Err(reason) = check_name(entry.name).and_then(|()| check_path(&path)) {
                    remarks.add(&path, RemarkKind::Unsafe(reason));
                    continue;
                }
                *path_bytes += path.len();
                let limit = options.limits.path_bytes;
                if *path_bytes > limit {
                    return Err(ArchiveError::PathsTooLong { limit });
                }
                // One tree may hold hundreds of thousands: stop before they are copied.
                let limit = options.limits.entries;
                if taken.len() + children.len() >= limit {
                    return Err(ArchiveError::TooManyEntries { limit });
                }
                children.push(Child { path, mode: entry.mode, oid: entry.oid, conversion: asked.conversion });
            }
            Ok(children)
        })?
    }

    fn child(&mut self, child: Child, depth: usize) -> Result<(), ArchiveError> {
        let Child { path, mode, oid, conversion } = child;
        let (kind, taken) = match mode {
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
            let conversion = conversion.filter(|_| kind != PlannedKind::Symlink);
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
