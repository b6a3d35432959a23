//! Between the runtime's requests and responses and `http`'s.
//!
//! Turning every response into a JavaScript stream would lose `Content-Length` and make a 20 MB download 8 to 20
//! times slower than the runtime's own stream. So: a stream of the runtime passes through untouched, a body whose
//! size is known goes as bytes, and only the rest becomes a stream.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use js_sys::futures::{JsFuture, spawn_local};
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, ReadableStream, ReadableStreamDefaultReader};
use worker::send::{SendFuture, SendWrapper};

use super::http_client::Deadline;
use crate::http::kit::pass_through::PassThrough;
use crate::ports::{BoxFuture, ByteStream, Fault, SingleChunk};

// ---------------------------------------------------------------------------------------------- requests

/// The runtime's request as ours. The body stays a stream: reading it, and how much of it, is the reader's business. A
/// header that HTTP does not allow is left out.
pub fn read(request: &web_sys::Request) -> Result<Request<Body>, String> {
    let head = head_of(request);
    let mut lines = head.split('\n');
    let method = Method::from_bytes(lines.next().unwrap_or_default().as_bytes()).map_err(|e| e.to_string())?;
    let uri = lines.next().unwrap_or_default().parse::<Uri>().map_err(|e| e.to_string())?;
    let body = request.body().map_or_else(Body::empty, |stream| Body::new(worker::Body::new(stream)));
    let mut ours = Request::new(body);
    *ours.method_mut() = method;
    *ours.uri_mut() = uri;
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            ours.headers_mut().append(name, value);
        }
    }
    Ok(ours)
}

/// The answer to a request that [`read`] could not make sense of.
pub fn refuse(reason: &str) -> worker::Result<web_sys::Response> {
    let text = format!("Bad request: {reason}\n");
    Ok(respond(StatusCode::BAD_REQUEST.as_u16(), "", -1, &JsValue::from(text))?)
}

// ---------------------------------------------------------------------------------------------- responses

/// The one header in which warm answers differ from the answer before; it crosses over by itself.
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// Our response to a request with `method`, as the runtime's.
pub async fn write(response: Response<Body>, method: &Method) -> worker::Result<web_sys::Response> {
    let (mut parts, body) = response.into_parts();
    let headers_only = method == Method::HEAD;
    // The runtime counts bytes itself, when it is given any.
    match (headers_only, body.size_hint().exact()) {
        (true, Some(size @ 1..)) => drop(parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| size.into())),
        (false, Some(1..)) => drop(parts.headers.remove(CONTENT_LENGTH)),
        _ => {}
    }
    let content = content(&mut parts, body, headers_only).await?;
    let remaining = parts.headers.remove(REMAINING).and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(-1);
    Ok(respond(parts.status.as_u16(), &head_text(&parts.headers), remaining, &content)?)
}

/// The body as the runtime takes it.
async fn content(parts: &mut Parts, body: Body, headers_only: bool) -> worker::Result<JsValue> {
    // The Fetch standard refuses a body with these three.
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    if headers_only || bodiless.contains(&parts.status) {
        return Ok(JsValue::NULL);
    }
    if let Some(stream) = parts.extensions.remove::<PassThrough>().and_then(|shared| shared.take()) {
        return hand_over(stream.into_any());
    }
    if body.size_hint().exact().is_some() {
        let bytes = body.collect().await.map_err(|e| worker::Error::from(e.to_string()))?.to_bytes();
        return Ok(bytes_or_null(&bytes));
    }
    Ok(worker::Body::from_stream(body.into_data_stream())?.into_inner().into())
}

/// A port's stream: the runtime's own untouched, one in memory as bytes.
fn hand_over(stream: Box<dyn Any + Send>) -> worker::Result<JsValue> {
    let stream = match stream.downcast::<NativeStream>() {
        Ok(native) => return Ok(native.into_inner().into()),
        Err(other) => other,
    };
    match stream.downcast::<SingleChunk>() {
        Ok(whole) => Ok(bytes_or_null(&whole.0.unwrap_or_default())),
        Err(_) => Err(worker::Error::from("a stream was passed through that no port of this room made")),
    }
}

fn bytes_or_null(bytes: &Bytes) -> JsValue {
    if bytes.is_empty() { JsValue::NULL } else { Uint8Array::from(&bytes[..]).into() }
}

// ---------------------------------------------------------------------------------------------- headers

#[wasm_bindgen(module = "/src/cloudflare/bridge.js")]
extern "C" {
    /// The method, the URL, and each header's name and value, a line each.
    #[wasm_bindgen(js_name = headOf)]
    fn head_of(request: &web_sys::Request) -> String;

    /// A response; `head` as [`head_text`] writes it, `remaining` is what is left of the caller's quota (negative: not to
    /// be said), `body` is null, bytes, text or a stream.
    #[wasm_bindgen(catch)]
    fn respond(status: u16, head: &str, remaining: i32, body: &JsValue) -> Result<web_sys::Response, JsValue>;

    /// A response of the platform's, with the headers that ours all have.
    #[wasm_bindgen(catch, js_name = asOurs)]
    pub fn as_ours(response: &web_sys::Response) -> Result<web_sys::Response, JsValue>;

    /// `stream`, which has `length` bytes, as one whose length is known.
    #[wasm_bindgen(catch, js_name = ofLength)]
    fn of_length(stream: &JsValue, length: f64) -> Result<ReadableStream, JsValue>;
}

/// Each header's name and value, with line breaks between them.
fn head_text(map: &HeaderMap) -> String {
    let mut text = String::with_capacity(64 * map.len());
    for (name, value) in map {
        for field in [name.as_str(), &String::from_utf8_lossy(value.as_bytes())] {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(field);
        }
    }
    text
}

/// The runtime's headers as ours. A header that HTTP does not allow is left out.
pub fn header_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for entry in headers.entries().into_iter().flatten() {
        let pair = entry.unchecked_into::<Array>();
        let (Some(name), Some(value)) = (pair.get(0).as_string(), pair.get(1).as_string()) else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
    map
}

/// Our headers as the runtime's.
pub fn js_headers(map: &HeaderMap) -> Result<Headers, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in map {
        headers.append(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))?;
    }
    Ok(headers)
}

// ---------------------------------------------------------------------------------------------- streams

/// A stream the runtime holds: an R2 object, an upstream's response.
pub struct NativeStream {
    stream: Option<SendWrapper<ReadableStream>>,
    reader: Option<SendWrapper<ReadableStreamDefaultReader>>,
    limit: Option<Deadline>,
    port: &'static str,
}

impl NativeStream {
    /// `stream`, whose faults are `port`'s.
    pub fn new(stream: ReadableStream, port: &'static str) -> Self {
        Self { stream: Some(SendWrapper::new(stream)), reader: None, limit: None, port }
    }

    /// The same stream, each piece of which has to come within `limit`.
    pub fn limited(mut self, limit: Deadline) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The runtime's stream, for the runtime.
    fn into_inner(mut self) -> Option<ReadableStream> {
        if let Some(reader) = self.reader.take() {
            reader.release_lock();
        }
        self.stream.take().map(|stream| stream.0)
    }

    async fn read(&mut self) -> Result<Option<Bytes>, String> {
        let Some(stream) = &self.stream else { return Ok(None) };
        let reader = if let Some(reader) = &self.reader {
            reader
        } else {
            let reader = ReadableStreamDefaultReader::new(stream).map_err(describe)?;
            self.reader.insert(SendWrapper::new(reader))
        };
        let answer = JsFuture::from(reader.read());
        let answer = match &self.limit {
            Some(limit) => limit.hold(answer).await?,
            None => answer.await,
        }
        .map_err(describe)?;
        if Reflect::get(&answer, &"done".into()).map_err(describe)?.is_truthy() {
            self.stream = None;
            return Ok(None);
        }
        let piece = Reflect::get(&answer, &"value".into()).map_err(describe)?;
        Ok(Some(Bytes::from(piece.unchecked_into::<Uint8Array>().to_vec())))
    }
}

impl ByteStream for NativeStream {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(SendFuture::new(async move {
            let port = self.port;
            self.read().await.map_err(|reason| Fault::new(port, reason)).transpose()
        }))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Drop for NativeStream {
    /// Hangs up when nobody wants the rest: a response that is left unread holds one of the few connections that
    /// the runtime grants each request.
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let hung_up = match self.reader.take() {
            Some(reader) => reader.cancel(),
            None => stream.cancel(),
        };
        spawn_local(async move { drop(JsFuture::from(hung_up).await) });
    }
}

/// The pieces of a body, one after the other.
struct ChunkIterator(std::vec::IntoIter<Bytes>);

impl http_body::Body for ChunkIterator {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

/// `pieces` as a stream whose length the runtime knows; each is given up as soon as it has crossed over.
pub fn stream_of(pieces: Vec<Bytes>) -> worker::Result<ReadableStream> {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let body = Body::new(ChunkIterator(pieces.into_iter()));
    let stream = worker::Body::from_stream(body.into_data_stream())?;
    #[expect(clippy::cast_precision_loss, reason = "what fits the memory is exact as a double")]
    Ok(of_length(&stream.into_inner().into(), length as f64)?)
}

/// What JavaScript threw, as text for the log.
pub fn describe(thrown: impl Into<JsValue>) -> String {
    worker::Error::from(thrown.into()).to_string()
}
