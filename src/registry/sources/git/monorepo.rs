//! Which packages a monorepo has: the directories of its default branch that a glob names, and what their composer.json
//! say. Their trees come in one request, as those of a sync do, and the composer.json that are missing in another one.

use std::collections::HashMap;

use composer::PackageName;
use git::{
    BlobRef, Capabilities, DirectoryRef, FetchError, FetchRequest, InvalidPackagePath, MetadataPlan, ObjectId,
    PackLimits, PackagePath, Packs, TreeError, find_directories, list_files,
};

use crate::registry::kernel::pattern::matches_pattern;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::naming::name_in;
use crate::registry::sources::git::remote::{GitRemote, Listing};
use crate::registry::sources::texts::MAX_FILE_BYTES;

const MANIFEST: &str = "composer.json";

/// Why a glob names no directories.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGlob {
    /// It is empty.
    #[error("is needed: the directories of the packages, like `packages/*`")]
    Empty,
    /// It is meant to reach any depth.
    #[error("must not hold `**`: each `*` stands for any characters of one name, so name each level, like `src/*/*`")]
    AnyDepth,
    /// It is no path.
    #[error(transparent)]
    Path(#[from] InvalidPackagePath),
}

/// Names directories of one depth: `packages/*`. A `*` stands for any characters of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGlob(Vec<String>);

impl DirectoryGlob {
    /// Reads a glob.
    pub fn parse(text: &str) -> Result<Self, InvalidGlob> {
        let path = PackagePath::parse(text.trim_matches('/'))?;
        let names: Vec<String> = path.names().map(str::to_owned).collect();
        match names {
            names if names.is_empty() => Err(InvalidGlob::Empty),
            names if names.iter().any(|name| name.contains("**")) => Err(InvalidGlob::AnyDepth),
            names => Ok(Self(names)),
        }
    }

    /// How many names below the root its directories are.
    fn depth(&self) -> usize {
        self.0.len()
    }

    fn takes(&self, level: usize, name: &str) -> bool {
        self.0.get(level).is_some_and(|pattern| matches_pattern(pattern, name))
    }
}

/// A directory of a monorepo, and its package or why it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDirectory {
    /// From the root.
    pub path: String,
    /// The name that its composer.json states.
    pub package: Result<PackageName, String>,
}

/// The directories of the default branch that `glob` names, by their paths. Of two that state one name, the first has it.
///
/// # Errors
/// When the server does not tell.
pub async fn find_packages(remote: &mut GitRemote<'_>, glob: &DirectoryGlob) -> Result<Vec<FoundDirectory>, SyncError> {
    let Listing { capabilities, refs } = remote.listing().await?;
    let commit = refs.default_branch().ok_or(SyncError::Empty)?.commit_id();
    let mut packs = fetch_trees(remote, &capabilities, commit, glob.depth()).await?;
    let mut directories = find_directories(&packs, &commit, glob.depth(), |level, name| glob.takes(level, name))?;
    directories.sort_by(|one, other| one.path.cmp(&other.path));
    let listed = directories.into_iter().map(|directory| ListedDirectory::of(&packs, directory));
    let listed = listed.collect::<Result<Vec<ListedDirectory>, TreeError>>()?;
    let manifests = listed.iter().filter_map(|directory| Some(directory.manifest.as_ref()?.oid));
    let mut missing: Vec<ObjectId> = manifests.filter(|id| !packs.contains(id)).collect();
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        packs.push(remote.fetch(&capabilities, &FetchRequest::blobs(missing), &PackLimits::default()).await?);
    }
    Ok(name_once(listed.into_iter().map(|ListedDirectory { path, manifest }| {
        let package = stated_name(&packs, manifest.as_ref());
        FoundDirectory { path, package }
    })))
}

/// A directory whose files are known by name.
struct ListedDirectory {
    path: String,
    manifest: Option<BlobRef>,
}

impl ListedDirectory {
    fn of(packs: &Packs, DirectoryRef { path, oid }: DirectoryRef) -> Result<Self, TreeError> {
        let manifest = list_files(packs, &oid)?.into_iter().find(|file| file.name == MANIFEST);
        Ok(Self { path, manifest })
    }
}

/// Leaves a name to the first directory that states it.
fn name_once(found: impl Iterator<Item = FoundDirectory>) -> Vec<FoundDirectory> {
    let mut named: HashMap<PackageName, String> = HashMap::new();
    let mut directories = Vec::new();
    for FoundDirectory { path, mut package } in found {
        if let Ok(name) = &package {
            match named.get(name) {
                Some(first) => package = Err(format!("its composer.json names {name}, as that of {first} does")),
                None => drop(named.insert(name.clone(), path.clone())),
            }
        }
        directories.push(FoundDirectory { path, package });
    }
    directories
}

/// Fetches a commit with its trees down to `depth` names below the root.
async fn fetch_trees(
    remote: &mut GitRemote<'_>,
    capabilities: &Capabilities,
    commit: ObjectId,
    depth: usize,
) -> Result<Packs, SyncError> {
    let mut plan = MetadataPlan::choose(capabilities, depth);
    loop {
        let request = FetchRequest::commits([commit], plan.filter());
        match remote.fetch(capabilities, &request, &PackLimits::default()).await {
            Err(SyncError::Fetch(FetchError::Remote(message))) => {
                plan = plan.after_refusal(depth).ok_or(SyncError::Fetch(FetchError::Remote(message)))?;
            }
            fetched => return Ok(Packs::from(fetched?)),
        }
    }
}

fn stated_name(packs: &Packs, manifest: Option<&BlobRef>) -> Result<PackageName, String> {
    let manifest = manifest.ok_or("it has no composer.json")?;
    if packs.size(&manifest.oid).is_some_and(|size| size > MAX_FILE_BYTES) {
        return Err("its composer.json is larger than 200 kB".to_owned());
    }
    let content = packs.read(&manifest.oid).map_err(|error| error.to_string())?;
    name_in(content.ok_or("its composer.json was not sent by the server")?.data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_characters_of_one_name() {
        let glob = DirectoryGlob::parse("/packages/api-*/").expect("a glob");
        assert_eq!(glob.depth(), 2);
        assert!(glob.takes(0, "packages") && glob.takes(1, "api-client"));
        assert!(!glob.takes(0, "packages2") && !glob.takes(1, "web") && !glob.takes(2, "api-client"));
    }

    #[test]
    fn what_names_no_directories_of_one_depth_is_refused() {
        for (text, error) in [("", InvalidGlob::Empty), ("/", InvalidGlob::Empty), ("src/**", InvalidGlob::AnyDepth)] {
            assert_eq!(DirectoryGlob::parse(text), Err(error), "{text}");
        }
        assert!(matches!(DirectoryGlob::parse("../*"), Err(InvalidGlob::Path(_))));
        assert!(matches!(DirectoryGlob::parse("a//b"), Err(InvalidGlob::Path(_))));
    }
}
