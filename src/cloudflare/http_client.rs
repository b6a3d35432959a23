//! HTTP out: the runtime's `fetch`.
//!
//! Redirects are handed back, never followed, and nothing is cached on the way. There are two timeouts: until the
//! head of the response is there, and again before each piece of its body.

use std::future::Future;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{Method, StatusCode};
use js_sys::Uint8Array;
use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, RequestCache, RequestInit, RequestRedirect, Response, WorkerGlobalScope};
use worker::send::{SendFuture, SendWrapper};

use super::bridge::{NativeStream, describe, header_map, js_headers};
use super::clock::WallClock;
use crate::ports::{BoxFuture, ByteStream, HttpClient, HttpClientError, HttpRequest, HttpResponse, SingleChunk};
use crate::registry::kernel::pace::within;

/// `fetch`, one request at a time.
pub struct Fetch;

impl HttpClient for Fetch {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, HttpClientError>> {
        Box::pin(SendFuture::new(send(request)))
    }
}

async fn send(request: HttpRequest) -> Result<HttpResponse, HttpClientError> {
    let time_limit = request.timeout;
    let controller = AbortController::new().map_err(unreachable)?;
    let init = init(&request, &controller).map_err(unreachable)?;
    let global = js_sys::global().unchecked_into::<WorkerGlobalScope>();
    let answer = JsFuture::from(global.fetch_with_str_and_init(request.url.as_str(), &init));
    let Some(answer) = within(&WallClock, time_limit, answer).await else {
        controller.abort();
        return Err(HttpClientError::TimedOut(time_limit));
    };
    let response = answer.map_err(unreachable)?.unchecked_into::<Response>();
    let status = StatusCode::from_u16(response.status()).map_err(|e| HttpClientError::Unreachable(e.to_string()))?;
    let mut headers = header_map(&response.headers());
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip" || encoding == "br") {
        // The runtime has undone the encoding, so the length of what it received tells nothing any more. It hands on any
        // other encoding as it is.
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    let body: Box<dyn ByteStream> = match response.body() {
        Some(stream) => {
            let limit = Deadline { timeout: time_limit, controller: SendWrapper::new(controller) };
            Box::new(NativeStream::new(stream, "upstream").limited(limit))
        }
        None => Box::new(SingleChunk(None)),
    };
    Ok(HttpResponse { status, headers, body })
}

fn init(request: &HttpRequest, controller: &AbortController) -> Result<RequestInit, JsValue> {
    let init = RequestInit::new();
    init.set_method(request.method.as_str());
    let headers = js_headers(&request.headers)?;
    init.set_headers(&headers);
    init.set_redirect(RequestRedirect::Manual);
    init.set_cache(RequestCache::NoStore);
    init.set_signal(Some(&controller.signal()));
    if request.method != Method::GET {
        init.set_body(&Uint8Array::from(&request.body[..]));
    }
    Ok(init)
}

fn unreachable(reason: impl Into<JsValue>) -> HttpClientError {
    let reason = describe(reason);
    HttpClientError::Unreachable(reason.trim_start_matches("Error: ").trim_end_matches('.').to_owned())
}

/// How long each piece of a body may take, and how to hang up when it takes longer.
pub struct Deadline {
    timeout: Duration,
    controller: SendWrapper<AbortController>,
}

impl Deadline {
    /// `work`'s result, or the sentence that says it took too long; then the connection is closed.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let result = within(&WallClock, self.timeout, work).await;
        result.ok_or_else(|| {
            self.controller.abort();
            format!("nothing came within {} s", self.timeout.as_secs())
        })
    }
}
