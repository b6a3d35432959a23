//! The statements that publish what upstream repositories have. One package or hundreds are the same few statements:
//! rows travel as JSON arrays, in the order of their columns in the `INSERT`. `CROSS JOIN` keeps SQLite from reading such
//! a list once for every package there is.

use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::kernel::organizations::{self, Touched};
use crate::store::packages::publication::{Summary, parts};
use crate::store::{OrganizationId, json_arguments};

/// What lists show of a package, and whose it was when it was rendered.
#[derive(Debug, Clone)]
pub struct PackageUpsert {
    /// Public id for a new row.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// The repository that had it, and its revision.
    pub known: (Option<i64>, Option<i64>),
    /// What lists show.
    pub summary: Summary,
}

/// A version.
#[derive(Debug, Clone)]
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
    /// Where its archive is.
    pub dist: Option<MirroredDist>,
}

/// Where the archive of a version is.
#[derive(Debug, Clone)]
pub struct MirroredDist {
    /// URLs, the first to be tried first.
    pub urls: Vec<String>,
    /// SHA-1, or empty.
    pub shasum: String,
}

/// What is published together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Packages.
    pub packages: Vec<PackageUpsert>,
    /// All their versions.
    pub versions: Vec<MirroredVersion>,
    /// Their documents, as [`document_rows`] makes them.
    pub documents: Vec<Value>,
}

/// The statements that publish a batch, in their order.
pub fn publish(source: Source<'_>, batch: Batch) -> Vec<Stmt> {
    let names: Vec<&str> = batch.packages.iter().map(|package| package.name.as_str()).collect();
    let names = json!(names).to_string();
    let dists = upsert_dists(source, &batch.versions);
    let mut stmts =
        vec![guard(source, &batch.packages), organizations::touch(source.organization, Touched::Versions, source.now)];
    stmts.extend(upsert_packages(source, batch.packages));
    stmts.extend(upsert_versions(source, batch.versions));
    stmts.push(settle_versions(source, names.clone()));
    stmts.extend(dists);
    stmts.extend(replace_documents(source, names, batch.documents));
    stmts
}

/// Which upstream publishes.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository.
    pub repository_id: i64,
    /// Its address when it was asked.
    pub url: &'a str,
    /// Now.
    pub now: Millis,
}

/// The statement that aborts its batch when the repository is not at that address any more, or when one of `packages`
/// is no longer whose it was, at the revision it had. See `sync_runs::guard` for how.
fn guard(source: Source<'_>, packages: &[PackageUpsert]) -> Stmt {
    let known = packages.iter().map(|package| json!([package.name, package.known.0, package.known.1])).collect();
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
            source.organization.into(),
            source.repository_id.into(),
            source.url.into(),
            Value::Array(known).to_string().into(),
        ],
    )
}

/// Makes or updates packages and gives them the organization's revision.
fn upsert_packages(source: Source<'_>, packages: Vec<PackageUpsert>) -> Vec<Stmt> {
    let row = |package: PackageUpsert| {
        let Summary { description, package_type, abandoned, latest_version, version_index } = package.summary;
        Value::Array(vec![
            package.uid.into(),
            package.name.into(),
            description.into(),
            package_type.into(),
            abandoned.into(),
            latest_version.into(),
            version_index.into(),
        ])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO packages (uid, name, description, type, abandoned, latest_version, version_index,
                    organization_id, repository_id, revision, created_at, updated_at)
             SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
                    j.value ->> 6, o.id, ?2, o.revision, ?4, ?4
               FROM json_each(?3) j JOIN organizations o ON o.id = ?1 WHERE true
             ON CONFLICT (organization_id, name) DO UPDATE SET
               repository_id = excluded.repository_id, description = excluded.description, type = excluded.type,
               abandoned = excluded.abandoned, latest_version = excluded.latest_version,
               version_index = excluded.version_index, revision = excluded.revision, updated_at = excluded.updated_at",
            [source.organization.into(), source.repository_id.into(), rows.into(), source.now.into()],
        )
    };
    json_arguments(packages.into_iter().map(row)).into_iter().map(statement).collect()
}

/// Makes versions, and updates those that are another one than before.
fn upsert_versions(source: Source<'_>, versions: Vec<MirroredVersion>) -> Vec<Stmt> {
    let row = |version: MirroredVersion| {
        Value::Array(vec![
            version.name.into(),
            version.uid.into(),
            version.normalized.into(),
            version.pretty.into(),
            version.reference.into(),
            i64::from(version.is_default_branch).into(),
            version.manifest.into(),
            version.released_at.0.into(),
        ])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO versions (package_id, uid, normalized, pretty, reference, is_default_branch, manifest,
                    released_at, ref_name, created_at, updated_at)
             SELECT p.id, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
                    j.value ->> 7, '', ?3, ?3
               FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0 WHERE true
             ON CONFLICT (package_id, normalized) DO UPDATE SET
               pretty = excluded.pretty, ref_name = excluded.ref_name, reference = excluded.reference,
               is_default_branch = excluded.is_default_branch, manifest = excluded.manifest,
               released_at = excluded.released_at, updated_at = excluded.updated_at, removed_at = NULL
              WHERE manifest <> excluded.manifest OR reference <> excluded.reference OR removed_at IS NOT NULL",
            [source.organization.into(), rows.into(), source.now.into()],
        )
    };
    json_arguments(versions.into_iter().map(row)).into_iter().map(statement).collect()
}

/// Takes every version of the packages `names` (a JSON array) that is not in their version index out of the metadata.
fn settle_versions(source: Source<'_>, names: String) -> Stmt {
    Stmt::new(
        "UPDATE versions SET removed_at = ?3
          WHERE removed_at IS NULL
            AND package_id IN (SELECT p.id FROM json_each(?2) j
                                CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value)
            AND (package_id, normalized) NOT IN (
                  SELECT p.id, v.value ->> 0 FROM json_each(?2) j
                   CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value, json_each(p.version_index) v)",
        [source.organization.into(), names.into(), source.now.into()],
    )
}

/// Notes where the archives of versions are. One that is here already stays what it is.
fn upsert_dists(source: Source<'_>, versions: &[MirroredVersion]) -> Vec<Stmt> {
    let row = |version: &MirroredVersion| {
        let dist = version.dist.as_ref()?;
        Some(json!([version.name, version.normalized, json!(dist.urls).to_string(), dist.shasum]))
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO dists (version_id, reference, upstream_urls, upstream_shasum, created_at)
             SELECT v.id, v.reference, j.value ->> 2, j.value ->> 3, ?3
               FROM json_each(?2) j
              CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 1 WHERE true
             ON CONFLICT (version_id, reference) DO UPDATE SET
               upstream_urls = excluded.upstream_urls, upstream_shasum = excluded.upstream_shasum, error = NULL
              WHERE artifact_sha256 IS NULL
                AND (upstream_urls IS NOT excluded.upstream_urls OR upstream_shasum IS NOT excluded.upstream_shasum)",
            [source.organization.into(), rows.into(), source.now.into()],
        )
    };
    json_arguments(versions.iter().filter_map(row)).into_iter().map(statement).collect()
}

/// Bytes of one part of a document: as a string inside of JSON it may be twice as long, and D1 takes 2 MB a value.
const PART_BYTES: usize = 500_000;

/// The two documents of a package as rows.
pub fn document_rows(name: &str, stable: &str, dev: &str) -> Vec<Value> {
    let rows = |stability: &'static str, text: &str| {
        let parts = parts(text, PART_BYTES).into_iter().enumerate();
        parts.map(|(part, body)| json!([name, stability, part, body])).collect::<Vec<_>>()
    };
    [rows("stable", stable), rows("dev", dev)].concat()
}

/// Replaces the documents of the packages `names` (a JSON array) by [`document_rows`].
fn replace_documents(source: Source<'_>, names: String, documents: Vec<Value>) -> Vec<Stmt> {
    let mut stmts = vec![Stmt::new(
        "DELETE FROM documents WHERE package_id IN (
           SELECT p.id FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value)",
        [source.organization.into(), names.into()],
    )];
    stmts.extend(json_arguments(documents).into_iter().map(|rows| {
        Stmt::new(
            "INSERT INTO documents (package_id, stability, part, body)
             SELECT p.id, j.value ->> 1, j.value ->> 2, j.value ->> 3
               FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0",
            [source.organization.into(), rows.into()],
        )
    }));
    stmts
}

/// Which packages of a repository leave the metadata.
#[derive(Debug, Clone)]
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
pub fn retire(organization: OrganizationId, leaving: &[Leaving], now: Millis) -> [Stmt; 4] {
    let row = |one: &Leaving| json!([one.repository_id, one.globs, one.matching]);
    let list = Value::Array(leaving.iter().map(row).collect()).to_string();
    [
        Stmt::new(
            "UPDATE packages SET version_index = '[]', latest_version = NULL, updated_at = ?2,
                    revision = (SELECT o.revision FROM organizations o WHERE o.id = organization_id)
              WHERE version_index <> '[]' AND organization_id = ?3
                AND repository_id IN (SELECT l.value ->> 0 FROM json_each(?1) l)
                AND EXISTS (SELECT 1 FROM json_each(?1) l
                             WHERE l.value ->> 0 = repository_id
                               AND EXISTS (SELECT 1 FROM json_each(l.value, '$[1]') g WHERE name GLOB g.value)
                                   = (l.value ->> 2))",
            [list.as_str().into(), now.into(), organization.into()],
        ),
        Stmt::new(
            "UPDATE versions SET removed_at = ?2 WHERE removed_at IS NULL AND package_id IN
               (SELECT p.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 0
                 WHERE p.version_index = '[]' AND p.organization_id = ?3)",
            [list.as_str().into(), now.into(), organization.into()],
        ),
        Stmt::new(
            "DELETE FROM documents WHERE package_id IN
               (SELECT p.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 0
                 WHERE p.version_index = '[]' AND p.organization_id = ?2)",
            [list.as_str().into(), organization.into()],
        ),
        Stmt::new(
            "DELETE FROM dists WHERE +artifact_sha256 IS NULL AND upstream_urls IS NOT NULL AND version_id IN
               (SELECT v.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 0
                  JOIN versions v ON v.package_id = p.id
                 WHERE p.version_index = '[]' AND p.organization_id = ?2)",
            [list.as_str().into(), organization.into()],
        ),
    ]
}
