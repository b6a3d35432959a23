//! `advisories` and `filter_entries`: what is known to be wrong with packages.

use composer::notices::Advisory;
use serde::Deserialize;
use serde_json::Value;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::kernel::organizations::{Touched, touch};
use crate::store::{OrganizationId, Page, Query, Update, json_text};

/// An advisory.
#[derive(Debug, Clone, Deserialize)]
pub struct AdvisoryRow {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// What people call it.
    pub advisory_id: String,
    /// `vendor/package`.
    pub package_name: String,
    /// Composer constraint.
    pub affected_versions: String,
    /// One line.
    pub title: String,
    /// `CVE-2026-0001`.
    pub cve: Option<String>,
    /// Where to read more.
    pub link: Option<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Option<String>,
    /// JSON array of `{name, remoteId}`.
    #[serde(deserialize_with = "json_text")]
    pub sources: Vec<Value>,
    /// When it was made public.
    pub reported_at: Millis,
    /// When it was written down here.
    pub created_at: Millis,
    /// When it was last changed here.
    pub updated_at: Millis,
}

/// An entry of a filter list.
#[derive(Debug, Clone, Deserialize)]
pub struct FilterEntryRow {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// `malware`, or a name of the operator's own.
    pub list: String,
    /// `vendor/package`.
    pub package_name: String,
    /// Composer constraint.
    pub version_constraint: String,
    /// What people are told.
    pub reason: Option<String>,
    /// Where to read more.
    pub url: Option<String>,
    /// Who says so.
    pub source: Option<String>,
    /// When it was written down.
    pub created_at: Millis,
}

/// A published package and its versions.
#[derive(Debug, Clone, Deserialize)]
pub struct PublishedIndex {
    /// `vendor/package`.
    pub name: String,
    /// The version index (`registry::access::view`).
    pub version_index: String,
    /// The same of the versions that left the metadata, and that lock files may still name.
    pub former_index: String,
}

/// The versions `v` of a package `p` that left the metadata, and that lock files may still name.
macro_rules! former_versions {
    () => {
        " FROM versions v
          WHERE v.package_id = p.id AND (v.yanked_at IS NOT NULL OR v.removed_at IS NOT NULL)
            AND v.hidden_at IS NULL AND NOT v.released_when_shown AND v.ref_name <> 'awaited'"
    };
}

/// Whether somebody may have a package `p`: it is in the metadata, or was, and is not hidden.
macro_rules! is_had {
    () => {
        concat!(" p.hidden_at IS NULL AND (p.version_index <> '[]' OR EXISTS (SELECT 1", former_versions!(), "))")
    };
}

/// Reads the version indexes of the published packages among `names` (a JSON array).
pub fn published_indexes(organization: OrganizationId, names: String) -> Query<Vec<PublishedIndex>> {
    Query::all(
        concat!(
            "SELECT p.name, p.version_index,
                    (SELECT json_group_array(json_array(v.normalized, v.released_at, v.pretty, v.security_fix_at IS NOT NULL))",
            former_versions!(),
            ") AS former_index
               FROM json_each(?2) n
              CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = n.value AND p.hidden_at IS NULL"
        ),
        [organization.into(), names.into()],
    )
}

/// Which rows a list holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoticeFilter<'a> {
    /// Only those of this package.
    pub package: Option<&'a str>,
    /// Only advisories of this severity, or entries of this list.
    pub class: Option<&'a str>,
}

macro_rules! advisory_columns {
    () => {
        "a.uid, a.advisory_id, a.package_name, a.affected_versions, a.title, a.cve, a.link, a.severity, a.sources,
         a.reported_at, a.created_at, a.updated_at"
    };
}

macro_rules! entry_columns {
    () => {
        "e.uid, e.list, e.package_name, e.version_constraint, e.reason, e.url, e.source, e.created_at"
    };
}

macro_rules! advisories_filtered {
    () => {
        " FROM advisories a WHERE a.organization_id = ?1
            AND (?2 IS NULL OR a.package_name = lower(?2)) AND (?3 IS NULL OR a.severity = ?3)"
    };
}

macro_rules! entries_filtered {
    () => {
        " FROM filter_entries e WHERE e.organization_id = ?1
            AND (?2 IS NULL OR e.package_name = lower(?2)) AND (?3 IS NULL OR e.list = ?3)"
    };
}

/// A page of an organization's advisories, newest first, and how many there are in all.
pub async fn advisories(
    db: &dyn Database,
    organization: OrganizationId,
    filter: NoticeFilter<'_>,
    page: Page,
) -> Result<(Vec<AdvisoryRow>, i64), DatabaseError> {
    let rows = Query::all(
        concat!("SELECT ", advisory_columns!(), advisories_filtered!(), " ORDER BY a.id DESC LIMIT ?4 OFFSET ?5"),
        [organization.into(), filter.package.into(), filter.class.into(), page.limit.into(), page.offset.into()],
    );
    let count = Query::count(
        concat!("SELECT count(*) AS total", advisories_filtered!()),
        [organization.into(), filter.package.into(), filter.class.into()],
    );
    db.ask((rows, count)).await
}

/// A page of an organization's filter entries, newest first, and how many there are in all.
pub async fn filter_entries(
    db: &dyn Database,
    organization: OrganizationId,
    filter: NoticeFilter<'_>,
    page: Page,
) -> Result<(Vec<FilterEntryRow>, i64), DatabaseError> {
    let rows = Query::all(
        concat!("SELECT ", entry_columns!(), entries_filtered!(), " ORDER BY e.id DESC LIMIT ?4 OFFSET ?5"),
        [organization.into(), filter.package.into(), filter.class.into(), page.limit.into(), page.offset.into()],
    );
    let count = Query::count(
        concat!("SELECT count(*) AS total", entries_filtered!()),
        [organization.into(), filter.package.into(), filter.class.into()],
    );
    db.ask((rows, count)).await
}

/// Looks an advisory up by its public id.
pub fn advisory(organization: OrganizationId, uid: &str) -> Query<Option<AdvisoryRow>> {
    Query::one(
        concat!("SELECT ", advisory_columns!(), " FROM advisories a WHERE a.organization_id = ?1 AND a.uid = ?2"),
        [organization.into(), uid.into()],
    )
}

/// Looks a filter entry up by its public id.
pub fn filter_entry(organization: OrganizationId, uid: &str) -> Query<Option<FilterEntryRow>> {
    Query::one(
        concat!("SELECT ", entry_columns!(), " FROM filter_entries e WHERE e.organization_id = ?1 AND e.uid = ?2"),
        [organization.into(), uid.into()],
    )
}

/// The advisories of the packages among `names` that somebody may have, at most [`MOST_NOTICES`].
pub fn advisories_for(organization: OrganizationId, names: &[String]) -> Query<Vec<AdvisoryRow>> {
    Query::all(
        concat!(
            "SELECT ",
            advisory_columns!(),
            " FROM json_each(?2) n
               CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = n.value AND",
            is_had!(),
            " CROSS JOIN advisories a ON a.organization_id = ?1 AND a.package_name = p.name
             ORDER BY a.id LIMIT ?3"
        ),
        [organization.into(), serde_json::json!(names).to_string().into(), MOST_NOTICES.into()],
    )
}

/// An entry of a filter list as composer is shown it, whoever has written it down.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedEntry {
    /// `vendor/package`.
    pub package_name: String,
    /// The list.
    pub list: String,
    /// Composer constraint.
    #[serde(rename = "affected")]
    pub constraint: String,
    /// What people are told.
    pub reason: Option<String>,
    /// Where to read more.
    pub url: Option<String>,
    /// What it is called.
    pub id: Option<String>,
    /// Who says so, if that is told.
    pub source: Option<String>,
}

/// The filter entries of the packages among `names` that somebody may have (`None`: all packages) on `lists` (`None`: all lists): those
/// that were written down here, then those of upstreams on mirrored packages.
pub async fn filter_entries_for(
    db: &dyn Database,
    organization: OrganizationId,
    names: Option<&[String]>,
    lists: Option<&[String]>,
) -> Result<Vec<ListedEntry>, DatabaseError> {
    let json = |names: Option<&[String]>| names.map(|names| serde_json::json!(names).to_string());
    let query = Query::all(
        concat!(
            "SELECT 0 AS place, e.id AS number, e.package_name, e.list, e.version_constraint AS affected, e.reason, e.url,
                e.uid AS id, e.source
           FROM filter_entries e
           JOIN packages p ON p.organization_id = e.organization_id AND p.name = e.package_name
          WHERE e.organization_id = ?1 AND",
            is_had!(),
            " AND (?2 IS NULL OR e.package_name IN (SELECT value FROM json_each(?2)))
            AND (?3 IS NULL OR e.list IN (SELECT value FROM json_each(?3)))
         UNION ALL
         SELECT 1, r.id, u.name, v.value ->> 'list', v.value ->> 'constraint', v.value ->> 'reason', v.value ->> 'url',
                v.value ->> 'id', v.value ->> 'source'
           FROM repositories r JOIN upstream_notices u ON u.repository_id = r.id AND u.filter <> '[]'
           JOIN packages p ON p.organization_id = r.organization_id AND p.name = u.name
           JOIN repositories o ON o.id = p.repository_id AND o.kind = 'composer', json_each(u.filter) v
          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1 AND p.version_index <> '[]'
            AND (?2 IS NULL OR u.name IN (SELECT value FROM json_each(?2)))
            AND (?3 IS NULL OR v.value ->> 'list' IN (SELECT value FROM json_each(?3)))
          ORDER BY 1, 2 LIMIT ?4"
        ),
        [organization.into(), json(names).into(), json(lists).into(), MOST_NOTICES.into()],
    );
    db.ask(query).await
}

/// An advisory of an upstream.
#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamAdvisoryRow {
    /// `vendor/package`.
    pub package_name: String,
    /// Where the upstream is.
    pub upstream_url: String,
    /// The advisory.
    #[serde(deserialize_with = "json_text")]
    pub advisory: Advisory,
}

/// The advisories of upstreams on the mirrored packages among `names`, at most [`MOST_NOTICES`].
pub fn upstream_advisories(organization: OrganizationId, names: &[String]) -> Query<Vec<UpstreamAdvisoryRow>> {
    Query::all(
        "SELECT u.name AS package_name, r.url AS upstream_url, v.value AS advisory
           FROM repositories r JOIN json_each(?2) n JOIN upstream_notices u ON u.repository_id = r.id AND u.name = n.value
           JOIN packages p ON p.organization_id = r.organization_id AND p.name = u.name
           JOIN repositories o ON o.id = p.repository_id AND o.kind = 'composer', json_each(u.advisories) v
          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1 AND p.version_index <> '[]'
          ORDER BY r.id, v.id LIMIT ?3",
        [organization.into(), serde_json::json!(names).to_string().into(), MOST_NOTICES.into()],
    )
}

/// Most advisories, or filter entries, of one answer to composer.
const MOST_NOTICES: i64 = 10_000;

/// An advisory about to be written down.
pub struct NewAdvisory<'a> {
    /// Public id (`UUIDv7`).
    pub uid: &'a str,
    /// What people call it.
    pub advisory_id: &'a str,
    /// `vendor/package`.
    pub package_name: &'a str,
    /// Composer constraint.
    pub affected_versions: &'a str,
    /// One line.
    pub title: &'a str,
    /// `CVE-2026-0001`.
    pub cve: Option<&'a str>,
    /// Where to read more.
    pub link: Option<&'a str>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Option<&'a str>,
    /// JSON array of `{name, remoteId}`.
    pub sources: String,
    /// When it was made public.
    pub reported_at: Millis,
}

/// Writes an advisory down if somebody may have its package; its row, or nothing if it is not.
///
/// # Errors
/// `Conflict` when there is one with this `advisory_id`.
pub async fn insert_advisory(
    db: &dyn Database,
    organization: OrganizationId,
    new: NewAdvisory<'_>,
    now: Millis,
    noted: Stmt,
    keep: Option<Stmt>,
) -> Result<Option<AdvisoryRow>, DatabaseError> {
    let insert = Stmt::new(
        concat!(
            "INSERT INTO advisories (uid, organization_id, advisory_id, package_name, affected_versions, title, cve, link,
                                 severity, sources, reported_at, created_at, updated_at)
         SELECT ?1, ?2, ?3, p.name, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12
           FROM packages p WHERE p.organization_id = ?2 AND p.name = ?4 AND",
            is_had!()
        ),
        [
            new.uid.into(),
            organization.into(),
            new.advisory_id.into(),
            new.package_name.into(),
            new.affected_versions.into(),
            new.title.into(),
            new.cve.into(),
            new.link.into(),
            new.severity.into(),
            new.sources.into(),
            new.reported_at.into(),
            now.into(),
        ],
    );
    let change = change(organization, (insert, keep), noted, new.package_name, now);
    let (_, row) = db.ask((change, advisory(organization, new.uid))).await?;
    Ok(row)
}

/// An advisory or a filter entry that is there.
#[derive(Debug, Clone, Copy)]
pub struct NoticeKey<'a> {
    /// Public id.
    pub uid: &'a str,
    /// The package that it is about.
    pub package: &'a str,
}

/// What of an advisory is changed; `None` and `Keep` are left alone.
#[derive(Debug, Clone, Default)]
pub struct AdvisoryChanges {
    /// Composer constraint.
    pub affected_versions: Option<String>,
    /// One line.
    pub title: Option<String>,
    /// `CVE-2026-0001`.
    pub cve: Update<String>,
    /// Where to read more.
    pub link: Update<String>,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: Update<String>,
    /// JSON array of `{name, remoteId}`.
    pub sources: Option<String>,
    /// When it was made public.
    pub reported_at: Option<Millis>,
}

/// Changes an advisory; its row, or nothing if there is none.
pub async fn update_advisory(
    db: &dyn Database,
    organization: OrganizationId,
    key: NoticeKey<'_>,
    changes: AdvisoryChanges,
    now: Millis,
    noted: Stmt,
) -> Result<Option<AdvisoryRow>, DatabaseError> {
    let (cve, link, severity) = (changes.cve.is_set(), changes.link.is_set(), changes.severity.is_set());
    let update = Stmt::new(
        "UPDATE advisories SET affected_versions = coalesce(?3, affected_versions), title = coalesce(?4, title),
                cve = CASE WHEN ?5 THEN ?6 ELSE cve END, link = CASE WHEN ?7 THEN ?8 ELSE link END,
                severity = CASE WHEN ?9 THEN ?10 ELSE severity END, sources = coalesce(?11, sources),
                reported_at = coalesce(?12, reported_at), updated_at = ?13
          WHERE organization_id = ?1 AND uid = ?2",
        [
            organization.into(),
            key.uid.into(),
            changes.affected_versions.into(),
            changes.title.into(),
            cve.into(),
            changes.cve.into_value().into(),
            link.into(),
            changes.link.into_value().into(),
            severity.into(),
            changes.severity.into_value().into(),
            changes.sources.into(),
            changes.reported_at.into(),
            now.into(),
        ],
    );
    let change = change(organization, update, noted, key.package, now);
    let (_, row) = db.ask((change, advisory(organization, key.uid))).await?;
    Ok(row)
}

/// Removes an advisory.
pub async fn delete_advisory(
    db: &dyn Database,
    organization: OrganizationId,
    key: NoticeKey<'_>,
    now: Millis,
    noted: Stmt,
) -> Result<(), DatabaseError> {
    let delete = Stmt::new(
        "DELETE FROM advisories WHERE organization_id = ?1 AND uid = ?2",
        [organization.into(), key.uid.into()],
    );
    db.ask(change(organization, delete, noted, key.package, now)).await?;
    Ok(())
}

/// Writes a filter entry down if somebody may have its package; whether it was.
///
/// # Errors
/// `Conflict` when the list has the same versions already.
pub async fn insert_filter_entry(
    db: &dyn Database,
    organization: OrganizationId,
    new: &FilterEntryRow,
    noted: Stmt,
) -> Result<bool, DatabaseError> {
    let insert = Query::any(
        concat!(
            "INSERT INTO filter_entries (uid, organization_id, list, package_name, version_constraint, reason, url, created_at,
                source)
         SELECT ?1, ?2, ?3, p.name, ?5, ?6, ?7, ?8, ?9
           FROM packages p WHERE p.organization_id = ?2 AND p.name = ?4 AND",
            is_had!(),
            " RETURNING id"
        ),
        [
            new.uid.as_str().into(),
            organization.into(),
            new.list.as_str().into(),
            new.package_name.as_str().into(),
            new.version_constraint.as_str().into(),
            new.reason.as_deref().into(),
            new.url.as_deref().into(),
            new.created_at.into(),
            new.source.as_deref().into(),
        ],
    );
    let (is_written, _) = db.ask(change(organization, insert, noted, &new.package_name, new.created_at)).await?;
    Ok(is_written)
}

/// Removes a filter entry.
pub async fn delete_filter_entry(
    db: &dyn Database,
    organization: OrganizationId,
    key: NoticeKey<'_>,
    now: Millis,
    noted: Stmt,
) -> Result<(), DatabaseError> {
    let delete = Stmt::new(
        "DELETE FROM filter_entries WHERE organization_id = ?1 AND uid = ?2",
        [organization.into(), key.uid.into()],
    );
    db.ask(change(organization, delete, noted, key.package, now)).await?;
    Ok(())
}

/// A mutation with its note right behind it, and what tells readers of it: the package's documents carry its advisories
/// and filter entries, and the root document names the lists.
fn change<M>(organization: OrganizationId, mutation: M, noted: Stmt, package: &str, now: Millis) -> (M, [Stmt; 3]) {
    let moved = Stmt::new(
        "UPDATE packages SET revision = max(revision + 1, ?3) WHERE organization_id = ?1 AND name = ?2",
        [organization.into(), package.into(), now.seconds().into()],
    );
    (mutation, [noted, moved, touch(organization, Touched::Names, now)])
}
