//! `packages`, `versions` and `documents`, as readers need them. Writing them is `publication`'s.

use serde::Deserialize;

use crate::ports::{Millis, Stmt, Value};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::packages::version_source::VersionSource;
use crate::store::{OrganizationId, Page, Query, Update, flag, json_text};

/// One part of one rendered document, with its package's revision; or what decides about a name that is not our own.
#[derive(Debug, Clone, Deserialize)]
pub struct DocumentPart {
    /// Unix seconds; dates the documents.
    pub revision: i64,
    /// `stable`, `dev`, or `notices`: an object of the package's `advisories` and `filter` entries.
    pub stability: String,
    /// The text, or `None` when the revision is the one the asker knows already.
    pub body: Option<String>,
    /// JSON of [`crate::store::packages::authority::Facts`], in a row of its own.
    #[serde(default)]
    pub facts: Option<String>,
}

/// Reads both documents of a package in the order of their parts, and its notices, as [`DocumentPart`]s; the texts are
/// left out when the package still has `known_revision`. No part: there is no such package, or nothing of it is
/// published. When there are upstreams, or the vendor is reserved, a name that is not published here from git or an
/// upload brings one more row with its `facts`.
pub fn documents(organization: OrganizationId, name: &str, known_revision: Option<i64>) -> Query<Vec<DocumentPart>> {
    let vendor = name.split_once('/').map_or(name, |(vendor, _)| vendor);
    Query::all(
        "WITH package AS (
           SELECT id, organization_id, name, revision, revision IS ?3 AS is_known FROM packages
            WHERE organization_id = ?1 AND name = ?2 AND version_index <> '[]'
         )
         SELECT p.revision, d.stability, d.part, CASE WHEN p.is_known THEN NULL ELSE d.body END AS body, NULL AS facts
           FROM package p JOIN documents d ON d.package_id = p.id
         UNION ALL
         SELECT p.revision, 'notices', 0, CASE WHEN p.is_known THEN NULL ELSE json_object(
                  'advisories', json((SELECT json_group_array(json_object(
                      'advisoryId', a.advisory_id, 'affectedVersions', a.affected_versions))
                    FROM advisories a WHERE a.organization_id = p.organization_id AND a.package_name = p.name)),
                  'filter', json((SELECT json_group_array(json_object(
                      'list', e.list, 'constraint', e.version_constraint, 'reason', e.reason, 'url', e.url, 'id', e.uid))
                    FROM filter_entries e WHERE e.organization_id = p.organization_id AND e.package_name = p.name))
                ) END, NULL
           FROM package p
         UNION ALL
         SELECT 0, '', 0, NULL, (
           SELECT json_object('owner', o.repository_id, 'owner_provider', o.provider, 'revision', o.revision,
                    'is_own', coalesce(o.kind <> 'composer', 0),
                    'has_own_vendor', EXISTS (
                      SELECT 1 FROM packages q JOIN repositories r ON r.id = q.repository_id
                       WHERE q.organization_id = ?1 AND r.kind <> 'composer'
                         AND q.name >= ?4 || '/' AND q.name < ?4 || '0'),
                    'is_reserved', EXISTS (
                      SELECT 1 FROM settings s, json_each(s.value) v
                       WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors' AND v.value = ?4),
                    'upstreams', json((
                      SELECT json_group_array(json_object('id', r.id, 'uid', r.uid, 'url', r.url,
                               'provider', r.provider, 'credential_type', r.credential_type,
                               'credentials', r.credentials, 'package_filter', json(r.package_filter),
                               'root', json(r.capabilities), 'answer', m.answer, 'checked_at', m.checked_at,
                               'validators', json(m.validators), 'digest', m.digest))
                        FROM repositories r LEFT JOIN mirrors m ON m.repository_id = r.id AND m.name = ?2
                       WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1)))
             FROM (SELECT 1) LEFT JOIN (
               SELECT p.repository_id, p.revision, r.provider, r.kind
                 FROM packages p JOIN repositories r ON r.id = p.repository_id
                WHERE p.organization_id = ?1 AND p.name = ?2) o)
          WHERE NOT EXISTS (SELECT 1 FROM packages p JOIN repositories r ON r.id = p.repository_id
                             WHERE p.organization_id = ?1 AND p.name = ?2 AND p.version_index <> '[]'
                               AND r.kind <> 'composer')
            AND (EXISTS (SELECT 1 FROM repositories r
                          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1)
                 OR EXISTS (SELECT 1 FROM settings s, json_each(s.value) v
                             WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors' AND v.value = ?4))
          ORDER BY 2, 3",
        [organization.into(), name.into(), known_revision.into(), vendor.into()],
    )
}

/// A package as lists show it.
#[derive(Debug, Clone, Deserialize)]
pub struct PackageRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// Public id of the repository it comes from.
    pub repository_uid: String,
    /// `vendor/package`.
    pub name: String,
    /// From composer.json.
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
    /// Installs that composer reported.
    pub downloads: i64,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

macro_rules! package_columns {
    () => {
        "p.id, p.uid, r.uid AS repository_uid, p.name, p.description, p.type, p.abandoned, p.latest_version,
         p.version_index, p.created_at, p.updated_at,
         (SELECT coalesce(sum(d.count), 0) FROM downloads d JOIN versions v ON v.id = d.version_id
           WHERE v.package_id = p.id) AS downloads
       FROM packages p JOIN repositories r ON r.id = p.repository_id"
    };
}

/// Which packages a list holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct PackageFilter<'a> {
    /// Only those of the repository with this public id.
    pub repository_uid: Option<&'a str>,
    /// Only those whose name or description holds this text, in any case.
    pub search: Option<&'a str>,
    /// Only those of this Composer type.
    pub package_type: Option<&'a str>,
}

macro_rules! package_filter {
    () => {
        " WHERE p.organization_id = ?1 AND p.version_index <> '[]'
            AND (?2 IS NULL OR r.uid = ?2)
            AND (?3 IS NULL OR instr(lower(p.name), lower(?3)) OR instr(lower(coalesce(p.description, '')), lower(?3)))
            AND (?4 IS NULL OR p.type = ?4)"
    };
}

/// What a list of packages is sorted by; equal ones stand by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortKey {
    /// Name.
    #[default]
    Name,
    /// When it last changed.
    UpdatedAt,
    /// When it first appeared.
    CreatedAt,
    /// Installs that composer reported.
    Downloads,
}

/// In which order a list of packages stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sort {
    /// What decides.
    pub key: SortKey,
    /// Whether the largest comes first.
    pub descending: bool,
}

/// The statement of one page. By name it can stop at the page's end; else every package has to be looked at.
fn page_query(filter: &[Value; 4], sort: Sort, page: Page) -> Query<Vec<PackageRow>> {
    let mut args = filter.to_vec();
    args.extend([page.limit.into(), page.offset.into()]);
    let key = match sort.key {
        SortKey::Name if sort.descending => {
            return Query::all(
                concat!("SELECT ", package_columns!(), package_filter!(), " ORDER BY p.name DESC LIMIT ?5 OFFSET ?6"),
                args,
            );
        }
        SortKey::Name => {
            return Query::all(
                concat!("SELECT ", package_columns!(), package_filter!(), " ORDER BY p.name LIMIT ?5 OFFSET ?6"),
                args,
            );
        }
        SortKey::UpdatedAt => "updated_at",
        SortKey::CreatedAt => "created_at",
        SortKey::Downloads => "downloads",
    };
    args.extend([key.into(), if sort.descending { (-1).into() } else { 1.into() }]);
    Query::all(
        concat!(
            "SELECT ",
            package_columns!(),
            package_filter!(),
            " ORDER BY ?8 * CASE ?7 WHEN 'updated_at' THEN p.updated_at WHEN 'created_at' THEN p.created_at
                            ELSE downloads END, p.name LIMIT ?5 OFFSET ?6"
        ),
        args,
    )
}

/// Reads a page of the published packages, and how many there are in all.
pub fn page(
    organization: OrganizationId,
    filter: PackageFilter<'_>,
    sort: Sort,
    page: Page,
) -> (Query<Vec<PackageRow>>, Query<i64>) {
    let args = [organization.into(), filter.repository_uid.into(), filter.search.into(), filter.package_type.into()];
    (
        page_query(&args, sort, page),
        Query::count(
            concat!(
                "SELECT count(*) AS total FROM packages p JOIN repositories r ON r.id = p.repository_id",
                package_filter!()
            ),
            args,
        ),
    )
}

/// Looks a package up by its public id or its name, unless nothing of it is left or shown; one [`PackageRow`] or none.
pub fn by_key(organization: OrganizationId, key: &str) -> Query<Option<PackageRow>> {
    Query::one(
        concat!(
            "SELECT ",
            package_columns!(),
            " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = ?2)
                AND p.hidden_at IS NULL
                AND EXISTS (SELECT 1 FROM versions v
                             WHERE v.package_id = p.id AND v.removed_at IS NULL AND v.hidden_at IS NULL)"
        ),
        [organization.into(), key.into()],
    )
}

/// The statement that sets what an operator says of a package over its composer.json.
pub fn override_manifest(
    organization: OrganizationId,
    package_id: i64,
    abandoned: Update<String>,
    description: Update<String>,
) -> Stmt {
    Stmt::new(
        "UPDATE packages SET abandoned_override = CASE WHEN ?2 THEN ?3 ELSE abandoned_override END,
                description_override = CASE WHEN ?4 THEN ?5 ELSE description_override END
          WHERE id = ?1 AND organization_id = ?6",
        [
            package_id.into(),
            abandoned.is_set().into(),
            abandoned.into_value().into(),
            description.is_set().into(),
            description.into_value().into(),
            organization.into(),
        ],
    )
}

/// The statement that hides a package from everybody (at a moment) or shows it again (`None`).
pub fn hide(organization: OrganizationId, package_id: i64, at: Option<Millis>) -> Stmt {
    Stmt::new(
        "UPDATE packages SET hidden_at = ?3 WHERE id = ?2 AND organization_id = ?1",
        [organization.into(), package_id.into(), at.into()],
    )
}

/// The statement that deletes a package with its versions.
pub fn delete(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new("DELETE FROM packages WHERE id = ?2 AND organization_id = ?1", [organization.into(), package_id.into()])
}

/// The statement that deletes a package that has no version left.
pub fn delete_empty(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM packages
          WHERE id = ?2 AND organization_id = ?1 AND NOT EXISTS (SELECT 1 FROM versions WHERE package_id = ?2)",
        [organization.into(), package_id.into()],
    )
}

/// A published version, as rendering needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct LiveVersion {
    /// The package's name.
    pub package_name: String,
    /// The package's revision when it was read.
    pub revision: i64,
    /// What Composer compares.
    pub normalized: String,
    /// What people read.
    pub pretty: String,
    /// Where it comes from.
    #[serde(rename = "ref_name")]
    pub source: VersionSource,
    /// Commit id.
    pub reference: String,
    /// Whether it is the default branch.
    #[serde(deserialize_with = "flag")]
    pub is_default_branch: bool,
    /// composer.json.
    pub manifest: String,
    /// When its commit was made.
    pub released_at: Millis,
    /// SHA-1 of its zip, once that is built.
    pub shasum: Option<String>,
    /// Whether an operator took it out of the metadata.
    #[serde(deserialize_with = "flag")]
    pub yanked: bool,
    /// Whether it is hidden from everybody, its zip too.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
}

impl LiveVersion {
    /// Whether it is in the metadata, unless its package is hidden.
    pub fn is_listed(&self) -> bool {
        !self.yanked && !self.hidden
    }
}

macro_rules! live_columns {
    () => {
        "SELECT p.name AS package_name, p.revision, v.normalized, v.pretty, v.ref_name, v.reference, v.is_default_branch,
                v.manifest, v.released_at, a.sha1 AS shasum, v.yanked_at IS NOT NULL AS yanked,
                v.hidden_at IS NOT NULL AS hidden
           FROM packages p
           JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
           LEFT JOIN dists d ON d.version_id = v.id AND d.reference = v.reference
           LEFT JOIN artifacts a ON a.sha256 = d.artifact_sha256"
    };
}

/// In [`PackageState::marks`]: taken out of the metadata.
pub const YANKED: &str = "yanked";
/// In [`PackageState::marks`]: hidden from everybody.
pub const HIDDEN: &str = "hidden";

/// A package as whoever is about to write it needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct PackageState {
    /// Primary key.
    pub id: i64,
    /// The organization.
    #[serde(rename = "organization_id")]
    pub organization: OrganizationId,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// Unix seconds.
    pub revision: i64,
    /// Primary key of the repository it comes from.
    pub repository_id: i64,
    /// What the repository is.
    pub kind: RepositoryKind,
    /// Address of the repository.
    pub source_url: String,
    /// What the operator says: `true`, `false` or the replacement's name.
    pub abandoned_override: Option<String>,
    /// What the operator says in place of composer.json's.
    pub description_override: Option<String>,
    /// JSON array of `[normalized version, released_at, pretty version]`.
    pub version_index: String,
    /// Whether it is hidden from everybody.
    #[serde(deserialize_with = "flag")]
    pub hidden: bool,
    /// JSON array of `[normalized version, `[`YANKED`]` or `[`HIDDEN`]`]` of what is not published: it will be so when it is.
    #[serde(deserialize_with = "json_text")]
    pub marks: Vec<(String, String)>,
}

macro_rules! state_columns {
    () => {
        "SELECT p.id, p.organization_id, p.uid, p.name, p.revision, p.repository_id, r.kind, r.url AS source_url, p.abandoned_override,
                p.description_override, p.version_index, p.hidden_at IS NOT NULL AS hidden,
                (SELECT json_group_array(json_array(v.normalized, m.value))
                   FROM versions v JOIN json_each('[\"yanked\",\"hidden\"]') m
                  WHERE v.package_id = p.id AND v.removed_at IS NOT NULL
                    AND CASE m.value WHEN 'yanked' THEN v.yanked_at ELSE v.hidden_at END IS NOT NULL) AS marks
           FROM packages p JOIN repositories r ON r.id = p.repository_id"
    };
}

/// Reads a package by its public id or its name, and its versions.
pub fn state(organization: OrganizationId, key: &str) -> (Query<Option<PackageState>>, Query<Vec<LiveVersion>>) {
    let args = || [organization.into(), key.into()];
    (
        Query::one(concat!(state_columns!(), " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = ?2)"), args()),
        Query::all(concat!(live_columns!(), " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = ?2)"), args()),
    )
}

/// A package's name and revision.
#[derive(Debug, Clone, Deserialize)]
pub struct NameAndRevision {
    /// `vendor/package`.
    pub name: String,
    /// Unix seconds.
    pub revision: i64,
}

/// Reads the packages `names` (a JSON array) as [`NameAndRevision`]s.
pub fn revisions(organization: OrganizationId, names: String) -> Query<Vec<NameAndRevision>> {
    Query::all(
        "SELECT p.name, p.revision FROM json_each(?2) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value",
        [organization.into(), names.into()],
    )
}

/// Whose package it is.
#[derive(Debug, Clone, Deserialize)]
pub struct Owner {
    /// Primary key of the repository.
    pub repository_id: i64,
}

/// Reads the [`Owner`] of a package.
pub fn owner(organization: OrganizationId, name: &str) -> Query<Option<Owner>> {
    Query::one(
        "SELECT repository_id FROM packages WHERE organization_id = ?1 AND name = ?2",
        [organization.into(), name.into()],
    )
}

// Across organizations: a job names a repository by its primary key.

/// Reads the documents of the package that a repository publishes, in the order of their parts.
pub fn documents_of_repository(repository_id: i64) -> Query<Vec<DocumentPart>> {
    Query::all(
        "SELECT p.revision, d.stability, d.body FROM packages p JOIN documents d ON d.package_id = p.id
          WHERE p.repository_id = ?1 AND p.version_index <> '[]' ORDER BY d.stability, d.part",
        [repository_id.into()],
    )
}

/// Reads the versions of all packages of a repository, the yanked and hidden ones too.
pub fn live_versions(repository_id: i64) -> Query<Vec<LiveVersion>> {
    Query::all(concat!(live_columns!(), " WHERE p.repository_id = ?1"), [repository_id.into()])
}

/// Reads the packages that a repository ever published.
pub fn of_repository(repository_id: i64) -> Query<Vec<PackageState>> {
    Query::all(concat!(state_columns!(), " WHERE p.repository_id = ?1"), [repository_id.into()])
}
