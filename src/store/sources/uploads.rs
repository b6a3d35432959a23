//! Uploaded zips: the organization's repository for them, the version that a zip becomes, and the zip itself.

use composer::PrettyVersion;
use serde::Deserialize;

use crate::ports::{Millis, Stmt};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::NewArtifact;
use crate::store::{OrganizationId, Query};

/// `repositories.url` of the organization's repository of uploaded zips: there is one.
pub const UPLOADS_URL: &str = "artifact:uploads";

/// Primary key of a row.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Id {
    /// Primary key.
    pub id: i64,
}

/// Finds the organization's repository of uploaded zips.
pub fn repository(organization: OrganizationId) -> Query<Option<Id>> {
    Query::one(
        "SELECT id FROM repositories WHERE organization_id = ?1 AND kind = 'artifact' ORDER BY id LIMIT 1",
        [organization.into()],
    )
}

/// Makes the organization's repository of uploaded zips, unless there is one.
pub fn insert_repository(organization: OrganizationId, uid: &str, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO repositories (uid, organization_id, kind, provider, url, created_at)
         VALUES (?2, ?1, 'artifact', 'artifact', ?4, ?3)",
        [organization.into(), uid.into(), now.into(), UPLOADS_URL.into()],
    )
}

/// A version that is there already.
#[derive(Debug, Clone, Deserialize)]
pub struct ExistingVersion {
    /// Public id.
    pub uid: String,
    /// Where it comes from: an upload, or what else it was while the package was an upstream's.
    #[serde(rename = "ref_name")]
    pub source: VersionSource,
    /// The version as it is published.
    pub pretty: PrettyVersion,
    /// SHA-256 of its zip, when there is one.
    pub sha256: Option<String>,
}

/// Finds a version of a package, whatever has become of it.
pub fn taken(organization: OrganizationId, name: &str, normalized: &str) -> Query<Option<ExistingVersion>> {
    Query::one(
        "SELECT v.uid, v.ref_name, v.pretty, d.artifact_sha256 AS sha256
           FROM packages p JOIN versions v ON v.package_id = p.id
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
          WHERE p.organization_id = ?1 AND p.name = ?2 AND v.normalized = ?3",
        [organization.into(), name.into(), normalized.into()],
    )
}

/// Notes the reference of an uploaded version together with its zip. It may have had the same before.
pub fn insert_dist(organization: OrganizationId, package: &str, normalized: &str, sha256: &str, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO dists (version_id, reference, artifact_sha256, created_at)
         SELECT v.id, v.reference, ?4, ?5 FROM versions v JOIN packages p ON p.id = v.package_id
          WHERE p.organization_id = ?1 AND p.name = ?2 AND v.normalized = ?3
         ON CONFLICT (version_id, reference) DO UPDATE SET artifact_sha256 = excluded.artifact_sha256, error = NULL",
        [organization.into(), package.into(), normalized.into(), sha256.into(), now.into()],
    )
}

// Across organizations: a zip belongs to whatever content it has.

/// Announces a zip before it is stored, so that what is stored is always known to the database, and not removed as
/// long as it is young. Not done when the same zip is just being removed.
pub fn announce_zip(artifact: &NewArtifact, now: Millis) -> Query<bool> {
    Query::any(
        "INSERT INTO artifacts (sha256, sha1, size, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (sha256) DO UPDATE SET created_at = excluded.created_at, unreferenced_since = NULL
          WHERE doomed_at IS NULL
         RETURNING size",
        [artifact.sha256.as_str().into(), artifact.sha1.as_str().into(), artifact.size.into(), now.into()],
    )
}

/// The statement that aborts its batch when an announced zip is not there any more. See `publication::guard_revision`
/// for how.
pub fn guard_announced(sha256: &str) -> Stmt {
    Stmt::new(
        "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1 AND doomed_at IS NULL)
             THEN json('the zip was removed meanwhile') END AS guard",
        [sha256.into()],
    )
}
