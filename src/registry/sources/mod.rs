//! Where packages come from: git repositories, other Composer repositories, uploaded zips. Here a due repository is
//! handed to what syncs its kind.

pub mod archive_store;
pub mod artifacts;
pub mod composer;
pub mod git;
pub mod incoming_archive;
pub mod incoming_zip;
pub mod repositories;
pub mod runs;
pub mod texts;
pub mod uploads;

use std::time::Duration;

use crate::ports::{Job, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::outbound::RequestError;
use crate::registry::sources::composer::Progress;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::refresh::refresh;
use crate::registry::sources::git::SyncOutcome;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::runs::{MAX_BACKOFF, backoff, claim, finish, next_due, next_regular};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::sync_runs::{Claim, Finished, SyncReport};

/// Why a sync failed, in words for the repository's owner.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    /// Of a git repository.
    #[error(transparent)]
    Git(#[from] SyncError),
    /// Of an upstream Composer repository.
    #[error(transparent)]
    Composer(#[from] UpstreamRepositoryError),
}

impl SourceError {
    /// How long the server asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Git(SyncError::Request(RequestError::Busy { retry_after, .. }))
            | Self::Composer(UpstreamRepositoryError::Request(RequestError::Busy { retry_after, .. })) => *retry_after,
            Self::Git(_) | Self::Composer(_) => None,
        }
    }

    /// What the registry failed at itself, for the log.
    fn internal(&self) -> Option<&Failure> {
        match self {
            Self::Git(SyncError::Internal(failure)) | Self::Composer(UpstreamRepositoryError::Internal(failure)) => {
                Some(failure)
            }
            Self::Git(_) | Self::Composer(_) => None,
        }
    }
}

/// What is left to do after a sync.
enum Synced {
    /// It has ended its run, in the batch in which it published.
    Published(Finished),
    /// There is nothing new, or what there is was published on the way.
    Done,
    /// There is more than one sync does.
    More,
}

/// Claims a due repository and syncs it. Does nothing when it is not due, is being synced already, or is gone.
///
/// # Errors
/// Only when the run could not be claimed or its end not be noted; a failed sync is a result, and shown with the
/// repository.
pub async fn sync(app: &App, repository_id: i64) -> Result<(), Failure> {
    let Some(claim) = claim(app, repository_id).await? else { return Ok(()) };
    let repository = &claim.repository;
    let mut report = SyncReport::default();
    let synced: Result<Synced, SourceError> = match repository.kind {
        RepositoryKind::Composer => {
            refresh(app, repository, &mut report).await.map(Synced::from).map_err(SourceError::from)
        }
        // The repository of uploaded zips is never due.
        RepositoryKind::Git | RepositoryKind::Artifact => {
            git::sync(app, &claim, repository, &mut report).await.map(Synced::from).map_err(SourceError::from)
        }
    };
    let Finished { resync_requested, next_waiting } = match synced {
        Ok(Synced::Published(finished)) => {
            app.enqueue(Job::BuildArchives { repository_id }, Duration::ZERO).await;
            finished
        }
        Ok(Synced::Done) => finish(app, &claim, &report, next_regular(app, repository_id)).await?,
        Ok(Synced::More) => {
            let finished = finish(app, &claim, &report, app.now()).await?;
            Finished { resync_requested: true, ..finished }
        }
        Err(error) => {
            if let Some(failure) = error.internal() {
                log::error!("sync of repository {} failed: {failure:?}", repository.uid);
            }
            report.error = Some(error.to_string());
            finish(app, &claim, &report, next_attempt(app, &claim, error.retry_after())).await?
        }
    };
    let again = resync_requested.then_some(repository_id);
    let jobs = again.into_iter().chain(next_waiting).map(|repository_id| Job::SyncRepository { repository_id });
    app.enqueue_all(&jobs.collect::<Vec<Job>>(), Duration::ZERO).await;
    Ok(())
}

/// When a repository whose sync failed is synced again: not before its server asks for it.
fn next_attempt(app: &App, claim: &Claim, retry_after: Option<Duration>) -> Millis {
    let (now, interval) = (app.now(), app.config.sync_interval);
    // An upstream's failure is over when look-ups succeed again, which its owner is to see soon.
    let failures = if claim.repository.kind == RepositoryKind::Composer { 0 } else { claim.failures };
    let next = next_due(claim.repository.id, now, backoff(interval, failures), interval);
    next.max(now.plus(retry_after.unwrap_or_default().min(MAX_BACKOFF)))
}

impl From<SyncOutcome> for Synced {
    fn from(ended: SyncOutcome) -> Self {
        match ended {
            SyncOutcome::NothingNew => Self::Done,
            SyncOutcome::Published(finished) => Self::Published(finished),
        }
    }
}

impl From<Progress> for Synced {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Done => Self::Done,
            Progress::More => Self::More,
        }
    }
}
