//! Why one commit has no zip.

use git::{ArchiveError, FetchError, ObjectId, TreeError, limits};

use crate::ports::Fault;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote::is_too_large;

/// Why one commit will never have a zip; in words for whoever asks for it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveRefusal {
    /// Its trees, without any file, are too much.
    #[error("git sends more than {} MiB for its directories", limits::PACK_BYTES / limits::MIB)]
    TreesTooLarge,
    /// Too much, and the server cannot send less.
    #[error(
        "git sends more than {} MiB for its commit, and the server cannot send parts of one (partial clone)",
        limits::PACK_BYTES / limits::MIB
    )]
    CommitTooLarge,
    /// Something else about its objects is too large.
    #[error(transparent)]
    Fetch(SyncError),
    /// It cannot be packed.
    #[error(transparent)]
    Archive(ArchiveError),
    /// It has no commit id.
    #[error("its reference is not a commit id")]
    Reference,
    /// It takes more memory or time than there is.
    #[error(
        "building it was begun {attempts} times and cut off each time, as happens when it takes more memory or CPU time than \
         an isolate has"
    )]
    CutOff {
        /// How often it was begun.
        attempts: i64,
    },
    /// It is for our limits, and its host's own zip cannot be had either.
    #[error("{refusal}, and the zip that {host} makes of it cannot be had: {reason}")]
    WithoutHostZip {
        /// Why none is built here.
        refusal: Box<ArchiveRefusal>,
        /// The host's name.
        host: String,
        /// Why that of the host cannot be had.
        reason: String,
    },
}

impl ArchiveRefusal {
    /// Whether it is because of our limits, so that somebody else may have a zip of the commit.
    pub fn is_for_limits(&self) -> bool {
        match self {
            Self::TreesTooLarge | Self::CommitTooLarge => true,
            Self::Fetch(error) => is_too_large(error),
            Self::Archive(ArchiveError::Tree(TreeError::Pack(error))) => is_too_large(&SyncError::Pack(error.clone())),
            Self::Archive(error) => matches!(
                error,
                ArchiveError::TooManyEntries { .. }
                    | ArchiveError::PathsTooLong { .. }
                    | ArchiveError::InflatesTooLarge { .. }
                    | ArchiveError::ZipTooLarge { .. }
                    | ArchiveError::TooManyRules(_)
                    | ArchiveError::WorkSpent(_)
            ),
            Self::Reference | Self::CutOff { .. } | Self::WithoutHostZip { .. } => false,
        }
    }
}

/// Why one commit has no zip.
#[derive(Debug)]
pub enum BuildFailure {
    /// It never will.
    ForEver(ArchiveRefusal),
    /// Its server may do better another time.
    ForNow(SyncError),
}

impl BuildFailure {
    /// The failure that `error` is, which was met with what the git server `server` sent.
    pub fn of(error: ArchiveError, server: &str) -> Self {
        match error {
            ArchiveError::Tree(TreeError::MissingObject(object)) => {
                Self::ForNow(SyncError::Withheld { object, server: server.to_owned() })
            }
            error => Self::ForEver(ArchiveRefusal::Archive(error)),
        }
    }
}

impl From<SyncError> for BuildFailure {
    fn from(error: SyncError) -> Self {
        Self::ForNow(error)
    }
}

impl From<git::PackError> for BuildFailure {
    fn from(error: git::PackError) -> Self {
        Self::ForNow(SyncError::Pack(error))
    }
}

impl From<Fault> for BuildFailure {
    fn from(fault: Fault) -> Self {
        Self::ForNow(fault.into())
    }
}

impl From<Failure> for BuildFailure {
    fn from(failure: Failure) -> Self {
        Self::ForNow(failure.into())
    }
}

impl From<crate::ports::DatabaseError> for BuildFailure {
    fn from(error: crate::ports::DatabaseError) -> Self {
        Self::ForNow(error.into())
    }
}

/// Why one commit has no zip that is built in one go.
#[derive(Debug)]
pub enum OneGoFailure {
    /// It is too large for that, or has files of another server: a job of its own may build it.
    Large,
    /// It has none at all.
    Failed(BuildFailure),
}

impl<E: Into<BuildFailure>> From<E> for OneGoFailure {
    fn from(error: E) -> Self {
        let failure = error.into();
        let is_large = match &failure {
            BuildFailure::ForNow(error) => is_too_large(error),
            BuildFailure::ForEver(ArchiveRefusal::Archive(ArchiveError::Tree(TreeError::Pack(error)))) => {
                is_too_large(&SyncError::Pack(error.clone()))
            }
            BuildFailure::ForEver(_) => false,
        };
        if is_large { Self::Large } else { Self::Failed(failure) }
    }
}

/// The refusal of a single commit whose objects are too large.
pub fn too_large(error: SyncError, can_filter: bool) -> ArchiveRefusal {
    match error {
        SyncError::Fetch(FetchError::TooLarge { .. }) if can_filter => ArchiveRefusal::TreesTooLarge,
        SyncError::Fetch(FetchError::TooLarge { .. }) => ArchiveRefusal::CommitTooLarge,
        error => ArchiveRefusal::Fetch(error),
    }
}

/// What a client is told of an archive of `commit` that cannot be built now.
pub fn failed(error: SyncError, commit: Option<ObjectId>) -> Failure {
    match error {
        SyncError::Internal(failure) => failure,
        SyncError::Missing { object, server } if Some(object) == commit => Failure::new(
            Kind::NotFound,
            format!(
                "Commit {object} is gone: the git server {server} does not have it (any more), and it was never zipped \
                 here. Update the package to a commit that is there."
            ),
        ),
        SyncError::NotATip { object, server, words } if Some(object) == commit => Failure::new(
            Kind::NotFound,
            format!(
                "Commit {object} cannot be had: no branch or tag points to it (any more), the git server {server} does \
                 not send it ({words}), and it was never zipped here. Update the package to a commit that is there."
            ),
        ),
        other => Failure::new(
            other.kind(),
            format!("The archive cannot be built now, because its repository does not deliver: {other}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use git::PackError;

    use super::*;

    #[test]
    fn somebody_elses_zip_may_do_where_our_limits_are_to_blame_and_nowhere_else() {
        let without_host_zip = || ArchiveRefusal::WithoutHostZip {
            refusal: Box::new(ArchiveRefusal::TreesTooLarge),
            host: "git.test".to_owned(),
            reason: "it answers with HTTP 404".to_owned(),
        };
        let too_large = || PackError::InflatesTooLarge { limit: 1 };
        for (refusal, expected) in [
            (ArchiveRefusal::TreesTooLarge, true),
            (ArchiveRefusal::CommitTooLarge, true),
            (ArchiveRefusal::Fetch(SyncError::Pack(too_large())), true),
            (ArchiveRefusal::Fetch(SyncError::Status { status: 404 }), false),
            (ArchiveRefusal::Archive(ArchiveError::TooManyEntries { limit: 1 }), true),
            (ArchiveRefusal::Archive(ArchiveError::ZipTooLarge { limit: 1 }), true),
            (ArchiveRefusal::Archive(ArchiveError::Tree(TreeError::Pack(too_large()))), true),
            (ArchiveRefusal::Archive(ArchiveError::PathNotFound("src".to_owned())), false),
            (ArchiveRefusal::Reference, false),
            (ArchiveRefusal::CutOff { attempts: 8 }, false),
            (without_host_zip(), false),
        ] {
            assert_eq!(refusal.is_for_limits(), expected, "{refusal}");
        }
    }
}
