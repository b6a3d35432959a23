//! What a credential that is limited to some packages may do with repositories: it has those all of whose packages it
//! covers, with every version of them. Of an upstream, and of a git repository that has published nothing yet, the
//! `package_filter` tells which packages those can be. The repository of uploaded zips is everybody's.
//!
//! What such a credential registers or changes gets a `package_filter` of names that it covers, so that no sync publishes
//! anything else, whatever a composer.json says.

use serde_json::json;

use crate::json::read_text;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::sources::repositories::MAX_FILTERS;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::repository_names::{self, RepositoryNames};

/// What is told of a repository that is not there, or not the credential's.
pub fn absent() -> Failure {
    Failure::not_found("Repository")
}

/// Whether `view` covers a repository.
pub fn is_covered(view: &View, names: &RepositoryNames) -> bool {
    let covers_all = |list: &str| {
        let targets: Vec<String> = read_text(list).unwrap_or_default();
        !targets.is_empty() && targets.iter().all(|target| view.covers_all_of(target))
    };
    match names.kind {
        RepositoryKind::Artifact => false,
        RepositoryKind::Git if names.packages != "[]" => covers_all(&names.packages),
        RepositoryKind::Git | RepositoryKind::Composer => names.package_filter.as_deref().is_some_and(covers_all),
    }
}

/// Refuses a repository that `view` does not cover as one that is not there.
///
/// # Errors
/// `NotFound`.
pub async fn require_covered(app: &App, view: &View, uid: &str) -> Result<(), Failure> {
    if view.sees_everything() {
        return Ok(());
    }
    let names = app.ports.database.ask(repository_names::names(view.organization(), Some(uid), None)).await?;
    if names.iter().any(|names| is_covered(view, names)) { Ok(()) } else { Err(absent()) }
}

/// Public ids of the repositories, of `kind` if there is one, that a limited `view` covers, in the order in which they were
/// registered.
pub async fn covered_uids(app: &App, view: &View, kind: Option<RepositoryKind>) -> Result<Vec<String>, Failure> {
    let names = app.ports.database.ask(repository_names::names(view.organization(), None, kind)).await?;
    Ok(names.into_iter().filter(|names| is_covered(view, names)).map(|names| names.uid).collect())
}

/// The `package_filter` (JSON array of names and globs) of a repository that somebody with this view registers or changes,
/// given the one that was asked for: that one, or of a limited credential what it covers.
///
/// # Errors
/// `Forbidden` for names that a limited credential does not cover, or when it covers none.
pub fn bounded_filter(view: &View, filter: Option<String>) -> Result<Option<String>, Failure> {
    if view.sees_everything() {
        return Ok(filter);
    }
    let Some(filter) = filter else { return default_filter(view).map(Some) };
    let globs: Vec<String> = read_text(&filter).map_err(Failure::internal)?;
    match globs.iter().find(|glob| !view.covers_all_of(glob)) {
        None => Ok(Some(filter)),
        Some(glob) => {
            let detail =
                format!("`package_filter` lets `{glob}` through, of which your credential does not cover everything.");
            Err(Failure::new(Kind::Forbidden, detail))
        }
    }
}

fn default_filter(view: &View) -> Result<String, Failure> {
    let targets: Vec<&str> = view.whole_targets().collect();
    if targets.is_empty() {
        let detail = "Your credential covers no package with all its versions, so there is nothing that a repository of yours \
                      could publish. Use one that is not limited to some versions.";
        return Err(Failure::new(Kind::Forbidden, detail));
    }
    if targets.len() > MAX_FILTERS {
        let detail = format!("is required: your credential covers more than {MAX_FILTERS} names, so say which ones");
        return Err(Failure::invalid_field("package_filter", detail));
    }
    Ok(json!(targets).to_string())
}
