//! `organizations`: the tenants, and the revisions that date what they publish.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::ports::{Database, DatabaseError, Fault, Millis, Row, Stmt, Value};
use crate::store::{run, texts};

/// Primary key of an organization. Only a row has one; there is no way to make it from a number, so that whoever holds
/// one was given it by the database, or by the tenant of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrganizationId(i64);

impl OrganizationId {
    /// The root organization, the one that `/packages.json` serves; the first migration makes it. Named by the tenant of
    /// a request and by nobody else.
    pub const ROOT: Self = Self(1);
}

impl From<OrganizationId> for Value {
    fn from(id: OrganizationId) -> Self {
        Self::Integer(id.0)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

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

/// The revisions of an organization, and what names it has besides those of its own packages.
#[derive(Debug, Clone)]
pub struct Announced {
    /// What dates them.
    pub revisions: Revisions,
    /// The names that each of its upstreams may have, as names and patterns; `None` is any name.
    pub upstreams: Vec<Option<Vec<String>>>,
    /// Its reserved vendors.
    pub reserved_vendors: Vec<String>,
    /// The filter lists that have entries, by name.
    pub filter_lists: Vec<String>,
}

impl Announced {
    fn read(row: &mut Row) -> Result<Self, Fault> {
        let mut json = |column| {
            let text = row.needed_text(column)?;
            serde_json::from_str::<Json>(&text).map_err(|error| Fault::new("database", error))
        };
        let upstreams = json("upstreams")?;
        let mut list = |column| Ok::<_, Fault>(texts(&json(column)?).unwrap_or_default());
        let (reserved_vendors, filter_lists) = (list("reserved_vendors")?, list("filter_lists")?);
        Ok(Self {
            revisions: Revisions {
                revision: row.needed_number("revision")?,
                names_revision: row.needed_number("names_revision")?,
            },
            upstreams: upstreams.as_array().into_iter().flatten().map(texts).collect(),
            reserved_vendors,
            filter_lists,
        })
    }
}

/// What an organization announces and every package that it publishes itself, in one round trip. `with_index` are the
/// names and patterns of packages whose version index is wanted too.
pub async fn listing(
    db: &dyn Database,
    organization: OrganizationId,
    with_index: &[&str],
) -> Result<Option<(Announced, Vec<ListedPackage>)>, DatabaseError> {
    let mut results = db
        .batch(vec![
            Stmt::new(
                "SELECT revision, names_revision,
                        (SELECT json_group_array(json(coalesce(r.package_filter, r.capabilities -> '$.root.patterns')))
                           FROM repositories r
                          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1) AS upstreams,
                        coalesce((SELECT s.value FROM settings s
                                   WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'), '[]')
                          AS reserved_vendors,
                        (SELECT json_group_array(list) FROM (
                           SELECT DISTINCT list FROM filter_entries WHERE organization_id = ?1 ORDER BY list
                         )) AS filter_lists
                   FROM organizations WHERE id = ?1",
                [organization.into()],
            ),
            // GLOB reads a package name or a pattern with `*` just as registry::access does: the other characters
            // that it knows cannot stand in either.
            Stmt::new(
                "SELECT p.name,
                        CASE WHEN EXISTS (SELECT 1 FROM json_each(?2) t WHERE p.name GLOB t.value)
                             THEN p.version_index END AS version_index
                   FROM packages p JOIN repositories r ON r.id = p.repository_id
                  WHERE p.organization_id = ?1 AND p.version_index <> '[]' AND r.kind <> 'composer' ORDER BY p.name",
                [organization.into(), serde_json::json!(with_index).to_string().into()],
            ),
        ])
        .await?
        .into_iter();
    let announced = results.next().unwrap_or_default().read(Announced::read)?.pop();
    let packages = results.next().unwrap_or_default().decode()?;
    Ok(announced.map(|announced| (announced, packages)))
}

fn revisions_stmt(organization: OrganizationId) -> Stmt {
    Stmt::new("SELECT revision, names_revision FROM organizations WHERE id = ?1", [organization.into()])
}

/// The revisions alone, to learn whether a listing kept in memory still holds.
pub async fn revisions(db: &dyn Database, organization: OrganizationId) -> Result<Option<Revisions>, DatabaseError> {
    Ok(run(db, revisions_stmt(organization)).await?.first()?)
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
pub fn touch_for_repository(organization: OrganizationId, repository_uid: &str, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?3), names_revision = max(revision + 1, ?3)
          WHERE id = ?1 AND EXISTS (SELECT 1 FROM repositories
                                     WHERE organization_id = ?1 AND uid = ?2 AND provider <> 'packagist')",
        [organization.into(), repository_uid.into(), now.seconds().into()],
    )
}

/// Moves the organization's revisions on: at least to `now`, and always past what they were.
pub fn touch(organization: OrganizationId, touched: Touched, now: Millis) -> Stmt {
    let names: Value = (touched == Touched::Names).into();
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?2),
                names_revision = CASE WHEN ?3 THEN max(revision + 1, ?2) ELSE names_revision END
          WHERE id = ?1",
        [organization.into(), now.seconds().into(), names],
    )
}

// Across organizations: a request names one by its slug, and an operator makes them.

#[derive(Deserialize)]
struct Found {
    id: OrganizationId,
}

/// The organization with this slug.
pub async fn by_slug(db: &dyn Database, slug: &str) -> Result<Option<OrganizationId>, DatabaseError> {
    let rows = run(db, Stmt::new("SELECT id FROM organizations WHERE slug = ?1", [slug.into()])).await?;
    Ok(rows.first::<Found>()?.map(|found| found.id))
}

/// Makes an organization that publishes nothing yet. A [`DatabaseError::Conflict`] says that the slug is taken.
pub async fn insert(
    db: &dyn Database,
    uid: &str,
    slug: &str,
    name: &str,
    now: Millis,
) -> Result<Option<OrganizationId>, DatabaseError> {
    let stmt = Stmt::new(
        "INSERT INTO organizations (uid, slug, name, revision, names_revision, created_at)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5) RETURNING id",
        [uid.into(), slug.into(), name.into(), now.seconds().into(), now.into()],
    );
    Ok(run(db, stmt).await?.first::<Found>()?.map(|made| made.id))
}
