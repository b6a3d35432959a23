//! The statements that publish packages: versions, files, dists and documents, of one package or of hundreds. Rows travel as
//! JSON arrays, in the order of their columns in the `INSERT`. `CROSS JOIN` keeps SQLite from reading such a list once for
//! every package there is. In which order they run is decided by `registry::packages::publish`.

use std::sync::Arc;

use composer::{DistType, PrettyVersion, Reference, Shasum};
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::packages::NO_VERSIONS;
use crate::store::packages::version_source::VersionSource;
use crate::store::{OrganizationId, json_arguments};

/// Whose packages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Our own: a git repository's, or those that were uploaded. They come before what an upstream has.
    Own,
    /// An upstream repository's.
    Upstream,
}

/// The repository that publishes.
#[derive(Debug, Clone, Copy)]
pub struct Publisher {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository.
    pub repository_id: i64,
    /// Of what sort it is.
    pub origin: Origin,
    /// Now.
    pub now: Millis,
}

/// Whose a package was, and at which revision, when it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownPackage {
    /// The repository that had it. Nobody asks for it when [`Origin::Own`] publishes.
    pub repository_id: Option<i64>,
    /// Its revision; `None`: it was not there (or, for [`Origin::Own`], it was an upstream's).
    pub revision: Option<i64>,
}

/// The statement that aborts its batch when one of `packages` is no longer as it was read, so that of two writers the later
/// one renders again instead of undoing the other's work. `json('…')` of a text that is no JSON is an error, and D1 has no
/// other way to raise one.
pub fn guard_revisions<'p>(publisher: Publisher, packages: impl IntoIterator<Item = (&'p str, KnownPackage)>) -> Stmt {
    let row = |(name, known): (&str, KnownPackage)| json!([name, known.repository_id, known.revision]);
    let known = Value::Array(packages.into_iter().map(row).collect()).to_string();
    match publisher.origin {
        Origin::Own => Stmt::new(
            "SELECT CASE WHEN EXISTS (
               SELECT 1 FROM json_each(?2) j
                WHERE (SELECT p.revision FROM packages p JOIN repositories r ON r.id = p.repository_id
                        WHERE p.organization_id = ?1 AND p.name = j.value ->> 0 AND r.kind <> 'composer')
                      IS NOT j.value ->> 2)
             THEN json('the package was published meanwhile') END AS guard",
            [publisher.organization.into(), known.into()],
        ),
        Origin::Upstream => Stmt::new(
            "SELECT CASE WHEN EXISTS (
               SELECT 1 FROM json_each(?2) j LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
                WHERE p.repository_id IS NOT j.value ->> 1 OR p.revision IS NOT j.value ->> 2)
             THEN json('a package was published meanwhile') END AS guard",
            [publisher.organization.into(), known.into()],
        ),
    }
}

/// What lists show of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// From composer.json of the newest version.
    pub description: Option<String>,
    /// Its keywords, with blanks between them.
    pub keywords: Option<String>,
    /// Its page in a browser.
    pub homepage: Option<String>,
    /// Composer's package type.
    pub package_type: String,
    /// `true`, or the replacement's name.
    pub abandoned: Option<String>,
    /// Pretty version.
    pub latest_version: Option<String>,
    /// Its version index (`registry::access::view`); `None` when lists show no version of it.
    pub version_index: Option<String>,
}

/// A package as it is from now on.
#[derive(Debug, Clone)]
pub struct PackageUpsert {
    /// Public id for a new row.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// What lists show.
    pub summary: Summary,
}

/// Makes or updates packages, gives them to the repository and gives them the organization's revision, which must have been
/// moved before. The zips of versions that another repository had stay downloadable.
pub fn upsert_packages(publisher: Publisher, packages: Vec<PackageUpsert>) -> Vec<Stmt> {
    let row = |package: PackageUpsert| {
        let PackageUpsert { uid, name, summary } = package;
        let Summary { description, package_type, abandoned, latest_version, version_index, keywords, homepage } =
            summary;
        let version_index = version_index.as_deref().unwrap_or(NO_VERSIONS);
        json!([uid, name, description, package_type, abandoned, latest_version, version_index, keywords, homepage])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO packages (uid, name, description, type, abandoned, latest_version, version_index, keywords, homepage,
                    organization_id, repository_id, revision, created_at, updated_at)
             SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5,
                    j.value ->> 6, j.value ->> 7, j.value ->> 8, o.id, ?2, o.revision, ?4, ?4
               FROM json_each(?3) j JOIN organizations o ON o.id = ?1 WHERE true
             ON CONFLICT (organization_id, name) DO UPDATE SET
               repository_id = excluded.repository_id,
               description = coalesce(description_override, excluded.description), type = excluded.type,
               abandoned = excluded.abandoned, latest_version = excluded.latest_version,
               version_index = excluded.version_index, keywords = excluded.keywords, homepage = excluded.homepage,
               revision = excluded.revision, updated_at = excluded.updated_at",
            [publisher.organization.into(), publisher.repository_id.into(), rows.into(), publisher.now.into()],
        )
    };
    json_arguments(packages.into_iter().map(row)).into_iter().map(statement).collect()
}

/// A version that is new or another one than before.
#[derive(Debug, Clone)]
pub struct VersionUpsert {
    /// The package's name.
    pub package: String,
    /// Public id for a new row.
    pub uid: String,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// Where it comes from.
    pub source: VersionSource,
    /// What its zip is addressed by: a commit id, a SHA-1. Empty when it has none.
    pub reference: Reference,
    /// composer.json, or the entry as an upstream has it.
    pub manifest: Arc<str>,
    /// When it was released, or first seen.
    pub released_at: Millis,
    /// Whether that is open until it is listed.
    pub released_when_shown: bool,
    /// When its files were made.
    pub made_at: Millis,
    /// When what it is now was first published here.
    pub published_at: Millis,
}

/// Makes versions, and updates those that are another one than before.
pub fn upsert_versions(publisher: Publisher, versions: &[VersionUpsert]) -> Vec<Stmt> {
    let row = |version: &VersionUpsert| {
        json!([
            version.package,
            version.uid,
            version.normalized,
            version.pretty,
            version.source.as_str(),
            version.reference,
            version.manifest,
            version.released_at.0,
            version.made_at.0,
            version.published_at.0,
            version.released_when_shown
        ])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO versions (package_id, uid, normalized, pretty, ref_name, reference, manifest, released_at,
                    made_at, published_at, released_when_shown, created_at, updated_at)
             SELECT p.id, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
                    j.value ->> 7, j.value ->> 8, j.value ->> 9, j.value ->> 10, ?3, ?3
               FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0 WHERE true
             ON CONFLICT (package_id, normalized) DO UPDATE SET
               pretty = excluded.pretty, ref_name = excluded.ref_name, reference = excluded.reference,
               manifest = excluded.manifest, released_at = excluded.released_at, made_at = excluded.made_at,
               published_at = excluded.published_at, released_when_shown = excluded.released_when_shown,
               updated_at = excluded.updated_at, removed_at = NULL
              WHERE manifest <> excluded.manifest OR reference <> excluded.reference OR pretty <> excluded.pretty
                 OR ref_name <> excluded.ref_name OR removed_at IS NOT NULL",
            [publisher.organization.into(), rows.into(), publisher.now.into()],
        )
    };
    json_arguments(versions.iter().map(row)).into_iter().map(statement).collect()
}

/// The statement that notes of those versions of a package that are listed for the first time that they were released at
/// `moment`. It belongs behind the statements that show them.
pub fn release_shown(organization: OrganizationId, package: &str, moment: Millis) -> Stmt {
    Stmt::new(
        "UPDATE versions SET released_at = ?3, published_at = ?3, released_when_shown = 0
          WHERE package_id = (SELECT id FROM packages
                               WHERE organization_id = ?1 AND name = ?2 AND hidden_at IS NULL)
            AND released_when_shown = 1 AND removed_at IS NULL AND hidden_at IS NULL AND yanked_at IS NULL",
        [organization.into(), package.into(), moment.into()],
    )
}

/// Which versions a package has from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveVersions {
    /// The package's name.
    pub package: String,
    /// Normalized versions, the yanked and hidden ones too.
    pub versions: Vec<String>,
    /// The one that is the default branch.
    pub default_branch: Option<String>,
}

macro_rules! live_versions {
    () => {
        "SELECT p.id, l.value FROM json_each(?2) j
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0, json_each(j.value, '$[1]') l"
    };
}
macro_rules! default_branches {
    () => {
        "SELECT p.id, j.value ->> 2 FROM json_each(?2) j
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0 WHERE j.value ->> 2 IS NOT NULL"
    };
}
/// Takes every other version of the packages out of the metadata, and marks the default branch.
pub fn settle_versions(publisher: Publisher, live: &[LiveVersions]) -> Vec<Stmt> {
    let row = |live: &LiveVersions| json!([live.package, live.versions, live.default_branch]);
    let statement = |rows: String| {
        Stmt::new(
            concat!(
                "UPDATE versions SET
                   removed_at = iif((package_id, normalized) IN (",
                live_versions!(),
                "), NULL, ?3),
                   is_default_branch = (package_id, normalized) IN (",
                default_branches!(),
                ")
                  WHERE removed_at IS NULL
                    AND package_id IN (SELECT p.id FROM json_each(?2) j
                                        CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0)
                    AND ((package_id, normalized) NOT IN (",
                live_versions!(),
                ")
                         OR is_default_branch <> ((package_id, normalized) IN (",
                default_branches!(),
                ")))"
            ),
            [publisher.organization.into(), rows.into(), publisher.now.into()],
        )
    };
    json_arguments(live.iter().map(row)).into_iter().map(statement).collect()
}

/// A file that people read.
#[derive(Debug, Clone)]
pub struct FileUpsert {
    /// The package's name.
    pub package: String,
    /// The version it belongs to.
    pub normalized: String,
    /// `readme`, `changelog` or `license`.
    pub kind: &'static str,
    /// As in the repository: `README.md`.
    pub name: String,
    /// SHA-256 of its text, lowercase hex.
    pub text_sha256: String,
}

/// Replaces the files of the versions `changed` by `files`.
pub fn replace_files(publisher: Publisher, changed: &[VersionUpsert], files: &[FileUpsert]) -> Vec<Stmt> {
    let version = |version: &VersionUpsert| json!([version.package, version.normalized]);
    let delete = |rows: String| {
        Stmt::new(
            "DELETE FROM version_files WHERE version_id IN (
               SELECT v.id FROM json_each(?2) j
                CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
                 JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 1)",
            [publisher.organization.into(), rows.into()],
        )
    };
    let file = |file: &FileUpsert| json!([file.package, file.normalized, file.kind, file.name, file.text_sha256]);
    let insert = |rows: String| {
        Stmt::new(
            "INSERT INTO version_files (version_id, kind, name, text_sha256)
             SELECT v.id, j.value ->> 2, j.value ->> 3, j.value ->> 4
               FROM json_each(?2) j
              CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 1",
            [publisher.organization.into(), rows.into()],
        )
    };
    let deletes = json_arguments(changed.iter().map(version)).into_iter().map(delete);
    deletes.chain(json_arguments(files.iter().map(file)).into_iter().map(insert)).collect()
}

/// Where the archive of a version is that an upstream has.
#[derive(Debug, Clone)]
pub struct UpstreamDist {
    /// The package's name.
    pub package: String,
    /// The version.
    pub normalized: String,
    /// How it is packed.
    pub kind: DistType,
    /// URLs, the first to be tried first.
    pub urls: Vec<String>,
    /// SHA-1, or empty.
    pub shasum: Shasum,
    /// The login that stood in its address, sealed.
    pub login: Option<String>,
}

/// Records where the archives of an upstream's versions are. One that is here already stays what it is.
pub fn upsert_upstream_dists(publisher: Publisher, dists: &[UpstreamDist]) -> Vec<Stmt> {
    let row = |dist: &UpstreamDist| {
        let urls = json!(dist.urls).to_string();
        json!([dist.package, dist.normalized, urls, dist.shasum, dist.kind.as_str(), dist.login])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO dists (version_id, reference, upstream_urls, upstream_shasum, type, upstream_login, created_at)
             SELECT v.id, v.reference, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, ?3
               FROM json_each(?2) j
              CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 1 WHERE true
             ON CONFLICT (version_id, reference) DO UPDATE SET
               upstream_urls = excluded.upstream_urls, upstream_shasum = excluded.upstream_shasum,
               type = excluded.type, upstream_login = excluded.upstream_login, error = NULL
              WHERE artifact_sha256 IS NULL
                AND (upstream_urls IS NOT excluded.upstream_urls OR upstream_shasum IS NOT excluded.upstream_shasum
                     OR type <> excluded.type OR upstream_login IS NOT excluded.upstream_login)",
            [publisher.organization.into(), rows.into(), publisher.now.into()],
        )
    };
    json_arguments(dists.iter().map(row)).into_iter().map(statement).collect()
}

/// Records the references of `changed` versions of our own, so that they stay downloadable for good.
pub fn insert_dists(publisher: Publisher, changed: &[VersionUpsert]) -> Vec<Stmt> {
    let row = |version: &VersionUpsert| json!([version.package, version.normalized]);
    let statement = |rows: String| {
        Stmt::new(
            "INSERT OR IGNORE INTO dists (version_id, reference, created_at)
             SELECT v.id, v.reference, ?3 FROM json_each(?2) j
              CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 1",
            [publisher.organization.into(), rows.into(), publisher.now.into()],
        )
    };
    json_arguments(changed.iter().map(row)).into_iter().map(statement).collect()
}

/// Bytes of one part of a document: as a string inside of JSON it may be twice as long, and D1 takes 2 MB a value.
const PART_BYTES: usize = 500_000;

/// Both documents of a package.
#[derive(Debug, Clone, Copy)]
pub struct DocumentPair<'a> {
    /// The package's name.
    pub package: &'a str,
    /// `{package}.json`.
    pub stable: &'a str,
    /// `{package}~dev.json`.
    pub dev: &'a str,
}

/// Replaces the documents of packages.
pub fn replace_documents(publisher: Publisher, documents: &[DocumentPair<'_>]) -> Vec<Stmt> {
    let names: Vec<&str> = documents.iter().map(|pair| pair.package).collect();
    let mut stmts = vec![Stmt::new(
        "DELETE FROM documents WHERE package_id IN (
           SELECT p.id FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value)",
        [publisher.organization.into(), json!(names).to_string().into()],
    )];
    let rows = documents.iter().flat_map(|pair| {
        [("stable", pair.stable), ("dev", pair.dev)].into_iter().flat_map(move |(stability, text)| {
            let parts = parts(text, PART_BYTES).into_iter().enumerate();
            parts.map(move |(part, body)| json!([pair.package, stability, part, body]))
        })
    });
    stmts.extend(json_arguments(rows).into_iter().map(|rows| {
        Stmt::new(
            "INSERT INTO documents (package_id, stability, part, body)
             SELECT p.id, j.value ->> 1, j.value ->> 2, j.value ->> 3
               FROM json_each(?2) j CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 0",
            [publisher.organization.into(), rows.into()],
        )
    }));
    stmts
}

/// A document in parts of at most `bytes`.
fn parts(mut document: &str, bytes: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    while document.len() > bytes {
        let (part, rest) = document.split_at(document.floor_char_boundary(bytes));
        parts.push(part);
        document = rest;
    }
    parts.push(document);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_cut_between_characters_and_joins_again() {
        let document = "ü".repeat(PART_BYTES);
        let parts = parts(&document, PART_BYTES);
        assert!(parts.iter().all(|part| part.len() <= PART_BYTES));
        assert_eq!(parts.concat(), document);
    }
}
