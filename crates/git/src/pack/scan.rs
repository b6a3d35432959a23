//! Verifying a pack: its checksum, one pass over its objects, then the deltas, each after its base
//! (gitformat-pack(5)). Each can be done a slice of work at a time.

use std::collections::HashMap;
use std::vec;

use sha1::{Digest, Sha1};

use crate::object::{ObjectId, ObjectKind, hasher};
use crate::pack::delta::DeltaHeader;
use crate::pack::inflate::Inflater;
use crate::pack::{Entry, ObjectDefect, Pack, PackError, PackLimits};

/// `PACK`, the version and the number of objects.
pub(crate) const HEADER_BYTES: usize = 12;
/// The SHA-1 of everything before it.
pub(crate) const CHECKSUM_BYTES: usize = 20;
const NONE: u32 = u32::MAX;

/// Work that looking at an object costs besides its content, in bytes.
const OBJECT_WORK: u64 = 256;

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
    /// What is stored whole; nothing for a delta.
    pub(crate) fn kind(&self) -> Option<ObjectKind> {
        match self.stored {
            Stored::Whole(kind) => Some(kind),
            Stored::OffsetDelta(_) | Stored::ReferenceDelta(_) => None,
        }
    }

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

/// Checks the pack's own header and returns how many objects it declares.
pub(crate) fn header(bytes: &[u8]) -> Result<u32, PackError> {
    const MAGIC: &[u8] = b"PACK";
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
        return Err(PackError::NotAPack);
    }
    if bytes.len() < HEADER_BYTES + CHECKSUM_BYTES {
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

/// The checksum at the end of a pack, compared with what is before it.
pub(crate) struct Checksum {
    hasher: Sha1,
    at: usize,
}

impl Checksum {
    pub(crate) fn new() -> Self {
        Self { hasher: Sha1::new(), at: 0 }
    }

    /// Hashes about `work` bytes more; whether the pack is intact, once that is known.
    pub(crate) fn step(&mut self, bytes: &[u8], work: &mut u64) -> Option<bool> {
        let end = body(bytes).len();
        let until = end.min(self.at.saturating_add(usize::try_from(*work).unwrap_or(usize::MAX)));
        self.hasher.update(&bytes[self.at..until]);
        *work -= (until - self.at) as u64;
        self.at = until;
        (until == end).then(|| self.hasher.clone().finalize()[..] == bytes[end..])
    }
}

/// A pack, at least as long as [`header`] demands, without its checksum.
fn body(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() - CHECKSUM_BYTES]
}

/// The first pass: every object's stream.
pub(crate) struct Scan {
    count: u32,
    /// Where the next object starts.
    at: usize,
    current: Option<ScannedObject>,
    entries: Vec<Entry>,
    graph: DeltaGraph,
    work_left: u64,
    total: u64,
}

/// The object that is being looked at.
struct ScannedObject {
    start: usize,
    header: EntryHeader,
    /// Bytes of its stream that were inflated.
    taken: usize,
    content: ScannedContent,
}

/// What is kept of an object's content.
enum ScannedContent {
    Whole(ObjectKind, Sha1),
    /// The first bytes of a delta; the entry that it builds on, if that is known.
    Delta(u32, Vec<u8>),
}

impl Scan {
    pub(crate) fn new(count: u32, limits: &PackLimits) -> Self {
        let graph = DeltaGraph {
            known: Vec::new(),
            waiting: HashMap::new(),
            first_child: Vec::new(),
            next_sibling: Vec::new(),
        };
        let work_left = limits.work_bytes;
        Self { count, at: HEADER_BYTES, current: None, entries: Vec::new(), graph, work_left, total: 0 }
    }

    /// Looks at objects for about `work` bytes; whether all were looked at.
    pub(crate) fn step(
        &mut self,
        bytes: &[u8],
        limits: &PackLimits,
        inflater: &mut Inflater,
        work: &mut u64,
    ) -> Result<bool, PackError> {
        if self.count > limits.objects {
            return Err(PackError::TooManyObjects { count: self.count, limit: limits.objects });
        }
        let body = body(bytes);
        while *work > 0 {
            let spent = if self.current.is_some() {
                self.inflate(body, limits, inflater)?
            } else if self.entries.len() == self.count as usize {
                return if self.at == body.len() { Ok(true) } else { Err(PackError::TrailingBytes) };
            } else {
                self.begin(body, limits, inflater)?;
                OBJECT_WORK
            };
            *work = work.saturating_sub(spent);
        }
        Ok(false)
    }

    /// What was found, for the second pass.
    pub(crate) fn finish(mut self) -> (Vec<Entry>, Resolve) {
        self.graph.first_child = vec![NONE; self.entries.len()];
        self.graph.next_sibling = vec![NONE; self.entries.len()];
        for (at, entry) in (0u32..).zip(&self.entries) {
            if entry.base != Entry::WHOLE {
                self.graph.add_child(entry.base, at);
            }
        }
        (self.entries, Resolve::new(self.graph, self.work_left))
    }

    /// Begins with the next object.
    fn begin(&mut self, body: &[u8], limits: &PackLimits, inflater: &mut Inflater) -> Result<(), PackError> {
        let start = self.at;
        let header = EntryHeader::parse(body, start)?;
        let (content, limit) = match header.stored {
            Stored::Whole(kind) => (ScannedContent::Whole(kind, hasher(kind, header.size)), limits.hashed_object_bytes),
            Stored::OffsetDelta(distance) => {
                let base = self.entry_at(start, distance)?;
                self.entries[base as usize].is_base = true;
                (ScannedContent::Delta(base, Vec::with_capacity(DeltaHeader::MAX_BYTES)), limits.object_bytes)
            }
            Stored::ReferenceDelta(id) => {
                let index = u32::try_from(self.entries.len()).unwrap_or(NONE);
                self.graph.waiting.entry(id).or_default().push(index);
                let head = Vec::with_capacity(DeltaHeader::MAX_BYTES);
                (ScannedContent::Delta(Entry::WHOLE, head), limits.object_bytes)
            }
        };
        if header.size > limit {
            return Err(PackError::ObjectTooLarge { declared: header.size, limit });
        }
        self.work_left =
            self.work_left.checked_sub(header.size).ok_or(PackError::InflatesTooLarge { limit: limits.work_bytes })?;
        inflater.begin(header.size);
        self.current = Some(ScannedObject { start, header, taken: 0, content });
        Ok(())
    }

    /// Inflates a piece of the current object; says what that cost.
    fn inflate(&mut self, body: &[u8], limits: &PackLimits, inflater: &mut Inflater) -> Result<u64, PackError> {
        let Some(current) = &mut self.current else { return Ok(0) };
        let input = &body[current.header.data + current.taken..];
        let step = inflater.step(input).map_err(|error| defect(current.start, error.into()))?;
        if step.is_stuck() {
            return Err(PackError::Truncated);
        }
        current.taken += step.consumed;
        match &mut current.content {
            ScannedContent::Whole(_, hasher) => hasher.update(step.piece),
            ScannedContent::Delta(_, head) => {
                let missing = DeltaHeader::MAX_BYTES - head.len();
                head.extend_from_slice(&step.piece[..step.piece.len().min(missing)]);
            }
        }
        let (spent, is_end) = ((step.consumed + step.piece.len()) as u64, step.is_end);
        if is_end && let Some(object) = self.current.take() {
            self.end(object, limits)?;
        }
        Ok(spent)
    }

    /// Notes an object whose stream was seen to its end.
    fn end(&mut self, object: ScannedObject, limits: &PackLimits) -> Result<(), PackError> {
        let ScannedObject { start, header, taken, content } = object;
        self.at = header.data + taken;
        let (kind, size, base) = match content {
            ScannedContent::Whole(kind, hasher) => {
                let index = u32::try_from(self.entries.len()).unwrap_or(NONE);
                self.graph.known.push((ObjectId::from_hasher(hasher), index));
                (kind, header.size, Entry::WHOLE)
            }
            ScannedContent::Delta(base, head) => {
                let sizes = DeltaHeader::parse(&head).map_err(|error| defect(start, ObjectDefect::Delta(error)))?;
                let declared = sizes.result_size.max(sizes.base_size);
                if declared > limits.object_bytes {
                    return Err(PackError::ObjectTooLarge { declared, limit: limits.object_bytes });
                }
                (ObjectKind::Blob, sizes.result_size, base)
            }
        };
        self.total += size;
        if self.total > limits.total_bytes {
            return Err(PackError::InflatesTooLarge { limit: limits.total_bytes });
        }
        // Both fit: the pack has at most 2³²-1 bytes, and sizes were checked against the limits.
        let offset = u32::try_from(start).map_err(|_| PackError::Truncated)?;
        let size = u32::try_from(size)
            .map_err(|_| PackError::ObjectTooLarge { declared: size, limit: u64::from(u32::MAX) })?;
        self.entries.push(Entry { offset, base, size, kind, is_base: false });
        Ok(())
    }

    /// The entry that starts `distance` bytes before `start`.
    fn entry_at(&self, start: usize, distance: u64) -> Result<u32, PackError> {
        usize::try_from(distance)
            .ok()
            .and_then(|distance| start.checked_sub(distance))
            .and_then(|offset| u32::try_from(offset).ok())
            .and_then(|offset| self.entries.binary_search_by_key(&offset, |entry| entry.offset).ok())
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
/// the cache.
pub(crate) struct Resolve {
    graph: DeltaGraph,
    /// The objects that are no deltas, and still to be looked at.
    roots: vec::IntoIter<(ObjectId, u32)>,
    stack: Vec<Pending>,
    work_left: u64,
}

impl Resolve {
    fn new(mut graph: DeltaGraph, work_left: u64) -> Self {
        let roots = std::mem::take(&mut graph.known);
        graph.known.reserve_exact(graph.first_child.len());
        Self { graph, roots: roots.into_iter(), stack: Vec::new(), work_left }
    }

    /// Rebuilds deltas for about `work` bytes; whether there are none left.
    pub(crate) fn step(&mut self, pack: &mut Pack, work: &mut u64) -> Result<bool, PackError> {
        while *work > 0 {
            let spent = if let Some(pending) = self.stack.pop() {
                self.rebuild(pack, &pending)?
            } else if let Some((id, entry)) = self.roots.next() {
                record(pack, &mut self.graph, &mut self.stack, id, &Pending { entry, depth: 0 });
                OBJECT_WORK
            } else {
                return match self.graph.waiting.keys().min() {
                    Some(missing) => Err(PackError::DeltaWithoutBase(*missing)),
                    None => Ok(true),
                };
            };
            *work = work.saturating_sub(spent);
        }
        Ok(false)
    }

    /// The id of every object with its entry.
    pub(crate) fn finish(self) -> Vec<(ObjectId, u32)> {
        self.graph.known
    }

    /// Rebuilds one delta; says what that cost.
    fn rebuild(&mut self, pack: &mut Pack, pending: &Pending) -> Result<u64, PackError> {
        let limit = pack.limits().delta_depth;
        if pending.depth > limit {
            return Err(PackError::DeltaTooDeep { limit });
        }
        let before = self.work_left;
        let content = pack.content(pending.entry, &mut self.work_left)?;
        let kind = pack.entries_mut()[pending.entry as usize].kind;
        let mut hasher = hasher(kind, content.len() as u64);
        hasher.update(content.as_slice());
        record(pack, &mut self.graph, &mut self.stack, ObjectId::from_hasher(hasher), pending);
        if pack.entries_mut()[pending.entry as usize].is_base {
            pack.keep_base(pending.entry, &content);
        }
        Ok(OBJECT_WORK + content.len() as u64 + (before - self.work_left))
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

pub(crate) fn defect(offset: usize, defect: ObjectDefect) -> PackError {
    PackError::BadObject { offset, defect }
}
