//! `downloads`: installs per day, version and subject, as composer reports them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Argument, Database, DatabaseError, Millis, Stmt};
use crate::store::{OrganizationId, Query};

/// One reported install.
#[derive(Debug, Clone, Serialize)]
pub struct Install {
    /// `vendor/package`, lowercase.
    pub name: String,
    /// Normalized version.
    pub version: String,
}

/// Who installed something, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// `token:12`, `consumer:3`, `admin`.
    pub subject: &'a str,
    /// Primary key of the consumer that this is, if it is one.
    pub consumer_id: Option<i64>,
    /// The client's IP address.
    pub address: Option<&'a str>,
    /// Now.
    pub at: Millis,
    /// The day of that: days since 1970-01-01 UTC.
    pub day: i64,
}

/// The statement that counts `installs`. Names and versions that are not there are passed over. Who is cached as a consumer
/// that was merged meanwhile is counted as what that has become part of, and as nobody if it is gone.
pub fn count(organization: OrganizationId, by: By<'_>, installs: &[Install]) -> Stmt {
    let list: Argument = json!(installs).to_string().into();
    Stmt::new(
        "INSERT INTO downloads (day, version_id, subject, count, first_at, last_at, address)
         SELECT ?3, v.id, coalesce(b.subject, 'erased'), count(*), ?5, ?5, CASE WHEN b.subject IS NOT NULL THEN ?6 END
           FROM (SELECT CASE WHEN ?7 IS NULL THEN ?2
                        ELSE (SELECT 'consumer:' || c.id FROM consumers c
                               WHERE c.organization_id = ?1 AND c.id = coalesce(
                                     (SELECT m.consumer_id FROM merged_consumers m
                                       WHERE m.organization_id = ?1 AND m.id = ?7), ?7)) END AS subject) b
          CROSS JOIN json_each(?4) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
           JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
          GROUP BY v.id
         ON CONFLICT (version_id, day, subject) DO UPDATE SET count = count + excluded.count,
           last_at = excluded.last_at, address = excluded.address",
        [
            organization.into(),
            by.subject.into(),
            by.day.into(),
            list,
            by.at.into(),
            by.address.into(),
            by.consumer_id.into(),
        ],
    )
}

/// The statement that counts `installs` for the consumer's credential that reported them, by its primary key. What is not there is
/// passed over.
pub fn count_for_seat(organization: OrganizationId, token_id: i64, at: Millis, installs: &[Install]) -> Stmt {
    Stmt::new(
        "UPDATE tokens SET downloads = downloads + n.count, last_download_at = ?3
           FROM (SELECT count(*) AS count FROM json_each(?4) j
                  CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
                  CROSS JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version') n
          WHERE tokens.id = ?2 AND tokens.organization_id = ?1 AND tokens.consumer_id IS NOT NULL AND n.count > 0",
        [organization.into(), token_id.into(), at.into(), json!(installs).to_string().into()],
    )
}

/// A range of days, each counted since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first day.
    pub first: i64,
    /// The last day, which is in it.
    pub last: i64,
}

/// Installs of one version on one day, or of all days when `day` is `None`.
#[derive(Debug, Clone, Deserialize)]
pub struct CountRow {
    /// Primary key of the version.
    pub version_id: i64,
    /// Days since 1970-01-01 UTC.
    pub day: Option<i64>,
    /// Installs.
    pub count: i64,
}

/// The installs of these versions: of all time, a row each without a day, and of each of the `days`.
pub async fn of_versions(
    db: &dyn Database,
    organization: OrganizationId,
    version_ids: &[i64],
    days: Days,
) -> Result<Vec<CountRow>, DatabaseError> {
    let query = Query::all(
        "WITH meant AS (SELECT v.id FROM json_each(?1) j JOIN versions v ON v.id = j.value
                           JOIN packages p ON p.id = v.package_id WHERE p.organization_id = ?4)
         SELECT version_id, NULL AS day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT id FROM meant) GROUP BY version_id
         UNION ALL
         SELECT version_id, day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT id FROM meant) AND day BETWEEN ?2 AND ?3
          GROUP BY version_id, day",
        [json!(version_ids).to_string().into(), days.first.into(), days.last.into(), organization.into()],
    );
    db.ask(query).await
}
