//! What `/api/repositories` takes and shows.

use composer::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::http::kit::extract::update;
use crate::http::management::repositories::host_credentials::{CredentialHostView, HostCredentialRequest, given};
use crate::http::management::versions::RemarkView;
use crate::json::read_text;
use crate::ports::Millis;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::provider::Provider;
use crate::registry::sources::repositories::change::RepositoryChange;
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::repositories::verify::Verification;
use crate::registry::sources::repositories::{
    RepositoryFilter, RepositorySpec, SyncState, SyncStatus, run_status, status,
};
use crate::store::Update;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::source_protocol::SourceProtocol;
use crate::store::packages::remarks::RefRemark;
use crate::store::sources::refs::RemarkedRef;
use crate::store::sources::repositories::RepositoryRow;
use crate::store::sources::sync_runs::RunRow;

/// A request to register, to change or to replace a repository.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({
    "url": "https://github.com/org/repo", "vcs_type": "github", "credential_type": "token",
    "auth_credentials": "ghp_xxx"
}))]
pub struct RepositoryRequest {
    /// https address of the repository, without credentials; needed but for a change and for kind `artifact`. That of a git
    /// repository may be pasted as hosts show it (`git@host:org/repo.git`, `ssh://…`, without a scheme, or a page of a
    /// branch), and becomes the https address, which the answer shows. When a change leads to another host,
    /// `auth_credentials` must be given too.
    url: Option<String>,
    /// `git` (the default): its refs become versions of a package. `composer`: its packages are mirrored. `artifact`:
    /// the one for uploaded zips, which has no other fields. Cannot be changed.
    kind: Option<String>,
    /// `git`, `github`, `gitlab`, `bitbucket` or `gitea`; `composer` is the kind `composer`. Without it, the host's name
    /// tells: github.com, gitlab.com, bitbucket.org, codeberg.org, gitea.com, and hosts that are called `github.…`,
    /// `gitlab.…`, `gitea.…` or `forgejo.…`; any other is `git`.
    vcs_type: Option<String>,
    /// `none`, `token` or `basic`; follows from the credentials if it is absent. A token is sent to a git host as a password,
    /// and to a Composer repository as a bearer token.
    credential_type: Option<String>,
    /// The token; or `user:password`; or an object `{token}` or `{username, password}`. Null is none. Never shown again.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Value>)]
    auth_credentials: Update<Value>,
    /// Credentials for other hosts, on which the repository's zips or documents are; each is sent to its host alone, also when
    /// a redirect leads there. The list replaces the one before; null is none. An entry of a change without
    /// `auth_credentials` keeps those that its host has.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<HostCredentialRequest>>)]
    host_credentials: Update<Vec<HostCredentialRequest>>,
    /// The package's directory; null is the root of the repository. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    path: Update<String>,
    /// What the package's tags begin with where a repository has several packages: `api-v` makes `api-v1.2.3` version 1.2.3,
    /// and other tags are skipped; null is nothing. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    tag_prefix: Update<String>,
    /// Only tags that match one of these globs become versions; null is every tag. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    tag_filter: Update<Vec<String>>,
    /// Only branches that match one of these globs become versions; null is every branch. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    branch_filter: Update<Vec<String>>,
    /// Only packages that match one of these names and globs are mirrored or published; null is every package. A git
    /// repository whose package is called otherwise fails to sync. Of a credential that is limited to some packages it is
    /// within what that covers, by default all of it. Not for uploads.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<Vec<String>>)]
    package_filter: Update<Vec<String>>,
    /// Which address of the repository developers are shown as `source`: `https` (the default) or `ssh`
    /// (`git@host:org/repo`). The registry itself always asks by https. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<String>)]
    source_protocol: Update<String>,
    /// Whether zips have the files that Git LFS keeps, fetched from the repository's LFS server with its credentials, in place
    /// of the pointers to them; null is false, the default. A change builds the zips anew that have such files, with other
    /// checksums than lock files know. Only for git.
    #[serde(default, deserialize_with = "update")]
    #[schema(value_type = Option<bool>)]
    lfs: Update<bool>,
}

fn parse_kind(kind: Option<&str>) -> Result<Option<RepositoryKind>, Failure> {
    let parse = |name: &str| {
        let detail = || format!("`{}` is none of `git`, `composer`, `artifact`", excerpt(name).escape_default());
        RepositoryKind::parse(name).ok_or_else(|| Failure::invalid_field("kind", detail()))
    };
    kind.map(parse).transpose()
}

pub(super) fn parse_protocol(given: &Update<String>) -> Result<Update<SourceProtocol>, Failure> {
    let Update::Set(Some(name)) = given else { return Ok(given.clone().map(|_| SourceProtocol::Https)) };
    let detail = || format!("`{}` is neither `https` nor `ssh`", excerpt(name).escape_default());
    let protocol = SourceProtocol::parse(name).ok_or_else(|| Failure::invalid_field("source_protocol", detail()))?;
    Ok(Update::Set(Some(protocol)))
}

/// The provider that `kind` and `vcs_type` name together, if they do.
pub(super) fn parse_provider(
    kind: Option<RepositoryKind>,
    vcs_type: Option<&str>,
) -> Result<Option<Provider>, Failure> {
    let named = match vcs_type {
        None => {
            return Ok(match kind {
                None | Some(RepositoryKind::Git) => None,
                Some(RepositoryKind::Composer) => Some(Provider::Composer),
                Some(RepositoryKind::Artifact) => Some(Provider::Artifact),
            });
        }
        Some(name) => Provider::parse(name).ok_or_else(|| {
            let all = "`git`, `github`, `gitlab`, `bitbucket`, `gitea`, `composer`";
            Failure::invalid_field("vcs_type", format!("`{}` is none of {all}", excerpt(name).escape_default()))
        })?,
    };
    if kind.is_some_and(|kind| kind != named.kind()) {
        return Err(Failure::invalid_field("vcs_type", "is that of another `kind`"));
    }
    Ok(Some(named))
}

impl RepositoryRequest {
    fn required_url(&mut self) -> Result<String, Failure> {
        self.url.take().ok_or_else(|| Failure::invalid_field("url", "is needed: the https address of the repository"))
    }

    /// As a new repository.
    pub(super) fn into_spec(mut self) -> Result<RepositorySpec, Failure> {
        let provider = parse_provider(parse_kind(self.kind.as_deref())?, self.vcs_type.as_deref())?;
        let secret = self.auth_credentials.clone().into_value();
        let credentials = Credentials::read(self.credential_type.as_deref(), secret.as_ref())?;
        let url = if provider == Some(Provider::Artifact) { self.url.take() } else { Some(self.required_url()?) };
        let source_protocol = parse_protocol(&self.source_protocol)?.into_value();
        Ok(RepositorySpec {
            url,
            provider,
            credentials,
            host_credentials: given(self.host_credentials.into_value().unwrap_or_default()),
            path: self.path.into_value(),
            tag_prefix: self.tag_prefix.into_value(),
            tag_filter: self.tag_filter.into_value(),
            branch_filter: self.branch_filter.into_value(),
            package_filter: self.package_filter.into_value(),
            source_protocol,
            lfs: self.lfs.into_value(),
        })
    }

    /// As a change of what it names.
    pub(super) fn into_change(self) -> Result<RepositoryChange, Failure> {
        let kind = parse_kind(self.kind.as_deref())?;
        let provider = parse_provider(kind, self.vcs_type.as_deref())?;
        let source_protocol = parse_protocol(&self.source_protocol)?;
        Ok(RepositoryChange {
            url: self.url,
            kind,
            provider: provider.map_or(Update::Keep, |provider| Update::Set(Some(provider))),
            credential_type: self.credential_type,
            auth_credentials: self.auth_credentials,
            host_credentials: self.host_credentials.map(given),
            path: self.path,
            tag_prefix: self.tag_prefix,
            tag_filter: self.tag_filter,
            branch_filter: self.branch_filter,
            package_filter: self.package_filter,
            source_protocol,
            lfs: self.lfs,
        })
    }

    /// As a change of everything: what it does not name gets its default back; but credentials stay whose type is named,
    /// because nobody can read them to give them again.
    pub(super) fn into_replacement(mut self) -> Result<RepositoryChange, Failure> {
        self.url = Some(self.required_url()?);
        if self.credential_type.is_none() {
            self.auth_credentials = cleared(self.auth_credentials);
        }
        let change = self.into_change()?;
        Ok(RepositoryChange {
            provider: cleared(change.provider),
            host_credentials: cleared(change.host_credentials),
            path: cleared(change.path),
            tag_prefix: cleared(change.tag_prefix),
            tag_filter: cleared(change.tag_filter),
            branch_filter: cleared(change.branch_filter),
            package_filter: cleared(change.package_filter),
            source_protocol: cleared(change.source_protocol),
            lfs: cleared(change.lfs),
            ..change
        })
    }
}

fn cleared<T>(update: Update<T>) -> Update<T> {
    Update::Set(update.into_value())
}

/// A repository, without its credentials.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepositoryView {
    id: String,
    url: String,
    /// `git`: its refs become versions of a package. `composer`: its packages are mirrored. `artifact`: zips are uploaded.
    kind: &'static str,
    /// As it was given.
    vcs_type: String,
    /// The host's kind.
    provider: String,
    credential_type: String,
    /// The hosts that it has credentials of their own for.
    host_credentials: Vec<CredentialHostView>,
    path: Option<String>,
    tag_prefix: Option<String>,
    tag_filter: Option<Vec<String>>,
    branch_filter: Option<Vec<String>>,
    package_filter: Option<Vec<String>>,
    /// Which address of a git repository developers are shown as `source`: `https` or `ssh`.
    source_protocol: Option<&'static str>,
    /// Whether the zips of a git repository have the files that Git LFS keeps, in place of the pointers to them.
    lfs: Option<bool>,
    /// The package that a git repository publishes.
    package: Option<String>,
    /// `pending`, `syncing`, `ok` or `failed`.
    sync_status: &'static str,
    /// Unix seconds of the last sync that went through.
    last_synced_at: Option<i64>,
    /// Why the last sync failed.
    error: Option<String>,
    /// How many remarks there are on its refs.
    remarks: i64,
    /// Unix seconds of the latest remark, whether a sync made it or the building of a zip.
    last_remark_at: Option<i64>,
    /// Unix seconds.
    created_at: i64,
}

impl RepositoryView {
    pub(super) fn new(row: RepositoryRow, now: Millis) -> Self {
        let SyncState { status, error } = status(&row, now);
        let (sync_status, error) = (status.as_str(), error.map(str::to_owned));
        let globs = |text: Option<String>| text.and_then(|text| read_text(&text).ok());
        let hosts = row.credential_hosts.unwrap_or_default();
        let RepositoryRow { repository, package_name, remarks, last_remark_at, last_run, created_at, .. } = row;
        Self {
            id: repository.uid,
            url: repository.url,
            kind: repository.kind.as_str(),
            vcs_type: repository.provider.clone(),
            provider: repository.provider,
            credential_type: repository.credential_type,
            host_credentials: hosts.into_iter().map(CredentialHostView::from).collect(),
            path: Some(repository.path).filter(|path| !path.is_empty() && repository.kind == RepositoryKind::Git),
            tag_prefix: repository.tag_prefix,
            tag_filter: globs(repository.tag_filter),
            branch_filter: globs(repository.branch_filter),
            package_filter: globs(repository.package_filter),
            source_protocol: (repository.kind == RepositoryKind::Git).then(|| repository.source_protocol.as_str()),
            lfs: (repository.kind == RepositoryKind::Git).then_some(repository.lfs),
            package: package_name,
            sync_status,
            last_synced_at: last_run.last_synced_at.map(Millis::seconds),
            error,
            remarks,
            last_remark_at: last_remark_at.map(Millis::seconds),
            created_at: created_at.seconds(),
        }
    }
}

/// One sync of a repository.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncRunView {
    id: String,
    /// `syncing`, `ok` or `failed`.
    status: &'static str,
    /// Why it failed.
    error: Option<String>,
    /// Unix seconds.
    started_at: i64,
    /// Unix seconds.
    finished_at: Option<i64>,
    /// Milliseconds from beginning to end.
    duration_ms: Option<i64>,
    /// Requests sent to the git server.
    requests: i64,
    /// Bytes received from it.
    received_bytes: i64,
    /// Versions that appeared.
    added: i64,
    /// Versions whose commit changed.
    changed: i64,
    /// Versions that vanished.
    removed: i64,
    /// Refs that did not become versions.
    skipped: Vec<SkippedView>,
    /// What was new to know of refs that did, from this sync and from the zips that were built after it.
    remarks: Vec<RefRemarkView>,
}

/// A ref that did not become a version.
#[derive(Debug, Serialize, ToSchema)]
pub struct SkippedView {
    /// Its full name.
    r#ref: String,
    /// Why.
    reason: String,
}

/// What operators should know of a ref that became a version all the same.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefRemarkView {
    /// The ref's full name.
    r#ref: String,
    #[serde(flatten)]
    remark: RemarkView,
}

impl From<RefRemark> for RefRemarkView {
    fn from(RefRemark { ref_name, remark }: RefRemark) -> Self {
        Self { r#ref: ref_name, remark: remark.into() }
    }
}

impl SyncRunView {
    pub(super) fn new(row: RunRow, now: Millis) -> Self {
        let SyncState { status, error } = run_status(&row, now);
        let (status, error) = (status.as_str(), error.map(str::to_owned));
        Self {
            id: row.uid,
            status,
            error,
            started_at: row.started_at.seconds(),
            finished_at: row.finished_at.map(Millis::seconds),
            duration_ms: row.finished_at.map(|end| end.0 - row.started_at.0),
            requests: row.requests,
            received_bytes: row.received_bytes,
            added: row.added,
            changed: row.changed,
            removed: row.removed,
            skipped: row
                .skipped
                .into_iter()
                .map(|skipped| SkippedView { r#ref: skipped.name, reason: skipped.reason })
                .collect(),
            remarks: row.remarks.into_iter().map(RefRemarkView::from).collect(),
        }
    }
}

/// A ref of a git repository, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "ref": "refs/tags/nightly", "commit": "c0ffee0000000000000000000000000000000000", "version": null,
    "reason": "`nightly` is not a version", "remarks": []
}))]
pub struct RefView {
    /// Its full name.
    r#ref: String,
    /// The commit id.
    commit: String,
    /// The version that is published from it.
    version: Option<String>,
    /// Why none is.
    reason: Option<String>,
    /// What operators should know of it, although it became a version.
    remarks: Vec<RemarkView>,
}

impl From<RemarkedRef> for RefView {
    fn from(RemarkedRef { row, remarks }: RemarkedRef) -> Self {
        let remarks = remarks.into_iter().map(RemarkView::from).collect();
        Self { r#ref: row.name, commit: row.reference, version: row.version, reason: row.reason, remarks }
    }
}

/// What a repository answered when it was tried out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "ok": true, "error": null, "default_branch": "main", "branches": 3, "tags": 12, "packages": null
}))]
pub struct VerificationView {
    /// Whether it can be read.
    ok: bool,
    /// Why it cannot.
    error: Option<String>,
    /// Of a git repository.
    default_branch: Option<String>,
    /// Of a git repository.
    branches: Option<usize>,
    /// Of a git repository.
    tags: Option<usize>,
    /// Of a Composer repository, if its `packages.json` says how many it has.
    packages: Option<usize>,
}

impl From<Verification> for VerificationView {
    fn from(seen: Verification) -> Self {
        Self {
            ok: seen.error.is_none(),
            error: seen.error,
            default_branch: seen.default_branch,
            branches: seen.branches,
            tags: seen.tags,
            packages: seen.packages,
        }
    }
}

/// What narrows a list of repositories.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RepositoriesQuery {
    /// Only those of this kind: `git`, `composer` or `artifact`
    kind: Option<String>,
    /// Only those that are `pending`, `syncing`, `ok` or `failed`
    sync_status: Option<String>,
}

impl RepositoriesQuery {
    /// Which repositories are asked for.
    pub(super) fn store_filter(&self) -> Result<RepositoryFilter, Failure> {
        let kind = parse_kind(self.kind.as_deref())?;
        let status = self.sync_status.as_deref().map(|name| {
            let detail =
                || format!("`{}` is none of `pending`, `syncing`, `ok`, `failed`", excerpt(name).escape_default());
            SyncStatus::parse(name).ok_or_else(|| Failure::invalid_field("sync_status", detail()))
        });
        Ok(RepositoryFilter { kind, status: status.transpose()? })
    }
}
