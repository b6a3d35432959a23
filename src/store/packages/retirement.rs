//! The statements that take packages out of the metadata, as their repository has them no longer, or is gone.

use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::{OrganizationId, json_arguments};

/// Which packages of a repository leave the metadata.
#[derive(Debug, Clone)]
pub struct Retirement {
    /// The repository.
    pub repository_id: i64,
    /// Those that leave.
    pub leaving: Leaving,
}

/// Names of packages that leave the metadata. Never patterns: D1 refuses those of more than 50 bytes.
#[derive(Debug, Clone)]
pub enum Leaving {
    /// These.
    Named(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl Retirement {
    /// All of a repository.
    pub fn all(repository_id: i64) -> Self {
        Self { repository_id, leaving: Leaving::AllBut(Vec::new()) }
    }
}

/// The listed packages that leave; those of which nothing is listed (all versions yanked, or hidden) keep what they have.
macro_rules! leaving {
    () => {
        "SELECT p.id FROM json_each(?1) l JOIN packages p ON p.repository_id = l.value ->> 0
          WHERE p.organization_id = ?2 AND p.version_index <> '[]'
            AND (p.name IN (SELECT n.value FROM json_each(l.value, '$[2]') n)) = (l.value ->> 1)"
    };
}

/// Most names that one element of a list holds: with names of 255 bytes still far below what D1 takes as one value.
const NAMES_AT_ONCE: usize = 5_000;

/// Takes packages out of the metadata; their zips that are here stay downloadable. The organization's revision must
/// have been moved before. The packages come last: what is no longer listed is not found again.
pub fn retire(organization: OrganizationId, leaving: &[Retirement], now: Millis) -> Vec<Stmt> {
    let row = |one: &Retirement| match &one.leaving {
        Leaving::Named(names) => {
            names.chunks(NAMES_AT_ONCE).map(|names| json!([one.repository_id, true, names])).collect()
        }
        Leaving::AllBut(names) => vec![json!([one.repository_id, false, names])],
    };
    json_arguments(leaving.iter().flat_map(row))
        .into_iter()
        .flat_map(|list| retire_listed(organization, &list, now))
        .collect()
}

fn retire_listed(organization: OrganizationId, list: &str, now: Millis) -> [Stmt; 4] {
    [
        Stmt::new(
            concat!(
                "UPDATE versions SET removed_at = ?3 WHERE removed_at IS NULL AND package_id IN (",
                leaving!(),
                ")"
            ),
            [list.into(), organization.into(), now.into()],
        ),
        Stmt::new(
            concat!("DELETE FROM documents WHERE package_id IN (", leaving!(), ")"),
            [list.into(), organization.into()],
        ),
        Stmt::new(
            concat!(
                "DELETE FROM dists WHERE +artifact_sha256 IS NULL AND upstream_urls IS NOT NULL AND version_id IN
                   (SELECT v.id FROM versions v WHERE v.package_id IN (",
                leaving!(),
                "))"
            ),
            [list.into(), organization.into()],
        ),
        Stmt::new(
            concat!(
                "UPDATE packages SET version_index = '[]', latest_version = NULL, updated_at = ?3,
                        revision = (SELECT o.revision FROM organizations o WHERE o.id = organization_id)
                  WHERE id IN (",
                leaving!(),
                ")"
            ),
            [list.into(), organization.into(), now.into()],
        ),
    ]
}
