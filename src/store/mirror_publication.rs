//! The statements that publish what upstream repositories have. One package or hundreds are the same few statements:
//! rows travel as JSON. All of a publication travels in one batch, in the order in which they stand here.

use serde::Serialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::json_rows;

/// A package about to be published from an upstream.
#[derive(Debug, Clone, Serialize)]
pub struct PackageUpsert {
    /// Public id for a new row.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// The repository that had it when it was rendered.
    pub owner: Option<i64>,
    /// Its revision then.
    pub revision: Option<i64>,
    /// From its newest version.
    pub description: Option<String>,
    /// Composer's package type.
    #[serde(rename = "type")]
    pub package_type: String,
    /// `true`, or the replacement's name.
    pub abandoned: Option<String>,
    /// Pretty version.
    pub latest_version: Option<String>,
    /// JSON array of `[normalized version, released_at, pretty version]`.
    pub version_index: String,
}

/// A version of it.
#[derive(Debug, Clone, Serialize)]
pub struct MirroredVersion {
    /// Public id for a new row.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: String,
    /// What its archive is addressed by; empty when it has none.
    pub reference: String,
    /// Whether it is the default branch.
    pub is_default_branch: bool,
    /// The entry as upstream has it.
    pub manifest: String,
    /// When it was released, or first seen.
    pub released_at: Millis,
}

/// Where the archive of a version is.
#[derive(Debug, Clone, Serialize)]
pub struct MirroredDist {
    /// `vendor/package`.
    pub name: String,
    /// The version.
    pub normalized: String,
    /// JSON array of URLs.
    pub urls: String,
    /// SHA-1, or empty.
    pub shasum: String,
}

/// Part of a rendered document.
#[derive(Debug, Clone, Serialize)]
pub struct MirroredDocument {
    /// `vendor/package`.
    pub name: String,
    /// `stable` or `dev`.
    pub stability: &'static str,
    /// From 0.
    pub part: usize,
    /// Its text.
    pub body: String,
}

/// Which upstream publishes.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The organization.
    pub organization_id: i64,
    /// The repository.
    pub repository_id: i64,
    /// Its address when it was asked.
    pub url: &'a str,
    /// Now.
    pub now: Millis,
}

/// The statement that aborts its batch when the repository is not at that address any more, or when one of `packages`
/// is no longer whose it was, at the revision it had. See `sync_runs::guard` for how.
pub fn guard(source: Source<'_>, packages: &[PackageUpsert]) -> Stmt {
    let known: Vec<_> = packages.iter().map(|package| json!([package.name, package.owner, package.revision])).collect();
    Stmt::new(
        "SELECT CASE
           WHEN NOT EXISTS (SELECT 1 FROM repositories WHERE id = ?2 AND url = ?3 AND is_active = 1)
             THEN json('the repository was changed meanwhile')
           WHEN EXISTS (SELECT 1 FROM json_each(?4) j
                          LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
                         WHERE p.repository_id IS NOT j.value ->> 1 OR p.revision IS NOT j.value ->> 2)
             THEN json('a package was published meanwhile')
         END AS guard",
        [
            source.organization_id.into(),
            source.repository_id.into(),
            source.url.into(),
            json!(known).to_string().into(),
        ],
    )
}

/// Makes or updates packages and gives them the organization's revision, which must have been moved before.
pub fn upsert_packages(source: Source<'_>, packages: &[PackageUpsert]) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO packages (uid, organization_id, repository_id, name, description, type, abandoned,
                    latest_version, version_index, revision, created_at, updated_at)
             SELECT j.value ->> 'uid', o.id, ?2, j.value ->> 'name', j.value ->> 'description', j.value ->> 'type',
                    j.value ->> 'abandoned', j.value ->> 'latest_version', j.value ->> 'version_index', o.revision, ?4, ?4
               FROM json_each(?3) j JOIN organizations o ON o.id = ?1 WHERE true
             ON CONFLICT (organization_id, name) DO UPDATE SET
               repository_id = excluded.repository_id, description = excluded.description, type = excluded.type,
               abandoned = excluded.abandoned, latest_version = excluded.latest_version,
               version_index = excluded.version_index, revision = excluded.revision, updated_at = excluded.updated_at",
            [source.organization_id.into(), source.repository_id.into(), rows.into(), source.now.into()],
        )
    };
    json_rows(packages).into_iter().map(statement).collect()
}

/// Makes versions, and updates those that are another one than before.
pub fn upsert_versions(source: Source<'_>, versions: &[MirroredVersion]) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, is_default_branch, manifest,
                    released_at, created_at, updated_at)
             SELECT j.value ->> 'uid', p.id, j.value ->> 'normalized', j.value ->> 'pretty', '',
                    j.value ->> 'reference', j.value ->> 'is_default_branch', j.value ->> 'manifest',
                    j.value ->> 'released_at', ?3, ?3
               FROM json_each(?2) j JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name' WHERE true
             ON CONFLICT (package_id, normalized) DO UPDATE SET
               pretty = excluded.pretty, ref_name = excluded.ref_name, reference = excluded.reference,
               is_default_branch = excluded.is_default_branch, manifest = excluded.manifest,
               released_at = excluded.released_at, updated_at = excluded.updated_at, removed_at = NULL
              WHERE manifest <> excluded.manifest OR reference <> excluded.reference OR removed_at IS NOT NULL",
            [source.organization_id.into(), rows.into(), source.now.into()],
        )
    };
    json_rows(versions).into_iter().map(statement).collect()
}

/// Takes every version of the packages `names` (a JSON array) that is not in their version index out of the metadata.
pub fn settle_versions(source: Source<'_>, names: String) -> Stmt {
    Stmt::new(
        "UPDATE versions SET removed_at = ?3
          WHERE removed_at IS NULL
            AND package_id IN (SELECT p.id FROM json_each(?2) j
                                 JOIN packages p ON p.organization_id = ?1 AND p.name = j.value)
            AND (package_id, normalized) NOT IN (
                  SELECT p.id, v.value ->> 0 FROM json_each(?2) j
                    JOIN packages p ON p.organization_id = ?1 AND p.name = j.value, json_each(p.version_index) v)",
        [source.organization_id.into(), names.into(), source.now.into()],
    )
}

/// Notes where archives are. One that is here already stays what it is.
pub fn upsert_dists(source: Source<'_>, dists: &[MirroredDist]) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO dists (version_id, reference, upstream_urls, upstream_shasum, created_at)
             SELECT v.id, v.reference, j.value ->> 'urls', j.value ->> 'shasum', ?3
               FROM json_each(?2) j
               JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'normalized' WHERE true
             ON CONFLICT (version_id, reference) DO UPDATE SET
               upstream_urls = excluded.upstream_urls, upstream_shasum = excluded.upstream_shasum, error = NULL
              WHERE artifact_sha256 IS NULL
                AND (upstream_urls IS NOT excluded.upstream_urls OR upstream_shasum IS NOT excluded.upstream_shasum)",
            [source.organization_id.into(), rows.into(), source.now.into()],
        )
    };
    json_rows(dists).into_iter().map(statement).collect()
}

/// Replaces the documents of the packages `names` (a JSON array).
pub fn replace_documents(source: Source<'_>, names: String, documents: &[MirroredDocument]) -> Vec<Stmt> {
    let mut stmts = vec![Stmt::new(
        "DELETE FROM documents WHERE package_id IN (
           SELECT p.id FROM json_each(?2) j JOIN packages p ON p.organization_id = ?1 AND p.name = j.value)",
        [source.organization_id.into(), names.into()],
    )];
    stmts.extend(json_rows(documents).into_iter().map(|rows| {
        Stmt::new(
            "INSERT INTO documents (package_id, stability, part, body)
             SELECT p.id, j.value ->> 'stability', j.value ->> 'part', j.value ->> 'body'
               FROM json_each(?2) j JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'",
            [source.organization_id.into(), rows.into()],
        )
    }));
    stmts
}

/// Which packages of a repository leave the metadata.
#[derive(Debug, Clone, Serialize)]
pub struct Leaving {
    /// The repository.
    pub repository_id: i64,
    /// Names and globs.
    pub globs: Vec<String>,
    /// Whether those leave that match one of them, or those that match none.
    pub matching: bool,
}

impl Leaving {
    /// All of a repository.
    pub fn all(repository_id: i64) -> Self {
        Self { repository_id, globs: vec!["*".to_owned()], matching: true }
    }
}

/// Takes packages out of the metadata; their zips that are here stay downloadable. The organization's revision must
/// have been moved before. GLOB reads names and globs as `registry::access` does.
pub fn retire(leaving: &[Leaving], now: Millis) -> [Stmt; 4] {
    let list = json!(leaving).to_string();
    [
        Stmt::new(
            "UPDATE packages SET version_index = '[]', latest_version = NULL, updated_at = ?2,
                    revision = (SELECT o.revision FROM organizations o WHERE o.id = organization_id)
              WHERE version_index <> '[]' AND repository_id IN (SELECT l.value ->> 'repository_id' FROM json_each(?1) l)
                AND EXISTS (SELECT 1 FROM json_each(?1) l
                             WHERE l.value ->> 'repository_id' = repository_id
                               AND EXISTS (SELECT 1 FROM json_each(l.value, '$.globs') g WHERE name GLOB g.value)
                                   = (l.value ->> 'matching'))",
            [list.as_str().into(), now.into()],
        ),
        Stmt::new(
            "UPDATE versions SET removed_at = ?2 WHERE removed_at IS NULL AND package_id IN
               (SELECT p.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 'repository_id'
                 WHERE p.version_index = '[]')",
            [list.as_str().into(), now.into()],
        ),
        Stmt::new(
            "DELETE FROM documents WHERE package_id IN
               (SELECT p.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 'repository_id'
                 WHERE p.version_index = '[]')",
            [list.as_str().into()],
        ),
        Stmt::new(
            "DELETE FROM dists WHERE artifact_sha256 IS NULL AND upstream_urls IS NOT NULL AND version_id IN
               (SELECT v.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 'repository_id'
                  JOIN versions v ON v.package_id = p.id
                 WHERE p.version_index = '[]')",
            [list.as_str().into()],
        ),
    ]
}
