//! Building dist zips from commits, and putting them where they are served from.
//!
//! A zip is stored before the database knows of it, under the SHA-256 of its content: whatever breaks in between leaves
//! at most a blob that nobody names, and building again gives the same bytes.
//!
//! What fits the memory is built in one go ([`builder`]): by a job after a sync, or by the download that needs it. What
//! does not, what cannot be built here at all ([`host_zip`]), and what has files that Git LFS keeps, is left to a job of its own ([`large`]), which a download waits for. An isolate builds one of each at a time;
//! a job gives way between two zips when a download waits.

mod attempt;
pub mod builder;
mod failure;
mod host_zip;
pub mod large;
mod output;

use std::collections::HashSet;
use std::time::Duration;

use git::{FetchError, Packs};

use crate::ports::{Job, Millis, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::memory::Permit;
use crate::registry::kernel::slices::Slices;
use crate::registry::packages::publish::render_again_after_builds;
use crate::registry::sources::archive_store::{BUILD_PERMIT, LARGE_BUILD_PERMIT, acquire_build_permit, unavailable};
use crate::registry::sources::git::archives::attempt::OneGoAttempt;
use crate::registry::sources::git::archives::builder::{Builder, StoredArchive, commit_of};
pub use crate::registry::sources::git::archives::failure::failed;
use crate::registry::sources::git::archives::failure::{ArchiveRefusal, BuildFailure, OneGoFailure};
use crate::registry::sources::git::archives::large::Advance;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::is_too_large;
use crate::store::packages::remarks::{Remark, RemarkKind, RemarksOn, record_of_archives};
use crate::store::sources::archive_builds;
use crate::store::sources::dists::{self, DistRow, NewArtifact};

/// Commits that are fetched together: they come in one request and share most of their objects.
const COMMITS_PER_FETCH: usize = 20;

/// How long one job builds. What is left then is another job's, behind those of other repositories.
const JOB_TIME: Duration = Duration::from_mins(1);

/// How long a job waits for whoever builds in its isolate, and for how long it is put off when that was in vain.
const JOB_PATIENCE: Duration = Duration::from_secs(5);
const JOB_DELAY: Duration = Duration::from_secs(15);

/// How long a download waits for the job that builds its large zip, and how often it looks.
const LARGE_BUILD_TIMEOUT: Duration = Duration::from_mins(1);
const LARGE_BUILD_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What was found out about some dists, to be written together.
#[derive(Default)]
struct Settled {
    stmts: Vec<Stmt>,
    remarks: Vec<RemarksOn>,
    /// Whether it is known for each that it will never have a zip, or that it has one.
    count: usize,
    /// Those whose zips are too large to be built in one go.
    large: Vec<i64>,
}

impl Settled {
    fn stored(&mut self, stored: StoredArchive) {
        self.count += 1;
        self.stmts.extend(stored.attach);
        self.remarks.push(stored.remarks);
    }

    fn refused(&mut self, row: &DistRow, refusal: &ArchiveRefusal) {
        self.count += 1;
        self.stmts.extend([dists::record_refusal(row.id, &refusal.to_string()), archive_builds::end(row.id)]);
        let text = format!("There is no zip of commit {}: {refusal}.", row.reference);
        let remarks = vec![Remark::new(RemarkKind::Unzippable, text)];
        self.remarks.push(RemarksOn { subject: row.reference.to_string(), remarks });
    }

    fn large(&mut self, app: &App, row: &DistRow) {
        self.count += 1;
        self.stmts.push(archive_builds::begin(row.id, app.now()));
        self.large.push(row.id);
    }

    async fn write(mut self, app: &App, repository_id: i64) -> Result<usize, Failure> {
        if !self.remarks.is_empty() {
            self.stmts.extend(record_of_archives(repository_id, &self.remarks, app.now()));
        }
        app.ports.database.batch(self.stmts).await?;
        let jobs: Vec<Job> = self.large.into_iter().map(|dist_id| Job::BuildLargeArchive { dist_id }).collect();
        app.enqueue_all(&jobs, Duration::ZERO).await;
        Ok(self.count)
    }
}

/// Builds the zips that a repository lacks (see [`dists::unbuilt`]) for a while, and renders the package again when there
/// are none left, so that its metadata gets their shasums.
pub async fn build_missing(app: &App, repository_id: i64) -> Result<(), Failure> {
    let until = app.now().plus(JOB_TIME);
    let mut deferred = HashSet::new();
    loop {
        let limit = i64::try_from(COMMITS_PER_FETCH + deferred.len()).unwrap_or(i64::MAX);
        let mut rows = dists::unbuilt(&*app.ports.database, repository_id, limit).await?;
        rows.retain(|row| !deferred.contains(&row.id));
        if rows.is_empty() {
            return render_again_after_builds(app, repository_id).await;
        }
        let Some(permit) = app.acquire_permit(&[BUILD_PERMIT], JOB_PATIENCE).await else {
            app.enqueue(Job::BuildArchives { repository_id }, JOB_DELAY).await;
            return Ok(());
        };
        let mut job = BuildJob { builder: Builder::new(app, repository_id).await?, slices: Slices::new(app, permit) };
        let attempt = OneGoAttempt::begin(app, &rows).await?;
        let settled = match job.build(rows, &mut deferred).await {
            Ok(mut settled) => {
                settled.stmts.insert(0, attempt.end_stmt());
                settled.write(app, repository_id).await?
            }
            Err(failure) => {
                attempt.end().await;
                return Err(failure);
            }
        };
        drop(job);
        let is_awaited = app.memory.is_awaited(BUILD_PERMIT, app.now());
        if settled > 0 && (is_awaited || app.now() >= until) {
            app.enqueue(Job::BuildArchives { repository_id }, Duration::ZERO).await;
            return Ok(());
        }
    }
}

/// A job that builds zips while nobody waits for its permit.
struct BuildJob<'a> {
    builder: Builder<'a>,
    slices: Slices<'a>,
}

impl BuildJob<'_> {
    /// Builds the zips of these dists, the first of them in any case. Those whose server fails are `deferred`.
    async fn build(&mut self, rows: Vec<DistRow>, deferred: &mut HashSet<i64>) -> Result<Settled, Failure> {
        let app = self.builder.app;
        let (mut settled, mut batches) = (Settled::default(), vec![rows]);
        while let Some(batch) = batches.pop() {
            if settled.count > 0 && app.memory.is_awaited(BUILD_PERMIT, app.now()) {
                break;
            }
            match self.builder.fetch_objects(&batch).await {
                Ok(packs) => self.store_all(&packs, &batch, &mut settled, deferred).await?,
                Err(error) if may_concern_the_commits(&error) => match batch.as_slice() {
                    [single] if is_too_large(&error) => settled.large(app, single),
                    [single] => defer(single, &error, deferred),
                    several => {
                        let (newer, older) = several.split_at(several.len() / 2);
                        batches.push(older.to_vec());
                        batches.push(newer.to_vec());
                    }
                },
                Err(error) => return Err(failed(error, None)),
            }
        }
        Ok(settled)
    }

    /// Builds and stores one zip after the other.
    async fn store_all(
        &mut self,
        packs: &Packs,
        rows: &[DistRow],
        settled: &mut Settled,
        deferred: &mut HashSet<i64>,
    ) -> Result<(), Failure> {
        let app = self.builder.app;
        for row in rows {
            if settled.count > 0 && app.memory.is_awaited(BUILD_PERMIT, app.now()) {
                return Ok(());
            }
            match self.builder.store_in_one_go(packs, row, &mut self.slices).await {
                Ok(stored) => settled.stored(stored),
                Err(OneGoFailure::Large) => settled.large(app, row),
                Err(OneGoFailure::Failed(BuildFailure::ForEver(refusal))) => settled.refused(row, &refusal),
                Err(OneGoFailure::Failed(BuildFailure::ForNow(SyncError::Internal(failure)))) => return Err(failure),
                Err(OneGoFailure::Failed(BuildFailure::ForNow(error))) => defer(row, &error, deferred),
            }
        }
        Ok(())
    }
}

/// Builds the large zip of one dist for a while, and renders the package again when it is stored.
pub async fn build_large(app: &App, dist_id: i64) -> Result<(), Failure> {
    let until = app.now().plus(JOB_TIME);
    let row = app.ports.database.ask(dists::by_id(dist_id)).await?;
    let Some(row) = row.filter(|row| row.sha256.is_none() && row.error.is_none()) else {
        // Somebody else has ended it, and could not note that.
        app.ports.database.ask([archive_builds::end(dist_id)]).await?;
        return Ok(());
    };
    let Some(permit) = app.acquire_permit(&[LARGE_BUILD_PERMIT], JOB_PATIENCE).await else {
        app.enqueue(Job::BuildLargeArchive { dist_id }, JOB_DELAY).await;
        return Ok(());
    };
    let mut builder = Builder::new(app, row.repository_id).await?;
    let mut slices = Slices::new(app, permit);
    let mut settled = Settled::default();
    match large::advance(&mut builder, &row, until, &mut slices).await {
        Ok(Advance::Stored(stored)) => {
            settled.stored(stored);
            settled.stmts.push(archive_builds::end(row.id));
        }
        Ok(Advance::Paused) => {
            app.enqueue(Job::BuildLargeArchive { dist_id }, Duration::ZERO).await;
            return Ok(());
        }
        // If that one is cut off, cron finds the build.
        Ok(Advance::Elsewhere) => return Ok(()),
        Err(BuildFailure::ForEver(refusal)) => settled.refused(&row, &refusal),
        Err(BuildFailure::ForNow(error)) => return Err(failed(error, commit_of(&row))),
    }
    settled.write(app, row.repository_id).await?;
    render_again_after_builds(app, row.repository_id).await
}

/// Builds the zip of one dist; its row as it is then.
///
/// # Errors
/// `NotFound` with the reason when the commit can never be packed or is gone, `Upstream` when its server fails, or when
/// it is large and not built yet.
pub async fn build_one(app: &App, row: &DistRow) -> Result<NewArtifact, Failure> {
    if row.is_large(app.now()) {
        if row.was_cut_off(app.now()) {
            app.enqueue(Job::BuildLargeArchive { dist_id: row.id }, Duration::ZERO).await;
        }
        return await_large_build(app, row).await;
    }
    let mut settled = Settled::default();
    let permit = acquire_build_permit(app).await?;
    let attempt = OneGoAttempt::begin(app, std::slice::from_ref(row)).await?;
    settled.stmts.push(attempt.end_stmt());
    let refusal = match build_in_one_go(app, row, permit).await {
        Ok(stored) => {
            let artifact = stored.artifact.clone();
            settled.stored(stored);
            settled.write(app, row.repository_id).await?;
            return Ok(artifact);
        }
        Err(OneGoFailure::Large) => {
            settled.large(app, row);
            settled.write(app, row.repository_id).await?;
            return await_large_build(app, row).await;
        }
        Err(OneGoFailure::Failed(BuildFailure::ForNow(error))) => {
            attempt.end().await;
            return Err(failed(error, commit_of(row)));
        }
        Err(OneGoFailure::Failed(BuildFailure::ForEver(refusal))) => refusal,
    };
    settled.refused(row, &refusal);
    settled.write(app, row.repository_id).await?;
    // The metadata is to hand out no zip that there will never be.
    app.enqueue(Job::BuildArchives { repository_id: row.repository_id }, Duration::ZERO).await;
    Err(unavailable(&row.pretty, &refusal.to_string()))
}

async fn build_in_one_go(app: &App, row: &DistRow, permit: Permit) -> Result<StoredArchive, OneGoFailure> {
    let mut builder = Builder::new(app, row.repository_id).await?;
    let packs = builder.fetch_objects(std::slice::from_ref(row)).await?;
    builder.store_in_one_go(&packs, row, &mut Slices::new(app, permit)).await
}

/// Waits for the job that builds a large zip.
async fn await_large_build(app: &App, row: &DistRow) -> Result<NewArtifact, Failure> {
    let until = app.now().plus(LARGE_BUILD_TIMEOUT);
    loop {
        let known = app.ports.database.ask(dists::by_id(row.id)).await?;
        let known = known.ok_or_else(|| Failure::not_found("Version"))?;
        if let Some(artifact) = known.artifact() {
            return Ok(artifact);
        }
        if let Some(error) = &known.error {
            return Err(unavailable(&row.pretty, error));
        }
        if app.now() >= until {
            let message = "The archive is large and still being built. Try again in a minute.";
            return Err(Failure::new(Kind::Upstream, message));
        }
        app.ports.clock.sleep(LARGE_BUILD_POLL_INTERVAL).await;
    }
}

/// Puts the large builds on the queue again that nobody has gone on with since `before`: their job was lost, or their
/// server failed.
pub async fn requeue_stalled(app: &App, before: Millis) -> Result<(), Failure> {
    let stalled = app.ports.database.ask(archive_builds::stalled(before)).await?;
    let jobs: Vec<Job> = stalled.into_iter().map(|build| Job::BuildLargeArchive { dist_id: build.dist_id }).collect();
    app.enqueue_all(&jobs, Duration::ZERO).await;
    Ok(())
}

/// Whether a fetch may have failed because of one of the commits that were asked for, so that the others deserve an
/// attempt without it. Only size is a reason for ever: a server that lost a commit or sends a damaged pack may do
/// better tomorrow.
fn may_concern_the_commits(error: &SyncError) -> bool {
    is_too_large(error)
        || matches!(
            error,
            SyncError::Fetch(FetchError::Remote(_))
                | SyncError::Pack(_)
                | SyncError::Withheld { .. }
                | SyncError::Missing { .. }
                | SyncError::NotATip { .. }
        )
}

fn defer(row: &DistRow, error: &SyncError, deferred: &mut HashSet<i64>) {
    deferred.insert(row.id);
    log::warn!("the archive of {} is left for its first download: {error}", row.pretty);
}
