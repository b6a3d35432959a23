//! `settings`: what an organization has set, a row a key. What the keys are is `registry::settings`' business.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::json_text;

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingRow {
    /// Its name.
    pub key: String,
    /// What it is set to.
    #[serde(deserialize_with = "json_text")]
    pub value: Value,
}

/// Reads every setting of an organization as [`SettingRow`]s.
pub fn all(organization_id: i64) -> Stmt {
    Stmt::new("SELECT key, value FROM settings WHERE organization_id = ?1", [organization_id.into()])
}

/// Sets all of `rows`.
pub fn set(organization_id: i64, rows: &[SettingRow], now: Millis) -> Stmt {
    let rows: Vec<Value> = rows.iter().map(|row| json!([row.key, row.value.to_string()])).collect();
    Stmt::new(
        "INSERT INTO settings (organization_id, key, value, updated_at)
         SELECT ?1, j.value ->> 0, j.value ->> 1, ?3 FROM json_each(?2) j WHERE true
         ON CONFLICT (organization_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        [organization_id.into(), json!(rows).to_string().into(), now.into()],
    )
}

macro_rules! packagist_url {
    () => {
        "coalesce((SELECT value ->> '$' FROM settings WHERE organization_id = ?1 AND key = 'packagist_url'), ?2)"
    };
}

macro_rules! packagist_mirroring {
    () => {
        "coalesce((SELECT value ->> '$' FROM settings WHERE organization_id = ?1 AND key = 'packagist_mirroring'), 0)"
    };
}

/// Makes the implicit upstream repository of Packagist what the settings say, right after they were set: it is made when
/// mirroring is first switched on. Its `path` keeps its address from clashing with that of a registered repository.
pub fn apply_packagist(organization_id: i64, uid: &str, default_url: &str, now: Millis) -> [Stmt; 2] {
    [
        Stmt::new(
            concat!(
                "UPDATE repositories SET request_seq = request_seq + 1, is_active = ",
                packagist_mirroring!(),
                ", capabilities = CASE WHEN url = ",
                packagist_url!(),
                " THEN capabilities END, url = ",
                packagist_url!(),
                " WHERE organization_id = ?1 AND provider = 'packagist'"
            ),
            [organization_id.into(), default_url.into()],
        ),
        Stmt::new(
            concat!(
                "INSERT INTO repositories (uid, organization_id, kind, provider, url, path, created_at)
                 SELECT ?3, ?1, 'composer', 'packagist', ",
                packagist_url!(),
                ", 'packagist', ?4
                  WHERE ",
                packagist_mirroring!(),
                " AND NOT EXISTS (SELECT 1 FROM repositories WHERE organization_id = ?1 AND provider = 'packagist')"
            ),
            [organization_id.into(), default_url.into(), uid.into(), now.into()],
        ),
    ]
}

/// Reads the id of the implicit upstream repository of Packagist; one row with `id`, or none.
pub fn packagist_repository(organization_id: i64) -> Stmt {
    Stmt::new(
        "SELECT id FROM repositories WHERE organization_id = ?1 AND provider = 'packagist'",
        [organization_id.into()],
    )
}
