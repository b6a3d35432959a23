//! Trying a repository out: whether it can be reached, and what is there. Nothing is imported.

use composer::read_root;
use git::RemoteRefs;

use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::sources::composer::client::{ComposerClient, FetchedRoot};
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::git::candidates::short_ref_name;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::remote_for;
use crate::registry::sources::repositories::{get, refuse_uploads};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::repositories::Repository;

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Why it cannot be read, if so.
    pub error: Option<String>,
    /// The default branch of a git repository.
    pub default_branch: Option<String>,
    /// Its branches.
    pub branches: Option<usize>,
    /// Its tags.
    pub tags: Option<usize>,
    /// The packages of a Composer repository, if its `packages.json` tells.
    pub packages: Option<usize>,
}

impl Verification {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self { error: Some(error.to_string()), ..Self::default() }
    }
}

/// Asks a repository with its credentials: a git repository for its refs, a Composer repository for its root.
///
/// # Errors
/// When there is nothing to verify, or the registry itself failed; what the repository says is a result.
pub async fn verify(app: &App, view: &View, uid: &str) -> Result<Verification, Failure> {
    let row = get(app, view, uid).await?;
    refuse_uploads(&row.repository)?;
    if row.repository.kind == RepositoryKind::Composer {
        return match look_at_composer(app, &row.repository).await {
            Ok(packages) => Ok(Verification { packages, ..Verification::default() }),
            Err(UpstreamRepositoryError::Internal(failure)) => Err(failure),
            Err(error) => Ok(Verification::failed(error)),
        };
    }
    match look_at_git(app, &row.repository).await {
        Ok(advertised) => Ok(Verification {
            default_branch: advertised.default_branch().map(|branch| short_ref_name(&branch.name).to_owned()),
            branches: Some(advertised.branches().count()),
            tags: Some(advertised.tags().count()),
            ..Verification::default()
        }),
        Err(SyncError::Internal(failure)) => Err(failure),
        Err(error) => Ok(Verification::failed(error)),
    }
}

async fn look_at_git(app: &App, repository: &Repository) -> Result<RemoteRefs, SyncError> {
    let mut remote = remote_for(app, repository)?;
    Ok(remote.listing().await?.refs)
}

/// How many packages the root names; `None` when it does not tell.
async fn look_at_composer(app: &App, repository: &Repository) -> Result<Option<usize>, UpstreamRepositoryError> {
    let upstream = repository.to_upstream();
    let mut remote = ComposerClient::new(app, &upstream)?;
    let FetchedRoot { bytes, .. } = remote.root(None).await?.ok_or(UpstreamRepositoryError::NotARepository)?;
    let (root, file) = read_root(&bytes)?;
    if root.metadata_url.is_some() {
        return Ok((file.available_packages > 0).then_some(file.available_packages));
    }
    let is_all = file.includes.is_empty() && file.provider_includes.is_empty();
    Ok(is_all.then(|| file.packages.len() + file.providers.len()))
}
