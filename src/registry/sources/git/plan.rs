//! From refs to versions: which refs have to be looked at, and what each becomes.

use std::collections::{HashMap, HashSet};

use composer::{Manifest, NormalizedVersion, PackageName, RefVersion, version_of_branch, version_of_tag};

use crate::ports::{Entropy, Fault, Millis};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::released::{self, RefDates};
use crate::registry::sources::git::candidates::{Candidate, TAGS, TagMoves};
use crate::registry::sources::git::contents::{Content, Contents};
use crate::registry::sources::git::naming::NamedBy;
use crate::registry::sources::git::published::PublishedState;
use crate::registry::sources::git::stated_dist::{stated_dist, unusable_dist};
use crate::store::access::released::Released;
use crate::store::packages::publication::{FileUpsert, UpstreamDist, VersionUpsert};
use crate::store::packages::remarks::{RefRemark, Remark, RemarkKind, RemarksOn};
use crate::store::packages::state::LiveVersion;
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

/// What a sync makes of the refs.
#[derive(Debug, Default)]
pub struct Changes {
    /// Everything that is published from now on.
    pub versions: Vec<LiveVersion>,
    /// What of it is new or moved.
    pub upserts: Vec<VersionUpsert>,
    /// Its files.
    pub files: Vec<FileUpsert>,
    /// The zips that it names itself.
    pub dists: Vec<UpstreamDist>,
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
    /// What the package was called before.
    pub former_names: Vec<&'a str>,
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
        let text = content.manifest.as_ref().map_err(Clone::clone)?;
        let manifest = Manifest::parse_as(text.as_bytes(), self.name).map_err(|error| error.to_string())?;
        let RefVersion { pretty, normalized } = ref_version(candidate, &manifest).map_err(|error| error.to_string())?;
        if self.named_by == NamedBy::Refs && manifest.name() != Some(self.name) {
            return Err(self.named_otherwise(&manifest, &normalized));
        }
        let history = self.known.history(self.name, &normalized);
        let dates = self.dates(candidate, &normalized, content);
        let version = LiveVersion {
            yanked: history.is_some_and(|history| history.yanked),
            hidden: self.known.is_hidden(self.name, &normalized),
            released: Released {
                at: dates.released_at,
                security_fix: history.is_some_and(|history| history.released.security_fix),
            },
            released_when_shown: dates.released_when_shown,
            was_shown: false,
            made_at: content.committed_at,
            published_at: dates.published_at,
            package_name: self.name.as_str().to_owned(),
            revision: 0,
            normalized: normalized.as_str().to_owned(),
            pretty,
            source: VersionSource::Ref(candidate.ref_name.clone()),
            reference: candidate.commit.to_hex().into(),
            is_default_branch,
            manifest: text.clone(),
            shasum: None,
            promised_shasum: None,
            dist_error: None,
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
        let renamed = decided.version.is_default_branch.then(|| self.renamed()).flatten();
        moved.into_iter().chain(lower_cased).chain(renamed).collect()
    }

    /// What is said of the default branch when the package had other names before.
    fn renamed(&self) -> Option<Remark> {
        let text = format!(
            "The package was called {} before. What was published under that name stays, abandoned in favour of {}.",
            self.former_names.join(" and "),
            self.name
        );
        (!self.former_names.is_empty()).then(|| Remark::new(RemarkKind::Renamed, text))
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
        let stated =
            released.map_or_else(of_new_ref, |history| (!history.released_when_shown).then_some(history.released.at));
        VersionDates {
            released_at: stated.unwrap_or(self.now),
            released_when_shown: stated.is_none(),
            published_at: unmoved.map_or(self.now, |history| history.published_at),
        }
    }

    fn take(&self, changes: &mut Changes, candidate: &Candidate, mut decided: Decided<'_>) -> Result<(), Fault> {
        let stated = decided.seen.is_some().then(|| stated_dist(self.name, &decided.version)).flatten();
        decided.version.promised_shasum =
            decided.version.promised_shasum.or_else(|| stated.as_ref()?.as_ref().ok().map(|dist| dist.shasum.clone()));
        let moved = self.move_of(candidate, &decided);
        if decided.seen.is_some() || moved.is_some() {
            let unusable = stated.as_ref().and_then(|stated| stated.as_ref().err()).map(|reason| unusable_dist(reason));
            let remarks = self.remarks_on(&decided, moved.as_ref()).into_iter().chain(unusable).collect();
            changes.remarks.push(RemarksOn { subject: candidate.ref_name.clone(), remarks });
        }
        changes.moved.extend(moved);
        changes.dists.extend(stated.and_then(Result::ok));
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
                released_when_shown: version.released_when_shown,
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
    /// Whether that is open until it is listed.
    released_when_shown: bool,
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
