//! Which entries of a package's tree go into its archive: everything below its directory, less
//! what `.gitattributes` and the caller leave out, and nothing unsafe.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use crate::archive::attributes::Attributes;
use crate::archive::plan::{PlannedEntry, PlannedKind};
use crate::archive::{ArchiveError, ArchiveOptions, OmissionReason, OmittedEntry};
use crate::object::{EntryMode, ObjectError, ObjectId, ObjectKind};
use crate::pack::Packs;
use crate::tree::{TreeError, UnsafeReason, check_name, check_path, read_kind, with_tree};

/// The file whose rules hold in its directory and below.
pub(crate) const ATTRIBUTES: &[u8] = b".gitattributes";

/// A directory that is still to be looked into.
struct Pending {
    /// Empty for the root.
    path: String,
    oid: ObjectId,
    depth: usize,
}

/// One entry, copied out of its tree so that the tree need not stay in memory.
struct Child {
    path: String,
    mode: EntryMode,
    oid: ObjectId,
}

pub(crate) struct Walk<'a> {
    packs: &'a Packs,
    options: &'a ArchiveOptions<'a>,
    attributes: Attributes,
    /// How many rules there are on entering a directory of each depth.
    marks: Vec<usize>,
    /// Every path in lower case, with whether it is a directory.
    taken: HashMap<String, bool>,
    path_bytes: usize,
    pending: Vec<Pending>,
    planned: Vec<PlannedEntry>,
    omitted: Vec<OmittedEntry>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(packs: &'a Packs, options: &'a ArchiveOptions<'a>) -> Self {
        Self {
            packs,
            options,
            attributes: Attributes::new(),
            marks: Vec::new(),
            taken: HashMap::new(),
            path_bytes: 0,
            pending: Vec::new(),
            planned: Vec::new(),
            omitted: Vec::new(),
        }
    }

    /// The entries below `root` in the order of their paths' bytes, and what was left out.
    pub(crate) fn run(mut self, root: ObjectId) -> Result<(Vec<PlannedEntry>, Vec<OmittedEntry>), ArchiveError> {
        self.pending.push(Pending { path: String::new(), oid: root, depth: 0 });
        while let Some(directory) = self.pending.pop() {
            self.enter(&directory)?;
        }
        self.planned.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok((self.planned, self.omitted))
    }

    fn enter(&mut self, directory: &Pending) -> Result<(), ArchiveError> {
        self.load_attributes(directory)?;
        for child in self.children(directory)? {
            self.child(child, directory.depth)?;
        }
        Ok(())
    }

    /// Puts the rules in force that hold inside `directory`: those of the directories above it,
    /// and its own.
    fn load_attributes(&mut self, directory: &Pending) -> Result<(), ArchiveError> {
        self.marks.truncate(directory.depth + 1);
        match self.marks.get(directory.depth) {
            Some(mark) => self.attributes.truncate(*mark),
            None => self.marks.push(self.attributes.len()),
        }
        let file =
            with_tree(self.packs, &directory.oid, |tree| tree.get(ATTRIBUTES).map(|entry| (entry.mode, entry.oid)))
                .map_err(|error| unsafe_name(error, &directory.path))?;
        if let Some((EntryMode::File | EntryMode::Executable, oid)) = file {
            let content = read_kind(self.packs, &oid, ObjectKind::Blob)?;
            self.attributes.add_file(&directory.path, content.data())?;
        }
        Ok(())
    }

    /// The entries of a directory that are not left out.
    fn children(&mut self, directory: &Pending) -> Result<Vec<Child>, ArchiveError> {
        let Self { packs, options, attributes, path_bytes, taken, .. } = self;
        let children = with_tree(packs, &directory.oid, |tree| {
            let mut children = Vec::new();
            for entry in tree.entries() {
                // git archive asks about a submodule as about a directory.
                let is_dir = matches!(entry.mode, EntryMode::Directory | EntryMode::Submodule);
                let mut raw = directory.path.clone().into_bytes();
                if !raw.is_empty() {
                    raw.push(b'/');
                }
                raw.extend_from_slice(entry.name);
                if attributes.export_ignore(&raw, is_dir) {
                    continue;
                }
                let path = checked(raw, entry.name)?;
                if (options.exclude)(&path, is_dir) {
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
                children.push(Child { path, mode: entry.mode, oid: entry.oid });
            }
            Ok(children)
        });
        children.map_err(|error| unsafe_name(error, &directory.path))?
    }

    fn child(&mut self, child: Child, depth: usize) -> Result<(), ArchiveError> {
        let Child { path, mode, oid } = child;
        let kind = match mode {
            EntryMode::File => PlannedKind::File,
            EntryMode::Executable => PlannedKind::Executable,
            EntryMode::Symlink => PlannedKind::Symlink,
            EntryMode::Directory => {
                self.take(&path, true)?;
                self.pending.push(Pending { path, oid, depth: depth + 1 });
                return Ok(());
            }
            EntryMode::Submodule => {
                self.take(&path, true)?;
                self.omitted.push(OmittedEntry { path, reason: OmissionReason::Submodule });
                return Ok(());
            }
        };
        self.take(&path, false)?;
        self.planned.push(PlannedEntry { path, kind, oid });
        Ok(())
    }

    /// Claims a path, so that no other entry is the same where case is ignored. Two directories
    /// may be: what they hold is compared in turn.
    fn take(&mut self, path: &str, is_dir: bool) -> Result<(), ArchiveError> {
        let limit = self.options.limits.entries;
        if self.taken.len() >= limit {
            return Err(ArchiveError::TooManyEntries { limit });
        }
        match self.taken.entry(path.to_lowercase()) {
            Slot::Vacant(slot) => {
                slot.insert(is_dir);
                Ok(())
            }
            Slot::Occupied(slot) if is_dir && *slot.get() => Ok(()),
            Slot::Occupied(_) => {
                Err(ArchiveError::UnsafePath { path: path.to_owned(), reason: UnsafeReason::Duplicate })
            }
        }
    }
}

fn checked(raw: Vec<u8>, name: &[u8]) -> Result<String, ArchiveError> {
    let result = check_name(name).and_then(|_| {
        let path = std::str::from_utf8(&raw).map_err(|_| UnsafeReason::NotUtf8)?;
        check_path(path)
    });
    // Both checks have seen that it is UTF-8.
    match (result, String::from_utf8(raw)) {
        (Ok(()), Ok(path)) => Ok(path),
        (Err(reason), Ok(path)) => Err(ArchiveError::UnsafePath { path: path.escape_debug().to_string(), reason }),
        (_, Err(error)) => Err(ArchiveError::UnsafePath {
            path: error.as_bytes().escape_ascii().to_string(),
            reason: UnsafeReason::NotUtf8,
        }),
    }
}

/// A tree whose names are unsafe is refused like any other unsafe path.
fn unsafe_name(error: TreeError, directory: &str) -> ArchiveError {
    match error {
        TreeError::Malformed { source: ObjectError::UnsafeName { name }, .. } => {
            let reason = match check_name(name.as_bytes()) {
                Err(reason) => reason,
                Ok(_) => UnsafeReason::Traversal,
            };
            let slash = if directory.is_empty() { "" } else { "/" };
            ArchiveError::UnsafePath { path: format!("{directory}{slash}{name}"), reason }
        }
        error => error.into(),
    }
}
