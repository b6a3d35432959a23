//! Fetching an upstream's archive when it is downloaded first: from there to the blob store in parts, never as a whole in
//! memory, and never unpacked. It is handed out only after every byte of it was seen and its hash was found to be the promised one; from then
//! on it is served from here, whatever becomes of the upstream.

use std::time::Duration;

use bytes::Bytes;
use composer::{DistType, PackageName};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::json::read_text;
use crate::ports::{BlobUpload, Fault, PART_BYTES};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::memory::Permit;
use crate::registry::kernel::outbound::RequestError;
use crate::registry::packages::documents::stored;
use crate::registry::sources::archive_store::{blob_key, busy, unavailable};
use crate::registry::sources::composer::client::{ComposerClient, response_error};
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::url_login::UrlLogin;
use crate::registry::sources::composer::{eligible_upstreams, signature};
use crate::store::OrganizationId;
use crate::store::packages::authority::UpstreamRepository;
use crate::store::packages::remarks::{self, Remark, RemarkKind, RemarkSource, RemarksOn};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::{self, DistRow, NewArtifact, attach_first};
use crate::store::sources::repositories;

/// Largest archive that is mirrored: hashing it takes some seconds of CPU time.
const MAX_BYTES: u64 = 512 << 20;

/// Archives that an isolate fetches at the same time: each has a part of 5 MiB in memory, twice while it is stored.
const DOWNLOAD_PERMITS: [&str; 4] = ["archive:1", "archive:2", "archive:3", "archive:4"];

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

/// Fetches the archive of a mirrored version and keeps it; `known_sha1` is what it was when it was here before.
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
    let upstream = upstream_of(app, organization, name, row).await?;
    let mut permit = app.acquire_permit(&DOWNLOAD_PERMITS, TIMEOUT).await.ok_or_else(busy)?;
    let mut remote = ComposerClient::new(app, &upstream).map_err(|error| error.into_failure(name.as_str()))?;
    if let Some(sealed) = &row.upstream_login {
        remote.log_in(UrlLogin::open(app, organization, name, sealed)?);
    }
    let urls: Vec<String> = read_text(row.upstream_urls.as_deref().unwrap_or("[]")).map_err(Failure::internal)?;
    let promised = known_sha1.or(row.upstream_shasum.as_deref()).unwrap_or_default();
    let mut problem = UpstreamDistError::NotAnArchive(row.kind);
    for url in urls {
        let wanted = WantedArchive { kind: row.kind, sha1: promised };
        match download(app, &mut remote, &url, wanted, &mut permit).await {
            Ok(artifact) => {
                note_reachability(app, row, None).await;
                return attach(app, row, artifact).await;
            }
            Err(UpstreamDistError::Mirror(UpstreamRepositoryError::Internal(failure))) => return Err(failure),
            // As composer does it: only what cannot be had is looked for elsewhere.
            Err(error @ UpstreamDistError::Shasum { .. }) => {
                problem = error;
                break;
            }
            Err(error) => problem = error,
        }
    }
    note_reachability(app, row, Some(&problem)).await;
    if matches!(problem, UpstreamDistError::TooLarge) {
        app.ports.database.ask(dists::record_refusal(row.id, &problem.to_string())).await?;
        return Err(unavailable(&row.pretty, &problem.to_string()));
    }
    let message = format!("The archive of {name} {} is not available from its upstream: {problem}", row.pretty);
    Err(Failure::new(problem.kind(), message))
}

/// Has operators know whether the zip can be had that a composer.json in a git repository names.
async fn note_reachability(app: &App, row: &DistRow, problem: Option<&UpstreamDistError>) {
    if !matches!(row.source, VersionSource::Ref(_)) {
        return;
    }
    let remark = |problem: &UpstreamDistError| {
        let text = format!(
            "The zip that its composer.json names could not be had: {problem}. It is asked for again with each download."
        );
        Remark::new(RemarkKind::UnreachableDist, text)
    };
    let remarks = problem.map(remark).into_iter().collect();
    let about = [RemarksOn { subject: row.reference.to_string(), remarks }];
    let batch = remarks::replace(row.repository_id, RemarkSource::Dist, &about, app.now());
    if let Err(error) = app.ports.database.batch(batch).await {
        log::warn!("the remark on the zip of {} is as it was: {error:?}", row.pretty);
    }
}

/// The upstream of a version, if it may still be asked for the package; for a version from git, its repository.
async fn upstream_of(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    row: &DistRow,
) -> Result<UpstreamRepository, Failure> {
    if matches!(row.source, VersionSource::Ref(_)) {
        let repository = app.ports.database.ask(repositories::by_id(row.repository_id)).await?;
        return repository.map(|row| row.repository.to_upstream()).ok_or_else(|| Failure::not_found("Repository"));
    }
    let facts = stored(app, organization, name).await?.authority;
    let said = facts.as_ref().map(|facts| eligible_upstreams(facts, name)).unwrap_or_default();
    let upstream =
        said.into_iter().map(|said| &said.upstream).find(|upstream| upstream.id == row.repository_id).cloned();
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
    permit: &mut Permit,
) -> Result<NewArtifact, UpstreamDistError> {
    let mut answer = remote.send(remote.resolve(url)?, None).await?;
    if answer.response.status != StatusCode::OK {
        return Err(response_error(answer).await.into());
    }
    let length = answer.response.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return Err(UpstreamDistError::TooLarge);
    }
    let mut receiver = DistDownload::new(app, wanted.kind);
    let mut result = receive(&mut receiver, &mut *answer.response.body, permit).await;
    if result.is_ok() {
        result = receiver.check(length.is_none_or(|length| length == receiver.size), wanted.sha1);
    }
    match result {
        Ok(()) => receiver.keep().await,
        Err(error) => {
            receiver.discard().await;
            Err(error)
        }
    }
}

async fn receive(
    receiver: &mut DistDownload<'_>,
    body: &mut dyn crate::ports::ByteStream,
    permit: &mut Permit,
) -> Result<(), UpstreamDistError> {
    while let Some(chunk) = body.next_chunk().await {
        let chunk =
            chunk.map_err(|Fault { reason, .. }| UpstreamRepositoryError::from(RequestError::BrokenOff(reason)))?;
        permit.renew(receiver.app.now());
        receiver.take(&chunk).await?;
    }
    Ok(())
}

/// An archive on its way into the blob store.
struct DistDownload<'a> {
    app: &'a App,
    kind: DistType,
    sha1: Sha1,
    sha256: Sha256,
    size: u64,
    /// What is not stored yet; less than a part.
    part: Vec<u8>,
    /// The end of the part before.
    tail: Vec<u8>,
    begins_well: bool,
    upload: Option<Incoming>,
}

/// A blob that is being written under a name of its own: what it is called for good, the hash of its content tells.
struct Incoming {
    key: String,
    upload: Box<dyn BlobUpload>,
}

impl<'a> DistDownload<'a> {
    fn new(app: &'a App, kind: DistType) -> Self {
        Self {
            app,
            kind,
            sha1: Sha1::new(),
            sha256: Sha256::new(),
            size: 0,
            part: Vec::new(),
            tail: Vec::new(),
            begins_well: false,
            upload: None,
        }
    }

    async fn take(&mut self, mut chunk: &[u8]) -> Result<(), UpstreamDistError> {
        self.sha1.update(chunk);
        self.sha256.update(chunk);
        self.size += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        if self.size > MAX_BYTES {
            return Err(UpstreamDistError::TooLarge);
        }
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(PART_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            chunk = later;
            if self.part.len() == PART_BYTES {
                self.check_beginning()?;
                self.store_part().await?;
            }
        }
        Ok(())
    }

    /// A web page is recognised before anything of it is stored.
    fn check_beginning(&mut self) -> Result<(), UpstreamDistError> {
        self.begins_well |= self.upload.is_none() && signature::begins(self.kind, &self.part);
        if self.begins_well { Ok(()) } else { Err(UpstreamDistError::NotAnArchive(self.kind)) }
    }

    async fn store_part(&mut self) -> Result<(), UpstreamDistError> {
        if self.upload.is_none() {
            let key = format!("incoming/{}", new_uid(&*self.app.ports.entropy, self.app.now())?);
            let upload = self.app.ports.blobs.upload(&key).await?;
            self.upload = Some(Incoming { key, upload });
        }
        self.tail = self.part[self.part.len().saturating_sub(signature::END_BYTES)..].to_vec();
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
        if let Some(Incoming { upload, .. }) = &mut self.upload {
            upload.put_part(Bytes::from(part)).await?;
        }
        Ok(())
    }

    fn check(&mut self, is_whole: bool, promised: &str) -> Result<(), UpstreamDistError> {
        self.check_beginning()?;
        let end = [self.tail.as_slice(), &self.part].concat();
        let end = &end[end.len().saturating_sub(signature::END_BYTES)..];
        if !is_whole || !signature::ends(self.kind, end) {
            return Err(UpstreamDistError::NotAnArchive(self.kind));
        }
        let found = hex::encode(self.sha1.clone().finalize());
        if !promised.is_empty() && found != promised {
            return Err(UpstreamDistError::Shasum { found, promised: promised.to_owned() });
        }
        Ok(())
    }

    /// Makes it a blob under the hash of its content.
    async fn keep(mut self) -> Result<NewArtifact, UpstreamDistError> {
        let sha256 = hex::encode(self.sha256.clone().finalize());
        let (key, blobs) = (blob_key(&sha256), &self.app.ports.blobs);
        match self.upload.take() {
            None => blobs.put(&key, vec![Bytes::from(std::mem::take(&mut self.part))]).await?,
            Some(Incoming { key: incoming, mut upload }) => {
                let last = Bytes::from(std::mem::take(&mut self.part));
                let stored = if last.is_empty() { Ok(()) } else { upload.put_part(last).await };
                if let Err(fault) = stored {
                    abort(upload).await;
                    return Err(fault.into());
                }
                let moved = match upload.complete().await {
                    Ok(()) => blobs.rename(&incoming, &key).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = moved {
                    if let Err(fault) = blobs.delete(vec![incoming]).await {
                        log::warn!("a blob that nobody names was left behind: {fault}");
                    }
                    return Err(fault.into());
                }
            }
        }
        let sha1 = hex::encode(self.sha1.finalize());
        Ok(NewArtifact { sha256, sha1: sha1.into(), size: i64::try_from(self.size).unwrap_or(i64::MAX) })
    }

    async fn discard(mut self) {
        if let Some(Incoming { upload, .. }) = self.upload.take() {
            abort(upload).await;
        }
    }
}

async fn abort(upload: Box<dyn BlobUpload>) {
    if let Err(fault) = upload.abort().await {
        log::warn!("an upload was left to the blob store's own clean-up: {fault}");
    }
}
