//! The refs of a repository that may become versions, and what their names alone say.

use composer::{NormalizedVersion, normalize_tag, version_of_branch};
use git::{ObjectId, RemoteRefs};
use sha2::{Digest, Sha256};

use crate::json::read_text;
use crate::registry::kernel::pattern::matches_pattern;
use crate::store::packages::state::LiveVersion;
use crate::store::sources::repositories::Repository;

const BRANCHES: &str = "refs/heads/";

/// What the full names of tags begin with.
pub const TAGS: &str = "refs/tags/";

/// Why a ref that the repository's filters leave out is skipped.
pub const FILTERED: &str = "no filter of the repository takes it";

/// A ref of the repository that may become a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Full name.
    pub ref_name: String,
    /// Its commit.
    pub commit: ObjectId,
    /// The annotated tag that it points to, if it is one.
    pub tag: Option<ObjectId>,
    /// The name that its version is read from: without `refs/…/`, and without the repository's prefix of tags.
    pub name: String,
    /// Why its name alone rules it out.
    pub rejected: Option<String>,
}

impl Candidate {
    /// What its name alone says of the version of a tag.
    pub fn tagged_version(&self) -> Option<NormalizedVersion> {
        self.ref_name.starts_with(TAGS).then(|| normalize_tag(&self.name).ok())?
    }

    /// Whether its name still is that of a version that was made of it: the repository's prefix of tags may have changed.
    pub fn is_named(&self, version: &LiveVersion) -> bool {
        self.tagged_version().is_none_or(|tagged| tagged.as_str() == version.normalized)
    }
}

/// The refs that a repository's owner wants as versions, in the order in which they are taken: the first of two tags
/// of one version wins, as in Composer.
pub fn candidates(advertised: &RemoteRefs, repository: &Repository) -> Vec<Candidate> {
    let tag_filter = globs(repository.tag_filter.as_deref());
    let branch_filter = globs(repository.branch_filter.as_deref());
    let prefix = repository.tag_prefix.as_deref().unwrap_or_default();
    let tags = advertised.tag_refs().map(|(tag_name, tag)| {
        let name = tag_name.strip_prefix(prefix);
        let ruled_out = filtered(tag_filter.as_deref(), tag_name).or_else(|| match name {
            Some(name) => normalize_tag(name).err().map(|error| error.to_string()),
            None => Some(format!("it does not begin with {prefix:?}, as the package's tags do (tag_prefix)")),
        });
        let (commit, tag) = (tag.commit_id(), tag.annotated_tag());
        let name = name.unwrap_or(tag_name).to_owned();
        Candidate { ref_name: format!("{TAGS}{tag_name}"), commit, tag, name, rejected: ruled_out }
    });
    let branches = advertised.branches().map(|(name, commit)| {
        let ruled_out =
            filtered(branch_filter.as_deref(), name).or_else(|| version_of_branch(name).err().map(|e| e.to_string()));
        Candidate {
            ref_name: format!("{BRANCHES}{name}"),
            commit,
            tag: None,
            name: name.to_owned(),
            rejected: ruled_out,
        }
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
pub fn digest(advertised: &RemoteRefs, repository: &Repository, moves: TagMoves) -> String {
    let mut hasher = Sha256::new();
    hasher.update([RENDERING, u8::from(moves == TagMoves::Refused)]);
    let default = advertised.default_branch().map_or("", |branch| branch.name.as_str());
    for part in [
        default,
        &repository.provider,
        repository.source_protocol.as_str(),
        &repository.path,
        repository.tag_prefix.as_deref().unwrap_or_default(),
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

/// What becomes of a version whose tag moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagMoves {
    /// It is the new commit's.
    #[default]
    Followed,
    /// It stays the old commit's: the setting `immutable_tags`.
    Refused,
}

/// The default branch's name for people.
pub fn short_ref_name(ref_name: &str) -> &str {
    ref_name.strip_prefix(BRANCHES).unwrap_or(ref_name)
}
