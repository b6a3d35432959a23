//! What lives as long as the isolate: the router, the operator's settings, the registry's memory, the bindings.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{clock, console, d1, entropy, http_client, kv, r2, rate_limiter, tasks};
use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use tower_service::Service;
use worker::Env;

use crate::http::router;
use crate::ports::RateLimiter;
use crate::registry::kernel::app::{App, Config, DEFAULT_SYNC_INTERVAL, Ports};
use crate::registry::kernel::memory::Memory;
use crate::registry::kernel::secrets::{Keyring, TokenHash};

/// What every event of an isolate shares.
struct Isolate {
    ports: SharedPorts,
    config: Arc<Config>,
    memory: Arc<Memory>,
    queues: tasks::Queues,
}

/// The ports that know nothing of the event; `tasks` is added for each.
struct SharedPorts {
    database: Arc<d1::D1>,
    blobs: Arc<r2::R2>,
    cache: Arc<kv::Kv>,
    rate_limiter: Option<Arc<dyn RateLimiter>>,
}

static ISOLATE: OnceLock<Isolate> = OnceLock::new();
static ROUTER: OnceLock<Router> = OnceLock::new();

/// The registry as one event sees it.
pub fn app(env: &Env, event: tasks::Event) -> worker::Result<App> {
    let isolate = if let Some(isolate) = ISOLATE.get() {
        isolate
    } else {
        let made = Isolate::new(env)?;
        ISOLATE.get_or_init(|| made)
    };
    let shared = &isolate.ports;
    Ok(App {
        ports: Ports {
            database: shared.database.clone(),
            blobs: shared.blobs.clone(),
            cache: shared.cache.clone(),
            rate_limiter: shared.rate_limiter.clone(),
            http_client: Arc::new(http_client::Fetch),
            clock: Arc::new(clock::WallClock),
            entropy: Arc::new(entropy::WebCrypto),
            tasks: Arc::new(tasks::EventTasks::new(event, isolate.queues.clone())),
        },
        config: isolate.config.clone(),
        memory: isolate.memory.clone(),
    })
}

/// Answers one request, which carries its [`App`] as an extension.
pub async fn respond(request: Request<Body>) -> Response<Body> {
    let mut router = ROUTER.get_or_init(router).clone();
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

impl Isolate {
    fn new(env: &Env) -> worker::Result<Self> {
        console::install();
        Ok(Self {
            ports: SharedPorts {
                database: Arc::new(d1::D1::new(env.d1("DB")?)),
                blobs: Arc::new(r2::R2::new(env.bucket("ARTIFACTS")?)),
                cache: Arc::new(kv::Kv::new(env.kv("KV")?)),
                rate_limiter: rate_limiter::RateLimiter::find(env, "CREDENTIAL_LOOKUPS")
                    .map(|limiter| Arc::new(limiter) as Arc<dyn RateLimiter>),
            },
            config: Arc::new(config(env)),
            memory: Arc::new(Memory::default()),
            queues: tasks::Queues { jobs: env.queue("JOBS")?, builds: env.queue("BUILDS")? },
        })
    }
}

/// What the operator has set: variables of `wrangler.toml`, and secrets. An empty one counts as unset; one that is no
/// good is told in the log and counts as unset too, so that the rest of the registry works.
fn config(env: &Env) -> Config {
    let text = |name| env.var(name).ok().map(|value| value.to_string()).filter(|value| !value.is_empty());
    let keyring = Keyring::parse(&text("ENCRYPTION_KEY").unwrap_or_default()).unwrap_or_else(|error| {
        log::error!("{error}");
        Keyring::default()
    });
    let admin_token =
        text("ADMIN_TOKEN").map(|token| TokenHash::of_admin(&token)).transpose().unwrap_or_else(|error| {
            log::error!("{error}");
            None
        });
    let seconds = text("SYNC_INTERVAL_SECONDS").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Config {
        admin_token,
        keyring,
        allow_private_upstreams: text("ALLOW_PRIVATE_UPSTREAMS").as_deref() == Some("true"),
        public_url: text("PUBLIC_URL").map(|url| url.trim_end_matches('/').to_owned()),
        trust_proxy: text("TRUST_PROXY").as_deref() == Some("true"),
        sync_interval: seconds.unwrap_or(DEFAULT_SYNC_INTERVAL),
    }
}
