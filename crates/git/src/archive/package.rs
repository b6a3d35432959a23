//! Where a package is in its repository.

use std::borrow::Cow;

use crate::archive::ArchiveError;
use crate::archive::walk::joined;
use crate::object::{EntryMode, ObjectId};
use crate::pack::Packs;
use crate::tree::{PackagePath, with_tree};

/// The directory of a package, and those above it.
pub(crate) struct Package {
    pub(crate) tree: ObjectId,
    /// The directories that hold it, from the repository's root downwards.
    pub(crate) above: Vec<Above>,
    /// Its path from the repository's root.
    path: Vec<u8>,
}

/// A directory that holds a package, itself or in another one.
pub(crate) struct Above {
    /// From the repository's root; empty for that.
    pub(crate) path: Vec<u8>,
    pub(crate) tree: ObjectId,
}

impl Package {
    /// Finds the directory `path` (`None`: the root) below the tree `root`.
    pub(crate) fn find(packs: &Packs, root: ObjectId, path: Option<&str>) -> Result<Self, ArchiveError> {
        let path = PackagePath::parse(path.unwrap_or_default())?;
        let mut found = Self { tree: root, above: Vec::new(), path: Vec::new() };
        for name in path.names() {
            let entry =
                with_tree(packs, &found.tree, |tree| tree.get(name.as_bytes()).map(|entry| (entry.mode, entry.oid)))?;
            let Some((EntryMode::Directory, tree)) = entry else {
                return Err(ArchiveError::PathNotFound(path.as_str().to_owned()));
            };
            let deeper = joined(&found.path, name.as_bytes());
            let path = std::mem::replace(&mut found.path, deeper);
            found.above.push(Above { path, tree: std::mem::replace(&mut found.tree, tree) });
        }
        Ok(found)
    }

    /// The path from the repository's root of one that is relative to the package.
    pub(crate) fn in_repository<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        match (self.path.is_empty(), path.is_empty()) {
            (true, _) => Cow::Borrowed(path),
            (false, true) => Cow::Owned(self.path.clone()),
            (false, false) => Cow::Owned(joined(&self.path, path)),
        }
    }
}
