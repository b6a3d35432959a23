//! Commits of a branch that were never published: `composer require acme/lib:dev-main#{commit}` asks for the zip of one.
//!
//! Who may have one:
//!
//! * only who sees the branch as a version;
//! * a commit that some version was published at, only who sees one of these versions: what a grant keeps from somebody is
//!   not to be had by its commit's id, nor is what is hidden;
//! * of all others who sees every version of the package has what any ref of the repository leads to, and who sees some
//!   versions only what the branch's own history has.
//!
//! What the git server has besides is not the package's: hosts keep the commits of forks in one store.

use composer::{NormalizedVersion, Reference};
use git::ObjectId;

use crate::registry::access::view::{VersionFilter, View};
use crate::registry::delivery::dist_address::DistAddress;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::sources::git::archives::builder::Builder;
use crate::registry::sources::git::archives::failed;
use crate::registry::sources::git::error::SyncError;
use crate::store::sources::dists::{self, DistRow, Pinned, PublishedAt};
use crate::store::sources::refs;

/// Most refs whose history is looked through.
const MAX_REFS: usize = 2_000;

/// Whether `scope` covers a commit that was pinned before, or is about to be.
fn covers(scope: &VersionFilter<'_>, published: &[PublishedAt], pinned: Option<Pinned>) -> bool {
    if published.is_empty() {
        return pinned == Some(Pinned::Branch) || matches!(scope, VersionFilter::All);
    }
    published.iter().any(|at| {
        let version = NormalizedVersion::from_stored(at.normalized.clone());
        !at.hidden && scope.sees(&version, Some(at.released))
    })
}

/// Whether `view` may have the zip of a pinned commit, whose version it sees.
pub async fn may_have(app: &App, view: &View, address: &DistAddress, row: &DistRow) -> Result<bool, Failure> {
    let name = address.name.as_str();
    let published = dists::published_at(view.organization(), name, row.reference.as_str());
    let published = app.ports.database.ask(published).await?;
    Ok(covers(&view.version_filter(name), &published, row.pinned))
}

/// Finds out whether `reference` is a commit that `view` may have of a version that it sees, and records it as a reference
/// of that version. `None`: the version is no branch, or what the commit is, is not for this view to know.
///
/// # Errors
/// `NotFound` in words when the git server does not have the commit, or no branch leads to it; `Upstream` when the server
/// fails.
pub async fn pin(
    app: &App,
    view: &View,
    address: &DistAddress,
    version: &DistRow,
    reference: &Reference,
) -> Result<Option<DistRow>, Failure> {
    if !version.source.is_branch() {
        return Ok(None);
    }
    let Ok(commit) = ObjectId::parse(reference.as_str()) else { return Ok(None) };
    let name = address.name.as_str();
    let published = dists::published_at(view.organization(), name, reference.as_str());
    let published = app.ports.database.ask(published).await?;
    let scope = view.version_filter(name);
    let pinned = if published.is_empty() {
        find_in_history(app, &scope, version, commit).await?
    } else if covers(&scope, &published, None) {
        Pinned::Repository
    } else {
        return Ok(None);
    };
    let pin = dists::pin(version.version_id, reference.as_str(), pinned, app.now());
    let (_, found) = app.ports.database.ask(([pin], address.statement(view.organization()))).await?;
    Ok(found.map(|found| found.row))
}

/// Where in the repository a commit is that is not published.
async fn find_in_history(
    app: &App,
    scope: &VersionFilter<'_>,
    branch: &DistRow,
    commit: ObjectId,
) -> Result<Pinned, Failure> {
    let mut builder = Builder::new(app, branch.repository_id).await?;
    let absent = |error: SyncError| match error {
        SyncError::Missing { object, server } if object == commit => Failure::new(
            Kind::NotFound,
            format!("The git server {server} does not have commit {commit} (any more), so {} has none.", branch.pretty),
        ),
        SyncError::NotATip { object, server, .. } if object == commit => Failure::new(
            Kind::NotFound,
            format!(
                "The git server {server} does not send commit {commit}, which no branch or tag points to, so it cannot be \
                 pinned to {}.",
                branch.pretty
            ),
        ),
        error => failed(error, None),
    };
    let head: Vec<ObjectId> = ObjectId::parse(branch.reference.as_str()).into_iter().collect();
    if builder.objects.is_in_history(commit, head).await.map_err(absent)? {
        return Ok(Pinned::Branch);
    }
    if matches!(scope, VersionFilter::All) {
        let refs = app.ports.database.ask(refs::of_repository(branch.repository_id)).await?;
        let mut heads: Vec<ObjectId> =
            refs.iter().filter_map(|row| ObjectId::parse(row.reference.as_str()).ok()).collect();
        heads.sort_unstable();
        heads.dedup();
        heads.truncate(MAX_REFS);
        if builder.objects.is_in_history(commit, heads).await.map_err(absent)? {
            return Ok(Pinned::Repository);
        }
    }
    let message =
        format!("Commit {commit} is not in the history of {}, so that cannot be pinned to it.", branch.pretty);
    Err(Failure::new(Kind::NotFound, message))
}
