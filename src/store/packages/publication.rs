//! The statements that publish a package: organization revision, package, versions, files, dists, documents and the
//! refs they came from. All of them travel in one batch, in the order in which they stand here.

use serde::Serialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::sources::repositories::RefRow;
use crate::store::{OrganizationId, json_arguments};

/// Which package is published.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository it comes from.
    pub repository_id: i64,
    /// `vendor/package`.
    pub name: &'a str,
    /// Now.
    pub now: Millis,
}

/// The statement that aborts its batch when the package is no longer at the revision it was rendered from (`None`: it
/// was not there, or an upstream's), so that of two writers the later one renders again instead of undoing the other's work. `json('…')`
/// of a text that is no JSON is an error, and D1 has no other way to raise one.
pub fn guard_revision(target: Target<'_>, revision: Option<i64>) -> Stmt {
    Stmt::new(
        "SELECT CASE WHEN (SELECT p.revision FROM packages p JOIN repositories r ON r.id = p.repository_id
                            WHERE p.organization_id = ?1 AND p.name = ?2 AND r.kind <> 'composer') IS NOT ?3
             THEN json('the package was published meanwhile') END AS guard",
        [target.organization.into(), target.name.into(), revision.into()],
    )
}

/// What lists show of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// From composer.json of the newest version.
    pub description: Option<String>,
    /// Composer's package type.
    pub package_type: String,
    /// `true`, or the replacement's name.
    pub abandoned: Option<String>,
    /// Pretty version.
    pub latest_version: Option<String>,
    /// JSON array of `[normalized version, released_at, pretty version]`.
    pub version_index: String,
}

/// Makes a package that an upstream had the repository's own: the name belongs to who publishes it here. The zips of the
/// versions that were mirrored stay downloadable.
pub fn take_over(target: Target<'_>) -> Stmt {
    Stmt::new(
        "UPDATE packages SET repository_id = ?3
          WHERE organization_id = ?1 AND name = ?2
            AND repository_id IN (SELECT id FROM repositories WHERE kind = 'composer')",
        [target.organization.into(), target.name.into(), target.repository_id.into()],
    )
}

/// Makes or updates the package and gives it the organization's revision, which must have been moved before.
pub fn upsert_package(target: Target<'_>, uid: &str, summary: &Summary) -> Stmt {
    Stmt::new(
        "INSERT INTO packages (uid, organization_id, repository_id, name, description, type, abandoned,
                latest_version, version_index, revision, created_at, updated_at)
         SELECT ?1, o.id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, o.revision, ?10, ?10 FROM organizations o WHERE o.id = ?2
         ON CONFLICT (organization_id, name) DO UPDATE SET
           description = coalesce(description_override, excluded.description), type = excluded.type,
           abandoned = excluded.abandoned,
           latest_version = excluded.latest_version, version_index = excluded.version_index,
           revision = excluded.revision, updated_at = excluded.updated_at",
        [
            uid.into(),
            target.organization.into(),
            target.repository_id.into(),
            target.name.into(),
            summary.description.as_ref().into(),
            summary.package_type.as_str().into(),
            summary.abandoned.as_ref().into(),
            summary.latest_version.as_ref().into(),
            summary.version_index.as_str().into(),
            target.now.into(),
        ],
    )
}

/// A version that is new or whose reference moved.
#[derive(Debug, Clone, Serialize)]
pub struct VersionUpsert {
    /// Public id for a new row.
    pub uid: String,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: String,
    /// The ref it comes from, in full.
    pub ref_name: String,
    /// Commit id.
    pub reference: String,
    /// composer.json.
    pub manifest: String,
    /// When its commit was made.
    pub released_at: Millis,
}

/// A file that people read.
#[derive(Debug, Clone, Serialize)]
pub struct FileUpsert {
    /// The version it belongs to.
    pub normalized: String,
    /// `readme`, `changelog` or `license`.
    pub kind: &'static str,
    /// As in the repository: `README.md`.
    pub name: String,
    /// SHA-256 of its text, lowercase hex.
    pub text_sha256: String,
}

/// Makes or updates versions; one statement for about a megabyte of them.
pub fn upsert_versions(target: Target<'_>, versions: &[VersionUpsert]) -> Vec<Stmt> {
    json_arguments(versions.iter().map(|version| json!(version)))
        .into_iter()
        .map(|list| {
            Stmt::new(
                "INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest,
                        released_at, created_at, updated_at)
                 SELECT j.value ->> 'uid', p.id, j.value ->> 'normalized', j.value ->> 'pretty',
                        j.value ->> 'ref_name', j.value ->> 'reference', j.value ->> 'manifest',
                        j.value ->> 'released_at', ?4, ?4
                   FROM json_each(?3) j JOIN packages p ON p.organization_id = ?1 AND p.name = ?2 WHERE true
                 ON CONFLICT (package_id, normalized) DO UPDATE SET
                   pretty = excluded.pretty, ref_name = excluded.ref_name, reference = excluded.reference,
                   manifest = excluded.manifest, released_at = excluded.released_at,
                   updated_at = excluded.updated_at, removed_at = NULL",
                [target.organization.into(), target.name.into(), list.into(), target.now.into()],
            )
        })
        .collect()
}

/// Takes every version that is not in `live` (normalized versions) out of the metadata, and marks the default branch.
pub fn settle_versions<'v>(
    target: Target<'_>,
    live: impl IntoIterator<Item = &'v str>,
    default_ref: Option<&str>,
) -> Stmt {
    let live: Vec<&str> = live.into_iter().collect();
    Stmt::new(
        "UPDATE versions SET
           removed_at = CASE WHEN normalized IN (SELECT value FROM json_each(?3)) THEN NULL ELSE ?4 END,
           is_default_branch = ref_name IS ?5
          WHERE removed_at IS NULL
            AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)
            AND (is_default_branch <> (ref_name IS ?5) OR normalized NOT IN (SELECT value FROM json_each(?3)))",
        [
            target.organization.into(),
            target.name.into(),
            json!(live).to_string().into(),
            target.now.into(),
            default_ref.into(),
        ],
    )
}

/// Takes the other packages of the repository out of the metadata: it has changed its name.
pub fn retire_other_packages(target: Target<'_>) -> [Stmt; 3] {
    let args = || [target.repository_id.into(), target.name.into(), target.now.into()];
    [
        Stmt::new(
            "UPDATE versions SET removed_at = ?3 WHERE removed_at IS NULL AND package_id IN
               (SELECT id FROM packages WHERE repository_id = ?1 AND name <> ?2 AND version_index <> '[]')",
            args(),
        ),
        Stmt::new(
            "DELETE FROM documents WHERE ?3 AND package_id IN
               (SELECT id FROM packages WHERE repository_id = ?1 AND name <> ?2 AND version_index <> '[]')",
            args(),
        ),
        Stmt::new(
            "UPDATE packages SET version_index = '[]', latest_version = NULL, updated_at = ?3,
                    revision = (SELECT o.revision FROM organizations o WHERE o.id = organization_id)
              WHERE repository_id = ?1 AND name <> ?2 AND version_index <> '[]'",
            args(),
        ),
    ]
}

/// Replaces the files of the versions in `changed` by `files`.
pub fn replace_files(target: Target<'_>, changed: &[VersionUpsert], files: &[FileUpsert]) -> Vec<Stmt> {
    let changed: Vec<&str> = changed.iter().map(|version| version.normalized.as_str()).collect();
    let mut stmts = vec![Stmt::new(
        "DELETE FROM version_files WHERE version_id IN (
           SELECT v.id FROM versions v JOIN packages p ON p.id = v.package_id
            WHERE p.organization_id = ?1 AND p.name = ?2
              AND v.normalized IN (SELECT value FROM json_each(?3)))",
        [target.organization.into(), target.name.into(), json!(changed).to_string().into()],
    )];
    stmts.extend(json_arguments(files.iter().map(|file| json!(file))).into_iter().map(|list| {
        Stmt::new(
            "INSERT INTO version_files (version_id, kind, name, text_sha256)
             SELECT v.id, j.value ->> 'kind', j.value ->> 'name', j.value ->> 'text_sha256'
               FROM json_each(?3) j
               JOIN packages p ON p.organization_id = ?1 AND p.name = ?2
               JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'normalized'",
            [target.organization.into(), target.name.into(), list.into()],
        )
    }));
    stmts
}

/// Notes the reference of every published version, so that it stays downloadable for good.
pub fn note_dists(target: Target<'_>) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO dists (version_id, reference, created_at)
         SELECT v.id, v.reference, ?3 FROM versions v JOIN packages p ON p.id = v.package_id
          WHERE p.organization_id = ?1 AND p.name = ?2 AND v.removed_at IS NULL",
        [target.organization.into(), target.name.into(), target.now.into()],
    )
}

/// Bytes of one part of a document: D1 takes 2 MB a value.
const DOCUMENT_PART_BYTES: usize = 1_000_000;

/// Replaces both documents of a package.
pub fn replace_documents(target: Target<'_>, stable: &str, dev: &str) -> Vec<Stmt> {
    let mut stmts = vec![Stmt::new(
        "DELETE FROM documents WHERE package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [target.organization.into(), target.name.into()],
    )];
    for (stability, document) in [("stable", stable), ("dev", dev)] {
        for (part, body) in (0_i64..).zip(parts(document, DOCUMENT_PART_BYTES)) {
            stmts.push(Stmt::new(
                "INSERT INTO documents (package_id, stability, part, body)
                 SELECT id, ?3, ?4, ?5 FROM packages WHERE organization_id = ?1 AND name = ?2",
                [target.organization.into(), target.name.into(), stability.into(), part.into(), body.into()],
            ));
        }
    }
    stmts
}

/// A document in parts of at most `bytes`.
pub fn parts(mut document: &str, bytes: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    while document.len() > bytes {
        let (part, rest) = document.split_at(document.floor_char_boundary(bytes));
        parts.push(part);
        document = rest;
    }
    parts.push(document);
    parts
}

// Across organizations: a text belongs to whatever content it has; the refs are those of a repository whose lease the sync holds.

/// Stores texts by their hash: `(sha256, content)`.
pub fn insert_texts(texts: &[(String, String)]) -> Vec<Stmt> {
    json_arguments(texts.iter().map(|text| json!(text)))
        .into_iter()
        .map(|list| {
            Stmt::new(
                "INSERT OR IGNORE INTO texts (sha256, content)
                 SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?1) j",
                [list.into()],
            )
        })
        .collect()
}

/// Remembers the refs that were carried through, what became of each, and what the server can do.
pub fn replace_refs(repository_id: i64, refs: &[RefRow], digest: &str, capabilities: &str) -> Vec<Stmt> {
    let mut stmts = vec![
        Stmt::new("DELETE FROM repository_refs WHERE repository_id = ?1", [repository_id.into()]),
        Stmt::new(
            "UPDATE repositories SET refs_digest = ?2, capabilities = ?3 WHERE id = ?1",
            [repository_id.into(), digest.into(), capabilities.into()],
        ),
    ];
    stmts.extend(json_arguments(refs.iter().map(|row| json!(row))).into_iter().map(|list| {
        Stmt::new(
            "INSERT INTO repository_refs (repository_id, name, reference, version, reason)
             SELECT ?1, j.value ->> 'name', j.value ->> 'reference', j.value ->> 'version', j.value ->> 'reason'
               FROM json_each(?2) j",
            [repository_id.into(), list.into()],
        )
    }));
    stmts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_cut_between_characters_and_joins_again() {
        let document = "ü".repeat(DOCUMENT_PART_BYTES);
        let parts = parts(&document, DOCUMENT_PART_BYTES);
        assert!(parts.iter().all(|part| part.len() <= DOCUMENT_PART_BYTES));
        assert_eq!(parts.concat(), document);
    }
}
