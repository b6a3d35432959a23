//! `packages` as lists and details show them.

use serde::Deserialize;

use crate::ports::{Argument, Millis};
use crate::store::packages::version_index;
use crate::store::{OrganizationId, Page, Query};

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
    /// The version index (`registry::access::view`); `None` when lists show no version of it.
    #[serde(deserialize_with = "version_index")]
    pub version_index: Option<String>,
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
fn page_query(filter: &[Argument; 4], sort: Sort, page: Page) -> Query<Vec<PackageRow>> {
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
            " WHERE p.organization_id = ?1 AND (p.uid = ?2 OR p.name = lower(?2))
                AND p.hidden_at IS NULL
                AND EXISTS (SELECT 1 FROM versions v
                             WHERE v.package_id = p.id AND v.removed_at IS NULL AND v.hidden_at IS NULL)"
        ),
        [organization.into(), key.into()],
    )
}
