//! An upstream repository as the registry talks to it: conditional requests for its documents, and what can go wrong.

use std::time::Duration;

use bytes::Bytes;
use composer::notices::DocumentNotices;
use composer::{DistMirror, JsonBudget, PackageName, RepositoryRoot, Versions, read_package, read_root};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};
use url::Url;

use crate::json;
use crate::ports::Millis;
use crate::registry::kernel::app::App;
use crate::registry::kernel::dates::read_http_date;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::memory::Permit;
use crate::registry::kernel::outbound::{
    Authorization, Authorizations, HostAuthorization, OutboundRequest, OutboundResponse, RequestError, host_of,
    send_when_ready,
};
use crate::registry::kernel::pace::read_all;
use crate::registry::kernel::provider::Provider;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::url_login::UrlLogin;
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::repositories::host_credentials::HostCredentials;
use crate::store::packages::authority::{PreviousAnswer, StoredRoot, UpstreamRepository, Validators};

/// Most bytes of a document of one package: the largest of packagist.org has two million.
pub const MAX_PACKAGE_BYTES: usize = 8 << 20;

/// Most bytes of a document of many packages, which is kept as it is while they are read one by one.
pub const MAX_LISTING_BYTES: usize = 32 << 20;

/// Most bytes that are read of an answer that only tells of a failure, and most characters that are told on.
const MAX_ERROR_BYTES_READ: usize = 4096;
const MAX_ERROR_CHARACTERS: usize = 200;

/// Repositories decide by `Composer/` in which form they answer.
pub const USER_AGENT_TEXT: &str = concat!("Composer/2.0 (rostrum/", env!("CARGO_PKG_VERSION"), ")");

/// Most documents that an isolate asks one host for at the same time: composer itself asks for a dozen.
const MAX_REQUESTS_PER_HOST: usize = 8;
/// How long a request waits for those before it.
const PERMIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Attempts at one request when the server breaks off or is overloaded.
const MAX_ATTEMPTS: u32 = 2;
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// A document, or why there is none.
pub enum ConditionalResponse {
    /// It is what the asker has already.
    Unchanged,
    /// It is not there.
    Absent,
    /// Here it is.
    Document {
        /// At most as many bytes as were allowed.
        bytes: Vec<u8>,
        /// How to ask for it again.
        validators: Validators,
    },
}

/// A repository's root as it was read.
pub struct FetchedRoot {
    /// What is kept of it.
    pub stored: StoredRoot,
    /// Its text, in which the packages are, and the documents that it leads to.
    pub bytes: Vec<u8>,
}

/// An upstream repository, for the length of one piece of work.
pub struct ComposerClient<'a> {
    app: &'a App,
    base: Url,
    authorization: Option<Authorization>,
    hosts: Vec<HostAuthorization>,
    /// A login that stood in an address, for the host that it was meant for.
    login: Option<UrlLogin>,
    /// Requests sent so far.
    pub requests: i64,
    /// Bytes of bodies received so far.
    pub received_bytes: i64,
}

/// The address of a repository's root: its own when that names a file, else `packages.json` below it.
fn root_url(url: &str) -> Result<Url, UpstreamRepositoryError> {
    let address = |text: &str| Url::parse(text).map_err(|_| UpstreamRepositoryError::Address(url.to_owned()));
    if address(url)?.path().contains(".json") {
        return address(url);
    }
    address(&format!("{}/packages.json", url.trim_end_matches('/')))
}

impl<'a> ComposerClient<'a> {
    /// The way to `upstream`.
    pub fn new(app: &'a App, upstream: &UpstreamRepository) -> Result<Self, UpstreamRepositoryError> {
        let UpstreamRepository { uid, url, credential_type, credentials, .. } = upstream;
        let credentials = Credentials::open(app, uid, credential_type, credentials.as_deref())?;
        let provider = Provider::parse(&upstream.provider).unwrap_or(Provider::Composer);
        Ok(Self {
            app,
            base: root_url(url)?,
            authorization: credentials.authorization(provider),
            hosts: HostCredentials::open(app, uid, upstream.host_credentials.as_deref())?.authorizations(),
            login: None,
            requests: 0,
            received_bytes: 0,
        })
    }

    /// Sends `login` to the host that it is meant for, in place of the repository's own credentials.
    pub fn log_in(&mut self, login: UrlLogin) {
        self.login = Some(login);
    }

    /// The address that `reference`, a part of its documents, stands for.
    pub fn resolve(&self, reference: &str) -> Result<Url, UpstreamRepositoryError> {
        let refused = || UpstreamRepositoryError::Address(reference.to_owned());
        // A URL is read without the line breaks in it; nobody writes them by mistake.
        if reference.contains(char::is_control) {
            return Err(refused());
        }
        self.base.join(reference).map_err(|_| refused())
    }

    /// The mirrors of archives that its root names, with their addresses in full: one that begins with a slash is on the
    /// root's own host.
    pub fn mirrors(&self, root: &RepositoryRoot) -> Vec<DistMirror> {
        let in_full = |mirror: &DistMirror| {
            let is_on_host = mirror.url.starts_with('/') && !mirror.url.starts_with("//");
            let origin = if is_on_host { self.base.origin().ascii_serialization() } else { String::new() };
            DistMirror { url: format!("{origin}{}", mirror.url), preferred: mirror.preferred }
        };
        root.mirrors.iter().map(in_full).collect()
    }

    /// Reads the root; `None` when it has not changed since `known`.
    pub async fn root(&mut self, known: Option<&Validators>) -> Result<Option<FetchedRoot>, UpstreamRepositoryError> {
        match self.get_listing(self.base.clone(), "packages.json", known, MAX_LISTING_BYTES).await? {
            ConditionalResponse::Unchanged => Ok(None),
            ConditionalResponse::Absent => Err(UpstreamRepositoryError::NotARepository),
            ConditionalResponse::Document { bytes, validators } => {
                let (root, _) = read_root(&bytes)?;
                Ok(Some(FetchedRoot { stored: StoredRoot { root, validators }, bytes }))
            }
        }
    }

    /// Reads a document that another one names, of at most `limit` bytes.
    pub async fn named(&mut self, reference: &str, limit: usize) -> Result<Vec<u8>, UpstreamRepositoryError> {
        match self.get_listing(self.resolve(reference)?, reference, None, limit).await? {
            ConditionalResponse::Document { bytes, .. } => Ok(bytes),
            ConditionalResponse::Absent | ConditionalResponse::Unchanged => {
                Err(UpstreamRepositoryError::Missing { name: reference.to_owned() })
            }
        }
    }

    /// Asks for a document that is called `name`, and is named if it is too large.
    async fn get_listing(
        &mut self,
        url: Url,
        name: &str,
        known: Option<&Validators>,
        limit: usize,
    ) -> Result<ConditionalResponse, UpstreamRepositoryError> {
        self.get(url, known, limit).await.map_err(|error| match error {
            UpstreamRepositoryError::Request(RequestError::TooLarge { limit }) => {
                UpstreamRepositoryError::LargeDocument { name: name.to_owned(), limit }
            }
            error => error,
        })
    }

    /// Asks for a document of at most `limit` bytes, on condition that it has changed when its validators are known.
    pub async fn get(
        &mut self,
        url: Url,
        known: Option<&Validators>,
        limit: usize,
    ) -> Result<ConditionalResponse, UpstreamRepositoryError> {
        let _permit = self.acquire_permit(&url).await?;
        let mut attempt = 1;
        loop {
            match self.get_once(url.clone(), known, limit).await {
                Err(error) if attempt < MAX_ATTEMPTS && error.is_transient() => {
                    attempt += 1;
                    self.app.ports.clock.sleep(RETRY_DELAY).await;
                }
                result => return result,
            }
        }
    }

    /// Waits until the host of `url` is asked for few enough documents. A permit that is held for long because the host
    /// is slow expires.
    async fn acquire_permit(&self, url: &Url) -> Result<Permit, Failure> {
        let host = url.host_str().unwrap_or_default();
        let names: Vec<String> =
            (1..=MAX_REQUESTS_PER_HOST).map(|number| format!("upstream:{host}:{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let permit = self.app.acquire_permit(&names, PERMIT_TIMEOUT).await;
        permit.ok_or_else(|| {
            let message = format!("Too many packages are being asked of {host} at the moment. Try again.");
            Failure::new(Kind::upstream_busy(None), message)
        })
    }

    /// Asks a question by a form; the answer, of at most `limit` bytes.
    pub async fn ask(&mut self, url: Url, form: String, limit: usize) -> Result<Vec<u8>, UpstreamRepositoryError> {
        let _permit = self.acquire_permit(&url).await?;
        let mut headers = headers(None);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let asked = OutboundRequest { method: Method::POST, url, headers, body: form.into() };
        let mut answer = self.send_request(asked).await?;
        if answer.response.status != StatusCode::OK {
            return Err(self.response_error(answer).await);
        }
        let bytes = read_all(self.app, &mut *answer.response.body, limit).await?;
        self.received_bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Ok(bytes)
    }

    async fn get_once(
        &mut self,
        url: Url,
        known: Option<&Validators>,
        limit: usize,
    ) -> Result<ConditionalResponse, UpstreamRepositoryError> {
        let mut answer = self.send(url, known).await?;
        match answer.response.status {
            StatusCode::OK => {
                let bytes = read_all(self.app, &mut *answer.response.body, limit).await?;
                self.received_bytes += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                let text = |name: HeaderName| {
                    answer.response.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
                };
                let validators = Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) };
                Ok(ConditionalResponse::Document { bytes, validators })
            }
            StatusCode::NOT_MODIFIED if known.is_some() => Ok(ConditionalResponse::Unchanged),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(ConditionalResponse::Absent),
            _ => Err(self.response_error(answer).await),
        }
    }

    /// Sends one request with the credentials that are meant for its host, and for those that it is redirected to.
    pub async fn send(
        &mut self,
        url: Url,
        known: Option<&Validators>,
    ) -> Result<OutboundResponse, UpstreamRepositoryError> {
        self.send_request(OutboundRequest { method: Method::GET, url, headers: headers(known), body: Bytes::new() })
            .await
    }

    async fn send_request(&mut self, asked: OutboundRequest) -> Result<OutboundResponse, UpstreamRepositoryError> {
        let login = self.login.as_ref().and_then(|login| login.authorization(&asked.url));
        let own = || self.authorization.as_ref().filter(|_| asked.url.origin() == self.base.origin());
        let authorizations = Authorizations { origin: login.as_ref().or_else(own), hosts: &self.hosts };
        self.requests += 1;
        let answer = send_when_ready(self.app, asked, authorizations).await?;
        self.requests += i64::from(answer.requests) - 1;
        Ok(answer)
    }

    /// Why the server did not send what was asked for, in its own words if it has some. Whoever hides what is there may
    /// say 404.
    pub async fn response_error(&self, mut answer: OutboundResponse) -> UpstreamRepositoryError {
        let status = answer.response.status.as_u16();
        let message = match read_all(self.app, &mut *answer.response.body, MAX_ERROR_BYTES_READ).await {
            Ok(bytes) => error_message(&bytes).map(|text| format!(": {text}")).unwrap_or_default(),
            Err(_) => String::new(),
        };
        let is_own = answer.url.origin() == self.base.origin();
        match answer.response.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if !is_own => {
                let host = host_of(&answer.url);
                let has_credentials = self.hosts.iter().any(|one| one.host == host);
                UpstreamRepositoryError::HostRefused { host, status, message, has_credentials }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UpstreamRepositoryError::Refused { status, message },
            _ => UpstreamRepositoryError::Status { status, message },
        }
    }
}

fn headers(known: Option<&Validators>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let conditions = known.map(|known| [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)]);
    for (name, value) in conditions.into_iter().flatten() {
        if let Some(Ok(value)) = value.as_deref().map(HeaderValue::try_from) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What a JSON answer says to people.
fn error_message(bytes: &[u8]) -> Option<String> {
    let answer = json::parse(bytes).ok()?;
    let text = ["warning", "error", "message", "info"].iter().find_map(|key| answer.get(key)?.as_str())?;
    Some(text.chars().filter(|letter| !letter.is_control()).take(MAX_ERROR_CHARACTERS).collect())
}

/// What an upstream has of one package.
pub enum Fetched {
    /// What it had before.
    Unchanged,
    /// Nothing.
    Absent,
    /// Its versions; none at all when it only claims the name.
    Documents {
        /// Of the one document after the other.
        versions: Vec<Versions>,
        /// What the first of them says to be wrong with the package; Composer reads no other one for that.
        notices: DocumentNotices,
        /// What to compare the documents with next time.
        published: PreviousAnswer,
        /// Their bytes.
        bytes: usize,
    },
}

/// When the latest of a package's documents was changed, if its server says so of each that it has validators of.
pub fn changed_at(answer: &PreviousAnswer) -> Option<Millis> {
    let is_there = |validators: &&Validators| **validators != Validators::default();
    let date = |validators: &Validators| validators.last_modified.as_deref().and_then(read_http_date);
    let dates: Option<Vec<Millis>> = answer.validators.iter().filter(is_there).map(date).collect();
    dates?.into_iter().max()
}

/// Asks for the two documents of a package at the addresses that `template` stands for. When one of them has changed,
/// both are read: the package is rendered from all its versions.
pub async fn fetch_package(
    remote: &mut ComposerClient<'_>,
    template: &str,
    name: &PackageName,
    known: Option<&[Validators]>,
) -> Result<Fetched, UpstreamRepositoryError> {
    let urls = ["", "~dev"].map(|part| remote.resolve(&template.replace("%package%", &format!("{name}{part}"))));
    let mut got = Vec::with_capacity(urls.len());
    for (place, url) in urls.into_iter().enumerate() {
        let url = url?;
        let condition = known.and_then(|known| known.get(place));
        got.push((url.clone(), remote.get(url, condition, MAX_PACKAGE_BYTES).await?));
    }
    // One that is absent has no validators, so one that was there before is seen to be gone.
    let is_same = |(place, (_, got)): (usize, &(Url, ConditionalResponse))| match got {
        ConditionalResponse::Unchanged => true,
        ConditionalResponse::Absent => {
            known.and_then(|known| known.get(place)).is_some_and(|known| *known == Validators::default())
        }
        ConditionalResponse::Document { .. } => false,
    };
    if got.iter().any(|(_, got)| matches!(got, ConditionalResponse::Unchanged)) && got.iter().enumerate().all(is_same) {
        return Ok(Fetched::Unchanged);
    }
    let mut hasher = Sha256::new();
    let (mut versions, mut validators, mut size) = (Vec::new(), Vec::new(), 0);
    let mut notices = DocumentNotices::default();
    let mut budget = JsonBudget::default();
    for (place, (url, got)) in got.into_iter().enumerate() {
        let got = match got {
            ConditionalResponse::Unchanged => remote.get(url, None, MAX_PACKAGE_BYTES).await?,
            other => other,
        };
        let ConditionalResponse::Document { bytes, validators: these } = got else {
            validators.push(Validators::default());
            hasher.update([0]);
            continue;
        };
        hasher.update(Sha256::digest(&bytes));
        validators.push(these);
        size += bytes.len();
        let Some(document) = read_package(&bytes, name, &mut budget)? else { continue };
        versions.push(document.versions);
        if place == 0 {
            notices = document.notices;
        }
    }
    if versions.is_empty() {
        return Ok(Fetched::Absent);
    }
    let published = PreviousAnswer { validators, digest: Some(hex::encode(hasher.finalize())) };
    Ok(Fetched::Documents { versions, notices, published, bytes: size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_file_that_is_named_or_packages_json_below() {
        for (url, expected) in [
            ("https://repo.test", "https://repo.test/packages.json"),
            ("https://repo.test/org/acme/", "https://repo.test/org/acme/packages.json"),
            ("https://repo.test/satis/root.json", "https://repo.test/satis/root.json"),
        ] {
            assert_eq!(root_url(url).expect("an address").as_str(), expected);
        }
    }

    #[test]
    fn a_servers_own_words_are_told_shortened_and_on_one_line() {
        assert_eq!(error_message(br#"{"error": "no\nway"}"#).as_deref(), Some("noway"));
        assert_eq!(error_message(br#"{"warning": 5}"#), None);
        assert_eq!(error_message(b"<html>"), None);
        let long = format!("{{\"message\": \"{}\"}}", "x".repeat(1000));
        assert_eq!(error_message(long.as_bytes()).map(|text| text.len()), Some(MAX_ERROR_CHARACTERS));
    }
}
