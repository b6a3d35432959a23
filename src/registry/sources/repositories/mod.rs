//! Registering, changing, verifying, syncing on demand and removing repositories.

pub mod change;
pub mod covered;
pub mod credentials;
pub mod host_credentials;
pub mod monorepo;
pub mod verify;

use std::time::Duration;

use composer::{PackageName, excerpt};
use git::PackagePath;
use serde_json::json;
use url::Url;

use crate::ports::{DatabaseError, Job, Millis};
use crate::registry::access::actor::Actor;
use crate::registry::access::view::View;
use crate::registry::kernel::address_policy::check_url;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::git_address::read_git_address;
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::pattern::passes_filter;
use crate::registry::kernel::provider::Provider;
use crate::registry::sources::repositories::covered::{absent, bounded_filter, covered_uids, require_covered};
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::repositories::host_credentials::{GivenHostCredential, HostCredentials};
use crate::store::Page;
use crate::store::kernel::organizations;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::sources::refs::{self, RemarkedRef};
use crate::store::sources::repositories::{self, NewRepository, Repository, RepositoryRow, by_uids};
use crate::store::sources::repository_names::MAX_SCANNED;
use crate::store::sources::sync_runs::{self, RunRow};
use crate::store::sources::uploads::UPLOADS_URL;

/// A request to register a repository.
#[derive(Debug, Clone)]
pub struct RepositorySpec {
    /// Where it is; nowhere else for uploaded zips.
    pub url: Option<String>,
    /// The host's kind, which tells the repository's; `None` is that of a git repository whose host tells.
    pub provider: Option<Provider>,
    /// Credentials.
    pub credentials: Credentials,
    /// Credentials for other hosts.
    pub host_credentials: Vec<GivenHostCredential>,
    /// The package's sub-directory.
    pub path: Option<String>,
    /// What the package's tags begin with; it is cut off.
    pub tag_prefix: Option<String>,
    /// Globs; only tags that match one become versions.
    pub tag_filter: Option<Vec<String>>,
    /// Globs; only branches that match one become versions.
    pub branch_filter: Option<Vec<String>>,
    /// Names and globs; only packages that match one are mirrored.
    pub package_filter: Option<Vec<String>>,
    /// The form of its address in metadata.
    pub source_protocol: Option<SourceProtocol>,
    /// Whether its zips have the files that Git LFS keeps.
    pub lfs: Option<bool>,
}

const MAX_URL: usize = 2048;
const MAX_FILTERS: usize = 100;

fn checked_filter(field: &str, filter: Option<Vec<String>>) -> Result<Option<String>, Failure> {
    let Some(globs) = filter else { return Ok(None) };
    if globs.is_empty() || globs.len() > MAX_FILTERS {
        return Err(Failure::invalid_field(field, format!("must hold 1 to {MAX_FILTERS} globs, or be null for all")));
    }
    if globs.iter().any(|glob| glob.is_empty() || glob.len() > 255 || glob.contains(char::is_control)) {
        return Err(Failure::invalid_field(field, "holds a glob that is empty, too long or has control characters"));
    }
    Ok(Some(json!(globs).to_string()))
}

/// Checks what a package's tags begin with.
fn checked_tag_prefix(prefix: Option<String>) -> Result<Option<String>, Failure> {
    let is_odd = |prefix: &String| {
        prefix.is_empty() || prefix.len() > 255 || prefix.contains(|c: char| c.is_control() || c.is_whitespace())
    };
    if prefix.as_ref().is_some_and(is_odd) {
        let detail = "must have 1 to 255 characters without blanks, like `api-v`, or be null for none";
        return Err(Failure::invalid_field("tag_prefix", detail));
    }
    Ok(prefix)
}

/// As [`checked_filter`], for package names, which have an alphabet.
fn checked_package_filter(filter: Option<Vec<String>>) -> Result<Option<String>, Failure> {
    let names: Option<Vec<String>> = filter.map(|filter| filter.iter().map(|glob| glob.to_ascii_lowercase()).collect());
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./*".contains(&byte);
    if let Some(odd) = names.iter().flatten().find(|glob| !glob.bytes().all(is_known)) {
        let detail = format!("`{}` is neither a package name nor one with `*` in it", excerpt(odd).escape_default());
        return Err(Failure::invalid_field("package_filter", detail));
    }
    checked_filter("package_filter", names)
}

/// Checks the address of a repository of this kind, and makes of it what is stored.
fn checked_url(app: &App, kind: RepositoryKind, url: &str) -> Result<String, Failure> {
    if url.len() > MAX_URL {
        return Err(Failure::invalid_field("url", format!("must not be longer than {MAX_URL} characters")));
    }
    let wrong = |error: &dyn std::fmt::Display| Failure::invalid_field("url", error.to_string());
    let url = match kind {
        RepositoryKind::Git => read_git_address(url).map_err(|error| wrong(&error))?,
        RepositoryKind::Composer | RepositoryKind::Artifact => url.to_owned(),
    };
    let url = check_url(&url, app.address_policy()).map_err(|error| wrong(&error))?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// The provider of a repository of this kind that was given none.
fn default_provider(kind: RepositoryKind, url: &str) -> Provider {
    match kind {
        RepositoryKind::Git => {
            let url = Url::parse(url).ok();
            url.as_ref().and_then(Url::host_str).map_or(Provider::Git, Provider::of_host)
        }
        RepositoryKind::Composer => Provider::Composer,
        RepositoryKind::Artifact => Provider::Artifact,
    }
}

/// Checks the sub-directory of a package, as it is stored: empty is the root.
fn checked_path(path: Option<&str>) -> Result<String, Failure> {
    match path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty()) {
        Some(path) => {
            let path = PackagePath::parse(path).map_err(|error| Failure::invalid_field("path", error.to_string()))?;
            Ok(path.as_str().to_owned())
        }
        None => Ok(String::new()),
    }
}

/// Refuses fields that only repositories of other kinds have.
fn refuse_foreign(kind: RepositoryKind, fields: &[(&str, bool)]) -> Result<(), Failure> {
    let applies = |field: &str| match field {
        "package_filter" => kind != RepositoryKind::Artifact,
        _ => kind == RepositoryKind::Git,
    };
    let foreign = fields.iter().filter(|(field, given)| *given && !applies(field));
    match foreign.map(|(field, _)| *field).next() {
        Some(field) => {
            Err(Failure::invalid_field(field, format!("does not apply to a repository of kind `{kind}`; leave it out")))
        }
        None => Ok(()),
    }
}

/// What is told when a repository's address is that of another one.
fn taken() -> Failure {
    Failure::new(Kind::Conflict, "This repository is registered already. Use that one, or remove it first.")
}

/// What a request to register says of a repository, checked; its packages may be several.
struct CheckedSpec {
    kind: RepositoryKind,
    provider: Provider,
    url: String,
    tag_filter: Option<String>,
    branch_filter: Option<String>,
    package_filter: Option<String>,
    source_protocol: SourceProtocol,
    lfs: bool,
    credentials: Credentials,
    host_credentials: HostCredentials,
}

impl CheckedSpec {
    fn check(app: &App, view: &View, spec: RepositorySpec) -> Result<Self, Failure> {
        let kind = spec.provider.map_or(RepositoryKind::Git, Provider::kind);
        if kind == RepositoryKind::Artifact {
            view.require_everything("The repository of uploaded zips is everybody's. Uploads make it by themselves.")?;
        }
        let given = [
            ("url", kind == RepositoryKind::Artifact && spec.url.is_some()),
            ("credential_type", kind == RepositoryKind::Artifact && spec.credentials.type_name() != "none"),
            ("host_credentials", kind == RepositoryKind::Artifact && !spec.host_credentials.is_empty()),
            ("path", spec.path.is_some()),
            ("tag_prefix", spec.tag_prefix.is_some()),
            ("tag_filter", spec.tag_filter.is_some()),
            ("branch_filter", spec.branch_filter.is_some()),
            ("package_filter", spec.package_filter.is_some()),
            ("source_protocol", spec.source_protocol.is_some()),
            ("lfs", spec.lfs.is_some()),
        ];
        refuse_foreign(kind, &given)?;
        let url = spec.url.as_deref().map(|url| checked_url(app, kind, url)).transpose()?;
        let url = url.unwrap_or_else(|| UPLOADS_URL.to_owned());
        Ok(Self {
            kind,
            provider: spec.provider.unwrap_or_else(|| default_provider(kind, &url)),
            url,
            tag_filter: checked_filter("tag_filter", spec.tag_filter)?,
            branch_filter: checked_filter("branch_filter", spec.branch_filter)?,
            package_filter: bounded_filter(view, checked_package_filter(spec.package_filter)?)?,
            source_protocol: spec.source_protocol.unwrap_or_default(),
            lfs: spec.lfs.unwrap_or_default(),
            credentials: spec.credentials,
            host_credentials: HostCredentials::read(app, &spec.host_credentials, &HostCredentials::default())?,
        })
    }

    /// A package's name, if the filter does not leave it out.
    fn let_through(&self, name: PackageName) -> Result<PackageName, String> {
        if passes_filter(self.package_filter.as_deref(), name.as_str()) {
            return Ok(name);
        }
        Err(format!("its package {name} is left out by `package_filter`"))
    }

    /// The repository of one package.
    fn repository<'a>(
        &'a self,
        app: &App,
        by: &Actor,
        package: PackageLocation<'a>,
    ) -> Result<NewRepository<'a>, Failure> {
        Ok(NewRepository {
            uid: package.uid,
            organization: by.organization(),
            kind: self.kind,
            provider: self.provider.as_str(),
            url: &self.url,
            path: package.path,
            tag_prefix: package.tag_prefix,
            tag_filter: self.tag_filter.clone(),
            branch_filter: self.branch_filter.clone(),
            package_filter: self.package_filter.clone(),
            source_protocol: self.source_protocol,
            lfs: self.lfs,
            credential_type: self.credentials.type_name(),
            credentials: self.credentials.seal(app, package.uid)?,
            host_credentials: self.host_credentials.seal(app, package.uid)?,
            created_at: app.now(),
        })
    }
}

/// Where one package of a repository is.
#[derive(Debug, Clone, Copy)]
struct PackageLocation<'a> {
    /// Public id of the new repository.
    uid: &'a str,
    path: &'a str,
    tag_prefix: Option<&'a str>,
}

/// Registers a repository and asks for its first sync.
pub async fn register(app: &App, by: &Actor, spec: RepositorySpec) -> Result<RepositoryRow, Failure> {
    let path = checked_path(spec.path.as_deref())?;
    let tag_prefix = checked_tag_prefix(spec.tag_prefix.clone())?;
    let spec = CheckedSpec::check(app, &by.view, spec)?;
    let uid = new_uid(&*app.ports.entropy, app.now())?;
    let new =
        spec.repository(app, by, PackageLocation { uid: &uid, path: &path, tag_prefix: tag_prefix.as_deref() })?;
    let event = AuditEvent {
        action: "repository.created",
        target: &uid,
        label: Some(new.url),
        details: json!({ "provider": new.provider, "path": new.path, "credential_type": new.credential_type }),
    };
    let recorded = by.record(app, &event)?;
    let row = repositories::insert(&*app.ports.database, new, recorded).await.map_err(|error| match error {
        DatabaseError::Conflict(_) => taken(),
        DatabaseError::Fault(fault) => fault.into(),
    })?;
    let row = row.ok_or_else(absent)?;
    // Which names are asked for here, packages.json tells.
    app.memory.invalidate_published(by.organization());
    if spec.kind != RepositoryKind::Artifact {
        app.enqueue(Job::SyncRepository { repository_id: row.repository.id }, Duration::ZERO).await;
    }
    Ok(row)
}

/// Refuses to do to the repository of uploaded zips what only makes sense for one that lies elsewhere.
fn refuse_uploads(repository: &Repository) -> Result<(), Failure> {
    if repository.kind == RepositoryKind::Artifact {
        let message = "This repository holds uploaded zips: there is nothing to sync, to verify or to change.";
        return Err(Failure::new(Kind::Conflict, message));
    }
    Ok(())
}

/// Asks for a sync. When one is running already, another follows it.
pub async fn request_sync(app: &App, by: &Actor, uid: &str) -> Result<RepositoryRow, Failure> {
    require_covered(app, &by.view, uid).await?;
    let event = AuditEvent { action: "repository.sync_requested", target: uid, label: None, details: json!({}) };
    let recorded = by.record(app, &event)?;
    let row = repositories::request_sync(&*app.ports.database, by.organization(), uid, recorded, app.now()).await?;
    let row = row.ok_or_else(absent)?;
    refuse_uploads(&row.repository)?;
    app.enqueue(Job::SyncRepository { repository_id: row.repository.id }, Duration::ZERO).await;
    Ok(row)
}

/// One repository.
pub async fn get(app: &App, view: &View, uid: &str) -> Result<RepositoryRow, Failure> {
    require_covered(app, view, uid).await?;
    let row = app.ports.database.ask(repositories::by_uid(view.organization(), uid)).await?;
    row.ok_or_else(absent)
}

/// Which repositories a list holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct RepositoryFilter {
    /// Only those of this kind.
    pub kind: Option<RepositoryKind>,
    /// Only those with this status.
    pub status: Option<SyncStatus>,
}

/// A page of repositories, and how many there are in all.
pub async fn list(
    app: &App,
    view: &View,
    filter: RepositoryFilter,
    page: Page,
) -> Result<(Vec<RepositoryRow>, i64), Failure> {
    let database = &*app.ports.database;
    let organization = view.organization();
    let has_status = |row: &RepositoryRow| filter.status.is_none_or(|wanted| status(row, app.now()).status == wanted);
    if view.sees_everything() {
        let Some(_) = filter.status else {
            return Ok(repositories::page(database, organization, filter.kind, page).await?);
        };
        let all = Page { limit: MAX_SCANNED, offset: 0 };
        let (rows, _) = repositories::page(database, organization, filter.kind, all).await?;
        return Ok(page.of(rows.into_iter().filter(has_status).collect()));
    }
    let covered = covered_uids(app, view, filter.kind).await?;
    let rows = async |uids: Vec<String>| database.ask(by_uids(organization, json!(uids).to_string())).await;
    if filter.status.is_none() {
        let (uids, total) = page.of(covered);
        return Ok((rows(uids).await?, total));
    }
    Ok(page.of(rows(covered).await?.into_iter().filter(has_status).collect()))
}

/// A page of a repository's sync runs, newest first, and how many there are in all.
pub async fn history(app: &App, view: &View, uid: &str, page: Page) -> Result<(Vec<RunRow>, i64), Failure> {
    require_covered(app, view, uid).await?;
    let runs = sync_runs::page(&*app.ports.database, view.organization(), uid, page).await?;
    runs.ok_or_else(absent)
}

/// A page of a git repository's refs as the last sync saw them, those first that became no version, then those with
/// remarks, and how many there are in all.
pub async fn refs(app: &App, view: &View, uid: &str, page: Page) -> Result<(Vec<RemarkedRef>, i64), Failure> {
    require_covered(app, view, uid).await?;
    let refs = refs::page(&*app.ports.database, view.organization(), uid, page).await?;
    refs.ok_or_else(absent)
}

/// What is told of the implicit repository of Packagist.
fn managed_by_settings() -> Failure {
    let message = "This repository stands for Packagist. Change it with `packagist_mirroring` and `packagist_url` at PATCH /api/settings.";
    Failure::new(Kind::Conflict, message)
}

/// Removes a repository with its packages.
pub async fn remove(app: &App, by: &Actor, uid: &str) -> Result<(), Failure> {
    require_covered(app, &by.view, uid).await?;
    let batch = (
        organizations::touch_for_repository(by.organization(), uid, app.now()),
        repositories::delete(by.organization(), uid),
        by.record(app, &AuditEvent { action: "repository.removed", target: uid, label: None, details: json!({}) })?,
        repositories::by_uid(by.organization(), uid),
    );
    let ((), is_removed, (), left) = app.ports.database.ask(batch).await?;
    if left.is_some() {
        return Err(managed_by_settings());
    }
    if !is_removed {
        return Err(absent());
    }
    app.memory.invalidate_published(by.organization());
    Ok(())
}

/// What a repository's latest run says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncStatus {
    /// A sync was asked for and has not begun, or one was cut off and is tried again.
    Pending,
    /// One is running.
    Syncing,
    /// The latest one went through.
    Ok,
    /// The latest one failed.
    Failed,
}

impl SyncStatus {
    /// Reads a status' name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::Syncing, Self::Ok, Self::Failed].into_iter().find(|status| status.as_str() == name)
    }

    /// `pending`, `syncing`, `ok` or `failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Syncing => "syncing",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

/// What is told of a sync whose lease ended before it did.
const CUT_OFF: &str = "The last sync was cut off before it ended. It will be tried again.";

/// A status, and what to tell of the failure that it comes from or is left over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncState<'r> {
    /// The status.
    pub status: SyncStatus,
    /// Why the sync failed, if it did.
    pub error: Option<&'r str>,
}

impl<'r> SyncState<'r> {
    fn without_error(status: SyncStatus) -> Self {
        Self { status, error: None }
    }

    fn failed(error: Option<&'r str>) -> Self {
        Self { status: SyncStatus::Failed, error }
    }
}

/// How a run stands at `now`.
pub fn run_status(run: &RunRow, now: Millis) -> SyncState<'_> {
    match (run.finished_at, run.outcome.as_deref()) {
        (None, _) if now < run.lease_until => SyncState::without_error(SyncStatus::Syncing),
        (None, _) => SyncState::failed(Some(CUT_OFF)),
        (Some(_), Some("ok")) => SyncState::without_error(SyncStatus::Ok),
        (Some(_), _) => SyncState::failed(run.error.as_deref()),
    }
}

/// How a repository stands at `now`.
pub fn status(row: &RepositoryRow, now: Millis) -> SyncState<'_> {
    if row.repository.kind == RepositoryKind::Artifact {
        return SyncState::without_error(SyncStatus::Ok);
    }
    let run = &row.last_run;
    let Some(answered) = run.run_request_seq else { return SyncState::without_error(SyncStatus::Pending) };
    if run.run_finished_at.is_none() {
        return match run.run_lease_until {
            Some(until) if now < until => SyncState::without_error(SyncStatus::Syncing),
            _ => SyncState { status: SyncStatus::Pending, error: Some(CUT_OFF) },
        };
    }
    let error = run.run_error.as_deref();
    match run.run_outcome.as_deref() {
        _ if row.request_seq > answered => SyncState { status: SyncStatus::Pending, error },
        Some("ok") => SyncState::without_error(SyncStatus::Ok),
        _ => SyncState::failed(error),
    }
}
