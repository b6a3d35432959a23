//! `audit_log`: who did what, when and from where.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::{OrganizationId, Page, Query, json_arguments, json_text};

/// An entry about to be written.
#[derive(Debug, Clone)]
pub struct NewAuditEntry<'a> {
    /// Public id.
    pub uid: String,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// Now.
    pub at: Millis,
    /// `admin`, `token:{uid}`, `user:{uid}`, `repository:{uid}`, `anonymous`.
    pub actor: &'a str,
    /// The client's IP address.
    pub address: Option<&'a str>,
    /// `token.created`.
    pub action: &'static str,
    /// Public id of what was acted on.
    pub target: &'a str,
    /// What people call it, when the change names it.
    pub label: Option<&'a str>,
    /// JSON object; never a secret.
    pub details: String,
}

/// The statement that writes an entry if the statement right before it in the batch has changed a row: what did not
/// happen is not noted, and what happened cannot go unnoted.
pub fn record(entry: NewAuditEntry<'_>) -> Stmt {
    Stmt::new(
        "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, label, details)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 WHERE changes() > 0",
        [
            entry.uid.into(),
            entry.organization.into(),
            entry.at.into(),
            entry.actor.into(),
            entry.address.into(),
            entry.action.into(),
            entry.target.into(),
            entry.label.into(),
            entry.details.into(),
        ],
    )
}

/// Whether there is an entry with this public id.
pub fn is_recorded(organization: OrganizationId, uid: &str) -> Query<bool> {
    Query::any("SELECT 1 FROM audit_log WHERE organization_id = ?1 AND uid = ?2", [organization.into(), uid.into()])
}

/// An entry of what a sync of a repository has found.
#[derive(Debug, Clone)]
pub struct NewRepositoryEntry {
    /// Public id.
    pub uid: String,
    /// What people call what changed.
    pub label: String,
    /// JSON object; never a secret.
    pub details: Value,
}

/// The statements that write entries of what a sync of a repository has found: actor and target are the repository. They
/// belong into the batch that carries it out.
pub fn record_by_repository(
    organization: OrganizationId,
    repository_uid: &str,
    action: &'static str,
    entries: &[NewRepositoryEntry],
    now: Millis,
) -> Vec<Stmt> {
    let row = |entry: &NewRepositoryEntry| json!([entry.uid, entry.label, entry.details.to_string()]);
    let statement = |rows: String| {
        Stmt::new(
            "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, label, details)
             SELECT j.value ->> 0, ?1, ?2, 'repository:' || ?3, NULL, ?4, ?3, j.value ->> 1, j.value ->> 2
               FROM json_each(?5) j",
            [organization.into(), now.into(), repository_uid.into(), action.into(), rows.into()],
        )
    };
    json_arguments(entries.iter().map(row)).into_iter().map(statement).collect()
}

/// The statement that writes one entry like `entry` for each live token in `tokens`: a JSON array of `{entry, uid,
/// revision}`, the entry's public id and the token's with its revision. It belongs right before the statement that
/// revokes just these; the target of `entry` is passed over.
pub fn record_revocations(entry: NewAuditEntry<'_>, tokens: String) -> Stmt {
    Stmt::new(
        "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, label, details)
         SELECT j.value ->> 'entry', ?1, ?2, ?3, ?4, ?5, t.uid, NULL, ?6
           FROM json_each(?7) j
          CROSS JOIN tokens t ON t.uid = j.value ->> 'uid' AND t.revision = j.value ->> 'revision'
                             AND t.organization_id = ?1 AND t.revoked_at IS NULL",
        [
            entry.organization.into(),
            entry.at.into(),
            entry.actor.into(),
            entry.address.into(),
            entry.action.into(),
            entry.details.into(),
            tokens.into(),
        ],
    )
}

/// The statement that writes one entry like `entry` for each repository in `repositories`: a JSON array of `{entry, uid}`,
/// the entry's public id and the repository's. It belongs behind the statements that register them: what they did not is
/// not noted. Target, label and details of `entry` are passed over.
pub fn record_registrations(entry: &NewAuditEntry<'_>, repositories: String) -> Stmt {
    Stmt::new(
        "INSERT INTO audit_log (uid, organization_id, at, actor, address, action, target, label, details)
         SELECT j.value ->> 'entry', ?1, ?2, ?3, ?4, ?5, r.uid, r.url,
                json_object('provider', r.provider, 'path', r.path, 'credential_type', r.credential_type)
           FROM json_each(?6) j CROSS JOIN repositories r ON r.uid = j.value ->> 'uid' AND r.organization_id = ?1",
        [
            entry.organization.into(),
            entry.at.into(),
            entry.actor.into(),
            entry.address.into(),
            entry.action.into(),
            repositories.into(),
        ],
    )
}

/// An entry as it is read.
#[derive(Debug, Clone, Deserialize)]
pub struct AuditEntryRow {
    /// Public id.
    pub uid: String,
    /// When.
    pub at: Millis,
    /// Who.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// What.
    pub action: String,
    /// On what, by its public id.
    pub target: String,
    /// What people call that, when the change named it.
    pub label: Option<String>,
    /// More of it.
    #[serde(deserialize_with = "json_text")]
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// Which entries are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter<'a> {
    /// Of this actor.
    pub actor: Option<&'a str>,
    /// Of this action, or of all that begin like it (`token.`).
    pub action: Option<&'a str>,
    /// On this target.
    pub target: Option<&'a str>,
    /// Not before this moment.
    pub since: Option<Millis>,
    /// Before this moment.
    pub until: Option<Millis>,
}

macro_rules! filter {
    () => {
        " WHERE organization_id = ?1
            AND (?2 IS NULL OR actor = ?2)
            AND (?3 IS NULL OR substr(action, 1, length(?3)) = ?3)
            AND (?4 IS NULL OR target = ?4)
            AND (?5 IS NULL OR at >= ?5)
            AND (?6 IS NULL OR at < ?6)"
    };
}

/// A page of the log, newest first, and how many entries match in all.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    filter: AuditFilter<'_>,
    page: Page,
) -> Result<(Vec<AuditEntryRow>, i64), DatabaseError> {
    let args = [
        organization.into(),
        filter.actor.into(),
        filter.action.into(),
        filter.target.into(),
        filter.since.into(),
        filter.until.into(),
    ];
    let mut paged = args.to_vec();
    paged.extend([page.limit.into(), page.offset.into()]);
    let entries = Query::all(
        concat!(
            "SELECT uid, at, actor, address, action, target, label, details FROM audit_log",
            filter!(),
            " ORDER BY id DESC LIMIT ?7 OFFSET ?8"
        ),
        paged,
    );
    let total = Query::count(concat!("SELECT count(*) AS total FROM audit_log", filter!()), args);
    db.ask((entries, total)).await
}
