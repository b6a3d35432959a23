//! `packages.renamed_to`: names that git repositories published before, and what their packages are called now.

use serde_json::json;

use crate::ports::Stmt;
use crate::store::OrganizationId;

/// The statement that notes that the packages `from` of a repository are called `to` from now on, and that this name is no
/// former one.
pub fn rename(organization: OrganizationId, repository_id: i64, from: &[&str], to: &str) -> Stmt {
    Stmt::new(
        "UPDATE packages SET renamed_to = CASE WHEN name <> ?3 THEN ?3 END
          WHERE organization_id = ?1 AND repository_id = ?2
            AND (name IN (SELECT value FROM json_each(?4)) OR name = ?3 AND renamed_to IS NOT NULL)",
        [organization.into(), repository_id.into(), to.into(), json!(from).to_string().into()],
    )
}
