//! From refs to versions: which refs have to be looked at, and what each becomes.

use std::collections::{HashMap, HashSet};

use composer::{
    Manifest, NormalizedVersion, PackageName, RefVersion, Reference, normalize_tag, version_of_branch, version_of_tag,
};
use git::{ObjectId, RemoteRefs};
use sha2::{Digest, Sha256};

use crate::json::read_text;
use crate::ports::{Entropy, Fault, Millis};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::pattern::matches_pattern;
use crate::registry::packages::released::{self, FirstSeenBy, RefDates};
use crate::registry::sources::git::contents::{Content, Contents, WantedCommit};
use crate::store::access::released::Released;
use crate::store::packages::publication::{FileUpsert, VersionUpsert};
use crate::store::packages::remarks::{RefRemark, Remark, RemarkKind, RemarksOn};
use crate::store::packages::state::{LiveVersion, PackageState, VersionHistory};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::refs::RefRow;
use crate::store::sources::repositories::Repository;
use crate::store::sources::sync_runs::SkippedItem;

const BRANCHES: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";

/// Most versions of one package: their manifests are in memory together when it is rendered, some 5 kB each.
const MAX_VERSIONS: usize = 5000;

/// Why a ref that the repository's filters leave out is skipped.
const FILTERED: &str = "no filter of the repository takes it";

/// A ref of the repository that may become a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Full name.
    pub ref_name: String,
    /// Its commit.
    pub commit: ObjectId,
    /// The annotated tag that it points to, if it is one.
    pub tag: Option<ObjectId>,
    /// Why its name alone rules it out.
    pub rejected: Option<String>,
}

/// The refs that a repository's owner wants as versions, in the order in which they are taken: the first of two tags
/// of one version wins, as in Composer.
pub fn candidates(advertised: &RemoteRefs, repository: &Repository) -> Vec<Candidate> {
    let tag_filter = globs(repository.tag_filter.as_deref());
    let branch_filter = globs(repository.branch_filter.as_deref());
    let tags = advertised.tag_refs().map(|(name, tag)| {
        let ruled_out =
            filtered(tag_filter.as_deref(), name).or_else(|| normalize_tag(name).err().map(|e| e.to_string()));
        let (commit, tag) = (tag.commit_id(), tag.annotated_tag());
        Candidate { ref_name: format!("{TAGS}{name}"), commit, tag, rejected: ruled_out }
    });
    let branches = advertised.branches().map(|(name, commit)| {
        let ruled_out =
            filtered(branch_filter.as_deref(), name).or_else(|| version_of_branch(name).err().map(|e| e.to_string()));
        Candidate { ref_name: format!("{BRANCHES}{name}"), commit, tag: None, rejected: ruled_out }
    });
    tags.chain(branches).collect()
}

fn globs(stored: Option<&str>) -> Option<Vec<String>> {
    read_text(stored?).ok()
}

fn filtered(filter: Option<&[String]>, name: &str) -> Option<String> {
    let globs = filter?;
    (!globs.iter().any(|pattern| matches_pattern(pattern, name))).then(|| FILTERED.to_owned())
}

/// The form in which versions are rendered. Another number has every repository rendered anew by its next sync, though none
/// of its refs have changed.
const RENDERING: u8 = 1;

/// SHA-256 over everything that decides what a sync would do: when it is the same again, there is nothing to do.
pub fn digest(advertised: &RemoteRefs, repository: &Repository) -> String {
    let mut hasher = Sha256::new();
    hasher.update([RENDERING]);
    let default = advertised.default_branch().map_or("", |branch| branch.name.as_str());
    for part in [
        default,
        &repository.path,
        repository.tag_filter.as_deref().unwrap_or_default(),
        repository.branch_filter.as_deref().unwrap_or_default(),
    ] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    for (name, commit) in advertised.tags().chain(advertised.branches()) {
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(commit.as_bytes());
    }
    hex::encode(hasher.finalize())
}

/// What the registry has of a repository already.
#[derive(Debug, Default)]
pub struct PublishedState {
    refs: HashMap<String, RefRow>,
    versions: HashMap<String, LiveVersion>,
    /// What stays of versions whatever syncs find, those that are gone among them; by package and normalized version.
    histories: HashMap<(String, String), VersionHistory>,
    /// The same by normalized version alone: a package that is renamed is not released again.
    histories_of_any_name: HashMap<String, VersionHistory>,
    has_packages: bool,
}

impl PublishedState {
    /// Puts stored rows into the form that is asked below.
    pub fn new(refs: Vec<RefRow>, versions: Vec<LiveVersion>, packages: &[PackageState]) -> Self {
        let live = versions.iter().map(|version| (version.package_name.clone(), VersionHistory::from(version)));
        let former = packages
            .iter()
            .flat_map(|package| package.former.iter().map(|history| (package.name.clone(), history.clone())));
        let (mut histories, mut histories_of_any_name) = (HashMap::new(), HashMap::<String, VersionHistory>::new());
        for (package, history) in live.chain(former) {
            let of_any_name =
                histories_of_any_name.entry(history.normalized.clone()).or_insert_with(|| history.clone());
            if history.released.at < of_any_name.released.at {
                *of_any_name = history.clone();
            }
            histories.insert((package, history.normalized.clone()), history);
        }
        Self {
            histories,
            histories_of_any_name,
            has_packages: !packages.is_empty(),
            refs: refs.into_iter().map(|row| (row.name.clone(), row)).collect(),
            versions: versions.into_iter().map(|version| (version.source.as_str().to_owned(), version)).collect(),
        }
    }

    /// What is left of it when everything is looked at anew under another name.
    #[must_use]
    pub fn under_another_name(&self) -> Self {
        Self {
            histories: self.histories.clone(),
            histories_of_any_name: self.histories_of_any_name.clone(),
            has_packages: self.has_packages,
            ..Self::default()
        }
    }

    /// What stays of a version that was published before.
    fn history(&self, name: &PackageName, normalized: &NormalizedVersion) -> Option<&VersionHistory> {
        self.histories.get(&(name.as_str().to_owned(), normalized.as_str().to_owned()))
    }

    /// The same, whatever the package was called then.
    fn history_of_any_name(&self, name: &PackageName, normalized: &NormalizedVersion) -> Option<&VersionHistory> {
        self.history(name, normalized).or_else(|| self.histories_of_any_name.get(normalized.as_str()))
    }

    /// Which sync of the repository this one is: the first, as long as nothing was ever published from it.
    fn sync(&self) -> FirstSeenBy {
        if self.has_packages { FirstSeenBy::LaterSync } else { FirstSeenBy::FirstSync }
    }

    /// The commit that a tag was published from, if it has moved since.
    fn moved_from(&self, candidate: &Candidate) -> Option<&Reference> {
        let version = self.versions.get(&candidate.ref_name).filter(|_| candidate.ref_name.starts_with(TAGS))?;
        (version.reference != candidate.commit.to_hex().as_str()).then_some(&version.reference)
    }

    /// The version that `candidate` has become already, if it has not moved since.
    fn version(&self, candidate: &Candidate) -> Option<&LiveVersion> {
        let version = self.versions.get(&candidate.ref_name)?;
        (version.reference == candidate.commit.to_hex().as_str()).then_some(version)
    }

    /// Why `candidate` was skipped before, if it has not moved since and the reason lies in its commit alone. A tag
    /// that another one of the same version stood before (it has both a version and a reason) is looked at again, and
    /// so is a ref that was left out by filters which have changed meanwhile.
    fn skipped(&self, candidate: &Candidate) -> Option<&str> {
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
            .filter(|candidate| self.version(candidate).is_none() && self.skipped(candidate).is_none());
        for candidate in undecided {
            let place = *places.entry(candidate.commit).or_insert(wanted.len());
            if place == wanted.len() {
                wanted.push(WantedCommit { commit: candidate.commit, tags: Vec::new() });
            }
            wanted[place].tags.extend(candidate.tag);
        }
        wanted
    }

    /// The name that the default branch is published under, if it has not moved since.
    pub fn name_of(&self, default: &Candidate) -> Option<&str> {
        self.version(default).map(|version| version.package_name.as_str())
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

/// What a sync makes of the refs.
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything that is published from now on.
    pub versions: Vec<LiveVersion>,
    /// What of it is new or moved.
    pub upserts: Vec<VersionUpsert>,
    /// Its files.
    pub files: Vec<FileUpsert>,
    /// Every ref and what became of it.
    pub refs: Vec<RefRow>,
    /// What was left out.
    pub skipped: Vec<SkippedItem>,
    /// What is said of the refs that were looked at.
    pub remarks: Vec<RemarksOn>,
    /// Versions that were not there before.
    pub added: i64,
    /// Versions whose reference or manifest changed.
    pub changed: i64,
    /// Versions that are gone.
    pub removed: i64,
}

/// The version that a ref becomes.
struct Decided<'c> {
    version: LiveVersion,
    /// What was seen in its commit, when that had to be looked at.
    seen: Option<Seen<'c>>,
}

/// What was seen in a commit.
struct Seen<'c> {
    content: &'c Content,
    /// The package's name as the author wrote it, with upper case letters.
    misspelled_name: Option<String>,
}

/// What it takes to decide.
pub struct ChangePlanner<'a> {
    /// The package.
    pub name: &'a PackageName,
    /// The default branch's ref.
    pub default_ref: &'a str,
    /// What is there already.
    pub known: &'a PublishedState,
    /// What the commits hold.
    pub contents: &'a Contents,
    /// For new ids.
    pub entropy: &'a dyn Entropy,
    /// Now.
    pub now: Millis,
}

impl ChangePlanner<'_> {
    /// Decides what becomes of every candidate.
    pub fn plan(&self, candidates: &[Candidate]) -> Result<Changes, Fault> {
        let mut changes = Changes::default();
        let mut taken: HashMap<String, String> = HashMap::new();
        for candidate in candidates {
            match self.version_of(candidate) {
                Ok(decided) => {
                    let normalized = decided.version.normalized.clone();
                    if let Some(winner) = taken.get(&normalized) {
                        let reason = format!("{winner} is the same version and comes first");
                        changes.skip(candidate, Some(normalized), reason);
                    } else if taken.len() == MAX_VERSIONS {
                        let reason = format!("the package has {MAX_VERSIONS} versions already; use a filter");
                        changes.skip(candidate, Some(normalized), reason);
                    } else {
                        taken.insert(normalized, candidate.ref_name.clone());
                        self.take(&mut changes, candidate, decided)?;
                    }
                }
                Err(reason) => changes.skip(candidate, None, reason),
            }
        }
        let before: HashSet<&str> = self.known.versions.values().map(|version| version.normalized.as_str()).collect();
        let after: HashSet<&str> = changes.versions.iter().map(|version| version.normalized.as_str()).collect();
        changes.removed = i64::try_from(before.difference(&after).count()).unwrap_or(i64::MAX);
        changes.added = i64::try_from(after.difference(&before).count()).unwrap_or(i64::MAX);
        changes.changed = i64::try_from(changes.upserts.len()).unwrap_or(i64::MAX) - changes.added;
        Ok(changes)
    }

    /// The version that a candidate becomes.
    fn version_of(&self, candidate: &Candidate) -> Result<Decided<'_>, String> {
        if let Some(reason) = &candidate.rejected {
            return Err(reason.clone());
        }
        let is_default_branch = candidate.ref_name == self.default_ref;
        if let Some(version) = self.known.version(candidate) {
            return Ok(Decided { version: LiveVersion { is_default_branch, ..version.clone() }, seen: None });
        }
        if let Some(reason) = self.known.skipped(candidate) {
            return Err(reason.to_owned());
        }
        let content = self.contents.get(&candidate.commit).ok_or("its commit was not sent by the server")?;
        let bytes = content.manifest.as_ref().map_err(Clone::clone)?;
        let manifest = Manifest::parse_as(bytes, self.name).map_err(|error| error.to_string())?;
        let RefVersion { pretty, normalized } =
            ref_version(&candidate.ref_name, &manifest).map_err(|error| error.to_string())?;
        let history = self.known.history(self.name, &normalized);
        let dates = self.dates(candidate, &normalized, content);
        let version = LiveVersion {
            yanked: history.is_some_and(|history| history.yanked),
            hidden: history.is_some_and(|history| history.hidden),
            released: Released {
                at: dates.released_at,
                security_fix: history.is_some_and(|history| history.released.security_fix),
            },
            made_at: content.committed_at,
            published_at: dates.published_at,
            package_name: self.name.as_str().to_owned(),
            revision: 0,
            normalized: normalized.as_str().to_owned(),
            pretty,
            source: VersionSource::Ref(candidate.ref_name.clone()),
            reference: candidate.commit.to_hex().into(),
            is_default_branch,
            manifest: String::from_utf8_lossy(bytes).into_owned(),
            shasum: None,
        };
        let seen = Seen { content, misspelled_name: manifest.misspelled_name().map(str::to_owned) };
        Ok(Decided { version, seen: Some(seen) })
    }

    /// What operators should know of a ref that was looked at.
    fn remarks_on(&self, candidate: &Candidate, seen: &Seen<'_>) -> Vec<Remark> {
        let moved = self.known.moved_from(candidate).map(|old| {
            let new = candidate.commit.to_hex();
            let text = format!(
                "The tag was moved from commit {old} to {new} after it had been published. Lock files that name the old \
                 commit go on getting its zip."
            );
            Remark::new(RemarkKind::MovedTag, text)
        });
        let lower_cased = seen.misspelled_name.as_ref().map(|stated| {
            let text = format!(
                "composer.json calls the package {stated}. It is published as {}, because Composer asks for packages in \
                 lower case.",
                self.name
            );
            Remark::new(RemarkKind::LowerCasedName, text)
        });
        moved.into_iter().chain(lower_cased).collect()
    }

    /// The dates of a version that is new or has moved.
    fn dates(&self, candidate: &Candidate, normalized: &NormalizedVersion, content: &Content) -> VersionDates {
        let history = self.known.history_of_any_name(self.name, normalized);
        let unmoved = history.filter(|history| history.reference == candidate.commit.to_hex().as_str());
        let released = history.filter(|_| candidate.ref_name.starts_with(TAGS)).or(unmoved);
        let of_new_ref = || {
            let tagged_at = candidate.tag.and_then(|tag| self.contents.tagged_at(&tag));
            let dates = RefDates { tagged_at, committed_at: content.committed_at };
            released::of_new_ref(dates, self.known.sync(), self.now)
        };
        let released_at = released.map_or_else(of_new_ref, |history| history.released.at);
        VersionDates { released_at, published_at: unmoved.map_or(self.now, |history| history.published_at) }
    }

    fn take(
        &self,
        changes: &mut Changes,
        candidate: &Candidate,
        Decided { version, seen }: Decided<'_>,
    ) -> Result<(), Fault> {
        changes.refs.push(RefRow {
            name: candidate.ref_name.clone(),
            reference: version.reference.to_string(),
            version: Some(version.normalized.clone()),
            reason: None,
        });
        if let Some(seen) = seen {
            let remarks = self.remarks_on(candidate, &seen);
            changes.remarks.push(RemarksOn { subject: candidate.ref_name.clone(), remarks });
            changes.files.extend(seen.content.files.iter().map(|file| FileUpsert {
                package: version.package_name.clone(),
                normalized: version.normalized.clone(),
                kind: file.kind,
                name: file.name.clone(),
                text_sha256: file.sha256.clone(),
            }));
            changes.upserts.push(VersionUpsert {
                package: version.package_name.clone(),
                uid: new_uid(self.entropy, self.now)?,
                normalized: version.normalized.clone(),
                pretty: version.pretty.clone(),
                source: version.source.clone(),
                reference: version.reference.clone(),
                manifest: version.manifest.clone(),
                released_at: version.released.at,
                made_at: version.made_at,
                published_at: version.published_at,
            });
        }
        changes.versions.push(version);
        Ok(())
    }
}

/// The dates of a version that is new or has moved.
struct VersionDates {
    /// When it was released.
    released_at: Millis,
    /// When what it is now was first published here.
    published_at: Millis,
}

impl Changes {
    /// The remarks one by one.
    pub fn listed_remarks(&self) -> Vec<RefRemark> {
        let of = |on: &RemarksOn| {
            let ref_name = on.subject.clone();
            on.remarks.clone().into_iter().map(move |remark| RefRemark { ref_name: ref_name.clone(), remark })
        };
        self.remarks.iter().flat_map(of).collect()
    }

    fn skip(&mut self, candidate: &Candidate, version: Option<String>, reason: String) {
        self.skipped.push(SkippedItem { name: candidate.ref_name.clone(), reason: reason.clone() });
        self.remarks.push(RemarksOn { subject: candidate.ref_name.clone(), remarks: Vec::new() });
        self.refs.push(RefRow {
            name: candidate.ref_name.clone(),
            reference: candidate.commit.to_hex(),
            version,
            reason: Some(reason),
        });
    }
}

fn ref_version(ref_name: &str, manifest: &Manifest) -> Result<RefVersion, composer::InvalidRef> {
    match ref_name.strip_prefix(TAGS) {
        Some(tag) => version_of_tag(tag, manifest),
        None => version_of_branch(ref_name.strip_prefix(BRANCHES).unwrap_or(ref_name)),
    }
}

/// The default branch's name for people.
pub fn short_ref_name(ref_name: &str) -> &str {
    ref_name.strip_prefix(BRANCHES).unwrap_or(ref_name)
}

/// Whether a composer.json says which package it is; the name, or why it cannot be published.
pub fn package_name(content: &Content) -> Result<PackageName, String> {
    let bytes = content.manifest.as_ref().map_err(Clone::clone)?;
    let manifest = Manifest::parse(bytes).map_err(|error| error.to_string())?;
    manifest.name().cloned().ok_or_else(|| "its composer.json has no name".to_owned())
}
