//! The packages of somebody who does not see all of them: lists of them, of which each shows no more than the versions that
//! are visible.
//!
//! Which versions those are is the `registry`'s to say. It tells by ranges of names which packages are seen whole, and by
//! primary keys which versions of the others are, and which one of these speaks for the package.

use composer::PrettyVersion;
use serde::{Deserialize, Serialize};

use crate::ports::{Argument, Millis};
use crate::store::kernel::organizations::ListedPackage;
use crate::store::packages::lists::{PackageFilter, PackageRow, Sort, SortKey, package_filter, relevance};
use crate::store::{OrganizationId, Page, Query, json_text};

/// Reads the published packages whose names lie in one of `ranges` (a JSON array of pairs), by name. At most `limit`.
pub fn named_in(organization: OrganizationId, ranges: String, limit: i64) -> Query<Vec<ListedPackage>> {
    Query::all(
        "SELECT DISTINCT p.id, p.name, p.revision, length(p.version_index) AS index_bytes
           FROM json_each(?2) t
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name BETWEEN t.value ->> 0 AND t.value ->> 1
          WHERE p.version_index <> '[]' ORDER BY p.name LIMIT ?3",
        [organization.into(), ranges.into(), limit.into()],
    )
}

/// A version of a package, as much of it as it takes to decide who sees it and whether it speaks for its package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "VersionEntry")]
pub struct CandidateVersion {
    /// Primary key.
    pub id: i64,
    /// What Composer compares; `None` of a version that is not shown to anybody.
    pub normalized: Option<String>,
    /// When it was released.
    pub released_at: Millis,
    /// Whether it is a security fix.
    pub is_security_fix: bool,
    /// Whether it is the default branch.
    pub is_default_branch: bool,
    /// Whether an operator took it out of the metadata.
    pub is_yanked: bool,
}

/// As the database writes it.
#[derive(Deserialize)]
struct VersionEntry(i64, Option<String>, Millis, u8, u8, u8);

impl From<VersionEntry> for CandidateVersion {
    fn from(VersionEntry(id, normalized, released_at, fix, default, yanked): VersionEntry) -> Self {
        let [is_security_fix, is_default_branch, is_yanked] = [fix, default, yanked].map(|flag| flag != 0);
        Self { id, normalized, released_at, is_security_fix, is_default_branch, is_yanked }
    }
}

/// A package with all of its versions.
#[derive(Debug, Clone, Deserialize)]
pub struct CandidateRow {
    /// Primary key of the package.
    pub package_id: i64,
    /// In the order of their primary keys.
    #[serde(deserialize_with = "json_text")]
    pub versions: Vec<CandidateVersion>,
}

/// Reads all versions of the packages with these primary keys (a JSON array), one row for each package.
pub fn versions_of(organization: OrganizationId, ids: String) -> Query<Vec<CandidateRow>> {
    Query::all(
        "SELECT p.id AS package_id,
                (SELECT json_group_array(json_array(sorted.id,
                          CASE WHEN sorted.removed_at IS NULL AND sorted.hidden_at IS NULL THEN sorted.normalized END,
                          sorted.released_at, sorted.security_fix_at IS NOT NULL, sorted.is_default_branch,
                          sorted.yanked_at IS NOT NULL))
                   FROM (SELECT v.id, v.normalized, v.released_at, v.removed_at, v.hidden_at, v.security_fix_at,
                                v.is_default_branch, v.yanked_at
                           FROM versions v WHERE v.package_id = p.id ORDER BY v.id) sorted) AS versions
           FROM json_each(?2) i CROSS JOIN packages p ON p.id = i.value AND p.organization_id = ?1",
        [organization.into(), ids.into()],
    )
}

/// The packages of a list, as the database is told them.
#[derive(Debug, Clone)]
pub struct InView {
    /// Ranges of names of packages that are seen whole; a JSON array of pairs.
    pub whole: String,
    /// The others: a JSON array of [`PackageEntry`]s.
    pub others: String,
}

/// A package of a list by its primary key; the primary key of the version that speaks for it, if not all of them are seen, and
/// those of the versions that are: pairs of the first and the last, of which no others of the package lie between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageEntry<'a>(pub i64, pub Option<i64>, pub &'a [(i64, i64)]);

/// `shown`: the packages of a list as they are shown. Of one that is seen in part, all that is shown is of the version that
/// speaks for it, but for the dates and downloads, which are of all that are seen. Bound as `?6` and `?7`.
macro_rules! shown_packages {
    () => {
        "WITH seen AS (
           SELECT p.id AS package_id, NULL AS newest, NULL AS ranges FROM json_each(?6) w
            CROSS JOIN packages p ON p.organization_id = ?1 AND p.name BETWEEN w.value ->> 0 AND w.value ->> 1
            WHERE p.version_index <> '[]'
            UNION
           SELECT s.value ->> 0, s.value ->> 1, CASE WHEN s.value ->> 1 IS NOT NULL THEN s.value -> '$[2]' END
             FROM json_each(?7) s
         ), shown AS (
           SELECT p.id, p.uid, p.revision, p.organization_id, p.repository_id, p.name, '' AS version_index, v.id AS spokesman,
                  CASE WHEN v.id IS NULL THEN p.type WHEN json_type(v.manifest, '$.type') = 'text' THEN v.manifest ->> '$.type' ELSE 'library' END AS type,
                  CASE WHEN v.id IS NULL THEN p.description
                       WHEN p.description_override IS NOT NULL THEN p.description_override
                       WHEN json_type(v.manifest, '$.description') = 'text' THEN v.manifest ->> '$.description'
                       END AS description,
                  CASE WHEN v.id IS NULL THEN p.keywords
                       ELSE (SELECT group_concat(k.value, ' ') FROM json_each(v.manifest, '$.keywords') k
                              WHERE k.type = 'text') END AS keywords,
                  CASE WHEN v.id IS NULL THEN p.homepage
                       WHEN length(v.manifest ->> '$.homepage') <= 500
                            AND (instr(v.manifest ->> '$.homepage', 'https://') = 1
                                 OR instr(v.manifest ->> '$.homepage', 'http://') = 1)
                       THEN v.manifest ->> '$.homepage' END AS homepage,
                  CASE WHEN v.id IS NULL THEN p.abandoned
                       WHEN p.abandoned_override IS NOT NULL OR p.renamed_to IS NOT NULL
                       THEN nullif(coalesce(p.abandoned_override, p.renamed_to), 'false')
                       WHEN json_type(v.manifest, '$.abandoned') = 'text' THEN v.manifest ->> '$.abandoned'
                       WHEN json_type(v.manifest, '$.abandoned') = 'true' OR m.vanished_at IS NOT NULL THEN 'true'
                       END AS abandoned,
                  CASE WHEN v.id IS NULL THEN p.latest_version
                       WHEN v.yanked_at IS NULL THEN v.pretty END AS latest_version,
                  m.vanished_at,
                  CASE WHEN v.id IS NULL THEN p.created_at
                       ELSE (SELECT min(o.created_at) FROM json_each(s.ranges) g
                               JOIN versions o ON o.package_id = p.id AND o.id BETWEEN g.value ->> 0 AND g.value ->> 1)
                       END AS created_at,
                  CASE WHEN v.id IS NULL THEN p.updated_at
                       ELSE (SELECT max(o.updated_at) FROM json_each(s.ranges) g
                               JOIN versions o ON o.package_id = p.id AND o.id BETWEEN g.value ->> 0 AND g.value ->> 1)
                       END AS updated_at,
                  (SELECT coalesce(sum(d.count), 0) FROM versions o JOIN downloads d ON d.version_id = o.id
                    WHERE o.package_id = p.id
                      AND (v.id IS NULL OR EXISTS (SELECT 1 FROM json_each(s.ranges) g
                                                    WHERE o.id BETWEEN g.value ->> 0 AND g.value ->> 1))) AS downloads
             FROM seen s JOIN packages p ON p.id = s.package_id AND p.organization_id = ?1
             LEFT JOIN versions v ON v.id = s.newest AND v.package_id = p.id
             LEFT JOIN mirrors m ON m.repository_id = p.repository_id AND m.name = p.name
         ) "
    };
}

/// The version that speaks for each of `shown`, as `v`.
macro_rules! spokesmen {
    () => {
        " FROM shown p
          JOIN versions v ON v.package_id = p.id
               AND (v.id = p.spokesman
                    OR (p.spokesman IS NULL AND v.pretty = p.latest_version
                        AND v.removed_at IS NULL AND v.yanked_at IS NULL AND v.hidden_at IS NULL))"
    };
}

/// A package that provides another one, such as an interface's virtual `psr/log-implementation`.
#[derive(Debug, Clone, Deserialize)]
pub struct ProviderRow {
    /// `vendor/package`.
    pub name: String,
    /// What lists show.
    pub description: Option<String>,
    /// Composer's package type.
    #[serde(rename = "type")]
    pub package_type: String,
}

/// The packages in `view` whose newest visible version provides the package `name` (lowercase), by name. At most `limit`.
pub fn providers(organization: OrganizationId, name: &str, limit: i64, view: &InView) -> Query<Vec<ProviderRow>> {
    Query::all(
        concat!(
            shown_packages!(),
            "SELECT p.name, p.description, p.type",
            spokesmen!(),
            " JOIN json_each(v.manifest, '$.provide') j
              WHERE j.type = 'text' AND lower(j.key) = ?2 ORDER BY p.name LIMIT ?3"
        ),
        linked_args(organization, name, limit, view),
    )
}

/// A package whose newest visible version requires another.
#[derive(Debug, Clone, Deserialize)]
pub struct DependentRow {
    /// Public id.
    pub uid: String,
    /// `vendor/package`.
    pub name: String,
    /// That version.
    pub pretty: PrettyVersion,
    /// `require` or `require-dev`.
    pub link: String,
    /// The constraint.
    #[serde(rename = "wanted")]
    pub constraint: String,
}

/// The packages in `view` whose newest visible version requires the package `name` (lowercase), by name. At most `limit`.
pub fn dependents(organization: OrganizationId, name: &str, limit: i64, view: &InView) -> Query<Vec<DependentRow>> {
    Query::all(
        concat!(
            shown_packages!(),
            "SELECT p.uid, p.name, v.pretty, l.value AS link, j.value AS wanted",
            spokesmen!(),
            " JOIN json_each('[\"require\",\"require-dev\"]') l
              JOIN json_each(v.manifest, '$.\"' || l.value || '\"') j
              WHERE j.type = 'text' AND lower(j.key) = ?2 ORDER BY p.name, l.value LIMIT ?3"
        ),
        linked_args(organization, name, limit, view),
    )
}

fn linked_args(organization: OrganizationId, name: &str, limit: i64, view: &InView) -> [Argument; 7] {
    let (whole, others) = ((&view.whole).into(), (&view.others).into());
    [organization.into(), name.into(), limit.into(), Argument::Null, Argument::Null, whole, others]
}

macro_rules! shown_columns {
    () => {
        "SELECT p.id, p.uid, p.revision, r.uid AS repository_uid, p.name, p.description, p.type, p.abandoned, p.vanished_at,
                p.latest_version, p.homepage, r.provider, r.url AS repository_url, p.downloads, p.created_at, p.updated_at
           FROM shown p JOIN repositories r ON r.id = p.repository_id"
    };
}

/// Reads a page of the packages in `view`, and how many there are in all.
pub fn page(
    organization: OrganizationId,
    filter: PackageFilter<'_>,
    sort: Sort,
    page: Page,
    view: &InView,
) -> (Query<Vec<PackageRow>>, Query<i64>) {
    let key = match sort.key {
        SortKey::Name => "name",
        SortKey::UpdatedAt => "updated_at",
        SortKey::CreatedAt => "created_at",
        SortKey::Downloads => "downloads",
        SortKey::Relevance => "relevance",
    };
    let mut args: Vec<Argument> = filter.args(organization).into();
    args.extend([view.whole.clone().into(), view.others.clone().into()]);
    let total = Query::count(
        concat!(
            shown_packages!(),
            "SELECT count(*) AS total FROM shown p JOIN repositories r ON r.id = p.repository_id",
            package_filter!()
        ),
        args.clone(),
    );
    args.extend([page.limit.into(), page.offset.into(), key.into(), sort.descending.into()]);
    let rows = Query::all(
        concat!(
            shown_packages!(),
            shown_columns!(),
            package_filter!(),
            " ORDER BY CASE WHEN ?10 = 'relevance' THEN ",
            relevance!(),
            " END DESC,
              CASE WHEN ?10 = 'relevance' THEN p.downloads END DESC,
              CASE WHEN ?10 = 'name' AND ?11 THEN p.name END DESC,
              CASE WHEN ?11 THEN -1 ELSE 1 END
                * CASE ?10 WHEN 'updated_at' THEN p.updated_at WHEN 'created_at' THEN p.created_at
                          WHEN 'downloads' THEN p.downloads ELSE 0 END,
              p.name LIMIT ?8 OFFSET ?9"
        ),
        args,
    );
    (rows, total)
}
