//! A git server as the registry talks to it: three kinds of request over the upstream port, counted as they go.

use std::time::Duration;

use bytes::Bytes;
use git::{
    ADVERTISEMENT_PATH, Capabilities, FetchError, FetchRequest, ObjectId, ObjectStream, Pack, PackError, PackLimits,
    PackOpening, PackReceiver, RemoteRefs, UPLOAD_PACK_PATH, limits, ls_refs_request, parse_ls_refs,
};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::ports::{ByteStream, Fault, HttpResponse};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::{Authorization, OutboundRequest, RequestError, read_all, send_when_ready};
use crate::registry::kernel::slices::SLICE_WORK;
use crate::registry::sources::git::error::SyncError;

/// Most bytes of an advertisement or a list of refs: 50,000 refs of 100 bytes, peeled, with room.
const MAX_LISTING_BYTES: usize = 16 << 20;

/// Hosts decide by `git/` whether to answer as a git server.
const USER_AGENT_TEXT: &str = concat!("git/2.0 (rostrum/", env!("CARGO_PKG_VERSION"), ")");

/// Attempts at one request when the server breaks off or is overloaded.
const MAX_ATTEMPTS: u32 = 2;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Bytes of a pack without objects.
const SHORTEST_PACK: usize = 32;

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

    /// Lets others have their turn.
    pub async fn pause(&self) {
        self.app.ports.clock.sleep(Duration::ZERO).await;
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// What is said of an object that the server did not send.
    pub fn withheld(&self, object: ObjectId) -> SyncError {
        SyncError::Withheld { object, server: self.host().to_owned() }
    }

    /// Asks for one file that is too large to be in memory.
    pub async fn open_file(&mut self, capabilities: &Capabilities, id: ObjectId) -> Result<RemoteFile, SyncError> {
        let body = Bytes::from(FetchRequest::blobs([id]).encode(capabilities));
        let response = self.send(Method::POST, UPLOAD_PACK_PATH, body).await?;
        Ok(RemoteFile::new(id, self.host().to_owned(), response.body))
    }

    /// Whether `commit` is one of `from`, or in their history.
    pub async fn is_in_history(
        &mut self,
        capabilities: &Capabilities,
        commit: ObjectId,
        from: Vec<ObjectId>,
    ) -> Result<bool, SyncError> {
        let request = FetchRequest::history(commit, from).encode(capabilities);
        let mut response = self.send(Method::POST, UPLOAD_PACK_PATH, Bytes::from(request)).await?;
        let mut receiver = PackReceiver::new(limits::PACK_BYTES);
        let mut pack = Vec::new();
        // Nothing but the pack's header matters, however much follows.
        while pack.len() < SHORTEST_PACK {
            let Some(chunk) = response.body.next_chunk().await else {
                pack.extend(receiver.finish().map_err(SyncError::Fetch)?);
                break;
            };
            let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
            self.count(chunk.len());
            receiver.push(&chunk).map_err(SyncError::Fetch)?;
            pack.extend(receiver.take_pack());
        }
        Ok(Pack::declared_objects(&pack)? == 0)
    }

    /// Fetches objects as one pack within `limits`. Every wanted object is in it. The pack is looked through in slices,
    /// so that others have their turn.
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
        let mut opening = PackOpening::new(bytes, limits)?;
        while !opening.step(SLICE_WORK)? {
            self.pause().await;
        }
        let pack = opening.finish()?;
        match request.wants.iter().find(|wanted| !pack.contains(wanted)) {
            Some(object) => Err(self.withheld(*object)),
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

/// A file on its way, which is read while it comes.
pub struct RemoteFile {
    id: ObjectId,
    server: String,
    body: Box<dyn ByteStream>,
    /// `None` when the answer has ended.
    receiver: Option<PackReceiver>,
    object: ObjectStream,
}

impl RemoteFile {
    fn new(id: ObjectId, server: String, body: Box<dyn ByteStream>) -> Self {
        let receiver = Some(PackReceiver::new(limits::PACK_BYTES));
        Self { id, server, body, receiver, object: ObjectStream::default() }
    }

    /// Its size in bytes.
    pub async fn size(&mut self) -> Result<u64, SyncError> {
        loop {
            if let Some(size) = self.object.size()? {
                return Ok(size);
            }
            self.receive().await?;
        }
    }

    /// Gives `sink` the next piece of its content. Says whether there was one.
    pub async fn next_piece<E: From<PackError> + From<SyncError>>(
        &mut self,
        sink: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut sink = Some(sink);
        loop {
            let hand_on = |piece: &[u8]| sink.take().map_or(Ok(()), |sink| sink(piece));
            if self.object.next_piece(hand_on)? {
                return Ok(true);
            }
            if self.receiver.is_none() {
                return Ok(false);
            }
            self.receive().await?;
        }
    }

    /// Checks that the file was the one that was asked for, when its last piece was read.
    pub fn finish(self) -> Result<(), SyncError> {
        let Self { id, server, object, .. } = self;
        if object.finish()? == id { Ok(()) } else { Err(SyncError::Withheld { object: id, server }) }
    }

    async fn receive(&mut self) -> Result<(), SyncError> {
        let Some(mut receiver) = self.receiver.take() else { return Err(SyncError::Fetch(FetchError::Truncated)) };
        let Some(chunk) = self.body.next_chunk().await else {
            self.object.push(&receiver.finish().map_err(SyncError::Fetch)?);
            self.object.end();
            return Ok(());
        };
        let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
        receiver.push(&chunk).map_err(SyncError::Fetch)?;
        self.object.push(&receiver.take_pack());
        self.receiver = Some(receiver);
        Ok(())
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
