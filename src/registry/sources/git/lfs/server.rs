//! The LFS server of a repository: which it is, and the two kinds of request to it.

use bytes::Bytes;
use git::LfsPointer;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::ports::ByteStream;
use crate::registry::kernel::app::App;
use crate::registry::kernel::outbound::{Authorization, OutboundRequest, send_when_ready};
use crate::registry::kernel::pace::read_all;
use crate::registry::sources::git::lfs::batch::{ObjectAddress, ObjectAnswers, request};
use crate::registry::sources::git::lfs::error::LfsError;
use crate::registry::sources::git::remote::GitRemote;

/// Most bytes of an answer of the batch API: a hundred objects with signed addresses and tokens, and room.
const MAX_ANSWER_BYTES: usize = 2 << 20;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.git-lfs+json");
const USER_AGENT_TEXT: HeaderValue =
    HeaderValue::from_static(concat!("git-lfs/3.0 (rostrum/", env!("CARGO_PKG_VERSION"), ")"));

/// An LFS server.
pub struct LfsServer<'a> {
    app: &'a App,
    /// Of its batch API.
    endpoint: Url,
    /// For the endpoint's origin, which is that of the repository.
    authorization: Option<Authorization>,
    passed_over: Option<String>,
}

impl<'a> LfsServer<'a> {
    /// The server of the repository at `remote`: the one that its `.lfsconfig` names if that is on the same origin, because
    /// the repository's credentials are for no other; else the one below the repository's own address.
    pub fn new(remote: &GitRemote<'a>, named: Option<&str>) -> Self {
        let base = remote.base();
        let named = named.map(|text| same_origin(text, base));
        let passed_over = named.as_ref().and_then(|named| named.as_ref().err().cloned());
        let root = named.and_then(Result::ok).unwrap_or_else(|| below(base));
        let endpoint = extended(root, "objects/batch");
        Self { app: remote.app(), endpoint, authorization: remote.authorization().cloned(), passed_over }
    }

    /// The registry.
    pub fn app(&self) -> &'a App {
        self.app
    }

    /// The server's name.
    pub fn host(&self) -> &str {
        self.endpoint.host_str().unwrap_or_default()
    }

    /// What `.lfsconfig` names, if that is not asked.
    pub fn passed_over(&self) -> Option<&str> {
        self.passed_over.as_deref()
    }

    /// Asks where objects are.
    pub async fn locate(&self, objects: &[&LfsPointer]) -> Result<ObjectAnswers, LfsError> {
        let mut headers = HeaderMap::from_iter([(ACCEPT, MEDIA_TYPE), (USER_AGENT, USER_AGENT_TEXT)]);
        headers.insert(CONTENT_TYPE, MEDIA_TYPE);
        let (url, body) = (self.endpoint.clone(), Bytes::from(request(objects)));
        let asked = OutboundRequest { method: Method::POST, url, headers, body };
        let mut answer = send_when_ready(self.app, asked, self.authorization.as_ref()).await?;
        match answer.response.status {
            StatusCode::OK => {
                let body = read_all(self.app, &mut *answer.response.body, MAX_ANSWER_BYTES).await?;
                ObjectAnswers::parse(&body, &self.endpoint)
            }
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(LfsError::Refused { status: status.as_u16() })
            }
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Err(LfsError::NotFound { status: status.as_u16() }),
            status => Err(LfsError::Status { status: status.as_u16() }),
        }
    }

    /// Asks for an object. The repository's credentials go along where the server leaves the login to us, if that is the
    /// server itself.
    pub async fn open(&self, address: &ObjectAddress) -> Result<Box<dyn ByteStream>, LfsError> {
        let ObjectAddress { href, headers: asked_for, has_login } = address;
        let is_own = !has_login && href.origin() == self.endpoint.origin();
        let login = self.authorization.as_ref().filter(|_| is_own);
        let authorization = login.map_or_else(|| asked_for.clone(), |login| asked_for.clone().with(login));
        let headers = HeaderMap::from_iter([(USER_AGENT, USER_AGENT_TEXT)]);
        let asked = OutboundRequest { method: Method::GET, url: href.clone(), headers, body: Bytes::new() };
        let answer = send_when_ready(self.app, asked, Some(&authorization)).await?;
        match answer.response.status {
            StatusCode::OK => Ok(answer.response.body),
            status => Err(LfsError::Status { status: status.as_u16() }),
        }
    }
}

/// The address that `.lfsconfig` names, if it is on the origin of the repository; else what to say of it, which may hold
/// nothing secret.
fn same_origin(named: &str, base: &Url) -> Result<Url, String> {
    let mut url = Url::parse(named).map_err(|_| "no URL".to_owned())?;
    if url.origin() != base.origin() {
        return Err(format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()));
    }
    url.set_query(None);
    url.set_fragment(None);
    // The repository's own credentials are used, so these two cannot fail for a URL with a host.
    let is_cleared = url.set_username("").is_ok() && url.set_password(None).is_ok();
    if is_cleared { Ok(url) } else { Err("no URL".to_owned()) }
}

/// Where LFS's own client looks for the server of a repository.
fn below(base: &Url) -> Url {
    let is_named_so = base.path().trim_end_matches('/').strip_suffix(".git").is_some();
    extended(base.clone(), if is_named_so { "info/lfs" } else { ".git/info/lfs" })
}

/// `url` with more of a path; what begins with a dot belongs to the last name of `url`.
fn extended(mut url: Url, more: &str) -> Url {
    let path = url.path().trim_end_matches('/');
    let path = if more.starts_with('.') { format!("{path}{more}") } else { format!("{path}/{more}") };
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn the_server_is_where_the_client_of_lfs_looks_for_it() {
        for (base, expected) in [
            ("https://git.test/acme/lib", "https://git.test/acme/lib.git/info/lfs"),
            ("https://git.test/acme/lib.git", "https://git.test/acme/lib.git/info/lfs"),
            ("https://git.test/acme/lib.git/", "https://git.test/acme/lib.git/info/lfs"),
        ] {
            assert_eq!(below(&url(base)).as_str(), expected);
        }
    }

    #[test]
    fn an_address_in_an_lfsconfig_is_taken_on_the_origin_of_the_repository_alone() {
        let base = url("https://git.test/acme/lib.git");
        for (named, expected) in [
            ("https://git.test/other/lfs", Ok("https://git.test/other/lfs")),
            ("https://ada:secret@git.test/lfs?x=1#y", Ok("https://git.test/lfs")),
            ("https://ada:secret@lfs.test/acme/lib", Err("https://lfs.test")),
            ("http://git.test/acme/lib", Err("http://git.test")),
            ("https://git.test:8443/acme/lib", Err("https://git.test")),
            ("ssh://git@git.test/acme/lib", Err("ssh://git.test")),
            ("lfs/here", Err("no URL")),
        ] {
            let found = same_origin(named, &base);
            assert_eq!(found.as_ref().map(Url::as_str).map_err(String::as_str), expected, "{named}");
        }
    }
}
