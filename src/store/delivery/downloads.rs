//! `downloads`: installs per day, version and subject, as composer reports them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Database, DatabaseError, Fault, Millis, Row, Stmt, Value};
use crate::store::OrganizationId;
use crate::store::run;

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
    /// The client's IP address.
    pub address: Option<&'a str>,
    /// Now.
    pub at: Millis,
    /// The day of that: days since 1970-01-01 UTC.
    pub day: i64,
}

/// The statement that counts `installs`. Names and versions that are not there are passed over.
pub fn count(organization: OrganizationId, by: By<'_>, installs: &[Install]) -> Stmt {
    let list: Value = json!(installs).to_string().into();
    Stmt::new(
        "INSERT INTO downloads (day, version_id, subject, count, first_at, last_at, address)
         SELECT ?3, v.id, ?2, count(*), ?5, ?5, ?6
           FROM json_each(?4) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
           JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
          GROUP BY v.id
         ON CONFLICT (version_id, day, subject) DO UPDATE SET count = count + excluded.count,
           last_at = excluded.last_at, address = excluded.address",
        [organization.into(), by.subject.into(), by.day.into(), list, by.at.into(), by.address.into()],
    )
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

/// The installs of these versions: of all time, a row each without a day, and of the days from `first` to `last`.
pub async fn of_versions(
    db: &dyn Database,
    organization: OrganizationId,
    version_ids: &[i64],
    (first, last): (i64, i64),
) -> Result<Vec<CountRow>, DatabaseError> {
    let stmt = Stmt::new(
        "WITH meant AS (SELECT v.id FROM json_each(?1) j JOIN versions v ON v.id = j.value
                           JOIN packages p ON p.id = v.package_id WHERE p.organization_id = ?4)
         SELECT version_id, NULL AS day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT id FROM meant) GROUP BY version_id
         UNION ALL
         SELECT version_id, day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT id FROM meant) AND day BETWEEN ?2 AND ?3
          GROUP BY version_id, day",
        [json!(version_ids).to_string().into(), first.into(), last.into(), organization.into()],
    );
    Ok(run(db, stmt).await?.decode()?)
}

/// What a consumer installed of one version.
#[derive(Debug, Clone)]
pub struct ConsumerDownloads {
    /// Primary key of the version.
    pub version_id: i64,
    /// Primary key of its package.
    pub package_id: i64,
    /// The name of that.
    pub package: String,
    /// What people read.
    pub pretty: String,
    /// What Composer compares.
    pub normalized: String,
    /// When the version was released.
    pub released_at: Millis,
    /// Installs.
    pub count: i64,
    /// When it was installed first.
    pub first_at: Millis,
    /// When it was installed last.
    pub last_at: Millis,
    /// From which IP address it was installed last, if that is known.
    pub last_address: Option<String>,
}

impl ConsumerDownloads {
    /// Reads what [`of_consumer`] yields.
    pub fn read(row: &mut Row) -> Result<Self, Fault> {
        Ok(Self {
            version_id: row.needed_number("version_id")?,
            package_id: row.needed_number("package_id")?,
            package: row.needed_text("package")?,
            pretty: row.needed_text("pretty")?,
            normalized: row.needed_text("normalized")?,
            released_at: Millis(row.needed_number("released_at")?),
            count: row.needed_number("count")?,
            first_at: Millis(row.needed_number("first_at")?),
            last_at: Millis(row.needed_number("last_at")?),
            last_address: row.text("last_address"),
        })
    }
}

/// Reads what a consumer installed, the latest first, as [`ConsumerDownloads`]; at most `limit` versions.
pub fn of_consumer(organization: OrganizationId, subject: &str, limit: i64) -> Stmt {
    Stmt::new(
        "SELECT v.id AS version_id, p.id AS package_id, p.name AS package, v.pretty, v.normalized, v.released_at,
                sum(d.count) AS count, min(coalesce(d.first_at, d.day * 86400000)) AS first_at,
                max(coalesce(d.last_at, d.day * 86400000)) AS last_at,
                (SELECT l.address FROM downloads l WHERE l.version_id = v.id AND l.subject = ?2
                  ORDER BY l.day DESC LIMIT 1) AS last_address
           FROM downloads d JOIN versions v ON v.id = d.version_id
           JOIN packages p ON p.id = v.package_id AND p.organization_id = ?1
          WHERE d.subject = ?2 AND d.subject GLOB 'consumer:*'
          GROUP BY v.id ORDER BY last_at DESC, v.id DESC LIMIT ?3",
        [organization.into(), subject.into(), limit.into()],
    )
}
