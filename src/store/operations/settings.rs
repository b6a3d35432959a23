//! `settings`: what an organization has set, a row a key. What the keys are is `registry::settings`' business.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, Query, json_text};

/// A setting.
#[derive(Debug, Clone, Deserialize)]
pub struct SettingRow {
    /// Its name.
    pub key: String,
    /// What it is set to.
    #[serde(deserialize_with = "json_text")]
    pub value: Value,
}

/// Reads every setting of an organization.
pub fn all(organization: OrganizationId) -> Query<Vec<SettingRow>> {
    Query::all("SELECT key, value FROM settings WHERE organization_id = ?1", [organization.into()])
}

/// Sets all of `settings`, by their names.
pub fn set(organization: OrganizationId, settings: &[(&'static str, Value)], now: Millis) -> Stmt {
    let rows: Vec<Value> = settings.iter().map(|(key, value)| json!([key, value.to_string()])).collect();
    Stmt::new(
        "INSERT INTO settings (organization_id, key, value, updated_at)
         SELECT ?1, j.value ->> 0, j.value ->> 1, ?3 FROM json_each(?2) j WHERE true
         ON CONFLICT (organization_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        [organization.into(), Value::Array(rows).to_string().into(), now.into()],
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
pub fn apply_packagist(organization: OrganizationId, uid: &str, default_url: &str, now: Millis) -> [Stmt; 2] {
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
            [organization.into(), default_url.into()],
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
            [organization.into(), default_url.into(), uid.into(), now.into()],
        ),
    ]
}

/// The implicit upstream repository of Packagist.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct PackagistRow {
    /// Primary key.
    pub id: i64,
}

/// Looks the implicit upstream repository of Packagist up.
pub fn packagist_repository(organization: OrganizationId) -> Query<Option<PackagistRow>> {
    Query::one(
        "SELECT id FROM repositories WHERE organization_id = ?1 AND provider = 'packagist'",
        [organization.into()],
    )
}
