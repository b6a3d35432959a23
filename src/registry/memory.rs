//! What an isolate remembers between requests, all of it bounded and none of it the truth.
//!
//! | what | how long | how much |
//! |---|---|---|
//! | callers by token hash, unknown tokens too | [`CALLER_TTL`] | 4,096 |
//! | rendered documents and listings as the database has them | [`DOCUMENT_TTL`], then one statement tells whether they still hold | 8 MB |
//! | bodies made from them for one view | as long as their revision | 8 MB |
//! | rate counters | their hour | 16,384 |
//! | upstreams that failed a moment ago | [`UPSTREAM_REST`] | 1 a repository |
//!
//! So another isolate's publish is seen within [`DOCUMENT_TTL`], and a revoked token is refused within [`CALLER_TTL`]
//! plus the minute KV takes to spread a deletion; at worst, when KV fails or a look-up was under way, when KV's copy ends. The isolate that made the change knows at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::ports::Millis;
use crate::registry::authenticate::Caller;
use crate::registry::limit::{Counter, CounterKey};
use crate::registry::listing::{Listing, ListingKey};
use crate::registry::metadata::{BodyKey, Known, Made};
use crate::registry::secrets::TokenHash;
use crate::store::OrganizationId;

/// How long an isolate believes what it knows of a token.
pub const CALLER_TTL: Duration = Duration::from_secs(30);

/// How long an isolate believes that a document is the newest.
pub const DOCUMENT_TTL: Duration = Duration::from_secs(10);

/// How long an upstream that has failed is not asked again by requests that would wait for it. Composer repeats a failed
/// request three times at once, and asks for a dozen packages at a time.
pub const UPSTREAM_REST: Duration = Duration::from_secs(15);

const MAX_CALLERS: usize = 4096;
const MAX_COUNTERS: usize = 16_384;
const MAX_ENTRIES: usize = 65_536;
/// Of the isolate's 128 MB; a sync may need most of the rest.
const MAX_BYTES: usize = 8 << 20;

/// A value and the moment it was read.
#[derive(Debug, Clone)]
pub struct Dated<T> {
    /// What was read.
    pub value: T,
    /// When.
    pub read_at: Millis,
}

impl<T> Dated<T> {
    /// Whether it was read less than `ttl` ago.
    pub fn is_fresh(&self, now: Millis, ttl: Duration) -> bool {
        now < self.read_at.plus(ttl)
    }
}

/// A least-recently-used map bounded by the bytes of what it holds.
pub struct Weighed<K: Hash + Eq, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
    max_bytes: usize,
}

/// What an entry costs besides its content.
const ENTRY_BYTES: usize = 128;

impl<K: Hash + Eq, V: Clone> Weighed<K, V> {
    fn new(max_bytes: usize) -> Self {
        Self { entries: LruCache::new(capacity(MAX_ENTRIES)), bytes: 0, max_bytes }
    }

    /// The value under `key`.
    pub fn get(&mut self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    /// Remembers `value`, which holds about `bytes`; forgets what was not asked for the longest.
    pub fn put(&mut self, key: K, value: V, bytes: usize) {
        let bytes = bytes + ENTRY_BYTES;
        if bytes > self.max_bytes / 4 {
            self.remove(&key);
            return;
        }
        self.bytes += bytes;
        if let Some((_, (_, gone))) = self.entries.push(key, (value, bytes)) {
            self.bytes -= gone;
        }
        while self.bytes > self.max_bytes {
            let Some((_, (_, gone))) = self.entries.pop_lru() else { break };
            self.bytes -= gone;
        }
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &K) {
        if let Some((_, gone)) = self.entries.pop(key) {
            self.bytes -= gone;
        }
    }

    /// Forgets every key that `is_meant`.
    fn remove_all(&mut self, is_meant: impl Fn(&K) -> bool)
    where
        K: Clone,
    {
        let meant: Vec<K> = self.entries.iter().map(|(key, _)| key).filter(|key| is_meant(key)).cloned().collect();
        meant.iter().for_each(|key| self.remove(key));
    }
}

fn capacity(entries: usize) -> NonZeroUsize {
    NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN)
}

/// What is known of packages, by organization and name.
pub type Documents = Weighed<(OrganizationId, String), Dated<Known>>;

/// How long a place stays taken when it is not given back: a request that its client has left may never be carried on.
const PLACE_TTL: Duration = Duration::from_mins(1);

/// The isolate's memory.
pub struct Memory {
    places: Mutex<HashMap<String, Millis>>,
    resting: Mutex<HashMap<i64, (Millis, String)>>,
    callers: Mutex<LruCache<TokenHash, Dated<Option<Arc<Caller>>>>>,
    counters: Mutex<LruCache<CounterKey, Counter>>,
    documents: Mutex<Documents>,
    listings: Mutex<Weighed<ListingKey, Dated<Arc<Listing>>>>,
    bodies: Mutex<Weighed<BodyKey, Made>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            resting: Mutex::default(),
            callers: Mutex::new(LruCache::new(capacity(MAX_CALLERS))),
            counters: Mutex::new(LruCache::new(capacity(MAX_COUNTERS))),
            documents: Mutex::new(Weighed::new(MAX_BYTES)),
            listings: Mutex::new(Weighed::new(MAX_BYTES)),
            bodies: Mutex::new(Weighed::new(MAX_BYTES)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held cannot leave a cache in a state that matters.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Callers by token hash; `None` is an unknown token.
    pub fn callers(&self) -> MutexGuard<'_, LruCache<TokenHash, Dated<Option<Arc<Caller>>>>> {
        lock(&self.callers)
    }

    /// Rate counters.
    pub fn counters(&self) -> MutexGuard<'_, LruCache<CounterKey, Counter>> {
        lock(&self.counters)
    }

    /// Package documents.
    pub fn documents(&self) -> MutexGuard<'_, Documents> {
        lock(&self.documents)
    }

    /// Visible package names.
    pub fn listings(&self) -> MutexGuard<'_, Weighed<ListingKey, Dated<Arc<Listing>>>> {
        lock(&self.listings)
    }

    /// Bodies made for one view, and what the view sees.
    pub fn bodies(&self) -> MutexGuard<'_, Weighed<BodyKey, Made>> {
        lock(&self.bodies)
    }

    /// Takes the place of that name, if it is free: only one piece of work of the isolate has it at a time.
    pub fn try_take(self: &Arc<Self>, name: &str, now: Millis) -> Option<Place> {
        let mut places = lock(&self.places);
        places.retain(|_, until| now < *until);
        if places.contains_key(name) {
            return None;
        }
        let until = now.plus(PLACE_TTL);
        places.insert(name.to_owned(), until);
        Some(Place { memory: self.clone(), name: name.to_owned(), until })
    }

    /// Notes that an upstream repository failed, and why.
    pub fn note_failure(&self, repository_id: i64, reason: &str, now: Millis) {
        lock(&self.resting).insert(repository_id, (now.plus(UPSTREAM_REST), reason.to_owned()));
    }

    /// Why an upstream repository is not to be asked at the moment, if so.
    pub fn recent_failure(&self, repository_id: i64, now: Millis) -> Option<String> {
        let mut resting = lock(&self.resting);
        resting.retain(|_, (until, _)| now < *until);
        resting.get(&repository_id).map(|(_, reason)| reason.clone())
    }

    /// Forgets everything that an organization publishes: something of it has just changed.
    pub fn forget_published(&self, organization: OrganizationId) {
        self.documents().remove_all(|(of, _)| *of == organization);
        self.listings().remove_all(|key| key.organization == organization);
    }
}

/// A place that one piece of work has for itself; given back when it is dropped.
pub struct Place {
    memory: Arc<Memory>,
    name: String,
    until: Millis,
}

impl Place {
    /// Keeps it for longer: the work goes on.
    pub fn renew(&mut self, now: Millis) {
        let mut places = lock(&self.memory.places);
        if places.get(&self.name).is_none_or(|until| *until == self.until) {
            self.until = now.plus(PLACE_TTL);
            places.insert(self.name.clone(), self.until);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = lock(&self.memory.places);
        if places.get(&self.name) == Some(&self.until) {
            places.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_is_forgotten_when_the_bytes_run_out() {
        let mut map = Weighed::new(10_000);
        for key in 0..4 {
            map.put(key, key, 2000);
        }
        assert_eq!(map.get(&0), Some(0));
        map.put(4, 4, 2000);
        assert_eq!(map.get(&1), None);
        assert_eq!(map.get(&0), Some(0));
        assert!(map.bytes <= 10_000);
    }

    #[test]
    fn replacing_and_removing_give_the_bytes_back() {
        let mut map = Weighed::new(10_000);
        map.put(1, 'a', 1000);
        map.put(1, 'b', 2000);
        assert_eq!(map.bytes, 2000 + ENTRY_BYTES);
        map.remove(&1);
        assert_eq!(map.bytes, 0);
    }

    #[test]
    fn what_would_fill_the_map_alone_is_not_kept() {
        let mut map = Weighed::new(1000);
        map.put(1, 'a', 900);
        assert_eq!(map.get(&1), None);
    }
}
