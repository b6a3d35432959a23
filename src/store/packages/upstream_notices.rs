//! `upstream_notices`: what upstreams say to be wrong with packages. How readers get it is `documents`' and
//! `security::advisories`' business.

use composer::notices::{Advisory, FilterEntry};
use serde::Deserialize;
use serde_json::json;

use crate::ports::Stmt;
use crate::store::{OrganizationId, Query, json_arguments, json_text};

/// What one upstream says of one package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UpstreamNotices {
    /// `vendor/package`.
    pub name: String,
    /// Its advisories.
    #[serde(deserialize_with = "json_text")]
    pub advisories: Vec<Advisory>,
    /// Its entries on filter lists.
    #[serde(deserialize_with = "json_text")]
    pub filter: Vec<FilterEntry>,
}

/// Reads what an upstream said of `names` (a JSON array).
pub fn known(organization: OrganizationId, repository_id: i64, names: String) -> Query<Vec<UpstreamNotices>> {
    Query::all(
        "SELECT u.name, u.advisories, u.filter
           FROM json_each(?3) j JOIN repositories r ON r.id = ?2 AND r.organization_id = ?1
           JOIN upstream_notices u ON u.repository_id = r.id AND u.name = j.value",
        [organization.into(), repository_id.into(), names.into()],
    )
}

/// Keeps what an upstream says now, in place of what it said before. The packages are published in the same batch, which
/// dates their documents.
pub fn replace(organization: OrganizationId, repository_id: i64, notices: &[UpstreamNotices]) -> Vec<Stmt> {
    let row =
        |one: &UpstreamNotices| json!([one.name, json!(one.advisories).to_string(), json!(one.filter).to_string()]);
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO upstream_notices (repository_id, name, advisories, filter)
             SELECT r.id, j.value ->> 0, j.value ->> 1, j.value ->> 2
               FROM json_each(?3) j JOIN repositories r ON r.id = ?2 AND r.organization_id = ?1 WHERE true
             ON CONFLICT (repository_id, name) DO UPDATE SET advisories = excluded.advisories, filter = excluded.filter",
            [organization.into(), repository_id.into(), rows.into()],
        )
    };
    json_arguments(notices.iter().map(row)).into_iter().map(statement).collect()
}
