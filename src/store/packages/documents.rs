//! `documents`: the rendered metadata of a package, as readers need it. Writing it is `publication`'s.

use serde::Deserialize;

use crate::store::{OrganizationId, Query, flag};

/// One part of one rendered document, with its package's revision; or what decides about a name that is not our own.
#[derive(Debug, Clone, Deserialize)]
pub struct DocumentPart {
    /// Unix seconds; dates the documents.
    pub revision: i64,
    /// `stable`, `dev`; `notices`: an object of the package's `advisories` and `filter` entries; or `index`: its version
    /// index.
    pub stability: String,
    /// The text, or `None` when the revision is the one the asker knows already.
    pub body: Option<String>,
    /// Whether nobody was handed the metadata of the package's branches at this revision, and it has a git repository.
    #[serde(default, deserialize_with = "flag")]
    pub branches_unrequested: bool,
    /// JSON of [`crate::store::packages::authority::NameAuthority`], in a row of its own.
    #[serde(default)]
    pub facts: Option<String>,
}

/// Reads both documents of a package in the order of their parts, its notices and its version index, as [`DocumentPart`]s; the texts are
/// left out when the package still has `known_revision`. No part: there is no such package, or nothing of it is
/// published. When there are upstreams, or the vendor is reserved, a name that is not published here from git or an
/// upload brings one more row with its `facts`.
pub fn documents(organization: OrganizationId, name: &str, known_revision: Option<i64>) -> Query<Vec<DocumentPart>> {
    let vendor = name.split_once('/').map_or(name, |(vendor, _)| vendor);
    Query::all(
        "WITH package AS (
           SELECT id, organization_id, name, revision, version_index, revision IS ?3 AS is_known,
                  (SELECT r.kind = 'composer' FROM repositories r WHERE r.id = repository_id) AS is_mirrored,
                  coalesce(branches_requested < revision, 1)
                    AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = repository_id AND r.kind = 'git')
                    AS branches_unrequested
             FROM packages WHERE organization_id = ?1 AND name = ?2 AND version_index <> '[]'
         )
         SELECT p.revision, d.stability, d.part, CASE WHEN p.is_known THEN NULL ELSE d.body END AS body, NULL AS facts,
                p.branches_unrequested
           FROM package p JOIN documents d ON d.package_id = p.id
         UNION ALL
         SELECT p.revision, 'notices', 0, CASE WHEN p.is_known THEN NULL ELSE json_object(
                  'advisories', json((SELECT json_group_array(json_object(
                      'advisoryId', a.advisory_id, 'affectedVersions', a.affected_versions, 'sources', json(a.sources)))
                    FROM advisories a WHERE a.organization_id = p.organization_id AND a.package_name = p.name)),
                  'filter', json((SELECT json_group_array(json_object(
                      'list', e.list, 'constraint', e.version_constraint, 'reason', e.reason, 'url', e.url, 'id', e.uid,
                      'source', e.source))
                    FROM filter_entries e WHERE e.organization_id = p.organization_id AND e.package_name = p.name)),
                  'upstreams', json((SELECT json_group_array(json_object(
                      'advisories', json(u.advisories), 'filter', json(u.filter)))
                    FROM repositories r JOIN upstream_notices u ON u.repository_id = r.id AND u.name = p.name
                   WHERE p.is_mirrored AND r.organization_id = p.organization_id AND r.kind = 'composer'
                     AND r.is_active = 1))
                ) END, NULL, p.branches_unrequested
           FROM package p
         UNION ALL
         SELECT p.revision, 'index', 0, CASE WHEN p.is_known THEN NULL ELSE p.version_index END, NULL,
                p.branches_unrequested
           FROM package p
         UNION ALL
         SELECT 0, '', 0, NULL, (
           SELECT json_object('owner', o.repository_id, 'owner_provider', o.provider, 'revision', o.revision,
                    'is_own', coalesce(o.kind <> 'composer', 0),
                    'has_own_vendor', EXISTS (
                      SELECT 1 FROM packages q JOIN repositories r ON r.id = q.repository_id
                       WHERE q.organization_id = ?1 AND r.kind <> 'composer'
                         AND q.name >= ?4 || '/' AND q.name < ?4 || '0'),
                    'is_reserved', EXISTS (
                      SELECT 1 FROM settings s, json_each(s.value) v
                       WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors' AND v.value = ?4),
                    'upstreams', json((
                      SELECT json_group_array(json_object('id', r.id, 'uid', r.uid, 'url', r.url,
                               'provider', r.provider, 'credential_type', r.credential_type,
                               'credentials', r.credentials, 'host_credentials', r.host_credentials,
                               'package_filter', json(r.package_filter),
                               'root', json(r.capabilities), 'answer', m.answer, 'checked_at', m.checked_at,
                               'validators', json(m.validators), 'digest', m.digest))
                        FROM repositories r LEFT JOIN mirrors m ON m.repository_id = r.id AND m.name = ?2
                       WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1)))
             FROM (SELECT 1) LEFT JOIN (
               SELECT p.repository_id, p.revision, r.provider, r.kind
                 FROM packages p JOIN repositories r ON r.id = p.repository_id
                WHERE p.organization_id = ?1 AND p.name = ?2) o), 0
          WHERE NOT EXISTS (SELECT 1 FROM packages p JOIN repositories r ON r.id = p.repository_id
                             WHERE p.organization_id = ?1 AND p.name = ?2 AND p.version_index <> '[]'
                               AND r.kind <> 'composer')
            AND (EXISTS (SELECT 1 FROM repositories r
                          WHERE r.organization_id = ?1 AND r.kind = 'composer' AND r.is_active = 1)
                 OR EXISTS (SELECT 1 FROM settings s, json_each(s.value) v
                             WHERE s.organization_id = ?1 AND s.key = 'reserved_vendors' AND v.value = ?4))
          ORDER BY 2, 3",
        [organization.into(), name.into(), known_revision.into(), vendor.into()],
    )
}

/// A repository whose branches somebody was handed the metadata of.
#[derive(Debug, Clone, Deserialize)]
pub struct RequestedBranches {
    /// Primary key of the repository.
    pub repository_id: i64,
}

/// The statement that notes that somebody was handed the metadata of a package's branches, unless it is noted of this
/// revision.
pub fn request_branches(organization: OrganizationId, name: &str) -> Query<Option<RequestedBranches>> {
    Query::one(
        "UPDATE packages SET branches_requested = revision
          WHERE organization_id = ?1 AND name = ?2 AND coalesce(branches_requested < revision, 1)
         RETURNING repository_id",
        [organization.into(), name.into()],
    )
}

// Across organizations: a job names a repository by its primary key.

/// Reads the documents of the package that a repository publishes, in the order of their parts.
pub fn documents_of_repository(repository_id: i64) -> Query<Vec<DocumentPart>> {
    Query::all(
        "SELECT p.revision, d.stability, d.body FROM packages p JOIN documents d ON d.package_id = p.id
          WHERE p.repository_id = ?1 AND p.renamed_to IS NULL AND p.version_index <> '[]' ORDER BY d.stability, d.part",
        [repository_id.into()],
    )
}
