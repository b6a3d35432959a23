//! Downloading a version's archive: a zip that is built here or was uploaded, or what an upstream has.

use std::time::Duration;

use composer::{DistType, NormalizedVersion, PackageName, Shasum};

use crate::ports::{ByteRange, ByteStream, Fault, Job};
use crate::registry::access::grant::Grant;
use crate::registry::access::view::View;
use crate::registry::delivery::dist_address::DistAddress;
use crate::registry::delivery::pinned::{may_have, pin};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::notices::concerns;
use crate::registry::sources::archive_store::{blob_key, unavailable};
use crate::registry::sources::composer::dist::fetch;
use crate::registry::sources::git::archives::build_one;
use crate::store::OrganizationId;
use crate::store::access::past_grants;
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::{DistRow, FoundDist, MalwareEntry, NewArtifact};

/// A zip that the caller may have.
pub struct LocatedDist {
    organization: OrganizationId,
    name: PackageName,
    /// Composer's shasum: SHA-1, lowercase hex.
    pub sha1: Shasum,
    sha256: String,
    /// Bytes.
    pub size: u64,
    row: DistRow,
}

impl LocatedDist {
    /// How it is packed.
    pub fn kind(&self) -> DistType {
        self.row.kind
    }
}

/// Finds a zip that `view` may have, and builds it, or fetches it from its upstream, when it is asked for the first time.
/// `found` is what [`DistAddress::statement`] yields, if it was run already.
///
/// # Errors
/// `NotFound` for what is not there and for what the view does not see, in the same words: those of [`denial`]. `Gone` for
/// malware.
pub async fn locate(
    app: &App,
    view: &View,
    address: &DistAddress,
    found: Option<Option<FoundDist>>,
) -> Result<LocatedDist, Failure> {
    let found = match found {
        Some(found) => found,
        None => app.ports.database.ask(address.statement(view.organization())).await?,
    };
    let version = |row: &DistRow| NormalizedVersion::from_stored(row.normalized.clone());
    let sees = |FoundDist { row, .. }: &FoundDist| {
        let filter = view.version_filter(address.name.as_str());
        row.kind == address.kind && filter.sees(&version(row), Some(row.released))
    };
    let Some(FoundDist { row, malware }) = found.filter(sees) else { return Err(denial(app, view, address).await?) };
    refuse_malware(&address.name, &row, &version(&row), &malware)?;
    let row = match &address.reference {
        Some(reference) if row.reference != *reference => pin(app, view, address, &row, reference).await?,
        _ if row.pinned.is_some() && !may_have(app, view, address, &row).await? => None,
        _ => Some(row),
    };
    let Some(row) = row else { return Err(denial(app, view, address).await?) };
    let (name, is_mirrored) = (address.name.clone(), row.upstream_urls.is_some());
    let dist = |NewArtifact { sha256, sha1, size }, row| LocatedDist {
        organization: view.organization(),
        name,
        sha1,
        sha256,
        size: u64::try_from(size).unwrap_or(0),
        row,
    };
    if let (Some(sha256), Some(sha1), Some(size)) = (row.sha256.clone(), row.sha1.clone(), row.size) {
        return Ok(dist(NewArtifact { sha256, sha1, size }, row));
    }
    if let Some(error) = &row.error {
        return Err(unavailable(&row.pretty, error));
    }
    if is_mirrored {
        let artifact = fetch(app, view.organization(), &address.name, &row, None).await?;
        if matches!(row.source, VersionSource::Ref(_)) {
            // The metadata is to learn the shasum.
            app.enqueue(Job::BuildArchives { repository_id: row.repository_id }, Duration::ZERO).await;
        }
        return Ok(dist(artifact, row));
    }
    let artifact = build_one(app, &row).await?;
    // The metadata is to learn the shasum, and the other tags may be waiting too.
    app.enqueue(Job::BuildArchives { repository_id: row.repository_id }, Duration::ZERO).await;
    Ok(dist(artifact, row))
}

/// What is said of a version that there is not, or that the view does not see: that the credential has no permission for it
/// (any more), if it has one for the package or had one. What exists does not come into it.
async fn denial(app: &App, view: &View, address: &DistAddress) -> Result<Failure, Failure> {
    let past = match view.holder() {
        Some(holder) => app.ports.database.ask(past_grants::of_holder(view.organization(), holder)).await?,
        None => Vec::new(),
    };
    let past: Vec<Grant> =
        past.into_iter().map(|row| Grant::from_row(&row.into_ended())).collect::<Result<_, Failure>>()?;
    let told = view.denial(&past, &address.name, &address.version, &address.pretty);
    let absent = || format!("Package {} has no such version.", address.name);
    Ok(Failure::new(Kind::NotFound, told.unwrap_or_else(absent)))
}

/// Refuses a version that is on the list of malware: composer before 2.10 knows no such list, and would install it.
fn refuse_malware(
    name: &PackageName,
    row: &DistRow,
    version: &NormalizedVersion,
    malware: &[MalwareEntry],
) -> Result<(), Failure> {
    let is_listed = |entry: &&MalwareEntry| concerns(&entry.constraint, std::slice::from_ref(version));
    let Some(MalwareEntry { reason, url, .. }) = malware.iter().find(is_listed) else { return Ok(()) };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let more = url.as_ref().map(|url| format!(" See {url}.")).unwrap_or_default();
    let message = format!("{name} {} is listed as malware and is not handed out{reason}.{more}", row.pretty);
    Err(Failure::new(Kind::Gone, message))
}

/// Opens a zip, or a part of it. One that the blob store has lost is built again: the same commit gives the same bytes.
/// One that came from an upstream is fetched again, and has to be the same. One that was uploaded cannot be had again.
pub async fn open(app: &App, dist: &LocatedDist, range: Option<ByteRange>) -> Result<Box<dyn ByteStream>, Failure> {
    let key = blob_key(&dist.sha256);
    if let Some(blob) = app.ports.blobs.get(&key, range).await? {
        return Ok(blob.body);
    }
    if dist.row.source == VersionSource::Upload {
        return Err(Fault::new("blobs", format!("zip {} was uploaded and is gone", dist.sha256)).into());
    }
    log::error!("zip {} is gone from the blob store and is built again", dist.sha256);
    match dist.row.upstream_urls {
        Some(_) => fetch(app, dist.organization, &dist.name, &dist.row, Some(&dist.sha1)).await?,
        None => build_one(app, &dist.row).await?,
    };
    let blob = app.ports.blobs.get(&key, range).await?;
    let lost = || Fault::new("blobs", format!("zip {} is gone and its commit now gives another", dist.sha256));
    Ok(blob.ok_or_else(lost)?.body)
}
