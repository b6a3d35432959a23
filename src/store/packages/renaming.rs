//! `packages.renamed_to`: names that git repositories published before, and what their packages are called now.

use serde_json::json;

use crate::ports::{Millis, Stmt};
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

/// The statements that have a package and those of its versions which were hidden under another name hidden under this one
/// too, which is new.
pub fn hide_renamed(
    organization: OrganizationId,
    to: &str,
    is_hidden: bool,
    hidden_versions: &[&str],
    now: Millis,
) -> [Stmt; 2] {
    [
        Stmt::new(
            "UPDATE packages SET hidden_at = ?4 WHERE organization_id = ?1 AND name = ?2 AND ?3 AND hidden_at IS NULL",
            [organization.into(), to.into(), is_hidden.into(), now.into()],
        ),
        Stmt::new(
            "UPDATE versions SET hidden_at = ?4
              WHERE package_id = (SELECT p.id FROM packages p WHERE p.organization_id = ?1 AND p.name = ?2)
                AND normalized IN (SELECT value FROM json_each(?3)) AND hidden_at IS NULL",
            [organization.into(), to.into(), json!(hidden_versions).to_string().into(), now.into()],
        ),
    ]
}
