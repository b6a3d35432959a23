//! Totals over an organization's tables.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Fault, Millis};
use crate::store::{OrganizationId, Query};

/// How much of everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Totals {
    /// Packages.
    pub packages: i64,
    /// Published versions.
    pub versions: i64,
    /// Tokens that are valid.
    pub tokens_active: i64,
    /// Tokens whose end has come.
    pub tokens_expired: i64,
    /// Tokens that were revoked.
    pub tokens_revoked: i64,
    /// Different zips.
    pub archives: i64,
    /// Their bytes.
    pub archive_bytes: i64,
    /// Installs that composer reported, ever.
    pub downloads: i64,
}

/// How many repositories have one sync status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatusRow {
    /// `pending`, `syncing`, `ok` or `failed`.
    pub status: String,
    /// Repositories.
    pub count: i64,
}

/// Installs of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct DayRow {
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Installs.
    pub count: i64,
}

/// Installs of one package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PackageDownloads {
    /// `vendor/package`.
    pub name: String,
    /// Ever.
    pub total: i64,
    /// Since the first day that was asked for.
    pub recent: i64,
}

/// Everything that is told of an organization.
pub struct RegistryStatistics {
    /// How much there is.
    pub totals: Totals,
    /// Statuses that at least one repository has.
    pub repositories: Vec<StatusRow>,
    /// Days with installs, the first one asked for and later, in order.
    pub days: Vec<DayRow>,
    /// The most installed packages of these days, the most installed first.
    pub top: Vec<PackageDownloads>,
}

/// Counts everything at `now`; installs from `first_day` on, and the `top` most installed packages.
pub async fn read(
    db: &dyn Database,
    organization: OrganizationId,
    now: Millis,
    first_day: i64,
    top: i64,
) -> Result<RegistryStatistics, DatabaseError> {
    let days = Query::all(
        "SELECT d.day, sum(d.count) AS count FROM packages p
           JOIN versions v ON v.package_id = p.id
           JOIN downloads d ON d.version_id = v.id AND d.day >= ?2
          WHERE p.organization_id = ?1 GROUP BY d.day ORDER BY d.day",
        [organization.into(), first_day.into()],
    );
    let top = Query::all(
        "SELECT p.name, sum(d.count) AS total, sum(CASE WHEN d.day >= ?2 THEN d.count ELSE 0 END) AS recent
           FROM packages p
           JOIN versions v ON v.package_id = p.id
           JOIN downloads d ON d.version_id = v.id
          WHERE p.organization_id = ?1 GROUP BY p.id ORDER BY recent DESC, total DESC, p.name LIMIT ?3",
        [organization.into(), first_day.into(), top.into()],
    );
    let batch = (totals(organization, now), statuses(organization, now), days, top);
    let (totals, repositories, days, top) = db.ask(batch).await?;
    let totals = totals.ok_or_else(|| Fault::new("database", "no row for the totals"))?;
    Ok(RegistryStatistics { totals, repositories, days, top })
}

fn totals(organization: OrganizationId, now: Millis) -> Query<Option<Totals>> {
    Query::one(
        "SELECT
           (SELECT count(*) FROM packages WHERE organization_id = ?1) AS packages,
           (SELECT count(*) FROM packages p JOIN versions v ON v.package_id = p.id AND v.removed_at IS NULL
             WHERE p.organization_id = ?1) AS versions,
           t.active AS tokens_active, t.expired AS tokens_expired, t.revoked AS tokens_revoked,
           a.count AS archives, a.bytes AS archive_bytes,
           (SELECT coalesce(sum(d.count), 0) FROM packages p JOIN versions v ON v.package_id = p.id
              JOIN downloads d ON d.version_id = v.id WHERE p.organization_id = ?1) AS downloads
         FROM (SELECT count(*) FILTER (WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?2)) AS active,
                      count(*) FILTER (WHERE revoked_at IS NULL AND expires_at <= ?2) AS expired,
                      count(revoked_at) AS revoked
                 FROM tokens WHERE organization_id = ?1 AND consumer_id IS NULL) t,
              (SELECT count(*) AS count, coalesce(sum(size), 0) AS bytes FROM artifacts
                WHERE sha256 IN (SELECT d.artifact_sha256 FROM packages p JOIN versions v ON v.package_id = p.id
                                   JOIN dists d ON d.version_id = v.id WHERE p.organization_id = ?1)) a",
        [organization.into(), now.into()],
    )
}

/// The same statuses as `registry::repositories` tells of each repository.
fn statuses(organization: OrganizationId, now: Millis) -> Query<Vec<StatusRow>> {
    Query::all(
        "SELECT CASE WHEN l.id IS NULL THEN 'pending'
                     WHEN l.finished_at IS NULL AND l.lease_until > ?2 THEN 'syncing'
                     WHEN l.finished_at IS NULL THEN 'pending'
                     WHEN r.request_seq > l.request_seq THEN 'pending'
                     WHEN l.outcome = 'ok' THEN 'ok' ELSE 'failed' END AS status,
                count(*) AS count
           FROM repositories r
           LEFT JOIN sync_runs l ON l.id = (SELECT max(id) FROM sync_runs WHERE repository_id = r.id)
          WHERE r.organization_id = ?1 GROUP BY 1",
        [organization.into(), now.into()],
    )
}
