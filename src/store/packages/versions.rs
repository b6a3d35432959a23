//! `versions` and what hangs on them, as people read them: details, texts, downloads, and who requires a package.

use composer::{PrettyVersion, Reference, Shasum};
use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::access::released::Released;
use crate::store::packages::remarks::Remark;
use crate::store::{OrganizationId, Query, flag, json_text};

/// A version with no more than it takes to decide who sees it, and where in a list it stands.
#[derive(Debug, Clone, Deserialize)]
pub struct SlimVersion {
    /// Primary key.
    pub id: i64,
    /// What people read.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether an operator took it out of the metadata.
    #[serde(deserialize_with = "flag")]
    pub yanked: bool,
}

/// Reads the versions of a package (its public id or its name) as [`SlimVersion`]s, in no order; not the hidden
/// ones.
pub fn slim(organization: OrganizationId, key: &str) -> Query<Vec<SlimVersion>> {
    Query::all(
        "SELECT v.id, v.pretty, v.normalized, v.released_at, v.security_fix_at IS NOT NULL AS security_fix,
                v.yanked_at IS NOT NULL AS yanked
           FROM packages p JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL AND v.hidden_at IS NULL
          WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = lower(?2)) AND p.hidden_at IS NULL",
        [organization.into(), key.into()],
    )
}

/// One version in a package's details.
#[derive(Debug, Clone, Deserialize)]
pub struct VersionRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// Commit id, or SHA-1 of the uploaded zip.
    pub reference: Reference,
    /// Whether it is the default branch.
    #[serde(deserialize_with = "flag")]
    pub is_default_branch: bool,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether it comes from an upstream that does not say when it was released.
    #[serde(deserialize_with = "flag")]
    pub is_undated: bool,
    /// When an operator took it out of the metadata.
    pub yanked_at: Option<Millis>,
    /// SHA-1 of its zip, once that is built.
    pub shasum: Option<Shasum>,
    /// Size of its zip in bytes, once that is built.
    pub size: Option<i64>,
    /// Why its zip cannot be built.
    pub dist_error: Option<String>,
    /// JSON array of `[kind, file name]` of what people read.
    #[serde(deserialize_with = "json_text")]
    pub files: Vec<(String, String)>,
    /// What operators should know of it.
    #[serde(deserialize_with = "json_text")]
    pub remarks: Vec<Remark>,
    /// composer.json, when it was asked for.
    pub manifest: Option<String>,
}

macro_rules! version_columns {
    () => {
        "v.id, v.uid, v.pretty, v.normalized, v.reference, v.is_default_branch, v.released_at,
         v.security_fix_at IS NOT NULL AS security_fix, v.yanked_at,
         v.ref_name = '' AND v.manifest ->> '$.time' IS NULL AS is_undated,
         a.sha1 AS shasum, a.size, d.error AS dist_error,
         (SELECT json_group_array(json_array(f.kind, f.name)) FROM version_files f WHERE f.version_id = v.id) AS files,
         (SELECT json_group_array(json_object('kind', m.kind, 'text', m.text)) FROM remarks m
           WHERE m.repository_id = (SELECT o.repository_id FROM packages o WHERE o.id = v.package_id)
             AND m.subject IN (v.ref_name, v.reference)) AS remarks
       FROM versions v
       LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
       LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256"
    };
}

/// Reads the versions of a package (its public id or its name) as [`VersionRow`]s without their composer.json, in no
/// order; the yanked ones too, not the hidden ones.
pub fn of_package(organization: OrganizationId, key: &str) -> Query<Vec<VersionRow>> {
    Query::all(
        concat!(
            "SELECT NULL AS manifest, ",
            version_columns!(),
            " JOIN packages p ON p.id = v.package_id
              WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = lower(?2)) AND p.hidden_at IS NULL
                AND v.removed_at IS NULL AND v.hidden_at IS NULL"
        ),
        [organization.into(), key.into()],
    )
}

/// The versions with these primary keys in no order, with their composer.json.
pub fn by_ids(organization: OrganizationId, ids: &[i64]) -> Query<Vec<VersionRow>> {
    Query::all(
        concat!(
            "SELECT v.manifest, ",
            version_columns!(),
            " WHERE v.id IN (SELECT value FROM json_each(?2))
                AND v.package_id IN (SELECT p.id FROM packages p WHERE p.organization_id = ?1)"
        ),
        [organization.into(), json!(ids).to_string().into()],
    )
}

/// A text that people read.
#[derive(Debug, Clone, Deserialize)]
pub struct TextRow {
    /// File name, as in the repository.
    pub name: String,
    /// The text.
    pub content: String,
}

/// The text of one kind (`readme`, `changelog`, `license`) of a version, if it has one.
pub fn text(organization: OrganizationId, version_id: i64, kind: &str) -> Query<Option<TextRow>> {
    Query::one(
        "SELECT f.name, t.content FROM versions v JOIN packages p ON p.id = v.package_id
           JOIN version_files f ON f.version_id = v.id JOIN texts t ON t.sha256 = f.text_sha256
          WHERE v.id = ?2 AND f.kind = ?3 AND p.organization_id = ?1",
        [organization.into(), version_id.into(), kind.into()],
    )
}

/// The statement that takes a version out of the metadata (at a moment) or puts it back (`None`).
pub fn yank(organization: OrganizationId, package: &str, normalized: &str, at: Option<Millis>) -> Stmt {
    Stmt::new(
        "UPDATE versions SET yanked_at = ?4
          WHERE normalized = ?3 AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), normalized.into(), at.into()],
    )
}

/// The statement that hides a version from everybody or shows it again.
pub fn hide(organization: OrganizationId, package: &str, normalized: &str, hidden: bool, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE versions SET hidden_at = CASE WHEN ?4 THEN ?5 END, updated_at = ?5
          WHERE normalized = ?3 AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), normalized.into(), hidden.into(), now.into()],
    )
}

/// The statement that says that a version is a security fix (since a moment), or no longer says so (`None`).
pub fn mark_security_fix(organization: OrganizationId, package: &str, normalized: &str, at: Option<Millis>) -> Stmt {
    Stmt::new(
        "UPDATE versions SET security_fix_at = ?4
          WHERE normalized = ?3 AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), normalized.into(), at.into()],
    )
}

/// The statement that says when a version was released that nobody could see yet (`None`: it is when it is shown).
pub fn release(organization: OrganizationId, package: &str, normalized: &str, at: Option<Millis>, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE versions SET released_at = coalesce(?4, ?5), released_when_shown = ?4 IS NULL, updated_at = ?5
          WHERE normalized = ?3 AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), normalized.into(), at.into(), now.into()],
    )
}

/// The statement that deletes a version with its dists.
pub fn delete(organization: OrganizationId, package: &str, normalized: &str) -> Stmt {
    Stmt::new(
        "DELETE FROM versions
          WHERE normalized = ?3 AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), normalized.into()],
    )
}

/// The statement that deletes several versions (normalized) with their dists.
pub fn delete_all(organization: OrganizationId, package: &str, normalized: &[&str]) -> Stmt {
    Stmt::new(
        "DELETE FROM versions
          WHERE normalized IN (SELECT value FROM json_each(?3))
            AND package_id = (SELECT id FROM packages WHERE organization_id = ?1 AND name = ?2)",
        [organization.into(), package.into(), json!(normalized).to_string().into()],
    )
}
