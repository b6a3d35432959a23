//! `repository_refs`: the refs of git repositories as the last sync saw them, and what became of each.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Database, DatabaseError, Stmt};
use crate::store::packages::remarks::Remark;
use crate::store::sources::Total;
use crate::store::{OrganizationId, Page, Query, json_arguments, json_text};

/// A ref as the last carried-through sync saw it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct RefRow {
    /// Full name: `refs/tags/v1.0.0`.
    pub name: String,
    /// Commit id.
    pub reference: String,
    /// The normalized version it became, or `None` when it was skipped.
    pub version: Option<String>,
    /// Why it was skipped.
    pub reason: Option<String>,
}

/// A ref, and what operators should know of it.
#[derive(Debug, Clone, Deserialize)]
pub struct RemarkedRef {
    /// The ref.
    #[serde(flatten)]
    pub row: RefRow,
    /// Remarks on it and on its commit.
    #[serde(deserialize_with = "json_text")]
    pub remarks: Vec<Remark>,
}

/// A page of a repository's refs, those first that became no version, then those with remarks, and how many there are in all; `None` without such
/// a repository. A version is as people read it, and only there when it is published.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    uid: &str,
    page: Page,
) -> Result<Option<(Vec<RemarkedRef>, i64)>, DatabaseError> {
    let refs = Query::all(
        "SELECT f.name, f.reference, f.reason,
                (SELECT v.pretty FROM packages p JOIN versions v ON v.package_id = p.id
                  WHERE p.repository_id = f.repository_id AND p.renamed_to IS NULL AND v.normalized = f.version
                    AND v.ref_name = f.name AND v.removed_at IS NULL) AS version,
                (SELECT json_group_array(json_object('kind', m.kind, 'text', m.text)) FROM remarks m
                  WHERE m.repository_id = f.repository_id AND m.subject IN (f.name, f.reference)) AS remarks
           FROM repositories r JOIN repository_refs f ON f.repository_id = r.id
          WHERE r.organization_id = ?1 AND r.uid = ?2
          ORDER BY f.reason IS NULL, remarks = '[]', f.name LIMIT ?3 OFFSET ?4",
        [organization.into(), uid.into(), page.limit.into(), page.offset.into()],
    );
    let total: Query<Option<Total>> = Query::one(
        "SELECT (SELECT count(*) FROM repository_refs f WHERE f.repository_id = r.id) AS total
           FROM repositories r WHERE r.organization_id = ?1 AND r.uid = ?2",
        [organization.into(), uid.into()],
    );
    let (refs, total) = db.ask((refs, total)).await?;
    Ok(total.map(|row| (refs, row.total)))
}

/// The statement that forgets the refs of a repository: each is looked at again.
pub fn delete_all(organization: OrganizationId, repository_id: i64) -> Stmt {
    Stmt::new(
        "DELETE FROM repository_refs
          WHERE repository_id IN (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)",
        [organization.into(), repository_id.into()],
    )
}

// Across organizations: a job names a repository by its primary key.

/// Reads a repository's refs.
pub fn of_repository(repository_id: i64) -> Query<Vec<RefRow>> {
    Query::all(
        "SELECT name, reference, version, reason FROM repository_refs WHERE repository_id = ?1",
        [repository_id.into()],
    )
}

/// Remembers the refs that were carried through, what became of each, and what the server can do.
pub fn replace(repository_id: i64, refs: &[RefRow], digest: &str, capabilities: &str) -> Vec<Stmt> {
    let mut stmts = vec![
        Stmt::new("DELETE FROM repository_refs WHERE repository_id = ?1", [repository_id.into()]),
        Stmt::new(
            "UPDATE repositories SET refs_digest = ?2, capabilities = ?3, conflicting_package = NULL WHERE id = ?1",
            [repository_id.into(), digest.into(), capabilities.into()],
        ),
    ];
    stmts.extend(json_arguments(refs.iter().map(|row| json!(row))).into_iter().map(|list| {
        Stmt::new(
            "INSERT INTO repository_refs (repository_id, name, reference, version, reason)
             SELECT ?1, j.value ->> 'name', j.value ->> 'reference', j.value ->> 'version', j.value ->> 'reason'
               FROM json_each(?2) j",
            [repository_id.into(), list.into()],
        )
    }));
    stmts
}
