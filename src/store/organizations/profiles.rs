//! `organizations` as people see them.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::kernel::organizations::ListedPackage;
use crate::store::{OrganizationId, Page, Query, Update};

/// An organization.
#[derive(Debug, Clone, Deserialize)]
pub struct OrganizationRow {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// What its addresses have.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Millis,
}

macro_rules! organization_columns {
    () => {
        "o.uid, o.slug, o.name, o.description, o.created_at"
    };
}

/// Reads an organization.
pub fn by_id(organization: OrganizationId) -> Query<Option<OrganizationRow>> {
    Query::one(
        concat!("SELECT ", organization_columns!(), " FROM organizations o WHERE o.id = ?1"),
        [organization.into()],
    )
}

/// What an update sets; a field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct OrganizationChanges {
    /// What its addresses have.
    pub slug: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What it is for; cleared is nothing.
    pub description: Update<String>,
}

/// The statements that change an organization, and keep the slug that it had before for its old addresses.
pub fn update(organization: OrganizationId, changes: OrganizationChanges, now: Millis) -> [Stmt; 2] {
    let OrganizationChanges { slug, name, description } = changes;
    let keep = Stmt::new(
        "INSERT INTO organization_slugs (slug, organization_id, created_at)
         SELECT slug, id, ?3 FROM organizations WHERE id = ?1 AND slug <> coalesce(?2, slug)
         ON CONFLICT (slug) DO UPDATE SET organization_id = excluded.organization_id, created_at = excluded.created_at",
        [organization.into(), slug.clone().into(), now.into()],
    );
    let update = Stmt::new(
        "UPDATE organizations SET slug = coalesce(?2, slug), name = coalesce(?3, name),
                description = iif(?4, ?5, description) WHERE id = ?1",
        [organization.into(), slug.into(), name.into(), description.is_set().into(), description.into_value().into()],
    );
    [keep, update]
}

/// A package, named by its public id.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedPackage {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// The package.
    #[serde(flatten)]
    pub package: ListedPackage,
}

/// Reads those of an organization's packages that have one of these public ids.
pub fn packages_by_uids(organization: OrganizationId, uids: &[String]) -> Query<Vec<NamedPackage>> {
    Query::all(
        "SELECT p.uid, p.id, p.name, p.revision, length(p.version_index) AS index_bytes FROM json_each(?2) u
           JOIN packages p ON p.uid = u.value AND p.organization_id = ?1 AND p.renamed_to IS NULL",
        [organization.into(), json!(uids).to_string().into()],
    )
}

// Across organizations: a user may be in several of them, ADMIN_TOKEN is in all, and an operator makes them.

/// Reads a page of the organizations that a user is a member of, by slug; of all of them for `None`.
pub fn page(user_id: Option<i64>, page: Page) -> (Query<Vec<OrganizationRow>>, Query<i64>) {
    let rows = Query::all(
        concat!(
            "SELECT ",
            organization_columns!(),
            " FROM organizations o
              WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = o.id AND m.user_id = ?1)
              ORDER BY o.slug LIMIT ?2 OFFSET ?3"
        ),
        [user_id.into(), page.limit.into(), page.offset.into()],
    );
    let total = Query::count(
        "SELECT count(*) AS total FROM organizations o
          WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM memberships m WHERE m.organization_id = o.id AND m.user_id = ?1)",
        [user_id.into()],
    );
    (rows, total)
}

/// An organization about to be made.
pub struct NewOrganization<'a> {
    /// Public id.
    pub uid: &'a str,
    /// What its addresses have.
    pub slug: &'a str,
    /// What people call it.
    pub name: &'a str,
    /// What it is for.
    pub description: Option<&'a str>,
}

/// Makes an organization that publishes nothing yet; `noted` is run right behind the change. A [`DatabaseError::Conflict`] says
/// that the slug is taken.
pub async fn insert(
    db: &dyn Database,
    new: NewOrganization<'_>,
    now: Millis,
    noted: Option<Stmt>,
) -> Result<(), DatabaseError> {
    let insert = Stmt::new(
        "INSERT INTO organizations (uid, slug, name, description, revision, names_revision, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        [new.uid.into(), new.slug.into(), new.name.into(), new.description.into(), now.seconds().into(), now.into()],
    );
    db.ask((insert, noted, take_slug(new.slug))).await.map(drop)
}

/// The statement that forgets who had a slug before, now that somebody has it.
pub fn take_slug(slug: &str) -> Stmt {
    Stmt::new("DELETE FROM organization_slugs WHERE slug = ?1", [slug.into()])
}
