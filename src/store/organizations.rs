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

/// What an organization publishes, as a listing is made of it.
#[derive(Debug, Clone)]
pub struct Published {
    /// The revisions that it has.
    pub revisions: Revisions,
    /// By name.
    pub packages: Vec<ListedPackage>,
    /// The filter lists that have entries, by name.
    pub filter_lists: Vec<String>,
}

/// What an organization publishes, in one round trip. `with_index` are the names and patterns of packages whose version
/// index is wanted too.
pub async fn listing(
    db: &dyn Database,
    organization_id: i64,
    with_index: &[&str],
) -> Result<Option<Published>, DatabaseError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(flatten)]
        revisions: Revisions,
        #[serde(deserialize_with = "json_text")]
        filter_lists: Vec<String>,
    }
    let mut results = db
        .batch(vec![
            Stmt::new(
                "SELECT revision, names_revision,
                        (SELECT json_group_array(list) FROM (
                           SELECT DISTINCT list FROM filter_entries WHERE organization_id = ?1 ORDER BY list
                         )) AS filter_lists
                   FROM organizations WHERE id = ?1",
                [organization_id.into()],
            ),
            // GLOB reads a package name or a pattern with `*` just as registry::access does: the other characters
            // that it knows cannot stand in either.
            Stmt::new(
                "SELECT name,
                        CASE WHEN EXISTS (SELECT 1 FROM json_each(?2) t WHERE name GLOB t.value)
                             THEN version_index END AS version_index
                   FROM packages WHERE organization_id = ?1 AND version_index <> '[]' ORDER BY name",
                [organization_id.into(), serde_json::json!(with_index).to_string().into()],
            ),
        ])
        .await?
        .into_iter();
    let head: Option<Head> = results.next().unwrap_or_default().first()?;
    let packages = results.next().unwrap_or_default().decode()?;
    Ok(head.map(|Head { revisions, filter_lists }| Published { revisions, packages, filter_lists }))
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

/// Moves both of the organization's revisions on, if it has the repository with this public id.
pub fn touch_for_repository(organization_id: i64, repository_uid: &str, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?3), names_revision = max(revision + 1, ?3)
          WHERE id = ?1 AND EXISTS (SELECT 1 FROM repositories WHERE organization_id = ?1 AND uid = ?2)",
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
