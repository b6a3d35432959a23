//! A git server as the registry talks to it: three kinds of request over the upstream port, counted as they go. A server
//! that knows no protocol version 2 has only two: its advertisement lists the refs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use git::{
    ADVERTISEMENT_PATH, Advertisement, Capabilities, FetchError, FetchRequest, ObjectId, ObjectStream,
    PROTOCOL_VERSION, Pack, PackError, PackLimits, PackOpening, PackReceiver, RemoteRefs, UPLOAD_PACK_PATH, limits,
    ls_refs_request, parse_ls_refs,
};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use crate::ports::{ByteStream, Clock, HttpResponse};
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::{Authorization, OutboundRequest, send_when_ready};
use crate::registry::kernel::pace::{Pace, read_all};
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
    /// What may be wanted of a server that sends nothing else, once it was looked up.
    tips: Option<Arc<Tips>>,
    /// Requests sent so far.
    pub requests: i64,
    /// Bytes of bodies received so far.
    pub received_bytes: i64,
}

/// What a server can do, and the refs of its repository.
pub struct Listing {
    /// What it can do.
    pub capabilities: Capabilities,
    /// What there is.
    pub refs: RemoteRefs,
}

/// What branches and tags stand for, each commit with the id to ask for to get it: of an annotated tag that is the tag's.
struct Tips(HashMap<ObjectId, ObjectId>);

impl Tips {
    fn of(refs: &RemoteRefs) -> Self {
        let mut tips: HashMap<ObjectId, ObjectId> = refs.refs.iter().map(|item| (item.oid, item.oid)).collect();
        for item in &refs.refs {
            tips.entry(item.commit_id()).or_insert(item.oid);
        }
        Self(tips)
    }

    /// Why a server refused that may send nothing but tips.
    fn explain(&self, wants: &[ObjectId], refusal: SyncError, server: &str) -> SyncError {
        match (wants.iter().find(|wanted| !self.0.contains_key(wanted)), refusal) {
            (Some(object), SyncError::Fetch(FetchError::Remote(words))) => {
                SyncError::NotATip { object: *object, server: server.to_owned(), words }
            }
            (_, refusal) => refusal,
        }
    }
}

impl<'a> GitRemote<'a> {
    /// The server of the repository at `base`.
    pub fn new(app: &'a App, base: Url, authorization: Option<Authorization>) -> Self {
        Self { app, base, authorization, tips: None, requests: 0, received_bytes: 0 }
    }

    /// Asks what the server can do. One that knows no version 2 says what there is, too.
    pub async fn advertisement(&mut self) -> Result<Advertisement, SyncError> {
        let mut response = self.send(Method::GET, ADVERTISEMENT_PATH, Some(PROTOCOL_VERSION), Bytes::new()).await?;
        let bytes = read_all(self.app, &mut *response.body, MAX_LISTING_BYTES).await?;
        self.count(bytes.len());
        Ok(Advertisement::parse(&bytes)?)
    }

    /// Asks what the server can do, and for all refs.
    pub async fn listing(&mut self) -> Result<Listing, SyncError> {
        let Advertisement { capabilities, refs } = self.advertisement().await?;
        let refs = match refs {
            Some(refs) => refs,
            None => self.refs(&capabilities).await?,
        };
        Ok(Listing { capabilities, refs })
    }

    /// Asks a server of version 2 for all refs.
    pub async fn refs(&mut self, capabilities: &Capabilities) -> Result<RemoteRefs, SyncError> {
        let request = ls_refs_request(capabilities);
        let mut response = self.post(capabilities, request).await?;
        let bytes = read_all(self.app, &mut *response.body, MAX_LISTING_BYTES).await?;
        self.count(bytes.len());
        Ok(parse_ls_refs(&bytes)?)
    }

    /// Lets others have their turn.
    pub async fn pause(&self) {
        self.app.ports.clock.sleep(Duration::ZERO).await;
    }

    /// The registry that asks.
    pub fn app(&self) -> &'a App {
        self.app
    }

    /// Where the repository is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The repository's credentials, for the origin that it is at.
    pub fn authorization(&self) -> Option<&Authorization> {
        self.authorization.as_ref()
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
        let response = self.post(capabilities, FetchRequest::blobs([id]).encode(capabilities)).await?;
        Ok(RemoteFile::new(self.app, capabilities, id, self.host().to_owned(), response.body))
    }

    /// Whether `commit` is one of `from`, or in their history.
    pub async fn is_in_history(
        &mut self,
        capabilities: &Capabilities,
        commit: ObjectId,
        from: Vec<ObjectId>,
    ) -> Result<bool, SyncError> {
        match self.count_history(capabilities, FetchRequest::history(commit, from)).await {
            Err(refusal) if may_send_tips_only(capabilities, &refusal) => Err(match self.tips().await? {
                Some(tips) => tips.explain(&[commit], refusal, self.host()),
                None => refusal,
            }),
            count => Ok(count? == 0),
        }
    }

    /// How many objects the server would send.
    async fn count_history(&mut self, capabilities: &Capabilities, request: FetchRequest) -> Result<u32, SyncError> {
        let mut response = self.post(capabilities, request.encode(capabilities)).await?;
        let mut receiver = PackReceiver::new(capabilities, limits::PACK_BYTES);
        let mut pace = Pace::of_archive(self.app);
        let mut start = Vec::new();
        // Nothing but the pack's header matters, however much follows.
        while start.len() < SHORTEST_PACK {
            let Some(chunk) = pace.next_chunk(&*self.app.ports.clock, &mut *response.body).await? else {
                start.extend(receiver.finish().map_err(SyncError::Fetch)?);
                break;
            };
            self.count(chunk.len());
            receiver.push(&chunk).map_err(SyncError::Fetch)?;
            start.extend(receiver.take_pack());
        }
        Ok(Pack::declared_objects(&start)?)
    }

    /// Fetches objects as one pack within `limits`. Every wanted object is in it. The pack is looked through in slices,
    /// so that others have their turn.
    pub async fn fetch(
        &mut self,
        capabilities: &Capabilities,
        request: &FetchRequest,
        limits: &PackLimits,
    ) -> Result<Pack, SyncError> {
        let pack = match self.fetch_pack(capabilities, request, limits).await {
            Err(refusal) if may_send_tips_only(capabilities, &refusal) => {
                self.fetch_by_tips(capabilities, request, limits, refusal).await?
            }
            pack => pack?,
        };
        match request.wants.iter().find(|wanted| !pack.contains(wanted)) {
            Some(object) => Err(self.withheld(*object)),
            None => Ok(pack),
        }
    }

    /// Asks once more after a refusal, for tags instead of the commits that they stand for.
    async fn fetch_by_tips(
        &mut self,
        capabilities: &Capabilities,
        request: &FetchRequest,
        limits: &PackLimits,
        refusal: SyncError,
    ) -> Result<Pack, SyncError> {
        let Some(tips) = self.tips().await? else { return Err(refusal) };
        let wants: Option<Vec<ObjectId>> = request.wants.iter().map(|wanted| tips.0.get(wanted).copied()).collect();
        match wants {
            Some(wants) if wants != request.wants => {
                self.fetch_pack(capabilities, &FetchRequest { wants, ..request.clone() }, limits).await
            }
            _ => Err(tips.explain(&request.wants, refusal, self.host())),
        }
    }

    /// What branches and tags stand for, asked for once; nothing of a server that has learnt version 2.
    async fn tips(&mut self) -> Result<Option<Arc<Tips>>, SyncError> {
        if self.tips.is_none() {
            let refs = self.advertisement().await?.refs;
            self.tips = refs.map(|refs| Arc::new(Tips::of(&refs)));
        }
        Ok(self.tips.clone())
    }

    async fn fetch_pack(
        &mut self,
        capabilities: &Capabilities,
        request: &FetchRequest,
        limits: &PackLimits,
    ) -> Result<Pack, SyncError> {
        let mut response = self.post(capabilities, request.encode(capabilities)).await?;
        let mut receiver = PackReceiver::new(capabilities, limits.pack_bytes);
        let mut pace = Pace::of_archive(self.app);
        while let Some(chunk) = pace.next_chunk(&*self.app.ports.clock, &mut *response.body).await? {
            self.count(chunk.len());
            receiver.push(&chunk).map_err(SyncError::Fetch)?;
        }
        let bytes = receiver.finish().map_err(SyncError::Fetch)?;
        let mut opening = PackOpening::new(bytes, limits)?;
        while !opening.step(SLICE_WORK)? {
            self.pause().await;
        }
        Ok(opening.finish()?)
    }

    fn count(&mut self, bytes: usize) {
        self.received_bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
    }

    async fn post(&mut self, capabilities: &Capabilities, body: Vec<u8>) -> Result<HttpResponse, SyncError> {
        self.send(Method::POST, UPLOAD_PACK_PATH, capabilities.protocol_version(), Bytes::from(body)).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        version: Option<&'static str>,
        body: Bytes,
    ) -> Result<HttpResponse, SyncError> {
        let headers = headers(&method, version);
        let mut attempt = 1;
        loop {
            match self.send_once(method.clone(), path, headers.clone(), body.clone()).await {
                Err(error) if attempt < MAX_ATTEMPTS && error.is_transient() => {
                    attempt += 1;
                    self.app.ports.clock.sleep(RETRY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    async fn send_once(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, SyncError> {
        let url = Url::parse(&format!("{}/{path}", self.base.as_str().trim_end_matches('/')))
            .map_err(|_| SyncError::NotARepository)?;
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
    pace: Pace,
    clock: Arc<dyn Clock>,
    /// `None` when the answer has ended.
    receiver: Option<PackReceiver>,
    object: ObjectStream,
}

impl RemoteFile {
    fn new(app: &App, capabilities: &Capabilities, id: ObjectId, server: String, body: Box<dyn ByteStream>) -> Self {
        let receiver = Some(PackReceiver::new(capabilities, limits::PACK_BYTES));
        let (pace, clock) = (Pace::of_archive(app), app.ports.clock.clone());
        Self { id, server, body, pace, clock, receiver, object: ObjectStream::default() }
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
        let Some(chunk) = self.pace.next_chunk(&*self.clock, &mut *self.body).await? else {
            self.object.push(&receiver.finish().map_err(SyncError::Fetch)?);
            self.object.end();
            return Ok(());
        };
        receiver.push(&chunk).map_err(SyncError::Fetch)?;
        self.object.push(&receiver.take_pack());
        self.receiver = Some(receiver);
        Ok(())
    }
}

/// Whether a server may have refused because no branch or tag points to what was wanted.
fn may_send_tips_only(capabilities: &Capabilities, refusal: &SyncError) -> bool {
    !capabilities.sends_any_object() && matches!(refusal, SyncError::Fetch(FetchError::Remote(_)))
}

fn headers(method: &Method, version: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        headers.insert(HeaderName::from_static("git-protocol"), HeaderValue::from_static(version));
    }
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
