//! Building dist zips from commits, and putting them where they are served from.
//!
//! A zip is stored before the database knows of it, under the SHA-256 of its content: whatever breaks in between leaves
//! at most a blob that nobody names, and building again gives the same bytes.

use std::time::Duration;

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::composer::{ExcludeRules, Manifest};
use crate::git::{
    ArchiveError, ArchiveOptions, Capabilities, FetchError, FetchRequest, ObjectId, Pack, PackLimits, TreeError,
    build_zip, find_package_files,
};
use crate::ports::{Job, Stmt};
use crate::registry::App;
use crate::registry::failure::{Failure, Kind};
use crate::registry::memory::BuildSlot;
use crate::registry::publish::render_again;
use crate::registry::sync::remote::{Remote, is_too_large};
use crate::registry::sync::{SyncError, remote_of};
use crate::store::dists::{self, DistRow, NewArtifact};
use crate::store::repositories::{self, RepositoryRow};
use crate::store::run;

/// Tags built by one queue message: their commits come in one request and share most of their objects.
const TAGS_PER_JOB: usize = 20;

/// Where a zip lies in the blob store.
pub fn blob_key(sha256: &str) -> String {
    format!("dist/{}/{sha256}.zip", &sha256[..2.min(sha256.len())])
}

/// Why one commit has no zip.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Its objects cannot be had.
    #[error(transparent)]
    Fetch(SyncError),
    /// It cannot be packed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It has no commit id.
    #[error("its reference is not a commit id")]
    Reference,
}

/// Builds the zips that the tags of a repository lack, some at a time, and renders the package again when there are
/// none left, so that its metadata gets their shasums.
pub async fn build_missing(app: &App, repository_id: i64) -> Result<(), Failure> {
    // One more than are built, to know which job is the last: that one renders.
    let limit = i64::try_from(TAGS_PER_JOB + 1).unwrap_or(i64::MAX);
    let mut rows = dists::unbuilt_tags(&*app.ports.database, repository_id, limit).await?;
    if rows.is_empty() {
        // An earlier job may have been cut off between its last zip and the metadata.
        return render_again(app, repository_id).await;
    }
    let more = rows.len() > TAGS_PER_JOB;
    rows.truncate(TAGS_PER_JOB);
    let _slot = wait_for_slot(app).await?;
    let mut builder = Builder::new(app, repository_id).await?;
    let (mut settled, mut batches) = (0, vec![rows]);
    while let Some(batch) = batches.pop() {
        match builder.fetch(&batch).await {
            Ok(pack) => {
                builder.store_all(&pack, &batch).await?;
                settled += batch.len();
            }
            Err(error) if may_concern_the_commits(&error) => match batch.as_slice() {
                [single] if is_too_large(&error) => {
                    refuse(app, single, &Refusal::Fetch(error)).await?;
                    settled += 1;
                }
                [single] => log::warn!("the archive of {} is left for its first download: {error}", single.pretty),
                several => {
                    let (newer, older) = several.split_at(several.len() / 2);
                    batches.push(older.to_vec());
                    batches.push(newer.to_vec());
                }
            },
            Err(error) => return Err(failed(error)),
        }
    }
    // With nothing settled, the next job would find the same ones.
    if more && settled > 0 {
        app.enqueue(Job::BuildArchives { repository_id }, Duration::ZERO).await;
        return Ok(());
    }
    render_again(app, repository_id).await
}

/// Builds the zip of one dist; its row as it is then.
///
/// # Errors
/// `NotFound` with the reason when the commit can never be packed, `Upstream` when its server fails.
pub async fn build_one(app: &App, row: &DistRow) -> Result<NewArtifact, Failure> {
    let _slot = wait_for_slot(app).await?;
    let mut builder = Builder::new(app, row.repository_id).await?;
    let refusal = match builder.fetch(std::slice::from_ref(row)).await {
        Ok(pack) => match builder.store(&pack, row).await? {
            Ok((artifact, stmts)) => {
                app.ports.database.batch(stmts.into()).await?;
                return Ok(artifact);
            }
            Err(refusal) => refusal,
        },
        Err(error) if is_too_large(&error) => Refusal::Fetch(error),
        Err(error) => return Err(failed(error)),
    };
    refuse(app, row, &refusal).await?;
    Err(unavailable(&row.pretty, &refusal.to_string()))
}

/// How long a builder waits for another one in the same isolate.
const SLOT_PATIENCE: Duration = Duration::from_secs(25);
const SLOT_POLL: Duration = Duration::from_millis(200);

/// Waits for the isolate's one place for building. It is polled: a request cannot be woken by another one in workerd.
pub async fn wait_for_slot(app: &App) -> Result<BuildSlot, Failure> {
    let polls = SLOT_PATIENCE.as_millis() / SLOT_POLL.as_millis();
    for _ in 0..polls {
        if let Some(slot) = app.memory.try_start_building(app.now()) {
            return Ok(slot);
        }
        app.ports.clock.sleep(SLOT_POLL).await;
    }
    Err(Failure::new(Kind::Upstream, "Other archives are being built here. Try again in a moment."))
}

/// What a client is told of a version whose zip cannot be built.
pub fn unavailable(version: &str, reason: &str) -> Failure {
    Failure::new(Kind::NotFound, format!("The archive of version {version} is not available: {reason}"))
}

/// Whether a fetch may have failed because of one of the commits that were asked for, so that the others deserve an
/// attempt without it. Only size is a reason for ever: a server that lost a commit or sends a damaged pack may do
/// better tomorrow.
fn may_concern_the_commits(error: &SyncError) -> bool {
    is_too_large(error) || matches!(error, SyncError::Fetch(FetchError::Remote(_)) | SyncError::Pack(_))
}

fn failed(error: SyncError) -> Failure {
    match error {
        SyncError::Internal(failure) => failure,
        other => Failure::new(
            Kind::Upstream,
            format!("The archive cannot be built now, because its repository does not deliver: {other}"),
        ),
    }
}

async fn refuse(app: &App, row: &DistRow, refusal: &Refusal) -> Result<(), Failure> {
    run(&*app.ports.database, dists::refuse(row.id, &refusal.to_string())).await?;
    Ok(())
}

struct Builder<'a> {
    app: &'a App,
    repository: RepositoryRow,
    remote: Remote<'a>,
    capabilities: Capabilities,
}

impl<'a> Builder<'a> {
    async fn new(app: &'a App, repository_id: i64) -> Result<Self, Failure> {
        let row = run(&*app.ports.database, repositories::by_id(repository_id)).await?.first()?;
        let repository: RepositoryRow = row.ok_or_else(|| Failure::not_found("Repository"))?;
        let credentials = (repository.credential_type.as_str(), repository.credentials.as_deref());
        let mut remote =
            remote_of(app, &repository.uid, &repository.url, &repository.provider, credentials).map_err(failed)?;
        let known = repository.capabilities.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let capabilities = match known {
            Some(capabilities) => capabilities,
            None => remote.capabilities().await.map_err(failed)?,
        };
        Ok(Self { app, repository, remote, capabilities })
    }

    async fn fetch(&mut self, rows: &[DistRow]) -> Result<Pack, SyncError> {
        let commits = rows.iter().filter_map(|row| ObjectId::parse(&row.reference).ok());
        let request = FetchRequest::commits(commits, None);
        self.remote.fetch(&self.capabilities, &request, &PackLimits::default()).await
    }

    /// Builds and stores one row after the other: only one zip is in memory at a time.
    async fn store_all(&self, pack: &Pack, rows: &[DistRow]) -> Result<(), Failure> {
        let mut stmts: Vec<Stmt> = Vec::with_capacity(rows.len() * 2);
        for row in rows {
            match self.store(pack, row).await? {
                Ok((_, attach)) => stmts.extend(attach),
                Err(refusal) => stmts.push(dists::refuse(row.id, &refusal.to_string())),
            }
        }
        self.app.ports.database.batch(stmts).await?;
        Ok(())
    }

    async fn store(&self, pack: &Pack, row: &DistRow) -> Result<Result<(NewArtifact, [Stmt; 2]), Refusal>, Failure> {
        let bytes = match self.zip(pack, &row.reference) {
            Ok(bytes) => bytes,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let artifact = NewArtifact {
            sha256: hex::encode(Sha256::digest(&bytes)),
            sha1: hex::encode(Sha1::digest(&bytes)),
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        };
        self.app.ports.blobs.put(&blob_key(&artifact.sha256), bytes).await?;
        let stmts = dists::attach(row.id, &artifact, self.app.now());
        Ok(Ok((artifact, stmts)))
    }

    fn zip(&self, pack: &Pack, reference: &str) -> Result<Bytes, Refusal> {
        let commit = ObjectId::parse(reference).map_err(|_| Refusal::Reference)?;
        let path = Some(self.repository.path.as_str()).filter(|path| !path.is_empty());
        let rules = exclude_rules(pack, &commit, path)?;
        // Directories are never left out as such: a rule may take back single files below them.
        let exclude = |file: &str, is_dir: bool| !is_dir && rules.excludes(file, is_dir);
        let archive =
            build_zip(pack, &commit, &ArchiveOptions { path, exclude: &exclude, ..ArchiveOptions::default() })?;
        Ok(Bytes::from(archive.bytes))
    }
}

/// `archive.exclude` of the commit's composer.json; none when that cannot be read.
fn exclude_rules(pack: &Pack, commit: &ObjectId, path: Option<&str>) -> Result<ExcludeRules, TreeError> {
    let manifest = find_package_files(pack, commit, path)?.and_then(|files| files.manifest);
    let bytes = match manifest {
        Some(blob) => pack.read(&blob.oid)?,
        None => None,
    };
    let excludes = bytes
        .and_then(|object| Manifest::parse(object.data()).ok())
        .map(|manifest| manifest.archive_excludes())
        .unwrap_or_default();
    Ok(ExcludeRules::parse(&excludes))
}
