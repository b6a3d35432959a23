//! Changing a repository: what it is at from now on, and what of the old one must not stay behind.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::ports::{DatabaseError, Job, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::view::View;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::pattern::passes_filter;
use crate::registry::kernel::provider::Provider;
use crate::registry::packages::publish::render_again_after_builds;
use crate::registry::sources::composer::PACKAGIST;
use crate::registry::sources::repositories::covered::{absent, bounded_filter};
use crate::registry::sources::repositories::credentials::{Credentials, type_named};
use crate::registry::sources::repositories::host_credentials::{GivenHostCredential, HostCredentials};
use crate::registry::sources::repositories::{
    checked_filter, checked_package_filter, checked_path, checked_tag_prefix, checked_url, default_provider, get,
    managed_by_settings, refuse_foreign, refuse_uploads, taken,
};
use crate::store::Update;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::packages::retirement::{Leaving, Retirement, retire};
use crate::store::packages::state::listed_names;
use crate::store::sources::host_credentials::StoredHostCredentials;
use crate::store::sources::repositories::{self, NewCredentials, Repository, RepositoryChanges, RepositoryRow};
use crate::store::sources::{dists, refs, sync_runs, upstream_answers, upstream_feeds};

/// A request to change a repository; what it does not name stays.
#[derive(Debug, Clone, Default)]
pub struct RepositoryChange {
    /// Where it is.
    pub url: Option<String>,
    /// Has to be what it is.
    pub kind: Option<RepositoryKind>,
    /// The host's kind; cleared is what the host tells, or `composer` for an upstream.
    pub provider: Update<Provider>,
    /// `none`, `token` or `basic`.
    pub credential_type: Option<String>,
    /// See [`Credentials::read`]; cleared is none.
    pub auth_credentials: Update<Value>,
    /// All credentials for other hosts; cleared is none.
    pub host_credentials: Update<Vec<GivenHostCredential>>,
    /// The package's sub-directory; cleared is the root.
    pub path: Update<String>,
    /// What the package's tags begin with; cleared is nothing.
    pub tag_prefix: Update<String>,
    /// Globs; cleared is every tag.
    pub tag_filter: Update<Vec<String>>,
    /// Globs; cleared is every branch.
    pub branch_filter: Update<Vec<String>>,
    /// Names and globs; cleared is every package.
    pub package_filter: Update<Vec<String>>,
    /// The form of its address in metadata; cleared is https.
    pub source_protocol: Update<SourceProtocol>,
    /// Whether its zips have the files that Git LFS keeps; cleared is no.
    pub lfs: Update<bool>,
}

impl RepositoryChange {
    fn refuse_foreign(&self, repository: &Repository) -> Result<(), Failure> {
        let detail = || {
            format!("the repository is of kind `{}`, which cannot be changed; register another one", repository.kind)
        };
        if self.kind.is_some_and(|kind| kind != repository.kind) {
            return Err(Failure::invalid_field("kind", detail()));
        }
        if matches!(self.provider, Update::Set(Some(provider)) if provider.kind() != repository.kind) {
            return Err(Failure::invalid_field("vcs_type", detail()));
        }
        let given = [
            ("path", matches!(self.path, Update::Set(Some(_)))),
            ("tag_prefix", matches!(self.tag_prefix, Update::Set(Some(_)))),
            ("tag_filter", matches!(self.tag_filter, Update::Set(Some(_)))),
            ("branch_filter", matches!(self.branch_filter, Update::Set(Some(_)))),
            ("package_filter", matches!(self.package_filter, Update::Set(Some(_)))),
            ("source_protocol", matches!(self.source_protocol, Update::Set(Some(_)))),
            ("lfs", matches!(self.lfs, Update::Set(Some(_)))),
        ];
        refuse_foreign(repository.kind, &given)
    }

    /// The provider from now on, when that is another one. Whoever names none leaves it to the host, and another address
    /// may be another host's.
    fn provider(&self, repository: &Repository, url: Option<&str>) -> Option<Provider> {
        let default = |url: &str| default_provider(repository.kind, url);
        let told_by_host = default(&repository.url).as_str() == repository.provider;
        let provider = match (self.provider, url) {
            (Update::Set(provider), url) => provider.unwrap_or_else(|| default(url.unwrap_or(&repository.url))),
            (Update::Keep, Some(url)) if told_by_host => default(url),
            (Update::Keep, _) => return None,
        };
        Some(provider).filter(|provider| provider.as_str() != repository.provider)
    }

    /// The form of its address in metadata from now on, when that is another one.
    fn source_protocol(&self, repository: &Repository) -> Option<SourceProtocol> {
        let Update::Set(protocol) = self.source_protocol else { return None };
        Some(protocol.unwrap_or_default()).filter(|protocol| *protocol != repository.source_protocol)
    }

    /// Whether its zips have the files that Git LFS keeps, when that is new.
    fn lfs(&self, repository: &Repository) -> Option<bool> {
        let Update::Set(lfs) = self.lfs else { return None };
        Some(lfs.unwrap_or_default()).filter(|lfs| *lfs != repository.lfs)
    }

    /// The credentials from now on; `None` when they stay.
    fn credentials(&self, repository: &Repository) -> Result<Option<Credentials>, Failure> {
        let named = self.credential_type.as_deref().map(type_named);
        match (&self.auth_credentials, named) {
            (Update::Keep, None) => Ok(None),
            (Update::Keep, Some(name)) if name == repository.credential_type => Ok(None),
            (given, name) => Credentials::read(name, given.clone().into_value().as_ref()).map(Some),
        }
    }
}

/// The credentials for other hosts from now on; `None` when they stay.
fn host_credentials(
    app: &App,
    repository: &Repository,
    is_read_elsewhere: bool,
    given: Update<Vec<GivenHostCredential>>,
) -> Result<Option<StoredHostCredentials>, Failure> {
    let known = HostCredentials::open(app, &repository.uid, repository.host_credentials.as_deref())?;
    let Update::Set(given) = given else {
        if is_read_elsewhere && known != HostCredentials::default() {
            let detail = "must be given too, or be null: your credential is limited to some packages, and those of the old `url` \
                          may open more than that";
            return Err(Failure::invalid_field("host_credentials", detail));
        }
        return Ok(None);
    };
    let kept = if is_read_elsewhere { &HostCredentials::default() } else { &known };
    let all = HostCredentials::read(app, &given.unwrap_or_default(), kept)?;
    if all == known { Ok(None) } else { all.seal(app, &repository.uid).map(Some) }
}

/// What is different from what is stored.
struct Difference {
    changes: RepositoryChanges,
    /// Names of the fields, for the audit log.
    fields: Vec<&'static str>,
}

impl Difference {
    fn has(&self, field: &str) -> bool {
        self.fields.contains(&field)
    }
}

fn differing(update: Update<String>, stored: Option<&String>) -> Update<String> {
    match update {
        Update::Set(value) if value.as_ref() != stored => Update::Set(value),
        _ => Update::Keep,
    }
}

fn checked<T>(
    update: Update<T>,
    check: impl FnOnce(Option<T>) -> Result<Option<String>, Failure>,
) -> Result<Update<String>, Failure> {
    match update {
        Update::Keep => Ok(Update::Keep),
        Update::Set(globs) => check(globs).map(Update::Set),
    }
}

/// Refuses another address for credentials that are not given again: another host is not shown those of this one, and who
/// has only some packages cannot read with them whatever else they open.
fn check_moved_credentials(repository: &Repository, view: &View, url: &str) -> Result<(), Failure> {
    let origin = |url: &str| Url::parse(url).ok().map(|url| url.origin());
    let detail = if origin(url) != origin(&repository.url) {
        "must be given too: the new `url` leads to another host, which is not shown those of the old one"
    } else if !view.sees_everything() {
        "must be given too: your credential is limited to some packages, and those of the old `url` may open more than that"
    } else {
        return Ok(());
    };
    Err(Failure::invalid_field("auth_credentials", detail))
}

/// The `package_filter` from now on, when that is another one: somebody with a limited view leaves none behind that lets
/// through what they do not cover.
fn package_filter(
    repository: &Repository,
    view: &View,
    update: Update<Vec<String>>,
) -> Result<Update<String>, Failure> {
    let known = repository.package_filter.as_ref();
    let wanted = match checked(update, checked_package_filter)? {
        Update::Set(wanted) => bounded_filter(view, wanted)?,
        Update::Keep => bounded_filter(view, known.cloned()).or_else(|_| bounded_filter(view, None))?,
    };
    Ok(differing(Update::Set(wanted), known))
}

fn difference(
    app: &App,
    repository: &Repository,
    view: &View,
    change: RepositoryChange,
) -> Result<Difference, Failure> {
    refuse_uploads(repository)?;
    change.refuse_foreign(repository)?;
    let credentials = change.credentials(repository)?;
    let url = change.url.as_deref().map(|url| checked_url(app, repository.kind, url)).transpose()?;
    let url = url.filter(|url| *url != repository.url);
    if let Some(url) = url.as_deref().filter(|_| credentials.is_none() && repository.credential_type != "none") {
        check_moved_credentials(repository, view, url)?;
    }
    let provider = change.provider(repository, url.as_deref());
    let (source_protocol, lfs) = (change.source_protocol(repository), change.lfs(repository));
    let is_read_elsewhere = url.is_some() && !view.sees_everything();
    let host_credentials = host_credentials(app, repository, is_read_elsewhere, change.host_credentials)?;
    let path = match change.path {
        Update::Keep => None,
        Update::Set(path) => Some(checked_path(path.as_deref())?).filter(|path| *path != repository.path),
    };
    let filter = |field: &'static str| move |globs| checked_filter(field, globs);
    let mut changes = RepositoryChanges {
        url,
        provider: provider.map(|provider| provider.as_str().to_owned()),
        path,
        tag_prefix: differing(checked(change.tag_prefix, checked_tag_prefix)?, repository.tag_prefix.as_ref()),
        tag_filter: differing(checked(change.tag_filter, filter("tag_filter"))?, repository.tag_filter.as_ref()),
        branch_filter: differing(
            checked(change.branch_filter, filter("branch_filter"))?,
            repository.branch_filter.as_ref(),
        ),
        package_filter: package_filter(repository, view, change.package_filter)?,
        source_protocol,
        lfs,
        credentials: match credentials {
            Some(credentials) => Some(NewCredentials {
                credential_type: credentials.type_name(),
                sealed: credentials.seal(app, &repository.uid)?,
            }),
            None => None,
        },
        host_credentials,
        is_another: false,
    };
    let fields = changed_fields(&changes);
    changes.is_another = fields.iter().any(|field| !KEEPING_FIELDS.contains(field));
    Ok(Difference { changes, fields })
}

/// Fields that leave what was learnt of the refs and of the server as true as it was.
const KEEPING_FIELDS: [&str; 5] = ["vcs_type", "source_protocol", "lfs", "credentials", "host_credentials"];

fn changed_fields(changes: &RepositoryChanges) -> Vec<&'static str> {
    let all = [
        ("url", changes.url.is_some()),
        ("path", changes.path.is_some()),
        ("tag_prefix", changes.tag_prefix.is_set()),
        ("tag_filter", changes.tag_filter.is_set()),
        ("branch_filter", changes.branch_filter.is_set()),
        ("package_filter", changes.package_filter.is_set()),
        ("vcs_type", changes.provider.is_some()),
        ("source_protocol", changes.source_protocol.is_some()),
        ("lfs", changes.lfs.is_some()),
        ("credentials", changes.credentials.is_some()),
        ("host_credentials", changes.host_credentials.is_some()),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

/// Changes what the request names, ends the sync that is under way and asks for another one.
///
/// A git repository at another address, or with other filters, shows what it showed until that sync has gone through.
/// One with another `path` publishes another package: the old one is gone at once. An upstream at another address has
/// nothing until it is asked.
///
/// # Errors
/// `Conflict` when another repository has that address, or somebody else has changed this one meanwhile.
pub async fn change(app: &App, by: &Actor, uid: &str, change: RepositoryChange) -> Result<RepositoryRow, Failure> {
    let row = get(app, &by.view, uid).await?;
    if row.repository.provider == PACKAGIST {
        return Err(managed_by_settings());
    }
    let difference = difference(app, &row.repository, &by.view, change)?;
    if difference.fields.is_empty() {
        return Ok(row);
    }
    let event = AuditEvent {
        action: "repository.changed",
        target: uid,
        label: difference.changes.url.as_deref(),
        details: json!({ "fields": difference.fields }),
    };
    let recorded = by.record(app, &event)?;
    let known = row.address();
    let mut consequences = consequences(app, &row.repository, &difference).await?;
    let has_other_zips = difference.has("lfs");
    if has_other_zips {
        consequences.push(dists::forget_lfs_zips(by.organization(), row.repository.id));
    }
    let batch = (
        repositories::guard(by.organization(), uid, known),
        repositories::update(by.organization(), uid, difference.changes),
        recorded,
        consequences,
        repositories::by_uid(by.organization(), uid),
    );
    let changed = match app.ports.database.ask(batch).await {
        Ok(((), (), (), _, changed)) => changed,
        Err(DatabaseError::Conflict(_)) => return Err(taken()),
        Err(DatabaseError::Fault(fault)) => {
            let now = get(app, &by.view, uid).await?;
            if now.address() == known {
                return Err(fault.into());
            }
            return Err(Failure::concurrent_change("repository"));
        }
    };
    app.memory.invalidate_published(by.organization());
    if has_other_zips {
        // Nobody is to compare the new zips with the checksums of the old ones.
        render_again_after_builds(app, row.repository.id).await?;
        app.enqueue(Job::BuildArchives { repository_id: row.repository.id }, Duration::ZERO).await;
    }
    app.enqueue(Job::SyncRepository { repository_id: row.repository.id }, Duration::ZERO).await;
    changed.ok_or_else(absent)
}

/// What else has to happen so that nothing of the old repository stays behind.
async fn consequences(app: &App, repository: &Repository, difference: &Difference) -> Result<Vec<Stmt>, Failure> {
    if !difference.changes.is_another {
        return Ok(Vec::new());
    }
    let now = app.now();
    let touched = organizations::touch(repository.organization, Touched::Names, now);
    let mut batch = vec![sync_runs::supersede(repository.organization, repository.id, now)];
    let is_git = repository.kind == RepositoryKind::Git;
    if is_git {
        batch.push(refs::delete_all(repository.organization, repository.id));
    }
    if is_git && difference.has("path") {
        batch.extend([touched, repositories::delete_packages(repository.organization, repository.id)]);
    } else if !is_git && difference.has("url") {
        batch.push(touched);
        batch.extend(retire(repository.organization, &[Retirement::all(repository.id)], now));
        batch.push(upstream_answers::delete_answers(repository.organization, repository.id));
        batch.extend(upstream_feeds::forget(repository.organization, repository.id));
    } else if let Update::Set(Some(filter)) = &difference.changes.package_filter {
        batch.push(touched);
        batch.extend(retire(repository.organization, &[outside(app, repository, filter).await?], now));
    } else if !is_git {
        batch.push(touched);
    }
    Ok(batch)
}

/// The packages of a repository that leave it with this filter.
async fn outside(app: &App, repository: &Repository, filter: &str) -> Result<Retirement, Failure> {
    let listed = app.ports.database.ask(listed_names(repository.organization, repository.id)).await?;
    let is_outside = |name: &String| !passes_filter(Some(filter), name);
    let leaving = Leaving::Named(listed.into_iter().map(|row| row.name).filter(is_outside).collect());
    Ok(Retirement { repository_id: repository.id, leaving })
}
