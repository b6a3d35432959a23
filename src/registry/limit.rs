//! Rate limits: requests a token may make in a clock hour.
//!
//! Each isolate counts in its memory and writes its own count to KV, under a key of its own, at most once in
//! [`FLUSH_AFTER`] and counter; the counts of all isolates are added up from the metadata of one KV listing. So no two
//! writers ever overwrite each other, and a request on a warm isolate costs no call at all.
//!
//! Accuracy: one isolate counts exactly. With several, each may let through what the others counted since their last
//! flush and KV has not spread yet: at most (isolates − 1) × (requests in [`FLUSH_AFTER`] + KV's minute). An isolate
//! that dies loses at most [`FLUSH_AFTER`] of its counting. KV failing never fails a request: the isolate goes on
//! counting alone.

use std::time::Duration;

use crate::ports::CacheEntry;
use crate::registry::access::caller::{Caller, Subject};
use crate::registry::access::scope::is_read_only;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::CountedCache;

/// A dirty counter is written to KV this long after the request that made it so.
pub const FLUSH_AFTER: Duration = Duration::from_secs(5);

/// Requests an hour of a token that only reads.
pub const READ_ONLY_PER_HOUR: i64 = 1000;
/// Requests an hour of a token that may write.
pub const WRITE_PER_HOUR: i64 = 500;
/// Requests an hour of the holder of `ADMIN_TOKEN`: ten a second.
pub const ADMIN_PER_HOUR: i64 = 36_000;

const HOUR: i64 = 3600;
/// Counts outlive their hour a little, for the isolates that are behind.
const COUNT_TTL: Duration = Duration::from_hours(2);

const MAX_COUNTERS: usize = 16_384;

/// The counters of this isolate.
type Counters = CountedCache<CounterKey, Counter, MAX_COUNTERS>;

/// One subject's count in one hour, as this isolate knows it.
#[derive(Debug, Default)]
struct Counter {
    /// Names this isolate's entry in KV.
    writer: String,
    own: i64,
    others: i64,
    flush_is_scheduled: bool,
}

/// What is left of a caller's hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests an hour.
    pub limit: i64,
    /// How many are left.
    pub remaining: i64,
    /// Unix seconds at which a new hour begins.
    pub reset: i64,
    /// Seconds to wait when nothing was left for this request.
    pub retry_after: Option<i64>,
}

/// Requests an hour that `caller` may make.
pub fn limit_of(caller: &Caller) -> i64 {
    match caller.rate_limit_max {
        Some(own) => own,
        None if caller.subject == Subject::Admin => ADMIN_PER_HOUR,
        None if is_read_only(&caller.scopes) => READ_ONLY_PER_HOUR,
        None => WRITE_PER_HOUR,
    }
}

/// Counts one request of `caller`; a request that finds nothing left is not counted.
pub async fn take(app: &App, caller: &Caller) -> Quota {
    let limit = limit_of(caller);
    let seconds = app.now().seconds();
    let reset = (seconds.div_euclid(HOUR) + 1) * HOUR;
    let key = CounterKey::new(caller, seconds);
    if count_here(app, &key) == Seen::FirstTime {
        learn_of_others(app, &key).await;
    }
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let counter = counters.get_or_insert_mut(key.clone(), Counter::default);
    let remaining = limit - counter.own - counter.others;
    if remaining < 0 {
        counter.own -= 1;
        return Quota { limit, remaining: 0, reset, retry_after: Some(reset - seconds) };
    }
    let schedule = !std::mem::replace(&mut counter.flush_is_scheduled, true);
    drop(counters);
    if schedule {
        let later = app.clone();
        app.ports.tasks.wait_until(Box::pin(async move {
            later.ports.clock.sleep(FLUSH_AFTER).await;
            flush(&later, &key).await;
        }));
    }
    Quota { limit, remaining, reset, retry_after: None }
}

/// Gives a request back: it was answered with `304 Not Modified` and did no work.
pub fn give_back(app: &App, caller: &Caller, quota: Quota) -> Quota {
    let key = CounterKey::new(caller, app.now().seconds());
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    match counters.get_mut(&key) {
        Some(counter) if counter.own > 0 => counter.own -= 1,
        _ => return quota,
    }
    Quota { remaining: (quota.remaining + 1).min(quota.limit), ..quota }
}

/// Whose requests are counted, in which hour since the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CounterKey {
    subject: Subject,
    hour: i64,
}

impl CounterKey {
    fn new(caller: &Caller, seconds: i64) -> Self {
        Self { subject: caller.subject.clone(), hour: seconds.div_euclid(HOUR) }
    }

    /// What the keys of all isolates' entries in KV begin with.
    fn prefix(&self) -> String {
        format!("rate:{}:{}:", self.subject.key(), self.hour)
    }
}

#[derive(PartialEq, Eq)]
enum Seen {
    FirstTime,
    Before,
}

fn count_here(app: &App, key: &CounterKey) -> Seen {
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let mut seen = Seen::Before;
    let counter = counters.get_or_insert_mut(key.clone(), || {
        seen = Seen::FirstTime;
        let mut id = [0; 8];
        // Without chance two isolates might share an entry and undercount; that is no reason to refuse a request.
        let _ = app.ports.entropy.fill(&mut id);
        Counter { writer: hex::encode(id), ..Counter::default() }
    });
    counter.own += 1;
    seen
}

/// Requests that `subject` has made in this clock hour, as far as KV and this isolate know; `None` when KV does not
/// answer. One listing.
pub async fn used(app: &App, subject: Subject) -> Option<i64> {
    let key = CounterKey { subject, hour: app.now().seconds().div_euclid(HOUR) };
    let entries = app.ports.cache.list(&key.prefix()).await.ok()?;
    let counters = app.memory.slot::<Counters>();
    let counters = counters.lock();
    let counter = counters.peek(&key);
    let own_entry = counter.map(|counter| format!("{}{}", key.prefix(), counter.writer));
    Some(counter.map_or(0, |counter| counter.own) + sum_of_others(&entries, own_entry.as_deref()))
}

fn sum_of_others(entries: &[CacheEntry], own_entry: Option<&str>) -> i64 {
    let others = entries.iter().filter(|entry| Some(entry.key.as_str()) != own_entry);
    others.filter_map(|entry| entry.metadata.as_deref()?.parse::<i64>().ok()).sum()
}

/// Adds up what the other isolates have written.
async fn learn_of_others(app: &App, key: &CounterKey) {
    let prefix = key.prefix();
    let entries = match app.ports.cache.list(&prefix).await {
        Ok(entries) => entries,
        Err(fault) => return log::warn!("requests are counted in this isolate alone: {fault}"),
    };
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let Some(counter) = counters.get_mut(key) else { return };
    let own_entry = format!("{prefix}{}", counter.writer);
    counter.others = sum_of_others(&entries, Some(&own_entry));
}

/// Writes this isolate's count, then learns of the others'.
async fn flush(app: &App, key: &CounterKey) {
    let entry = {
        let counters = app.memory.slot::<Counters>();
        let mut counters = counters.lock();
        let Some(counter) = counters.get_mut(key) else { return };
        counter.flush_is_scheduled = false;
        (format!("{}{}", key.prefix(), counter.writer), counter.own.to_string())
    };
    let (entry_key, count) = entry;
    if let Err(fault) = app.ports.cache.put(&entry_key, String::new(), COUNT_TTL, Some(count)).await {
        return log::warn!("a request count was not written: {fault}");
    }
    learn_of_others(app, key).await;
}
