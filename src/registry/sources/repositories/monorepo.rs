//! Registering all packages of a monorepo in one call: each is a repository of its own, with the directory and the tags of
//! the package.

use std::collections::HashSet;
use std::time::Duration;

use composer::PackageName;
use serde_json::json;
use url::Url;

use crate::ports::Job;
use crate::registry::access::actor::Actor;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::monorepo::{DirectoryGlob, FoundDirectory, find_packages};
use crate::registry::sources::git::remote::GitRemote;
use crate::registry::sources::repositories::{CheckedSpec, PackageLocation, RepositorySpec, checked_tag_prefix};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::monorepos::insert_all;
use crate::store::sources::repositories::{NewRepository, RepositoryRow, by_uids};

/// Most packages that one call registers.
const MAX_PACKAGES: usize = 500;

/// Stands for the last name of a package's directory in a prefix of tags.
const DIRECTORY: &str = "{directory}";
/// Stands for a package's name without its vendor.
const PACKAGE: &str = "{package}";

/// What was registered of a monorepo.
pub struct Monorepo {
    /// A repository for each package.
    pub repositories: Vec<RepositoryRow>,
    /// What was not.
    pub skipped: Vec<SkippedDirectory>,
}

/// A directory that the glob names, and that was not registered.
pub struct SkippedDirectory {
    /// From the root of the repository.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// A package that is to be registered.
struct FoundPackage {
    uid: String,
    path: String,
    tag_prefix: Option<String>,
}

/// Registers every package of a git repository: `path` of `spec` is a glob of directories, and its `tag_prefix` may have
/// placeholders. What cannot be registered is left out, and told.
///
/// # Errors
/// When the server does not tell what there is, and when the glob names nothing.
pub async fn register_all(app: &App, by: &Actor, mut spec: RepositorySpec) -> Result<Monorepo, Failure> {
    if spec.provider.is_some_and(|provider| provider.kind() != RepositoryKind::Git) {
        return Err(Failure::invalid_field("vcs_type", "must be that of a git repository"));
    }
    let glob = spec.path.take().unwrap_or_default();
    let glob = DirectoryGlob::parse(&glob).map_err(|error| Failure::invalid_field("path", error.to_string()))?;
    let template = checked_template(spec.tag_prefix.take())?;
    let spec = CheckedSpec::check(app, &by.view, spec)?;
    let directories = look(app, &spec, &glob).await?;
    if directories.is_empty() {
        return Err(Failure::invalid_field("path", "matches no directory of the default branch"));
    }
    if directories.len() > MAX_PACKAGES {
        let detail =
            format!("matches {} directories; use a glob that matches {MAX_PACKAGES} at most", directories.len());
        return Err(Failure::invalid_field("path", detail));
    }
    let (mut packages, mut skipped) = (Vec::new(), Vec::new());
    for FoundDirectory { path, package } in directories {
        match package
            .and_then(|name| spec.let_through(name))
            .and_then(|name| tag_prefix(template.as_deref(), &path, &name))
        {
            Ok(tag_prefix) => {
                packages.push(FoundPackage { uid: new_uid(&*app.ports.entropy, app.now())?, path, tag_prefix });
            }
            Err(reason) => skipped.push(SkippedDirectory { path, reason }),
        }
    }
    let repositories = insert(app, by, &spec, &packages).await?;
    let registered: HashSet<&str> = repositories.iter().map(|row| row.repository.path.as_str()).collect();
    let known = packages.iter().filter(|package| !registered.contains(package.path.as_str()));
    skipped.extend(
        known.map(|package| SkippedDirectory {
            path: package.path.clone(),
            reason: "it is registered already".to_owned(),
        }),
    );
    skipped.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Monorepo { repositories, skipped })
}

/// Registers what is not registered yet, and asks for the first syncs of that.
async fn insert<'p>(
    app: &App,
    by: &Actor,
    spec: &'p CheckedSpec,
    packages: &'p [FoundPackage],
) -> Result<Vec<RepositoryRow>, Failure> {
    let repository = |package: &'p FoundPackage| {
        let FoundPackage { uid, path, tag_prefix } = package;
        spec.repository(app, by, PackageLocation { uid, path, tag_prefix: tag_prefix.as_deref() })
    };
    let new = packages.iter().map(repository).collect::<Result<Vec<NewRepository<'_>>, Failure>>()?;
    let uids: Vec<String> = packages.iter().map(|package| package.uid.clone()).collect();
    let event = AuditEvent { action: "repository.created", target: "", label: None, details: json!({}) };
    let batch = (
        insert_all(by.organization(), &new),
        by.record_registrations(app, &event, &uids)?,
        by_uids(by.organization(), json!(uids).to_string()),
    );
    let (_, (), rows) = app.ports.database.ask(batch).await?;
    // Which names are asked for here, packages.json tells.
    app.memory.invalidate_published(by.organization());
    let job = |row: &RepositoryRow| Job::SyncRepository { repository_id: row.repository.id };
    app.enqueue_all(&rows.iter().map(job).collect::<Vec<Job>>(), Duration::ZERO).await;
    Ok(rows)
}

/// Asks the server for the directories.
async fn look(app: &App, spec: &CheckedSpec, glob: &DirectoryGlob) -> Result<Vec<FoundDirectory>, Failure> {
    let url = Url::parse(&spec.url).map_err(Failure::internal)?;
    let mut remote = GitRemote::new(app, url, spec.credentials.authorization(spec.provider));
    find_packages(&mut remote, glob).await.map_err(|error| match error {
        SyncError::Internal(failure) => failure,
        error => Failure::new(error.kind(), format!("The repository cannot be read: {error}.")),
    })
}

/// Checks a prefix of tags with placeholders.
fn checked_template(template: Option<String>) -> Result<Option<String>, Failure> {
    let rest = template.as_deref().unwrap_or_default().replace(DIRECTORY, "").replace(PACKAGE, "");
    if rest.contains(['{', '}']) {
        let detail = "may hold the placeholders `{directory}` (the last name of the package's directory) and `{package}` (its \
                      name without the vendor), and no other braces";
        return Err(Failure::invalid_field("tag_prefix", detail));
    }
    checked_tag_prefix(template)
}

/// What the tags of a package begin with, or why that cannot be.
fn tag_prefix(template: Option<&str>, path: &str, name: &PackageName) -> Result<Option<String>, String> {
    let Some(template) = template else { return Ok(None) };
    let directory = path.rsplit('/').next().unwrap_or(path);
    let package = name.as_str().split_once('/').map_or(name.as_str(), |(_, package)| package);
    let prefix = template.replace(PACKAGE, package).replace(DIRECTORY, directory);
    checked_tag_prefix(Some(prefix)).map_err(|_| "no tag can begin with the name of its directory".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_stand_for_the_directory_and_the_package() {
        let name = PackageName::parse("acme/api-client").expect("a name");
        for (template, expected) in [
            ("{directory}-v", "api-v"),
            ("packages/{directory}@", "packages/api@"),
            ("acme/{package}/", "acme/api-client/"),
            ("v", "v"),
        ] {
            assert_eq!(tag_prefix(Some(template), "packages/api", &name), Ok(Some(expected.to_owned())), "{template}");
        }
        assert_eq!(tag_prefix(None, "packages/api", &name), Ok(None));
        assert!(tag_prefix(Some("{directory}-"), "packages/my api", &name).is_err());
    }

    #[test]
    fn other_braces_are_refused() {
        for template in ["{name}-v", "{directory", "v}"] {
            assert!(checked_template(Some(template.to_owned())).is_err(), "{template}");
        }
    }
}
