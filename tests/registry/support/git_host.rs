//! A git server in process: real repositories, the real `git upload-pack`, and everything that can go wrong between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rostrum::ports::{
    BoxFuture, ByteStream, Fault, HttpClient, HttpClientError, HttpRequest, HttpResponse, SingleChunk,
};

use tempfile::TempDir;

use super::composer_host::{Drip, DrippingBody};
use super::environment::ManualClock;
use super::meter::PortMeter;
use super::repo::{Repo, git_in};

/// Where the repositories are served.
pub const HOST: &str = "https://git.test";

/// The three kinds of request of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// `GET info/refs`.
    Capabilities,
    /// `ls-refs`.
    Refs,
    /// `fetch`.
    Fetch,
}

/// What the server does instead of its duty.
#[derive(Debug, Clone)]
pub enum HostFault {
    Status(u16),
    /// A status with a `Retry-After`.
    Busy(u16, String),
    Html,
    Unreachable,
    TimedOut,
    /// The connection ends with an error halfway.
    BrokenOff,
    /// The body ends early as if it were complete.
    Truncated,
    /// One byte near the end is another one.
    Corrupted,
    Redirect(String),
    /// The body is this.
    Says(Vec<u8>),
}

/// One request that arrived.
#[derive(Debug, Clone)]
pub struct RecordedGitRequest {
    pub step: Step,
    pub url: String,
    pub authorization: Option<String>,
    /// Bytes of the answer's body, if it was git's own.
    pub answered: usize,
}

/// The newest version of git's protocol that a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    V0,
    V1,
    V2,
}

struct Served {
    folder: Arc<TempDir>,
    protocol: Protocol,
    /// Whether a server of version 0 says that any object may be wanted.
    any_object: bool,
    filters: bool,
    forbidden_filter: Option<String>,
    withheld: Option<String>,
    login: Option<(String, String)>,
}

/// A fault to come.
struct ScheduledFault {
    /// For requests of this kind; `None`: of any.
    step: Option<Step>,
    fault: HostFault,
    /// Requests of this kind that are spared first.
    spared: usize,
    for_ever: bool,
}

#[derive(Default)]
struct State {
    served: HashMap<String, Served>,
    seen: Vec<RecordedGitRequest>,
    faults: Vec<ScheduledFault>,
    /// Old path → new path of repositories that have moved.
    moved: HashMap<String, String>,
    step_to_pause: Option<Step>,
    is_paused: bool,
    /// How long each answer takes.
    answer_time: Duration,
    drip: Option<Drip>,
}

/// The server.
#[derive(Clone)]
pub struct GitHost {
    state: Arc<Mutex<State>>,
    meter: PortMeter,
    clock: Arc<ManualClock>,
}

impl GitHost {
    pub fn new(meter: PortMeter, clock: Arc<ManualClock>) -> Self {
        Self { state: Arc::default(), meter, clock }
    }

    /// From now on each answer takes so long.
    pub fn slow_down(&self, answer_time: Duration) {
        self.state().answer_time = answer_time;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Serves a new repository as `{HOST}/{name}.git`.
    pub fn serve(&self, name: &str) -> Repo {
        let repo = Repo::new(format!("{HOST}/{name}.git"));
        let served = Served {
            folder: repo.shared_folder(),
            protocol: Protocol::V2,
            any_object: false,
            filters: true,
            forbidden_filter: None,
            withheld: None,
            login: None,
        };
        self.state().served.insert(format!("/{name}.git"), served);
        repo
    }

    fn with_served(&self, repo: &Repo, change: impl FnOnce(&mut Served)) {
        let mut state = self.state();
        change(state.served.values_mut().find(|served| served.folder.path() == repo.folder()).expect("it is served"));
    }

    /// The server speaks this version, whatever newer one it is asked for.
    pub fn speak(&self, repo: &Repo, protocol: Protocol) {
        self.with_served(repo, |served| served.protocol = protocol);
    }

    /// A server of version 0 sends more than branches and tags, and says so.
    pub fn offer_any_object(&self, repo: &Repo) {
        self.with_served(repo, |served| served.any_object = true);
    }

    pub fn forbid_filters(&self, repo: &Repo) {
        self.with_served(repo, |served| served.filters = false);
    }

    /// The server takes filters, but not this kind; it does not say so beforehand.
    pub fn forbid_filter(&self, repo: &Repo, kind: &str) {
        self.with_served(repo, |served| served.forbidden_filter = Some(kind.to_owned()));
    }

    /// The server leaves this object out of its answers, although it is asked for it; `None`: no longer.
    pub fn withhold(&self, repo: &Repo, id: Option<&str>) {
        self.with_served(repo, |served| served.withheld = id.map(str::to_owned));
    }

    pub fn require_login(&self, repo: &Repo, user: &str, password: &str) {
        self.with_served(repo, |served| served.login = Some((user.to_owned(), password.to_owned())));
    }

    /// Moves a repository to another address; the old one redirects.
    pub fn rename(&self, repo: &Repo, name: &str) {
        let mut state = self.state();
        let found = state.served.iter().find(|(_, served)| served.folder.path() == repo.folder());
        let old = found.expect("it is served").0.clone();
        let new = format!("/{name}.git");
        let served = state.served.remove(&old).expect("it was there");
        state.served.insert(new.clone(), served);
        state.moved.insert(old, new);
    }

    /// Every request of this kind ends so, until [`GitHost::recover`].
    pub fn inject_fault_at(&self, step: Step, fault: HostFault) {
        self.plan(ScheduledFault { step: Some(step), fault, spared: 0, for_ever: true });
    }

    /// Every request ends so.
    pub fn inject_fault(&self, fault: HostFault) {
        self.plan(ScheduledFault { step: None, fault, spared: 0, for_ever: true });
    }

    /// The next request of this kind ends so.
    pub fn inject_fault_once(&self, step: Step, fault: HostFault) {
        self.plan(ScheduledFault { step: Some(step), fault, spared: 0, for_ever: false });
    }

    /// The `nth` request of this kind (1 is the next one) ends so.
    pub fn inject_fault_once_at(&self, step: Step, nth: usize, fault: HostFault) {
        self.plan(ScheduledFault { step: Some(step), fault, spared: nth - 1, for_ever: false });
    }

    /// Every request of this kind from the `nth` on (1 is the next one) ends so.
    pub fn inject_fault_from(&self, step: Step, nth: usize, fault: HostFault) {
        self.plan(ScheduledFault { step: Some(step), fault, spared: nth - 1, for_ever: true });
    }

    fn plan(&self, planned: ScheduledFault) {
        self.state().faults.push(planned);
    }

    pub fn recover(&self) {
        self.state().faults.clear();
    }

    /// The next request of this kind waits until [`GitHost::resume`].
    pub fn pause(&self, step: Step) {
        let mut state = self.state();
        (state.step_to_pause, state.is_paused) = (Some(step), false);
    }

    /// From now on objects come in pieces of so many bytes, one in each `pause`.
    pub fn drip(&self, piece: usize, pause: Duration) {
        self.state().drip = Some(Drip { clock: self.clock.clone(), piece, pause });
    }

    pub fn resume(&self) {
        let mut state = self.state();
        (state.step_to_pause, state.is_paused) = (None, false);
    }

    /// Waits until a request waits.
    pub async fn until_paused(&self) {
        for _ in 0..10_000 {
            if self.state().is_paused {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("no request came");
    }

    /// The requests since the last call of this.
    pub fn take_requests(&self) -> Vec<RecordedGitRequest> {
        std::mem::take(&mut self.state().seen)
    }

    /// The kinds of the requests since the last call of this or of [`GitHost::take_requests`].
    pub fn take_steps(&self) -> Vec<Step> {
        self.take_requests().into_iter().map(|seen| seen.step).collect()
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpClientError> {
        self.meter.count(|calls| calls.upstream += 1);
        let step = step_of(&request);
        let authorization = request.headers.get(AUTHORIZATION).map(|value| value.to_str().expect("ASCII").to_owned());
        let url = request.url.to_string();
        let number = {
            let mut state = self.state();
            state.seen.push(RecordedGitRequest { step, url, authorization: authorization.clone(), answered: 0 });
            state.seen.len() - 1
        };
        tokio::task::yield_now().await;
        let answer_time = self.state().answer_time;
        self.clock.advance(answer_time);
        self.wait_if_paused(step).await;
        let fault = self.take_fault(step);
        match &fault {
            Some(HostFault::Status(status)) => return Ok(plain(*status, Bytes::from_static(b"no"))),
            Some(HostFault::Busy(status, retry_after)) => return Ok(busy(*status, retry_after)),
            Some(HostFault::Html) => return Ok(html()),
            Some(HostFault::Unreachable) => return Err(HttpClientError::Unreachable("connection refused".to_owned())),
            Some(HostFault::TimedOut) => return Err(HttpClientError::TimedOut(request.timeout)),
            Some(HostFault::Redirect(target)) => return Ok(redirect(target)),
            Some(HostFault::Says(bytes)) => return Ok(plain(200, Bytes::from(bytes.clone()))),
            Some(HostFault::BrokenOff | HostFault::Truncated | HostFault::Corrupted) | None => {}
        }
        if let Some(target) = self.moved_to(&request) {
            return Ok(redirect(&target));
        }
        let (status, body) = self.serve_git(&request, authorization.as_deref());
        if let Some(seen) = self.state().seen.get_mut(number) {
            seen.answered = body.len();
        }
        Ok(match fault {
            Some(HostFault::BrokenOff) => {
                let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
                let mut response = plain(status, Bytes::new());
                response.body =
                    Box::new(InterruptedBody(vec![Err(Fault::new("upstream", "connection reset")), Ok(half)]));
                response
            }
            Some(HostFault::Truncated) => plain(status, Bytes::copy_from_slice(&body[..body.len() / 2])),
            Some(HostFault::Corrupted) => {
                let mut bytes = body.to_vec();
                // Before the flush packet: the last byte of the pack's checksum.
                let at = bytes.len() - 5;
                bytes[at] ^= 0xff;
                plain(status, Bytes::from(bytes))
            }
            _ => {
                let mut response = plain(status, body.clone());
                let drip = self.state().drip.clone().filter(|_| step == Step::Fetch);
                if let Some(drip) = drip {
                    response.body = Box::new(DrippingBody { rest: body, drip });
                }
                response
            }
        })
    }

    async fn wait_if_paused(&self, step: Step) {
        {
            let mut state = self.state();
            if state.step_to_pause != Some(step) {
                return;
            }
            (state.step_to_pause, state.is_paused) = (None, true);
        }
        while self.state().is_paused {
            tokio::task::yield_now().await;
        }
    }

    fn take_fault(&self, step: Step) -> Option<HostFault> {
        let mut state = self.state();
        let at = state.faults.iter().position(|planned| planned.step.is_none_or(|kind| kind == step))?;
        let planned = &mut state.faults[at];
        if planned.spared > 0 {
            planned.spared -= 1;
            return None;
        }
        let fault = planned.fault.clone();
        if !planned.for_ever {
            state.faults.remove(at);
        }
        Some(fault)
    }

    fn moved_to(&self, request: &HttpRequest) -> Option<String> {
        let state = self.state();
        let (old, new) = state.moved.iter().find(|(old, _)| request.url.path().starts_with(&format!("{old}/")))?;
        Some(request.url.as_str().replacen(old, new, 1))
    }

    fn serve_git(&self, request: &HttpRequest, authorization: Option<&str>) -> (u16, Bytes) {
        let path = request.url.path();
        let Some((name, _)) = path.split_once(".git/") else { return (404, Bytes::new()) };
        let asked = request.headers.get("git-protocol").map_or("", |value| value.to_str().expect("ASCII"));
        let (folder, settings, withheld, protocol) = {
            let state = self.state();
            let Some(served) = state.served.get(&format!("{name}.git")) else { return (404, Bytes::new()) };
            let wanted = served
                .login
                .as_ref()
                .map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
            if wanted.is_some() && wanted.as_deref() != authorization {
                return (401, Bytes::from_static(b"who are you?"));
            }
            let mut settings = vec![
                format!("uploadpack.allowFilter={}", served.filters),
                format!("uploadpack.allowAnySHA1InWant={}", served.any_object),
            ];
            settings.extend(served.forbidden_filter.iter().map(|kind| format!("uploadpackfilter.{kind}.allow=false")));
            let protocol = match served.protocol {
                Protocol::V0 => "",
                Protocol::V1 => "version=1",
                Protocol::V2 => asked,
            };
            (served.folder.clone(), settings, served.withheld.clone(), protocol)
        };
        let mut arguments: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        arguments.extend(["upload-pack", "--stateless-rpc"]);
        if request.method == Method::GET {
            arguments.push("--http-backend-info-refs");
        }
        arguments.push(".");
        let body = without_want(&request.body, withheld.as_deref());
        let (output, _) = git_in(folder.path(), &arguments, &[("GIT_PROTOCOL", protocol)], &body);
        (200, Bytes::from(output))
    }
}

impl HttpClient for GitHost {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, HttpClientError>> {
        Box::pin(self.answer(request))
    }
}

/// A request that does not ask for `id`.
fn without_want(body: &[u8], id: Option<&str>) -> Vec<u8> {
    let line = id.map(|id| format!("0032want {id}\n").into_bytes()).unwrap_or_default();
    let found = body.windows(line.len().max(1)).position(|window| window == line);
    found.map_or(body.to_vec(), |at| [&body[..at], &body[at + line.len()..]].concat())
}

fn step_of(request: &HttpRequest) -> Step {
    let says = |words: &[u8]| request.body.windows(words.len()).any(|window| window == words);
    if request.method == Method::GET {
        Step::Capabilities
    } else if says(b"command=ls-refs") {
        Step::Refs
    } else {
        Step::Fetch
    }
}

pub fn plain(status: u16, body: Bytes) -> HttpResponse {
    let status = StatusCode::from_u16(status).expect("a status");
    HttpResponse { status, headers: HeaderMap::new(), body: Box::new(SingleChunk(Some(body))) }
}

pub fn busy(status: u16, retry_after: &str) -> HttpResponse {
    let mut response = plain(status, Bytes::from_static(b"slowly"));
    response.headers.insert(RETRY_AFTER, HeaderValue::try_from(retry_after).expect("a header"));
    response
}

pub fn html() -> HttpResponse {
    let mut response = plain(200, Bytes::from_static(b"<!doctype html><title>Sign in</title>"));
    response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

pub fn redirect(target: &str) -> HttpResponse {
    let mut response = plain(302, Bytes::new());
    response.headers.insert(LOCATION, HeaderValue::try_from(target).expect("a URL"));
    response
}

/// Pieces that come from the last to the first.
pub struct InterruptedBody(pub Vec<Result<Bytes, Fault>>);

impl ByteStream for InterruptedBody {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(std::future::ready(self.0.pop()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any + Send> {
        self
    }
}
