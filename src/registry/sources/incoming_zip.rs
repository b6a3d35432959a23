//! A zip on its way into the blob store: in parts, so that it is never in memory as a whole, and hashed as it passes.
//!
//! What a blob is called for good, the hash of its content tells. A zip that is no larger than a part is stored under that
//! name at once. A larger one is uploaded as `incoming/{id}` and renamed when its last byte is known.

use bytes::Bytes;
use sha1::Sha1;
use sha1::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

use crate::ports::{BlobUpload, Fault, PART_BYTES, UploadProgress};
use crate::registry::kernel::app::App;
use crate::registry::kernel::ids::new_uid;
use crate::registry::sources::archive_store::blob_key;
use crate::store::sources::dists::NewArtifact;

/// A zip on its way into the blob store.
pub struct IncomingZip<'a> {
    app: &'a App,
    hashes: Hashes,
    size: u64,
    /// What is not stored yet; less than a part.
    part: Vec<u8>,
    upload: Option<Box<dyn BlobUpload>>,
    /// The hashes of what is stored.
    stored_hashes: Hashes,
}

/// How far a zip has come: what it takes to go on with it in another invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipProgress {
    /// Its parts.
    pub upload: UploadProgress,
    /// The states of the hashes behind the last part, as hexadecimal text.
    pub hashes: [String; 2],
}

impl ZipProgress {
    /// Bytes in the parts.
    pub fn stored_bytes(&self) -> u64 {
        self.upload.part_tags.len() as u64 * PART_BYTES as u64
    }
}

#[derive(Clone, Default)]
struct Hashes {
    sha1: Sha1,
    sha256: Sha256,
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.sha256.update(bytes);
    }

    fn save(&self) -> [String; 2] {
        [hex::encode(self.sha1.serialize()), hex::encode(self.sha256.serialize())]
    }

    fn load([sha1, sha256]: &[String; 2]) -> Option<Self> {
        Some(Self { sha1: load_state(sha1)?, sha256: load_state(sha256)? })
    }
}

fn load_state<H: SerializableState>(text: &str) -> Option<H> {
    let bytes = hex::decode(text).ok()?;
    H::deserialize(&SerializedState::<H>::try_from(bytes.as_slice()).ok()?).ok()
}

impl<'a> IncomingZip<'a> {
    /// A zip of which nothing has come yet.
    pub fn new(app: &'a App) -> Self {
        Self {
            app,
            hashes: Hashes::default(),
            size: 0,
            part: Vec::new(),
            upload: None,
            stored_hashes: Hashes::default(),
        }
    }

    /// Goes on with a zip whose first parts are stored; what is taken next follows them.
    pub fn resume(app: &'a App, progress: &ZipProgress) -> Result<Self, Fault> {
        let unreadable = || Fault::new("database", "the state of a zip's hashes is not readable");
        let hashes = Hashes::load(&progress.hashes).ok_or_else(unreadable)?;
        let upload = app.ports.blobs.resume_upload(progress.upload.clone())?;
        let (size, stored_hashes) = (progress.stored_bytes(), hashes.clone());
        Ok(Self { app, hashes, size, part: Vec::new(), upload: Some(upload), stored_hashes })
    }

    /// Bytes that have come.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-1 of what has come, lowercase hex.
    pub fn sha1(&self) -> String {
        hex::encode(self.hashes.sha1.clone().finalize())
    }

    /// How far it has come, if a part of it is stored.
    pub fn progress(&self) -> Option<ZipProgress> {
        let upload = self.upload.as_ref()?.progress();
        (!upload.part_tags.is_empty()).then(|| ZipProgress { upload, hashes: self.stored_hashes.save() })
    }

    /// Takes the bytes that come next, and stores each part that is full.
    pub async fn take(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve_exact(PART_BYTES.min(bytes.len().max(64 * 1024)));
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.hashes.update(now);
            self.size += now.len() as u64;
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.store_part().await?;
            }
        }
        Ok(())
    }

    async fn store_part(&mut self) -> Result<(), Fault> {
        let part = Bytes::from(std::mem::take(&mut self.part));
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let key = format!("incoming/{}", new_uid(&*self.app.ports.entropy, self.app.now())?);
                none.insert(self.app.ports.blobs.upload(&key).await?)
            }
        };
        upload.put_part(part).await?;
        self.stored_hashes = self.hashes.clone();
        Ok(())
    }

    /// Makes it a blob under the hash of its content.
    pub async fn keep(mut self) -> Result<NewArtifact, Fault> {
        let sha256 = hex::encode(self.hashes.sha256.clone().finalize());
        let (key, blobs) = (blob_key(&sha256), &self.app.ports.blobs);
        let last = Bytes::from(std::mem::take(&mut self.part));
        match self.upload.take() {
            None => blobs.put(&key, vec![last]).await?,
            Some(mut upload) => {
                let stored = if last.is_empty() { Ok(()) } else { upload.put_part(last).await };
                if let Err(fault) = stored {
                    abort(upload).await;
                    return Err(fault);
                }
                let incoming = upload.progress().key;
                let moved = match upload.complete().await {
                    Ok(()) => blobs.rename(&incoming, &key).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = moved {
                    if let Err(fault) = blobs.delete(vec![incoming]).await {
                        log::warn!("a blob that nobody names was left behind: {fault}");
                    }
                    return Err(fault);
                }
            }
        }
        let sha1 = self.sha1().into();
        Ok(NewArtifact { sha256, sha1, size: i64::try_from(self.size).unwrap_or(i64::MAX) })
    }

    /// Forgets what is stored of it.
    pub async fn discard(mut self) {
        if let Some(upload) = self.upload.take() {
            abort(upload).await;
        }
    }
}

async fn abort(upload: Box<dyn BlobUpload>) {
    if let Err(fault) = upload.abort().await {
        log::warn!("an upload was left to the blob store's own clean-up: {fault}");
    }
}
