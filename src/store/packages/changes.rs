//! What operators and shops change of a package besides its versions.

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, Update};

/// The statement that sets what an operator says of a package over its composer.json.
pub fn override_manifest(
    organization: OrganizationId,
    package_id: i64,
    abandoned: Update<String>,
    description: Update<String>,
) -> Stmt {
    Stmt::new(
        "UPDATE packages SET abandoned_override = CASE WHEN ?2 THEN ?3 ELSE abandoned_override END,
                description_override = CASE WHEN ?4 THEN ?5 ELSE description_override END
          WHERE id = ?1 AND organization_id = ?6",
        [
            package_id.into(),
            abandoned.is_set().into(),
            abandoned.into_value().into(),
            description.is_set().into(),
            description.into_value().into(),
            organization.into(),
        ],
    )
}

/// The statement that hides a package from everybody (at a moment) or shows it again (`None`).
pub fn hide(organization: OrganizationId, package_id: i64, at: Option<Millis>) -> Stmt {
    Stmt::new(
        "UPDATE packages SET hidden_at = ?3 WHERE id = ?2 AND organization_id = ?1",
        [organization.into(), package_id.into(), at.into()],
    )
}

/// The statement that deletes a package with its versions.
pub fn delete(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new("DELETE FROM packages WHERE id = ?2 AND organization_id = ?1", [organization.into(), package_id.into()])
}

/// The statement that deletes a package that has no version left.
pub fn delete_empty(organization: OrganizationId, package_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM packages
          WHERE id = ?2 AND organization_id = ?1 AND NOT EXISTS (SELECT 1 FROM versions WHERE package_id = ?2)",
        [organization.into(), package_id.into()],
    )
}
