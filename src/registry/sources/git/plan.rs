//! From refs to versions: which refs have to be looked at, and what each becomes.

use std::collections::{HashMap, HashSet};

use composer::{Manifest, NormalizedVersion, PackageName, RefVersion, Reference, version_of_branch, version_of_tag};

use crate::ports::{Entropy, Fault, Millis};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::released::{self, FirstSeenBy, RefDates};
use crate::registry::sources::git::candidates::{Candidate, FILTERED, TAGS, TagMoves};
use crate::registry::sources::git::contents::{Content, Contents, WantedCommit};
use crate::registry::sources::git::naming::NamedBy;
use crate::store::access::released::Released;
use crate::store::packages::publication::{FileUpsert, VersionUpsert};
use crate::store::packages::remarks::{RefRemark, Remark, RemarkKind, RemarksOn};
use crate::store::packages::state::{LiveVersion, PackageState, VersionHistory};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::refs::RefRow;
use crate::store::sources::sync_runs::SkippedItem;

/// Most versions of one package: their manifests are in memory together when it is rendered, some 5 kB each.
const MAX_VERSIONS: usize = 5000;

/// A tag that points to another commit than the one that its version was published from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTag {
    /// The package.
    pub package: String,
    /// The version, as people read it.
    pub version: String,
    /// The ref's full name.
    pub ref_name: String,
    /// The commit that it was published from.
    pub from: String,
    /// The commit that it points to.
    pub to: String,
    /// Whether the version is that commit's from now on.
    pub is_followed: bool,
}

/// What the registry has of a repository already.
#[derive(Debug, Default)]
pub struct PublishedState {
    moves: TagMoves,
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
    pub fn new(refs: Vec<RefRow>, versions: Vec<LiveVersion>, packages: &[PackageState], moves: TagMoves) -> Self {
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
            moves,
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
            moves: self.moves,
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

    /// The commit that the version of a tag was published from, if that is another one.
    fn moved_from(&self, candidate: &Candidate, name: &str) -> Option<&Reference> {
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
    fn pinned(&self, candidate: &Candidate) -> Option<&LiveVersion> {
        let version = self.versions.get(&candidate.ref_name).filter(|_| self.moves == TagMoves::Refused)?;
        let has_moved = self.moved_from(candidate, &version.package_name).is_some();
        (has_moved && candidate.is_named(version)).then_some(version)
    }

    /// Whether the last sync has seen `candidate` where it is.
    fn was_seen_there(&self, candidate: &Candidate) -> bool {
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
    /// Tags that were seen at another commit for the first time.
    pub moved: Vec<MovedTag>,
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
    /// What its commit holds, when that had to be looked at.
    seen: Option<&'c Content>,
}

/// Why a ref becomes no version.
struct Refusal {
    /// The version that it would be, when the reason does not lie in its commit alone.
    version: Option<String>,
    reason: String,
}

impl<R: Into<String>> From<R> for Refusal {
    fn from(reason: R) -> Self {
        Self { version: None, reason: reason.into() }
    }
}

/// What it takes to decide.
pub struct ChangePlanner<'a> {
    /// The package.
    pub name: &'a PackageName,
    /// What names it.
    pub named_by: NamedBy,
    /// The default branch's ref.
    pub default_ref: Option<&'a str>,
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
                Err(Refusal { version, reason }) => changes.skip(candidate, version, reason),
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
    fn version_of(&self, candidate: &Candidate) -> Result<Decided<'_>, Refusal> {
        if let Some(reason) = &candidate.rejected {
            return Err(reason.clone().into());
        }
        let is_default_branch = self.default_ref == Some(candidate.ref_name.as_str());
        if let Some(version) = self.known.version(candidate) {
            return Ok(Decided { version: LiveVersion { is_default_branch, ..version.clone() }, seen: None });
        }
        if let Some(version) = self.known.pinned(candidate) {
            return Ok(Decided { version: version.clone(), seen: None });
        }
        self.refuse_withdrawn(candidate)?;
        if let Some(reason) = self.known.skipped(candidate) {
            return Err(reason.to_owned().into());
        }
        self.look_at(candidate, is_default_branch)
    }

    /// Refuses a tag that was deleted and made again at another commit, where moved tags are not followed.
    fn refuse_withdrawn(&self, candidate: &Candidate) -> Result<(), Refusal> {
        if self.known.moves == TagMoves::Followed || self.known.versions.contains_key(&candidate.ref_name) {
            return Ok(());
        }
        let Some(old) = self.known.moved_from(candidate, self.name.as_str()) else { return Ok(()) };
        Err(Refusal {
            // So that it is looked at again when the setting changes.
            version: candidate.tagged_version().map(|version| version.as_str().to_owned()),
            reason: format!(
                "the tag was published from commit {old}, deleted, and made again at another one, which the setting \
                 immutable_tags does not follow; tag another version"
            ),
        })
    }

    /// The version that a candidate becomes by what its commit holds.
    fn look_at(&self, candidate: &Candidate, is_default_branch: bool) -> Result<Decided<'_>, Refusal> {
        let content = self.contents.get(&candidate.commit).ok_or("its commit was not sent by the server")?;
        let bytes = content.manifest.as_ref().map_err(Clone::clone)?;
        let manifest = Manifest::parse_as(bytes, self.name).map_err(|error| error.to_string())?;
        let RefVersion { pretty, normalized } = ref_version(candidate, &manifest).map_err(|error| error.to_string())?;
        if self.named_by == NamedBy::Refs && manifest.name() != Some(self.name) {
            return Err(self.named_otherwise(&manifest, &normalized));
        }
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
        Ok(Decided { version, seen: Some(content) })
    }

    /// Why a ref of another name is skipped when the default branch names none.
    fn named_otherwise(&self, manifest: &Manifest, normalized: &NormalizedVersion) -> Refusal {
        let stated = manifest.name().map_or("no package".to_owned(), |name| format!("the package {name}"));
        Refusal {
            // So that it is looked at again once the default branch names the package.
            version: Some(normalized.as_str().to_owned()),
            reason: format!(
                "its composer.json names {stated}, and the repository publishes {}, which most of its refs name; a \
                 composer.json with a name on the default branch would name them all",
                self.name
            ),
        }
    }

    /// The move of a candidate's tag, unless an earlier sync has seen and refused it.
    fn move_of(&self, candidate: &Candidate, decided: &Decided<'_>) -> Option<MovedTag> {
        let is_followed = decided.seen.is_some();
        if !is_followed && self.known.was_seen_there(candidate) {
            return None;
        }
        let from = self.known.moved_from(candidate, &decided.version.package_name)?;
        Some(MovedTag {
            package: decided.version.package_name.clone(),
            version: decided.version.pretty.to_string(),
            ref_name: candidate.ref_name.clone(),
            from: from.to_string(),
            to: candidate.commit.to_hex(),
            is_followed,
        })
    }

    /// What operators should know of a ref that was looked at.
    fn remarks_on(&self, decided: &Decided<'_>, moved: Option<&MovedTag>) -> Vec<Remark> {
        let moved = moved.map(|MovedTag { from, to, is_followed, .. }| {
            let consequence = if *is_followed {
                "Lock files that name the old commit go on getting its zip."
            } else {
                "The version stays what it was, because of the setting immutable_tags."
            };
            let text =
                format!("The tag was moved from commit {from} to {to} after it had been published. {consequence}");
            Remark::new(RemarkKind::MovedTag, text)
        });
        let manifest = Manifest::parse_as(decided.version.manifest.as_bytes(), self.name).ok();
        let lower_cased = manifest.as_ref().and_then(Manifest::misspelled_name).map(|stated| {
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

    fn take(&self, changes: &mut Changes, candidate: &Candidate, decided: Decided<'_>) -> Result<(), Fault> {
        let moved = self.move_of(candidate, &decided);
        if decided.seen.is_some() || moved.is_some() {
            let remarks = self.remarks_on(&decided, moved.as_ref());
            changes.remarks.push(RemarksOn { subject: candidate.ref_name.clone(), remarks });
        }
        changes.moved.extend(moved);
        let Decided { version, seen } = decided;
        changes.refs.push(RefRow {
            name: candidate.ref_name.clone(),
            reference: candidate.commit.to_hex(),
            version: Some(version.normalized.clone()),
            reason: None,
        });
        if let Some(content) = seen {
            changes.files.extend(content.files.iter().map(|file| FileUpsert {
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

fn ref_version(candidate: &Candidate, manifest: &Manifest) -> Result<RefVersion, composer::InvalidRef> {
    if candidate.ref_name.starts_with(TAGS) {
        version_of_tag(&candidate.name, manifest)
    } else {
        version_of_branch(&candidate.name)
    }
}
