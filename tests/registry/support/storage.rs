//! The blob store and the key-value store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rostrum::ports::{
    Blob, BlobUpload, Blobs, BoxFuture, ByteRange, Cache, CacheEntry, Clock, Fault, Millis, PART_BYTES, SingleChunk,
    UploadProgress,
};

use super::environment::ManualClock;
use super::meter::{Port, PortMeter};

/// A blob store.
#[derive(Clone)]
pub struct MemoryBlobs {
    pub blobs: Arc<Mutex<BTreeMap<String, Bytes>>>,
    /// The parts of the uploads that were begun and neither completed nor aborted, by the uploads' ids.
    uploads: Arc<Mutex<BTreeMap<String, Vec<StoredPart>>>>,
    begun_uploads: Arc<AtomicUsize>,
    meter: PortMeter,
}

/// A part of an upload, and the tag that it got when it was stored last.
#[derive(Clone)]
struct StoredPart {
    tag: String,
    bytes: Bytes,
}

impl MemoryBlobs {
    pub fn new(meter: PortMeter) -> Self {
        Self { blobs: Arc::default(), uploads: Arc::default(), begun_uploads: Arc::default(), meter }
    }

    /// Loses every upload that is not completed, as R2 does after seven days.
    pub fn lose_uploads(&self) {
        self.uploads.lock().expect("not poisoned").clear();
    }

    /// How many uploads were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.uploads.lock().expect("not poisoned").len()
    }

    pub fn keys(&self) -> Vec<String> {
        self.blobs.lock().expect("not poisoned").keys().cloned().collect()
    }
}

impl Blobs for MemoryBlobs {
    fn put(&self, key: &str, pieces: Vec<Bytes>) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        let bytes = Bytes::from(pieces.concat());
        Box::pin(async move {
            self.meter.count(|calls| calls.blob_writes += 1);
            self.meter.run(Port::Blobs, || drop(self.blobs.lock().expect("not poisoned").insert(key, bytes))).await
        })
    }

    fn get(&self, key: &str, range: Option<ByteRange>) -> BoxFuture<'_, Result<Option<Blob>, Fault>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.meter.count(|calls| calls.blob_reads += 1);
            let read = || {
                let whole = self.blobs.lock().expect("not poisoned").get(&key)?.clone();
                let size = u64::try_from(whole.len()).expect("small");
                let part = range.map_or(whole.clone(), |range| {
                    let at = |number: u64| usize::try_from(number).expect("small");
                    whole.slice(at(range.offset)..at(range.offset + range.length))
                });
                Some(Blob { size, body: Box::new(SingleChunk(Some(part))) })
            };
            self.meter.run(Port::Blobs, read).await
        })
    }

    fn upload(&self, key: &str) -> BoxFuture<'_, Result<Box<dyn BlobUpload>, Fault>> {
        let key = key.to_owned();
        Box::pin(async move {
            let begin = || {
                let id = format!("upload {}", self.begun_uploads.fetch_add(1, Ordering::Relaxed));
                self.uploads.lock().expect("not poisoned").insert(id.clone(), Vec::new());
                id
            };
            let id = self.meter.run(Port::Blobs, begin).await?;
            let progress = UploadProgress { key, id, part_tags: Vec::new() };
            Ok(Box::new(MemoryUpload { store: self.clone(), progress }) as Box<dyn BlobUpload>)
        })
    }

    fn resume_upload(&self, progress: UploadProgress) -> Result<Box<dyn BlobUpload>, Fault> {
        Ok(Box::new(MemoryUpload { store: self.clone(), progress }))
    }

    fn rename(&self, from: &str, to: &str) -> BoxFuture<'_, Result<(), Fault>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::pin(async move {
            let rename = || {
                let mut blobs = self.blobs.lock().expect("not poisoned");
                let bytes = blobs.remove(&from).expect("it is there");
                blobs.insert(to, bytes);
            };
            self.meter.run(Port::Blobs, rename).await
        })
    }

    fn delete(&self, keys: Vec<String>) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(async move {
            let delete = || self.blobs.lock().expect("not poisoned").retain(|key, _| !keys.contains(key));
            self.meter.run(Port::Blobs, delete).await
        })
    }
}

/// An upload as strict as R2's.
struct MemoryUpload {
    store: MemoryBlobs,
    progress: UploadProgress,
}

impl MemoryUpload {
    /// Takes the parts away, of which those are stored that the tags name.
    fn close(&self) -> Option<Vec<Bytes>> {
        let parts = self.store.uploads.lock().expect("not poisoned").remove(&self.progress.id)?;
        let is_known = parts.iter().zip(&self.progress.part_tags).all(|(part, named)| part.tag == *named);
        assert!(is_known && parts.len() == self.progress.part_tags.len(), "the upload is completed with other parts");
        Some(parts.into_iter().map(|part| part.bytes).collect())
    }
}

fn no_upload() -> Fault {
    Fault::new("blobs", "The specified multipart upload does not exist.")
}

impl BlobUpload for MemoryUpload {
    fn put_part(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Fault>> {
        assert!(!bytes.is_empty() && bytes.len() <= PART_BYTES, "a part of {} bytes", bytes.len());
        Box::pin(async move {
            self.store.meter.count(|calls| calls.blob_writes += 1);
            let (store, meter) = (self.store.clone(), self.store.meter.clone());
            let number = self.progress.part_tags.len();
            let store_part = || {
                let mut uploads = store.uploads.lock().expect("not poisoned");
                let parts = uploads.get_mut(&self.progress.id)?;
                // A part that is stored again replaces the other, and whatever came behind it is not known any more.
                parts.truncate(number);
                assert!(parts.iter().all(|part| part.bytes.len() == PART_BYTES), "only the last part may be shorter");
                let tag = format!("part {number} of {} bytes", bytes.len());
                parts.push(StoredPart { tag: tag.clone(), bytes });
                self.progress.part_tags.push(tag);
                Some(())
            };
            meter.run(Port::Blobs, store_part).await?.ok_or_else(no_upload)
        })
    }

    fn progress(&self) -> UploadProgress {
        self.progress.clone()
    }

    fn complete(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async move {
            let join = || {
                let whole = Bytes::from(self.close()?.concat());
                self.store.blobs.lock().expect("not poisoned").insert(self.progress.key.clone(), whole);
                Some(())
            };
            self.store.meter.run(Port::Blobs, join).await?.ok_or_else(no_upload)
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<(), Fault>> {
        Box::pin(async move {
            let abort = || drop(self.store.uploads.lock().expect("not poisoned").remove(&self.progress.id));
            self.store.meter.run(Port::Blobs, abort).await
        })
    }
}

/// How long KV takes to show a change everywhere.
const PROPAGATION: Duration = Duration::from_mins(1);

struct CacheValue {
    value: String,
    metadata: Option<String>,
    ends_at: Millis,
}

/// Key → what readers still get, and until when.
type StaleEntries = BTreeMap<String, (Option<String>, Millis)>;

/// A key-value store.
pub struct MemoryCache {
    entries: Mutex<BTreeMap<String, CacheValue>>,
    /// What readers still get of keys that were changed, and until when; `None` when changes are seen at once.
    stale: Mutex<Option<StaleEntries>>,
    clock: Arc<ManualClock>,
    meter: PortMeter,
}

impl MemoryCache {
    pub fn new(clock: Arc<ManualClock>, meter: PortMeter) -> Self {
        Self { entries: Mutex::default(), stale: Mutex::default(), clock, meter }
    }

    /// From now on a change is seen a minute later, as KV's edge caches have it.
    pub fn delay_propagation(&self) {
        *self.stale.lock().expect("not poisoned") = Some(BTreeMap::new());
    }

    fn before_change(&self, key: &str) {
        if let Some(stale) = &mut *self.stale.lock().expect("not poisoned") {
            let old = self.value(key);
            stale.insert(key.to_owned(), (old, self.clock.now().plus(PROPAGATION)));
        }
    }

    /// What a reader gets.
    fn visible_value(&self, key: &str) -> Option<String> {
        let stale = self.stale.lock().expect("not poisoned");
        match stale.as_ref().and_then(|stale| stale.get(key)) {
            Some((old, until)) if self.clock.now() < *until => old.clone(),
            _ => self.value(key),
        }
    }

    fn value(&self, key: &str) -> Option<String> {
        let now = self.clock.now();
        let entries = self.entries.lock().expect("not poisoned");
        entries.get(key).filter(|entry| now < entry.ends_at).map(|entry| entry.value.clone())
    }

    /// Keys and values that have not ended.
    pub fn entries(&self) -> Vec<(String, String)> {
        let now = self.clock.now();
        let entries = self.entries.lock().expect("not poisoned");
        entries
            .iter()
            .filter(|(_, entry)| now < entry.ends_at)
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect()
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.entries().into_iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix)).collect()
    }
}

impl Cache for MemoryCache {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<String>, Fault>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.meter.count(|calls| calls.cache_reads += 1);
            let read = || self.visible_value(&key);
            self.meter.run(Port::Cache, read).await
        })
    }

    fn put(
        &self,
        key: &str,
        value: String,
        ttl: Duration,
        metadata: Option<String>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        assert!(key.len() <= 512, "KV takes keys of 512 bytes");
        assert!(ttl >= Duration::from_mins(1), "KV keeps everything for a minute at least");
        assert!(metadata.as_ref().is_none_or(|text| text.len() <= 1000), "KV takes 1 kB of metadata");
        let key = key.to_owned();
        Box::pin(async move {
            self.meter.count(|calls| calls.cache_writes += 1);
            let ends_at = self.clock.now().plus(ttl);
            let entry = CacheValue { value, metadata, ends_at };
            let write = || {
                self.before_change(&key);
                self.entries.lock().expect("not poisoned").insert(key, entry);
            };
            self.meter.run(Port::Cache, write).await
        })
    }

    fn delete(&self, key: &str) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.meter.count(|calls| calls.cache_deletes += 1);
            let remove = || {
                self.before_change(&key);
                self.entries.lock().expect("not poisoned").remove(&key);
            };
            self.meter.run(Port::Cache, remove).await
        })
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<CacheEntry>, Fault>> {
        let prefix = prefix.to_owned();
        Box::pin(async move {
            self.meter.count(|calls| calls.cache_lists += 1);
            let now = self.clock.now();
            let list = || {
                let entries = self.entries.lock().expect("not poisoned");
                entries
                    .iter()
                    .filter(|(key, entry)| key.starts_with(&prefix) && now < entry.ends_at)
                    .take(1000)
                    .map(|(key, entry)| CacheEntry { key: key.clone(), metadata: entry.metadata.clone() })
                    .collect()
            };
            self.meter.run(Port::Cache, list).await
        })
    }
}
