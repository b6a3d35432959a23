//! [`Packs`]: several packs read as one.

use crate::object::{Object, ObjectId, ObjectKind};
use crate::pack::{BlobReader, Pack, PackError};
use crate::tree::TreeError;

/// One pack, or several that hold together what is needed: trees that came first, and the files
/// that were asked for by id when the trees were known.
#[derive(Debug, Default)]
pub struct Packs(Vec<Pack>);

impl From<Pack> for Packs {
    fn from(pack: Pack) -> Self {
        Self(vec![pack])
    }
}

impl Packs {
    /// Adds a pack.
    pub fn push(&mut self, pack: Pack) {
        self.0.push(pack);
    }

    /// How many bytes the packs themselves have.
    pub fn packed_bytes(&self) -> usize {
        self.0.iter().map(Pack::packed_bytes).sum()
    }

    /// Whether the object is there. Costs no inflation.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.holding(id).is_some()
    }

    /// The object's size in bytes, if it is there. Costs no inflation.
    pub fn size(&self, id: &ObjectId) -> Option<u64> {
        self.holding(id)?.size(id)
    }

    /// The object, or nothing if it is not there.
    ///
    /// Fails with [`PackError::ObjectTooLarge`] if it exceeds
    /// [`PackLimits::object_bytes`](crate::PackLimits::object_bytes).
    pub fn read(&self, id: &ObjectId) -> Result<Option<Object>, PackError> {
        self.holding(id).map_or(Ok(None), |pack| pack.read(id))
    }

    /// Opens a file's content, which must be there, to be read piece by piece.
    pub fn open_blob(&self, id: &ObjectId) -> Result<BlobReader<'_>, TreeError> {
        let pack = self.holding(id).ok_or(TreeError::MissingObject(*id))?;
        match pack.kind(id) {
            Some(found) if found != ObjectKind::Blob => {
                Err(TreeError::WrongKind { id: *id, expected: ObjectKind::Blob, found })
            }
            _ => pack.open_object(id)?.ok_or(TreeError::MissingObject(*id)),
        }
    }

    fn holding(&self, id: &ObjectId) -> Option<&Pack> {
        self.0.iter().find(|pack| pack.contains(id))
    }
}
