//! `settings`: what an organization has set, a row a key. What the keys are is `registry::settings`' business.

use serde_json::{Value, json};

use crate::ports::{Fault, Millis, Row, Rows, Stmt};
use crate::store::OrganizationId;

/// Reads every setting of an organization, for [`read`].
pub fn all(organization: OrganizationId) -> Stmt {
    Stmt::new("SELECT key, value FROM settings WHERE organization_id = ?1", [organization.into()])
}

/// The settings of [`all`] by their names.
pub fn read(rows: Rows) -> Result<Row, Fault> {
    let mut settings = Row::default();
    for mut row in rows.0.into_iter().map(Row) {
        let (key, value) = (row.needed_text("key")?, row.needed_text("value")?);
        settings.0.insert(key, serde_json::from_str(&value).map_err(|error| Fault::new("database", error))?);
    }
    Ok(settings)
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

/// Reads the id of the implicit upstream repository of Packagist; one row with `id`, or none.
pub fn packagist_repository(organization: OrganizationId) -> Stmt {
    Stmt::new(
        "SELECT id FROM repositories WHERE organization_id = ?1 AND provider = 'packagist'",
        [organization.into()],
    )
}
