//! `sync_runs`: the lease and the history of syncs.
//!
//! A run is inserted when it starts and updated when it ends, so that a sync that was cut off stays visible. Claiming
//! and finishing are one statement each: a sync that finds nothing new costs two.

use serde::{Deserialize, Serialize};

use crate::ports::{Database, DatabaseError, Millis, Stmt};
use crate::store::packages::remarks::{MAX_LISTED, RefRemark};
use crate::store::sources::Total;
use crate::store::sources::repositories::Repository;
use crate::store::{OrganizationId, Page, Query, flag, json_text};

/// A claimed run and what it needs to know of its repository.
#[derive(Debug, Clone, Deserialize)]
pub struct Claim {
    /// Primary key of the run.
    pub id: i64,
    /// Failed runs in a row before this one.
    pub failures: i64,
    /// Whether the organization's tags stay where they were published from.
    #[serde(deserialize_with = "flag")]
    pub immutable_tags: bool,
    /// The repository that was claimed.
    #[serde(deserialize_with = "json_text")]
    pub repository: Repository,
}

macro_rules! claim_columns {
    () => {
        "id, failures,
           (SELECT s.value FROM settings s JOIN repositories o ON o.organization_id = s.organization_id
             WHERE o.id = repository_id AND s.key = 'immutable_tags') IS 'true' AS immutable_tags,
           (SELECT json_set(json_object('id', id, 'uid', uid, 'organization_id', organization_id, 'kind', kind,
                   'provider', provider, 'url', url, 'path', path, 'tag_prefix', tag_prefix, 'tag_filter', tag_filter,
                   'branch_filter', branch_filter, 'package_filter', package_filter,
                   'credential_type', credential_type, 'credentials', credentials, 'capabilities', capabilities,
                   'refs_digest', refs_digest, 'conflicting_package', conflicting_package),
                   '$.source_protocol', source_protocol, '$.funding', funding, '$.lfs', lfs,
                   '$.host_credentials', host_credentials)
              FROM repositories WHERE id = repository_id) AS repository"
    };
}

/// A ref or a version that a sync left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedItem {
    /// The ref's full name.
    #[serde(rename = "ref")]
    pub name: String,
    /// Why, for the operator.
    pub reason: String,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct SyncReport {
    /// Why it failed; `None` when it did not.
    pub error: Option<String>,
    /// Requests sent upstream.
    pub requests: i64,
    /// Bytes received from upstream.
    pub received_bytes: i64,
    /// Versions that appeared.
    pub added: i64,
    /// Versions whose reference moved.
    pub changed: i64,
    /// Versions that vanished.
    pub removed: i64,
    /// What was left out.
    pub skipped: Vec<SkippedItem>,
    /// How much more was left out.
    pub skipped_unnamed: usize,
    /// What operators should know of the refs that were looked at.
    pub remarks: Vec<RefRemark>,
}

/// Most refs or versions left out that a run names; the rest is counted.
const MAX_SKIPPED_NAMED: usize = 500;

impl SyncReport {
    /// Adds something that was left out.
    pub fn skip(&mut self, item: SkippedItem) {
        if self.skipped.len() < MAX_SKIPPED_NAMED {
            self.skipped.push(item);
        } else {
            self.skipped_unnamed += 1;
        }
    }

    /// What is told when nothing was published in the end.
    pub fn clear_changes(&mut self) {
        (self.added, self.changed, self.removed) = (0, 0, 0);
        self.remarks.clear();
    }

    fn skipped_json(&self) -> String {
        let named = &self.skipped[..self.skipped.len().min(MAX_SKIPPED_NAMED)];
        let mut list = serde_json::json!(named);
        let more = self.skipped.len() - named.len() + self.skipped_unnamed;
        if let (1.., Some(list)) = (more, list.as_array_mut()) {
            list.push(serde_json::json!({ "ref": "", "reason": format!("and {more} more") }));
        }
        list.to_string()
    }

    fn remarks_json(&self) -> String {
        serde_json::json!(self.remarks[..self.remarks.len().min(MAX_LISTED)]).to_string()
    }
}

/// The statement that ends a repository's run that is under way: what it looks for is no longer what is wanted. It can
/// publish nothing from then on, and another one may begin at once.
pub fn supersede(organization: OrganizationId, repository_id: i64, now: Millis) -> Stmt {
    Stmt::new(
        "UPDATE sync_runs SET finished_at = ?2, outcome = 'failed', next_due_at = ?2,
                error = 'The repository was changed while it was synced. It is synced again.'
          WHERE repository_id IN (SELECT r.id FROM repositories r WHERE r.id = ?1 AND r.organization_id = ?3)
            AND finished_at IS NULL",
        [repository_id.into(), now.into(), organization.into()],
    )
}

/// What finishing a run returned.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub struct Finished {
    /// A sync was asked for while this one ran: another must follow.
    #[serde(deserialize_with = "flag")]
    pub resync_requested: bool,
    /// The repository of the same host whose sync has waited for this one to end: one that somebody asked for, else the
    /// one that has waited longest.
    pub next_waiting: Option<i64>,
}

/// The statement that aborts its batch when the run no longer holds its lease, or when a package of that name belongs
/// to another repository that is no upstream: `json('…')` of a text that is no JSON is an error, and D1 has no other way to raise one.
pub fn guard(organization: OrganizationId, run_id: i64, package: &str, repository_id: i64) -> Stmt {
    Stmt::new(
        "SELECT CASE
           WHEN NOT EXISTS (SELECT 1 FROM sync_runs s WHERE s.id = ?1 AND s.finished_at IS NULL
                              AND s.id = (SELECT max(id) FROM sync_runs WHERE repository_id = ?4))
             THEN json('the lease is lost')
           WHEN EXISTS (SELECT 1 FROM packages p JOIN repositories r ON r.id = p.repository_id
                         WHERE p.organization_id = ?2 AND p.name = ?3 AND p.repository_id <> ?4
                           AND r.kind <> 'composer')
             THEN json('the package belongs to another repository')
         END AS guard",
        [run_id.into(), organization.into(), package.into(), repository_id.into()],
    )
}

/// A run as its history shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct RunRow {
    /// Public id (`UUIDv7`).
    pub uid: String,
    /// When it began.
    pub started_at: Millis,
    /// When it ended; `None` while it runs, and for good when it was cut off.
    pub finished_at: Option<Millis>,
    /// The moment its lease ends.
    pub lease_until: Millis,
    /// `ok` or `failed`.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Requests sent upstream.
    pub requests: i64,
    /// Bytes received from upstream.
    pub received_bytes: i64,
    /// Versions that appeared.
    pub added: i64,
    /// Versions whose reference moved.
    pub changed: i64,
    /// Versions that vanished.
    pub removed: i64,
    /// What was left out.
    #[serde(deserialize_with = "json_text")]
    pub skipped: Vec<SkippedItem>,
    /// The remarks that were new.
    #[serde(deserialize_with = "json_text")]
    pub remarks: Vec<RefRemark>,
}

/// A page of a repository's runs, newest first, and how many there are in all; `None` when there is no such
/// repository.
pub async fn page(
    db: &dyn Database,
    organization: OrganizationId,
    repository_uid: &str,
    page: Page,
) -> Result<Option<(Vec<RunRow>, i64)>, DatabaseError> {
    let runs = Query::all(
        "SELECT s.uid, s.started_at, s.finished_at, s.lease_until, s.outcome, s.error, s.requests,
                s.received_bytes, s.added, s.changed, s.removed, s.skipped, s.remarks
           FROM sync_runs s JOIN repositories r ON r.id = s.repository_id
          WHERE r.organization_id = ?1 AND r.uid = ?2 ORDER BY s.id DESC LIMIT ?3 OFFSET ?4",
        [organization.into(), repository_uid.into(), page.limit.into(), page.offset.into()],
    );
    let total: Query<Option<Total>> = Query::one(
        "SELECT (SELECT count(*) FROM sync_runs s WHERE s.repository_id = r.id) AS total
           FROM repositories r WHERE r.organization_id = ?1 AND r.uid = ?2",
        [organization.into(), repository_uid.into()],
    );
    let (runs, total) = db.ask((runs, total)).await?;
    Ok(total.map(|row| (runs, row.total)))
}

// Across organizations: a job names a repository by its primary key, a run is whoever claimed it, the cron looks at all, and
// a host is asked on behalf of all.

macro_rules! with_latest_run {
    () => {
        " FROM repositories r LEFT JOIN sync_runs l ON l.id = (SELECT max(id) FROM sync_runs WHERE repository_id = r.id)"
    };
}

/// When the sync is due that follows the run `l`. One that is cut off has no end and tells of none: the next is due when its lease
/// is over, and later each time that it is cut off or fails again, by as long as the lease, doubled up to 64 times.
macro_rules! next_due_at {
    () => {
        "CASE WHEN l.finished_at IS NULL
              THEN l.lease_until + (l.lease_until - l.started_at) * ((1 << min(l.failures, 6)) - 1)
              ELSE l.next_due_at END"
    };
}

/// Whether a sync of the repository `r`, whose latest run is `l`, is due at `?1`.
macro_rules! is_due {
    () => {
        concat!(
            "r.kind IN ('git', 'composer') AND r.is_active = 1
         AND (l.id IS NULL OR l.finished_at IS NOT NULL OR l.lease_until <= ?1)
         AND (l.id IS NULL OR r.request_seq > l.request_seq OR ",
            next_due_at!(),
            " <= ?1)"
        )
    };
}

/// How many syncs of the host of `r` are under way at `?1`.
macro_rules! under_way {
    () => {
        "(SELECT count(*) FROM sync_runs u JOIN repositories o ON o.id = u.repository_id
           WHERE u.finished_at IS NULL AND u.lease_until > ?1 AND o.host = r.host)"
    };
}

/// A repository whose sync is due.
#[derive(Debug, Clone, Deserialize)]
pub struct DueRepository {
    /// Its primary key.
    pub id: i64,
    /// Since when at the latest. One that was asked for before its interval was over counts as due since now.
    pub due_at: Millis,
    /// Whether it waits for other syncs of its host to end.
    #[serde(deserialize_with = "flag")]
    pub is_waiting: bool,
}

/// The repositories whose sync is due: asked for, never run, cut off, or past their interval. At most 500.
pub fn due(now: Millis) -> Query<Vec<DueRepository>> {
    Query::all(
        concat!(
            "SELECT r.id, r.waiting_since IS NOT NULL AS is_waiting,
                    CASE WHEN l.id IS NULL THEN r.created_at ELSE min(",
            next_due_at!(),
            ", ?1) END AS due_at",
            with_latest_run!(),
            " WHERE ",
            is_due!(),
            " ORDER BY l.started_at LIMIT 500"
        ),
        [now.into()],
    )
}

/// A run that is to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// Public id (`UUIDv7`).
    pub uid: &'a str,
    /// Its repository's primary key.
    pub repository_id: i64,
    /// Now.
    pub now: Millis,
    /// Until when nobody else may sync the repository.
    pub lease_until: Millis,
    /// How many syncs of the repository's host may be under way at once.
    pub max_of_host: i64,
}

/// Claims a due repository; `None` when it is not due, is being synced, or is gone. Neither is it claimed while as many syncs of its
/// host are under way as may be: it waits then for one of them to end.
pub async fn claim(db: &dyn Database, new: NewRun<'_>) -> Result<Option<Claim>, DatabaseError> {
    let claim = Query::one(
        concat!(
            "INSERT INTO sync_runs (uid, repository_id, request_seq, started_at, lease_until, failures)
         SELECT ?3, r.id, r.request_seq, ?1, ?4,
                CASE WHEN l.id IS NULL OR l.outcome = 'ok' THEN 0 ELSE l.failures + 1 END",
            with_latest_run!(),
            " WHERE r.id = ?2 AND ",
            is_due!(),
            " AND ",
            under_way!(),
            " < ?5 RETURNING ",
            claim_columns!()
        ),
        [new.now.into(), new.repository_id.into(), new.uid.into(), new.lease_until.into(), new.max_of_host.into()],
    );
    // What was claimed is not due any more.
    let wait = Stmt::new(
        concat!(
            "UPDATE repositories SET waiting_since = iif(d.is_due, coalesce(waiting_since, ?1), NULL)
               FROM (SELECT ",
            is_due!(),
            " AS is_due",
            with_latest_run!(),
            " WHERE r.id = ?2) d
              WHERE id = ?2 AND (waiting_since IS NOT NULL OR d.is_due)"
        ),
        [new.now.into(), new.repository_id.into()],
    );
    let (claim, ()) = db.ask((claim, wait)).await?;
    Ok(claim)
}

/// The claim that was made under `uid` and has not ended; for when the answer to it got lost.
pub async fn claimed(db: &dyn Database, uid: &str) -> Result<Option<Claim>, DatabaseError> {
    let claimed = Query::one(
        concat!("SELECT ", claim_columns!(), " FROM sync_runs WHERE uid = ?1 AND finished_at IS NULL"),
        [uid.into()],
    );
    db.ask(claimed).await
}

/// Whether a sync was asked for since a run began, and what waits for the host of its repository, at `?1`.
macro_rules! finished_columns {
    () => {
        concat!(
            "(SELECT o.request_seq FROM repositories o WHERE o.id = sync_runs.repository_id) > sync_runs.request_seq AS resync_requested,
             (SELECT r.id",
            with_latest_run!(),
            " WHERE r.waiting_since IS NOT NULL AND r.host = (SELECT o.host FROM repositories o WHERE o.id = sync_runs.repository_id)
                AND ",
            is_due!(),
            " ORDER BY (l.id IS NULL OR r.request_seq > l.request_seq) DESC, r.waiting_since, r.id LIMIT 1) AS next_waiting"
        )
    };
}

/// Ends a run; `None` when its lease was taken over.
pub fn finish(id: i64, report: &SyncReport, now: Millis, next_due_at: Millis) -> Query<Option<Finished>> {
    let outcome = if report.error.is_some() { "failed" } else { "ok" };
    Query::one(
        concat!(
            "UPDATE sync_runs SET finished_at = ?1, outcome = ?3, error = ?4, next_due_at = ?5, requests = ?6,
                received_bytes = ?7, added = ?8, changed = ?9, removed = ?10, skipped = ?11,
                remarks = ?12
          WHERE id = ?2 AND finished_at IS NULL
         RETURNING ",
            finished_columns!()
        ),
        [
            now.into(),
            id.into(),
            outcome.into(),
            report.error.as_ref().into(),
            next_due_at.into(),
            report.requests.into(),
            report.received_bytes.into(),
            report.added.into(),
            report.changed.into(),
            report.removed.into(),
            report.skipped_json().into(),
            report.remarks_json().into(),
        ],
    )
}

/// Reads [`Finished`] of a run that has ended, for when the answer to [`finish`] got lost; `None` when it has not.
pub fn finished(id: i64, now: Millis) -> Query<Option<Finished>> {
    Query::one(
        concat!("SELECT ", finished_columns!(), " FROM sync_runs WHERE id = ?2 AND finished_at IS NOT NULL"),
        [now.into(), id.into()],
    )
}

/// The statement that removes at most 5000 runs that ended before `before`, less each repository's latest and its latest
/// good one.
pub fn prune(before: Millis) -> Stmt {
    Stmt::new(
        "DELETE FROM sync_runs WHERE id IN (
           SELECT s.id FROM sync_runs s
            WHERE s.started_at < ?1
              AND s.id < (SELECT max(id) FROM sync_runs WHERE repository_id = s.repository_id)
              AND s.id <> coalesce((SELECT max(id) FROM sync_runs
                                 WHERE repository_id = s.repository_id AND outcome = 'ok'), 0)
            LIMIT 5000)",
        [before.into()],
    )
    .idempotent()
}
