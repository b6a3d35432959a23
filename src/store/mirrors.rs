//! `mirrors`: what upstream repositories answered when they were asked for a name, and whose a name is.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::composer::Root;
use crate::ports::{Millis, Stmt};
use crate::store::{flag, json_rows};

/// What a server wants to be told when it is asked for a document again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`, verbatim.
    pub etag: Option<String>,
    /// `Last-Modified`, verbatim.
    pub last_modified: Option<String>,
}

/// An upstream's root as it is kept with its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRoot {
    /// What it says.
    pub root: Root,
    /// How to ask for it again.
    pub validators: Validators,
}

/// What an upstream answered for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    /// It has versions.
    Found,
    /// It has no such package.
    Absent,
    /// It has the name, and no version.
    Claimed,
}

/// An upstream repository, with what is known of its answer for one name.
#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamRow {
    /// Primary key.
    pub id: i64,
    /// Public id.
    pub uid: String,
    /// Where it is.
    pub url: String,
    /// `composer` or `packagist`.
    pub provider: String,
    /// `none`, `token` or `basic`.
    pub credential_type: String,
    /// Sealed.
    pub credentials: Option<String>,
    /// Names and globs.
    pub package_filter: Option<Vec<String>>,
    /// Its root, once it was read.
    pub root: Option<StoredRoot>,
    /// What it answered for the name.
    pub answer: Option<Answered>,
    /// When.
    pub checked_at: Option<Millis>,
    /// Of its two documents.
    pub validators: Option<Vec<Validators>>,
    /// SHA-256 over its documents.
    pub digest: Option<String>,
}

/// Whose a name is.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Ownership {
    /// The repository that has the package.
    pub owner: Option<i64>,
    /// That repository's provider.
    pub owner_provider: Option<String>,
    /// The package's revision.
    pub revision: Option<i64>,
    /// Whether the package comes from git or an upload.
    #[serde(deserialize_with = "flag")]
    pub is_own: bool,
    /// Whether some package of the vendor does.
    #[serde(deserialize_with = "flag")]
    pub has_own_vendor: bool,
    /// Whether the vendor is in `reserved_vendors`.
    #[serde(deserialize_with = "flag")]
    pub is_reserved: bool,
}

/// All that decides who answers for a name; a look-up of a package that is not our own brings it along.
#[derive(Debug, Clone, Deserialize)]
pub struct Facts {
    /// Whose it is.
    #[serde(flatten)]
    pub ownership: Ownership,
    /// Whether there are advisories or filter entries about it.
    #[serde(deserialize_with = "flag")]
    pub has_notices: bool,
    /// Every upstream that may be asked, in no order.
    pub upstreams: Vec<UpstreamRow>,
}

/// A name and whose it is.
#[derive(Debug, Clone, Deserialize)]
pub struct OwnedName {
    /// `vendor/package`.
    pub name: String,
    /// Whose.
    #[serde(flatten)]
    pub ownership: Ownership,
}

/// Reads whose each of `names` (a JSON array) is, as [`OwnedName`]s.
pub fn ownership(organization_id: i64, names: String) -> Stmt {
    Stmt::new(
        "SELECT j.value AS name, p.repository_id AS owner, o.provider AS owner_provider, p.revision,
                coalesce(o.kind <> 'composer', 0) AS is_own,
                EXISTS (SELECT 1 FROM packages q JOIN repositories r ON r.id = q.repository_id
                         WHERE q.organization_id = ?1 AND r.kind <> 'composer'
                           AND q.name >= substr(j.value, 1, instr(j.value, '/'))
                           AND q.name < substr(j.value, 1, instr(j.value, '/') - 1) || '0') AS has_own_vendor,
                EXISTS (SELECT 1 FROM settings s, json_each(s.value) v
                         WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'
                           AND v.value = substr(j.value, 1, instr(j.value, '/') - 1)) AS is_reserved
           FROM json_each(?2) j
           LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = j.value
           LEFT JOIN repositories o ON o.id = p.repository_id",
        [organization_id.into(), names.into()],
    )
}

/// A package that an upstream has, of a vendor that is reserved or has packages of our own.
#[derive(Debug, Clone, Deserialize)]
pub struct Contested {
    /// `vendor/package`.
    pub name: String,
    /// The upstream.
    pub repository_id: i64,
    /// Its provider.
    pub provider: String,
    /// `none`, `token` or `basic`.
    pub credential_type: String,
    /// JSON array of names and globs.
    pub package_filter: Option<String>,
}

/// Reads the published packages of upstreams whose vendor is reserved or has packages of our own, as [`Contested`]s.
pub fn contested(organization_id: i64) -> Stmt {
    Stmt::new(
        "SELECT p.name, p.repository_id, r.provider, r.credential_type, r.package_filter
           FROM repositories r CROSS JOIN packages p ON p.repository_id = r.id
          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND p.version_index <> '[]'
            AND substr(p.name, 1, instr(p.name, '/') - 1) IN (
                  SELECT substr(q.name, 1, instr(q.name, '/') - 1)
                    FROM packages q JOIN repositories s ON s.id = q.repository_id
                   WHERE q.organization_id = ?1 AND s.kind <> 'composer'
                  UNION
                  SELECT v.value FROM settings t, json_each(t.value) v
                   WHERE t.organization_id = ?1 AND t.key = 'reserved_vendors')",
        [organization_id.into()],
    )
}

/// A published version, as a later answer of its upstream is compared with it.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownVersion {
    /// `vendor/package`.
    pub name: String,
    /// What Composer compares.
    pub normalized: String,
    /// What its archive is addressed by.
    pub reference: String,
    /// When it was released, or first seen.
    pub released_at: Millis,
    /// SHA-1 of its zip, once that is here.
    pub shasum: Option<String>,
}

/// Reads the published versions of `names` (a JSON array) as [`KnownVersion`]s.
pub fn known_versions(organization_id: i64, names: String) -> Stmt {
    Stmt::new(
        "SELECT p.name, v.normalized, v.reference, v.released_at, a.sha1 AS shasum
           FROM json_each(?2) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value
           JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256",
        [organization_id.into(), names.into()],
    )
}

/// What an upstream answered for a name.
#[derive(Debug, Clone, Serialize)]
pub struct AnswerUpsert {
    /// The upstream.
    pub repository_id: i64,
    /// `vendor/package`.
    pub name: String,
    /// What.
    pub answer: Answered,
    /// JSON of the [`Validators`] of its two documents.
    pub validators: String,
    /// SHA-256 over its documents.
    pub digest: Option<String>,
    /// JSON array of `[version, reason]`.
    pub skipped: String,
}

/// Notes answers; those of repositories that are gone are passed over.
pub fn note_answers(answers: &[AnswerUpsert], now: Millis) -> Vec<Stmt> {
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO mirrors (repository_id, name, answer, checked_at, validators, digest, skipped)
             SELECT r.id, j.value ->> 'name', j.value ->> 'answer', ?2, j.value ->> 'validators', j.value ->> 'digest',
                    j.value ->> 'skipped'
               FROM json_each(?1) j JOIN repositories r ON r.id = j.value ->> 'repository_id' WHERE true
             ON CONFLICT (repository_id, name) DO UPDATE SET
               answer = excluded.answer, checked_at = excluded.checked_at, validators = excluded.validators,
               digest = excluded.digest, skipped = excluded.skipped, error = NULL",
            [rows.into(), now.into()],
        )
    };
    json_rows(answers).into_iter().map(statement).collect()
}

/// Notes that what upstreams answered before still holds: `(repository, name)` each.
pub fn note_unchanged(names: &[(i64, String)], now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE mirrors SET checked_at = ?2, error = NULL
          WHERE (repository_id, name) IN (SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?1) j)",
        [json!(names).to_string().into(), now.into()],
    )
}

/// Notes why an upstream could not be asked for names: `(repository, name, reason)` each.
pub fn note_failures(failures: &[(i64, String, String)], now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO mirrors (repository_id, name, checked_at, error)
         SELECT r.id, j.value ->> 1, ?2, j.value ->> 2
           FROM json_each(?1) j JOIN repositories r ON r.id = j.value ->> 0 WHERE true
         ON CONFLICT (repository_id, name) DO UPDATE SET error = excluded.error",
        [json!(failures).to_string().into(), now.into()],
    )
}

/// Forgets what a repository answered: it is another one now.
pub fn forget_answers(repository_id: i64) -> Stmt {
    Stmt::new("DELETE FROM mirrors WHERE repository_id = ?1", [repository_id.into()])
}

/// A name that an upstream was asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct MirrorRow {
    /// `vendor/package`.
    pub name: String,
    /// What it answered.
    pub answer: Option<Answered>,
    /// JSON array of [`Validators`].
    pub validators: String,
    /// SHA-256 over its documents.
    pub digest: Option<String>,
}

/// Reads the names that an upstream has, and those that it failed to tell of, as [`MirrorRow`]s: what failed first,
/// then the oldest answers, if they are from before `before`.
pub fn oldest(repository_id: i64, before: Millis, limit: i64) -> Stmt {
    Stmt::new(
        "SELECT name, answer, validators, digest FROM mirrors
          WHERE repository_id = ?1 AND (answer IS NULL OR answer <> 'absent')
            AND (checked_at < ?2 OR error IS NOT NULL)
          ORDER BY error IS NULL, checked_at LIMIT ?3",
        [repository_id.into(), before.into(), limit.into()],
    )
}

/// Reads every name that an upstream has as [`MirrorRow`]s.
pub fn found(repository_id: i64) -> Stmt {
    Stmt::new(
        "SELECT name, answer, validators, digest FROM mirrors WHERE repository_id = ?1 AND answer = 'found'",
        [repository_id.into()],
    )
}

/// What was left out of one package.
#[derive(Debug, Clone, Deserialize)]
pub struct LeftOut {
    /// `vendor/package`.
    pub name: String,
    /// Why none of it could be read at the latest attempt.
    pub error: Option<String>,
    /// JSON array of `[version, reason]`.
    pub skipped: String,
}

/// Reads what is left out of a repository as [`LeftOut`]s; at most 500 packages.
pub fn left_out(repository_id: i64) -> Stmt {
    Stmt::new(
        "SELECT name, error, skipped FROM mirrors
          WHERE repository_id = ?1 AND (error IS NOT NULL OR skipped <> '[]') ORDER BY error IS NULL, name LIMIT 500",
        [repository_id.into()],
    )
}

/// The statement that forgets the names that upstreams were asked for before `before` and did not have.
pub fn prune(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM mirrors WHERE (repository_id, name) IN (
           SELECT repository_id, name FROM mirrors
            WHERE checked_at < ?1 AND (answer IS NULL OR answer = 'absent') LIMIT 5000)",
        [before.into()],
    )
}
