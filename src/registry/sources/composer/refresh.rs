//! The sync of an upstream repository: its root, and what it has of the packages that were asked for before, the oldest
//! answers first. A look-up that finds an answer too old asks for itself; this keeps old ones from piling up, tells the
//! repository's owner when the upstream fails, and finds out when it no longer does.

use composer::PackageName;

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::composer::client::FetchedRoot;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::feeds::refresh_feeds;
use crate::registry::sources::composer::import_all::import_all;
use crate::registry::sources::composer::import_batch::ImportBatch;
use crate::registry::sources::composer::{Progress, ineligibility, retract_reserved};
use crate::registry::sources::runs::longest_advance;
use crate::store::sources::repositories::Repository;
use crate::store::sources::sync_runs::SyncReport;
use crate::store::sources::upstream_answers::{self, LeftOut, NameRow, SkippedVersion};

/// Packages that one sync asks for again.
const PACKAGES_A_SYNC: i64 = 50;

/// Syncs an upstream repository; what was done is in `report`, whatever comes of it.
pub async fn refresh(
    app: &App,
    repository: &Repository,
    report: &mut SyncReport,
) -> Result<Progress, UpstreamRepositoryError> {
    let upstream = repository.to_upstream();
    let mut import = ImportBatch::new(app, repository.organization, &upstream)?;
    let result = refresh_root_and_packages(&mut import).await;
    // What was learnt before the server failed is not to be asked for again.
    let flushed = import.flush().await;
    app.memory.invalidate_published(repository.organization);
    let tidied = remove_withdrawn(&mut import).await;
    *report = import.report;
    report.requests = import.remote.requests;
    report.received_bytes = import.remote.received_bytes;
    let progress = result?;
    flushed?;
    tidied?;
    Ok(progress)
}

async fn refresh_root_and_packages(import: &mut ImportBatch<'_>) -> Result<Progress, UpstreamRepositoryError> {
    let known = import.upstream.root.as_ref();
    match (import.remote.root(known.map(|known| &known.validators)).await?, known) {
        (Some(FetchedRoot { stored, bytes }), _) if stored.root.metadata_url.is_none() => {
            return import_all(import, stored, bytes).await;
        }
        (Some(FetchedRoot { stored, .. }), _) => import.keep_root(stored).await?,
        // What was read as a whole has not changed since.
        (None, Some(known)) if known.root.metadata_url.is_none() => return Ok(Progress::Done),
        (None, _) => {}
    }
    let progress = refresh_oldest(import).await?;
    if progress == Progress::Done && import.may_ask_on() {
        // What was read of packages comes first: it says which there are.
        import.flush().await?;
        refresh_feeds(import).await?;
    }
    Ok(progress)
}

/// Asks for the packages again that were not asked for the longest. After somebody has requested a sync that is all of them,
/// whatever their age, over as many syncs as it takes.
async fn refresh_oldest(import: &mut ImportBatch<'_>) -> Result<Progress, UpstreamRepositoryError> {
    // What would be too old before the next sync is due.
    let interval = import.app.config.sync_interval;
    let before = import.app.now().minus(interval.saturating_sub(longest_advance(interval)));
    let oldest = upstream_answers::oldest(import.organization, import.upstream.id, before, PACKAGES_A_SYNC);
    let oldest = import.app.ports.database.ask(oldest).await?;
    let may_be_more = i64::try_from(oldest.len()).is_ok_and(|asked| asked == PACKAGES_A_SYNC);
    for NameRow { name, ownership, before, .. } in oldest {
        let Ok(name) = PackageName::parse(&name) else { continue };
        if !import.may_ask_on() {
            return Ok(Progress::Done);
        }
        if ineligibility(import.upstream, &ownership, &name).is_none() {
            let is_owner = ownership.owner == Some(import.upstream.id);
            if let Err(error) = import.import_package(&name, is_owner.then_some(&before)).await {
                import.record_failure(&name, error)?;
            }
        }
    }
    if !may_be_more {
        return Ok(Progress::Done);
    }
    import.flush().await?;
    let older = upstream_answers::has_older_than_request(import.organization, import.upstream.id);
    Ok(if import.app.ports.database.ask(older).await? { Progress::More } else { Progress::Done })
}

/// What is left to do at the end, whether it was a good one or not.
async fn remove_withdrawn(import: &mut ImportBatch<'_>) -> Result<(), Failure> {
    retract_reserved(import.app, import.organization, None).await?;
    let left_out = import.app.ports.database.ask(upstream_answers::left_out(import.upstream.id)).await?;
    for LeftOut { name, error, skipped } in left_out {
        for SkippedVersion { version, reason } in skipped {
            import.skip(format!("{name} {version}").trim_end(), reason);
        }
        if let Some(error) = error {
            import.skip(name, error);
        }
    }
    Ok(())
}
