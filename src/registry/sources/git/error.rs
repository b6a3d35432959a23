//! Why a sync fails.

use git::{AdvertisementError, FetchError, InvalidPackagePath, LsRefsError, ObjectId, PackError, TreeError};

use crate::ports::{DatabaseError, Fault, HttpClientError};
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::outbound::RequestError;
use crate::registry::sources::git::lfs::error::LfsError;

/// Why a sync failed, in words for the repository's owner. Nothing here holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// No answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// 401 or 403.
    #[error("the server refuses the credentials (HTTP {status}); check `auth_credentials`")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// 404 or 410.
    #[error("there is no repository at this address, or the credentials may not see it (HTTP {status})")]
    NotFound {
        /// HTTP status.
        status: u16,
    },
    /// The package is one that the repository may not publish.
    #[error(
        "its package is called {name}, which the `package_filter` of this repository leaves out; change that, or the name in its \
         composer.json"
    )]
    LeftOut {
        /// The package.
        name: String,
    },
    /// Any other status.
    #[error("the server answers with HTTP {status}")]
    Status {
        /// HTTP status.
        status: u16,
    },
    /// The address cannot be completed to that of a git service.
    #[error("the address is not that of a git repository")]
    NotARepository,
    /// Not git.
    #[error(transparent)]
    Advertisement(#[from] AdvertisementError),
    /// The list of refs is unusable.
    #[error(transparent)]
    LsRefs(#[from] LsRefsError),
    /// The fetch failed.
    #[error(transparent)]
    Fetch(FetchError),
    /// The pack is unusable.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A commit's tree is unusable.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// An answer that is whole and well-formed, and not what was asked for.
    #[error("the git server {server} did not send the object {object}, although it was asked for it")]
    Withheld {
        /// What was asked for.
        object: ObjectId,
        /// The server's name.
        server: String,
    },
    /// The server says that it has no such object, although it has others that name it.
    #[error("the git server {server} does not have the object {object}, which other objects of the repository name")]
    Missing {
        /// What was asked for.
        object: ObjectId,
        /// The server's name.
        server: String,
    },
    /// The server refused what no branch or tag points to, and does not say that it sends such objects.
    #[error("the git server {server} does not send {object}, which no branch or tag points to (any more): {words}")]
    NotATip {
        /// What was asked for.
        object: ObjectId,
        /// The server's name.
        server: String,
        /// What it says.
        words: String,
    },
    /// A file that Git LFS keeps cannot be had.
    #[error("the LFS server {server} does not send the file {file}: {reason}")]
    Lfs {
        /// The file, relative to the package's directory.
        file: String,
        /// The server's name.
        server: String,
        /// Why not.
        reason: LfsError,
    },
    /// The sub-directory is no path.
    #[error(transparent)]
    Path(#[from] InvalidPackagePath),
    /// There is nothing to publish.
    #[error("the repository has no branches and no tags yet")]
    Empty,
    /// The package's name is unknown.
    #[error(
        "nothing tells the package's name: {reason}, and no other branch or tag has a composer.json with a name; add one to \
         the default branch, or set `path` to the package's directory"
    )]
    NoName {
        /// Why the default branch does not.
        reason: String,
    },
    /// Another repository publishes it.
    #[error(
        "the package {name} is published by another repository already; remove that one first, or delete the package if it was renamed there"
    )]
    NameTaken {
        /// The package.
        name: String,
    },
    /// The registry failed; the text for the owner is the refusal's own.
    #[error("{}", .0.detail)]
    Internal(Failure),
}

impl From<Failure> for SyncError {
    fn from(failure: Failure) -> Self {
        Self::Internal(failure)
    }
}

impl From<DatabaseError> for SyncError {
    fn from(error: DatabaseError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<Fault> for SyncError {
    fn from(fault: Fault) -> Self {
        Self::Internal(fault.into())
    }
}

impl SyncError {
    /// Which sort of failure it is for a client that waits for the server.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Internal(failure) => failure.kind,
            Self::Request(RequestError::Busy { retry_after, .. })
            | Self::Lfs { reason: LfsError::Request(RequestError::Busy { retry_after, .. }), .. } => {
                Kind::upstream_busy(*retry_after)
            }
            _ => Kind::Upstream,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Request(RequestError::NoAnswer(HttpClientError::Unreachable(_)))
                | Self::Status { status: 500 | 502 | 503 | 504 }
        )
    }
}
