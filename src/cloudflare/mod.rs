//! The Cloudflare room: the Worker's entry points, and the ports on D1, R2, KV, `fetch` and queues.
//!
//! The only room that names the `worker` crate. It decides nothing: an event is turned into plain types, handed
//! leftwards, and the answer is turned back.
//!
//! * [`fetch`]: an HTTP request, through [`bridge`], or the static asset that it asks for.
//! * [`scheduled`]: the cron trigger.
//! * [`queue`]: jobs of both queues; a job that fails is retried later, as often as `wrangler.toml` says.
//!
//! JavaScript values cannot move between threads, and a Worker has only one; `SendFuture` and `SendWrapper` say so
//! where a port's signature asks for `Send`.

mod assets;
mod bridge;
mod clock;
mod console;
mod d1;
mod entropy;
mod http_client;
mod isolate;
mod kv;
mod r2;
mod rate_limiter;
mod relay;
mod tasks;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use js_sys::futures::future_to_promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{
    Context, Env, MessageBatch, MessageExt, QueueRetryOptionsBuilder, ScheduleContext, ScheduledEvent, worker_sys,
};

use self::relay::Relay;
use crate::http::assets::StaticAsset;
use crate::ports::Job;
use crate::registry::kernel::failure::Failure;
use crate::registry::operations::cron;
use crate::registry::operations::jobs::perform;

/// How long a failed job waits before it is tried again.
const RETRY_SECONDS: u32 = 60;

/// Answers a request. Most are answered from memory, without waiting for anything: such an answer is returned as it
/// is, because a promise and a turn of the event loop cost more than making it. Only an answer that has to wait becomes
/// a promise. (`worker::event` would always make one.)
#[wasm_bindgen(js_name = fetch)]
pub fn fetch(request: web_sys::Request, env: Env, context: worker_sys::Context) -> Result<JsValue, JsValue> {
    let mut answer = Box::pin(async move { Ok(answer(request, env, Context::new(context)).await?.into()) });
    let relay = Arc::new(Relay::default());
    let waker = Waker::from(relay.clone());
    match answer.as_mut().poll(&mut task::Context::from_waker(&waker)) {
        Poll::Ready(response) => response,
        Poll::Pending => Ok(future_to_promise(poll_fn(move |context| {
            relay.wakes(context.waker());
            answer.as_mut().poll(&mut task::Context::from_waker(&waker))
        }))
        .into()),
    }
}

/// The answer, or an error that the runtime turns into a bare `500`.
async fn answer(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let mut ours = match bridge::read(&request) {
        Ok(ours) => ours,
        Err(reason) => return bridge::refuse(&reason),
    };
    let method = ours.method().clone();
    ours.extensions_mut().insert(isolate::app(&env, tasks::Event::Request(context))?);
    let response = isolate::respond(ours).await;
    if response.extensions().get::<StaticAsset>().is_some()
        && let Some(asset) = assets::find(&env, &request).await
    {
        return Ok(bridge::as_ours(&asset)?);
    }
    bridge::write(response, &method).await
}

#[worker::event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, context: ScheduleContext) {
    let due = match isolate::app(&env, tasks::Event::Schedule(context)) {
        Ok(app) => cron::run_scheduled(&app).await.map_err(|failure| explain(&failure)),
        Err(reason) => Err(reason.to_string()),
    };
    if let Err(reason) = due {
        log::error!("scheduled: {reason}");
    }
}

#[worker::event(queue)]
async fn queue(batch: MessageBatch<String>, env: Env, context: Context) -> worker::Result<()> {
    let app = match isolate::app(&env, tasks::Event::Request(context)) {
        Ok(app) => app,
        Err(reason) => {
            // An `Err` from here would abort the whole isolate; the messages simply come again.
            worker::console_error!("queue: {reason}");
            batch.retry_all();
            return Ok(());
        }
    };
    for message in batch.raw_iter() {
        let Some(job) = message.body().as_string().and_then(|text| serde_json::from_str::<Job>(&text).ok()) else {
            log::error!("queue: message {} is no job and is dropped", message.id());
            message.ack();
            continue;
        };
        match perform(&app, job).await {
            Ok(()) => message.ack(),
            Err(failure) => {
                log::error!("queue: message {} failed: {}", message.id(), explain(&failure));
                message.retry_with_options(&QueueRetryOptionsBuilder::new().with_delay_seconds(RETRY_SECONDS).build());
            }
        }
    }
    Ok(())
}

/// A failure for the log: what a client would be told, and the cause that it would not.
fn explain(failure: &Failure) -> String {
    match &failure.source {
        Some(source) => format!("{}: {source}", failure.detail),
        None => failure.detail.clone(),
    }
}
