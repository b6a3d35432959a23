//! `artifacts` as operators see them: which zips there are, who needs them, and the removal of those that nobody needs.

use composer::{PrettyVersion, Shasum};
use serde::Deserialize;
use serde_json::json;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::access::released::Released;
use crate::store::kernel::name_range::NameRange;
use crate::store::{OrganizationId, Page, Query, json_text};

/// A version that needs a zip.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Use {
    /// The package.
    pub name: String,
    /// The version as people read it.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
}

/// A zip.
#[derive(Debug, Clone, Deserialize)]
pub struct ArtifactRow {
    /// SHA-256, lowercase hex.
    pub sha256: String,
    /// SHA-1, lowercase hex.
    pub sha1: Shasum,
    /// Bytes.
    pub size: i64,
    /// When it was stored, or uploaded again.
    pub created_at: Millis,
    /// JSON array of [`Use`]s.
    #[serde(deserialize_with = "json_text")]
    pub uses: Vec<Use>,
}

macro_rules! artifact_filter {
    () => {
        " FROM artifacts a
         WHERE a.doomed_at IS NULL
           AND CASE
             WHEN ?3 THEN NOT EXISTS (SELECT 1 FROM dists d WHERE d.artifact_sha256 = a.sha256)
             ELSE EXISTS (SELECT 1 FROM dists d JOIN versions v ON v.id = d.version_id
                            JOIN packages p ON p.id = v.package_id
                           WHERE d.artifact_sha256 = a.sha256 AND p.organization_id = ?1
                             AND v.hidden_at IS NULL AND p.hidden_at IS NULL AND (?2 IS NULL OR p.name = lower(?2))
                             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(?4) t
                                                         WHERE p.name BETWEEN t.value ->> 0 AND t.value ->> 1)))
           END"
    };
}

/// Which zips a list holds.
#[derive(Debug, Clone, Copy)]
pub enum ArtifactFilter<'a> {
    /// Those that some version needs.
    Used,
    /// Those that a version of this package needs.
    UsedBy(&'a str),
    /// Those that nobody needs, which are about to be removed.
    Unused,
}

/// A page of the zips, the latest first, and how many there are in all; with `ranges` (a JSON array of pairs) of those alone
/// that a version of a package needs whose name lies in one of them.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    filter: ArtifactFilter<'_>,
    ranges: Option<String>,
    page: Page,
) -> Result<(Vec<ArtifactRow>, i64), DatabaseError> {
    let (package, unused) = match filter {
        ArtifactFilter::Used => (None, false),
        ArtifactFilter::UsedBy(package) => (Some(package), false),
        ArtifactFilter::Unused => (None, true),
    };
    let args = [organization.into(), package.into(), unused.into(), ranges.into()];
    let mut paged = args.to_vec();
    paged.extend([page.limit.into(), page.offset.into()]);
    let batch = (
        Query::all(
            concat!(
                "SELECT a.sha256, a.sha1, a.size, a.created_at,
                        (SELECT json_group_array(json_object('name', p.name, 'pretty', v.pretty,
                                'normalized', v.normalized, 'released_at', v.released_at,
                                'security_fix', v.security_fix_at IS NOT NULL))
                           FROM dists d JOIN versions v ON v.id = d.version_id JOIN packages p ON p.id = v.package_id
                          WHERE d.artifact_sha256 = a.sha256 AND p.organization_id = ?1
                            AND v.hidden_at IS NULL AND p.hidden_at IS NULL) AS uses",
                artifact_filter!(),
                " ORDER BY a.created_at DESC, a.sha256 LIMIT ?5 OFFSET ?6"
            ),
            paged,
        ),
        Query::count(concat!("SELECT count(*) AS total", artifact_filter!()), args),
    );
    db.ask(batch).await
}

/// An uploaded version, as a cleanup decides about it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UploadedVersion {
    /// The package.
    pub name: String,
    /// The version as people read it.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// SHA-256 of its zip.
    pub sha256: String,
    /// Bytes of its zip.
    pub size: i64,
}

/// The packages that were uploaded and whose name is within `range`, by name.
pub async fn uploaded_names(
    db: &dyn Database,
    organization: OrganizationId,
    range: &NameRange,
) -> Result<Vec<String>, DatabaseError> {
    #[derive(Deserialize)]
    struct Uploaded {
        name: String,
    }
    let names: Query<Vec<Uploaded>> = Query::all(
        "SELECT p.name FROM packages p JOIN repositories r ON r.id = p.repository_id AND r.kind = 'artifact'
          WHERE p.organization_id = ?1 AND p.name BETWEEN ?2 AND ?3 ORDER BY p.name",
        [organization.into(), range.first.as_str().into(), range.last.as_str().into()],
    );
    Ok(db.ask(names).await?.into_iter().map(|row| row.name).collect())
}

/// The uploaded versions of the packages `names`, package by package. At most `limit`.
pub async fn uploaded(
    db: &dyn Database,
    organization: OrganizationId,
    names: &[String],
    limit: i64,
) -> Result<Vec<UploadedVersion>, DatabaseError> {
    let uploaded = Query::all(
        "SELECT p.name, v.pretty, v.normalized, v.released_at, v.security_fix_at IS NOT NULL AS security_fix,
                a.sha256, a.size
           FROM packages p JOIN repositories r ON r.id = p.repository_id AND r.kind = 'artifact'
           JOIN versions v ON v.package_id = p.id
           JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           JOIN artifacts a ON a.sha256 = d.artifact_sha256
          WHERE p.organization_id = ?1 AND p.name IN (SELECT value FROM json_each(?2)) ORDER BY p.name, v.id LIMIT ?3",
        [organization.into(), json!(names).to_string().into(), limit.into()],
    );
    db.ask(uploaded).await
}

/// A zip that is being removed.
#[derive(Debug, Clone, Deserialize)]
pub struct UnreferencedZip {
    /// SHA-256, lowercase hex.
    pub sha256: String,
}

// Across organizations: a zip belongs to whatever content it has, whoever published it.

/// The statement that notes since when nobody needs a zip, of those that were stored before `before`, and no longer does
/// so of one that somebody needs.
pub fn note_unreferenced(before: Millis, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE artifacts SET unreferenced_since = iif(unreferenced_since IS NULL, ?2, NULL)
          WHERE created_at < ?1
            AND (unreferenced_since IS NOT NULL) = EXISTS (SELECT 1 FROM dists d WHERE d.artifact_sha256 = artifacts.sha256)",
        [before.into(), now.into()],
    )
}

/// The statement that dooms zips that nobody has needed since `since`, and those of them that were doomed before
/// `before` and are still there; at most 500.
pub fn mark_unreferenced(since: Millis, before: Millis, now: Millis) -> Query<Vec<UnreferencedZip>> {
    Query::all(
        "UPDATE artifacts SET doomed_at = ?3 WHERE sha256 IN
           (SELECT a.sha256 FROM artifacts a
             WHERE a.unreferenced_since < ?1 AND (a.doomed_at IS NULL OR a.doomed_at < ?2)
               AND NOT EXISTS (SELECT 1 FROM dists d WHERE d.artifact_sha256 = a.sha256) LIMIT 500)
         RETURNING sha256",
        [since.into(), before.into(), now.into()],
    )
}

/// The statement that forgets doomed zips, whose blobs are gone.
pub fn delete_marked(sha256s: &[String]) -> Stmt {
    Stmt::new(
        "DELETE FROM artifacts WHERE doomed_at IS NOT NULL AND sha256 IN (SELECT value FROM json_each(?1))
            AND NOT EXISTS (SELECT 1 FROM dists d WHERE d.artifact_sha256 = artifacts.sha256)",
        [json!(sha256s).to_string().into()],
    )
    .idempotent()
}
