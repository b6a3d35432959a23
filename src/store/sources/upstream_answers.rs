//! `mirrors`: what upstream repositories answered when they were asked for a name, and whose a name is.

use composer::{Reference, Shasum};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::json::read_text;
use crate::ports::{Millis, Stmt};
use crate::store::access::released::Released;
use crate::store::packages::authority::{AnswerKind, NameOwnership, PreviousAnswer};
use crate::store::{OrganizationId, Query, flag, json_arguments, json_text, optional_json_text};

/// A name, whose it is, and what one upstream published of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "NameColumns")]
pub struct NameRow {
    /// `vendor/package`.
    pub name: String,
    /// Whose.
    pub ownership: NameOwnership,
    /// What the upstream published of it that the statement is about.
    pub before: PreviousAnswer,
    /// Whether that upstream has it no longer, and what it had is kept.
    pub has_vanished: bool,
}

/// The columns of a [`NameRow`].
#[derive(Deserialize)]
struct NameColumns {
    name: String,
    #[serde(flatten)]
    ownership: NameOwnership,
    validators: Option<String>,
    digest: Option<String>,
    #[serde(deserialize_with = "flag")]
    has_vanished: bool,
}

impl From<NameColumns> for NameRow {
    fn from(row: NameColumns) -> Self {
        let validators = row.validators.and_then(|text| read_text(&text).ok()).unwrap_or_default();
        Self {
            name: row.name,
            ownership: row.ownership,
            before: PreviousAnswer { validators, digest: row.digest },
            has_vanished: row.has_vanished,
        }
    }
}

macro_rules! ownership_columns {
    () => {
        "n.name, p.repository_id AS owner, o.provider AS owner_provider, p.revision,
         coalesce(o.kind <> 'composer', 0) AS is_own,
         EXISTS (SELECT 1 FROM packages q JOIN repositories r ON r.id = q.repository_id
                  WHERE q.organization_id = ?1 AND r.kind <> 'composer'
                    AND q.name >= substr(n.name, 1, instr(n.name, '/'))
                    AND q.name < substr(n.name, 1, instr(n.name, '/') - 1) || '0') AS has_own_vendor,
         EXISTS (SELECT 1 FROM settings s, json_each(s.value) v
                  WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'
                    AND v.value = substr(n.name, 1, instr(n.name, '/') - 1)) AS is_reserved"
    };
}

macro_rules! owners {
    () => {
        " LEFT JOIN packages p ON p.organization_id = ?1 AND p.name = n.name
          LEFT JOIN repositories o ON o.id = p.repository_id"
    };
}

/// Reads whose each of `names` (a JSON array) is, and what `repository_id` published of it.
pub fn ownership(organization: OrganizationId, repository_id: i64, names: String) -> Query<Vec<NameRow>> {
    Query::all(
        concat!(
            "SELECT n.validators, n.digest, n.vanished_at IS NOT NULL AS has_vanished, ",
            ownership_columns!(),
            " FROM (SELECT j.value AS name, m.validators, m.digest, m.vanished_at
                      FROM json_each(?3) j LEFT JOIN mirrors m ON m.repository_id = ?2 AND m.name = j.value) n",
            owners!()
        ),
        [organization.into(), repository_id.into(), names.into()],
    )
}

/// Reads the names that an upstream has, if its answer is from before `before` or before somebody requested a sync, or it
/// failed to tell of them since: the oldest answers first, then what failed. A name that it never told of is asked for by whoever wants it.
pub fn oldest(organization: OrganizationId, repository_id: i64, before: Millis, limit: i64) -> Query<Vec<NameRow>> {
    Query::all(
        concat!(
            "SELECT n.validators, n.digest, n.vanished_at IS NOT NULL AS has_vanished, ",
            ownership_columns!(),
            " FROM (SELECT name, validators, digest, vanished_at, error, checked_at FROM mirrors
                     WHERE repository_id = ?2 AND answer <> 'absent'
                       AND (checked_at < max(?3, coalesce((SELECT r.refresh_before FROM repositories r WHERE r.id = ?2), 0))
                            OR error IS NOT NULL)
                     ORDER BY error IS NOT NULL, checked_at LIMIT ?4) n",
            owners!(),
            " ORDER BY n.error IS NOT NULL, n.checked_at"
        ),
        [organization.into(), repository_id.into(), before.into(), limit.into()],
    )
}

/// Whether there are names of which an upstream has told, and not since somebody requested a sync.
pub fn has_older_than_request(organization: OrganizationId, repository_id: i64) -> Query<bool> {
    Query::any(
        "SELECT 1 AS found FROM repositories r JOIN mirrors m ON m.repository_id = r.id
          WHERE r.id = ?2 AND r.organization_id = ?1 AND m.answer <> 'absent' AND m.error IS NULL
            AND m.checked_at < r.refresh_before LIMIT 1",
        [organization.into(), repository_id.into()],
    )
}

/// A published package of an upstream whose vendor is reserved or has packages of our own, and what decides whether the
/// upstream is a public one.
#[derive(Debug, Clone, Deserialize)]
pub struct ContestedPackage {
    /// `vendor/package`.
    pub name: String,
    /// Primary key of the upstream.
    pub repository_id: i64,
    /// `composer` or `packagist`.
    pub provider: String,
    /// `none`, `token` or `basic`.
    pub credential_type: String,
    /// Names and patterns that it is asked for; `None` is every name.
    #[serde(deserialize_with = "optional_json_text")]
    pub package_filter: Option<Vec<String>>,
}

/// Reads the published packages of upstreams whose vendor is reserved or has packages of our own.
pub fn conflicting_packages(organization: OrganizationId) -> Query<Vec<ContestedPackage>> {
    Query::all(
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
        [organization.into()],
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
    pub reference: Reference,
    /// When it was released, or first seen.
    #[serde(flatten)]
    pub released: Released,
    /// When what it is now was first published here.
    pub published_at: Millis,
    /// SHA-1 of its zip, once that is here.
    pub shasum: Option<Shasum>,
}

/// Reads the published versions of `names` (a JSON array), by name and version.
pub fn known_versions(organization: OrganizationId, names: String) -> Query<Vec<KnownVersion>> {
    Query::all(
        "SELECT p.name, v.normalized, v.reference, v.released_at, v.security_fix_at IS NOT NULL AS security_fix,
                v.published_at, a.sha1 AS shasum
           FROM json_each(?2) j
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value
           JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256
          ORDER BY p.name, v.normalized",
        [organization.into(), names.into()],
    )
}

/// A version that was left out, and why; kept as a JSON array of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct SkippedVersion {
    /// The version as its upstream writes it.
    pub version: String,
    /// Why, for the operator.
    pub reason: String,
}

impl From<(String, String)> for SkippedVersion {
    fn from((version, reason): (String, String)) -> Self {
        Self { version, reason }
    }
}

impl From<SkippedVersion> for (String, String) {
    fn from(skipped: SkippedVersion) -> Self {
        (skipped.version, skipped.reason)
    }
}

/// What is noted of an upstream's answer for a name.
#[derive(Debug, Clone)]
pub struct NewAnswer {
    /// `vendor/package`.
    pub name: String,
    /// What it answered, or why it could not be asked; what it answered before holds then.
    pub answer: Result<AnswerKind, String>,
    /// What it published; none of an absent package.
    pub published: PreviousAnswer,
    /// Whether it has the package no longer, and what it had is kept.
    pub has_vanished: bool,
    /// Versions that were left out. When the digest is the one that was noted before, so are these.
    pub skipped: Vec<SkippedVersion>,
}

/// Whether packages that their upstream has no longer leave the metadata.
pub fn retires_vanished(organization: OrganizationId) -> Query<bool> {
    Query::any(
        "SELECT 1 AS found FROM settings
          WHERE organization_id = ?1 AND key = 'retire_vanished_packages' AND value = 'true'",
        [organization.into()],
    )
}

/// What becomes of a mirrored zip whose paths or links are not safe everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnsafeZips {
    /// It is handed out, and its version has a remark.
    Warn,
    /// It is not handed out.
    Refuse,
}

/// Whether the zips of upstreams are refused whose paths or links are not safe everywhere.
pub fn refuses_unsafe_zips(organization: OrganizationId) -> Query<bool> {
    Query::any(
        "SELECT 1 AS found FROM settings
          WHERE organization_id = ?1 AND key = 'mirrored_zips' AND value = '\"refuse\"'",
        [organization.into()],
    )
}

/// A part of a document of a package that an upstream has published here.
#[derive(Debug, Clone, Deserialize)]
pub struct MirroredPart {
    /// The package.
    pub name: String,
    /// The package's version index.
    pub version_index: String,
    /// `stable` or `dev`.
    pub stability: String,
    /// The part's text.
    pub body: String,
}

/// Reads the documents of the packages among `names` (a JSON array) that `repository_id` has published, in the order of their
/// parts; none of a package of which nothing is listed.
pub fn mirrored_documents(organization: OrganizationId, repository_id: i64, names: String) -> Query<Vec<MirroredPart>> {
    Query::all(
        "SELECT p.name, p.version_index, d.stability, d.body FROM packages p JOIN documents d ON d.package_id = p.id
          WHERE p.organization_id = ?1 AND p.repository_id = ?2 AND p.name IN (SELECT value FROM json_each(?3))
            AND p.version_index <> '[]'
          ORDER BY p.name, d.stability, d.part",
        [organization.into(), repository_id.into(), names.into()],
    )
}

/// Forgets what a repository answered: it is another one now.
pub fn delete_answers(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM mirrors
          WHERE repository_id IN (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)",
        [organization.into(), repository_id.into()],
    )
}

// Across organizations: a sync holds the lease of the repository that it names by its primary key.

/// A name that an upstream has, or failed to tell of.
#[derive(Debug, Clone, Deserialize)]
pub struct KnownName {
    /// `vendor/package`.
    pub name: String,
    /// SHA-256 over its documents, or the hash that the upstream tells of them.
    pub digest: Option<String>,
    /// Whether it has it.
    #[serde(deserialize_with = "flag")]
    pub is_found: bool,
    /// Whether it failed to tell of it the last time.
    #[serde(deserialize_with = "flag")]
    pub has_failed: bool,
    /// Whether it has it no longer, and what it had is kept.
    #[serde(deserialize_with = "flag")]
    pub has_vanished: bool,
}

/// Reads every name that an upstream has, or failed to tell of, in their order.
pub fn known_names(repository_id: i64) -> Query<Vec<KnownName>> {
    Query::all(
        "SELECT name, digest, answer IS 'found' AS is_found, error IS NOT NULL AS has_failed,
                vanished_at IS NOT NULL AS has_vanished FROM mirrors
          WHERE repository_id = ?1 AND (answer = 'found' OR error IS NOT NULL) ORDER BY name",
        [repository_id.into()],
    )
}

/// Notes what an upstream answered, if it is still there.
pub fn record_answer(repository_id: i64, recorded: Vec<NewAnswer>, now: Millis) -> Vec<Stmt> {
    let row = |recorded: NewAnswer| {
        let (answer, error) = match recorded.answer {
            Ok(answer) => (Some(answer.as_str()), None),
            Err(error) => (None, Some(error)),
        };
        let validators = json!(recorded.published.validators).to_string();
        json!([
            recorded.name,
            answer,
            error,
            validators,
            recorded.published.digest,
            json!(recorded.skipped).to_string(),
            recorded.has_vanished.then_some(now.0)
        ])
    };
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO mirrors (repository_id, name, answer, error, validators, digest, skipped, vanished_at, checked_at)
             SELECT r.id, j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, j.value ->> 5, j.value ->> 6,
                    ?3
               FROM json_each(?2) j JOIN repositories r ON r.id = ?1 WHERE true
             ON CONFLICT (repository_id, name) DO UPDATE SET
               error = excluded.error,
               answer = iif(excluded.error IS NULL, excluded.answer, answer),
               checked_at = iif(excluded.error IS NULL, excluded.checked_at, checked_at),
               validators = iif(excluded.error IS NULL, excluded.validators, validators),
               skipped = iif(excluded.error IS NULL AND excluded.digest IS NOT digest, excluded.skipped, skipped),
               vanished_at = CASE WHEN excluded.error IS NOT NULL THEN vanished_at
                                  WHEN excluded.vanished_at IS NOT NULL THEN coalesce(vanished_at, excluded.vanished_at) END,
               digest = iif(excluded.error IS NULL, excluded.digest, digest)",
            [repository_id.into(), rows.into(), now.into()],
        )
        .idempotent()
    };
    json_arguments(recorded.into_iter().map(row)).into_iter().map(statement).collect()
}

/// A package of which something is left out.
#[derive(Debug, Clone, Deserialize)]
pub struct LeftOut {
    /// `vendor/package`.
    pub name: String,
    /// Why none of it could be read at the latest attempt.
    pub error: Option<String>,
    /// Its versions that were left out.
    #[serde(deserialize_with = "json_text")]
    pub skipped: Vec<SkippedVersion>,
}

/// Reads what is left out of a repository; at most 500 packages.
pub fn left_out(repository_id: i64) -> Query<Vec<LeftOut>> {
    Query::all(
        "SELECT name, error, skipped FROM mirrors
          WHERE repository_id = ?1 AND (error IS NOT NULL OR skipped <> '[]') ORDER BY error IS NULL, name LIMIT 500",
        [repository_id.into()],
    )
}

/// The statement that forgets the names that upstreams were asked for before `before` and did not have, and those that one
/// which is asked by name failed to tell of.
pub fn prune(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM mirrors WHERE (repository_id, name) IN (
           SELECT repository_id, name FROM mirrors
            WHERE checked_at < ?1 AND (answer = 'absent' OR answer IS NULL AND EXISTS (
                    SELECT 1 FROM repositories r
                     WHERE r.id = repository_id AND r.capabilities ->> '$.root.metadata_url' IS NOT NULL)) LIMIT 5000)",
        [before.into()],
    )
    .idempotent()
}
