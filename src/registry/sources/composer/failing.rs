//! What failed a moment ago, so that requests that would wait for it do not ask for it again at once.
//!
//! Trouble belongs to the name that was asked for, and whoever asks for another one is neither kept from it nor told.
//! Only an upstream whose root fails, too, is left alone as a whole.

use std::time::Duration;

use composer::PackageName;

use crate::ports::Millis;
use crate::registry::kernel::cache::CountedCache;
use crate::registry::kernel::outbound::RequestError;
use crate::registry::sources::composer::error::UpstreamRepositoryError;

/// How long what has failed is not asked for again by requests that would wait for it. Composer repeats a failed request
/// three times at once, and asks for a dozen packages at a time.
pub const UPSTREAM_BACKOFF: Duration = Duration::from_secs(15);

/// The shortest and the longest time for which a server is left alone that says itself how long.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// Most upstreams, and most of their names, of which an isolate knows that they failed.
const MAX_UPSTREAMS: usize = 256;
const MAX_NAMES: usize = 4096;

/// The upstreams that failed a moment ago, and their names that did.
#[derive(Default)]
pub struct FailingUpstreams {
    roots: CountedCache<i64, RootCheck, MAX_UPSTREAMS>,
    names: CountedCache<(i64, PackageName), Trouble, MAX_NAMES>,
}

struct RootCheck {
    until: Millis,
    trouble: Option<Trouble>,
}

struct Trouble {
    error: UpstreamRepositoryError,
    since: Millis,
}

impl Trouble {
    /// The error, while nothing is to be asked.
    fn error(&self, now: Millis) -> Option<UpstreamRepositoryError> {
        let mut error = self.error.clone();
        let backoff = match &mut error {
            UpstreamRepositoryError::Request(RequestError::Busy { retry_after: Some(wait), .. }) => {
                let asked = *wait;
                *wait = now.until(self.since.plus(asked));
                asked.clamp(MIN_BACKOFF, MAX_BACKOFF)
            }
            _ => UPSTREAM_BACKOFF,
        };
        (now < self.since.plus(backoff)).then_some(error)
    }
}

impl FailingUpstreams {
    /// Why an upstream is not to be asked for a name at the moment, if so.
    pub fn error(&mut self, repository_id: i64, name: &PackageName, now: Millis) -> Option<UpstreamRepositoryError> {
        let root = self.roots.get(&repository_id).and_then(|check| check.trouble.as_ref()?.error(now));
        root.or_else(|| self.names.get(&(repository_id, name.clone()))?.error(now))
    }

    /// Notes that an upstream failed to tell of a name.
    pub fn record_name(&mut self, repository_id: i64, name: &PackageName, error: UpstreamRepositoryError, now: Millis) {
        self.names.put((repository_id, name.clone()), Trouble { error, since: now });
    }

    /// Whether it is to be found out if all of an upstream fails: nobody did a moment ago.
    pub fn begin_root_check(&mut self, repository_id: i64, now: Millis) -> bool {
        if self.roots.get(&repository_id).is_some_and(|check| now < check.until) {
            return false;
        }
        self.roots.put(repository_id, RootCheck { until: now.plus(UPSTREAM_BACKOFF), trouble: None });
        true
    }

    /// Notes that an upstream's root failed.
    pub fn record_root(&mut self, repository_id: i64, error: UpstreamRepositoryError, now: Millis) {
        let trouble = Some(Trouble { error, since: now });
        self.roots.put(repository_id, RootCheck { until: now.plus(UPSTREAM_BACKOFF), trouble });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Millis = Millis(1_000_000);

    fn name(text: &str) -> PackageName {
        PackageName::parse(text).expect("a name")
    }

    fn busy(seconds: u64) -> UpstreamRepositoryError {
        RequestError::Busy { status: 429, retry_after: Some(Duration::from_secs(seconds)) }.into()
    }

    fn refused() -> UpstreamRepositoryError {
        UpstreamRepositoryError::Refused { status: 403, message: String::new() }
    }

    #[test]
    fn a_names_trouble_is_its_own_and_a_roots_is_every_names() {
        let mut failing = FailingUpstreams::default();
        failing.record_name(1, &name("vendor/bad"), refused(), AT);
        assert!(failing.error(1, &name("vendor/bad"), AT).is_some());
        assert!(failing.error(1, &name("vendor/good"), AT).is_none());
        assert!(failing.error(2, &name("vendor/bad"), AT).is_none());
        failing.record_root(1, UpstreamRepositoryError::NotARepository, AT);
        assert!(failing.error(1, &name("vendor/good"), AT).is_some());
        assert!(failing.error(1, &name("vendor/good"), AT.plus(UPSTREAM_BACKOFF)).is_none());
    }

    #[test]
    fn a_root_is_checked_once_in_a_while() {
        let mut failing = FailingUpstreams::default();
        assert!(failing.begin_root_check(1, AT));
        assert!(!failing.begin_root_check(1, AT));
        assert!(failing.begin_root_check(1, AT.plus(UPSTREAM_BACKOFF)));
    }

    #[test]
    fn a_server_that_names_a_time_is_left_alone_so_long_but_no_longer_than_a_minute() {
        let mut failing = FailingUpstreams::default();
        failing.record_name(1, &name("vendor/a"), busy(40), AT);
        failing.record_name(1, &name("vendor/b"), busy(3600), AT);
        let after = |seconds| AT.plus(Duration::from_secs(seconds));
        let shown = failing.error(1, &name("vendor/a"), after(30)).expect("it is left alone");
        assert_eq!(shown.to_string(), busy(10).to_string());
        assert!(failing.error(1, &name("vendor/a"), after(40)).is_none());
        assert!(failing.error(1, &name("vendor/b"), after(59)).is_some());
        assert!(failing.error(1, &name("vendor/b"), after(60)).is_none());
    }
}
