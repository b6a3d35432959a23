//! Why an upstream repository could not be read.

use composer::{InvalidRepository, excerpt};

use crate::ports::{DatabaseError, Fault, HttpClientError};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::outbound::RequestError;

/// Why an upstream repository could not be read, in words for its owner. Nothing here holds a credential.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamRepositoryError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// 401 or 403.
    #[error("the server refuses the credentials (HTTP {status}{message}); check `auth_credentials`")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server said, after a colon.
        message: String,
    },
    /// 401, 403 or 404 of another host than the repository's own.
    #[error("{host} answers with HTTP {status}{message}; {}", host_advice(*.has_credentials))]
    HostRefused {
        /// The host, with its port.
        host: String,
        /// HTTP status.
        status: u16,
        /// What the server said, after a colon.
        message: String,
        /// Whether it was shown credentials of its own.
        has_credentials: bool,
    },
    /// The root is not there.
    #[error("there is no packages.json at this address, or the credentials may not see it (HTTP 404)")]
    NotARepository,
    /// A document that another one names is not there.
    #[error("`{}` is named by the repository, but not there (HTTP 404)", excerpt(.name))]
    Missing {
        /// Its address.
        name: String,
    },
    /// Any other status.
    #[error("the server answers with HTTP {status}{message}")]
    Status {
        /// HTTP status.
        status: u16,
        /// What the server said, after a colon.
        message: String,
    },
    /// It says what cannot be understood.
    #[error(transparent)]
    Document(#[from] InvalidRepository),
    /// A document that another one names says what cannot be understood.
    #[error("`{}`: {reason}", excerpt(.name))]
    Included {
        /// Its address.
        name: String,
        /// What is wrong with it.
        reason: InvalidRepository,
    },
    /// A document of many packages is too large.
    #[error(
        "`{}` is larger than {limit} bytes; serve the repository with `metadata-url`, so that its packages are asked for by name",
        excerpt(.name)
    )]
    LargeDocument {
        /// Its address.
        name: String,
        /// Bytes.
        limit: usize,
    },
    /// An address in its documents leads nowhere.
    #[error("`{}` in its packages.json is not a URL", excerpt(.0))]
    Address(String),
    /// A document is another one than was announced.
    #[error("`{}` does not have the hash that the repository states for it", excerpt(.name))]
    Hash {
        /// Its address.
        name: String,
    },
    /// Its lists have nothing in them any more.
    #[error(
        "the repository lists no package any more; what it had ({had} packages) is kept as it was. If that is right, remove \
         the repository"
    )]
    ListsNothing {
        /// Packages that it had.
        had: usize,
    },
    /// It has more than is read.
    #[error("the repository {0}; serve it with `metadata-url`, so that its packages are asked for by name")]
    TooLarge(String),
    /// The registry failed; the text for the owner is the refusal's own.
    #[error("{}", .0.detail)]
    Internal(Failure),
}

fn host_advice(has_credentials: bool) -> &'static str {
    if has_credentials {
        "check its credentials in `host_credentials` of the repository"
    } else {
        "if it wants credentials, give them with `host_credentials` of the repository"
    }
}

impl From<Failure> for UpstreamRepositoryError {
    fn from(failure: Failure) -> Self {
        Self::Internal(failure)
    }
}

impl From<DatabaseError> for UpstreamRepositoryError {
    fn from(error: DatabaseError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Fault> for UpstreamRepositoryError {
    fn from(fault: Fault) -> Self {
        Self::Internal(fault.into())
    }
}

impl UpstreamRepositoryError {
    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Request(RequestError::NoAnswer(HttpClientError::Unreachable(_)))
                | Self::Status { status: 500 | 502 | 503 | 504, .. }
        )
    }

    /// Whether the same may come of every request, because it does not lie in one document.
    pub fn may_concern_all(&self) -> bool {
        let is_refusal = matches!(self, Self::Refused { .. } | Self::HostRefused { .. } | Self::Status { .. });
        self.is_server_failure() || is_refusal || matches!(self, Self::NotARepository)
    }

    /// Whether the server is to blame.
    pub fn is_server_failure(&self) -> bool {
        match self {
            Self::Request(error) => !matches!(error, RequestError::TooLarge { .. }),
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether it is one document that is wrong, so that others may be read.
    pub fn is_about_a_document(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Included { .. }
                | Self::LargeDocument { .. }
                | Self::Address(_)
                | Self::Hash { .. }
        )
    }

    /// What a client is told that asked for something of it.
    pub fn into_failure(self, what: &str) -> Failure {
        match self {
            Self::Internal(failure) => failure,
            other => Failure::new(other.kind(), format!("{what} is not available from its upstream now: {other}")),
        }
    }

    /// Which sort of failure it is for a client.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Internal(failure) => failure.kind,
            Self::Request(RequestError::Busy { retry_after, .. }) => Kind::upstream_busy(*retry_after),
            _ => Kind::Upstream,
        }
    }
}
