//! Which blobs an archive takes, asked of the trees alone, so that nothing else of a large
//! repository has to be fetched:
//!
//! 1. fetch the commit with all its trees and no blob (`filter blob:none`);
//! 2. fetch [`missing_rule_files`], which decide what is left out;
//! 3. fetch [`missing_files`]; [`build_zip`](crate::build_zip) has all that it needs then. Or, when
//!    that is too much at once, [`plan_archive`](crate::plan_archive), and fetch the contents of the
//!    next entries again and again while an [`ArchiveWriter`](crate::ArchiveWriter) writes them.

use std::collections::HashSet;

use crate::archive::package::Package;
use crate::archive::plan::plan_archive;
use crate::archive::walk::ATTRIBUTES;
use crate::archive::{ArchiveError, ArchiveOptions, MANIFEST};
use crate::object::{EntryMode, ObjectId};
use crate::pack::Packs;
use crate::tree::{read_commit, with_tree};

/// The files that say what an archive of `commit` leaves out: composer.json, every `.gitattributes`
/// and every symlink in and below the package's directory `path` (`None`: the root), and every
/// `.gitattributes` above it, without those that are there. Needs all trees of the directory and
/// those above it.
pub fn missing_rule_files(
    packs: &Packs,
    commit: &ObjectId,
    path: Option<&str>,
) -> Result<HashSet<ObjectId>, ArchiveError> {
    let package = Package::find(packs, read_commit(packs, commit)?.tree, path)?;
    let root = package.tree;
    let mut missing = HashSet::new();
    for above in &package.above {
        missing.extend(with_tree(packs, &above.tree, |tree| tree.get(ATTRIBUTES).map(|entry| entry.oid))?);
    }
    // A tree may be in many places; looking at each once bounds the work by their number.
    let mut seen = HashSet::from([root]);
    let mut pending = vec![root];
    while let Some(directory) = pending.pop() {
        with_tree(packs, &directory, |tree| {
            for entry in tree.entries() {
                let is_rule_file = entry.name == ATTRIBUTES || (directory == root && entry.name == MANIFEST.as_bytes());
                match entry.mode {
                    EntryMode::Directory if seen.insert(entry.oid) => pending.push(entry.oid),
                    EntryMode::File | EntryMode::Executable if is_rule_file => drop(missing.insert(entry.oid)),
                    // Where it leads decides.
                    EntryMode::Symlink => drop(missing.insert(entry.oid)),
                    _ => {}
                }
            }
        })?;
    }
    missing.retain(|id| !packs.contains(id));
    Ok(missing)
}

/// The files and symlinks that an archive of `commit` holds, without those that are there. Needs
/// the trees and the rule files of the package's directory.
pub fn missing_files(
    packs: &Packs,
    commit: &ObjectId,
    options: &ArchiveOptions<'_>,
) -> Result<HashSet<ObjectId>, ArchiveError> {
    let plan = plan_archive(packs, commit, options)?;
    Ok(plan.entries.into_iter().map(|entry| entry.oid).filter(|id| !packs.contains(id)).collect())
}
