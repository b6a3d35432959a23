//! `organizations`: the tenants, and the revisions that date what they publish.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ports::{Argument, Database, DatabaseError, Millis, Stmt};
use crate::store::{Query, json_text, optional_json_text};

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

impl From<OrganizationId> for Argument {
    fn from(id: OrganizationId) -> Self {
        Self::Integer(id.0)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One package of an organization, of which a caller may see some version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListedPackage {
    /// Primary key.
    pub id: i64,
    /// `vendor/package`.
    pub name: String,
    /// Unix seconds; moves with every change of its versions.
    pub revision: i64,
    /// About how much it takes to read its versions.
    pub index_bytes: usize,
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
#[derive(Debug, Clone, Deserialize)]
pub struct Announced {
    /// What dates them.
    #[serde(flatten)]
    pub revisions: Revisions,
    /// The names that each of its upstreams may have, as names and patterns; `None` is any name.
    #[serde(deserialize_with = "json_text")]
    pub upstreams: Vec<Option<Vec<String>>>,
    /// Its reserved vendors.
    #[serde(deserialize_with = "json_text")]
    pub reserved_vendors: Vec<String>,
    /// The vendors that it claims: see [`claimed_vendors`].
    #[serde(deserialize_with = "json_text")]
    pub claimed_vendors: Vec<String>,
    /// The filter lists that have entries, by name.
    #[serde(deserialize_with = "json_text")]
    pub filter_lists: Vec<String>,
}

/// JSON array of the vendors of which composer is told that all their names are here.
macro_rules! claimed_vendors {
    () => {
        "CASE WHEN coalesce((SELECT s.value ->> '$' FROM settings s
                              WHERE s.organization_id = ?1 AND s.key = 'claim_vendors'), 1)
              THEN (SELECT json_group_array(vendor) FROM (
                SELECT substr(p.name, 1, instr(p.name, '/') - 1) AS vendor
                  FROM repositories r JOIN packages p ON p.repository_id = r.id
                 WHERE r.organization_id = ?1 AND r.kind <> 'composer'
                 UNION
                SELECT v.value FROM settings s, json_each(s.value) v
                 WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'
              )) ELSE '[]' END"
    };
}

macro_rules! listed_packages {
    () => {
        "SELECT DISTINCT p.id, p.name, p.revision, length(p.version_index) AS index_bytes
           FROM json_each(?2) t
          CROSS JOIN packages p ON p.organization_id = ?1 AND p.name BETWEEN t.value ->> 0 AND t.value ->> 1
           JOIN repositories r ON r.id = p.repository_id
          WHERE p.version_index <> '[]'"
    };
}

/// What an organization announces and every package that it publishes itself, or keeps although its upstream has it no longer
/// and may announce it no longer, in one round trip; of the packages those whose names lie in one of `ranges` (a JSON array of
/// pairs).
pub async fn listing(
    db: &dyn Database,
    organization: OrganizationId,
    ranges: String,
) -> Result<Option<(Announced, Vec<ListedPackage>)>, DatabaseError> {
    let announced: Query<Option<Announced>> = Query::one(
        concat!(
            "SELECT revision, names_revision,
                    (SELECT json_group_array(json(coalesce(r.package_filter, r.capabilities -> '$.root.patterns')))
                       FROM repositories r
                      WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1) AS upstreams,
                    coalesce((SELECT s.value FROM settings s
                               WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors'), '[]')
                      AS reserved_vendors, ",
            claimed_vendors!(),
            " AS claimed_vendors,
                    (SELECT json_group_array(list) FROM (
                       SELECT list FROM filter_entries WHERE organization_id = ?1
                        UNION
                       SELECT l.value FROM repositories r, json_each(r.capabilities, '$.root.notices.filter_lists') l
                        WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1 ORDER BY 1
                     )) AS filter_lists
               FROM organizations WHERE id = ?1"
        ),
        [organization.into()],
    );
    let packages = Query::all(
        concat!(
            listed_packages!(),
            " AND (r.kind <> 'composer' OR EXISTS (
                SELECT 1 FROM mirrors m
                 WHERE m.repository_id = p.repository_id AND m.name = p.name AND m.vanished_at IS NOT NULL)) ORDER BY p.name"
        ),
        [organization.into(), ranges.into()],
    );
    let (announced, packages) = db.ask((announced, packages)).await?;
    Ok(announced.map(|announced| (announced, packages)))
}

/// Reads the packages that an organization has mirrored, in no order; `ranges` as for [`listing`].
pub fn mirrored(organization: OrganizationId, ranges: String) -> Query<Vec<ListedPackage>> {
    Query::all(concat!(listed_packages!(), " AND r.kind = 'composer'"), [organization.into(), ranges.into()])
}

/// The revisions alone, to learn whether a listing kept in memory still holds.
pub fn revisions(organization: OrganizationId) -> Query<Option<Revisions>> {
    Query::one("SELECT revision, names_revision FROM organizations WHERE id = ?1", [organization.into()])
}

/// The vendors that an organization claims, at a revision of its names.
#[derive(Debug, Clone, Deserialize)]
pub struct ClaimedVendors {
    /// Unix seconds, strictly increasing.
    pub names_revision: i64,
    /// The vendors; `None` when the revision is the one that the asker knows already.
    #[serde(deserialize_with = "optional_json_text")]
    pub vendors: Option<Vec<String>>,
}

/// Reads the vendors that an organization claims: those of packages of its own, whatever became of their versions, and the
/// reserved ones; none when `claim_vendors` is off. They are left out when `known_revision` still holds.
pub fn claimed_vendors(organization: OrganizationId, known_revision: Option<i64>) -> Query<Option<ClaimedVendors>> {
    Query::one(
        concat!(
            "SELECT names_revision, CASE WHEN names_revision IS NOT ?2 THEN ",
            claimed_vendors!(),
            " END AS vendors FROM organizations WHERE id = ?1"
        ),
        [organization.into(), known_revision.into()],
    )
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
    let names: Argument = (touched == Touched::Names).into();
    Stmt::new(
        "UPDATE organizations SET revision = max(revision + 1, ?2),
                names_revision = CASE WHEN ?3 THEN max(revision + 1, ?2) ELSE names_revision END
          WHERE id = ?1",
        [organization.into(), now.seconds().into(), names],
    )
}

// Across organizations: a request names one by its slug.

/// An organization that a slug leads to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FoundOrganization {
    /// Primary key.
    pub id: OrganizationId,
    /// What it is called now.
    pub slug: String,
}

/// The organization with this slug, or else the one that had it last.
pub async fn by_slug(db: &dyn Database, slug: &str) -> Result<Option<FoundOrganization>, DatabaseError> {
    let query = Query::one(
        "SELECT id, slug FROM organizations WHERE id = coalesce(
           (SELECT o.id FROM organizations o WHERE o.slug = ?1),
           (SELECT s.organization_id FROM organization_slugs s WHERE s.slug = ?1))",
        [slug.into()],
    );
    db.ask(query).await
}
