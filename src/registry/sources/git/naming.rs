//! Which package a repository's refs are versions of. As `VcsRepository` decides it: the composer.json of the default branch
//! names it for all refs, so that old tags of a renamed package have the new name; if that names none, each ref's own does.
//! A repository publishes one package, so of several such names it is the one that most refs state.

use std::collections::BTreeMap;

use composer::{Manifest, PackageName};

use crate::registry::sources::git::candidates::{Candidate, short_ref_name};
use crate::registry::sources::git::contents::{Content, Contents};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::published::PublishedState;

/// What names a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The default branch, for all refs.
    DefaultBranch,
    /// Each ref, for itself.
    Refs,
}

/// The name of a package, and what gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The name.
    pub name: PackageName,
    /// What gives it.
    pub by: NamedBy,
}

impl Naming {
    /// Finds the name of a repository's package. When the default branch does not tell it, what is published keeps its name.
    ///
    /// # Errors
    /// [`SyncError::NoName`] when nothing tells it.
    pub fn find(
        default: Option<&Candidate>,
        candidates: &[Candidate],
        known: &PublishedState,
        contents: &Contents,
    ) -> Result<Self, SyncError> {
        let reason = match stated_by_default(default, known, contents) {
            Ok(name) => return Ok(Self { name, by: NamedBy::DefaultBranch }),
            Err(reason) => reason,
        };
        let published = known.name().and_then(|name| PackageName::parse(name).ok());
        let name = published.or_else(|| most_stated(candidates, contents));
        name.map(|name| Self { name, by: NamedBy::Refs }).ok_or(SyncError::NoName { reason })
    }
}

/// The name that the default branch states, or why it states none.
fn stated_by_default(
    default: Option<&Candidate>,
    known: &PublishedState,
    contents: &Contents,
) -> Result<PackageName, String> {
    let default = default.ok_or_else(|| "there are no branches".to_owned())?;
    let stated = match (contents.get(&default.commit), known.version(default)) {
        (Some(content), _) => stated_name(content),
        (None, Some(version)) => name_in(version.manifest.as_bytes()),
        (None, None) => Err("its commit was not sent by the server".to_owned()),
    };
    stated.map_err(|reason| format!("of the default branch `{}`, {reason}", short_ref_name(&default.ref_name)))
}

/// The name that most of the refs state; of two, the first by the alphabet.
fn most_stated(candidates: &[Candidate], contents: &Contents) -> Option<PackageName> {
    let mut counts: BTreeMap<PackageName, usize> = BTreeMap::new();
    let taken = candidates.iter().filter(|candidate| candidate.rejected.is_none());
    for name in taken.filter_map(|candidate| stated_name(contents.get(&candidate.commit)?).ok()) {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name)
}

fn stated_name(content: &Content) -> Result<PackageName, String> {
    name_in(content.manifest.as_ref().map_err(Clone::clone)?.as_bytes())
}

/// The name that a composer.json states, or why it states none.
pub fn name_in(manifest: &[u8]) -> Result<PackageName, String> {
    let manifest = Manifest::parse(manifest).map_err(|error| error.to_string())?;
    manifest.name().cloned().ok_or_else(|| "its composer.json has no name".to_owned())
}
