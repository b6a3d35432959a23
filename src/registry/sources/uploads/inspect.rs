//! An uploaded zip, looked through before anything of it is stored: that unpacking it is safe everywhere, what it costs
//! to unpack, and the files that describe the package.
//!
//! Every entry is inflated once, because what a zip says of its sizes is only what its maker wrote there.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::io::{Cursor, Read};

use composer::{NoManifest, manifest_path};
use git::{
    ArchiveRemarks, DOCUMENTATION_FILES, RemarkKind, SymlinkRefusal, UnsafeReason, check_relative_path, check_symlink,
    limits, preferred_name, shown,
};
use zip::result::ZipError;
use zip::{CompressionMethod, ExtraField, ZipArchive};

use crate::registry::sources::texts::{MAX_FILE_BYTES, readable_text};
use crate::store::packages::texts::NewText;

/// Most bytes of an uploaded zip: it is in memory as a whole, and once more while the blob store takes it.
pub const MAX_ZIP_BYTES: usize = 32 * limits::MIB;

/// Most files and directories of an uploaded zip. Archives that are built here may have more: of those nobody has to read
/// the directory.
pub const MAX_ENTRIES: usize = 20_000;
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

/// What composer takes no notice of beside a zip's only directory.
const IGNORED_AT_TOP: &str = ".DS_Store";

/// Begins every entry of a central directory; stored zips inside of a zip have some, too.
const CENTRAL_HEADER: [u8; 4] = *b"PK\x01\x02";
/// Where the external attributes are in it.
pub const EXTERNAL_ATTRIBUTES: usize = 38;
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
    /// Two entries have one path, or a file's path is a directory's where case is ignored.
    #[error("the path {0} is unsafe: another path is the same, or is the same where case is ignored")]
    SamePath(String),
    /// Composer would not take the package out of its directory.
    #[error(
        "beside the directory {directory} there is {other}, so that composer would install the package one directory too \
         deep; remove that (`zip -d package.zip '{other}*'`), or put composer.json at the top"
    )]
    BesideDirectory {
        /// The directory with composer.json, with its slash.
        directory: String,
        /// What else is at the top: a directory, with its slash, or a file.
        other: String,
    },
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
    /// Its directory is not readable, or in a form that is not read.
    #[error("its directory is damaged, or in another form than that of zips below 4 GiB")]
    Directory,
    /// Too many links to look at each.
    #[error("it has more than {limit} symlinks")]
    TooManyLinks {
        /// The most that are looked at.
        limit: usize,
    },
    /// It is not known where a link leads.
    #[error("the target of the symlink {0} is too long, or not readable")]
    UnreadableLink(String),
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
    /// Its text.
    pub text: NewText,
}

/// What a zip holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipContents {
    /// What whoever uploads it should know.
    pub remarks: ArchiveRemarks,
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
    let (names, remarks) = checked_names(zip.file_names_raw())?;
    let listed: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != IGNORED_AT_TOP).collect();
    let manifest = manifest_path(&listed)?.to_owned();
    let directory = manifest.rfind('/').map_or("", |at| &manifest[..=at]);
    check_only_directory(&listed, directory)?;
    let wanted = FilesToRead::of(&names, directory);
    let limit = limit_of(bytes.len());
    let mut reader = Inflating { bytes, zip: &mut zip, left: limit, limit, window: vec![0; WINDOW_BYTES] };
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
        let text = readable_text(found.get(path.as_str())?);
        Some(Readable { kind, name: path[directory.len()..].to_owned(), text })
    });
    Ok(ZipContents { remarks, manifest, readable: readable.collect() })
}

/// Whether composer installs what is in `directory`, and not the directory: it does when there is nothing else at the top
/// (`ArchiveDownloader::getFolderContent`).
fn check_only_directory(names: &[&str], directory: &str) -> Result<(), RejectedZip> {
    let Some(other) = names.iter().find(|name| !name.starts_with(directory)) else { return Ok(()) };
    let top = other.find('/').map_or(*other, |at| &other[..=at]);
    Err(RejectedZip::BesideDirectory { directory: shown(directory.as_bytes()), other: shown(top.as_bytes()) })
}

/// What a zip of so many bytes may unpack to.
fn limit_of(zip_bytes: usize) -> u64 {
    let by_ratio = FREE_BYTES + MAX_RATIO * u64::try_from(zip_bytes).unwrap_or(u64::MAX / MAX_RATIO / 2);
    by_ratio.min(MAX_INFLATED_BYTES)
}

/// The names of all entries in their order, once all of them are safe together, and which of them differ in case only.
/// Directories keep their slash.
pub fn checked_names<'n>(
    raw_names: impl Iterator<Item = &'n [u8]>,
) -> Result<(Vec<String>, ArchiveRemarks), RejectedZip> {
    let mut taken = EntryNames::default();
    let mut names = Vec::new();
    for raw in raw_names {
        let refuse = |reason| RejectedZip::UnsafePath { path: shown(raw), reason };
        let name = std::str::from_utf8(raw).map_err(|_| RejectedZip::NotUtf8(shown(raw)))?;
        let path = name.strip_suffix('/').unwrap_or(name);
        check_relative_path(path).map_err(refuse)?;
        taken.take(path, path.len() < name.len())?;
        names.push(name.to_owned());
    }
    Ok((names, taken.remarks))
}

/// The paths of the entries, and of the directories that are only implied, by what they are where case is ignored.
#[derive(Default)]
struct EntryNames {
    paths: HashMap<String, TakenPath>,
    bytes: usize,
    remarks: ArchiveRemarks,
}

/// What has a path.
enum TakenPath {
    Directory,
    /// A file or a symlink, as its path is written.
    File(String),
}

impl EntryNames {
    fn take(&mut self, path: &str, is_dir: bool) -> Result<(), RejectedZip> {
        let parents = path.match_indices('/').map(|(at, _)| (&path[..at], true));
        for (part, is_dir) in parents.chain([(path, is_dir)]) {
            match self.paths.entry(part.to_lowercase()) {
                Slot::Vacant(slot) => {
                    self.bytes += slot.key().len();
                    slot.insert(if is_dir { TakenPath::Directory } else { TakenPath::File(part.to_owned()) });
                }
                Slot::Occupied(slot) => match (slot.get(), is_dir) {
                    (TakenPath::Directory, true) => {}
                    (TakenPath::File(other), false) if other != part => {
                        let other = shown(other.as_bytes());
                        self.remarks.add(part.as_bytes(), RemarkKind::SameWhereCaseIsIgnored { other });
                    }
                    _ => return Err(RejectedZip::SamePath(shown(path.as_bytes()))),
                },
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

/// The bits of unix that tell what an entry is, as its central header has them. Unpackers believe them whatever system the
/// header says that the zip was made on.
fn file_type(zip: &[u8], central_header: u64) -> u32 {
    let at = usize::try_from(central_header).unwrap_or(usize::MAX).saturating_add(EXTERNAL_ATTRIBUTES);
    let attributes = zip.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    (u32::from_le_bytes(attributes) >> 16) & 0o170_000
}

/// A zip that is being inflated, and how much more it may unpack to.
struct Inflating<'z, 'b> {
    bytes: &'b [u8],
    zip: &'z mut ZipArchive<Cursor<&'b [u8]>>,
    left: u64,
    limit: u64,
    window: Vec<u8>,
}

impl Inflating<'_, '_> {
    /// Inflates one entry; its content if it is to be kept and not too large.
    fn entry(&mut self, index: usize, name: &str, depth: usize, keep: bool) -> Result<Option<Vec<u8>>, RejectedZip> {
        let shown = || shown(name.as_bytes());
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
        let is_link = match file_type(self.bytes, raw.central_header_start()) {
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
