//! The Cloudflare room: the Worker's entry points, and the ports on D1, R2, KV, `fetch` and queues.
//!
//! The only room that names the `worker` crate. It decides nothing: an event is turned into plain types, handed
//! leftwards, and the answer is turned back.
//!
//! * [`fetch`]: an HTTP request, through [`bridge`].
//! * [`scheduled`]: the cron trigger.
//! * [`queue`]: jobs; a job that fails is retried later, as often as `wrangler.toml` says.
//!
//! JavaScript values cannot move between threads, and a Worker has only one; `SendFuture` and `SendWrapper` say so
//! where a port's signature asks for `Send`.

mod bridge;
mod clock;
mod d1;
mod entropy;
mod kv;
#[expect(dead_code, reason = "the handler that downloads is still to come")]
mod pass_through;
mod r2;
mod tasks;
mod upstream;

use std::sync::Arc;

use axum::body::Body;
use worker::{Context, Env, MessageBatch, MessageExt, QueueRetryOptionsBuilder, ScheduleContext, ScheduledEvent};

use crate::ports::{Blobs, Cache, Clock, Database, Entropy, Job, Tasks, Upstream};

/// How long a failed job waits before it is tried again.
const RETRY_SECONDS: u32 = 60;

/// Everything from outside that one event may use.
#[derive(Clone)]
#[expect(dead_code, reason = "the router that takes `respond`'s place uses them")]
pub struct Ports {
    /// D1.
    pub database: Arc<dyn Database>,
    /// R2.
    pub blobs: Arc<dyn Blobs>,
    /// KV.
    pub cache: Arc<dyn Cache>,
    /// `fetch`.
    pub upstream: Arc<dyn Upstream>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// `waitUntil` and the queue.
    pub tasks: Arc<dyn Tasks>,
}

/// What the operator set: variables of `wrangler.toml`, and secrets.
#[derive(Clone, Default)]
#[expect(dead_code, reason = "the router that takes `respond`'s place uses them")]
pub struct Settings {
    /// The token that may do everything.
    pub admin_token: Option<String>,
    /// The key that seals stored credentials.
    pub encryption_key: Option<String>,
    /// Whether sources on loopback and private networks may be asked. Never set in production.
    pub allow_private_upstreams: bool,
}

/// The ports of one event.
fn ports(env: &Env, event: tasks::Event) -> worker::Result<Ports> {
    Ok(Ports {
        database: Arc::new(d1::D1::new(env.d1("DB")?)),
        blobs: Arc::new(r2::R2::new(env.bucket("ARTIFACTS")?)),
        cache: Arc::new(kv::Kv::new(env.kv("KV")?)),
        upstream: Arc::new(upstream::Fetch),
        clock: Arc::new(clock::WallClock),
        entropy: Arc::new(entropy::WebCrypto),
        tasks: Arc::new(tasks::EventTasks::new(event, env.queue("JOBS")?)),
    })
}

/// What the operator set; an empty variable counts as unset.
fn settings(env: &Env) -> Settings {
    let text = |name| env.var(name).ok().map(|value| value.to_string()).filter(|value| !value.is_empty());
    Settings {
        admin_token: text("ADMIN_TOKEN"),
        encryption_key: text("ENCRYPTION_KEY"),
        allow_private_upstreams: text("ALLOW_PRIVATE_UPSTREAMS").as_deref() == Some("true"),
    }
}

#[worker::event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let ports = ports(&env, tasks::Event::Request(context))?;
    match bridge::read(&request) {
        Ok(request) => {
            let method = request.method().clone();
            bridge::write(respond(request, ports, settings(&env)).await, &method).await
        }
        Err(reason) => bridge::refuse(&reason),
    }
}

#[worker::event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, context: ScheduleContext) {
    match ports(&env, tasks::Event::Schedule(context)) {
        Ok(ports) => tick(ports, settings(&env)).await,
        Err(reason) => worker::console_error!("scheduled: {reason}"),
    }
}

#[worker::event(queue)]
async fn queue(batch: MessageBatch<String>, env: Env, context: Context) -> worker::Result<()> {
    let ports = match ports(&env, tasks::Event::Request(context)) {
        Ok(ports) => ports,
        Err(reason) => {
            // An `Err` from here would abort the whole isolate; the messages simply come again.
            worker::console_error!("queue: {reason}");
            batch.retry_all();
            return Ok(());
        }
    };
    for message in batch.raw_iter() {
        let Some(job) = message.body().as_string().and_then(|text| serde_json::from_str::<Job>(&text).ok()) else {
            worker::console_error!("queue: message {} is no job and is dropped", message.id());
            message.ack();
            continue;
        };
        match perform(job, ports.clone(), settings(&env)).await {
            Ok(()) => message.ack(),
            Err(reason) => {
                worker::console_error!("queue: message {} failed: {reason}", message.id());
                message.retry_with_options(&QueueRetryOptionsBuilder::new().with_delay_seconds(RETRY_SECONDS).build());
            }
        }
    }
    Ok(())
}

/// Answers one request. The router takes this place.
#[expect(clippy::unused_async, reason = "the router that takes this place is asynchronous")]
async fn respond(request: http::Request<Body>, _ports: Ports, _settings: Settings) -> http::Response<Body> {
    let healthy = request.uri().path() == "/health";
    let (status, body) = if healthy { (200, r#"{"status":"ok"}"#) } else { (404, r#"{"error":"not found"}"#) };
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap_or_default()
}

/// What is done at every tick of the cron trigger. The registry takes this place.
#[expect(clippy::unused_async, reason = "the registry that takes this place is asynchronous")]
async fn tick(_ports: Ports, _settings: Settings) {}

/// Does one job of the queue. The registry takes this place.
#[expect(clippy::unused_async, reason = "the registry that takes this place is asynchronous")]
async fn perform(_job: Job, _ports: Ports, _settings: Settings) -> Result<(), String> {
    Ok(())
}
