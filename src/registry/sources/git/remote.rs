//! A git server as the registry talks to it: three kinds of request over the upstream port, counted as they go.

use std::time::Duration;

use bytes::Bytes;
use git::{
    ADVERTISEMENT_PATH, Capabilities, FetchError, FetchRequest, Pack, PackError, PackLimits, PackReceiver, RemoteRefs,
    UPLOAD_PACK_PATH, ls_refs_request, parse_ls_refs,
};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::ports::{Fault, HttpResponse};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::{Authorization, OutboundRequest, RequestError, read_all, send_when_ready};
use crate::registry::sources::git::error::SyncError;

/// Most bytes of an advertisement or a list of refs: 50,000 refs of 100 bytes, peeled, with room.
const MAX_LISTING_BYTES: usize = 16 << 20;

/// Hosts decide by `git/` whether to answer as a git server.
const USER_AGENT_TEXT: &str = concat!("git/2.0 (rostrum/", env!("CARGO_PKG_VERSION"), ")");

/// Attempts at one request when the server breaks off or is overloaded.
const MAX_ATTEMPTS: u32 = 2;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A git server, for the length of one sync.
pub struct GitRemote<'a> {
    app: &'a App,
    base: Url,
    authorization: Option<Authorization>,
    /// Requests sent so far.
    pub requests: i64,
    /// Bytes of bodies received so far.
    pub received_bytes: i64,
}

impl<'a> GitRemote<'a> {
    /// The server of the repository at `base`.
    pub fn new(app: &'a App, base: Url, authorization: Option<Authorization>) -> Self {
        Self { app, base, authorization, requests: 0, received_bytes: 0 }
    }

    /// Asks what the server can do.
    pub async fn capabilities(&mut self) -> Result<Capabilities, SyncError> {
        let mut response = self.send(Method::GET, ADVERTISEMENT_PATH, Bytes::new()).await?;
        let bytes = read_all(&mut *response.body, MAX_LISTING_BYTES).await?;
        self.count(bytes.len());
        Ok(Capabilities::parse(&bytes)?)
    }

    /// Asks for all refs.
    pub async fn refs(&mut self, capabilities: &Capabilities) -> Result<RemoteRefs, SyncError> {
        let request = Bytes::from(ls_refs_request(capabilities));
        let mut response = self.send(Method::POST, UPLOAD_PACK_PATH, request).await?;
        let bytes = read_all(&mut *response.body, MAX_LISTING_BYTES).await?;
        self.count(bytes.len());
        Ok(parse_ls_refs(&bytes)?)
    }

    /// Fetches objects as one pack within `limits`. Every wanted object is in it.
    pub async fn fetch(
        &mut self,
        capabilities: &Capabilities,
        request: &FetchRequest,
        limits: &PackLimits,
    ) -> Result<Pack, SyncError> {
        let body = Bytes::from(request.encode(capabilities));
        let mut response = self.send(Method::POST, UPLOAD_PACK_PATH, body).await?;
        let mut receiver = PackReceiver::new(limits.pack_bytes);
        while let Some(chunk) = response.body.next_chunk().await {
            let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
            self.count(chunk.len());
            receiver.push(&chunk).map_err(SyncError::Fetch)?;
        }
        let bytes = receiver.finish().map_err(SyncError::Fetch)?;
        let pack = Pack::open(bytes, limits)?;
        match request.wants.iter().find(|wanted| !pack.contains(wanted)) {
            Some(withheld) => Err(SyncError::Withheld(*withheld)),
            None => Ok(pack),
        }
    }

    fn count(&mut self, bytes: usize) {
        self.received_bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<HttpResponse, SyncError> {
        let mut attempt = 1;
        loop {
            match self.send_once(method.clone(), path, body.clone()).await {
                Err(error) if attempt < MAX_ATTEMPTS && error.is_transient() => {
                    attempt += 1;
                    self.app.ports.clock.sleep(RETRY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    async fn send_once(&mut self, method: Method, path: &str, body: Bytes) -> Result<HttpResponse, SyncError> {
        let url = Url::parse(&format!("{}/{path}", self.base.as_str().trim_end_matches('/')))
            .map_err(|_| SyncError::NotARepository)?;
        let headers = headers(&method);
        self.requests += 1;
        let asked = OutboundRequest { method, url, headers, body };
        let answer = send_when_ready(self.app, asked, self.authorization.as_ref()).await?;
        self.requests += i64::from(answer.requests) - 1;
        self.follow(&answer.url, path);
        match answer.response.status {
            StatusCode::OK => Ok(answer.response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(SyncError::Refused { status: answer.response.status.as_u16() })
            }
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(SyncError::NotFound { status: status.as_u16() }),
            status => Err(SyncError::Status { status: status.as_u16() }),
        }
    }

    /// A repository that was renamed is asked at its new place for the rest of the sync, if it is on the same host.
    fn follow(&mut self, answered: &Url, path: &str) {
        if answered.origin() != self.base.origin() {
            return;
        }
        let path = path.split('?').next().unwrap_or(path);
        let moved = answered.path().strip_suffix(path).map(str::to_owned);
        if let Some(new_base) = moved {
            self.base.set_path(new_base.trim_end_matches('/'));
        }
    }
}

fn headers(method: &Method) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("git-protocol"), HeaderValue::from_static("version=2"));
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if method == Method::POST {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-git-upload-pack-request"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/x-git-upload-pack-result"));
    }
    headers
}

/// Whether a fetch failed because its answer is too large, so that asking for less may help.
pub fn is_too_large(error: &SyncError) -> bool {
    matches!(
        error,
        SyncError::Fetch(FetchError::TooLarge { .. })
            | SyncError::Pack(
                PackError::PackTooLarge { .. }
                    | PackError::TooManyObjects { .. }
                    | PackError::InflatesTooLarge { .. }
                    | PackError::ObjectTooLarge { .. }
            )
    )
}
