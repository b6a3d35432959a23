//! `packages` as lists and details show them.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Argument, Millis};
use crate::store::{OrganizationId, Page, Query};

/// A package as lists show it.
#[derive(Debug, Clone, Deserialize)]
pub struct PackageRow {
    /// Primary key.
    pub id: i64,
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// Unix seconds; moves with every change of its versions.
    pub revision: i64,
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
    /// Since when its upstream has it no longer.
    pub vanished_at: Option<Millis>,
    /// Pretty version.
    pub latest_version: Option<String>,
    /// Its own page in a browser.
    pub homepage: Option<String>,
    /// What kind of host serves the repository that it comes from.
    pub provider: String,
    /// Address of that repository.
    pub repository_url: String,
    /// Installs that composer reported.
    pub downloads: i64,
    /// When it first appeared.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

macro_rules! package_columns {
    () => {
        "p.id, p.uid, p.revision, r.uid AS repository_uid, p.name, p.description, p.type, p.abandoned, p.latest_version,
         p.homepage, r.provider, r.url AS repository_url, p.created_at, p.updated_at,
         (SELECT m.vanished_at FROM mirrors m WHERE m.repository_id = p.repository_id AND m.name = p.name) AS vanished_at,
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
    /// Only those whose name, description or keywords hold every word of this text, in any case.
    pub search: Option<&'a str>,
    /// Only those of this Composer type.
    pub package_type: Option<&'a str>,
    /// Only those with one of these names.
    pub names: Option<&'a [String]>,
}

/// Most words that are searched for.
const MAX_WORDS: usize = 10;

/// The words of what somebody searches for, in lower case.
pub fn search_words(text: &str) -> Vec<String> {
    text.split_whitespace().take(MAX_WORDS).map(str::to_ascii_lowercase).collect()
}

impl PackageFilter<'_> {
    pub(super) fn args(&self, organization: OrganizationId) -> [Argument; 5] {
        let words = self.search.map(search_words).filter(|words| !words.is_empty());
        [
            organization.into(),
            self.repository_uid.into(),
            words.map(|words| json!(words).to_string()).into(),
            self.package_type.into(),
            self.names.map(|names| json!(names).to_string()).into(),
        ]
    }
}

macro_rules! package_filter {
    () => {
        " WHERE p.organization_id = ?1 AND p.version_index <> '[]'
            AND (?2 IS NULL OR r.uid = ?2)
            AND NOT EXISTS (SELECT 1 FROM json_each(?3) w
                             WHERE NOT instr(lower(p.name || ' ' || coalesce(p.description, '') || ' ' || coalesce(p.keywords, '')),
                                             w.value))
            AND (?4 IS NULL OR p.type = ?4)
            AND (?5 IS NULL OR p.name IN (SELECT n.value FROM json_each(?5) n))"
    };
}
pub(crate) use package_filter;

/// How well a package fits the words that are searched for.
macro_rules! relevance {
    () => {
        "(SELECT sum(CASE WHEN p.name = w.value THEN 100
                          WHEN instr('/' || replace(p.name, '-', '/') || '/', '/' || w.value || '/') THEN 50
                          WHEN instr(p.name, w.value) THEN 10
                          WHEN instr(lower(p.keywords), w.value) THEN 5
                          ELSE 1 END) FROM json_each(?3) w)"
    };
}
pub(crate) use relevance;

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
    /// How well it fits what is searched for, the best first, then what is installed most.
    Relevance,
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
fn page_query(filter: &[Argument; 5], sort: Sort, page: Page) -> Query<Vec<PackageRow>> {
    let mut args = filter.to_vec();
    args.extend([page.limit.into(), page.offset.into()]);
    let key = match sort.key {
        SortKey::Name if sort.descending => {
            return Query::all(
                concat!("SELECT ", package_columns!(), package_filter!(), " ORDER BY p.name DESC LIMIT ?6 OFFSET ?7"),
                args,
            );
        }
        SortKey::Name => {
            return Query::all(
                concat!("SELECT ", package_columns!(), package_filter!(), " ORDER BY p.name LIMIT ?6 OFFSET ?7"),
                args,
            );
        }
        SortKey::Relevance => {
            return Query::all(
                concat!(
                    "SELECT ",
                    package_columns!(),
                    package_filter!(),
                    " ORDER BY ",
                    relevance!(),
                    " DESC, downloads DESC, p.name LIMIT ?6 OFFSET ?7"
                ),
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
            " ORDER BY ?9 * CASE ?8 WHEN 'updated_at' THEN p.updated_at WHEN 'created_at' THEN p.created_at
                            ELSE downloads END, p.name LIMIT ?6 OFFSET ?7"
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
    let args = filter.args(organization);
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
