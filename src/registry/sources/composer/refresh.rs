//! The sync of an upstream repository: its root, and what it has of the packages that were asked for before, the oldest
//! answers first. A look-up that finds an answer too old asks for itself; this keeps old ones from piling up, tells the
//! repository's owner when the upstream fails, and finds out when it no longer does.

use composer::PackageName;

use crate::json::read_text;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::composer::client::{FetchedRoot, UpstreamRepositoryError};
use crate::registry::sources::composer::import_all::import_all;
use crate::registry::sources::composer::import_batch::ImportBatch;
use crate::registry::sources::composer::{Progress, ineligibility, retract_reserved};
use crate::store::packages::authority::{StoredRoot, UpstreamRepository};
use crate::store::sources::sync_runs::{ClaimedRepository, SyncReport};
use crate::store::sources::upstream_answers::{self, LeftOut, NameRow, SkippedVersion};

/// Packages that one sync asks for again.
const PACKAGES_A_SYNC: i64 = 50;

/// Syncs an upstream repository; what was done is in `report`, whatever comes of it.
pub async fn refresh(
    app: &App,
    repository: &ClaimedRepository,
    report: &mut SyncReport,
) -> Result<Progress, UpstreamRepositoryError> {
    let upstream = UpstreamRepository {
        id: repository.id,
        uid: repository.uid.clone(),
        url: repository.url.clone(),
        provider: repository.provider.clone(),
        credential_type: repository.credential_type.clone(),
        credentials: repository.credentials.clone(),
        filter: repository.package_filter.as_deref().and_then(|text| read_text(text).ok()),
        root: StoredRoot::from_json(repository.capabilities.as_deref()),
    };
    let mut harvest = ImportBatch::new(app, repository.organization, &upstream)?;
    let result = refresh_root_and_packages(&mut harvest).await;
    // What was learnt before the server failed is not to be asked for again.
    let flushed = harvest.flush().await;
    app.memory.invalidate_published(repository.organization);
    let tidied = remove_withdrawn(&mut harvest).await;
    *report = harvest.report;
    report.requests = harvest.remote.requests;
    report.received_bytes = harvest.remote.received_bytes;
    let progress = result?;
    flushed?;
    tidied?;
    Ok(progress)
}

async fn refresh_root_and_packages(harvest: &mut ImportBatch<'_>) -> Result<Progress, UpstreamRepositoryError> {
    let known = harvest.upstream.root.as_ref();
    match (harvest.remote.root(known.map(|known| &known.validators)).await?, known) {
        (Some(FetchedRoot { stored, file }), _) if stored.root.metadata_url.is_none() => {
            return import_all(harvest, stored, file).await;
        }
        (Some(FetchedRoot { stored, .. }), _) => harvest.keep_root(stored).await?,
        // What was read as a whole has not changed since.
        (None, Some(known)) if known.root.metadata_url.is_none() => return Ok(Progress::Done),
        (None, _) => {}
    }
    refresh_oldest(harvest).await?;
    Ok(Progress::Done)
}

/// Asks for the packages again that were not asked for the longest.
async fn refresh_oldest(harvest: &mut ImportBatch<'_>) -> Result<(), UpstreamRepositoryError> {
    let before = harvest.app.now().minus(harvest.app.config.sync_interval);
    let oldest = upstream_answers::oldest(harvest.organization, harvest.upstream.id, before, PACKAGES_A_SYNC);
    for NameRow { name, ownership, before } in harvest.app.ports.database.ask(oldest).await? {
        let Ok(name) = PackageName::parse(&name) else { continue };
        if ineligibility(harvest.upstream, &ownership, &name).is_none() {
            let is_owner = ownership.owner == Some(harvest.upstream.id);
            harvest.import_package(&name, is_owner.then_some(&before)).await?;
        }
    }
    Ok(())
}

/// What is left to do at the end, whether it was a good one or not.
async fn remove_withdrawn(harvest: &mut ImportBatch<'_>) -> Result<(), Failure> {
    retract_reserved(harvest.app, harvest.organization, None).await?;
    let left_out = harvest.app.ports.database.ask(upstream_answers::left_out(harvest.upstream.id)).await?;
    for LeftOut { name, error, skipped } in left_out {
        for SkippedVersion { version, reason } in skipped {
            harvest.skip(format!("{name} {version}"), reason);
        }
        if let Some(error) = error {
            harvest.skip(name, error);
        }
    }
    Ok(())
}
