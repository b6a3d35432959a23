//! A package and its versions as whoever is about to write them needs them.

use std::sync::Arc;

use composer::{PrettyVersion, Reference, Shasum};
use serde::Deserialize;

use crate::ports::Millis;
use crate::store::access::released::Released;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::packages::version_index;
use crate::store::packages::version_source::VersionSource;
use crate::store::{OrganizationId, Query, flag, json_text};

/// A published version, as rendering needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct LiveVersion {
    /// The package's name.
    pub package_name: String,
    /// The package's revision when it was read.
    pub revision: i64,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// Where it comes from.
    #[serde(rename = "ref_name")]
    pub source: VersionSource,
    /// Commit id.
    pub reference: Reference,
    /// Whether it is the default branch.
    #[serde(deserialize_with = "flag")]
    pub is_default_branch: bool,
    /// composer.json.
    pub manifest: Arc<str>,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether that is open until it is listed: it counts as released then.
    #[serde(deserialize_with = "flag")]
    pub released_when_shown: bool,
    /// Whether what it is now has ever been listed.
    #[serde(deserialize_with = "flag")]
    pub was_shown: bool,
    /// When its files were made: the date of its commit, or when they were uploaded.
    pub made_at: Millis,
    /// When what it is now was first published here.
    pub published_at: Millis,
    /// SHA-1 of its zip, once that is built.
    pub shasum: Option<Shasum>,
    /// SHA-1 that is promised of the zip that its composer.json names; empty promises nothing.
    pub promised_shasum: Option<Shasum>,
    /// Why there will never be a zip of it.
    pub dist_error: Option<String>,
    /// Whether an operator took it out of the metadata.
    #[serde(deserialize_with = "flag")]
    pub yanked: bool,
    /// Whether it is hidden from everybody, its zip too.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
}

impl LiveVersion {
    /// Whether it is in the metadata, unless its package is hidden.
    pub fn is_listed(&self) -> bool {
        !self.yanked && !self.hidden
    }
}

macro_rules! live_columns {
    () => {
        "SELECT p.name AS package_name, p.revision, v.normalized, v.pretty, v.ref_name, v.reference, v.is_default_branch,
                v.manifest, v.released_at, v.security_fix_at IS NOT NULL AS security_fix, v.released_when_shown,
                v.told_at IS NOT NULL AND NOT v.released_when_shown AS was_shown, v.made_at, v.published_at,
                a.sha1 AS shasum, d.upstream_shasum AS promised_shasum, d.error AS dist_error,
                v.yanked_at IS NOT NULL AS yanked,
                v.hidden_at IS NOT NULL AS hidden
           FROM packages p
           JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256"
    };
}

/// What of a version stays when it is gone and comes back, or moves to another commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VersionHistory {
    /// What Composer compares.
    pub normalized: String,
    /// What it was.
    pub reference: Reference,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether that is open until it is listed.
    #[serde(deserialize_with = "flag")]
    pub released_when_shown: bool,
    /// When what it was was first published here.
    pub published_at: Millis,
    /// Whether an operator took it out of the metadata.
    #[serde(deserialize_with = "flag")]
    pub yanked: bool,
    /// Whether it is hidden from everybody.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
}

impl From<&LiveVersion> for VersionHistory {
    fn from(version: &LiveVersion) -> Self {
        Self {
            normalized: version.normalized.clone(),
            reference: version.reference.clone(),
            released: version.released,
            released_when_shown: version.released_when_shown,
            published_at: version.published_at,
            yanked: version.yanked,
            hidden: version.hidden,
        }
    }
}

/// The git repository of a package, as its metadata tells of it; that of uploaded zips has no address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PackageSource {
    /// Where it is.
    #[serde(rename = "source_url")]
    pub url: String,
    /// The package's sub-directory, or empty.
    #[serde(rename = "source_path")]
    pub path: String,
    /// The host's kind.
    #[serde(rename = "source_provider")]
    pub provider: String,
    /// The form of its address that developers are shown.
    #[serde(rename = "source_protocol")]
    pub protocol: SourceProtocol,
    /// JSON of what its FUNDING.yml says (`registry::packages::support`); `None` while nobody has looked.
    #[serde(rename = "source_funding")]
    pub funding: Option<String>,
}

/// A package as whoever is about to write it needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct PackageState {
    /// Primary key.
    pub id: i64,
    /// The organization.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// Unix seconds.
    pub revision: i64,
    /// Primary key of the repository it comes from.
    pub repository_id: i64,
    /// What the repository is.
    pub kind: RepositoryKind,
    /// The repository, as metadata tells of it.
    #[serde(flatten)]
    pub source: PackageSource,
    /// What the operator says: `true`, `false` or the replacement's name.
    pub abandoned_override: Option<String>,
    /// What its repository calls its package now, when this is a former name; it keeps the versions that it had then.
    pub renamed_to: Option<String>,
    /// What the operator says in place of composer.json's.
    pub description_override: Option<String>,
    /// Its version index (`registry::access::view`); `None` when lists show no version of it.
    #[serde(deserialize_with = "version_index")]
    pub version_index: Option<String>,
    /// Whether it is hidden from everybody.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
    /// The tags that are gone, whatever else is gone that was marked by hand, and what waits for its zip with a date that was
    /// stated: what stays when they come back. Of a former name, which may come back too, those that are there.
    #[serde(deserialize_with = "json_text")]
    pub former: Vec<VersionHistory>,
}

impl PackageState {
    /// What is said in place of composer.json of its being abandoned: by the operator, else by its new name.
    pub fn abandoned(&self) -> Option<&str> {
        self.abandoned_override.as_deref().or(self.renamed_to.as_deref())
    }
}

macro_rules! state_columns {
    () => {
        "SELECT p.id, p.organization_id, p.uid, p.name, p.revision, p.repository_id, r.kind, r.url AS source_url,
                r.path AS source_path, r.provider AS source_provider, r.source_protocol, r.funding AS source_funding,
                p.abandoned_override, p.renamed_to, p.description_override, p.version_index,
                p.hidden_at IS NOT NULL AS hidden,
                (SELECT json_group_array(json_object(
                          'normalized', v.normalized, 'reference', v.reference, 'released_at', v.released_at,
                          'security_fix', v.security_fix_at IS NOT NULL,
                          'released_when_shown', v.released_when_shown, 'published_at', v.published_at,
                          'yanked', v.yanked_at IS NOT NULL, 'hidden', v.hidden_at IS NOT NULL))
                   FROM versions v
                  WHERE v.package_id = p.id AND coalesce(v.removed_at, p.renamed_to) IS NOT NULL
                    AND (v.ref_name LIKE 'refs/tags/%' OR v.ref_name = 'awaited' AND NOT v.released_when_shown
                         OR coalesce(v.yanked_at, v.hidden_at, v.security_fix_at) IS NOT NULL)) AS former
           FROM packages p JOIN repositories r ON r.id = p.repository_id"
    };
}

/// Reads a package by its public id or its name, and its versions.
pub fn state(organization: OrganizationId, key: &str) -> (Query<Option<PackageState>>, Query<Vec<LiveVersion>>) {
    let args = || [organization.into(), key.into()];
    (
        Query::one(
            concat!(state_columns!(), " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = lower(?2))"),
            args(),
        ),
        Query::all(
            concat!(live_columns!(), " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = lower(?2))"),
            args(),
        ),
    )
}

/// A package's name and revision.
#[derive(Debug, Clone, Deserialize)]
pub struct NameAndRevision {
    /// `vendor/package`.
    pub name: String,
    /// Unix seconds.
    pub revision: i64,
}

/// Reads the packages `names` (a JSON array) as [`NameAndRevision`]s.
pub fn revisions(organization: OrganizationId, names: String) -> Query<Vec<NameAndRevision>> {
    Query::all(
        "SELECT p.name, p.revision FROM json_each(?2) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value",
        [organization.into(), names.into()],
    )
}

/// Reads the listed packages of a repository.
pub fn listed_names(organization: OrganizationId, repository_id: i64) -> Query<Vec<NameAndRevision>> {
    Query::all(
        "SELECT p.name, p.revision FROM packages p
          WHERE p.organization_id = ?1 AND p.repository_id = ?2 AND p.version_index <> '[]'",
        [organization.into(), repository_id.into()],
    )
}

/// Whether a repository other than this one publishes a package, which none may take from it; an upstream's it may.
pub fn is_taken(organization: OrganizationId, name: &str, repository_id: i64) -> Query<bool> {
    Query::any(
        "SELECT 1 FROM packages p JOIN repositories r ON r.id = p.repository_id
          WHERE p.organization_id = ?1 AND p.name = ?2 AND p.repository_id <> ?3 AND r.kind <> 'composer'",
        [organization.into(), name.into(), repository_id.into()],
    )
}

// Across organizations: a job names a repository by its primary key.

/// Reads the versions of all packages of a repository, the yanked and hidden ones too, but not those of former names.
pub fn live_versions(repository_id: i64) -> Query<Vec<LiveVersion>> {
    Query::all(concat!(live_columns!(), " WHERE p.repository_id = ?1 AND p.renamed_to IS NULL"), [repository_id.into()])
}

/// Reads the packages that a repository ever published.
pub fn of_repository(repository_id: i64) -> Query<Vec<PackageState>> {
    Query::all(concat!(state_columns!(), " WHERE p.repository_id = ?1"), [repository_id.into()])
}
