//! The rendered metadata of many packages at once.

use serde::Deserialize;
use serde_json::json;

use crate::store::packages::documents::DocumentPart;
use crate::store::{OrganizationId, Query};

/// A package, and how much its documents are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SizedPackage {
    /// `vendor/package`.
    pub name: String,
    /// Bytes of its stored documents, about.
    pub bytes: usize,
}

/// A part of the documents of one of several packages.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedPart {
    /// `vendor/package`.
    pub name: String,
    /// The part.
    #[serde(flatten)]
    pub part: DocumentPart,
}

/// Reads the packages that an organization publishes itself and whose names lie in one of `ranges` (a JSON array of pairs),
/// by name.
pub fn packages(organization: OrganizationId, ranges: String) -> Query<Vec<SizedPackage>> {
    Query::all(
        "SELECT p.name, (SELECT coalesce(sum(octet_length(d.body)), 0) FROM documents d WHERE d.package_id = p.id) AS bytes
           FROM packages p JOIN repositories r ON r.id = p.repository_id
          WHERE p.organization_id = ?1 AND r.kind <> 'composer' AND p.version_index <> '[]'
            AND EXISTS (SELECT 1 FROM json_each(?2) t WHERE p.name BETWEEN t.value ->> 0 AND t.value ->> 1)
          ORDER BY p.name",
        [organization.into(), ranges.into()],
    )
}

/// Reads both documents of each of these packages and its version index, in the order of names and parts.
pub fn documents(organization: OrganizationId, names: &[&str]) -> Query<Vec<NamedPart>> {
    Query::all(
        "WITH named AS (
           SELECT p.id, p.name, p.revision, p.version_index FROM json_each(?2) n
             CROSS JOIN packages p ON p.organization_id = ?1 AND p.name = n.value
         )
         SELECT name, revision, stability, part, body FROM (
           SELECT n.name, n.revision, d.stability, d.part, d.body FROM named n JOIN documents d ON d.package_id = n.id
            UNION ALL
           SELECT n.name, n.revision, 'index', 0, n.version_index FROM named n
         ) ORDER BY name, stability, part",
        [organization.into(), json!(names).to_string().into()],
    )
}
