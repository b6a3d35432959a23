//! `upstream_feeds`: how far an upstream has told of advisories and filter lists. What it told is `upstream_notices`'s.

use serde::Deserialize;
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::store::packages::authority::Validators;
use crate::store::{OrganizationId, Query, json_text};

/// How far an upstream has told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct FeedState {
    /// What was updated before this moment has been asked for.
    pub advisories_since: Option<Millis>,
    /// How to ask for the summary of its filter lists again.
    #[serde(deserialize_with = "json_text")]
    pub filter_validators: Validators,
}

/// Reads how far an upstream has told.
pub fn state(organization: OrganizationId, repository_id: i64) -> Query<Option<FeedState>> {
    Query::one(
        "SELECT f.advisories_since, f.filter_validators
           FROM repositories r JOIN upstream_feeds f ON f.repository_id = r.id
          WHERE r.id = ?2 AND r.organization_id = ?1",
        [organization.into(), repository_id.into()],
    )
}

/// The statement that keeps how far an upstream has told.
pub fn keep_state(organization: OrganizationId, repository_id: i64, state: &FeedState) -> Stmt {
    Stmt::new(
        "INSERT INTO upstream_feeds (repository_id, advisories_since, filter_validators)
         SELECT r.id, ?3, ?4 FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1
         ON CONFLICT (repository_id) DO UPDATE SET advisories_since = excluded.advisories_since,
           filter_validators = excluded.filter_validators",
        [
            organization.into(),
            repository_id.into(),
            state.advisories_since.into(),
            json!(state.filter_validators).to_string().into(),
        ],
    )
}

/// The statements that forget all that a repository told of advisories and filter lists: it is another one now.
pub fn forget(organization: OrganizationId, repository_id: i64) -> [Stmt; 2] {
    [
        Stmt::new(
            "DELETE FROM upstream_feeds WHERE repository_id IN
                (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)",
            [organization.into(), repository_id.into()],
        ),
        Stmt::new(
            "DELETE FROM upstream_notices WHERE repository_id IN
                (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)",
            [organization.into(), repository_id.into()],
        ),
    ]
}

/// A package whose advisories are to be asked for.
#[derive(Debug, Clone, Deserialize)]
pub struct DueName {
    /// `vendor/package`.
    pub name: String,
}

/// Reads the packages mirrored from an upstream whose advisories were asked for at `before` at the latest, or before
/// somebody requested a sync, or never: those that were never asked for first, then the oldest, at most `limit`.
pub fn due_for_advisories(
    organization: OrganizationId,
    repository_id: i64,
    before: Millis,
    limit: i64,
) -> Query<Vec<DueName>> {
    Query::all(
        "SELECT m.name FROM repositories r JOIN mirrors m ON m.repository_id = r.id
           JOIN packages p ON p.organization_id = r.organization_id AND p.name = m.name AND p.repository_id = r.id
          WHERE r.id = ?2 AND r.organization_id = ?1 AND p.version_index <> '[]'
            AND coalesce(m.advisories_at, 0) <= max(?3, coalesce(r.refresh_before, 0))
          ORDER BY coalesce(m.advisories_at, 0), m.name LIMIT ?4",
        [organization.into(), repository_id.into(), before.into(), limit.into()],
    )
}

/// The statement that notes that the advisories of `names` (a JSON array) were asked for.
pub fn record_asked(organization: OrganizationId, repository_id: i64, names: String, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE mirrors SET advisories_at = ?4
          WHERE repository_id IN (SELECT r.id FROM repositories r WHERE r.id = ?2 AND r.organization_id = ?1)
            AND name IN (SELECT value FROM json_each(?3))",
        [organization.into(), repository_id.into(), names.into(), now.into()],
    )
}
