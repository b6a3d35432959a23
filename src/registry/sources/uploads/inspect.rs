//! An uploaded zip, looked through before anything of it is stored: that unpacking it is safe everywhere, what it costs
//! to unpack, and the files that describe the package.
//!
//! Every entry is inflated once, because what a zip says of its sizes is only what its maker wrote there.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::io::{Cursor, Read};

use composer::{NoManifest, manifest_path};
use git::{
    DOCUMENTATION_FILES, SymlinkRefusal, UnsafeReason, check_relative_path, check_symlink, limits, preferred_name,
};
use zip::result::ZipError;
use zip::{CompressionMethod, ExtraField, ZipArchive};

use crate::registry::sources::texts::{MAX_FILE_BYTES, ReadableText, readable_text};

/// Most bytes of an uploaded zip: it is in memory as a whole, and once more while the blob store takes it.
pub const MAX_ZIP_BYTES: usize = 32 * limits::MIB;

/// Most files and directories of an uploaded zip. Archives that are built here may have more: of those nobody has to read
/// the directory.
const MAX_ENTRIES: usize = 20_000;
/// Most bytes of the paths in an uploaded zip; held twice, as written and in lower case.
const MAX_PATH_BYTES: usize = 2 * limits::MIB;
/// Most bytes that an uploaded zip unpacks to.
const MAX_INFLATED_BYTES: u64 = 256 * limits::MIB as u64;

/// How many times its own size a zip may unpack to, on top of [`FREE_BYTES`]. Source code reaches 5, deflate can 1000.
const MAX_RATIO: u64 = 100;
/// Bytes that a zip of any size may unpack to.
const FREE_BYTES: u64 = 1 << 20;

/// Bytes inflated at a time.
const WINDOW_BYTES: usize = 32 << 10;

/// Begins every entry of a central directory; stored zips inside of a zip have some, too.
const CENTRAL_HEADER: [u8; 4] = *b"PK\x01\x02";
/// The reader makes some 500 bytes of each: 20 MB.
const MAX_CENTRAL_HEADERS: usize = 2 * MAX_ENTRIES;

/// Why a zip is refused.
#[derive(Debug, thiserror::Error)]
pub enum RejectedZip {
    /// Not a zip, a damaged one, or one that says different things at different places.
    #[error("it is not a valid zip file: {0}")]
    Zip(#[from] ZipError),
    /// Something stands before the zip.
    #[error("{0} bytes stand before the zip")]
    Prefixed(u64),
    /// Compressed in a way that not every PHP unpacks, or encrypted.
    #[error("the entry {0} is encrypted, or compressed with something else than deflate")]
    Method(String),
    /// Unpacking this path could write where it must not.
    #[error("the path {path} is unsafe: {reason}")]
    UnsafePath {
        /// The path, odd characters escaped.
        path: String,
        /// Why it is refused.
        reason: UnsafeReason,
    },
    /// A name is in another encoding.
    #[error("the name {0} is not UTF-8")]
    NotUtf8(String),
    /// Only one of two entries can be there where case is ignored.
    #[error("the path {0} is unsafe: another path is the same where case is ignored")]
    SamePath(String),
    /// This link could lead outside of the package.
    #[error("the symlink {path} is unsafe: {reason}")]
    UnsafeLink {
        /// The path.
        path: String,
        /// Why it is refused.
        reason: SymlinkRefusal,
    },
    /// A device, a socket, a pipe.
    #[error("the entry {0} is neither a file nor a directory nor a symlink")]
    Special(String),
    /// A name is said twice, differently.
    #[error("the entry {0} has another name in its extra fields")]
    SecondName(String),
    /// Too many entries.
    #[error("it has more than {} files and directories", MAX_ENTRIES)]
    TooManyEntries,
    /// The paths are too long together.
    #[error("its paths add up to more than {} bytes", MAX_PATH_BYTES)]
    PathsTooLong,
    /// It unpacks to too much.
    #[error("it unpacks to more than {0} bytes")]
    InflatesTooLarge(u64),
    /// No composer.json.
    #[error(transparent)]
    NoManifest(#[from] NoManifest),
    /// composer.json is larger than what is read.
    #[error("its composer.json is larger than {MAX_FILE_BYTES} bytes")]
    ManifestTooLarge,
}

/// A file that people read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// `readme`, `changelog` or `license`.
    pub kind: &'static str,
    /// As in the zip, without its directory: `README.md`.
    pub name: String,
    /// SHA-256 of its text, lowercase hex.
    pub sha256: String,
    /// Its text.
    pub text: String,
}

/// What a zip holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipContents {
    /// composer.json.
    pub manifest: Vec<u8>,
    /// What people read; texts of more than 200 kB are left out.
    pub readable: Vec<Readable>,
}

/// Looks through a zip.
///
/// # Errors
/// [`RejectedZip`], in words for whoever made it.
pub fn inspect(bytes: &[u8]) -> Result<ZipContents, RejectedZip> {
    let headers = bytes.windows(CENTRAL_HEADER.len()).filter(|window| *window == CENTRAL_HEADER).count();
    if headers > MAX_CENTRAL_HEADERS {
        return Err(RejectedZip::TooManyEntries);
    }
    let mut zip = ZipArchive::new(Cursor::new(bytes))?;
    if zip.offset() != 0 {
        return Err(RejectedZip::Prefixed(zip.offset()));
    }
    if zip.len() > MAX_ENTRIES {
        return Err(RejectedZip::TooManyEntries);
    }
    zip.validate_header_consistency()?;
    let names = checked_names(&zip)?;
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    let manifest = manifest_path(&listed)?.to_owned();
    let directory = manifest.rfind('/').map_or("", |at| &manifest[..=at]);
    let wanted = FilesToRead::of(&names, directory);
    let limit = limit_of(bytes.len());
    let mut reader = Inflating { zip: &mut zip, left: limit, limit, window: vec![0; WINDOW_BYTES] };
    let mut found = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        let keep = *name == manifest || wanted.0.iter().any(|(_, path)| path == name);
        let depth = name.strip_prefix(directory).unwrap_or(name).matches('/').count();
        if let Some(content) = reader.entry(index, name, depth, keep)? {
            found.insert(name.as_str(), content);
        }
    }
    let manifest = found.remove(manifest.as_str()).ok_or(RejectedZip::ManifestTooLarge)?;
    let readable = wanted.0.into_iter().filter_map(|(kind, path)| {
        let ReadableText { sha256, text } = readable_text(found.get(path.as_str())?);
        Some(Readable { kind, name: path[directory.len()..].to_owned(), sha256, text })
    });
    Ok(ZipContents { manifest, readable: readable.collect() })
}

/// What a zip of so many bytes may unpack to.
fn limit_of(zip_bytes: usize) -> u64 {
    let by_ratio = FREE_BYTES + MAX_RATIO * u64::try_from(zip_bytes).unwrap_or(u64::MAX / MAX_RATIO / 2);
    by_ratio.min(MAX_INFLATED_BYTES)
}

/// The names of all entries in their order, once all of them are safe together. Directories keep their slash.
fn checked_names<R: Read + std::io::Seek>(zip: &ZipArchive<R>) -> Result<Vec<String>, RejectedZip> {
    let mut taken = EntryNames::default();
    let mut names = Vec::with_capacity(zip.len());
    for raw in zip.file_names_raw() {
        let refuse = |reason| RejectedZip::UnsafePath { path: raw.escape_ascii().to_string(), reason };
        let name = std::str::from_utf8(raw).map_err(|_| RejectedZip::NotUtf8(raw.escape_ascii().to_string()))?;
        let path = name.strip_suffix('/').unwrap_or(name);
        check_relative_path(path).map_err(refuse)?;
        taken.take(path, path.len() < name.len())?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Every path in lower case, with whether it is a directory; those of the directories that are only implied, too.
#[derive(Default)]
struct EntryNames {
    paths: HashMap<String, bool>,
    bytes: usize,
}

impl EntryNames {
    fn take(&mut self, path: &str, is_dir: bool) -> Result<(), RejectedZip> {
        let lower = path.to_lowercase();
        let parents = lower.match_indices('/').map(|(at, _)| (&lower[..at], true));
        for (part, is_dir) in parents.chain([(lower.as_str(), is_dir)]) {
            match self.paths.entry(part.to_owned()) {
                Slot::Vacant(slot) => {
                    self.bytes += slot.key().len();
                    slot.insert(is_dir);
                }
                Slot::Occupied(slot) if is_dir && *slot.get() => {}
                Slot::Occupied(_) => {
                    return Err(RejectedZip::SamePath(path.escape_debug().to_string()));
                }
            }
            if self.bytes > MAX_PATH_BYTES {
                return Err(RejectedZip::PathsTooLong);
            }
        }
        Ok(())
    }
}

/// The files to keep, by their kind.
struct FilesToRead(Vec<(&'static str, String)>);

impl FilesToRead {
    fn of(names: &[String], directory: &str) -> Self {
        let files = || names.iter().filter_map(|name| name.strip_prefix(directory)).filter(|name| !name.contains('/'));
        let wanted = DOCUMENTATION_FILES
            .iter()
            .filter_map(|(kind, stems)| Some((*kind, format!("{directory}{}", preferred_name(files(), stems)?))));
        Self(wanted.collect())
    }
}

/// A zip that is being inflated, and how much more it may unpack to.
struct Inflating<'z, 'b> {
    zip: &'z mut ZipArchive<Cursor<&'b [u8]>>,
    left: u64,
    limit: u64,
    window: Vec<u8>,
}

impl Inflating<'_, '_> {
    /// Inflates one entry; its content if it is to be kept and not too large.
    fn entry(&mut self, index: usize, name: &str, depth: usize, keep: bool) -> Result<Option<Vec<u8>>, RejectedZip> {
        let shown = || name.escape_debug().to_string();
        // Opening one that is encrypted or compressed otherwise would fail in words of the library.
        let raw = self.zip.by_index_raw(index)?;
        let method = raw.compression();
        if raw.encrypted() || !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(RejectedZip::Method(shown()));
        }
        // Some unpackers believe such a field, some the header.
        let says_another_name = raw.extra_data_fields().any(|field| match field {
            ExtraField::UnicodePath(second) => {
                second.clone().unwrap_valid(name.as_bytes()).is_ok_and(|second| *second != *name.as_bytes())
            }
            _ => false,
        });
        if says_another_name {
            return Err(RejectedZip::SecondName(shown()));
        }
        let is_link = match raw.unix_mode().unwrap_or_default() & 0o170_000 {
            0o120_000 => true,
            0 | 0o100_000 | 0o040_000 => false,
            _ => return Err(RejectedZip::Special(shown())),
        };
        drop(raw);
        let content = self.inflate(index, keep || is_link)?;
        if is_link {
            let target = content.as_deref().unwrap_or_default();
            check_symlink(depth, target).map_err(|reason| RejectedZip::UnsafeLink { path: shown(), reason })?;
        }
        Ok(content.filter(|_| keep && !is_link))
    }

    /// Inflates one entry to its end, where its checksum is compared; its content if it is to be kept and not too large.
    fn inflate(&mut self, index: usize, keep: bool) -> Result<Option<Vec<u8>>, RejectedZip> {
        let mut content = keep.then(Vec::new);
        let mut file = self.zip.by_index(index)?;
        loop {
            let read = file.read(&mut self.window).map_err(ZipError::from)?;
            if read == 0 {
                return Ok(content);
            }
            let size = u64::try_from(read).unwrap_or(u64::MAX);
            self.left = self.left.checked_sub(size).ok_or(RejectedZip::InflatesTooLarge(self.limit))?;
            content =
                content.filter(|content| u64::try_from(content.len() + read).is_ok_and(|size| size <= MAX_FILE_BYTES));
            if let Some(content) = &mut content {
                content.extend_from_slice(&self.window[..read]);
            }
        }
    }
}
