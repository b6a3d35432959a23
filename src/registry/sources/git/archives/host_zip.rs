//! The zip that a repository's host makes of a commit, in place of one that cannot be built here because of our limits. It
//! is streamed into the blob store as it is, once: what the host makes of the commit later does not matter.

use std::time::Duration;

use composer::DistType;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::ports::{HttpClientError, Millis};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::outbound::{Authorization, OutboundRequest, RequestError, send_when_ready};
use crate::registry::kernel::provider::Provider;
use crate::registry::kernel::slices::Slices;
use crate::registry::sources::git::archives::failure::{ArchiveRefusal, BuildFailure};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::incoming_archive::{IncomingArchive, IncomingArchiveError};
use crate::registry::sources::repositories::credentials::Credentials;
use crate::store::sources::dists::NewArtifact;
use crate::store::sources::repositories::Repository;

/// Largest zip of a host that is taken: hashing it takes some twenty seconds of CPU time, of five minutes.
const MAX_BYTES: u64 = 2 << 30;

/// How long all of it may take. A job has a quarter of an hour.
pub const MAX_TIME: Duration = Duration::from_mins(10);

/// Attempts when the host breaks off or does not answer.
const MAX_ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Both hashes of a byte, as work.
const HASH_WORK: u64 = 2;

/// GitHub refuses requests that do not name their program.
const USER_AGENT_TEXT: HeaderValue = HeaderValue::from_static(concat!("rostrum/", env!("CARGO_PKG_VERSION")));

/// Why a host's zip is not taken.
#[derive(Debug, thiserror::Error)]
enum HostZipError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Not 200.
    #[error("it answers with HTTP {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// It is no zip, or too large.
    #[error(transparent)]
    Archive(#[from] IncomingArchiveError),
    /// It did not come in time.
    #[error("it did not come within {} min", MAX_TIME.as_secs() / 60)]
    TooSlow,
}

impl HostZipError {
    /// Whether the same request may succeed a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Request(error) | Self::Archive(IncomingArchiveError::Request(error)) => matches!(
                error,
                RequestError::NoAnswer(HttpClientError::Unreachable(_) | HttpClientError::TimedOut(_))
                    | RequestError::BrokenOff(_)
            ),
            Self::Status { status } => *status >= 500,
            Self::Archive(_) | Self::TooSlow => false,
        }
    }
}

/// A host that makes zips of the commits of a repository.
pub struct ZipHost {
    provider: Provider,
    repository: Url,
    authorization: Option<Authorization>,
}

impl ZipHost {
    /// The host of a repository, if it is known to make zips. They are of whole repositories, so a package in a sub-directory
    /// has none.
    pub fn of(app: &App, repository: &Repository) -> Result<Option<Self>, Failure> {
        let provider = Provider::parse(&repository.provider).unwrap_or(Provider::Git);
        let Ok(url) = Url::parse(&repository.url) else { return Ok(None) };
        if !repository.path.is_empty() || provider.zip_url(&url, "").is_none() {
            return Ok(None);
        }
        let Repository { uid, credential_type, credentials, .. } = repository;
        let credentials = Credentials::open(app, uid, credential_type, credentials.as_deref())?;
        Ok(Some(Self { provider, repository: url, authorization: credentials.api_authorization(provider) }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.repository.host_str().unwrap_or_default()
    }

    /// Fetches and stores its zip of `commit`, in place of one that was refused.
    ///
    /// # Errors
    /// The refusal, with the reason why there is none of the host either.
    pub async fn fetch(
        &self,
        app: &App,
        commit: &str,
        refusal: ArchiveRefusal,
        slices: &mut Slices<'_>,
    ) -> Result<HostZip, BuildFailure> {
        let until = app.now().plus(MAX_TIME);
        let mut attempts_left = MAX_ATTEMPTS;
        loop {
            attempts_left -= 1;
            let error = match self.fetch_once(app, commit, until, slices).await {
                Ok(artifact) => return Ok(HostZip { artifact, refusal }),
                Err(error) => error,
            };
            match error {
                HostZipError::Archive(IncomingArchiveError::Fault(fault)) => return Err(fault.into()),
                HostZipError::Request(busy @ RequestError::Busy { .. }) => return Err(SyncError::Request(busy).into()),
                error if error.is_transient() && attempts_left > 0 && app.now() < until => {
                    app.ports.clock.sleep(RETRY_DELAY).await;
                }
                error => {
                    let (host, reason) = (self.name().to_owned(), error.to_string());
                    let refusal = Box::new(refusal);
                    return Err(BuildFailure::ForEver(ArchiveRefusal::WithoutHostZip { refusal, host, reason }));
                }
            }
        }
    }

    async fn fetch_once(
        &self,
        app: &App,
        commit: &str,
        until: Millis,
        slices: &mut Slices<'_>,
    ) -> Result<NewArtifact, HostZipError> {
        let Some(url) = self.provider.zip_url(&self.repository, commit) else {
            return Err(HostZipError::Status { status: StatusCode::NOT_FOUND.as_u16() });
        };
        let headers = HeaderMap::from_iter([(USER_AGENT, USER_AGENT_TEXT)]);
        let asked = OutboundRequest { method: Method::GET, url, headers, body: bytes::Bytes::new() };
        let mut response = send_when_ready(app, asked, self.authorization.as_ref()).await?.response;
        if response.status != StatusCode::OK {
            return Err(HostZipError::Status { status: response.status.as_u16() });
        }
        let mut archive = IncomingArchive::new(app, DistType::Zip, MAX_BYTES, &response.headers)?;
        let received = async {
            while let Some(bytes) = archive.take_next(&mut *response.body).await? {
                if app.now() >= until {
                    return Err(HostZipError::TooSlow);
                }
                slices.spend(bytes as u64 * HASH_WORK).await;
            }
            Ok(archive.check()?)
        };
        match received.await {
            Ok(()) => Ok(archive.keep().await.map_err(IncomingArchiveError::from)?),
            Err(error) => {
                archive.discard().await;
                Err(error)
            }
        }
    }
}

/// A host's zip that is stored, in place of one that cannot be built.
pub struct HostZip {
    /// What the database is to know of it.
    pub artifact: NewArtifact,
    /// Why it cannot.
    pub refusal: ArchiveRefusal,
}
