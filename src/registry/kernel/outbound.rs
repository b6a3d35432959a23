//! Requests to somebody else's server: who is shown which credentials, how redirects are followed, and how much of an
//! answer is read. Credentials go to the origin or to the host that they were given for, and to no other.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::{Origin, Url};

use crate::ports::{HttpClientError, HttpRequest, HttpResponse, Millis};
use crate::registry::kernel::address_policy::{ForbiddenUrl, check_target};
use crate::registry::kernel::app::App;
use crate::registry::kernel::content_encoding::decode;
use crate::registry::kernel::dates::read_http_date;

/// How long an upstream may be silent.
pub const TIMEOUT: Duration = Duration::from_secs(30);

const MAX_REDIRECTS: usize = 5;

/// How long a server that has had too many requests is waited for, all in all; composer waits up to a minute for us.
const MAX_BUSY_WAIT: Duration = Duration::from_secs(30);
/// Attempts at one request while a server is busy.
const MAX_BUSY_ATTEMPTS: u32 = 3;
/// The shortest time to wait before another attempt.
const MIN_BUSY_WAIT: Duration = Duration::from_millis(500);

/// Headers that one origin is to see and no other: credentials.
#[derive(Clone)]
pub struct Authorization(HeaderMap);

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization(…)")
    }
}

impl Authorization {
    /// HTTP Basic.
    pub fn basic(user: &str, password: &str) -> Option<Self> {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        Self::value(&format!("Basic {encoded}"))
    }

    /// A bearer token.
    pub fn bearer(token: &str) -> Option<Self> {
        Self::value(&format!("Bearer {token}"))
    }

    fn value(text: &str) -> Option<Self> {
        Some(Self::headers([(AUTHORIZATION, HeaderValue::try_from(text).ok()?)]))
    }

    /// Whatever headers a server has asked for.
    pub fn headers(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let mut all: HeaderMap = headers.into_iter().collect();
        all.values_mut().for_each(|value| value.set_sensitive(true));
        Self(all)
    }

    /// The same, and `more` for the same origin.
    #[must_use]
    pub fn with(mut self, more: &Self) -> Self {
        self.0.extend(more.0.clone());
        self
    }
}

/// Credentials for a host, whatever is asked of it.
#[derive(Debug, Clone)]
pub struct HostAuthorization {
    /// Its name, with the port if that is not the usual one.
    pub host: String,
    /// What it is shown.
    pub authorization: Authorization,
}

/// The host of an address, with the port if that is not the usual one.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The credentials of a request, each for those whom it is meant for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Authorizations<'a> {
    /// For the origin that is asked first.
    pub origin: Option<&'a Authorization>,
    /// For hosts, asked first or redirected to.
    pub hosts: &'a [HostAuthorization],
}

impl<'a> From<Option<&'a Authorization>> for Authorizations<'a> {
    fn from(origin: Option<&'a Authorization>) -> Self {
        Self { origin, hosts: &[] }
    }
}

impl<'a> Authorizations<'a> {
    /// What `url` is shown.
    fn for_url(&self, url: &Url, first: &Origin) -> Option<&'a Authorization> {
        let of_host = || self.hosts.iter().find(|one| one.host == host_of(url)).map(|one| &one.authorization);
        self.origin.filter(|_| url.origin() == *first).or_else(of_host)
    }
}

/// Why an upstream request brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// It did not answer.
    #[error(transparent)]
    NoAnswer(#[from] HttpClientError),
    /// Its address may not be asked any more: the operator's settings have changed.
    #[error("the address {0}")]
    ForbiddenAddress(ForbiddenUrl),
    /// It sent us to a place that may not be asked.
    #[error("the server redirects to an address that {0}")]
    ForbiddenRedirect(ForbiddenUrl),
    /// It sent us around.
    #[error("the server redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// It broke off.
    #[error("the server's answer broke off: {0}")]
    BrokenOff(String),
    /// It sends a byte now and then.
    #[error("the server sends less than {min_bytes} bytes in {} s", .window.as_secs())]
    TooSlow {
        /// Fewest bytes that have to come.
        min_bytes: u64,
        /// In which time.
        window: Duration,
    },
    /// It sends for too long.
    #[error("the server's answer had not come as a whole after {} s", .limit.as_secs())]
    TookTooLong {
        /// The longest time that is waited.
        limit: Duration,
    },
    /// It has compressed it in a way that nobody asked for.
    #[error("the server's answer is compressed as `{}`, which is not understood here", composer::excerpt(.0))]
    UnknownEncoding(String),
    /// It has had too many requests.
    #[error("the server has had too many requests (HTTP {status}){}", wait_words(*.retry_after))]
    Busy {
        /// HTTP status.
        status: u16,
        /// For how long it asks to be left alone, if it says so.
        retry_after: Option<Duration>,
    },
    /// It says more than we can hold.
    #[error("the server's answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
}

fn wait_words(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs().max(1))).unwrap_or_default()
}

/// A request to make.
#[derive(Clone)]
pub struct OutboundRequest {
    /// `GET` or `POST`.
    pub method: Method,
    /// Where; checked again before it is asked.
    pub url: Url,
    /// Headers besides the credentials.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

/// What came back, and from where.
pub struct OutboundResponse {
    /// The address that answered, after redirects.
    pub url: Url,
    /// The answer.
    pub response: HttpResponse,
    /// How many requests it took.
    pub requests: u32,
}

/// Asks, and follows redirects; each address is shown what is meant for it. Method and body are kept: git servers redirect renamed repositories, and a `POST` must
/// arrive there as one.
pub async fn send(
    app: &App,
    ask: OutboundRequest,
    authorizations: Authorizations<'_>,
) -> Result<OutboundResponse, RequestError> {
    let reach = app.address_policy();
    let origin = ask.url.origin();
    let mut url = ask.url;
    for requests in 1..=MAX_REDIRECTS + 1 {
        check_target(&url, reach).map_err(|error| match requests {
            1 => RequestError::ForbiddenAddress(error),
            _ => RequestError::ForbiddenRedirect(error),
        })?;
        let mut headers = ask.headers.clone();
        if let Some(authorization) = authorizations.for_url(&url, &origin) {
            headers.extend(authorization.0.clone());
        }
        let request = HttpRequest {
            method: ask.method.clone(),
            url: url.clone(),
            headers,
            body: ask.body.clone(),
            timeout: TIMEOUT,
        };
        let response = app.ports.http_client.send(request).await?;
        let target = response
            .headers
            .get(LOCATION)
            .filter(|_| response.status.is_redirection())
            .and_then(|location| location.to_str().ok())
            .and_then(|location| url.join(location).ok());
        if let Some(target) = target {
            url = target;
            continue;
        }
        let response = decode(response).map_err(RequestError::UnknownEncoding)?;
        return Ok(OutboundResponse { url, response, requests: u32::try_from(requests).unwrap_or(u32::MAX) });
    }
    Err(RequestError::TooManyRedirects)
}

/// As [`send`]. A server that has had too many requests (429, or 503 with a `Retry-After`) is asked again when it says,
/// if that is soon.
///
/// # Errors
/// [`RequestError::Busy`] when it is not, or does not help.
pub async fn send_when_ready<'a>(
    app: &App,
    ask: OutboundRequest,
    authorizations: impl Into<Authorizations<'a>>,
) -> Result<OutboundResponse, RequestError> {
    let authorizations = authorizations.into();
    let (mut waited, mut requests, mut attempts_left) = (Duration::ZERO, 0, MAX_BUSY_ATTEMPTS);
    loop {
        let mut answer = send(app, ask.clone(), authorizations).await?;
        requests += answer.requests;
        answer.requests = requests;
        let status = answer.response.status;
        let retry_after = retry_after(&answer.response.headers, app.now());
        match status {
            StatusCode::TOO_MANY_REQUESTS => {}
            StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {}
            _ => return Ok(answer),
        }
        attempts_left -= 1;
        let wait = retry_after.map(|wait| wait.max(MIN_BUSY_WAIT)).filter(|wait| waited + *wait <= MAX_BUSY_WAIT);
        let Some(wait) = wait.filter(|_| attempts_left > 0) else {
            return Err(RequestError::Busy { status: status.as_u16(), retry_after });
        };
        waited += wait;
        app.ports.clock.sleep(wait).await;
    }
}

/// For how long a server asks to be left alone: a number of seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    read_http_date(text).map(|at| now.until(at))
}
