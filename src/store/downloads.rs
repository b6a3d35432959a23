//! `downloads`: installs per day, version and subject, as composer reports them.

use serde::Serialize;
use serde_json::json;

use crate::ports::{Stmt, Value};

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
