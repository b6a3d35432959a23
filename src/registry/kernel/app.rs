//! The registry as one request or one queue message sees it: the ports, the settings, the memory.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::{
    Blobs, BoxFuture, Cache, Clock, Database, Entropy, HttpClient, Job, JobQueue, MAX_JOBS, Millis, RateLimiter, Tasks,
};
use crate::registry::kernel::address_policy::AddressPolicy;
use crate::registry::kernel::memory::{Memory, Permit};
use crate::registry::kernel::secrets::{Keyring, TokenHash};

/// Everything from outside that the registry needs.
#[derive(Clone)]
pub struct Ports {
    /// SQL.
    pub database: Arc<dyn Database>,
    /// Zips.
    pub blobs: Arc<dyn Blobs>,
    /// Token look-ups and counters.
    pub cache: Arc<dyn Cache>,
    /// Counts the look-ups of credentials, where it is bound.
    pub rate_limiter: Option<Arc<dyn RateLimiter>>,
    /// HTTP out.
    pub http_client: Arc<dyn HttpClient>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Work that outlives the response.
    pub tasks: Arc<dyn Tasks>,
}

/// What the operator has set.
#[derive(Debug, Clone)]
pub struct Config {
    /// SHA-256 of `ADMIN_TOKEN`; without it nobody is an administrator.
    pub admin_token: Option<TokenHash>,
    /// The keys of `ENCRYPTION_KEY`.
    pub keyring: Keyring,
    /// Whether http and private addresses are allowed as upstreams (`ALLOW_PRIVATE_UPSTREAMS`, for local use only).
    pub allow_private_upstreams: bool,
    /// Origin of all URLs that the registry hands out (`PUBLIC_URL`); else the request's own.
    pub public_url: Option<String>,
    /// Whether `X-Forwarded-Proto` says by which scheme the client asked (`TRUST_PROXY`): something in front, which sets it,
    /// ends TLS.
    pub trust_proxy: bool,
    /// The time between two syncs of a repository that nobody asked for (`SYNC_INTERVAL_SECONDS`).
    pub sync_interval: Duration,
}

/// Rest between two syncs of a repository: a push is told by the sync endpoint at once, this only catches what nobody
/// told. One upstream request and two statements each time.
pub const DEFAULT_SYNC_INTERVAL: Duration = Duration::from_mins(10);

impl Default for Config {
    fn default() -> Self {
        Self {
            admin_token: None,
            keyring: Keyring::default(),
            allow_private_upstreams: false,
            public_url: None,
            trust_proxy: false,
            sync_interval: DEFAULT_SYNC_INTERVAL,
        }
    }
}

/// How often it is tried again to get what is taken.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The registry as one request or one queue message sees it.
#[derive(Clone)]
pub struct App {
    /// The outside.
    pub ports: Ports,
    /// The operator's settings.
    pub config: Arc<Config>,
    /// What this isolate caches between requests.
    pub memory: Arc<Memory>,
}

impl App {
    /// Now.
    pub fn now(&self) -> Millis {
        self.ports.clock.now()
    }

    /// Which addresses may be asked.
    pub fn address_policy(&self) -> AddressPolicy {
        if self.config.allow_private_upstreams { AddressPolicy::Anywhere } else { AddressPolicy::Public }
    }

    /// Waits for one of the isolate's permits with these names; `None` when none gets free within `timeout`.
    pub fn acquire_permit<'a>(&'a self, names: &'a [&'a str], timeout: Duration) -> BoxFuture<'a, Option<Permit>> {
        Box::pin(self.acquire(timeout, move |now| {
            let permit = names.iter().find_map(|name| self.memory.try_acquire_permit(name, now));
            if permit.is_none() {
                for name in names {
                    self.memory.note_awaited(name, now);
                }
            }
            permit
        }))
    }

    /// Waits for something of the isolate's that others have just now, which `attempt` gives when it is free; `None` when that
    /// is not so within `timeout`. It is polled: a request cannot be woken by another one in workerd.
    pub async fn acquire<T>(&self, timeout: Duration, attempt: impl Fn(Millis) -> Option<T>) -> Option<T> {
        for _ in 0..timeout.as_millis() / POLL_INTERVAL.as_millis() {
            if let Some(acquired) = attempt(self.now()) {
                return Some(acquired);
            }
            self.ports.clock.sleep(POLL_INTERVAL).await;
        }
        None
    }

    /// Puts `job` on its queue. A queue that does not answer is no failure: what is due is found again by cron.
    pub async fn enqueue(&self, job: Job, delay: Duration) {
        self.enqueue_all(&[job], delay).await;
    }

    /// Puts any number of jobs on their queues, with as few calls as those allow. One that fails does not keep the others.
    pub async fn enqueue_all(&self, jobs: &[Job], delay: Duration) {
        for queue in JobQueue::ALL {
            let of_queue: Vec<Job> = jobs.iter().filter(|job| job.queue() == queue).cloned().collect();
            for jobs in of_queue.chunks(MAX_JOBS) {
                if let Err(fault) = self.ports.tasks.enqueue(queue, jobs.to_vec(), delay).await {
                    log::warn!("{} job(s) left to cron: {fault}", jobs.len());
                }
            }
        }
    }
}
