//! Which packages a repository has, and may have: what decides whose it is.

use serde::Deserialize;

use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::{OrganizationId, Query};

/// Most repositories that are looked through for what is not stored of them.
pub const MAX_SCANNED: i64 = 10_000;

/// Which packages a repository has, and may have.
#[derive(Debug, Clone, Deserialize)]
pub struct RepositoryNames {
    /// Public id.
    pub uid: String,
    /// What it is.
    pub kind: RepositoryKind,
    /// JSON array of names and globs.
    pub package_filter: Option<String>,
    /// JSON array of the names that a git repository has ever published; empty of others.
    pub packages: String,
}

/// Reads which packages an organization's repositories have, in the order in which they were registered: of the one with
/// this public id, of those of this kind, or of all.
pub fn names(
    organization: OrganizationId,
    uid: Option<&str>,
    kind: Option<RepositoryKind>,
) -> Query<Vec<RepositoryNames>> {
    Query::all(
        "SELECT r.uid, r.kind, r.package_filter,
                (SELECT json_group_array(p.name) FROM packages p WHERE p.repository_id = r.id AND r.kind = 'git') AS packages
           FROM repositories r
          WHERE r.organization_id = ?1 AND (?2 IS NULL OR r.uid = ?2) AND (?3 IS NULL OR r.kind = ?3)
          ORDER BY r.id LIMIT ?4",
        [organization.into(), uid.into(), kind.into(), MAX_SCANNED.into()],
    )
}
