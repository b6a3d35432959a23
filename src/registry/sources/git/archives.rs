//! Building dist zips from commits, and putting them where they are served from.
//!
//! A zip is stored before the database knows of it, under the SHA-256 of its content: whatever breaks in between leaves
//! at most a blob that nobody names, and building again gives the same bytes.

use std::time::Duration;

use bytes::Bytes;
use git::{
    Archive, ArchiveError, ArchiveLimits, ArchiveOptions, ArchiveRemarks, FetchError, ObjectId, Packs, RemarkClass,
    TreeError, build_zip, limits,
};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::json::read_text;
use crate::ports::{Job, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::publish::render_again_after_builds;
use crate::registry::sources::archive_store::{acquire_build_permit, blob_key, unavailable};
use crate::registry::sources::git::archive_objects::{ArchiveObjects, with_options};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::is_too_large;
use crate::registry::sources::git::remote_for;
use crate::store::packages::remarks::{Remark, RemarkKind, RemarksOn, record_of_archives};
use crate::store::packages::version_source::VersionSource;
use crate::store::sources::dists::{self, DistRow, NewArtifact};
use crate::store::sources::repositories;

/// Tags built by one queue message: their commits come in one request and share most of their objects.
const TAGS_PER_JOB: usize = 20;

/// What a zip may cost while it is built in memory, beside the packs that it comes from: 32 MiB of zip (deltas make a pack
/// smaller than the zip of its files, hence more than [`limits::PACK_BYTES`]), 14 MB for 40,000 entries and 8 for their
/// paths.
const IN_MEMORY: ArchiveLimits = ArchiveLimits {
    entries: 40_000,
    path_bytes: 4 * limits::MIB,
    inflated_bytes: 256 * limits::MIB as u64,
    zip_bytes: 32 * limits::MIB as u64,
};

/// Why one commit will never have a zip; in words for whoever asks for it.
#[derive(Debug, thiserror::Error)]
enum ArchiveRefusal {
    /// Too much, even without what the zip leaves out.
    #[error(
        "git sends more than {} MiB for its files; keep large ones out of it with export-ignore in .gitattributes",
        limits::PACK_BYTES / limits::MIB
    )]
    FilesTooLarge,
    /// Too much, and the server cannot send less.
    #[error(
        "git sends more than {} MiB for its commit, and the server cannot send parts of one (partial clone)",
        limits::PACK_BYTES / limits::MIB
    )]
    CommitTooLarge,
    /// Something else about its objects is too large.
    #[error(transparent)]
    Fetch(SyncError),
    /// It cannot be packed.
    #[error(transparent)]
    Archive(ArchiveError),
    /// It has no commit id.
    #[error("its reference is not a commit id")]
    Reference,
}

/// Why one commit has no zip.
enum BuildFailure {
    /// It never will.
    ForEver(ArchiveRefusal),
    /// Its server may do better another time.
    ForNow(SyncError),
}

impl From<ArchiveError> for BuildFailure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Tree(TreeError::MissingObject(id)) => Self::ForNow(SyncError::Withheld(id)),
            error => Self::ForEver(ArchiveRefusal::Archive(error)),
        }
    }
}

/// Builds the zips that the tags of a repository lack, some at a time, and renders the package again when there are
/// none left, so that its metadata gets their shasums.
pub async fn build_missing(app: &App, repository_id: i64) -> Result<(), Failure> {
    // One more than are built, to know which job is the last: that one renders.
    let limit = i64::try_from(TAGS_PER_JOB + 1).unwrap_or(i64::MAX);
    let mut rows = dists::unbuilt_tags(&*app.ports.database, repository_id, limit).await?;
    if rows.is_empty() {
        // An earlier job may have been cut off between its last zip and the metadata.
        return render_again_after_builds(app, repository_id).await;
    }
    let more = rows.len() > TAGS_PER_JOB;
    rows.truncate(TAGS_PER_JOB);
    let _slot = acquire_build_permit(app).await?;
    let mut builder = Builder::new(app, repository_id).await?;
    let (mut settled, mut batches) = (0, vec![rows]);
    while let Some(batch) = batches.pop() {
        match builder.fetch_objects(&batch).await {
            Ok(packs) => settled += builder.store_all(&packs, &batch).await?,
            Err(error) if may_concern_the_commits(&error) => match batch.as_slice() {
                [single] if is_too_large(&error) => {
                    record_refusal(app, single, &builder.refusal(error)).await?;
                    settled += 1;
                }
                [single] => log_deferred(single, &error),
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
    render_again_after_builds(app, repository_id).await
}

/// Builds the zip of one dist; its row as it is then.
///
/// # Errors
/// `NotFound` with the reason when the commit can never be packed, `Upstream` when its server fails.
pub async fn build_one(app: &App, row: &DistRow) -> Result<NewArtifact, Failure> {
    let _slot = acquire_build_permit(app).await?;
    let mut builder = Builder::new(app, row.repository_id).await?;
    let unbuilt = match builder.fetch_objects(std::slice::from_ref(row)).await {
        Ok(packs) => match builder.store(&packs, row).await? {
            Ok(stored) => {
                let remarks = record_of_archives(row.repository_id, &[stored.remarks], app.now());
                app.ports.database.ask((stored.attach, remarks)).await?;
                return Ok(stored.artifact);
            }
            Err(unbuilt) => unbuilt,
        },
        Err(error) if is_too_large(&error) => BuildFailure::ForEver(builder.refusal(error)),
        Err(error) => BuildFailure::ForNow(error),
    };
    match unbuilt {
        BuildFailure::ForEver(refusal) => {
            record_refusal(app, row, &refusal).await?;
            Err(unavailable(&row.pretty, &refusal.to_string()))
        }
        BuildFailure::ForNow(error) => Err(failed(error)),
    }
}

/// Whether a fetch may have failed because of one of the commits that were asked for, so that the others deserve an
/// attempt without it. Only size is a reason for ever: a server that lost a commit or sends a damaged pack may do
/// better tomorrow.
fn may_concern_the_commits(error: &SyncError) -> bool {
    is_too_large(error)
        || matches!(error, SyncError::Fetch(FetchError::Remote(_)) | SyncError::Pack(_) | SyncError::Withheld(_))
}

fn failed(error: SyncError) -> Failure {
    match error {
        SyncError::Internal(failure) => failure,
        other => Failure::new(
            other.kind(),
            format!("The archive cannot be built now, because its repository does not deliver: {other}"),
        ),
    }
}

async fn record_refusal(app: &App, row: &DistRow, refusal: &ArchiveRefusal) -> Result<(), Failure> {
    app.ports.database.ask(dists::record_refusal(row.id, &refusal.to_string())).await?;
    Ok(())
}

fn log_deferred(row: &DistRow, error: &SyncError) {
    log::warn!("the archive of {} is left for its first download: {error}", row.pretty);
}

/// A zip in the blob store.
struct StoredArchive {
    artifact: NewArtifact,
    /// The statements that attach it to its dist.
    attach: [Stmt; 2],
    /// What is to be said of it.
    remarks: RemarksOn,
}

struct Builder<'a> {
    app: &'a App,
    repository_id: i64,
    gatherer: ArchiveObjects<'a>,
}

impl<'a> Builder<'a> {
    async fn new(app: &'a App, repository_id: i64) -> Result<Self, Failure> {
        let row = app.ports.database.ask(repositories::by_id(repository_id)).await?;
        let repository = row.ok_or_else(|| Failure::not_found("Repository"))?.repository;
        let mut remote = remote_for(app, &repository).map_err(failed)?;
        let known = repository.capabilities.as_deref().and_then(|text| read_text(text).ok());
        let capabilities = match known {
            Some(capabilities) => capabilities,
            None => remote.capabilities().await.map_err(failed)?,
        };
        Ok(Self { app, repository_id, gatherer: ArchiveObjects::new(remote, capabilities, &repository.path) })
    }

    async fn fetch_objects(&mut self, rows: &[DistRow]) -> Result<Packs, SyncError> {
        let commits: Vec<ObjectId> =
            rows.iter().filter_map(|row| ObjectId::parse(row.reference.as_str()).ok()).collect();
        self.gatherer.fetch_objects(&commits).await
    }

    /// What to say of one commit whose objects are too large.
    fn refusal(&self, error: SyncError) -> ArchiveRefusal {
        match error {
            SyncError::Fetch(FetchError::TooLarge { .. }) if self.gatherer.supports_filter() => {
                ArchiveRefusal::FilesTooLarge
            }
            SyncError::Fetch(FetchError::TooLarge { .. }) => ArchiveRefusal::CommitTooLarge,
            error => ArchiveRefusal::Fetch(error),
        }
    }

    /// Builds and stores one row after the other: only one zip is in memory at a time. Says how many are settled now.
    async fn store_all(&self, packs: &Packs, rows: &[DistRow]) -> Result<usize, Failure> {
        let mut stmts: Vec<Stmt> = Vec::with_capacity(rows.len() * 2);
        let mut remarks = Vec::with_capacity(rows.len());
        let mut settled = rows.len();
        for row in rows {
            match self.store(packs, row).await? {
                Ok(stored) => {
                    stmts.extend(stored.attach);
                    remarks.push(stored.remarks);
                }
                Err(BuildFailure::ForEver(refusal)) => stmts.push(dists::record_refusal(row.id, &refusal.to_string())),
                Err(BuildFailure::ForNow(error)) => {
                    log_deferred(row, &error);
                    settled -= 1;
                }
            }
        }
        stmts.extend(record_of_archives(self.repository_id, &remarks, self.app.now()));
        self.app.ports.database.batch(stmts).await?;
        Ok(settled)
    }

    async fn store(&self, packs: &Packs, row: &DistRow) -> Result<Result<StoredArchive, BuildFailure>, Failure> {
        let Archive { chunks, remarks, .. } = match self.zip(packs, row) {
            Ok(archive) => archive,
            Err(unbuilt) => return Ok(Err(unbuilt)),
        };
        let artifact = describe(&chunks);
        self.app.ports.blobs.put(&blob_key(&artifact.sha256), chunks).await?;
        let attach = dists::attach(row.id, &artifact, self.app.now());
        Ok(Ok(StoredArchive { artifact, attach, remarks: remarks_on(row, &remarks) }))
    }

    fn zip(&self, packs: &Packs, row: &DistRow) -> Result<Archive, BuildFailure> {
        let commit = ObjectId::parse(row.reference.as_str());
        let commit = commit.map_err(|_| BuildFailure::ForEver(ArchiveRefusal::Reference))?;
        let archive = with_options(packs, &commit, self.gatherer.path(), |options| {
            let (directory, tag) = (directory_of(row), tag_of(row));
            build_zip(packs, &commit, &ArchiveOptions { directory, tag, limits: IN_MEMORY, ..*options })
        })?;
        Ok(archive)
    }
}

/// The directory that everything in a package's zips lies in: the second part of its name. Whoever unpacks a zip by hand
/// gets the same directory for each version.
fn directory_of(row: &DistRow) -> &str {
    row.package.rsplit('/').next().unwrap_or(&row.package)
}

/// The tag that a version comes from.
fn tag_of(row: &DistRow) -> Option<&str> {
    match &row.source {
        VersionSource::Ref(name) => name.strip_prefix("refs/tags/"),
        _ => None,
    }
}

/// What operators should know of a zip, as it is recorded.
fn remarks_on(row: &DistRow, remarks: &ArchiveRemarks) -> RemarksOn {
    let kind = |class| match class {
        RemarkClass::LostFiles => RemarkKind::LostFiles,
        RemarkClass::Submodules => RemarkKind::Submodules,
        RemarkClass::LfsPointers => RemarkKind::LfsPointers,
        RemarkClass::CaseCollisions => RemarkKind::CaseCollisions,
        RemarkClass::Unconverted => RemarkKind::Unconverted,
    };
    let remarks = remarks.texts().map(|(class, text)| Remark::new(kind(class), text)).collect();
    RemarksOn { subject: row.reference.as_str().to_owned(), remarks }
}

/// What the database is to know of a zip.
fn describe(pieces: &[Bytes]) -> NewArtifact {
    let (mut sha256, mut sha1) = (Sha256::new(), Sha1::new());
    for piece in pieces {
        sha256.update(piece);
        sha1.update(piece);
    }
    NewArtifact {
        sha256: hex::encode(sha256.finalize()),
        sha1: hex::encode(sha1.finalize()).into(),
        size: i64::try_from(pieces.iter().map(Bytes::len).sum::<usize>()).unwrap_or(i64::MAX),
    }
}
