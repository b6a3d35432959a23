//! Verifying a pack: one pass over its bytes, then the deltas, each after its base
//! (gitformat-pack(5)).

use std::collections::HashMap;

use sha1::{Digest, Sha1};

use crate::object::{ObjectId, ObjectKind, hasher};
use crate::pack::delta::{DeltaError, DeltaHeader};
use crate::pack::inflate::{InflateError, Inflater};
use crate::pack::{Entry, ObjectDefect, Pack, PackError, PackLimits};

/// `PACK`, the version and the number of objects.
const HEADER_BYTES: usize = 12;
/// The SHA-1 of everything before it.
const TRAILER_BYTES: usize = 20;
const NONE: u32 = u32::MAX;

/// What the first pass found.
pub(crate) struct Scanned {
    pub(crate) entries: Vec<Entry>,
    pub(crate) graph: DeltaGraph,
    pub(crate) work_left: u64,
}

/// Which deltas build on what. Kept while opening only.
pub(crate) struct DeltaGraph {
    /// The ids known so far, with the entry that has each.
    known: Vec<(ObjectId, u32)>,
    /// Deltas that name a base whose entry is not known yet.
    waiting: HashMap<ObjectId, Vec<u32>>,
    /// Of each entry, the latest delta found to build on it.
    first_child: Vec<u32>,
    /// Of each delta, the next one that builds on the same base.
    next_sibling: Vec<u32>,
}

/// One object's header.
pub(crate) struct EntryHeader {
    stored: Stored,
    /// Size of what is stored (the object, or its delta), in bytes.
    pub(crate) size: u64,
    /// Where the zlib stream starts.
    pub(crate) data: usize,
}

enum Stored {
    Whole(ObjectKind),
    /// A delta on the entry this many bytes earlier.
    OffsetDelta(u64),
    ReferenceDelta(ObjectId),
}

impl EntryHeader {
    /// Reads the header at `start`. `bytes` may include what follows the last object.
    pub(crate) fn parse(bytes: &[u8], start: usize) -> Result<Self, PackError> {
        let bad = |defect| PackError::BadObject { offset: start, defect };
        let mut at = start;
        let mut next = || {
            let byte = bytes.get(at).copied().ok_or(PackError::Truncated);
            at += 1;
            byte
        };
        let first = next()?;
        let mut size = u64::from(first & 0x0f);
        let mut shift = 4;
        let mut more = first & 0x80 != 0;
        while more {
            let byte = next()?;
            let bits = u64::from(byte & 0x7f);
            if shift >= 64 || bits << shift >> shift != bits {
                return Err(bad(ObjectDefect::Size));
            }
            size |= bits << shift;
            shift += 7;
            more = byte & 0x80 != 0;
        }
        let stored = match (first >> 4) & 7 {
            1 => Stored::Whole(ObjectKind::Commit),
            2 => Stored::Whole(ObjectKind::Tree),
            3 => Stored::Whole(ObjectKind::Blob),
            4 => Stored::Whole(ObjectKind::Tag),
            6 => {
                let mut byte = next()?;
                let mut distance = u64::from(byte & 0x7f);
                while byte & 0x80 != 0 {
                    byte = next()?;
                    distance = distance
                        .checked_add(1)
                        .and_then(|distance| distance.checked_mul(128))
                        .ok_or(bad(ObjectDefect::BaseOffset))?
                        | u64::from(byte & 0x7f);
                }
                Stored::OffsetDelta(distance)
            }
            7 => {
                let mut id = [0; ObjectId::BYTES];
                for slot in &mut id {
                    *slot = next()?;
                }
                Stored::ReferenceDelta(ObjectId::from_bytes(id))
            }
            _ => return Err(bad(ObjectDefect::Type)),
        };
        Ok(Self { stored, size, data: at })
    }
}

/// The first pass: header, checksum, and every object's stream.
pub(crate) fn scan(bytes: &[u8], limits: &PackLimits, inflater: &mut Inflater) -> Result<Scanned, PackError> {
    let limit = limits.pack_bytes.min(u32::MAX as usize);
    if bytes.len() > limit {
        return Err(PackError::PackTooLarge { bytes: bytes.len(), limit });
    }
    let count = header(bytes)?;
    let end = bytes.len() - TRAILER_BYTES;
    let intact = Sha1::digest(&bytes[..end])[..] == bytes[end..];
    match Scan::new(&bytes[..end], limits).run(count, inflater) {
        Err(PackError::Truncated) => Err(PackError::Truncated),
        _ if !intact => Err(PackError::BadChecksum),
        result => result,
    }
}

/// Checks the pack's own header and returns how many objects it declares.
fn header(bytes: &[u8]) -> Result<u32, PackError> {
    const MAGIC: &[u8] = b"PACK";
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(PackError::NotAPack);
    }
    if bytes.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(PackError::Truncated);
    }
    let number = |at: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(&bytes[at..at + 4]);
        u32::from_be_bytes(four)
    };
    match number(4) {
        2 | 3 => Ok(number(8)),
        version => Err(PackError::UnsupportedVersion(version)),
    }
}

struct Scan<'a> {
    /// The pack without its checksum.
    body: &'a [u8],
    limits: &'a PackLimits,
    found: Scanned,
    total: u64,
}

impl<'a> Scan<'a> {
    fn new(body: &'a [u8], limits: &'a PackLimits) -> Self {
        let graph = DeltaGraph {
            known: Vec::new(),
            waiting: HashMap::new(),
            first_child: Vec::new(),
            next_sibling: Vec::new(),
        };
        let found = Scanned { entries: Vec::new(), graph, work_left: limits.work_bytes };
        Self { body, limits, found, total: 0 }
    }

    fn run(mut self, count: u32, inflater: &mut Inflater) -> Result<Scanned, PackError> {
        if count > self.limits.objects {
            return Err(PackError::TooManyObjects { count, limit: self.limits.objects });
        }
        let mut at = HEADER_BYTES;
        for index in 0..count {
            at = self.entry(index, at, inflater)?;
        }
        if at != self.body.len() {
            return Err(PackError::TrailingBytes);
        }
        let graph = &mut self.found.graph;
        graph.first_child = vec![NONE; count as usize];
        graph.next_sibling = vec![NONE; count as usize];
        for (at, entry) in (0u32..).zip(&self.found.entries) {
            if entry.base != Entry::WHOLE {
                graph.add_child(entry.base, at);
            }
        }
        Ok(self.found)
    }

    /// Verifies the object at `start` as far as possible without its base, and returns its end.
    fn entry(&mut self, index: u32, start: usize, inflater: &mut Inflater) -> Result<usize, PackError> {
        let header = EntryHeader::parse(self.body, start)?;
        let mut base = Entry::WHOLE;
        let (kind, size, end) = match header.stored {
            Stored::Whole(kind) => {
                let (id, end) = self.whole(start, &header, kind, inflater)?;
                self.found.graph.known.push((id, index));
                (kind, header.size, end)
            }
            Stored::OffsetDelta(distance) => {
                base = self.entry_at(start, distance)?;
                self.found.entries[base as usize].is_base = true;
                let (size, end) = self.delta(start, &header, inflater)?;
                (ObjectKind::Blob, size, end)
            }
            Stored::ReferenceDelta(id) => {
                self.found.graph.waiting.entry(id).or_default().push(index);
                let (size, end) = self.delta(start, &header, inflater)?;
                (ObjectKind::Blob, size, end)
            }
        };
        self.total += size;
        if self.total > self.limits.total_bytes {
            return Err(PackError::InflatesTooLarge { limit: self.limits.total_bytes });
        }
        // Both fit: the pack has at most 2³²-1 bytes, and sizes were checked against the limits.
        let offset = u32::try_from(start).map_err(|_| PackError::Truncated)?;
        let size = u32::try_from(size)
            .map_err(|_| PackError::ObjectTooLarge { declared: size, limit: u64::from(u32::MAX) })?;
        self.found.entries.push(Entry { offset, base, size, kind, is_base: false });
        Ok(end)
    }

    fn whole(
        &mut self,
        start: usize,
        header: &EntryHeader,
        kind: ObjectKind,
        inflater: &mut Inflater,
    ) -> Result<(ObjectId, usize), PackError> {
        let mut hasher = hasher(kind, header.size);
        let limit = self.limits.hashed_object_bytes;
        let end = self.stream(start, header, limit, inflater, |piece| hasher.update(piece))?;
        Ok((ObjectId::from_hasher(hasher), end))
    }

    /// Checks a delta's stream and returns the size of the object that it makes.
    fn delta(
        &mut self,
        start: usize,
        header: &EntryHeader,
        inflater: &mut Inflater,
    ) -> Result<(u64, usize), PackError> {
        let mut head = Vec::with_capacity(DeltaHeader::MAX_BYTES);
        let limit = self.limits.object_bytes;
        let end = self.stream(start, header, limit, inflater, |piece| {
            let missing = DeltaHeader::MAX_BYTES - head.len();
            head.extend_from_slice(&piece[..piece.len().min(missing)]);
        })?;
        let sizes = DeltaHeader::parse(&head).map_err(|error: DeltaError| defect(start, ObjectDefect::Delta(error)))?;
        let declared = sizes.result_size.max(sizes.base_size);
        if declared > limit {
            return Err(PackError::ObjectTooLarge { declared, limit });
        }
        Ok((sizes.result_size, end))
    }

    fn stream(
        &mut self,
        start: usize,
        header: &EntryHeader,
        limit: u64,
        inflater: &mut Inflater,
        sink: impl FnMut(&[u8]),
    ) -> Result<usize, PackError> {
        if header.size > limit {
            return Err(PackError::ObjectTooLarge { declared: header.size, limit });
        }
        self.found.work_left = self
            .found
            .work_left
            .checked_sub(header.size)
            .ok_or(PackError::InflatesTooLarge { limit: self.limits.work_bytes })?;
        match inflater.stream(&self.body[header.data..], header.size, sink) {
            Ok(taken) => Ok(header.data + taken),
            Err(InflateError::Truncated) => Err(PackError::Truncated),
            Err(error) => Err(defect(start, ObjectDefect::Inflate(error))),
        }
    }

    /// The entry that starts `distance` bytes before `start`.
    fn entry_at(&self, start: usize, distance: u64) -> Result<u32, PackError> {
        usize::try_from(distance)
            .ok()
            .and_then(|distance| start.checked_sub(distance))
            .and_then(|offset| u32::try_from(offset).ok())
            .and_then(|offset| self.found.entries.binary_search_by_key(&offset, |entry| entry.offset).ok())
            .and_then(|at| u32::try_from(at).ok())
            .ok_or(defect(start, ObjectDefect::BaseOffset))
    }
}

impl DeltaGraph {
    fn add_child(&mut self, base: u32, child: u32) {
        self.next_sibling[child as usize] = self.first_child[base as usize];
        self.first_child[base as usize] = child;
    }

    fn children(&self, base: u32) -> impl Iterator<Item = u32> {
        let follow = |at: u32| (at != NONE).then_some(at);
        std::iter::successors(follow(self.first_child[base as usize]), move |at| {
            follow(self.next_sibling[*at as usize])
        })
    }
}

/// A delta whose base is known, still to be rebuilt.
struct Pending {
    entry: u32,
    /// The length of its chain of deltas.
    depth: u32,
}

/// The second pass: rebuilds each delta after its base, depth first so that the base is still in
/// the cache, and returns the id of every object with its entry.
pub(crate) fn resolve(
    pack: &mut Pack,
    mut graph: DeltaGraph,
    mut work_left: u64,
) -> Result<Vec<(ObjectId, u32)>, PackError> {
    let limit = pack.limits().delta_depth;
    let mut stack = Vec::new();
    let roots = std::mem::take(&mut graph.known);
    graph.known.reserve_exact(pack.len());
    for (id, entry) in roots {
        stack.clear();
        record(pack, &mut graph, &mut stack, id, &Pending { entry, depth: 0 });
        while let Some(pending) = stack.pop() {
            if pending.depth > limit {
                return Err(PackError::DeltaTooDeep { limit });
            }
            let content = pack.content(pending.entry, &mut work_left)?;
            let kind = pack.entries_mut()[pending.entry as usize].kind;
            let mut hasher = hasher(kind, content.len() as u64);
            hasher.update(content.as_slice());
            record(pack, &mut graph, &mut stack, ObjectId::from_hasher(hasher), &pending);
            if pack.entries_mut()[pending.entry as usize].is_base {
                pack.keep_base(pending.entry, &content);
            }
        }
    }
    match graph.waiting.into_keys().min() {
        Some(missing) => Err(PackError::DeltaWithoutBase(missing)),
        None => Ok(graph.known),
    }
}

/// Notes the id of a rebuilt object, and puts the deltas that build on it on the stack.
fn record(pack: &mut Pack, graph: &mut DeltaGraph, stack: &mut Vec<Pending>, id: ObjectId, rebuilt: &Pending) {
    let base = rebuilt.entry;
    graph.known.push((id, base));
    for child in graph.waiting.remove(&id).unwrap_or_default() {
        pack.entries_mut()[child as usize].base = base;
        pack.entries_mut()[base as usize].is_base = true;
        graph.add_child(base, child);
    }
    let kind = pack.entries_mut()[base as usize].kind;
    for child in graph.children(base) {
        pack.entries_mut()[child as usize].kind = kind;
        stack.push(Pending { entry: child, depth: rebuilt.depth + 1 });
    }
}

fn defect(offset: usize, defect: ObjectDefect) -> PackError {
    PackError::BadObject { offset, defect }
}
