//! `upstream_notices`: what upstreams say to be wrong with packages. How readers get it is `documents`' and
//! `security::advisories`' business.

use composer::notices::{Advisory, FilterEntry};
use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::kernel::organizations::{Touched, touch};
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

/// What an upstream said of a package that is mirrored from it.
#[derive(Debug, Clone, Deserialize)]
pub struct MirroredNotices {
    /// That; of a package of which it said nothing, both lists are empty.
    #[serde(flatten)]
    pub notices: UpstreamNotices,
    /// The same as it is stored, to see whether that still holds.
    stored: String,
}

/// What becomes of it.
pub struct AmendedNotices {
    /// As it was read.
    pub before: MirroredNotices,
    /// As it is from now on.
    pub now: UpstreamNotices,
}

/// Which mirrored packages are meant besides those that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlsoMeant {
    /// None.
    Nothing,
    /// Those that are on a filter list.
    Listed,
}

/// Reads what an upstream said of the packages that are mirrored from it and among `names` (a JSON array).
pub fn mirrored(
    organization: OrganizationId,
    repository_id: i64,
    names: String,
    also: AlsoMeant,
) -> Query<Vec<MirroredNotices>> {
    Query::all(
        "SELECT p.name, coalesce(u.advisories, '[]') AS advisories, coalesce(u.filter, '[]') AS filter,
                coalesce(u.advisories || u.filter, '') AS stored
           FROM packages p LEFT JOIN upstream_notices u ON u.repository_id = p.repository_id AND u.name = p.name
          WHERE p.organization_id = ?1 AND p.repository_id = ?2 AND p.version_index <> '[]'
            AND (p.name IN (SELECT value FROM json_each(?3)) OR ?4 AND u.filter <> '[]')",
        [organization.into(), repository_id.into(), names.into(), (also == AlsoMeant::Listed).into()],
    )
}

/// The statements that keep what an upstream says now, where nobody has kept something else since it was read, and date the
/// packages' documents.
pub fn amend(organization: OrganizationId, repository_id: i64, amended: &[AmendedNotices], now: Millis) -> Vec<Stmt> {
    if amended.is_empty() {
        return Vec::new();
    }
    let row = |one: &AmendedNotices| {
        let (advisories, filter) = (json!(one.now.advisories).to_string(), json!(one.now.filter).to_string());
        json!([one.now.name, advisories, filter, one.before.stored])
    };
    let statements = |rows: String| {
        [
            Stmt::new(
                "UPDATE upstream_notices SET advisories = j.value ->> 1, filter = j.value ->> 2
                   FROM repositories r, json_each(?3) j
                  WHERE r.id = ?2 AND r.organization_id = ?1 AND upstream_notices.repository_id = r.id
                    AND upstream_notices.name = j.value ->> 0
                    AND upstream_notices.advisories || upstream_notices.filter = j.value ->> 3",
                [organization.into(), repository_id.into(), (&rows).into()],
            ),
            Stmt::new(
                "INSERT OR IGNORE INTO upstream_notices (repository_id, name, advisories, filter)
                 SELECT r.id, j.value ->> 0, j.value ->> 1, j.value ->> 2
                   FROM json_each(?3) j JOIN repositories r ON r.id = ?2 AND r.organization_id = ?1
                  WHERE j.value ->> 3 = ''",
                [organization.into(), repository_id.into(), (&rows).into()],
            ),
            Stmt::new(
                "UPDATE packages SET revision = max(revision + 1, ?4)
                  WHERE organization_id = ?1 AND repository_id = ?2
                    AND name IN (SELECT j.value ->> 0 FROM json_each(?3) j)",
                [organization.into(), repository_id.into(), rows.into(), now.seconds().into()],
            ),
        ]
    };
    let mut all: Vec<Stmt> = json_arguments(amended.iter().map(row)).into_iter().flat_map(statements).collect();
    all.push(touch(organization, Touched::Versions, now));
    all
}
