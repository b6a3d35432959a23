//! Building the zip of a commit that does not fit the memory: its files are fetched some at a time, a large one alone, and
//! written as they come. The work is put down when its time is over and taken up again by the next job, from the parts of
//! the zip that are stored; what they hold is in the database. The bytes are those that the commit's zip would have
//! in any case.

use std::collections::HashSet;
use std::time::Duration;

use git::{ArchiveRemarks, EntrySizes, ObjectId, PlannedEntry, limits};
use serde_json::json;

use crate::json::read_text;
use crate::ports::{Millis, PART_BYTES, UploadProgress};
use crate::registry::kernel::app::App;
use crate::registry::kernel::slices::Slices;
use crate::registry::sources::git::archive_objects::BATCH_PACK_BYTES;
use crate::registry::sources::git::archives::attempt::MAX_ATTEMPTS;
use crate::registry::sources::git::archives::builder::{Builder, StoredArchive, commit_of};
use crate::registry::sources::git::archives::failure::{ArchiveRefusal, BuildFailure, too_large};
use crate::registry::sources::git::archives::host_zip;
use crate::registry::sources::git::archives::output::{ArchiveOutput, CompletePlan};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::is_too_large;
use crate::registry::sources::incoming_zip::ZipProgress;
use crate::store::sources::archive_builds::{self, ArchiveBuild, ArchivePart, NewPart, StoredParts};
use crate::store::sources::dists::DistRow;

/// How long nobody else builds the same archive after the last sign of life.
const LEASE: Duration = Duration::from_mins(3);

/// Files that are fetched together at first; then as many as half of a pack's limit holds.
const FIRST_BATCH: usize = 256;
/// Most files that are fetched together: 100 kB of request.
const MAX_BATCH: usize = 2_000;

/// What came of a while of work.
pub enum Advance {
    /// The zip is stored.
    Stored(StoredArchive),
    /// The time was over.
    Paused,
    /// Somebody else is building it.
    Elsewhere,
}

/// Builds the zip of a dist, or goes on with it, until it is stored or the time is over.
pub async fn advance(
    builder: &mut Builder<'_>,
    row: &DistRow,
    until: Millis,
    slices: &mut Slices<'_>,
) -> Result<Advance, BuildFailure> {
    let app = builder.app;
    let claim = archive_builds::claim(row.id, app.now(), app.now().plus(LEASE));
    let (claimed, parts) = app.ports.database.ask((claim, archive_builds::parts(row.id))).await?;
    let Some(build) = claimed else { return Ok(Advance::Elsewhere) };
    let mut known = KnownBuild { is_doubtful: !parts.is_empty(), build, parts };
    let result = if known.build.attempts > MAX_ATTEMPTS {
        Err(BuildFailure::ForEver(ArchiveRefusal::CutOff { attempts: MAX_ATTEMPTS }))
    } else if builder.objects.supports_filter() {
        advance_claimed(builder, row, until, slices, &mut known).await
    } else {
        build_whole(builder, row, slices).await
    };
    let result = match result {
        Err(BuildFailure::ForEver(refusal)) => {
            known.abort_upload(app).await;
            store_host_zip(builder, row, refusal, slices).await
        }
        result => result,
    };
    let mut stmts = vec![archive_builds::release(row.id, app.now())];
    let result = match result {
        Err(BuildFailure::ForNow(SyncError::Internal(failure))) if known.is_doubtful => {
            log::warn!("the archive of {} is built anew, because its upload does not go on: {failure:?}", row.pretty);
            stmts.extend(archive_builds::start_over(row.id, app.now()));
            Ok(Advance::Paused)
        }
        result => result,
    };
    app.ports.database.batch(stmts).await?;
    result
}

/// The zip of the dist's host, if there is one in place of what is refused; the lease lasts as long as that may take.
async fn store_host_zip(
    builder: &Builder<'_>,
    row: &DistRow,
    refusal: ArchiveRefusal,
    slices: &mut Slices<'_>,
) -> Result<Advance, BuildFailure> {
    let app = builder.app;
    if builder.host_instead_of(&refusal).is_some() {
        let lease_until = app.now().plus(host_zip::MAX_TIME + LEASE);
        app.ports.database.ask([archive_builds::renew(row.id, app.now(), lease_until)]).await?;
    }
    Ok(Advance::Stored(builder.store_host_zip(row, refusal, slices).await?))
}

/// What is known of a build from the jobs before.
struct KnownBuild {
    build: ArchiveBuild,
    parts: Vec<ArchivePart>,
    /// Whether the blob store may have lost the parts, or may have made a blob of them already: only another part tells.
    is_doubtful: bool,
}

/// Of a server that sends whole commits only: what fits the memory is built in one go.
async fn build_whole(
    builder: &mut Builder<'_>,
    row: &DistRow,
    slices: &mut Slices<'_>,
) -> Result<Advance, BuildFailure> {
    let commit = commit_of(row).ok_or(BuildFailure::ForEver(ArchiveRefusal::Reference))?;
    match builder.objects.fetch_whole_commits(&[commit], limits::PACK_BYTES).await {
        Ok(packs) => Ok(Advance::Stored(builder.store(&packs, &commit, row, slices).await?)),
        Err(error) if is_too_large(&error) => Err(BuildFailure::ForEver(too_large(error, false))),
        Err(error) => Err(error.into()),
    }
}

async fn advance_claimed(
    builder: &mut Builder<'_>,
    row: &DistRow,
    until: Millis,
    slices: &mut Slices<'_>,
    known: &mut KnownBuild,
) -> Result<Advance, BuildFailure> {
    let app = builder.app;
    let commit = commit_of(row).ok_or(BuildFailure::ForEver(ArchiveRefusal::Reference))?;
    let plan = match plan(builder, &commit, row).await {
        // The server says that it sends parts of commits, and does not.
        Err(BuildFailure::ForNow(SyncError::Fetch(git::FetchError::Remote(_)))) => {
            return build_whole(builder, row, slices).await;
        }
        plan => plan?,
    };
    let digest = hex::encode(plan.plan.digest());
    let server = builder.objects.server();
    let mut work = match known.stored(&digest) {
        Some(stored) => Work::resume(app, plan, digest, server, stored)?,
        None => Work::begin(app, plan, digest, server, row).await?,
    };
    known.is_doubtful &= work.recorded > 0;
    if work.recorded == 0 {
        known.abort_upload(app).await;
    }
    match work.write(builder, row, until, slices, known).await {
        Ok(Written::Paused) => Ok(Advance::Paused),
        Ok(Written::Whole) => {
            // Whatever becomes of it, nothing is left of the upload.
            known.build.upload_id = None;
            Ok(Advance::Stored(builder.stored(row, work.output.finish(slices).await?)))
        }
        Err(failure) => {
            // Nobody goes on with what is refused, nor with what is not recorded.
            if matches!(failure, BuildFailure::ForEver(_)) || work.recorded == 0 {
                known.build.upload_id = None;
                work.output.discard().await;
            }
            Err(failure)
        }
    }
}

/// How far an archive has come.
enum Written {
    /// All files are written.
    Whole,
    /// The time was over.
    Paused,
}

/// Decides what the archive holds, from the commit's trees.
async fn plan<'a>(
    builder: &mut Builder<'a>,
    commit: &ObjectId,
    row: &DistRow,
) -> Result<CompletePlan<'a>, BuildFailure> {
    let packs = match builder.objects.fetch_rules(&[*commit], limits::PACK_BYTES).await {
        Err(error) if is_too_large(&error) => return Err(BuildFailure::ForEver(too_large(error, true))),
        packs => packs?,
    };
    builder.complete_plan(&packs, commit, row).await
}

/// What is stored of a build, as far as it takes to go on with it.
struct StoredBuild {
    zip: ZipProgress,
    /// The entries that the parts hold whole.
    entries: Vec<EntrySizes>,
    /// What their content tells.
    remarks: ArchiveRemarks,
}

impl KnownBuild {
    /// The upload that is recorded, if there is one.
    fn upload(&self) -> Option<UploadProgress> {
        Some(UploadProgress {
            key: self.build.blob_key.clone()?,
            id: self.build.upload_id.clone()?,
            part_tags: self.parts.iter().map(|part| part.tag.clone()).collect(),
        })
    }

    /// Has the blob store forget the recorded upload, which nobody goes on with.
    async fn abort_upload(&mut self, app: &App) {
        let Some(upload) = self.upload() else { return };
        self.build.upload_id = None;
        let aborted = match app.ports.blobs.resume_upload(upload) {
            Ok(upload) => upload.abort().await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = aborted {
            log::warn!("an upload was left to the blob store's own clean-up: {fault}");
        }
    }

    /// What is stored of the zip, if it is the one that is planned now.
    fn stored(&self, digest: &str) -> Option<StoredBuild> {
        if self.build.plan.as_deref() != Some(digest) || self.parts.is_empty() {
            return None;
        }
        Some(StoredBuild {
            zip: ZipProgress { upload: self.upload()?, hashes: read_text(self.build.hashes.as_deref()?).ok()? },
            entries: self.parts.iter().flat_map(|part| &part.entries).map(sizes_of).collect(),
            remarks: read_text(self.build.remarks.as_deref()?).ok()?,
        })
    }
}

fn sizes_of(&[crc32, compressed, inflated]: &[u32; 3]) -> EntrySizes {
    EntrySizes { crc32, compressed, inflated }
}

/// An archive that is being written.
struct Work<'a> {
    output: ArchiveOutput<'a>,
    /// Of its plan.
    digest: String,
    /// Parts of the zip that are recorded.
    recorded: usize,
    /// Entries that are recorded.
    recorded_entries: usize,
    /// How many files are fetched together.
    batch: usize,
    renewed_at: Millis,
}

impl<'a> Work<'a> {
    /// The archive from its beginning, whatever is stored of another one.
    async fn begin(
        app: &'a App,
        plan: CompletePlan<'a>,
        digest: String,
        server: &str,
        row: &DistRow,
    ) -> Result<Self, BuildFailure> {
        app.ports.database.batch(archive_builds::start_over(row.id, app.now()).into()).await?;
        Ok(Self::new(app, ArchiveOutput::new(app, plan, server), digest))
    }

    /// The archive from where its stored parts end.
    fn resume(
        app: &'a App,
        plan: CompletePlan<'a>,
        digest: String,
        server: &str,
        StoredBuild { zip, entries, remarks }: StoredBuild,
    ) -> Result<Self, BuildFailure> {
        let (recorded, recorded_entries) = (zip.upload.part_tags.len(), entries.len());
        let output = ArchiveOutput::resume(app, plan, server, entries, remarks, &zip)?;
        Ok(Self { recorded, recorded_entries, ..Self::new(app, output, digest) })
    }

    fn new(app: &App, output: ArchiveOutput<'a>, digest: String) -> Self {
        Self { output, digest, recorded: 0, recorded_entries: 0, batch: FIRST_BATCH, renewed_at: app.now() }
    }

    /// Writes the files, until all are written or the time is over.
    async fn write(
        &mut self,
        builder: &mut Builder<'_>,
        row: &DistRow,
        until: Millis,
        slices: &mut Slices<'_>,
        known: &mut KnownBuild,
    ) -> Result<Written, BuildFailure> {
        let recorded = self.recorded;
        while self.output.writer().next_entry().is_some() {
            // Only what is recorded is not done again: each job gets ahead by a part at least.
            if builder.app.now() >= until && self.recorded > recorded {
                return Ok(Written::Paused);
            }
            self.write_batch(builder, slices).await?;
            self.record(builder, row).await?;
            known.is_doubtful &= self.recorded == recorded;
        }
        Ok(Written::Whole)
    }

    /// Writes the next entries: as many as are fetched together, or one that is too large for that.
    async fn write_batch(&mut self, builder: &mut Builder<'_>, slices: &mut Slices<'_>) -> Result<(), BuildFailure> {
        let writer = self.output.writer();
        let next = &writer.plan().entries[writer.finished_entries()..];
        let next = &next[..next.len().min(self.batch)];
        let next = with_few_lfs_objects(next);
        let count = next.len();
        let of_git = next.iter().filter(|entry| entry.lfs_object().is_none());
        let files: HashSet<ObjectId> = of_git.map(|entry| entry.oid).collect();
        let mut files: Vec<ObjectId> = files.into_iter().collect();
        files.sort_unstable();
        match builder.objects.fetch_files(files).await {
            Ok(packs) => {
                for _ in 0..count {
                    self.output.write_entry(&packs, slices).await?;
                }
                let bytes = packs.packed_bytes().max(1);
                let fitting = count.saturating_mul(BATCH_PACK_BYTES / 2) / bytes;
                self.batch = fitting.clamp(count.div_ceil(2), count * 2).clamp(1, MAX_BATCH);
                Ok(())
            }
            Err(error) if is_too_large(&error) => self.write_less(builder, slices, count).await,
            Err(error) => Err(error.into()),
        }
    }

    /// After a batch that was too large: the next will be smaller; a single file is written while it comes.
    async fn write_less(
        &mut self,
        builder: &mut Builder<'_>,
        slices: &mut Slices<'_>,
        count: usize,
    ) -> Result<(), BuildFailure> {
        self.batch = (count / 4).max(1);
        match self.output.writer().next_entry().map(|entry| entry.oid) {
            Some(oid) if count == 1 => match builder.objects.fetch_convertible_file(oid).await {
                Ok(packs) => self.output.write_entry(&packs, slices).await,
                Err(error) if is_too_large(&error) => {
                    let file = builder.objects.open_file(oid).await?;
                    self.output.write_file(file, slices).await
                }
                Err(error) => Err(error.into()),
            },
            _ => Ok(()),
        }
    }

    /// Records the parts that are stored by now, and keeps the lease.
    async fn record(&mut self, builder: &Builder<'_>, row: &DistRow) -> Result<(), BuildFailure> {
        let app = builder.app;
        let mut stmts = Vec::new();
        if let Some(progress) = self.output.progress().filter(|now| now.upload.part_tags.len() > self.recorded) {
            let entries: Vec<[u32; 3]> = self
                .output
                .writer()
                .sizes_up_to(self.recorded_entries, progress.stored_bytes())
                .map(|sizes| [sizes.crc32, sizes.compressed, sizes.inflated])
                .collect();
            self.recorded_entries += entries.len();
            let hashes = json!(progress.hashes).to_string();
            let remarks = json!(self.output.record_remarks(self.recorded_entries)).to_string();
            let new_parts = new_parts(&progress.upload.part_tags, self.recorded, entries);
            self.recorded = progress.upload.part_tags.len();
            let UploadProgress { key, id, .. } = &progress.upload;
            let stored = StoredParts { plan: &self.digest, blob_key: key, upload_id: id, hashes, remarks, new_parts };
            stmts.extend(archive_builds::record_parts(row.id, stored));
        }
        let now = app.now();
        if !stmts.is_empty() || now >= self.renewed_at.plus(LEASE / 4) {
            self.renewed_at = now;
            stmts.push(archive_builds::renew(row.id, now, now.plus(LEASE)));
            app.ports.database.batch(stmts).await?;
        }
        Ok(())
    }
}

/// The first of the entries, up to those whose objects of Git LFS fill a part: what is behind that is written once that is
/// recorded.
fn with_few_lfs_objects(entries: &[PlannedEntry]) -> &[PlannedEntry] {
    let mut bytes = 0;
    let is_enough = |entry: &PlannedEntry| {
        bytes += entry.lfs_object().map_or(0, |object| object.size);
        bytes >= PART_BYTES as u64
    };
    let enough = entries.iter().position(is_enough);
    enough.map_or(entries, |last| &entries[..=last])
}

/// The parts that are new, the last of them with the entries.
fn new_parts(tags: &[String], recorded: usize, entries: Vec<[u32; 3]>) -> Vec<NewPart> {
    let new = tags.iter().enumerate().skip(recorded);
    let mut parts: Vec<NewPart> =
        new.map(|(number, tag)| NewPart { number, tag: tag.clone(), entries: Vec::new() }).collect();
    if let Some(last) = parts.last_mut() {
        last.entries = entries;
    }
    parts
}
