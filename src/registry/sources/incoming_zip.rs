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
    pub async fn keep(self) -> Result<NewArtifact, Fault> {
        let app = self.app;
        self.finish().await?.keep(app).await
    }

    /// All of it has come. It is not yet where it will be found.
    pub async fn finish(mut self) -> Result<ReceivedZip, Fault> {
        let artifact = NewArtifact {
            sha256: hex::encode(self.hashes.sha256.clone().finalize()),
            sha1: self.sha1().into(),
            size: i64::try_from(self.size).unwrap_or(i64::MAX),
        };
        let last = Bytes::from(std::mem::take(&mut self.part));
        let Some(mut upload) = self.upload.take() else {
            return Ok(ReceivedZip { artifact, place: ZipPlace::Memory(last) });
        };
        let stored = if last.is_empty() { Ok(()) } else { upload.put_part(last).await };
        if let Err(fault) = stored {
            abort(upload).await;
            return Err(fault);
        }
        let key = upload.progress().key;
        if let Err(fault) = upload.complete().await {
            // The store may have it all the same.
            delete(self.app, key).await;
            return Err(fault);
        }
        Ok(ReceivedZip { artifact, place: ZipPlace::Incoming(key) })
    }

    /// Forgets what is stored of it.
    pub async fn discard(mut self) {
        if let Some(upload) = self.upload.take() {
            abort(upload).await;
        }
    }
}

/// A zip that has come as a whole.
pub struct ReceivedZip {
    /// Its hashes and its size.
    pub artifact: NewArtifact,
    place: ZipPlace,
}

/// Where a zip is that has come.
enum ZipPlace {
    /// It is no larger than a part, and not stored yet.
    Memory(Bytes),
    /// In the blob store, under this key, which nothing names.
    Incoming(String),
    /// In the blob store, where it will be found.
    Kept,
}

impl ReceivedZip {
    /// A zip that is in the blob store already.
    pub fn kept(artifact: NewArtifact) -> Self {
        Self { artifact, place: ZipPlace::Kept }
    }

    /// Whether its bytes are in memory.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, ZipPlace::Memory(_))
    }

    /// Its bytes.
    pub async fn bytes(&self, app: &App) -> Result<Bytes, Fault> {
        let key = match &self.place {
            ZipPlace::Memory(bytes) => return Ok(bytes.clone()),
            ZipPlace::Incoming(key) => key.clone(),
            ZipPlace::Kept => blob_key(&self.artifact.sha256),
        };
        let lost = || Fault::new("blobs", format!("zip {} is gone", self.artifact.sha256));
        let mut body = app.ports.blobs.get(&key, None).await?.ok_or_else(lost)?.body;
        let mut bytes = Vec::with_capacity(usize::try_from(self.artifact.size).unwrap_or_default());
        while let Some(piece) = body.next_chunk().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.into())
    }

    /// Makes it a blob under the hash of its content.
    pub async fn keep(self, app: &App) -> Result<NewArtifact, Fault> {
        let (key, blobs) = (blob_key(&self.artifact.sha256), &app.ports.blobs);
        match self.place {
            ZipPlace::Memory(bytes) => blobs.put(&key, vec![bytes]).await?,
            ZipPlace::Incoming(incoming) => {
                if let Err(fault) = blobs.rename(&incoming, &key).await {
                    delete(app, incoming).await;
                    return Err(fault);
                }
            }
            ZipPlace::Kept => {}
        }
        Ok(self.artifact)
    }

    /// Forgets it, unless it was there before.
    pub async fn discard(self, app: &App) {
        if let ZipPlace::Incoming(key) = self.place {
            delete(app, key).await;
        }
    }
}

async fn delete(app: &App, key: String) {
    if let Err(fault) = app.ports.blobs.delete(vec![key]).await {
        log::warn!("a blob that nobody names was left behind: {fault}");
    }
}

async fn abort(upload: Box<dyn BlobUpload>) {
    if let Err(fault) = upload.abort().await {
        log::warn!("an upload was left to the blob store's own clean-up: {fault}");
    }
}
