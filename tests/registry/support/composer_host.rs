//! Composer repositories of other people: documents and zips at addresses, conditional requests, logins, and everything
//! that can go wrong.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rostrum::ports::{
    BoxFuture, ByteStream, Fault, HttpClient, HttpClientError, HttpRequest, HttpResponse, SingleChunk,
};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use url::Url;

use super::environment::ManualClock;
use super::git_host::{GitHost, HostFault, busy};
use super::lfs_host::LfsHost;
use super::meter::PortMeter;
use super::registries::{Registries, answer};

/// One request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    pub url: String,
    pub authorization: Option<String>,
    /// Whether it came on condition that something has changed.
    pub is_conditional: bool,
    pub status: u16,
}

/// What was posted.
#[derive(Debug, Clone)]
pub struct RecordedPost {
    pub url: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

struct Document {
    body: Bytes,
    /// Counts its changes.
    revision: usize,
    /// Its `Content-Encoding`.
    encoding: Option<&'static str>,
}

#[derive(Default)]
struct State {
    documents: HashMap<String, Document>,
    /// Origin → the `Authorization` that it wants.
    logins: HashMap<String, String>,
    /// Part of an address → what happens there.
    faults: Vec<(String, HostFault)>,
    requests: Vec<RecordedRequest>,
    posted: Vec<RecordedPost>,
    no_validators: bool,
    /// How much longer than it is everything is said to be; `None` when nothing is said.
    length_lie: Option<usize>,
    paused: Option<Paused>,
    rate_limit: Option<RateLimit>,
    drip: Option<Drip>,
    /// Requests that are being answered, and the most that ever were.
    under_way: usize,
    most_under_way: usize,
}

/// Requests that wait, to addresses with `part` in them: the first one, or all.
struct Paused {
    part: String,
    has_come: bool,
    holds_all: bool,
}

/// Bodies come in pieces of so many bytes, and this much time goes by before each.
#[derive(Clone)]
pub struct Drip {
    pub clock: Arc<ManualClock>,
    pub piece: usize,
    pub pause: Duration,
}

struct RateLimit {
    /// Requests that are let through first, and those that are refused then.
    allowed: usize,
    refused: usize,
    retry_after: String,
}

impl RateLimit {
    fn refuses(&mut self) -> bool {
        if self.allowed > 0 {
            self.allowed -= 1;
            return false;
        }
        let is_refused = self.refused > 0;
        self.refused -= usize::from(is_refused);
        is_refused
    }
}

/// The servers, whatever their names.
#[derive(Clone)]
pub struct ComposerHost {
    state: Arc<Mutex<State>>,
    meter: PortMeter,
}

impl ComposerHost {
    pub fn new(meter: PortMeter) -> Self {
        let state = State { length_lie: Some(0), ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), meter }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Puts something at an address.
    pub fn put(&self, url: &str, body: impl Into<Bytes>) {
        self.put_encoded(url, None, body);
    }

    /// Puts something at an address that is sent with this `Content-Encoding`.
    pub fn put_encoded(&self, url: &str, encoding: Option<&'static str>, body: impl Into<Bytes>) {
        let mut state = self.state();
        let revision = state.documents.get(url).map_or(1, |document| document.revision + 1);
        state.documents.insert(url.to_owned(), Document { body: body.into(), revision, encoding });
    }

    pub fn put_json(&self, url: &str, document: &Value) {
        self.put(url, document.to_string());
    }

    /// What was put at an address.
    pub fn take(&self, url: &str) -> Bytes {
        self.state().documents.remove(url).expect("it was put there").body
    }

    pub fn remove(&self, url: &str) {
        self.state().documents.remove(url);
    }

    /// A repository that is asked by name.
    pub fn lazy(&self, origin: &str) {
        self.put_json(
            &format!("{origin}/packages.json"),
            &json!({"packages": [], "metadata-url": "/p2/%package%.json"}),
        );
    }

    /// The versions of a package in a repository that is asked by name, minified, divided by stability.
    pub fn publish(&self, origin: &str, name: &str, versions: &[Value]) {
        let is_dev = |version: &&Value| version["version"].as_str().is_some_and(|text| text.contains("dev"));
        let (dev, stable): (Vec<&Value>, Vec<&Value>) = versions.iter().partition(is_dev);
        for (part, versions) in [("", stable), ("~dev", dev)] {
            let maps = versions.iter().map(|version| version.as_object().expect("an object").clone()).collect();
            let minified = composer::minify(maps);
            let document = json!({"minified": "composer/2.0", "packages": {name: minified}});
            self.put_json(&format!("{origin}/p2/{name}{part}.json"), &document);
        }
    }

    pub fn unpublish(&self, origin: &str, name: &str) {
        self.remove(&format!("{origin}/p2/{name}.json"));
        self.remove(&format!("{origin}/p2/{name}~dev.json"));
    }

    pub fn require_basic(&self, origin: &str, user: &str, password: &str) {
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        self.state().logins.insert(origin.to_owned(), wanted);
    }

    pub fn require_bearer(&self, origin: &str, token: &str) {
        self.state().logins.insert(origin.to_owned(), format!("Bearer {token}"));
    }

    /// Every request to an address with `part` in it ends so, until [`ComposerHost::recover`].
    pub fn inject_fault(&self, part: &str, fault: HostFault) {
        self.state().faults.push((part.to_owned(), fault));
    }

    pub fn recover(&self) {
        self.state().faults.clear();
    }

    /// Lets `allowed` requests through, and answers the next `refused` ones with 429 and a `Retry-After`.
    pub fn limit_rate(&self, allowed: usize, refused: usize, retry_after: &str) {
        self.state().rate_limit = Some(RateLimit { allowed, refused, retry_after: retry_after.to_owned() });
    }

    /// The most requests that were being answered at once.
    pub fn most_under_way(&self) -> usize {
        self.state().most_under_way
    }

    /// From now on no response has an `ETag` or a `Last-Modified`.
    pub fn without_validators(&self) {
        self.state().no_validators = true;
    }

    /// From now on everything is said to be so much longer than it is; `None`: nothing is said.
    pub fn say_length(&self, lie: Option<usize>) {
        self.state().length_lie = lie;
    }

    /// From now on bodies come in pieces of so many bytes, one in each `pause`.
    pub fn drip(&self, clock: &Arc<ManualClock>, piece: usize, pause: Duration) {
        self.state().drip = Some(Drip { clock: clock.clone(), piece, pause });
    }

    /// The next request to an address with `part` in it waits until [`ComposerHost::resume`].
    pub fn pause(&self, part: &str) {
        self.state().paused = Some(Paused { part: part.to_owned(), has_come: false, holds_all: false });
    }

    /// The same of every such request.
    pub fn pause_all(&self, part: &str) {
        self.state().paused = Some(Paused { part: part.to_owned(), has_come: false, holds_all: true });
    }

    pub fn resume(&self) {
        self.state().paused = None;
    }

    /// Waits until a request waits.
    pub async fn until_paused(&self) {
        for _ in 0..10_000 {
            if self.state().paused.as_ref().is_some_and(|paused| paused.has_come) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("no request came");
    }

    /// The requests since the last call of this.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut self.state().requests)
    }

    /// What was posted since the last call of this.
    pub fn take_posts(&self) -> Vec<RecordedPost> {
        std::mem::take(&mut self.state().posted)
    }

    /// Their addresses.
    pub fn take_urls(&self) -> Vec<String> {
        self.take_requests().into_iter().map(|requests| requests.url).collect()
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpClientError> {
        self.meter.count(|calls| calls.upstream += 1);
        let url = request.url.to_string();
        if request.method == Method::POST {
            let (headers, body) = (request.headers.clone(), request.body.clone());
            self.state().posted.push(RecordedPost { url: url.clone(), headers, body });
        }
        {
            let mut state = self.state();
            state.under_way += 1;
            state.most_under_way = state.most_under_way.max(state.under_way);
        }
        tokio::task::yield_now().await;
        self.wait_if_paused(&url).await;
        let text = |name: HeaderName| request.headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let (authorization, etag, since) = (text(AUTHORIZATION), text(IF_NONE_MATCH), text(IF_MODIFIED_SINCE));
        let result = self.respond(&request, authorization.as_deref(), etag.as_deref(), since.as_deref());
        let mut state = self.state();
        state.under_way -= 1;
        state.requests.push(RecordedRequest {
            url,
            authorization,
            is_conditional: etag.is_some() || since.is_some(),
            status: result.as_ref().map_or(0, |response| response.status.as_u16()),
        });
        result
    }

    async fn wait_if_paused(&self, url: &str) {
        match &mut self.state().paused {
            Some(paused) if (paused.holds_all || !paused.has_come) && url.contains(&paused.part) => {
                paused.has_come = true;
            }
            _ => return,
        }
        while self.state().paused.is_some() {
            tokio::task::yield_now().await;
        }
    }

    fn respond(
        &self,
        request: &HttpRequest,
        authorization: Option<&str>,
        etag: Option<&str>,
        since: Option<&str>,
    ) -> Result<HttpResponse, HttpClientError> {
        let mut state = self.state();
        if let Some(limit) = &mut state.rate_limit
            && limit.refuses()
        {
            return Ok(busy(429, &limit.retry_after));
        }
        let url = request.url.as_str();
        let fault = state.faults.iter().find(|(part, _)| url.contains(part.as_str())).map(|(_, fault)| fault);
        match fault {
            Some(HostFault::Status(status)) => {
                return Ok(plain(*status, Bytes::from_static(b"{\"error\":\"in our words\"}")));
            }
            Some(HostFault::Busy(status, retry_after)) => return Ok(busy(*status, retry_after)),
            Some(HostFault::Html) => {
                return Ok(plain(200, Bytes::from_static(b"<!doctype html><title>Sign in</title>")));
            }
            Some(HostFault::Unreachable) => return Err(HttpClientError::Unreachable("connection refused".to_owned())),
            Some(HostFault::TimedOut) => return Err(HttpClientError::TimedOut(request.timeout)),
            Some(HostFault::Redirect(target)) => {
                let mut response = plain(302, Bytes::new());
                response.headers.insert(LOCATION, HeaderValue::try_from(target).expect("a URL"));
                return Ok(response);
            }
            Some(HostFault::Says(bytes)) => return Ok(plain(200, Bytes::from(bytes.clone()))),
            Some(HostFault::BrokenOff | HostFault::Truncated | HostFault::Corrupted) | None => {}
        }
        let wanted = state.logins.iter().find(|(origin, _)| url.starts_with(&format!("{origin}/")));
        if wanted.is_some_and(|(_, wanted)| authorization != Some(wanted)) {
            return Ok(plain(401, Bytes::from_static(b"{\"message\":\"who are you?\"}")));
        }
        let Some(document) = state.documents.get(url) else { return Ok(plain(404, Bytes::from_static(b"{}"))) };
        let tag = format!("\"{}\"", document.revision);
        let date = httpdate::fmt_http_date(
            std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + document.revision as u64),
        );
        if etag == Some(&tag) || (etag.is_none() && since == Some(&date)) {
            return Ok(plain(304, Bytes::new()));
        }
        let mut response = body_in(fault, &document.body);
        if let Some(drip) = &state.drip {
            response.body = Box::new(DrippingBody { rest: document.body.clone(), drip: drip.clone() });
        }
        if !state.no_validators {
            response.headers.insert(ETAG, HeaderValue::try_from(tag).expect("a tag"));
            response.headers.insert(LAST_MODIFIED, HeaderValue::try_from(date).expect("a date"));
        }
        if let Some(encoding) = document.encoding {
            response.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if let Some(lie) = state.length_lie {
            response.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.body.len() + lie));
        }
        Ok(response)
    }
}

/// A body as it arrives with that fault.
fn body_in(fault: Option<&HostFault>, body: &Bytes) -> HttpResponse {
    let half = body.slice(..body.len() / 2);
    match fault {
        Some(HostFault::BrokenOff) => {
            let mut response = plain(200, Bytes::new());
            response.body = Box::new(ChunkedBodyStub(vec![Err(Fault::new("upstream", "connection reset")), Ok(half)]));
            response
        }
        Some(HostFault::Truncated) => plain(200, half),
        Some(HostFault::Corrupted) => {
            let mut bytes = body.to_vec();
            let at = bytes.len() / 2;
            bytes[at] ^= 0xff;
            plain(200, Bytes::from(bytes))
        }
        _ => {
            let mut response = plain(200, Bytes::new());
            // In pieces as a network has them.
            let pieces: Vec<_> = body.chunks(64 << 10).map(|piece| Ok(body.slice_ref(piece))).collect();
            response.body = Box::new(ChunkedBodyStub(pieces.into_iter().rev().collect()));
            response
        }
    }
}

fn plain(status: u16, body: Bytes) -> HttpResponse {
    let status = StatusCode::from_u16(status).expect("a status");
    HttpResponse { status, headers: HeaderMap::new(), body: Box::new(SingleChunk(Some(body))) }
}

/// A body that comes slowly.
pub struct DrippingBody {
    pub rest: Bytes,
    pub drip: Drip,
}

impl ByteStream for DrippingBody {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.drip.clock.advance(self.drip.pause);
            let piece = self.rest.split_to(self.rest.len().min(self.drip.piece));
            (!piece.is_empty()).then_some(Ok(piece))
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// Pieces that come from the last to the first.
struct ChunkedBodyStub(Vec<Result<Bytes, Fault>>);

impl ByteStream for ChunkedBodyStub {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.pop()
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}

/// Everything outside: LFS servers and git servers where an address names those, other registries where they are, Composer
/// repositories everywhere else.
pub struct TestNetwork {
    pub git: GitHost,
    pub composer: ComposerHost,
    pub lfs: LfsHost,
    pub registries: Registries,
}

impl HttpClient for TestNetwork {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, HttpClientError>> {
        if LfsHost::serves(&request.url) {
            self.lfs.send(request)
        } else if is_host_zip(&request.url) {
            Box::pin(self.composer.answer(request))
        } else if request.url.path().contains(".git/") || request.url.host_str() == Some("git.test") {
            self.git.send(request)
        } else if let Some(isolate) = self.registries.find(&request.url) {
            Box::pin(async move { Ok(answer(isolate, request).await) })
        } else {
            Box::pin(self.composer.answer(request))
        }
    }
}

/// Whether an address is where git hosts have zips of their own.
fn is_host_zip(url: &Url) -> bool {
    url.path().starts_with("/api/") || url.path().contains("/get/")
}

/// A version as a repository publishes it, with its zip at `{origin}/zips/{name}/{version}.zip`.
pub fn upstream_version(origin: &str, name: &str, version: &str) -> Value {
    let reference = hex::encode(Sha1::digest(format!("{name} {version}")));
    json!({
        "name": name, "version": version, "description": "From upstream", "type": "library",
        "source": {"type": "git", "url": format!("https://hidden.test/{name}.git"), "reference": reference},
        "dist": {
            "type": "zip", "url": format!("{origin}/zips/{name}/{version}.zip"), "reference": reference, "shasum": "",
        },
        "time": "2023-11-14T22:13:20+00:00",
    })
}

/// A zip with one file.
pub fn zip_of(content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file("composer.json", options).expect("a file");
    writer.write_all(content).expect("written");
    writer.finish().expect("a zip").into_inner()
}

/// SHA-1 as Composer writes it.
pub fn sha1_of(bytes: &[u8]) -> String {
    hex::encode(Sha1::digest(bytes))
}
