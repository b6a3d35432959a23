//! Rate limits: requests that a caller may make in a window of the clock, all of them or those for one package.
//!
//! What counts in which window is the surface's to say ([`RateLimit`]), and what does not count at all is the operation's;
//! here it is counted.
//!
//! Each isolate counts in its memory and writes its own count of an hour to KV, under a key of its own, at most once in
//! [`FLUSH_INTERVAL`] and counter; the counts of all isolates are added up from the metadata of one KV listing. So no two
//! writers ever overwrite each other, and a request on a warm isolate costs no call at all. A minute is over by the time
//! that KV has spread a count: it is counted by each isolate alone.
//!
//! Accuracy: one isolate counts exactly. With several, each may let through what the others counted since their last
//! flush and KV has not spread yet: at most (isolates − 1) × (requests in [`FLUSH_INTERVAL`] + KV's minute); and in a minute,
//! each may let the whole limit through. An isolate that dies loses at most [`FLUSH_INTERVAL`] of its counting of an hour.
//! KV failing never fails a request: the isolate goes on counting alone.

use std::time::Duration;

use composer::PackageName;

use crate::ports::CacheEntry;
use crate::registry::access::caller::{Caller, Subject};
use crate::registry::access::scope::is_read_only;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::CountedCache;

/// A dirty counter is written to KV this long after the request that made it so.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Requests an hour of the holder of `ADMIN_TOKEN`: ten a second.
pub const ADMIN_PER_HOUR: i64 = 36_000;

/// A window of the clock, at whose end the count starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// From one full minute to the next.
    Minute,
    /// From one full hour to the next.
    Hour,
}

impl Window {
    /// Its length.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// `minute` or `hour`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    /// How long KV keeps its counts: a little longer than it lasts, for the isolates that are behind. `None`: KV has none.
    const fn kv_ttl(self) -> Option<Duration> {
        match self {
            Self::Minute => None,
            Self::Hour => Some(Duration::from_hours(2)),
        }
    }
}

/// How many requests a caller may make in which window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// As many an hour as the credential says, or its kind ([`limit_of`]).
    OfCredential,
    /// As many an hour for every caller.
    PerHour(i64),
    /// As many a minute for every caller whose credential has no limit of its own, which is one of an hour.
    PerMinute(i64),
    /// As many a minute as the caller may download of one package ([`downloads_of`]).
    Downloads,
}

impl RateLimit {
    /// The limit that holds for `caller`: a credential's own one holds wherever it is used.
    #[must_use]
    pub fn of(self, caller: &Caller) -> Self {
        match self {
            Self::PerMinute(_) if caller.rate_limit_max.is_some() => Self::OfCredential,
            other => other,
        }
    }

    /// The window in which requests are counted.
    pub const fn window(self) -> Window {
        match self {
            Self::OfCredential | Self::PerHour(_) => Window::Hour,
            Self::PerMinute(_) | Self::Downloads => Window::Minute,
        }
    }

    fn max(self, caller: &Caller) -> i64 {
        match self {
            Self::OfCredential => limit_of(caller),
            Self::PerHour(max) | Self::PerMinute(max) => max,
            Self::Downloads => downloads_of(caller),
        }
    }
}

const MAX_COUNTERS: usize = 16_384;

/// The counters of this isolate.
type Counters = CountedCache<CounterKey, Counter, MAX_COUNTERS>;

/// One subject's count in one window, as this isolate knows it.
#[derive(Debug, Default)]
struct Counter {
    /// Names this isolate's entry in KV.
    writer: String,
    local: i64,
    remote: i64,
    flush_is_scheduled: bool,
}

/// What is left of a rate limit in the current window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a window.
    pub limit: i64,
    /// How many are left.
    pub remaining: i64,
    /// Unix seconds at which the next window begins.
    pub reset: i64,
    /// Seconds to wait when nothing was left for this request.
    pub retry_after: Option<i64>,
    key: CounterKey,
}

/// Requests an hour that `caller` may make.
pub fn limit_of(caller: &Caller) -> i64 {
    match caller.rate_limit_max {
        Some(own) => own,
        None if caller.subject == Subject::Admin => ADMIN_PER_HOUR,
        None if is_read_only(&caller.scopes) => caller.rate_limits.read_per_hour,
        None => caller.rate_limits.write_per_hour,
    }
}

/// Downloads of one package that `caller` may make in a minute: no less than a sixtieth of its hour, so that who was given
/// many requests can use them.
pub fn downloads_of(caller: &Caller) -> i64 {
    caller.rate_limits.downloads_per_minute.max(limit_of(caller) / 60)
}

/// Counts one request of `caller`; a request that finds nothing left is not counted. With `package`, it counts beside
/// others for that package only.
pub async fn consume(app: &App, caller: &Caller, limit: RateLimit, package: Option<&PackageName>) -> Quota {
    let seconds = app.now().seconds();
    let package = package.map(|name| name.as_str().to_owned());
    let key = CounterKey::new(caller.subject.clone(), limit.window(), seconds, package);
    let (limit, reset) = (limit.max(caller), key.end());
    add_locally(app, &key, 1).await;
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let counter = counters.get_or_insert_mut(key.clone(), Counter::default);
    let remaining = limit - counter.local - counter.remote;
    if remaining < 0 {
        counter.local -= 1;
        return Quota { limit, remaining: 0, reset, retry_after: Some(reset - seconds), key };
    }
    let schedule = key.window.kv_ttl().is_some() && !std::mem::replace(&mut counter.flush_is_scheduled, true);
    drop(counters);
    if schedule {
        let (later, key) = (app.clone(), key.clone());
        app.ports.tasks.wait_until(Box::pin(async move {
            later.ports.clock.sleep(FLUSH_INTERVAL).await;
            flush(&later, &key).await;
        }));
    }
    Quota { limit, remaining, reset, retry_after: None, key }
}

/// What is left to `caller`, for a request that does not count.
pub async fn peek(app: &App, caller: &Caller, limit: RateLimit) -> Quota {
    let key = CounterKey::new(caller.subject.clone(), limit.window(), app.now().seconds(), None);
    add_locally(app, &key, 0).await;
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let counter = counters.get_or_insert_mut(key.clone(), Counter::default);
    let (limit, reset) = (limit.max(caller), key.end());
    Quota { limit, remaining: (limit - counter.local - counter.remote).max(0), reset, retry_after: None, key }
}

/// Gives a request back: it was answered with `304 Not Modified` and did no work.
pub fn refund(app: &App, quota: Quota) -> Quota {
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    match counters.get_mut(&quota.key) {
        Some(counter) if counter.local > 0 => counter.local -= 1,
        _ => return quota,
    }
    Quota { remaining: (quota.remaining + 1).min(quota.limit), ..quota }
}

/// Whose requests are counted, in which window, and for which package if not for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CounterKey {
    subject: Subject,
    window: Window,
    /// Which window since the epoch.
    number: i64,
    package: Option<String>,
}

impl CounterKey {
    fn new(subject: Subject, window: Window, seconds: i64, package: Option<String>) -> Self {
        Self { subject, window, number: seconds.div_euclid(window.seconds()), package }
    }

    /// Unix seconds at which the window ends.
    fn end(&self) -> i64 {
        (self.number + 1) * self.window.seconds()
    }

    /// What the keys of all isolates' entries in KV begin with. None is the beginning of another.
    fn prefix(&self) -> String {
        let (subject, number) = (self.subject.key(), self.number);
        match (self.window, &self.package) {
            (Window::Hour, None) => format!("rate:{subject}:{number}:"),
            (window, None) => format!("rate:{subject}:{}:{number}:", window.as_str()),
            (window, Some(package)) => format!("rate:{subject}:{}-package:{number}:{package}:", window.as_str()),
        }
    }
}

/// Adds to a count. When this isolate counts for the first time, it looks at what the others have counted.
async fn add_locally(app: &App, key: &CounterKey, requests: i64) {
    let mut is_first = false;
    {
        let counters = app.memory.slot::<Counters>();
        let mut counters = counters.lock();
        let counter = counters.get_or_insert_mut(key.clone(), || {
            is_first = true;
            let mut id = [0; 8];
            // Without chance two isolates might share an entry and undercount; that is no reason to refuse a request.
            let _ = app.ports.entropy.fill(&mut id);
            Counter { writer: hex::encode(id), ..Counter::default() }
        });
        counter.local += requests;
    }
    if is_first && key.window.kv_ttl().is_some() {
        load_other_isolates(app, key).await;
    }
}

/// Requests that `subject` has made in this clock hour, as far as KV and this isolate know; `None` when KV does not
/// answer. One listing.
pub async fn used(app: &App, subject: Subject) -> Option<i64> {
    let key = CounterKey::new(subject, Window::Hour, app.now().seconds(), None);
    let entries = app.ports.cache.list(&key.prefix()).await.ok()?;
    let counters = app.memory.slot::<Counters>();
    let counters = counters.lock();
    let counter = counters.peek(&key);
    let own_entry = counter.map(|counter| format!("{}{}", key.prefix(), counter.writer));
    Some(counter.map_or(0, |counter| counter.local) + sum_of_other_isolates(&entries, own_entry.as_deref()))
}

fn sum_of_other_isolates(entries: &[CacheEntry], own_entry: Option<&str>) -> i64 {
    let others = entries.iter().filter(|entry| Some(entry.key.as_str()) != own_entry);
    others.filter_map(|entry| entry.metadata.as_deref()?.parse::<i64>().ok()).sum()
}

/// Adds up what the other isolates have written.
async fn load_other_isolates(app: &App, key: &CounterKey) {
    let prefix = key.prefix();
    let entries = match app.ports.cache.list(&prefix).await {
        Ok(entries) => entries,
        Err(fault) => return log::warn!("requests are counted in this isolate alone: {fault}"),
    };
    let counters = app.memory.slot::<Counters>();
    let mut counters = counters.lock();
    let Some(counter) = counters.get_mut(key) else { return };
    let own_entry = format!("{prefix}{}", counter.writer);
    counter.remote = sum_of_other_isolates(&entries, Some(&own_entry));
}

/// Writes this isolate's count, then reads those of the others.
async fn flush(app: &App, key: &CounterKey) {
    let Some(ttl) = key.window.kv_ttl() else { return };
    let entry = {
        let counters = app.memory.slot::<Counters>();
        let mut counters = counters.lock();
        let Some(counter) = counters.get_mut(key) else { return };
        counter.flush_is_scheduled = false;
        (format!("{}{}", key.prefix(), counter.writer), counter.local.to_string())
    };
    let (entry_key, count) = entry;
    if let Err(fault) = app.ports.cache.put(&entry_key, String::new(), ttl, Some(count)).await {
        return log::warn!("a request count was not written: {fault}");
    }
    load_other_isolates(app, key).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(window: Window, package: Option<&str>) -> CounterKey {
        CounterKey::new(Subject::Token { id: 7 }, window, 1_700_000_000, package.map(str::to_owned))
    }

    #[test]
    fn each_window_ends_with_its_minute_or_hour() {
        assert_eq!(key(Window::Minute, None).end(), 1_700_000_040);
        assert_eq!(key(Window::Hour, None).end(), 1_700_002_800);
    }

    #[test]
    fn counters_of_different_limits_share_no_entry_in_kv() {
        let keys = [
            key(Window::Hour, None),
            key(Window::Minute, None),
            key(Window::Hour, Some("acme/lib")),
            key(Window::Minute, Some("acme/lib")),
            key(Window::Minute, Some("acme/library")),
        ];
        let prefixes: Vec<String> = keys.iter().map(CounterKey::prefix).collect();
        let expected = [
            "rate:token:7:472222:",
            "rate:token:7:minute:28333333:",
            "rate:token:7:hour-package:472222:acme/lib:",
            "rate:token:7:minute-package:28333333:acme/lib:",
            "rate:token:7:minute-package:28333333:acme/library:",
        ];
        assert_eq!(prefixes, expected);
        for (index, prefix) in prefixes.iter().enumerate() {
            assert!(prefixes.iter().skip(index + 1).all(|other| !other.starts_with(prefix)), "{prefix}");
        }
    }
}
