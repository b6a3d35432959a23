//! `packages` and `versions` as shops know them: by number, the hidden ones too, and before they have a zip: the text
//! `awaited` in the SQL is [`VersionSource::AwaitingZip`](crate::store::packages::version_source::VersionSource).

use composer::{PrettyVersion, Shasum};
use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::access::released::Released;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::dists::NewArtifact;
use crate::store::{KeysetPage, OrganizationId, Query, flag};

/// A package.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogPackage {
    /// Primary key; its public id for shops.
    pub id: i64,
    /// Public id for everybody else.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// `git`, `composer` or `artifact`.
    pub kind: RepositoryKind,
    /// What lists show.
    pub description: Option<String>,
    /// Whether it is hidden.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
    /// `true`, or the replacement's name, as composer is told; `false` too.
    pub abandoned: Option<String>,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// Its version index (`registry::access::view`) of all versions, when that was asked for.
    pub versions: Option<String>,
}

macro_rules! packages {
    () => {
        "SELECT p.id, p.uid, p.name, r.kind, p.description, p.hidden_at IS NOT NULL AS hidden,
                coalesce(p.abandoned_override, p.abandoned) AS abandoned, p.created_at, p.updated_at,
                CASE WHEN ?3 THEN (SELECT json_group_array(json_array(
                                          v.normalized, v.released_at, v.pretty, v.security_fix_at IS NOT NULL))
                                     FROM versions v WHERE v.package_id = p.id) END AS versions
           FROM packages p JOIN repositories r ON r.id = p.repository_id
          WHERE p.organization_id = ?1"
    };
}

/// Looks a package up, `with_versions` or without.
pub fn package(organization: OrganizationId, id: i64, with_versions: bool) -> Query<Option<CatalogPackage>> {
    Query::one(concat!(packages!(), " AND p.id = ?2"), [organization.into(), id.into(), with_versions.into()])
}

/// Looks the package of this name up, in whatever case, `with_versions` or without.
pub fn package_by_name(organization: OrganizationId, name: &str, with_versions: bool) -> Query<Option<CatalogPackage>> {
    Query::one(
        concat!(packages!(), " AND p.name = lower(?2)"),
        [organization.into(), name.into(), with_versions.into()],
    )
}

/// Looks the package with this public id up, `with_versions` or without.
pub fn package_by_uid(organization: OrganizationId, uid: &str, with_versions: bool) -> Query<Option<CatalogPackage>> {
    Query::one(concat!(packages!(), " AND p.uid = ?2"), [organization.into(), uid.into(), with_versions.into()])
}

/// A page of the packages by number, without their versions, and how many there are in all.
pub fn packages(organization: OrganizationId, page: KeysetPage) -> (Query<Vec<CatalogPackage>>, Query<i64>) {
    (
        Query::all(
            concat!(packages!(), " AND p.id > ifnull(?5, 0) ORDER BY p.id LIMIT ?2 OFFSET ?4"),
            [organization.into(), page.limit.into(), false.into(), page.offset.into(), page.after.into()],
        ),
        Query::count("SELECT count(*) AS total FROM packages WHERE organization_id = ?1", [organization.into()]),
    )
}

/// Reads the packages with these primary keys by number, `with_versions` or without.
pub fn packages_by_ids(organization: OrganizationId, ids: &[i64], with_versions: bool) -> Query<Vec<CatalogPackage>> {
    Query::all(
        concat!(packages!(), " AND p.id IN (SELECT value FROM json_each(?2)) ORDER BY p.id"),
        [organization.into(), json!(ids).to_string().into(), with_versions.into()],
    )
}

/// The number and the name of a package.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogName {
    /// Primary key.
    pub id: i64,
    /// `vendor/package`.
    pub name: String,
}

/// Reads the packages whose names lie in one of `ranges` (a JSON array of pairs), by number. At most `limit`.
pub fn names_in(organization: OrganizationId, ranges: String, limit: i64) -> Query<Vec<CatalogName>> {
    Query::all(
        "SELECT DISTINCT p.id, p.name FROM json_each(?2) t
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name BETWEEN t.value ->> 0 AND t.value ->> 1
          ORDER BY p.id LIMIT ?3",
        [organization.into(), ranges.into(), limit.into()],
    )
}

/// A package about to be made.
pub struct NewPackage<'a> {
    /// Public id.
    pub uid: &'a str,
    /// `vendor/package`.
    pub name: &'a str,
    /// What lists show, whatever composer.json says.
    pub description: Option<&'a str>,
    /// Whether it is hidden.
    pub hidden: bool,
}

/// The statement that makes a package without versions in the organization's repository of uploaded zips. Its batch
/// fails with a conflict when the name is taken.
pub fn insert_package(organization: OrganizationId, new: &NewPackage<'_>, now: Millis) -> Stmt {
    Stmt::new(
        "INSERT INTO packages (uid, organization_id, repository_id, name, description, description_override, type,
                revision, hidden_at, created_at, updated_at)
         SELECT ?2, o.id, r.id, ?3, ?4, ?4, 'library', o.revision, CASE WHEN ?5 THEN ?6 END, ?6, ?6
           FROM organizations o JOIN repositories r ON r.organization_id = o.id AND r.kind = 'artifact'
          WHERE o.id = ?1 ORDER BY r.id LIMIT 1",
        [organization.into(), new.uid.into(), new.name.into(), new.description.into(), new.hidden.into(), now.into()],
    )
}

/// Gives a package without a version that has a zip another name, unless a permission or a token names it; whether that was
/// done. Its batch fails with a conflict when the name is taken. The organization's revision must have been moved before; the
/// documents that were rendered under the old name go.
pub fn rename_package(organization: OrganizationId, id: i64, name: &str, now: Millis) -> (Query<bool>, Stmt) {
    let rename = Query::any(
        "UPDATE packages SET name = ?3, updated_at = ?4,
                revision = (SELECT o.revision FROM organizations o WHERE o.id = ?1)
          WHERE id = ?2 AND organization_id = ?1
            AND repository_id IN (SELECT r.id FROM repositories r WHERE r.organization_id = ?1 AND r.kind = 'artifact')
            AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.package_id = ?2 AND v.ref_name <> 'awaited')
            AND NOT EXISTS (SELECT 1 FROM grants g LEFT JOIN tokens t ON t.id = g.token_id
                              LEFT JOIN consumers c ON c.id = g.consumer_id
                             WHERE lower(g.target) = packages.name AND ?1 IN (t.organization_id, c.organization_id))
         RETURNING id",
        [organization.into(), id.into(), name.into(), now.into()],
    );
    let documents = Stmt::new(
        "DELETE FROM documents WHERE package_id IN (
           SELECT p.id FROM packages p WHERE p.id = ?2 AND p.organization_id = ?1 AND p.name = ?3)",
        [organization.into(), id.into(), name.into()],
    );
    (rename, documents)
}

/// A version.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogVersion {
    /// Primary key; its public id for shops.
    pub id: i64,
    /// Public id for everybody else.
    pub uid: String,
    /// Primary key of its package.
    pub package_id: i64,
    /// Public id of that.
    pub package_uid: String,
    /// The name of that.
    pub package: String,
    /// What people read.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    #[serde(flatten)]
    pub released: Released,
    /// Whether that is open until it is listed.
    #[serde(deserialize_with = "flag")]
    pub released_when_shown: bool,
    /// Whether it has no zip yet.
    #[serde(deserialize_with = "flag")]
    pub awaited: bool,
    /// Whether it is hidden.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
    /// Whether it was taken out of the metadata.
    #[serde(deserialize_with = "flag")]
    pub yanked: bool,
    /// What the shop calls its zip.
    pub filename: Option<String>,
    /// SHA-1 of its zip, once there is one.
    pub sha1: Option<Shasum>,
    /// SHA-256 of its zip.
    pub sha256: Option<String>,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

macro_rules! versions {
    () => {
        "SELECT v.id, v.uid, p.id AS package_id, p.uid AS package_uid, p.name AS package, v.pretty, v.normalized,
                v.released_at, v.security_fix_at IS NOT NULL AS security_fix, v.released_when_shown,
                v.removed_at IS NOT NULL AS awaited, v.hidden_at IS NOT NULL AS hidden,
                v.yanked_at IS NOT NULL AS yanked, v.filename, a.sha1, a.sha256, v.created_at, v.updated_at
           FROM versions v JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256
          WHERE (v.removed_at IS NULL OR v.ref_name = 'awaited')"
    };
}

/// Looks a version up. What is gone upstream is none.
pub fn version(organization: OrganizationId, id: i64) -> Query<Option<CatalogVersion>> {
    Query::one(concat!(versions!(), " AND v.id = ?2"), [organization.into(), id.into()])
}

/// Looks the version of a package up that Composer compares as `normalized`; see [`version`].
pub fn version_of(organization: OrganizationId, package_id: i64, normalized: &str) -> Query<Option<CatalogVersion>> {
    Query::one(
        concat!(versions!(), " AND v.package_id = ?2 AND v.normalized = ?3"),
        [organization.into(), package_id.into(), normalized.into()],
    )
}

/// The statement that keeps a version as what a request made, right behind the statement that notes that: what identifies it is
/// its number. See [`keep`](crate::store::identity::idempotency::keep).
pub fn keep_version(organization: OrganizationId, request_uid: &str, package_id: i64, normalized: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO idempotency_results (key_uid, result)
         SELECT ?2, v.id FROM versions v JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
          WHERE v.package_id = ?3 AND v.normalized = ?4 AND changes() > 0",
        [organization.into(), request_uid.into(), package_id.into(), normalized.into()],
    )
}

/// All versions of a package by number; see [`version`].
pub fn versions(organization: OrganizationId, package_id: i64) -> Query<Vec<CatalogVersion>> {
    Query::all(concat!(versions!(), " AND v.package_id = ?2 ORDER BY v.id"), [organization.into(), package_id.into()])
}

/// What a version whose zip has yet to come is to be.
pub struct AwaitedVersion<'a> {
    /// What Composer compares.
    pub normalized: &'a str,
    /// What people read.
    pub pretty: &'a str,
    /// Whether it is hidden.
    pub hidden: bool,
    /// Whether it is a security fix.
    pub security_fix: bool,
    /// What the shop calls its zip.
    pub filename: Option<&'a str>,
    /// When it was released; `None` is when it is listed.
    pub released_at: Option<Millis>,
}

/// Makes a version whose zip has yet to come, unless the package has `most`; whether it was made. Its batch fails with a
/// conflict when the package has the version.
pub fn insert_version(
    organization: OrganizationId,
    package_id: i64,
    uid: &str,
    version: &AwaitedVersion<'_>,
    most: i64,
    now: Millis,
) -> Query<bool> {
    Query::any(
        "INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at,
                released_when_shown, removed_at, hidden_at, security_fix_at, filename, created_at, updated_at)
         SELECT ?2, p.id, ?3, ?4, 'awaited', '', '{}', coalesce(?11, ?6), ?11 IS NULL, ?6, CASE WHEN ?5 THEN ?6 END,
                CASE WHEN ?9 THEN ?6 END, ?10, ?6, ?6
           FROM packages p
          WHERE p.id = ?1 AND p.organization_id = ?8
            AND (SELECT count(*) FROM versions v WHERE v.package_id = p.id) < ?7
         RETURNING id",
        [
            package_id.into(),
            uid.into(),
            version.normalized.into(),
            version.pretty.into(),
            version.hidden.into(),
            now.into(),
            most.into(),
            organization.into(),
            version.security_fix.into(),
            version.filename.into(),
            version.released_at.into(),
        ],
    )
}

/// Changes a version whose zip has yet to come; whether there is one. Its batch fails with a conflict when the package has
/// another version of that name.
pub fn update_awaiting_zip(
    organization: OrganizationId,
    id: i64,
    version: &AwaitedVersion<'_>,
    now: Millis,
) -> Query<bool> {
    Query::any(
        "UPDATE versions SET normalized = ?2, pretty = ?3, hidden_at = CASE WHEN ?4 THEN ?5 END,
                security_fix_at = CASE WHEN ?7 THEN coalesce(security_fix_at, ?5) END, filename = ?8,
                released_at = coalesce(?9, ?5), released_when_shown = ?9 IS NULL, updated_at = ?5
          WHERE id = ?1 AND ref_name = 'awaited' AND package_id IN (SELECT p.id FROM packages p WHERE p.organization_id = ?6)
         RETURNING id",
        [
            id.into(),
            version.normalized.into(),
            version.pretty.into(),
            version.hidden.into(),
            now.into(),
            organization.into(),
            version.security_fix.into(),
            version.filename.into(),
            version.released_at.into(),
        ],
    )
}

/// Deletes a version whose zip has yet to come; whether there was one.
pub fn delete_awaiting_zip(organization: OrganizationId, id: i64) -> Query<bool> {
    Query::any(
        "DELETE FROM versions
          WHERE id = ?2 AND ref_name = 'awaited' AND package_id IN (SELECT p.id FROM packages p WHERE p.organization_id = ?1)
         RETURNING id",
        [organization.into(), id.into()],
    )
}

/// The statement that gives a package the organization's revision, which must have been moved before: whoever is about
/// to publish something of it has to look at it again.
pub fn bump(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new(
        "UPDATE packages SET revision = (SELECT o.revision FROM organizations o WHERE o.id = ?1)
          WHERE id = ?2 AND organization_id = ?1",
        [organization.into(), package_id.into()],
    )
}

/// Finds a zip that a version of the package has, by its SHA-1 or SHA-256.
pub fn zip(organization: OrganizationId, package_id: i64, hash: &str) -> Query<Option<NewArtifact>> {
    Query::one(
        "SELECT a.sha256, a.sha1, a.size FROM packages p JOIN versions v ON v.package_id = p.id
           JOIN dists d ON d.version_id = v.id JOIN artifacts a ON a.sha256 = d.artifact_sha256
          WHERE p.id = ?1 AND p.organization_id = ?3 AND (a.sha256 = ?2 OR a.sha1 = ?2) AND a.doomed_at IS NULL LIMIT 1",
        [package_id.into(), hash.into(), organization.into()],
    )
}

/// The hash that a zip's file name holds.
pub fn hash_of(filename: &str) -> Option<&str> {
    let hash = filename.strip_suffix(".zip")?;
    let is_hash = matches!(hash.len(), 40 | 64) && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then_some(hash)
}
