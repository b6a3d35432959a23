//! The key-value store: KV.

use std::time::Duration;

use worker::send::SendFuture;
use worker::{KvError, KvStore};

use crate::ports::{BoxFuture, Cache, CacheEntry, Fault};

/// The shortest life KV gives an entry.
const SHORTEST_TTL: u64 = 60;

/// How long a place keeps what it has read of KV, in seconds: the shortest that KV allows. After it a change that was made
/// elsewhere is seen, a revoked token for example.
const READ_TTL: u64 = 30;

/// One KV namespace.
pub struct Kv(KvStore);

impl Kv {
    /// The port on `store`.
    pub fn new(store: KvStore) -> Self {
        Self(store)
    }

    async fn write(&self, key: &str, value: String, ttl: Duration, metadata: Option<String>) -> Result<(), KvError> {
        let mut request = self.0.put(key, value)?.expiration_ttl(ttl.as_secs().max(SHORTEST_TTL));
        if let Some(metadata) = metadata {
            request = request.metadata(metadata)?;
        }
        request.execute().await
    }
}

impl Cache for Kv {
    fn get(&self, key: &str) -> BoxFuture<'_, Result<Option<String>, Fault>> {
        let request = self.0.get(key).cache_ttl(READ_TTL);
        Box::pin(SendFuture::new(async move { request.text().await.map_err(fault) }))
    }

    fn put(
        &self,
        key: &str,
        value: String,
        ttl: Duration,
        metadata: Option<String>,
    ) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move { self.write(&key, value, ttl, metadata).await.map_err(fault) }))
    }

    fn delete(&self, key: &str) -> BoxFuture<'_, Result<(), Fault>> {
        let key = key.to_owned();
        Box::pin(SendFuture::new(async move { self.0.delete(&key).await.map_err(fault) }))
    }

    fn list(&self, prefix: &str) -> BoxFuture<'_, Result<Vec<CacheEntry>, Fault>> {
        let request = self.0.list().prefix(prefix.to_owned());
        Box::pin(SendFuture::new(async move {
            let found = request.execute().await.map_err(fault)?;
            let entry = |key: worker::kv::Key| CacheEntry {
                key: key.name,
                metadata: key.metadata.and_then(|value| value.as_str().map(str::to_owned)),
            };
            Ok(found.keys.into_iter().map(entry).collect())
        }))
    }
}

fn fault(error: KvError) -> Fault {
    Fault::new("cache", error)
}
