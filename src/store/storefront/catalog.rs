//! `packages` and `versions` as shops know them: by number, the hidden ones too, and before they have a zip.

use crate::ports::{Fault, Millis, Row, Stmt};
use crate::store::OrganizationId;
use crate::store::Page;

/// `versions.ref_name` of a version whose zip has yet to come. `removed_at` keeps it out of everything else until then.
pub const AWAITED: &str = "awaited";

/// A package.
#[derive(Debug, Clone)]
pub struct CatalogPackage {
    /// Primary key; its public id for shops.
    pub id: i64,
    /// Public id for everybody else.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// `git`, `composer` or `artifact`.
    pub kind: String,
    /// What lists show.
    pub description: Option<String>,
    /// Whether it is hidden.
    pub hidden: bool,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
    /// JSON array of `[normalized version, released_at, pretty version]` of all versions, when that was asked for.
    pub versions: Option<String>,
}

impl CatalogPackage {
    /// Reads what [`package`] and its neighbours yield.
    pub fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.needed_number("id")?,
            uid: row.needed_text("uid")?,
            name: row.needed_text("name")?,
            kind: row.needed_text("kind")?,
            description: row.text("description"),
            hidden: row.is_true("hidden"),
            created_at: Millis(row.needed_number("created_at")?),
            updated_at: Millis(row.needed_number("updated_at")?),
            versions: row.text("versions"),
        })
    }
}

macro_rules! packages {
    () => {
        "SELECT p.id, p.uid, p.name, r.kind, p.description, p.hidden_at IS NOT NULL AS hidden, p.created_at, p.updated_at,
                CASE WHEN ?3 THEN (SELECT json_group_array(json_array(v.normalized, v.released_at, v.pretty))
                                     FROM versions v WHERE v.package_id = p.id) END AS versions
           FROM packages p JOIN repositories r ON r.id = p.repository_id
          WHERE p.organization_id = ?1"
    };
}

/// Reads a package as one [`CatalogPackage`] or none, `with_versions` or without.
pub fn package(organization: OrganizationId, id: i64, with_versions: bool) -> Stmt {
    Stmt::new(concat!(packages!(), " AND p.id = ?2"), [organization.into(), id.into(), with_versions.into()])
}

/// Reads the package of this name; see [`package`].
pub fn package_by_name(organization: OrganizationId, name: &str) -> Stmt {
    Stmt::new(concat!(packages!(), " AND p.name = ?2"), [organization.into(), name.into(), false.into()])
}

/// The statements that read a page of the packages by number, and how many there are in all; see [`package`].
pub fn packages(organization: OrganizationId, page: Page, with_versions: bool) -> [Stmt; 2] {
    [
        Stmt::new(
            concat!(packages!(), " ORDER BY p.id LIMIT ?2 OFFSET ?4"),
            [organization.into(), page.limit.into(), with_versions.into(), page.offset.into()],
        ),
        Stmt::new("SELECT count(*) AS total FROM packages WHERE organization_id = ?1", [organization.into()]),
    ]
}

/// The statement that makes a package without versions in the organization's repository of uploaded zips. Its batch
/// fails with a conflict when the name is taken.
pub fn insert_package(
    organization: OrganizationId,
    (uid, name): (&str, &str),
    description: Option<&str>,
    hidden: bool,
    now: Millis,
) -> Stmt {
    Stmt::new(
        "INSERT INTO packages (uid, organization_id, repository_id, name, description, description_override, type,
                revision, hidden_at, created_at, updated_at)
         SELECT ?2, o.id, r.id, ?3, ?4, ?4, 'library', o.revision, CASE WHEN ?5 THEN ?6 END, ?6, ?6
           FROM organizations o JOIN repositories r ON r.organization_id = o.id AND r.kind = 'artifact'
          WHERE o.id = ?1 ORDER BY r.id LIMIT 1",
        [organization.into(), uid.into(), name.into(), description.into(), hidden.into(), now.into()],
    )
}

/// A version.
#[derive(Debug, Clone)]
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
    pub pretty: String,
    /// What Composer compares.
    pub normalized: String,
    /// When it was released.
    pub released_at: Millis,
    /// Whether it has no zip yet.
    pub awaited: bool,
    /// Whether it is hidden.
    pub hidden: bool,
    /// SHA-1 of its zip, once there is one.
    pub sha1: Option<String>,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

impl CatalogVersion {
    /// Reads what [`version`] and its neighbours yield.
    pub fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.needed_number("id")?,
            uid: row.needed_text("uid")?,
            package_id: row.needed_number("package_id")?,
            package_uid: row.needed_text("package_uid")?,
            package: row.needed_text("package")?,
            pretty: row.needed_text("pretty")?,
            normalized: row.needed_text("normalized")?,
            released_at: Millis(row.needed_number("released_at")?),
            awaited: row.is_true("awaited"),
            hidden: row.is_true("hidden"),
            sha1: row.text("sha1"),
            created_at: Millis(row.needed_number("created_at")?),
            updated_at: Millis(row.needed_number("updated_at")?),
        })
    }
}

macro_rules! versions {
    () => {
        "SELECT v.id, v.uid, p.id AS package_id, p.uid AS package_uid, p.name AS package, v.pretty, v.normalized,
                v.released_at, v.removed_at IS NOT NULL AS awaited, v.hidden_at IS NOT NULL AS hidden, a.sha1,
                v.created_at, v.updated_at
           FROM versions v JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256
          WHERE (v.removed_at IS NULL OR v.ref_name = 'awaited')"
    };
}

/// Reads a version as one [`CatalogVersion`] or none. What is gone upstream is none.
pub fn version(organization: OrganizationId, id: i64) -> Stmt {
    Stmt::new(concat!(versions!(), " AND v.id = ?2"), [organization.into(), id.into()])
}

/// Reads the version of a package that Composer compares as `normalized`; see [`version`].
pub fn version_of(organization: OrganizationId, package_id: i64, normalized: &str) -> Stmt {
    Stmt::new(
        concat!(versions!(), " AND v.package_id = ?2 AND v.normalized = ?3"),
        [organization.into(), package_id.into(), normalized.into()],
    )
}

/// Reads all versions of a package by number; see [`version`].
pub fn versions(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new(concat!(versions!(), " AND v.package_id = ?2 ORDER BY v.id"), [organization.into(), package_id.into()])
}

/// The statement that makes a version whose zip has yet to come, unless the package has `most`; returns its id. Its batch
/// fails with a conflict when the package has the version.
pub fn insert_version(
    organization: OrganizationId,
    package_id: i64,
    (uid, normalized, pretty): (&str, &str, &str),
    hidden: bool,
    (now, most): (Millis, i64),
) -> Stmt {
    Stmt::new(
        "INSERT INTO versions (uid, package_id, normalized, pretty, ref_name, reference, manifest, released_at,
                removed_at, hidden_at, created_at, updated_at)
         SELECT ?2, p.id, ?3, ?4, 'awaited', '', '{}', ?6, ?6, CASE WHEN ?5 THEN ?6 END, ?6, ?6 FROM packages p
          WHERE p.id = ?1 AND p.organization_id = ?8
            AND (SELECT count(*) FROM versions v WHERE v.package_id = p.id) < ?7
         RETURNING id",
        [
            package_id.into(),
            uid.into(),
            normalized.into(),
            pretty.into(),
            hidden.into(),
            now.into(),
            most.into(),
            organization.into(),
        ],
    )
}

/// The statement that changes a version whose zip has yet to come; returns its id. Its batch fails with a conflict when
/// the package has another version of that name.
pub fn update_awaited(
    organization: OrganizationId,
    id: i64,
    (normalized, pretty): (&str, &str),
    hidden: bool,
    now: Millis,
) -> Stmt {
    Stmt::new(
        "UPDATE versions SET normalized = ?2, pretty = ?3, hidden_at = CASE WHEN ?4 THEN ?5 END, updated_at = ?5
          WHERE id = ?1 AND ref_name = 'awaited' AND package_id IN (SELECT p.id FROM packages p WHERE p.organization_id = ?6)
         RETURNING id",
        [id.into(), normalized.into(), pretty.into(), hidden.into(), now.into(), organization.into()],
    )
}

/// The statement that deletes a version whose zip has yet to come; returns its id.
pub fn delete_awaited(organization: OrganizationId, id: i64) -> Stmt {
    Stmt::new(
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

/// Finds a zip that a version of the package has, by its SHA-1 or SHA-256: `sha256`, `sha1` and `size`, one row or none.
pub fn zip(organization: OrganizationId, package_id: i64, hash: &str) -> Stmt {
    Stmt::new(
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
