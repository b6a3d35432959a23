//! Caches with a bound. What is kept is never the truth, and what was not asked for the longest goes first.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use lru::LruCache;

use crate::ports::Millis;

/// A value and the moment it was read.
#[derive(Debug, Clone)]
pub struct Cached<T> {
    /// What was read.
    pub value: T,
    /// When.
    pub cached_at: Millis,
}

impl<T> Cached<T> {
    /// Whether it was read less than `ttl` ago.
    pub fn is_fresh(&self, now: Millis, ttl: Duration) -> bool {
        now < self.cached_at.plus(ttl)
    }
}

/// A least-recently-used cache of at most `MAX` entries.
pub struct CountedCache<K: Hash + Eq, V, const MAX: usize>(LruCache<K, V>);

impl<K: Hash + Eq, V, const MAX: usize> Default for CountedCache<K, V, MAX> {
    fn default() -> Self {
        Self(lru_of(MAX))
    }
}

impl<K: Hash + Eq, V, const MAX: usize> Deref for CountedCache<K, V, MAX> {
    type Target = LruCache<K, V>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K: Hash + Eq, V, const MAX: usize> DerefMut for CountedCache<K, V, MAX> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Most bytes of a [`BoundedCache`], of the isolate's 128 MB; a sync may need most of the rest.
const MAX_BYTES: usize = 8 << 20;
/// Most entries of a [`BoundedCache`], however small they are.
const MAX_CACHE_ENTRIES: usize = 65_536;
/// What an entry costs besides its content.
const ENTRY_BYTES: usize = 128;

/// A least-recently-used cache bounded by the bytes of what it holds.
pub struct BoundedCache<K: Hash + Eq, V> {
    entries: LruCache<K, (V, usize)>,
    bytes: usize,
    max_bytes: usize,
}

impl<K: Hash + Eq, V> Default for BoundedCache<K, V> {
    fn default() -> Self {
        Self { entries: lru_of(MAX_CACHE_ENTRIES), bytes: 0, max_bytes: MAX_BYTES }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> BoundedCache<K, V> {
    /// The value under `key`.
    pub fn get(&mut self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    /// Keeps `value`, which holds about `bytes`, and removes what was not asked for the longest.
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

    /// Removes `key`.
    pub fn remove(&mut self, key: &K) {
        if let Some((_, gone)) = self.entries.pop(key) {
            self.bytes -= gone;
        }
    }

    /// Removes every key that `is_meant`.
    pub fn remove_all(&mut self, is_meant: impl Fn(&K) -> bool) {
        let meant: Vec<K> = self.entries.iter().map(|(key, _)| key).filter(|key| is_meant(key)).cloned().collect();
        for key in &meant {
            self.remove(key);
        }
    }
}

/// A cache of at most so many entries, which takes no memory for those that it does not have.
fn lru_of<K: Hash + Eq, V>(entries: usize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes<V>(max_bytes: usize) -> BoundedCache<i32, V> {
        BoundedCache { max_bytes, ..BoundedCache::default() }
    }

    #[test]
    fn the_least_recently_used_is_removed_when_the_bytes_run_out() {
        let mut cache = of_bytes(10_000);
        for key in 0..4 {
            cache.put(key, key, 2000);
        }
        assert_eq!(cache.get(&0), Some(0));
        cache.put(4, 4, 2000);
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.get(&0), Some(0));
        assert!(cache.bytes <= 10_000);
    }

    #[test]
    fn replacing_and_removing_give_the_bytes_back() {
        let mut cache = of_bytes(10_000);
        cache.put(1, 'a', 1000);
        cache.put(1, 'b', 2000);
        assert_eq!(cache.bytes, 2000 + ENTRY_BYTES);
        cache.remove(&1);
        assert_eq!(cache.bytes, 0);
        cache.put(1, 'a', 1000);
        cache.put(2, 'b', 1000);
        cache.remove_all(|key| *key == 1);
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some('b')));
        assert_eq!(cache.bytes, 1000 + ENTRY_BYTES);
    }

    #[test]
    fn what_would_fill_the_cache_alone_is_not_kept() {
        let mut cache = of_bytes(1000);
        cache.put(1, 'a', 900);
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn no_more_than_so_many_are_counted() {
        let mut cache = CountedCache::<i32, char, 2>::default();
        for (key, value) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            cache.put(key, value);
        }
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.get(&3), Some(&'c'));
        assert_eq!(cache.len(), 2);
    }
}
