//! The records of a zip, byte by byte (APPNOTE.TXT 4.3).
//!
//! Written here and not by a library, because an archive is written over several invocations: what a
//! library's writer has in memory cannot be put down in one and taken up again in the next, and it
//! goes back in what it has written, which by then is stored elsewhere.
//!
//! Sizes and offsets stay below 4 GiB (the writer sees to it), so only the number of entries ever
//! needs zip64.

use crate::archive::zip_time::ZipTime;

/// A zip made on unix, whose external attributes begin with the mode.
const MADE_ON_UNIX: u16 = 3 << 8;
/// The sizes follow the data, in a descriptor.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
const VERSION_STORED: u16 = 10;
const VERSION_DEFLATED: u16 = 20;
const VERSION_ZIP64: u16 = 45;

/// How an entry's data is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Stored,
    Deflated,
}

impl Method {
    const fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
        }
    }

    const fn version(self) -> u16 {
        match self {
            Self::Stored => VERSION_STORED,
            Self::Deflated => VERSION_DEFLATED,
        }
    }
}

/// What is known of an entry once its data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntrySizes {
    /// CRC-32 of the content.
    pub crc32: u32,
    /// Bytes of the data in the zip.
    pub compressed: u32,
    /// Bytes of the content.
    pub inflated: u32,
}

/// What the headers of an entry say besides its sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryHead<'a> {
    pub(crate) name: &'a [u8],
    /// File type and permissions as unix has them.
    pub(crate) mode: u32,
    pub(crate) method: Method,
    pub(crate) modified: ZipTime,
    /// Whether the sizes follow the data.
    pub(crate) has_descriptor: bool,
}

impl EntryHead<'_> {
    /// Bytes of the local header, and of the descriptor if there is one.
    pub(crate) fn framing_bytes(&self) -> u64 {
        let descriptor = if self.has_descriptor { 16 } else { 0 };
        30 + self.name.len() as u64 + descriptor
    }

    fn flags(&self) -> u16 {
        let descriptor = if self.has_descriptor { FLAG_DESCRIPTOR } else { 0 };
        let is_utf8 = !self.name.is_ascii() && std::str::from_utf8(self.name).is_ok();
        descriptor | if is_utf8 { FLAG_UTF8 } else { 0 }
    }

    /// The header before the data. `sizes` are left out when they follow it.
    pub(crate) fn write_local(&self, sizes: EntrySizes, out: &mut Vec<u8>) {
        let sizes = if self.has_descriptor { EntrySizes::default() } else { sizes };
        out.extend(b"PK\x03\x04");
        self.write_common(sizes, out);
        out.extend(0u16.to_le_bytes());
        out.extend(self.name);
    }

    /// The entry of the directory at the end, for data whose local header is at `offset`.
    pub(crate) fn write_central(&self, sizes: EntrySizes, offset: u32, out: &mut Vec<u8>) {
        out.extend(b"PK\x01\x02");
        out.extend((MADE_ON_UNIX | self.method.version()).to_le_bytes());
        self.write_common(sizes, out);
        // No extra field, no comment, the first disk, no internal attributes.
        out.extend([0; 8]);
        out.extend((self.mode << 16).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(self.name);
    }

    /// What both headers hold, up to the length of the name.
    fn write_common(&self, sizes: EntrySizes, out: &mut Vec<u8>) {
        out.extend(self.method.version().to_le_bytes());
        out.extend(self.flags().to_le_bytes());
        out.extend(self.method.number().to_le_bytes());
        out.extend(self.modified.time.to_le_bytes());
        out.extend(self.modified.date.to_le_bytes());
        write_sizes(sizes, out);
        // Paths are bounded far below 64 KiB.
        let length = u16::try_from(self.name.len()).unwrap_or(u16::MAX);
        out.extend(length.to_le_bytes());
    }
}

/// The descriptor that follows the data of an entry whose header has no sizes.
pub(crate) fn write_descriptor(sizes: EntrySizes, out: &mut Vec<u8>) {
    out.extend(b"PK\x07\x08");
    write_sizes(sizes, out);
}

fn write_sizes(sizes: EntrySizes, out: &mut Vec<u8>) {
    out.extend(sizes.crc32.to_le_bytes());
    out.extend(sizes.compressed.to_le_bytes());
    out.extend(sizes.inflated.to_le_bytes());
}

/// Where the directory is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
    pub(crate) entries: u64,
}

impl Directory {
    /// The records at the end of the zip, with its comment.
    pub(crate) fn write_end(self, comment: &str, out: &mut Vec<u8>) {
        let Self { offset, bytes, entries } = self;
        let counted = u16::try_from(entries).ok().filter(|count| *count < u16::MAX);
        if counted.is_none() {
            self.write_zip64_end(out);
        }
        let count = counted.unwrap_or(u16::MAX);
        out.extend(b"PK\x05\x06");
        out.extend([0; 4]);
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(bytes.to_le_bytes());
        out.extend(offset.to_le_bytes());
        let comment = &comment.as_bytes()[..comment.len().min(usize::from(u16::MAX))];
        out.extend(u16::try_from(comment.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend(comment);
    }

    fn write_zip64_end(self, out: &mut Vec<u8>) {
        let (offset, bytes) = (u64::from(self.offset), u64::from(self.bytes));
        out.extend(b"PK\x06\x06");
        // Bytes of this record that follow.
        out.extend(44u64.to_le_bytes());
        out.extend((MADE_ON_UNIX | VERSION_ZIP64).to_le_bytes());
        out.extend(VERSION_ZIP64.to_le_bytes());
        out.extend([0; 8]);
        out.extend(self.entries.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend(bytes.to_le_bytes());
        out.extend(offset.to_le_bytes());
        // Where this record is.
        out.extend(b"PK\x06\x07");
        out.extend([0; 4]);
        out.extend((offset + bytes).to_le_bytes());
        out.extend(1u32.to_le_bytes());
    }
}
