//! `downloads`: installs per day, version and subject, as composer reports them.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ports::{Database, DatabaseError, Stmt, Value};
use crate::store::run;

/// One reported install.
#[derive(Debug, Clone, Serialize)]
pub struct Install {
    /// `vendor/package`, lowercase.
    pub name: String,
    /// Normalized version.
    pub version: String,
}

/// The statement that counts `installs` for `subject` on `day` (days since 1970-01-01 UTC). Names and versions that
/// are not there are passed over.
pub fn count(organization_id: i64, subject: &str, day: i64, installs: &[Install]) -> Stmt {
    let list: Value = json!(installs).to_string().into();
    Stmt::new(
        "INSERT INTO downloads (day, version_id, subject, count)
         SELECT ?3, v.id, ?2, count(*)
           FROM json_each(?4) j
           JOIN packages p ON p.organization_id = ?1 AND p.name = j.value ->> 'name'
           JOIN versions v ON v.package_id = p.id AND v.normalized = j.value ->> 'version'
          GROUP BY v.id
         ON CONFLICT (version_id, day, subject) DO UPDATE SET count = count + excluded.count",
        [organization_id.into(), subject.into(), day.into(), list],
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
    version_ids: &[i64],
    (first, last): (i64, i64),
) -> Result<Vec<CountRow>, DatabaseError> {
    let stmt = Stmt::new(
        "SELECT version_id, NULL AS day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT value FROM json_each(?1)) GROUP BY version_id
         UNION ALL
         SELECT version_id, day, sum(count) AS count FROM downloads
          WHERE version_id IN (SELECT value FROM json_each(?1)) AND day BETWEEN ?2 AND ?3
          GROUP BY version_id, day",
        [json!(version_ids).to_string().into(), first.into(), last.into()],
    );
    Ok(run(db, stmt).await?.decode()?)
}
