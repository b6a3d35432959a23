//! Looks through a mirrored zip once it is stored, as uploads are looked through: whether its paths and links are safe. Only
//! its directory is read, and the targets of its links; nothing else is unpacked.

use std::io::Read;

use flate2::read::DeflateDecoder;
use git::{check_symlink, shown};

use crate::ports::{ByteRange, Fault};
use crate::registry::kernel::app::App;
use crate::registry::sources::archive_store::blob_key;
use crate::registry::sources::composer::signature::END_BYTES;
use crate::registry::sources::uploads::inspect::{EXTERNAL_ATTRIBUTES, MAX_ENTRIES, RejectedZip, checked_names};
use crate::store::sources::dists::NewArtifact;

/// Most bytes of a directory: 20,000 entries, of which each takes 46 bytes and its path twice, in 4 MiB.
const MAX_DIRECTORY_BYTES: u64 = 4 << 20;

/// Most links whose targets are read, each by one request to the blob store, of which an invocation has a thousand.
const MAX_LINKS: usize = 50;

/// Longest target, compressed or not: as long as a path may be.
const MAX_TARGET_BYTES: u64 = 4096;

/// What is read before a target: a local header, the name and the extra fields that are usual.
const LOCAL_HEADER_BYTES: u64 = 30;
const LOCAL_EXTRA_BYTES: u64 = 1024;

const END_RECORD: [u8; 4] = *b"PK\x05\x06";
const END_RECORD_BYTES: usize = 22;
const CENTRAL_HEADER: [u8; 4] = *b"PK\x01\x02";
const CENTRAL_HEADER_BYTES: usize = 46;

/// The bits of unix that tell what an entry is.
const FILE_TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// Whether a zip that is stored is safe; the inner error says why not.
///
/// # Errors
/// When the blob store fails.
pub async fn check_stored(app: &App, artifact: &NewArtifact) -> Result<Result<(), RejectedZip>, Fault> {
    let zip = StoredZip { app, key: blob_key(&artifact.sha256), size: u64::try_from(artifact.size).unwrap_or(0) };
    let directory = match zip.directory().await? {
        Ok(directory) => directory,
        Err(rejected) => return Ok(Err(rejected)),
    };
    let entries = match entries(&directory) {
        Ok(entries) => entries,
        Err(rejected) => return Ok(Err(rejected)),
    };
    zip.check_links(&entries).await
}

/// A zip in the blob store.
struct StoredZip<'a> {
    app: &'a App,
    key: String,
    size: u64,
}

/// An entry, as its central header has it.
struct CentralEntry<'d> {
    name: &'d [u8],
    method: u16,
    compressed: u64,
    header_at: u64,
    file_type: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The entries of a central directory, once their paths are safe together and all of them are files, directories or links.
fn entries(directory: &[u8]) -> Result<Vec<CentralEntry<'_>>, RejectedZip> {
    let (mut entries, mut rest) = (Vec::new(), directory);
    while rest.starts_with(&CENTRAL_HEADER) {
        if entries.len() == MAX_ENTRIES {
            return Err(RejectedZip::TooManyEntries);
        }
        let (entry, behind) = split_entry(rest).ok_or(RejectedZip::Directory)?;
        entries.push(entry);
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(RejectedZip::Directory);
    }
    checked_names(entries.iter().map(|entry| entry.name))?;
    match entries.iter().find(|entry| !matches!(entry.file_type, LINK | 0 | 0o100_000 | 0o040_000)) {
        Some(special) => Err(RejectedZip::Special(shown(special.name))),
        None => Ok(entries),
    }
}

fn split_entry(header: &[u8]) -> Option<(CentralEntry<'_>, &[u8])> {
    let length = |at| Some(usize::from(u16_at(header, at)?));
    let name = header.get(CENTRAL_HEADER_BYTES..)?.get(..length(28)?)?;
    let entry = CentralEntry {
        name,
        method: u16_at(header, 10)?,
        compressed: u32_at(header, 20)?.into(),
        header_at: u32_at(header, 42)?.into(),
        file_type: (u32_at(header, EXTERNAL_ATTRIBUTES)? >> 16) & FILE_TYPE,
    };
    Some((entry, header.get(CENTRAL_HEADER_BYTES + name.len() + length(30)? + length(32)?..)?))
}

/// How many directories an entry is deep in the package: composer takes that out of its only top-level directory.
fn depth(name: &[u8], entries: &[CentralEntry<'_>]) -> usize {
    let slashes = name.split(|byte| *byte == b'/').count() - 1;
    let top = |name: &[u8]| name.iter().position(|byte| *byte == b'/').map(|at| name[..at].to_vec());
    let own = top(name);
    let is_only = own.is_some() && entries.iter().all(|entry| top(entry.name) == own);
    slashes - usize::from(is_only)
}

impl StoredZip<'_> {
    async fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, Fault> {
        let lost = || Fault::new("blobs", "a zip that was stored just now is gone");
        let length = length.min(self.size.saturating_sub(offset));
        let range = ByteRange { offset, length };
        let mut blob = self.app.ports.blobs.get(&self.key, Some(range)).await?.ok_or_else(lost)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = blob.body.next_chunk().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// The central directory.
    async fn directory(&self) -> Result<Result<Vec<u8>, RejectedZip>, Fault> {
        let tail_length = self.size.min(END_BYTES as u64);
        let tail = self.read(self.size - tail_length, tail_length).await?;
        let found = tail.windows(END_RECORD_BYTES).rposition(|record| record.starts_with(&END_RECORD));
        let field = |at| found.and_then(|record| u32_at(&tail, record + at));
        let (Some(length), Some(offset)) = (field(12), field(16)) else { return Ok(Err(RejectedZip::Directory)) };
        let (length, offset) = (u64::from(length), u64::from(offset));
        if length > MAX_DIRECTORY_BYTES {
            return Ok(Err(RejectedZip::TooManyEntries));
        }
        if offset + length > self.size {
            return Ok(Err(RejectedZip::Directory));
        }
        let in_tail = offset.checked_sub(self.size - tail_length).and_then(|at| usize::try_from(at).ok());
        match in_tail.and_then(|at| tail.get(at..at + usize::try_from(length).ok()?)) {
            Some(directory) => Ok(Ok(directory.to_vec())),
            None => Ok(Ok(self.read(offset, length).await?)),
        }
    }

    async fn check_links(&self, entries: &[CentralEntry<'_>]) -> Result<Result<(), RejectedZip>, Fault> {
        let links: Vec<&CentralEntry<'_>> = entries.iter().filter(|entry| entry.file_type == LINK).collect();
        if links.len() > MAX_LINKS {
            return Ok(Err(RejectedZip::TooManyLinks { limit: MAX_LINKS }));
        }
        for link in links {
            let path = shown(link.name);
            let Some(target) = self.target(link).await? else { return Ok(Err(RejectedZip::UnreadableLink(path))) };
            if let Err(reason) = check_symlink(depth(link.name, entries), &target) {
                return Ok(Err(RejectedZip::UnsafeLink { path, reason }));
            }
        }
        Ok(Ok(()))
    }

    /// Where a link leads, if that can be read.
    async fn target(&self, link: &CentralEntry<'_>) -> Result<Option<Vec<u8>>, Fault> {
        if link.compressed > MAX_TARGET_BYTES {
            return Ok(None);
        }
        let length = LOCAL_HEADER_BYTES + link.name.len() as u64 + LOCAL_EXTRA_BYTES + link.compressed;
        Ok(target_in(&self.read(link.header_at, length).await?, link))
    }
}

/// The content of an entry that begins with its local header.
fn target_in(entry: &[u8], link: &CentralEntry<'_>) -> Option<Vec<u8>> {
    let (name, extra) = (usize::from(u16_at(entry, 26)?), usize::from(u16_at(entry, 28)?));
    let start = usize::try_from(LOCAL_HEADER_BYTES).ok()? + name + extra;
    let stored = entry.get(start..)?.get(..usize::try_from(link.compressed).ok()?)?;
    match link.method {
        0 => Some(stored.to_vec()),
        8 => {
            let mut target = Vec::new();
            DeflateDecoder::new(stored).take(MAX_TARGET_BYTES + 1).read_to_end(&mut target).ok()?;
            (target.len() as u64 <= MAX_TARGET_BYTES).then_some(target)
        }
        _ => None,
    }
}
