//! [`Pack`]: the objects that a fetch brought, verified and looked up by id.
//!
//! The pack stays compressed in memory. Opening it inflates every object once to verify it and to
//! learn its id; reading inflates again, helped by a small cache of delta bases.

mod blob;
mod delta;
mod inflate;
mod object_stream;
mod opening;
mod packs;
mod scan;

pub use blob::BlobReader;
pub use delta::DeltaError;
pub use inflate::InflateError;
pub use object_stream::ObjectStream;
pub use opening::PackOpening;
pub use packs::Packs;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits;
use crate::object::{Object, ObjectId, ObjectKind};
use crate::pack::inflate::Inflater;
use crate::pack::scan::EntryHeader;

/// Smaller objects are read whole, which needs no decoder of their own.
const READ_WHOLE_BYTES: u32 = 64 * 1024;

/// What a pack may cost. The defaults are the constants of [`limits`] with the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLimits {
    /// Bytes of the pack itself.
    pub pack_bytes: usize,
    /// Bytes of an object that is held whole (see [`limits::OBJECT_BYTES`]).
    pub object_bytes: u64,
    /// Bytes of an object that is only verified (see [`limits::HASHED_OBJECT_BYTES`]).
    pub hashed_object_bytes: u64,
    /// Bytes of all objects together.
    pub total_bytes: u64,
    /// Bytes inflated to verify the pack, or to read one object.
    pub work_bytes: u64,
    /// Number of objects.
    pub objects: u32,
    /// Length of a delta chain.
    pub delta_depth: u32,
    /// Bytes of delta bases kept between reads.
    pub base_cache_bytes: usize,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self {
            pack_bytes: limits::PACK_BYTES,
            object_bytes: limits::OBJECT_BYTES,
            hashed_object_bytes: limits::HASHED_OBJECT_BYTES,
            total_bytes: limits::TOTAL_INFLATED_BYTES,
            work_bytes: limits::VERIFY_WORK_BYTES,
            objects: limits::OBJECTS,
            delta_depth: limits::DELTA_DEPTH,
            base_cache_bytes: limits::BASE_CACHE_BYTES,
        }
    }
}

/// A pack cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The bytes do not start as a pack does.
    #[error("the bytes are not a pack")]
    NotAPack,
    /// Neither version 2 nor 3.
    #[error("pack version {0} is not supported")]
    UnsupportedVersion(u32),
    /// The pack ends before its last object.
    #[error("the pack is cut off")]
    Truncated,
    /// The checksum at the end does not fit: the pack was damaged on its way.
    #[error("the pack's checksum does not fit its content")]
    BadChecksum,
    /// The checksum fits but there are bytes between the last object and it.
    #[error("the pack holds more than the objects it declares")]
    TrailingBytes,
    /// The checksum fits but an object is malformed: the sender is at fault.
    #[error("the object at byte {offset} is malformed: {defect}")]
    BadObject {
        /// Where the object starts in the pack, in bytes.
        offset: usize,
        /// What is wrong with it.
        defect: ObjectDefect,
    },
    /// A delta's base is not in the pack (a thin pack, which we never ask for).
    #[error("a delta's base {0} is not in the pack")]
    DeltaWithoutBase(ObjectId),
    /// The pack itself is too large.
    #[error("the pack has {bytes} bytes, more than {limit}")]
    PackTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The pack declares too many objects.
    #[error("the pack has {count} objects, more than {limit}")]
    TooManyObjects {
        /// What the header declares.
        count: u32,
        /// The most that are accepted.
        limit: u32,
    },
    /// An object declares too large a size. Nothing was allocated for it.
    #[error("an object has {declared} bytes, more than {limit}")]
    ObjectTooLarge {
        /// What the object declares, in bytes.
        declared: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// The objects together are too large, or cost too much to verify.
    #[error("the pack's objects inflate to more than {limit} bytes")]
    InflatesTooLarge {
        /// The most that is accepted, in bytes.
        limit: u64,
    },
    /// An object that was asked for alone came as a delta, or is of another kind.
    #[error("the object that was asked for alone is not sent as a whole file")]
    UnexpectedDelta,
    /// A chain of deltas is too long.
    #[error("a chain of deltas is longer than {limit}")]
    DeltaTooDeep {
        /// The most that is accepted.
        limit: u32,
    },
}

/// What is wrong with one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectDefect {
    /// Its type is none of the six that packs know.
    #[error("its type is unknown")]
    Type,
    /// Its size does not fit 64 bits.
    #[error("its size is impossible")]
    Size,
    /// Its base is not the start of an earlier object.
    #[error("its base is at no object's offset")]
    BaseOffset,
    /// Its compressed data is wrong.
    #[error("{0}")]
    Inflate(InflateError),
    /// Its delta is wrong.
    #[error("{0}")]
    Delta(DeltaError),
}

impl From<InflateError> for ObjectDefect {
    fn from(error: InflateError) -> Self {
        Self::Inflate(error)
    }
}

/// One object's place in the pack: 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Where its header starts, in bytes.
    pub(crate) offset: u32,
    /// The entry that its delta builds on, or [`Entry::WHOLE`].
    pub(crate) base: u32,
    /// Its size when rebuilt, in bytes.
    pub(crate) size: u32,
    /// Its kind; of a delta, known once the base is.
    pub(crate) kind: ObjectKind,
    /// Whether some delta builds on it.
    pub(crate) is_base: bool,
}

impl Entry {
    pub(crate) const WHOLE: u32 = u32::MAX;
}

/// A verified pack. See [`limits`] for what it costs.
pub struct Pack {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Sorted by id; the number is an index into `entries`.
    index: Vec<(ObjectId, u32)>,
    limits: PackLimits,
    state: Mutex<ReadState>,
}

impl Pack {
    /// Verifies the pack: its header, every object's data and size, every delta and the checksum.
    ///
    /// Whatever is wrong with a pack whose checksum does not fit is [`PackError::BadChecksum`] or
    /// [`PackError::Truncated`], so the other errors blame the sender, not the transport.
    ///
    /// It may take seconds; [`PackOpening`] does the same in slices.
    pub fn open(bytes: Vec<u8>, limits: &PackLimits) -> Result<Self, PackError> {
        PackOpening::new(bytes, limits)?.finish()
    }

    /// How many objects a pack declares, of which at least 32 bytes are there: less has none.
    pub fn declared_objects(bytes: &[u8]) -> Result<u32, PackError> {
        scan::header(bytes)
    }

    /// A pack of which nothing is known yet.
    fn unverified(bytes: Vec<u8>, limits: &PackLimits) -> Self {
        let state = Mutex::new(ReadState::new(limits.base_cache_bytes));
        Self { bytes, entries: Vec::new(), index: Vec::new(), limits: *limits, state }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no object at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes the pack itself has.
    pub fn packed_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the object is there. Costs no inflation.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.find(id).is_some()
    }

    /// What kind of object it is, if it is there. Costs no inflation.
    pub fn kind(&self, id: &ObjectId) -> Option<ObjectKind> {
        self.find(id).map(|at| self.entries[at as usize].kind)
    }

    /// The object's size in bytes, if it is there. Costs no inflation.
    pub fn size(&self, id: &ObjectId) -> Option<u64> {
        self.find(id).map(|at| u64::from(self.entries[at as usize].size))
    }

    /// All ids in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.index.iter().map(|(id, _)| *id)
    }

    /// The object, or nothing if it is not in the pack.
    ///
    /// Fails with [`PackError::ObjectTooLarge`] if it exceeds [`PackLimits::object_bytes`].
    pub fn read(&self, id: &ObjectId) -> Result<Option<Object>, PackError> {
        let Some(at) = self.find(id) else {
            return Ok(None);
        };
        let mut work_left = self.limits.work_bytes;
        let content = self.content(at, &mut work_left)?;
        Ok(Some(Object::new(self.entries[at as usize].kind, content)))
    }

    /// Opens an object to be read piece by piece, whatever its size, or nothing if it is not in the
    /// pack.
    ///
    /// Fails with [`PackError::ObjectTooLarge`] if it is stored as a delta and exceeds
    /// [`PackLimits::object_bytes`].
    pub(crate) fn open_object(&self, id: &ObjectId) -> Result<Option<BlobReader<'_>>, PackError> {
        let Some(at) = self.find(id) else {
            return Ok(None);
        };
        let entry = self.entries[at as usize];
        if entry.base != Entry::WHOLE || entry.size <= READ_WHOLE_BYTES {
            return Ok(self.read(id)?.map(BlobReader::held));
        }
        let offset = entry.offset as usize;
        let header = EntryHeader::parse(&self.bytes, offset)?;
        Ok(Some(BlobReader::stored(&self.bytes[header.data..], offset, header.size)))
    }

    fn find(&self, id: &ObjectId) -> Option<u32> {
        let at = self.index.binary_search_by_key(id, |(id, _)| *id).ok()?;
        Some(self.index[at].1)
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    pub(crate) fn limits(&self) -> &PackLimits {
        &self.limits
    }

    /// Keeps an object's content because deltas will ask for it.
    pub(crate) fn keep_base(&self, at: u32, content: &Arc<Vec<u8>>) {
        self.state().cache.put(at, content);
    }

    /// The content of one entry: down its chain to a base that is cached or whole, and up again.
    pub(crate) fn content(&self, wanted: u32, work_left: &mut u64) -> Result<Arc<Vec<u8>>, PackError> {
        let mut state = self.state();
        let mut chain = Vec::new();
        let mut at = wanted;
        let mut content = loop {
            if let Some(content) = state.cache.get(at) {
                break content;
            }
            let entry = self.entries[at as usize];
            if entry.base == Entry::WHOLE {
                let whole = self.inflate(entry, &mut state.inflater, work_left)?;
                break Arc::new(whole);
            }
            chain.push(at);
            at = entry.base;
        };
        loop {
            if self.entries[at as usize].is_base {
                state.cache.put(at, &content);
            }
            let Some(next) = chain.pop() else {
                return Ok(content);
            };
            let entry = self.entries[next as usize];
            let instructions = self.inflate(entry, &mut state.inflater, work_left)?;
            self.spend(work_left, u64::from(entry.size))?;
            let result =
                delta::apply(&content, &instructions).map_err(|error| entry.defect(ObjectDefect::Delta(error)))?;
            content = Arc::new(result);
            at = next;
        }
    }

    /// What is stored for one entry: the object, or its delta.
    fn inflate(&self, entry: Entry, inflater: &mut Inflater, work_left: &mut u64) -> Result<Vec<u8>, PackError> {
        let start = entry.offset as usize;
        let header = EntryHeader::parse(&self.bytes, start)?;
        let limit = self.limits.object_bytes;
        let size = u32::try_from(header.size)
            .ok()
            .filter(|size| u64::from(*size) <= limit)
            .ok_or(PackError::ObjectTooLarge { declared: header.size, limit })?;
        self.spend(work_left, u64::from(size))?;
        inflater.whole(&self.bytes[header.data..], size).map_err(|error| entry.defect(ObjectDefect::Inflate(error)))
    }

    fn spend(&self, work_left: &mut u64, bytes: u64) -> Result<(), PackError> {
        *work_left =
            work_left.checked_sub(bytes).ok_or(PackError::InflatesTooLarge { limit: self.limits.work_bytes })?;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, ReadState> {
        // A cache cannot be left half-written in a way that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack").field("bytes", &self.bytes.len()).field("objects", &self.len()).finish_non_exhaustive()
    }
}

impl Entry {
    fn defect(self, defect: ObjectDefect) -> PackError {
        PackError::BadObject { offset: self.offset as usize, defect }
    }
}

/// What reads share: it is the reason for the lock around it.
struct ReadState {
    inflater: Inflater,
    cache: BaseCache,
}

impl ReadState {
    fn new(cache_bytes: usize) -> Self {
        Self { inflater: Inflater::new(), cache: BaseCache::new(cache_bytes) }
    }
}

/// Delta bases, the least recently used ones dropped first. The latest stays even if it alone
/// exceeds the limit.
struct BaseCache {
    limit: usize,
    bytes: usize,
    clock: u64,
    bases: HashMap<u32, (u64, Arc<Vec<u8>>)>,
    by_age: BTreeMap<u64, u32>,
}

impl BaseCache {
    /// What an entry costs beside its content, in bytes, roughly.
    const OVERHEAD: usize = 128;

    fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, clock: 0, bases: HashMap::new(), by_age: BTreeMap::new() }
    }

    fn get(&mut self, at: u32) -> Option<Arc<Vec<u8>>> {
        let (age, content) = self.bases.get_mut(&at)?;
        self.clock += 1;
        self.by_age.remove(age);
        self.by_age.insert(self.clock, at);
        *age = self.clock;
        Some(Arc::clone(content))
    }

    fn put(&mut self, at: u32, content: &Arc<Vec<u8>>) {
        if self.get(at).is_some() {
            return;
        }
        self.clock += 1;
        self.bytes += content.len() + Self::OVERHEAD;
        self.bases.insert(at, (self.clock, Arc::clone(content)));
        self.by_age.insert(self.clock, at);
        while self.bytes > self.limit && self.bases.len() > 1 {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                return;
            };
            if let Some((_, dropped)) = self.bases.remove(&oldest) {
                self.bytes -= dropped.len() + Self::OVERHEAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_drops_the_least_recently_used_and_keeps_the_latest() {
        let mut cache = BaseCache::new(3 * BaseCache::OVERHEAD);
        let one = Arc::new(Vec::new());
        for at in 0..3 {
            cache.put(at, &one);
        }
        assert!(cache.get(0).is_some());
        cache.put(3, &one);
        assert!(cache.get(1).is_none(), "the oldest was dropped");
        assert!(cache.get(0).is_some() && cache.get(2).is_some());
        let large = Arc::new(vec![0; 10_000]);
        cache.put(9, &large);
        assert_eq!(cache.bases.len(), 1);
        assert!(cache.get(9).is_some(), "the latest stays although it is too large");
        cache.put(1, &one);
        assert_eq!(cache.bytes, BaseCache::OVERHEAD);
    }
}
