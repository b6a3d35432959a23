//! Finding things in a commit's tree: a directory, its files, and the few that describe a package.

mod path_safety;

pub use path_safety::{
    InvalidPackagePath, PackagePath, SymlinkRefusal, UnsafeReason, check_relative_path, check_symlink,
};
pub(crate) use path_safety::{check_name, check_path};

use crate::object::{Commit, EntryMode, Object, ObjectError, ObjectId, ObjectKind, Tag, Tree};
use crate::pack::{PackError, Packs};

/// Tags of tags that are followed before giving up. Nobody nests them on purpose.
const TAG_DEPTH: usize = 8;

/// A commit's tree cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The pack is at fault.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The object is not there: filtered away, or never asked for.
    #[error("the object {0} is missing")]
    MissingObject(ObjectId),
    /// The object is of another kind than what refers to it says.
    #[error("the object {id} is a {found}, not a {expected}")]
    WrongKind {
        /// The object.
        id: ObjectId,
        /// What it should be.
        expected: ObjectKind,
        /// What it is.
        found: ObjectKind,
    },
    /// The object's content is malformed.
    #[error("the object {id} is malformed: {source}")]
    Malformed {
        /// The object.
        id: ObjectId,
        /// What is wrong with it.
        source: ObjectError,
    },
    /// The directory asked for is not a plain relative path.
    #[error(transparent)]
    Path(#[from] InvalidPackagePath),
}

/// A file of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRef {
    /// Its name in the directory.
    pub name: String,
    /// Its content.
    pub oid: ObjectId,
}

/// What describes a package in its directory. The contents may be missing, see
/// [`missing_blobs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFiles {
    /// The commit they were found in.
    pub commit: Commit,
    /// The package's directory.
    pub tree: ObjectId,
    /// `composer.json`, written exactly so.
    pub manifest: Option<BlobRef>,
    /// The best `README*`.
    pub readme: Option<BlobRef>,
    /// The best `CHANGELOG*`.
    pub changelog: Option<BlobRef>,
    /// The best `LICENSE*`, `LICENCE*` or `COPYING*`.
    pub license: Option<BlobRef>,
}

impl PackageFiles {
    /// All files that were found.
    pub fn blobs(&self) -> impl Iterator<Item = &BlobRef> {
        [&self.manifest, &self.readme, &self.changelog, &self.license].into_iter().flatten()
    }
}

/// Reads a commit. An annotated tag is followed to its commit.
pub fn read_commit(packs: &Packs, id: &ObjectId) -> Result<Commit, TreeError> {
    Ok(find_commit(packs, id)?.commit)
}

/// A commit with all that its object says.
pub(crate) struct FoundCommit {
    pub(crate) id: ObjectId,
    pub(crate) commit: Commit,
    pub(crate) object: Object,
}

/// Reads a commit as [`read_commit`] does, and says which it is.
pub(crate) fn find_commit(packs: &Packs, id: &ObjectId) -> Result<FoundCommit, TreeError> {
    let mut id = *id;
    for _ in 0..TAG_DEPTH {
        let object = read(packs, &id)?;
        let malformed = |source| TreeError::Malformed { id, source };
        match object.kind() {
            ObjectKind::Commit => {
                let commit = Commit::parse(object.data()).map_err(malformed)?;
                return Ok(FoundCommit { id, commit, object });
            }
            ObjectKind::Tag => id = Tag::parse(object.data()).map_err(malformed)?.object,
            found => {
                return Err(TreeError::WrongKind { id, expected: ObjectKind::Commit, found });
            }
        }
    }
    Err(TreeError::WrongKind { id, expected: ObjectKind::Commit, found: ObjectKind::Tag })
}

/// Reads an annotated tag.
pub fn read_tag(packs: &Packs, id: &ObjectId) -> Result<Tag, TreeError> {
    let object = read_kind(packs, id, ObjectKind::Tag)?;
    Tag::parse(object.data()).map_err(|source| TreeError::Malformed { id: *id, source })
}

/// The tree of the directory `path` in a commit (`None`: its root), or nothing if the commit has
/// no such directory.
pub fn tree_at(packs: &Packs, commit: &ObjectId, path: Option<&str>) -> Result<Option<ObjectId>, TreeError> {
    let path = PackagePath::parse(path.unwrap_or_default())?;
    directory(packs, read_commit(packs, commit)?.tree, &path)
}

/// The regular files of a directory, not of those below it. Names that are not UTF-8 are passed
/// over: nothing that describes a package has one.
pub fn list_files(packs: &Packs, tree: &ObjectId) -> Result<Vec<BlobRef>, TreeError> {
    with_tree(packs, tree, |tree| {
        let file = |mode| matches!(mode, EntryMode::File | EntryMode::Executable);
        tree.entries()
            .filter(|entry| file(entry.mode))
            .filter_map(|entry| {
                let name = std::str::from_utf8(entry.name).ok()?.to_owned();
                Some(BlobRef { name, oid: entry.oid })
            })
            .collect()
    })
}

/// A directory of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRef {
    /// From the root, with `/` between its names.
    pub path: String,
    /// Its content.
    pub oid: ObjectId,
}

/// The directories of a commit that are `depth` names below its root (0: the root itself) and whose names `takes` wants,
/// which is asked by level (0 is the first below the root) and name. Needs the trees down to there. Names that are not
/// UTF-8 are passed over.
pub fn find_directories(
    packs: &Packs,
    commit: &ObjectId,
    depth: usize,
    takes: impl Fn(usize, &str) -> bool,
) -> Result<Vec<DirectoryRef>, TreeError> {
    let mut found = vec![DirectoryRef { path: String::new(), oid: read_commit(packs, commit)?.tree }];
    for level in 0..depth {
        let mut below = Vec::new();
        for directory in &found {
            with_tree(packs, &directory.oid, |tree| {
                for entry in tree.entries().filter(|entry| entry.mode == EntryMode::Directory) {
                    if let Some(name) = std::str::from_utf8(entry.name).ok().filter(|name| takes(level, name)) {
                        let separator = if directory.path.is_empty() { "" } else { "/" };
                        below.push(DirectoryRef {
                            path: format!("{}{separator}{name}", directory.path),
                            oid: entry.oid,
                        });
                    }
                }
            })?;
        }
        found = below;
    }
    Ok(found)
}

/// Finds the files that describe the package in the directory `path` of a commit, or nothing if
/// the commit has no such directory. Needs the trees down to there, no blob.
pub fn find_package_files(
    packs: &Packs,
    commit: &ObjectId,
    path: Option<&str>,
) -> Result<Option<PackageFiles>, TreeError> {
    let path = PackagePath::parse(path.unwrap_or_default())?;
    let commit = read_commit(packs, commit)?;
    let Some(tree) = directory(packs, commit.tree, &path)? else {
        return Ok(None);
    };
    let files = list_files(packs, &tree)?;
    Ok(Some(PackageFiles {
        commit,
        tree,
        manifest: files.iter().find(|file| file.name == "composer.json").cloned(),
        readme: preferred(&files, README_STEMS),
        changelog: preferred(&files, CHANGELOG_STEMS),
        license: preferred(&files, LICENSE_STEMS),
    }))
}

/// The contents of `files` that are not there, each once in ascending order: what the second
/// request of a [`MetadataPlan`](crate::MetadataPlan) asks for.
pub fn missing_blobs<'a>(packs: &Packs, files: impl IntoIterator<Item = &'a PackageFiles>) -> Vec<ObjectId> {
    let mut missing: Vec<ObjectId> =
        files.into_iter().flat_map(PackageFiles::blobs).map(|blob| blob.oid).filter(|id| !packs.contains(id)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Reads an object that must be there.
pub(crate) fn read(packs: &Packs, id: &ObjectId) -> Result<Object, TreeError> {
    packs.read(id)?.ok_or(TreeError::MissingObject(*id))
}

/// Reads an object that must be there and of that kind.
pub(crate) fn read_kind(packs: &Packs, id: &ObjectId, expected: ObjectKind) -> Result<Object, TreeError> {
    let object = read(packs, id)?;
    match object.kind() {
        found if found == expected => Ok(object),
        found => Err(TreeError::WrongKind { id: *id, expected, found }),
    }
}

/// Reads a tree and looks at it.
pub(crate) fn with_tree<T>(packs: &Packs, id: &ObjectId, look: impl FnOnce(Tree<'_>) -> T) -> Result<T, TreeError> {
    let object = read_kind(packs, id, ObjectKind::Tree)?;
    let tree = Tree::parse(object.data()).map_err(|source| TreeError::Malformed { id: *id, source })?;
    Ok(look(tree))
}

/// Reads a tree and checks it, for whoever looks at it by and by.
pub(crate) fn read_tree(packs: &Packs, id: &ObjectId) -> Result<Object, TreeError> {
    let object = read_kind(packs, id, ObjectKind::Tree)?;
    Tree::parse(object.data()).map_err(|source| TreeError::Malformed { id: *id, source })?;
    Ok(object)
}

/// Walks from a root tree down to a directory.
pub(crate) fn directory(packs: &Packs, root: ObjectId, path: &PackagePath) -> Result<Option<ObjectId>, TreeError> {
    let mut at = root;
    for name in path.names() {
        let entry = with_tree(packs, &at, |tree| tree.get(name.as_bytes()).map(|entry| (entry.mode, entry.oid)))?;
        match entry {
            Some((EntryMode::Directory, oid)) => at = oid,
            _ => return Ok(None),
        }
    }
    Ok(Some(at))
}

const README_STEMS: &[&str] = &["readme"];
const CHANGELOG_STEMS: &[&str] = &["changelog"];
const LICENSE_STEMS: &[&str] = &["license", "licence", "copying"];

/// The kinds of file that people read, and how their names begin.
pub const DOCUMENTATION_FILES: [(&str, &[&str]); 3] =
    [("readme", README_STEMS), ("changelog", CHANGELOG_STEMS), ("license", LICENSE_STEMS)];

fn preferred(files: &[BlobRef], stems: &[&str]) -> Option<BlobRef> {
    let name = preferred_name(files.iter().map(|file| file.name.as_str()), stems)?;
    files.iter().find(|file| file.name == name).cloned()
}

/// The name that fits best: the earlier stem, then the kind of text that renders best, then the name that sorts first.
pub fn preferred_name<'n>(names: impl Iterator<Item = &'n str>, stems: &[&str]) -> Option<&'n str> {
    let rank = |name: &str| {
        let name = name.to_ascii_lowercase();
        stems.iter().enumerate().find_map(|(order, stem)| {
            let kind = match name.strip_prefix(stem)? {
                ".md" => 0,
                ".markdown" => 1,
                ".rst" => 2,
                ".txt" => 3,
                "" => 4,
                rest if rest.starts_with('.') => 5,
                rest if rest.starts_with(['-', '_']) => 6,
                _ => return None,
            };
            Some((order, kind))
        })
    };
    names.filter_map(|name| Some((rank(name)?, name))).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str], stems: &[&str]) -> Option<String> {
        let files: Vec<BlobRef> =
            names.iter().map(|name| BlobRef { name: (*name).to_owned(), oid: ObjectId::from_bytes([0; 20]) }).collect();
        preferred(&files, stems).map(|file| file.name)
    }

    #[test]
    fn the_best_file_is_chosen_whatever_its_case() {
        let readme = ["readme"];
        let all = ["README", "README.fr.md", "Readme.md", "readme.txt", "README-dev.md"];
        assert_eq!(chosen(&all, &readme).as_deref(), Some("Readme.md"));
        assert_eq!(chosen(&["README.md", "readme.md"], &readme).as_deref(), Some("README.md"));
        assert_eq!(chosen(&["READMEs", "READMEFIRST"], &readme), None);
        let license = ["license", "licence", "copying"];
        assert_eq!(chosen(&["COPYING.md", "LICENCE"], &license).as_deref(), Some("LICENCE"));
        assert_eq!(chosen(&["COPYING.LESSER"], &license).as_deref(), Some("COPYING.LESSER"));
    }
}
