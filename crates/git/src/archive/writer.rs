//! Writing an archive's bytes from the first to the last, without ever going back: an entry at a
//! time, and of an entry a piece at a time, so that neither the zip nor a file has to be in memory.
//!
//! The bytes depend on the plan and on the contents alone: not on how these were cut into pieces, nor
//! on whether the writing was put down and taken up again.

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::archive::plan::{ArchivePlan, PlannedEntry, PlannedKind};
use crate::archive::remarks::shown;
use crate::archive::zip_format::{Directory, EntryHead, EntrySizes, Method, write_descriptor};
use crate::archive::zip_time::ZipTime;
use crate::archive::{ArchiveError, ArchiveLimits};
use crate::limits::HELD_FILE_BYTES;

/// zlib's default: 9 costs twice the time for one percent.
const DEFLATE_LEVEL: u32 = 6;
/// Room that is made for compressed bytes at a time.
const DEFLATE_ROOM: usize = 32 * 1024;
/// Entries of the directory that are written at a time.
const DIRECTORY_STEP: usize = 1_000;

/// An archive being written.
pub struct ArchiveWriter {
    plan: ArchivePlan,
    limits: ArchiveLimits,
    modified: ZipTime,
    deflate: Compress,
    /// The entries that are finished, in the order of the plan.
    written: Vec<WrittenEntry>,
    open: Option<OpenEntry>,
    inflated: u64,
    /// Bytes up to the end of `out`.
    offset: u64,
    /// Written, and not taken yet.
    out: Vec<u8>,
    /// Where the directory began, and how many of its entries are written.
    directory: Option<(u32, usize)>,
}

/// A finished entry.
struct WrittenEntry {
    sizes: EntrySizes,
    /// Where its local header is.
    start: u32,
}

/// An entry whose content is being written.
struct OpenEntry {
    start: u32,
    declared: u64,
    crc32: crc32fast::Hasher,
    inflated: u64,
    data: EntryData,
}

/// Where the data of an open entry goes.
enum EntryData {
    /// It waits until its sizes are known, for they come first.
    Held(Vec<u8>),
    /// It was written behind its header; how many bytes.
    Streamed(u64),
}

impl ArchiveWriter {
    /// Begins the archive that is planned.
    pub fn new(plan: ArchivePlan, limits: ArchiveLimits) -> Self {
        let modified = ZipTime::from_unix(plan.committed);
        Self {
            plan,
            limits,
            modified,
            deflate: Compress::new(Compression::new(DEFLATE_LEVEL), false),
            written: Vec::new(),
            open: None,
            inflated: 0,
            offset: 0,
            out: Vec::new(),
            directory: None,
        }
    }

    /// Takes up an archive whose first entries are `written` elsewhere; what is written next belongs
    /// at [`offset`](Self::offset).
    pub fn resume(
        plan: ArchivePlan,
        limits: ArchiveLimits,
        written: impl IntoIterator<Item = EntrySizes>,
    ) -> Result<Self, ArchiveError> {
        let mut writer = Self::new(plan, limits);
        for sizes in written {
            let start = writer.position()?;
            let Some(entry) = writer.next_entry() else { break };
            let head = writer.head(entry, u64::from(sizes.inflated));
            writer.offset += head.framing_bytes() + u64::from(sizes.compressed);
            writer.inflated += u64::from(sizes.inflated);
            writer.written.push(WrittenEntry { sizes, start });
        }
        Ok(writer)
    }

    /// What is planned.
    pub fn plan(&self) -> &ArchivePlan {
        &self.plan
    }

    /// What was planned, when nothing more is to be written.
    pub fn into_plan(self) -> ArchivePlan {
        self.plan
    }

    /// The entry whose content comes next; nothing when all are written.
    pub fn next_entry(&self) -> Option<&PlannedEntry> {
        self.plan.entries.get(self.written.len())
    }

    /// How many entries are finished.
    pub fn finished_entries(&self) -> usize {
        self.written.len()
    }

    /// The sizes of the finished entries from the one at `first` on, as long as they end at `offset`
    /// or before: what [`resume`](Self::resume) needs to know of them.
    pub fn sizes_up_to(&self, first: usize, offset: u64) -> impl Iterator<Item = EntrySizes> {
        let ends = self.written.iter().skip(1).map(|next| u64::from(next.start));
        let end_of_last = self.open.as_ref().map_or(self.offset, |open| u64::from(open.start));
        let ends = ends.chain([self.directory.map_or(end_of_last, |(start, _)| u64::from(start))]);
        let finished = self.written.iter().zip(ends).skip(first);
        finished.take_while(move |(_, end)| *end <= offset).map(|(entry, _)| entry.sizes)
    }

    /// How many bytes are written, those included that wait to be taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes wait to be taken.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes the bytes that were written since the last time. They follow each other.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Begins the next entry, whose content has `size` bytes.
    pub fn begin_entry(&mut self, size: u64) -> Result<(), ArchiveError> {
        let limit = self.limits.inflated_bytes.min(u64::from(u32::MAX));
        if self.inflated.saturating_add(size) > limit {
            return Err(ArchiveError::InflatesTooLarge { limit });
        }
        let start = self.position()?;
        let Some(entry) = self.next_entry() else { return Err(ArchiveError::OutOfOrder) };
        let head = self.head(entry, size);
        let data = if head.has_descriptor {
            let mut local = Vec::new();
            head.write_local(EntrySizes::default(), &mut local);
            self.put(&local)?;
            EntryData::Streamed(0)
        } else {
            EntryData::Held(Vec::new())
        };
        self.deflate.reset();
        self.open = Some(OpenEntry { start, declared: size, crc32: crc32fast::Hasher::new(), inflated: 0, data });
        Ok(())
    }

    /// Writes the next piece of the entry's content.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), ArchiveError> {
        // Not by `next_entry`, which would borrow all of the writer.
        let entry = self.plan.entries.get(self.written.len()).ok_or(ArchiveError::OutOfOrder)?;
        let method = method_of(entry.kind);
        let open = self.open.as_mut().ok_or(ArchiveError::OutOfOrder)?;
        open.inflated += piece.len() as u64;
        if open.inflated > open.declared {
            return Err(ArchiveError::SizeMismatch { path: shown(&entry.path) });
        }
        open.crc32.update(piece);
        match method {
            Method::Stored => self.put_data(piece),
            Method::Deflated => self.deflate(piece, FlushCompress::None),
        }
    }

    /// Ends the entry: all of its content was written.
    pub fn end_entry(&mut self) -> Result<(), ArchiveError> {
        let entry = self.next_entry().ok_or(ArchiveError::OutOfOrder)?;
        if self.open.as_ref().is_none_or(|open| open.inflated != open.declared) {
            return Err(ArchiveError::SizeMismatch { path: shown(&entry.path) });
        }
        if method_of(entry.kind) == Method::Deflated {
            self.deflate(&[], FlushCompress::Finish)?;
        }
        let Some(open) = self.open.take() else { return Err(ArchiveError::OutOfOrder) };
        let compressed = match &open.data {
            EntryData::Held(data) => data.len() as u64,
            EntryData::Streamed(bytes) => *bytes,
        };
        let too_large = || ArchiveError::ZipTooLarge { limit: self.limits.zip_bytes };
        let sizes = EntrySizes {
            crc32: open.crc32.finalize(),
            compressed: u32::try_from(compressed).map_err(|_| too_large())?,
            inflated: u32::try_from(open.inflated).map_err(|_| too_large())?,
        };
        let mut framing = Vec::new();
        if let Some(entry) = self.next_entry() {
            match &open.data {
                EntryData::Held(_) => self.head(entry, open.declared).write_local(sizes, &mut framing),
                EntryData::Streamed(_) => write_descriptor(sizes, &mut framing),
            }
        }
        self.put(&framing)?;
        if let EntryData::Held(data) = &open.data {
            self.put(data)?;
        }
        self.inflated += open.inflated;
        self.written.push(WrittenEntry { sizes, start: open.start });
        Ok(())
    }

    /// Writes the next part of the directory, when all entries are written. Says whether there is
    /// more; after the last part the archive is complete.
    pub fn write_directory(&mut self) -> Result<bool, ArchiveError> {
        if self.next_entry().is_some() || self.open.is_some() {
            return Err(ArchiveError::OutOfOrder);
        }
        let (start, first) = match self.directory {
            Some(directory) => directory,
            None => (self.position()?, 0),
        };
        let until = self.written.len().min(first + DIRECTORY_STEP);
        let mut records = Vec::new();
        for (entry, written) in self.plan.entries.iter().zip(&self.written).take(until).skip(first) {
            let head = self.head(entry, u64::from(written.sizes.inflated));
            head.write_central(written.sizes, written.start, &mut records);
        }
        self.put(&records)?;
        self.directory = Some((start, until));
        if until < self.written.len() {
            return Ok(true);
        }
        let bytes = self.position()? - start;
        let mut end = Vec::new();
        Directory { offset: start, bytes, entries: until as u64 }.write_end(&self.plan.comment, &mut end);
        self.put(&end)?;
        Ok(false)
    }

    fn head<'a>(&self, entry: &'a PlannedEntry, size: u64) -> EntryHead<'a> {
        EntryHead {
            name: &entry.path,
            mode: entry.kind.mode(),
            method: method_of(entry.kind),
            modified: self.modified,
            has_descriptor: size > HELD_FILE_BYTES,
        }
    }

    /// Where the next byte goes, as headers tell it.
    fn position(&self) -> Result<u32, ArchiveError> {
        u32::try_from(self.offset).map_err(|_| ArchiveError::ZipTooLarge { limit: self.limits.zip_bytes })
    }

    fn deflate(&mut self, mut input: &[u8], flush: FlushCompress) -> Result<(), ArchiveError> {
        loop {
            let mut output = Vec::with_capacity(DEFLATE_ROOM);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(input, &mut output, flush).map_err(|_| ArchiveError::OutOfOrder)?;
            let taken = usize::try_from(self.deflate.total_in() - before).unwrap_or(usize::MAX);
            input = &input[taken.min(input.len())..];
            let is_full = output.len() == output.capacity();
            self.put_data(&output)?;
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => input.is_empty() && !is_full,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// Puts data of the open entry where it goes.
    fn put_data(&mut self, data: &[u8]) -> Result<(), ArchiveError> {
        match self.open.as_mut().map(|open| &mut open.data) {
            Some(EntryData::Held(held)) => {
                held.extend_from_slice(data);
                Ok(())
            }
            Some(EntryData::Streamed(bytes)) => {
                *bytes += data.len() as u64;
                self.put(data)
            }
            None => Err(ArchiveError::OutOfOrder),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let limit = self.limits.zip_bytes;
        self.offset += bytes.len() as u64;
        if self.offset > limit {
            return Err(ArchiveError::ZipTooLarge { limit });
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Compressing the target of a symlink would only make it longer.
const fn method_of(kind: PlannedKind) -> Method {
    match kind {
        PlannedKind::Symlink => Method::Stored,
        PlannedKind::File | PlannedKind::Executable => Method::Deflated,
    }
}
