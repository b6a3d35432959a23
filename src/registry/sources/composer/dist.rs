//! Fetching an upstream's archive when it is downloaded first: from there to the blob store in parts, never as a whole in
//! memory, and never unpacked. It is handed out only after every byte of it was seen and its hash was found to be the promised one; from then
//! on it is served from here, whatever becomes of the upstream.

use std::time::Duration;

use composer::{DistType, PackageName};
use http::StatusCode;

use crate::json::read_text;
use crate::ports::{ByteStream, Fault, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::memory::Permit;
use crate::registry::packages::documents::stored;
use crate::registry::sources::archive_store::{blob_key, busy, unavailable};
use crate::registry::sources::composer::client::ComposerClient;
use crate::registry::sources::composer::eligible_upstreams;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::lookup::ask_again;
use crate::registry::sources::composer::url_login::UrlLogin;
use crate::registry::sources::composer::zip_check::check_stored;
use crate::registry::sources::incoming_archive::{IncomingArchive, IncomingArchiveError};
use crate::store::OrganizationId;
use crate::store::packages::authority::UpstreamRepository;
use crate::store::packages::remarks::{self, Remark, RemarkKind, RemarkSource, RemarksOn};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::{self, DistRow, NewArtifact, attach_first};
use crate::store::sources::repositories;
use crate::store::sources::upstream_answers::refuses_unsafe_zips;

/// Largest archive that is mirrored: hashing it takes some seconds of CPU time.
const MAX_BYTES: u64 = 512 << 20;

/// Archives that an isolate fetches at the same time: each has a part of 5 MiB in memory, twice while it is stored.
const DOWNLOAD_PERMITS: [&str; 4] = ["archive:1", "archive:2", "archive:3", "archive:4"];

/// How many of these one upstream may have, so that one that is slow leaves places to the others.
const PLACES_PER_UPSTREAM: usize = 2;

/// How long a download waits for others in the same isolate.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
enum UpstreamDistError {
    /// It cannot be had.
    #[error(transparent)]
    Mirror(#[from] UpstreamRepositoryError),
    /// It is something else, or only the first part of one.
    #[error("what the upstream sends is not a complete {}", .0.as_str())]
    NotAnArchive(DistType),
    /// It is another one.
    #[error("its SHA-1 is {found}, but the upstream's metadata promises {promised}; nothing of it was kept")]
    Shasum {
        /// What it is.
        found: String,
        /// What it should be.
        promised: String,
    },
    /// It is larger than [`MAX_BYTES`].
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
}

impl UpstreamDistError {
    fn kind(&self) -> Kind {
        match self {
            Self::Mirror(error) => error.kind(),
            Self::NotAnArchive(_) | Self::Shasum { .. } | Self::TooLarge => Kind::Upstream,
        }
    }
}

impl From<Fault> for UpstreamDistError {
    fn from(fault: Fault) -> Self {
        Self::Mirror(fault.into())
    }
}

impl From<Failure> for UpstreamDistError {
    fn from(failure: Failure) -> Self {
        Self::Mirror(failure.into())
    }
}

impl From<IncomingArchiveError> for UpstreamDistError {
    fn from(error: IncomingArchiveError) -> Self {
        match error {
            IncomingArchiveError::Request(error) => Self::Mirror(error.into()),
            IncomingArchiveError::NotAnArchive(kind) => Self::NotAnArchive(kind),
            IncomingArchiveError::TooLarge { .. } => Self::TooLarge,
            IncomingArchiveError::Fault(fault) => fault.into(),
        }
    }
}

/// How long what an upstream's metadata promises is taken for its last word.
const PROMISE_HOLDS: Duration = Duration::from_mins(1);

/// Fetches the archive of a mirrored version and keeps it; `known_sha1` is what it was when it was here before. When it is
/// another one than the metadata promises, the metadata is asked for again, and what that promises now is tried once.
///
/// # Errors
/// `Upstream` when it cannot be had now, or is not what was promised; nothing is kept then. `NotFound` when its upstream
/// is not asked any more, or the archive is too large.
pub async fn fetch(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    row: &DistRow,
    known_sha1: Option<&str>,
) -> Result<NewArtifact, Failure> {
    let Upstream { repository, checked_at } = upstream_of(app, organization, name, row).await?;
    let asker = Asker { app, organization, name, upstream: &repository };
    let mut fetched = asker.fetch(row, known_sha1).await?;
    let may_be_outdated =
        known_sha1.is_none() && checked_at.is_some_and(|checked_at| app.now() >= checked_at.plus(PROMISE_HOLDS));
    if matches!(fetched, Err(UpstreamDistError::Shasum { .. }))
        && may_be_outdated
        && ask_again(app, organization, &repository, name).await
        && let Some(now) = app.ports.database.ask(dists::by_id(row.id)).await?
        && now.upstream_shasum != row.upstream_shasum
    {
        fetched = asker.fetch(&now, None).await?;
    }
    let problem = match fetched {
        Ok(artifact) => return settle(app, organization, row, artifact).await,
        Err(problem) => problem,
    };
    note(app, row, unreachable(row, &problem)).await;
    if matches!(problem, UpstreamDistError::TooLarge) {
        app.ports.database.ask(dists::record_refusal(row.id, &problem.to_string())).await?;
        return Err(unavailable(&row.pretty, &problem.to_string()));
    }
    let message = format!("The archive of {name} {} is not available from its upstream: {problem}", row.pretty);
    Err(Failure::new(problem.kind(), message))
}

/// A place among those that fetch archives: one of the upstream's, and one of the isolate's.
struct DownloadPlace {
    of_upstream: Permit,
    of_isolate: Permit,
}

impl DownloadPlace {
    /// Waits for one of the upstream's first: who waits for a slow upstream is in nobody else's way.
    async fn acquire(app: &App, upstream: &UpstreamRepository) -> Result<Self, Failure> {
        let names: Vec<String> =
            (1..=PLACES_PER_UPSTREAM).map(|number| format!("archive-of:{}:{number}", upstream.id)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let of_upstream = app.acquire_permit(&names, TIMEOUT).await.ok_or_else(busy)?;
        let mut place =
            Self { of_upstream, of_isolate: app.acquire_permit(&DOWNLOAD_PERMITS, TIMEOUT).await.ok_or_else(busy)? };
        place.renew(app);
        Ok(place)
    }

    fn renew(&mut self, app: &App) {
        self.of_upstream.renew(app.now());
        self.of_isolate.renew(app.now());
    }
}

/// Who fetches the archives of a package.
struct Asker<'a> {
    app: &'a App,
    organization: OrganizationId,
    name: &'a PackageName,
    upstream: &'a UpstreamRepository,
}

impl Asker<'_> {
    /// Fetches what is promised from the first of its addresses that has it.
    async fn fetch(
        &self,
        row: &DistRow,
        known_sha1: Option<&str>,
    ) -> Result<Result<NewArtifact, UpstreamDistError>, Failure> {
        let Self { app, organization, name, upstream } = *self;
        let mut place = DownloadPlace::acquire(app, upstream).await?;
        let mut remote = ComposerClient::new(app, upstream).map_err(|error| error.into_failure(name.as_str()))?;
        if let Some(sealed) = &row.upstream_login {
            remote.log_in(UrlLogin::open(app, organization, name, sealed)?);
        }
        let urls: Vec<String> = read_text(row.upstream_urls.as_deref().unwrap_or("[]")).map_err(Failure::internal)?;
        let promised = known_sha1.or(row.upstream_shasum.as_deref()).unwrap_or_default();
        let mut problem = UpstreamDistError::NotAnArchive(row.kind);
        for url in urls {
            let wanted = WantedArchive { kind: row.kind, sha1: promised };
            match download(app, &mut remote, &url, wanted, &mut place).await {
                Err(UpstreamDistError::Mirror(UpstreamRepositoryError::Internal(failure))) => return Err(failure),
                // As composer does it: only what cannot be had is looked for elsewhere.
                settled @ (Ok(_) | Err(UpstreamDistError::Shasum { .. })) => return Ok(settled),
                Err(error) => problem = error,
            }
        }
        Ok(Err(problem))
    }
}

/// Attaches a zip that has come to its version, unless it is not safe and such ones are refused.
async fn settle(
    app: &App,
    organization: OrganizationId,
    row: &DistRow,
    artifact: NewArtifact,
) -> Result<NewArtifact, Failure> {
    let checked = if row.kind == DistType::Zip { check_stored(app, &artifact).await? } else { Ok(()) };
    let Err(rejected) = checked else {
        note(app, row, None).await;
        return attach(app, row, artifact).await;
    };
    let is_refused = app.ports.database.ask(refuses_unsafe_zips(organization)).await?;
    let fate = if is_refused { "It is not handed out" } else { "It is handed out as it is" };
    let text = format!("The zip that the upstream has is not safe everywhere: {rejected}. {fate} (`mirrored_zips`).");
    note(app, row, Some(Remark::new(RemarkKind::UnsafeZip, text))).await;
    if !is_refused {
        return attach(app, row, artifact).await;
    }
    let reason = format!("the zip that the upstream has is not safe: {rejected}");
    let refused = dists::record_refusal(row.id, &reason);
    let ((), is_anybodys) = app.ports.database.ask((refused, dists::is_artifact(&artifact.sha256))).await?;
    if !is_anybodys {
        app.ports.blobs.delete(vec![blob_key(&artifact.sha256)]).await?;
    }
    Err(unavailable(&row.pretty, &reason))
}

/// What operators are to know of a zip that a composer.json in a git repository names, and that cannot be had. Of those that
/// the metadata of an upstream names, its syncs tell.
fn unreachable(row: &DistRow, problem: &UpstreamDistError) -> Option<Remark> {
    matches!(row.source, VersionSource::Ref(_)).then(|| {
        let text = format!(
            "The zip that its composer.json names could not be had: {problem}. It is asked for again with each download."
        );
        Remark::new(RemarkKind::UnreachableDist, text)
    })
}

/// Has operators know what there is to be said of a zip that was fetched.
async fn note(app: &App, row: &DistRow, remark: Option<Remark>) {
    if remark.is_none() && !matches!(row.source, VersionSource::Ref(_)) {
        return;
    }
    let about = [RemarksOn { subject: row.reference.to_string(), remarks: remark.into_iter().collect() }];
    let batch = remarks::replace(row.repository_id, RemarkSource::Dist, &about, app.now());
    if let Err(error) = app.ports.database.batch(batch).await {
        log::warn!("the remark on the zip of {} is as it was: {error:?}", row.pretty);
    }
}

/// Whom an archive is fetched from.
struct Upstream {
    repository: UpstreamRepository,
    /// When it last told of the package; `None` where no metadata of an upstream promises anything.
    checked_at: Option<Millis>,
}

/// The upstream of a version, if it may still be asked for the package; for a version from git, its repository.
async fn upstream_of(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    row: &DistRow,
) -> Result<Upstream, Failure> {
    if matches!(row.source, VersionSource::Ref(_)) {
        let repository = app.ports.database.ask(repositories::by_id(row.repository_id)).await?;
        let repository = repository.ok_or_else(|| Failure::not_found("Repository"))?.repository.to_upstream();
        return Ok(Upstream { repository, checked_at: None });
    }
    let facts = stored(app, organization, name).await?.authority;
    let said = facts.as_ref().map(|facts| eligible_upstreams(facts, name)).unwrap_or_default();
    let said = said.into_iter().find(|said| said.upstream.id == row.repository_id);
    let upstream = said.map(|said| Upstream { repository: said.upstream.clone(), checked_at: said.checked_at });
    upstream.ok_or_else(|| unavailable(&row.pretty, "the upstream that has it is no longer asked for this package"))
}

/// Attaches a stored zip to its version. When another request was faster, what that one has stored is the zip.
async fn attach(app: &App, row: &DistRow, artifact: NewArtifact) -> Result<NewArtifact, Failure> {
    let (_, attached) = app.ports.database.ask(attach_first(row.id, &artifact, app.now())).await?;
    let attached = attached.ok_or_else(|| Failure::not_found("Version"))?;
    if !attached.is_known {
        app.ports.blobs.delete(vec![blob_key(&artifact.sha256)]).await?;
    }
    Ok(attached.artifact)
}

/// What an upstream promises of an archive.
#[derive(Debug, Clone, Copy)]
struct WantedArchive<'a> {
    kind: DistType,
    /// Empty promises nothing.
    sha1: &'a str,
}

async fn download(
    app: &App,
    remote: &mut ComposerClient<'_>,
    url: &str,
    wanted: WantedArchive<'_>,
    place: &mut DownloadPlace,
) -> Result<NewArtifact, UpstreamDistError> {
    let mut answer = remote.send(remote.resolve(url)?, None).await?;
    if answer.response.status != StatusCode::OK {
        return Err(remote.response_error(answer).await.into());
    }
    let mut archive = IncomingArchive::new(app, wanted.kind, MAX_BYTES, &answer.response.headers)?;
    let mut result = receive(app, &mut archive, &mut *answer.response.body, place).await;
    if result.is_ok() {
        result = check(&archive, wanted.sha1);
    }
    match result {
        Ok(()) => Ok(archive.keep().await?),
        Err(error) => {
            archive.discard().await;
            Err(error)
        }
    }
}

async fn receive(
    app: &App,
    archive: &mut IncomingArchive<'_>,
    body: &mut dyn ByteStream,
    place: &mut DownloadPlace,
) -> Result<(), UpstreamDistError> {
    while archive.take_next(body).await?.is_some() {
        place.renew(app);
    }
    Ok(())
}

fn check(archive: &IncomingArchive<'_>, promised: &str) -> Result<(), UpstreamDistError> {
    archive.check()?;
    let found = archive.sha1();
    if promised.is_empty() || found == promised {
        Ok(())
    } else {
        Err(UpstreamDistError::Shasum { found, promised: promised.to_owned() })
    }
}
