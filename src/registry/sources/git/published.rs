//! What the registry has of a git repository already, asked by the refs that its server has now.

use std::collections::{HashMap, HashSet};

use composer::{NormalizedVersion, PackageName, Reference};

use crate::registry::packages::released::FirstSeenBy;
use crate::registry::sources::git::candidates::{Candidate, FILTERED, TagMoves};
use crate::registry::sources::git::contents::WantedCommit;
use crate::store::packages::state::{LiveVersion, PackageState, VersionHistory};
use crate::store::sources::refs::RefRow;

/// What the registry has of a repository already.
#[derive(Debug, Default)]
pub struct PublishedState {
    pub(super) moves: TagMoves,
    refs: HashMap<String, RefRow>,
    /// The versions that are published, by the ref that they come from.
    pub(super) versions: HashMap<String, LiveVersion>,
    /// What stays of versions whatever syncs find, those that are gone among them; by package and normalized version.
    histories: HashMap<(String, String), VersionHistory>,
    /// The same by normalized version alone: a package that is renamed is not released again.
    histories_of_any_name: HashMap<String, VersionHistory>,
    /// The normalized versions that were hidden under some name.
    hidden_under_any_name: HashSet<String>,
    has_packages: bool,
}

impl PublishedState {
    /// Puts stored rows into the form that is asked below.
    pub fn new(refs: Vec<RefRow>, versions: Vec<LiveVersion>, packages: &[PackageState], moves: TagMoves) -> Self {
        let live = versions.iter().map(|version| (version.package_name.clone(), VersionHistory::from(version)));
        let former = packages
            .iter()
            .flat_map(|package| package.former.iter().map(|history| (package.name.clone(), history.clone())));
        let (mut histories, mut histories_of_any_name) = (HashMap::new(), HashMap::<String, VersionHistory>::new());
        let mut hidden_under_any_name = HashSet::new();
        for (package, history) in live.chain(former) {
            let of_any_name =
                histories_of_any_name.entry(history.normalized.clone()).or_insert_with(|| history.clone());
            let order = |history: &VersionHistory| (history.released_when_shown, history.released.at);
            if order(&history) < order(of_any_name) {
                *of_any_name = history.clone();
            }
            if history.hidden {
                hidden_under_any_name.insert(history.normalized.clone());
            }
            histories.insert((package, history.normalized.clone()), history);
        }
        Self {
            moves,
            histories,
            histories_of_any_name,
            hidden_under_any_name,
            has_packages: !packages.is_empty(),
            refs: refs.into_iter().map(|row| (row.name.clone(), row)).collect(),
            versions: versions.into_iter().map(|version| (version.source.as_str().to_owned(), version)).collect(),
        }
    }

    /// What is left of it when everything is looked at anew under another name.
    #[must_use]
    pub fn under_another_name(&self) -> Self {
        Self {
            moves: self.moves,
            histories: self.histories.clone(),
            histories_of_any_name: self.histories_of_any_name.clone(),
            hidden_under_any_name: self.hidden_under_any_name.clone(),
            has_packages: self.has_packages,
            ..Self::default()
        }
    }

    /// What stays of a version that was published before.
    pub(super) fn history(&self, name: &PackageName, normalized: &NormalizedVersion) -> Option<&VersionHistory> {
        self.histories.get(&(name.as_str().to_owned(), normalized.as_str().to_owned()))
    }

    /// The same, whatever the package was called then.
    pub(super) fn history_of_any_name(
        &self,
        name: &PackageName,
        normalized: &NormalizedVersion,
    ) -> Option<&VersionHistory> {
        self.history(name, normalized).or_else(|| self.histories_of_any_name.get(normalized.as_str()))
    }

    /// Whether a version is hidden: as it was under this name, else if it was under any other.
    pub(super) fn is_hidden(&self, name: &PackageName, normalized: &NormalizedVersion) -> bool {
        let under_another = || self.hidden_under_any_name.contains(normalized.as_str());
        self.history(name, normalized).map_or_else(under_another, |history| history.hidden)
    }

    /// Which sync of the repository this one is: the first, as long as nothing was ever published from it.
    pub(super) fn sync(&self) -> FirstSeenBy {
        if self.has_packages { FirstSeenBy::LaterSync } else { FirstSeenBy::FirstSync }
    }

    /// The commit that the version of a tag was published from, if that is another one.
    pub(super) fn moved_from(&self, candidate: &Candidate, name: &str) -> Option<&Reference> {
        let tagged = candidate.tagged_version()?;
        let was = match self.versions.get(&candidate.ref_name) {
            Some(version) => &version.reference,
            // Another tag of the same version may stand before it.
            None if self.versions.values().any(|version| version.normalized == tagged.as_str()) => return None,
            None => &self.histories.get(&(name.to_owned(), tagged.as_str().to_owned()))?.reference,
        };
        (*was != candidate.commit.to_hex().as_str()).then_some(was)
    }

    /// The version that stays although its tag has moved.
    pub(super) fn pinned(&self, candidate: &Candidate) -> Option<&LiveVersion> {
        let version = self.versions.get(&candidate.ref_name).filter(|_| self.moves == TagMoves::Refused)?;
        let has_moved = self.moved_from(candidate, &version.package_name).is_some();
        (has_moved && candidate.is_named(version)).then_some(version)
    }

    /// Whether the last sync has seen `candidate` where it is.
    pub(super) fn was_seen_there(&self, candidate: &Candidate) -> bool {
        self.refs.get(&candidate.ref_name).is_some_and(|row| row.reference == candidate.commit.to_hex())
    }

    /// The version that `candidate` has become already, if it has not moved since.
    pub fn version(&self, candidate: &Candidate) -> Option<&LiveVersion> {
        let version = self.versions.get(&candidate.ref_name)?;
        let is_there = version.reference == candidate.commit.to_hex().as_str();
        (is_there && candidate.is_named(version)).then_some(version)
    }

    /// Why `candidate` was skipped before, if it has not moved since and the reason lies in its commit alone. A tag
    /// that another one of the same version stood before (it has both a version and a reason) is looked at again, and
    /// so is a ref that was left out by filters which have changed meanwhile.
    pub(super) fn skipped(&self, candidate: &Candidate) -> Option<&str> {
        let row = self.refs.get(&candidate.ref_name)?;
        let lies_in_the_commit = row.version.is_none() && row.reason.as_deref() != Some(FILTERED);
        (row.reference == candidate.commit.to_hex() && lies_in_the_commit).then_some(row.reason.as_deref())?
    }

    /// The commits that must be looked at.
    pub fn wanted(&self, candidates: &[Candidate]) -> Vec<WantedCommit> {
        let mut wanted: Vec<WantedCommit> = Vec::new();
        let mut places = HashMap::new();
        let undecided = candidates
            .iter()
            .filter(|candidate| candidate.rejected.is_none())
            .filter(|candidate| self.version(candidate).is_none() && self.pinned(candidate).is_none())
            .filter(|candidate| self.skipped(candidate).is_none());
        for candidate in undecided {
            let place = *places.entry(candidate.commit).or_insert(wanted.len());
            if place == wanted.len() {
                wanted.push(WantedCommit { commit: candidate.commit, tags: Vec::new() });
            }
            wanted[place].tags.extend(candidate.tag);
        }
        wanted
    }

    /// The name that the repository is published under.
    pub fn name(&self) -> Option<&str> {
        self.versions.values().next().map(|version| version.package_name.as_str())
    }

    /// Whether any ref was seen since the repository was registered, or changed into another one.
    pub fn has_refs(&self) -> bool {
        !self.refs.is_empty()
    }

    /// Whether any version of a package is published.
    pub fn publishes(&self, package: &PackageState) -> bool {
        self.versions.values().any(|version| version.package_name == package.name)
    }

    /// The versions that are published of a package.
    pub fn versions_of(&self, package: &PackageState) -> Vec<LiveVersion> {
        self.versions.values().filter(|version| version.package_name == package.name).cloned().collect()
    }

    /// Whether any version is in the metadata.
    pub fn is_listed(&self) -> bool {
        self.versions.values().any(LiveVersion::is_listed)
    }

    /// Whether what is published has another name than `name`.
    pub fn is_published_under_another_name(&self, name: &PackageName) -> bool {
        self.versions.values().any(|version| version.package_name != name.as_str())
    }
}
