//! Talking to somebody else's server: which addresses may be asked, who is shown which credentials, how redirects are
//! followed, and how much of an answer is read.
//!
//! Only https, and no private, loopback or link-local address, unless the operator allows them for local use. What a
//! name resolves to cannot be seen from here; Cloudflare's egress does not reach private networks. Credentials
//! go to the origin they were given for and to no other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use url::{Host, Url};

use crate::ports::{ByteStream, Fault, UpstreamError, UpstreamRequest, UpstreamResponse};
use crate::registry::App;

/// How long an upstream may be silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

const MAX_REDIRECTS: usize = 5;

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenUrl {
    /// Not a URL at all.
    #[error("is not a URL; use https://host/path")]
    NotAUrl,
    /// ssh, file, git://, http.
    #[error("must start with https://")]
    NotHttps,
    /// `https://user:password@host`.
    #[error("must not hold credentials; put them into `auth_credentials`")]
    HoldsCredentials,
    /// `?` or `#`.
    #[error("must not have a query or a fragment")]
    HasQuery,
    /// An address inside somebody's network.
    #[error("must not lead to a private, loopback or link-local address")]
    Private,
}

/// Whether only public https addresses may be asked, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// https to public addresses.
    Public,
    /// http, loopback and private addresses too; for local use and tests.
    Anywhere,
}

/// Checks an address that a user has given.
pub fn check_url(text: &str, reach: Reach) -> Result<Url, ForbiddenUrl> {
    let url = Url::parse(text).map_err(|_| ForbiddenUrl::NotAUrl)?;
    check_target(&url, reach)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ForbiddenUrl::HasQuery);
    }
    Ok(url)
}

/// Checks an address that is about to be asked, whoever has given it.
pub fn check_target(url: &Url, reach: Reach) -> Result<(), ForbiddenUrl> {
    match (url.scheme(), reach) {
        ("https", _) | ("http", Reach::Anywhere) => {}
        _ => return Err(ForbiddenUrl::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ForbiddenUrl::HoldsCredentials);
    }
    match url.host() {
        None => Err(ForbiddenUrl::NotAUrl),
        Some(_) if reach == Reach::Anywhere => Ok(()),
        Some(host) if is_private(&host) => Err(ForbiddenUrl::Private),
        Some(_) => Ok(()),
    }
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => !is_public(IpAddr::V4(*address)),
        Host::Ipv6(address) => !is_public(IpAddr::V6(*address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let inside = ["localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp", "home"];
            !name.contains('.') || inside.iter().any(|suffix| name.ends_with(&format!(".{suffix}")))
        }
    }
}

/// Whether an address belongs to the public internet, by IANA's special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, ..] = v6.segments();
    // Only 2000::/3 is given out; in it, 6to4, Teredo, documentation and benchmarks are not hosts.
    (0x2000..0x4000).contains(&first)
        && first != 0x2002
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

/// Credentials for one origin.
#[derive(Clone)]
pub struct Authorization(HeaderValue);

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authorization(…)")
    }
}

impl Authorization {
    /// HTTP Basic.
    pub fn basic(user: &str, password: &str) -> Option<Self> {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// A bearer token.
    pub fn bearer(token: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

/// Why an upstream request brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// It did not answer.
    #[error(transparent)]
    NoAnswer(#[from] UpstreamError),
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
    /// It says more than we can hold.
    #[error("the server's answer is larger than {limit} bytes")]
    TooLarge {
        /// Bytes.
        limit: usize,
    },
}

/// A request to make.
pub struct Ask {
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
pub struct Answer {
    /// The address that answered, after redirects.
    pub url: Url,
    /// The answer.
    pub response: UpstreamResponse,
    /// How many requests it took.
    pub requests: u32,
}

/// Asks, and follows redirects. Method and body are kept: git servers redirect renamed repositories, and a `POST` must
/// arrive there as one.
pub async fn ask(app: &App, ask: Ask, authorization: Option<&Authorization>) -> Result<Answer, RequestError> {
    let reach = app.reach();
    let origin = ask.url.origin();
    let mut url = ask.url;
    for requests in 1..=MAX_REDIRECTS + 1 {
        check_target(&url, reach).map_err(|error| match requests {
            1 => RequestError::ForbiddenAddress(error),
            _ => RequestError::ForbiddenRedirect(error),
        })?;
        let mut headers = ask.headers.clone();
        if let Some(authorization) = authorization
            && url.origin() == origin
        {
            headers.insert(AUTHORIZATION, authorization.0.clone());
        }
        let request = UpstreamRequest {
            method: ask.method.clone(),
            url: url.clone(),
            headers,
            body: ask.body.clone(),
            patience: PATIENCE,
        };
        let response = app.ports.upstream.send(request).await?;
        let target = response
            .headers
            .get(LOCATION)
            .filter(|_| response.status.is_redirection())
            .and_then(|location| location.to_str().ok())
            .and_then(|location| url.join(location).ok());
        match target {
            Some(target) => url = target,
            None => return Ok(Answer { url, response, requests: u32::try_from(requests).unwrap_or(u32::MAX) }),
        }
    }
    Err(RequestError::TooManyRedirects)
}

/// Reads a body of at most `limit` bytes.
pub async fn read_all(body: &mut dyn ByteStream, limit: usize) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next_chunk().await {
        let chunk = chunk.map_err(|Fault { reason, .. }| RequestError::BrokenOff(reason))?;
        if bytes.len() + chunk.len() > limit {
            return Err(RequestError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_addresses_may_be_asked() {
        for url in ["https://github.com/acme/lib", "https://8.8.8.8/x", "https://[2606:4700::1]/x"] {
            assert!(check_url(url, Reach::Public).is_ok(), "{url}");
        }
        for (url, expected) in [
            ("http://github.com/acme/lib", ForbiddenUrl::NotHttps),
            ("ssh://git@github.com/acme/lib", ForbiddenUrl::NotHttps),
            ("git@github.com:acme/lib.git", ForbiddenUrl::NotAUrl),
            ("file:///etc/passwd", ForbiddenUrl::NotHttps),
            ("https://user:secret@github.com/acme/lib", ForbiddenUrl::HoldsCredentials),
            ("https://github.com/acme/lib?x=1", ForbiddenUrl::HasQuery),
            ("https://127.0.0.1/x", ForbiddenUrl::Private),
            ("https://2130706433/x", ForbiddenUrl::Private),
            ("https://0x7f.1/x", ForbiddenUrl::Private),
            ("https://10.1.2.3/x", ForbiddenUrl::Private),
            ("https://172.31.0.1/x", ForbiddenUrl::Private),
            ("https://192.168.1.1/x", ForbiddenUrl::Private),
            ("https://169.254.169.254/latest", ForbiddenUrl::Private),
            ("https://100.64.0.1/x", ForbiddenUrl::Private),
            ("https://0.0.0.0/x", ForbiddenUrl::Private),
            ("https://[::1]/x", ForbiddenUrl::Private),
            ("https://[::ffff:10.0.0.1]/x", ForbiddenUrl::Private),
            ("https://[fe80::1]/x", ForbiddenUrl::Private),
            ("https://[fd00::1]/x", ForbiddenUrl::Private),
            ("https://localhost/x", ForbiddenUrl::Private),
            ("https://localhost./x", ForbiddenUrl::Private),
            ("https://git.internal/x", ForbiddenUrl::Private),
            ("https://gitserver/x", ForbiddenUrl::Private),
        ] {
            assert_eq!(check_url(url, Reach::Public).err(), Some(expected), "{url}");
        }
    }

    #[test]
    fn local_use_may_ask_loopback_over_http_but_never_with_credentials_in_the_url() {
        assert!(check_url("http://127.0.0.1:8080/repo.git", Reach::Anywhere).is_ok());
        assert_eq!(check_url("http://u:p@127.0.0.1/x", Reach::Anywhere).err(), Some(ForbiddenUrl::HoldsCredentials));
    }
}
