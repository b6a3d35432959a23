//! `organizations`: the tenants, and the revisions that date what they publish.

use serde::Deserialize;

use crate::ports::{Database, DatabaseError, Millis, Stmt, Value};
use crate::store::{json_text, run};

/// Primary key of the root organization, the one served at `/packages.json`.
pub const ROOT: i64 = 1;

/// One package name of an organization, with what is needed to decide whether a caller sees any version of it.
#[derive(Debug, Clone, Deserialize)]
pub struct ListedPackage {
    /// `vendor/package`.
    pub name: String,
    /// JSON array of `[normalized version, released_at, pretty version]`; only for packages that were asked for.
    pub version_index: Option<String>,
}

/// The revisions of an organization; unix seconds, strictly increasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Revisions {
    /// Moves with every publish.
    pub revision: i64,
    /// Moves when a package appears or disappears.
    pub names_revision: i64,
}

/// Which names an upstream may have; where both are `None`, any.
#[derive(Debug, Clone, Deserialize)]
pub struct UpstreamNames {
    /// Its package filter.
    pub package_filter: Option<Vec<String>>,
    /// What its root announces.
    pub patterns: Option<Vec<String>>,
}

/// The revisions of an organization, and what names it has besides those of its own packages.
#[derive(Debug, Clone, Deserialize)]
pub struct Announced {
    /// What dates them.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// Its upstreams.
    #[serde(deserialize_with = "json_text")]
    pub upstreams: Vec<UpstreamNames>,
    /// Its reserved vendors.
    #[serde(deserialize_with = "json_text")]
    pub reserved_vendors: Vec<String>,
    /// The filter lists that have entries, by name.
    #[serde(deserialize_with = "json_text")]
    pub filter_lists: Vec<String>,
}

/// What an organization announces and every package that it publishes itself, in one round trip. `with_index` are the
/// names and patterns of packages whose version index is wanted too.
pub async fn listing(
    db: &dyn Database,
    organization_id: i64,
    with_index: &[&str],
) -> Result<Option<(Announced, Vec<ListedPackage>)>, DatabaseError> {
    let mut results = db
        .batch(vec![
            Stmt::new(
                "SELECT revision, names_revision,
                        (SELECT json_group_array(json_object('package_filter', json(r.package_filter),
                                  'patterns', json(r.capabilities -> '$.root.patterns')))
                           FROM repositories r
                          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1) AS upstreams,
                        coalesce((SELECT s.value FROM settings s
                                   WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'), '[]')
                          AS reserved_vendors,
                        (SELECT json_group_array(list) FROM (
                           SELECT DISTINCT list FROM filter_entries WHERE organization_id = ?1 ORDER BY list
                         )) AS filter_lists
                   FROM organizations WHERE id = ?1",
                [organization_id.into()],
            ),
            // GLOB reads a package name or a pattern with `*` just as registry::access does: the other characters
            // that it knows cannot stand in either.
            Stmt::new(
                "SELECT p.name,
                        CASE WHEN EXISTS (SELECT 1 FROM json_each(?2) t WHERE p.name GLOB t.value)
                             THEN p.version_index END AS version_index
                   FROM packages p JOIN repositories r ON r.id = p.repository_id
                  WHERE p.organization_id = ?1 AND p.version_index <> '[]' AND r.kind <> 'composer' ORDER BY p.name",
                [organization_id.into(), serde_json::json!(with_index).to_string().into()],
            ),
        ])
        .await?
        .into_iter();
    let announced = results.next().unwrap_or_default().first()?;
    let packages = results.next().unwrap_or_default().decode()?;
    Ok(announced.map(|announced| (announced, packages)))
}

fn revisions_stmt(organization_id: i64) -> Stmt {
    Stmt::new("SELECT revision, names_revision FROM organizations WHERE id = ?1", [organization_id.into()])
}

/// The revisions alone, to learn whether a listing kept in memory still holds.
pub async fn revisions(db: &dyn Database, organization_id: i64) -> Result<Option<Revisions>, DatabaseError> {
    Ok(run(db, revisions_stmt(organization_id)).await?.first()?)
}

/// Which of an organization's revisions a change moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Versions of a package that stays listed.
    Versions,
    /// The set of listed packages.
    Names,
}

/// Moves both of the organization's revisions on, if it has the repository with this public id and that can be removed.
pub fn touch_for_repository(organization_id: i64, repository_uid: &str, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?3), names_revision = max(revision + 1, ?3)
          WHERE id = ?1 AND EXISTS (SELECT 1 FROM repositories
                                     WHERE organization_id = ?1 AND uid = ?2 AND provider <> 'packagist')",
        [organization_id.into(), repository_uid.into(), now.seconds().into()],
    )
}

/// Moves the organization's revisions on: at least to `now`, and always past what they were.
pub fn touch(organization_id: i64, touched: Touched, now: Millis) -> Stmt {
    let names: Value = (touched == Touched::Names).into();
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?2),
                names_revision = CASE WHEN ?3 THEN max(revision + 1, ?2) ELSE names_revision END
          WHERE id = ?1",
        [organization_id.into(), now.seconds().into(), names],
    )
}
