//! An archive from its plan into the blob store: entry by entry, a slice of work at a time, never in memory as a whole.

use git::{ArchiveError, ArchiveLimits, ArchivePlan, ArchiveRemarks, ArchiveWriter, EntrySizes, Packs, PlannedEntry};

use crate::ports::Fault;
use crate::registry::kernel::app::App;
use crate::registry::kernel::slices::{DEFLATE_WORK, Slices};
use crate::registry::sources::git::archives::failure::BuildFailure;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::lfs::LfsFiles;
use crate::registry::sources::git::remote::RemoteFile;
use crate::registry::sources::incoming_zip::{IncomingZip, ZipProgress};
use crate::store::sources::dists::NewArtifact;

/// Work that an entry costs besides its content, in bytes that are inflated or hashed.
const ENTRY_WORK: u64 = 16 * 1024;

/// Bytes that are handed on together.
const HAND_ON_BYTES: usize = 256 * 1024;

/// What a zip is going to hold.
pub struct CompletePlan<'a> {
    /// The files.
    pub plan: ArchivePlan,
    /// What sends those that Git LFS keeps, if the zip is to have any.
    pub lfs: Option<LfsFiles<'a>>,
}

/// An archive that is in the blob store.
pub struct FinishedZip {
    /// What the database is to know of it.
    pub artifact: NewArtifact,
    /// What there is to be said of it.
    pub remarks: ArchiveRemarks,
    /// Whether it has files in place of their pointers.
    pub has_lfs_files: bool,
}

/// An archive on its way into the blob store.
pub struct ArchiveOutput<'a> {
    writer: ArchiveWriter,
    /// What sends the files that Git LFS keeps.
    lfs: Option<LfsFiles<'a>>,
    zip: IncomingZip<'a>,
    /// What the content comes from.
    server: String,
    /// What its plan tells of it.
    remarks: ArchiveRemarks,
    /// What the content of the first entries tells of it, those that are recorded.
    recorded_remarks: ArchiveRemarks,
    /// What the content of later entries tells, with how many entries are before each.
    later_remarks: Vec<(usize, ArchiveRemarks)>,
    /// Bytes at the beginning of what the writer makes next that are stored already.
    skip: u64,
}

impl<'a> ArchiveOutput<'a> {
    /// The archive that is planned, from its beginning.
    pub fn new(app: &'a App, CompletePlan { mut plan, lfs }: CompletePlan<'a>, server: &str) -> Self {
        let remarks = std::mem::take(&mut plan.remarks);
        let writer = ArchiveWriter::new(plan, ArchiveLimits::default());
        Self {
            writer,
            lfs,
            zip: IncomingZip::new(app),
            server: server.to_owned(),
            remarks,
            recorded_remarks: ArchiveRemarks::default(),
            later_remarks: Vec::new(),
            skip: 0,
        }
    }

    /// The archive that is planned, of which the first `written` entries are stored as far as `progress` says;
    /// `recorded_remarks` is what their content tells.
    pub fn resume(
        app: &'a App,
        CompletePlan { mut plan, lfs }: CompletePlan<'a>,
        server: &str,
        written: Vec<EntrySizes>,
        recorded_remarks: ArchiveRemarks,
        progress: &ZipProgress,
    ) -> Result<Self, BuildFailure> {
        let remarks = std::mem::take(&mut plan.remarks);
        let writer = ArchiveWriter::resume(plan, ArchiveLimits::default(), written);
        let writer = writer.map_err(|error| BuildFailure::of(error, server))?;
        let zip = IncomingZip::resume(app, progress)?;
        let skip = zip.size().saturating_sub(writer.offset());
        let (server, later_remarks) = (server.to_owned(), Vec::new());
        Ok(Self { writer, lfs, zip, server, remarks, recorded_remarks, later_remarks, skip })
    }

    /// What is being written.
    pub fn writer(&self) -> &ArchiveWriter {
        &self.writer
    }

    /// How far it is stored, if a part of it is.
    pub fn progress(&self) -> Option<ZipProgress> {
        self.zip.progress()
    }

    /// What the content of the first `entries` entries tells. The count may only grow.
    pub fn record_remarks(&mut self, entries: usize) -> &ArchiveRemarks {
        let recorded = self.later_remarks.partition_point(|(before, _)| *before < entries);
        self.later_remarks.drain(..recorded).for_each(|(_, remarks)| self.recorded_remarks.extend(remarks));
        &self.recorded_remarks
    }

    /// Notes what the content of the entry that comes next tells.
    fn remark(&mut self, remarks: ArchiveRemarks) {
        if !remarks.is_empty() {
            self.later_remarks.push((self.writer.finished_entries(), remarks));
        }
    }

    /// Writes the next entry, whose content `packs` has, unless Git LFS keeps it.
    pub async fn write_entry(&mut self, packs: &Packs, slices: &mut Slices<'_>) -> Result<(), BuildFailure> {
        let Some(entry) = self.writer.next_entry() else { return Ok(()) };
        if entry.lfs_object().is_some() {
            return self.write_lfs_object(slices).await;
        }
        let mut remarks = ArchiveRemarks::default();
        let mut content = entry.open(packs, &mut remarks).map_err(|error| self.failure(error))?;
        self.remark(remarks);
        self.writer.begin_entry(content.size()).map_err(|error| self.failure(error))?;
        loop {
            let mut bytes = 0;
            let writer = &mut self.writer;
            let more = content.next_piece(|piece| {
                bytes = piece.len() as u64;
                writer.write(piece)
            });
            let more = more.map_err(|error| self.failure(error))?;
            if !more {
                break;
            }
            slices.spend(bytes * DEFLATE_WORK).await;
            self.hand_on().await?;
        }
        self.end_entry(slices).await
    }

    /// Writes the next entry, whose content comes from the server.
    pub async fn write_file(&mut self, mut file: RemoteFile, slices: &mut Slices<'_>) -> Result<(), BuildFailure> {
        let mut remarks = ArchiveRemarks::default();
        if let Some(entry) = self.writer.next_entry() {
            entry.remark_too_large(&mut remarks);
        }
        self.remark(remarks);
        self.writer.begin_entry(file.size().await?).map_err(|error| self.failure(error))?;
        loop {
            let mut bytes = 0;
            let (writer, server) = (&mut self.writer, &self.server);
            let more = file
                .next_piece(|piece| {
                    bytes = piece.len() as u64;
                    writer.write(piece).map_err(|error| BuildFailure::of(error, server))
                })
                .await?;
            if !more {
                break;
            }
            slices.spend(bytes * DEFLATE_WORK).await;
            self.hand_on().await?;
        }
        file.finish()?;
        self.end_entry(slices).await
    }

    /// Writes the next entry, whose content comes from the LFS server.
    async fn write_lfs_object(&mut self, slices: &mut Slices<'_>) -> Result<(), BuildFailure> {
        let upcoming = &self.writer.plan().entries[self.writer.finished_entries()..];
        let mut objects = upcoming.iter().filter_map(PlannedEntry::lfs_object);
        let (Some(entry), Some(object), Some(lfs)) = (upcoming.first(), objects.next(), &mut self.lfs) else {
            return Err(self.failure(ArchiveError::OutOfOrder));
        };
        let mut download = lfs.open(entry.path_in_package(), object, objects).await?;
        self.writer.begin_entry(download.size()).map_err(|error| self.failure(error))?;
        while let Some(chunk) = download.next_piece().await? {
            for piece in chunk.chunks(HAND_ON_BYTES) {
                self.writer.write(piece).map_err(|error| self.failure(error))?;
                slices.spend(piece.len() as u64 * DEFLATE_WORK).await;
                self.hand_on().await?;
            }
        }
        self.end_entry(slices).await
    }

    async fn end_entry(&mut self, slices: &mut Slices<'_>) -> Result<(), BuildFailure> {
        self.writer.end_entry().map_err(|error| self.failure(error))?;
        slices.spend(ENTRY_WORK).await;
        Ok(self.hand_on().await?)
    }

    /// Hands on what was written, when it is enough to be worth it.
    async fn hand_on(&mut self) -> Result<(), Fault> {
        if self.writer.waiting_bytes() < HAND_ON_BYTES {
            return Ok(());
        }
        self.hand_on_all().await
    }

    async fn hand_on_all(&mut self) -> Result<(), Fault> {
        let bytes = self.writer.take_output();
        let stored = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= stored as u64;
        self.zip.take(&bytes[stored..]).await
    }

    /// Writes the directory behind the last entry, and stores the whole under the hash of its content.
    pub async fn finish(mut self, slices: &mut Slices<'_>) -> Result<FinishedZip, BuildFailure> {
        loop {
            let more = match self.writer.write_directory() {
                Ok(more) => more,
                Err(error) => {
                    let failure = self.failure(error);
                    self.discard().await;
                    return Err(failure);
                }
            };
            slices.spend(ENTRY_WORK).await;
            if let Err(fault) = self.hand_on_all().await {
                self.discard().await;
                return Err(SyncError::from(fault).into());
            }
            if !more {
                self.record_remarks(self.writer.finished_entries());
                self.remarks.extend(self.recorded_remarks);
                let has_lfs_files = self.writer.plan().entries.iter().any(|entry| entry.lfs_object().is_some());
                return Ok(FinishedZip { artifact: self.zip.keep().await?, remarks: self.remarks, has_lfs_files });
            }
        }
    }

    fn failure(&self, error: ArchiveError) -> BuildFailure {
        BuildFailure::of(error, &self.server)
    }

    /// Forgets what is stored of it.
    pub async fn discard(self) {
        self.zip.discard().await;
    }
}
