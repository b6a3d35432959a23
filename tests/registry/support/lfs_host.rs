//! An LFS server: its batch API beside a git repository, and a store at another host that has the objects.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use rostrum::ports::{BoxFuture, Fault, HttpClient, HttpClientError, HttpRequest, HttpResponse};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::git_host::{HostFault, InterruptedBody, html, plain, redirect};

/// Where the objects are.
pub const STORE: &str = "https://lfs-store.test";
/// Where the store may redirect to.
pub const OTHER_STORE: &str = "https://lfs-other.test";
/// What the store wants to be shown, and what signs its addresses. Nobody else is to see either.
pub const STORE_HEADER: &str = "the-stores-header";
const SIGNATURE: &str = "the-signature";

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct RecordedLfsRequest {
    pub url: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl RecordedLfsRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("ASCII"))
    }

    /// Whether it is for the batch API.
    pub fn is_batch(&self) -> bool {
        self.url.ends_with("/objects/batch")
    }
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Bytes>,
    /// The errors that the batch API has for objects.
    errors: HashMap<String, u16>,
    /// Those that are where the server itself is, without a login of their own.
    beside_the_server: HashSet<String>,
    /// Part of an address → what happens there.
    faults: Vec<(String, HostFault)>,
    requests: Vec<RecordedLfsRequest>,
}

/// The servers, whatever their names.
#[derive(Clone, Default)]
pub struct LfsHost(Arc<Mutex<State>>);

/// What git has of a file that Git LFS keeps.
pub fn pointer_to(content: &[u8]) -> String {
    let oid = hex::encode(Sha256::digest(content));
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {}\n", content.len())
}

impl LfsHost {
    /// Whether a request is for an LFS server or its store.
    pub fn serves(url: &Url) -> bool {
        let path = url.path();
        path.contains("/info/lfs/") || path.ends_with("/objects/batch") || url.as_str().starts_with("https://lfs-")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    /// Keeps a file; says the pointer to it.
    pub fn put(&self, content: &[u8]) -> String {
        let oid = hex::encode(Sha256::digest(content));
        self.state().objects.insert(oid, Bytes::copy_from_slice(content));
        pointer_to(content)
    }

    /// The batch API answers with this error for the file.
    pub fn refuse(&self, content: &[u8], code: u16) {
        self.state().errors.insert(hex::encode(Sha256::digest(content)), code);
    }

    /// The file is fetched from the server itself, which wants the repository's login.
    pub fn keep_beside_the_server(&self, content: &[u8]) {
        self.state().beside_the_server.insert(hex::encode(Sha256::digest(content)));
    }

    /// Every request to an address with `part` in it ends so, until [`LfsHost::recover`].
    pub fn inject_fault(&self, part: &str, fault: HostFault) {
        self.state().faults.push((part.to_owned(), fault));
    }

    pub fn recover(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.errors.clear();
    }

    /// The requests since the last call of this.
    pub fn take_requests(&self) -> Vec<RecordedLfsRequest> {
        std::mem::take(&mut self.state().requests)
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, HttpClientError> {
        tokio::task::yield_now().await;
        let url = request.url.to_string();
        let body = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let mut state = self.state();
        state.requests.push(RecordedLfsRequest { url: url.clone(), headers: request.headers.clone(), body });
        let fault = state.faults.iter().find(|(part, _)| url.contains(part.as_str())).map(|(_, fault)| fault.clone());
        match &fault {
            Some(HostFault::Status(status)) => return Ok(plain(*status, Bytes::from_static(b"no"))),
            Some(HostFault::Html) => return Ok(html()),
            Some(HostFault::TimedOut) => return Err(HttpClientError::TimedOut(request.timeout)),
            Some(HostFault::Redirect(target)) => return Ok(redirect(target)),
            Some(HostFault::Says(bytes)) => return Ok(plain(200, Bytes::from(bytes.clone()))),
            _ => {}
        }
        if request.method == Method::POST {
            return Ok(state.locate(&request));
        }
        let oid = request.url.path().rsplit('/').next().unwrap_or_default();
        let wants_header = url.starts_with(STORE);
        if wants_header && request.headers.get("x-store").is_none_or(|value| value != STORE_HEADER) {
            return Ok(plain(403, Bytes::from_static(b"no header")));
        }
        let Some(content) = state.objects.get(oid) else { return Ok(plain(404, Bytes::new())) };
        Ok(match fault {
            Some(HostFault::BrokenOff) => {
                let mut response = plain(200, Bytes::new());
                let half = content.slice(..content.len() / 2);
                response.body =
                    Box::new(InterruptedBody(vec![Err(Fault::new("upstream", "connection reset")), Ok(half)]));
                response
            }
            Some(HostFault::Truncated) => plain(200, content.slice(..content.len() / 2)),
            _ => {
                let mut response = plain(200, Bytes::new());
                let pieces: Vec<_> = content.chunks(64 << 10).map(|piece| Ok(content.slice_ref(piece))).collect();
                response.body = Box::new(InterruptedBody(pieces.into_iter().rev().collect()));
                response
            }
        })
    }
}

impl State {
    fn locate(&self, request: &HttpRequest) -> HttpResponse {
        let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
        let asked = asked["objects"].as_array().expect("objects");
        assert!((1..=100).contains(&asked.len()), "{} objects are asked for", asked.len());
        let login = request.headers.get(AUTHORIZATION);
        let objects: Vec<Value> = asked
            .iter()
            .map(|object| {
                let oid = object["oid"].as_str().expect("an id");
                if let Some(code) = self.errors.get(oid) {
                    return json!({"oid": oid, "error": {"code": code, "message": "in its words"}});
                }
                if !self.objects.contains_key(oid) {
                    return json!({"oid": oid, "error": {"code": 404, "message": "Object does not exist"}});
                }
                let download = if self.beside_the_server.contains(oid) {
                    json!({"href": request.url.join(&format!("../{oid}")).expect("a URL").as_str()})
                } else {
                    json!({
                        "href": format!("{STORE}/{oid}?signature={SIGNATURE}"), "header": {"X-Store": STORE_HEADER},
                        "expires_in": 600,
                    })
                };
                json!({"oid": oid, "size": object["size"], "authenticated": login.is_none(), "actions": {"download": download}})
            })
            .collect();
        plain(200, Bytes::from(json!({"transfer": "basic", "objects": objects}).to_string()))
    }
}

impl HttpClient for LfsHost {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, HttpClientError>> {
        Box::pin(self.answer(request))
    }
}

/// Whether a text holds what only the store is to know.
pub fn tells_secrets(text: &str) -> bool {
    text.contains(STORE_HEADER) || text.contains(SIGNATURE)
}
