//! Syncing a git repository that was claimed: from its refs to published versions.
//!
//! 1. *Ask* for the refs: one request, when the server's capabilities are known. Their digest is the same as last
//!    time: nothing to do.
//! 2. *Load* what is known, *fetch* the commits that are new or have moved (`contents`), *decide* what each ref
//!    becomes (`changes`).
//! 3. *Publish* and end the run in one batch, or nothing.

pub mod archive_objects;
pub mod archives;
pub mod candidates;
pub mod contents;
pub mod error;
pub mod funding;
pub mod lfs;
pub mod monorepo;
pub mod naming;
pub mod plan;
pub mod published;
pub mod remote;
pub mod renaming;
pub mod stated_dist;

use std::collections::BTreeMap;

use composer::PackageName;
use git::{Capabilities, PackagePath, RemoteRefs};
use serde_json::{Value, json};
use url::Url;

use crate::json::read_text;
use crate::ports::Stmt;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::pattern::passes_filter;
use crate::registry::kernel::provider::Provider;
use crate::registry::packages::publish::{Attempt, Change, PackagePlan, Plan, RenderContext, Snapshot, apply, publish};
use crate::registry::packages::support::StoredFunding;
use crate::registry::sources::composer::retract_reserved;
use crate::registry::sources::git::candidates::{Candidate, TagMoves, candidates, digest, short_ref_name};
use crate::registry::sources::git::contents::{ContentsOf, WantedCommit, fetch_contents};
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::funding::FundingSearch;
use crate::registry::sources::git::naming::Naming;
use crate::registry::sources::git::plan::{ChangePlanner, Changes, MovedTag};
use crate::registry::sources::git::published::PublishedState;
use crate::registry::sources::git::remote::{GitRemote, Listing};
use crate::registry::sources::git::renaming::Renaming;
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::runs::next_regular;
use crate::store::kernel::audit::{NewRepositoryEntry, record_by_repository};
use crate::store::kernel::organizations::Touched;
use crate::store::kernel::webhook_events::notify_moved_tags;
use crate::store::packages::publication::Origin;
use crate::store::packages::remarks::{self, RemarkSource};
use crate::store::packages::renaming::hide_renamed;
use crate::store::packages::retirement::{Leaving, Retirement, retire};
use crate::store::packages::state::{self, LiveVersion, PackageState};
use crate::store::sources::refs;
use crate::store::sources::repositories::{self, Repository};
use crate::store::sources::sync_runs::{self, Claim, Finished, SkippedItem, SyncReport};
use crate::store::sources::upstream_answers;

/// Most tags of a package that one webhook delivery tells of.
const MAX_TOLD: usize = 1000;

/// What a sync came to.
pub enum SyncOutcome {
    /// The refs are what they were.
    NothingNew,
    /// What is new was published, and the run has ended.
    Published(Finished),
}

/// The git server of a repository.
pub fn remote_for<'a>(app: &'a App, repository: &Repository) -> Result<GitRemote<'a>, SyncError> {
    let Repository { uid, url, provider, credential_type, credentials, .. } = repository;
    let credentials = Credentials::open(app, uid, credential_type, credentials.as_deref())?;
    let provider = Provider::parse(provider).unwrap_or(Provider::Git);
    let url = Url::parse(url).map_err(|_| SyncError::NotARepository)?;
    Ok(GitRemote::new(app, url, credentials.authorization(provider)))
}

/// Syncs a claimed repository; what was done is in `report`, whatever comes of it.
pub async fn sync(
    app: &App,
    claim: &Claim,
    repository: &Repository,
    report: &mut SyncReport,
) -> Result<SyncOutcome, SyncError> {
    let mut remote = remote_for(app, repository)?;
    let ended = sync_with(app, claim, repository, &mut remote, report).await;
    report.requests = remote.requests;
    report.received_bytes = remote.received_bytes;
    ended
}

async fn sync_with(
    app: &App,
    claim: &Claim,
    repository: &Repository,
    remote: &mut GitRemote<'_>,
    report: &mut SyncReport,
) -> Result<SyncOutcome, SyncError> {
    let Listing { capabilities, refs: advertised } = list_refs(remote, repository).await?;
    report.skipped = skipped_by_name(&advertised);
    let candidates = candidates(&advertised, repository);
    if candidates.is_empty() {
        return Err(SyncError::Empty);
    }
    let default = advertised.default_branch().map(|default| Candidate {
        ref_name: default.name.clone(),
        commit: default.commit_id(),
        tag: None,
        name: short_ref_name(&default.name).to_owned(),
        rejected: None,
    });
    let moves = if claim.immutable_tags { TagMoves::Refused } else { TagMoves::Followed };
    let digest = digest(&advertised, repository, moves);
    if repository.refs_digest.as_deref() == Some(digest.as_str()) {
        match &repository.conflicting_package {
            None => return Ok(SyncOutcome::NothingNew),
            Some(name) if !passes_filter(repository.package_filter.as_deref(), name) => {
                return Err(SyncError::LeftOut { name: name.clone() });
            }
            Some(name) if is_taken(app, repository, name).await? => {
                return Err(SyncError::NameTaken { name: name.clone() });
            }
            // Whoever had the package has it no longer, or it is let through now.
            Some(_) => {}
        }
    }
    let mut found = ChangedRepository {
        app,
        claim,
        repository,
        capabilities,
        path: PackagePath::parse(&repository.path)?,
        candidates,
        default,
        digest,
        moves,
    };
    found.publish_changes(remote, report).await
}

/// Whether another repository has a package, so that this one cannot publish it.
async fn is_taken(app: &App, repository: &Repository, name: &str) -> Result<bool, SyncError> {
    Ok(app.ports.database.ask(state::is_taken(repository.organization, name, repository.id)).await?)
}

/// The refs whose names nobody could use.
fn skipped_by_name(advertised: &RemoteRefs) -> Vec<SkippedItem> {
    let mut skipped: Vec<SkippedItem> = advertised
        .skipped
        .iter()
        .map(|skipped| SkippedItem { name: skipped.name.clone(), reason: skipped.reason.to_string() })
        .collect();
    let more = advertised.skipped_total - advertised.skipped.len();
    if more > 0 {
        skipped.push(SkippedItem { name: String::new(), reason: format!("and {more} more refs with unusable names") });
    }
    skipped
}

/// Asks for the refs; for the capabilities too when they are unknown or have changed, or come along (before version 2).
async fn list_refs(remote: &mut GitRemote<'_>, repository: &Repository) -> Result<Listing, SyncError> {
    let known = repository.capabilities.as_deref().and_then(|text| read_text::<Capabilities>(text).ok());
    if let Some(capabilities) = known.filter(|known| known.version_0.is_none()) {
        match remote.refs(&capabilities).await {
            Ok(refs) => return Ok(Listing { capabilities, refs }),
            // The server may have been replaced by one that wants other requests.
            Err(SyncError::LsRefs(_) | SyncError::Status { .. } | SyncError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    remote.listing().await
}

/// A repository whose refs have changed.
struct ChangedRepository<'a> {
    app: &'a App,
    claim: &'a Claim,
    repository: &'a Repository,
    capabilities: Capabilities,
    path: PackagePath,
    candidates: Vec<Candidate>,
    /// The default branch, if there are branches.
    default: Option<Candidate>,
    digest: String,
    moves: TagMoves,
}

/// What the database has of a repository.
struct StoredRepository {
    known: PublishedState,
    /// Every package that the repository ever published.
    packages: Vec<PackageState>,
}

/// What there is to be written, or that it is written: the answer to an earlier attempt may have got lost.
enum RepositorySnapshot {
    Repository(Box<StoredRepository>),
    Finished(Finished),
}

impl Snapshot for RepositorySnapshot {
    const MAX_ATTEMPTS: usize = 3;

    fn has_changed_since(&self, _: &Self) -> bool {
        true
    }

    fn exhausted(failure: Failure) -> Failure {
        failure
    }
}

/// Publishing what the refs have become.
struct Publishing<'a> {
    found: &'a ChangedRepository<'a>,
    naming: &'a Naming,
    contents: &'a contents::Contents,
    skipped_by_name: Vec<SkippedItem>,
    report: &'a mut SyncReport,
}

impl Change for Publishing<'_> {
    type Snapshot = RepositorySnapshot;
    type Done = Finished;

    async fn read(&self) -> Result<RepositorySnapshot, Failure> {
        Ok(match self.found.was_committed().await {
            Some(finished) => RepositorySnapshot::Finished(finished),
            None => RepositorySnapshot::Repository(Box::new(self.found.load().await?)),
        })
    }

    async fn write(&mut self, stored: &RepositorySnapshot) -> Result<Attempt<Finished>, Failure> {
        let stored = match stored {
            RepositorySnapshot::Finished(finished) => return Ok(Attempt::Done(*finished)),
            RepositorySnapshot::Repository(stored) => stored,
        };
        let changes = self.found.plan(self.naming, stored, self.contents)?;
        self.report.skipped = self.skipped_by_name.iter().chain(&changes.skipped).cloned().collect();
        self.report.remarks = changes.listed_remarks();
        self.report.added = changes.added;
        self.report.changed = changes.changed;
        self.report.removed = changes.removed;
        Ok(self.found.publish(&self.naming.name, stored, changes, self.contents, self.report).await.into())
    }
}

impl ChangedRepository<'_> {
    async fn publish_changes(
        &mut self,
        remote: &mut GitRemote<'_>,
        report: &mut SyncReport,
    ) -> Result<SyncOutcome, SyncError> {
        let stored = self.load().await?;
        let mut commits = stored.known.wanted(&self.candidates);
        let funding = self.funding_search();
        let is_funding_unknown = funding.is_some() && self.repository.funding.is_none();
        if let Some(default) = &self.default
            && (is_funding_unknown || stored.known.version(default).is_none())
            && !commits.iter().any(|wanted| wanted.commit == default.commit)
        {
            commits.push(WantedCommit { commit: default.commit, tags: Vec::new() });
        }
        let of = ContentsOf { app: self.app, capabilities: &self.capabilities, path: &self.path };
        let mut contents = fetch_contents(remote, &of, commits, funding.as_ref()).await?;
        let naming = Naming::find(self.default.as_ref(), &self.candidates, &stored.known, &contents)?;
        let name = naming.name.clone();
        if stored.known.is_published_under_another_name(&name) {
            // Everything is looked at again under the new name.
            let all = PublishedState::default().wanted(&self.candidates);
            contents = fetch_contents(remote, &of, all, funding.as_ref()).await?;
        }
        let is_new = stored.packages.iter().all(|package| package.name != name.as_str());
        let refusal = if !passes_filter(self.repository.package_filter.as_deref(), name.as_str()) {
            Some(SyncError::LeftOut { name: name.to_string() })
        } else if is_new && is_taken(self.app, self.repository, name.as_str()).await? {
            Some(SyncError::NameTaken { name: name.to_string() })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let capabilities = serde_json::json!(self.capabilities).to_string();
            let conflict =
                repositories::record_conflict(self.repository.id, name.as_str(), &self.digest, &capabilities);
            self.app.ports.database.ask(conflict).await?;
            return Err(refusal);
        }
        let skipped_by_name = std::mem::take(&mut report.skipped);
        report.requests = remote.requests;
        report.received_bytes = remote.received_bytes;
        let publishing =
            Publishing { found: self, naming: &naming, contents: &contents, skipped_by_name, report: &mut *report };
        let stored = RepositorySnapshot::Repository(Box::new(stored));
        let failure = match apply(self.app, self.repository.organization, stored, publishing).await {
            Ok(finished) => return Ok(SyncOutcome::Published(finished)),
            Err(failure) => failure,
        };
        if let Some(finished) = self.was_committed().await {
            return Ok(SyncOutcome::Published(finished));
        }
        report.clear_changes();
        Err(self.publish_error(&name, failure).await)
    }

    /// Whose FUNDING.yml is looked for: GitHub's alone, as by Composer.
    fn funding_search(&self) -> Option<FundingSearch> {
        let known = self.repository.funding.as_deref().and_then(|text| read_text::<StoredFunding>(text).ok());
        let default = self.default.as_ref().filter(|_| self.repository.provider == Provider::GitHub.as_str())?;
        Some(FundingSearch { commit: default.commit, known_file: known.and_then(|known| known.file) })
    }

    /// A batch whose answer got lost may have been carried out; then the run has ended with it.
    async fn was_committed(&self) -> Option<Finished> {
        let finished = self.app.ports.database.ask(sync_runs::finished(self.claim.id, self.app.now())).await.ok()??;
        self.app.memory.invalidate_published(self.repository.organization);
        Some(finished)
    }

    async fn load(&self) -> Result<StoredRepository, Failure> {
        let id = self.repository.id;
        let reads = (refs::of_repository(id), state::live_versions(id), state::of_repository(id));
        let (refs, versions, packages) = self.app.ports.database.ask(reads).await?;
        let known = PublishedState::new(refs, versions, &packages, self.moves);
        Ok(StoredRepository { known, packages })
    }

    fn plan(
        &self,
        naming: &Naming,
        stored: &StoredRepository,
        contents: &contents::Contents,
    ) -> Result<Changes, Failure> {
        let is_renamed = stored.known.is_published_under_another_name(&naming.name);
        let nothing = stored.known.under_another_name();
        let renaming = Renaming::find(&naming.name, &stored.known, &stored.packages);
        let deciding = ChangePlanner {
            name: &naming.name,
            named_by: naming.by,
            default_ref: self.default.as_ref().map(|default| default.ref_name.as_str()),
            known: if is_renamed { &nothing } else { &stored.known },
            former_names: renaming.former_names().collect(),
            contents,
            entropy: &*self.app.ports.entropy,
            now: self.app.now(),
        };
        Ok(deciding.plan(&self.candidates)?)
    }

    async fn publish(
        &self,
        name: &PackageName,
        stored: &StoredRepository,
        changes: Changes,
        contents: &contents::Contents,
        report: &SyncReport,
    ) -> Result<Finished, Failure> {
        let (now, repository) = (self.app.now(), self.repository);
        let organization = repository.organization;
        let state = stored.packages.iter().find(|state| state.name == name.as_str());
        let stays_listed = !stored.known.is_published_under_another_name(name)
            && stored.known.is_listed() == changes.versions.iter().any(LiveVersion::is_listed);
        let funding = contents.funding.as_ref().map(|funding| serde_json::json!(funding).to_string());
        let source = repository.to_package_source(funding.as_deref());
        let renaming = Renaming::find(name, &stored.known, &stored.packages);
        let is_hidden = state.is_some_and(|state| state.hidden) || renaming.was_hidden();
        let hidden_versions = changes.versions.iter().filter(|version| version.hidden);
        let hidden_versions: Vec<&str> = hidden_versions.map(|version| version.normalized.as_str()).collect();
        let hide = (is_hidden || !hidden_versions.is_empty())
            .then(|| hide_renamed(organization, name.as_str(), is_hidden, &hidden_versions, now));
        let context = RenderContext {
            source: &source,
            abandoned: state.and_then(|state| state.abandoned_override.as_deref()),
            hidden: is_hidden,
            now,
        };
        let mut packages = renaming.plans(&source, now)?;
        packages.push(PackagePlan::own(name, state.map(|state| state.revision), context, &changes.versions)?);
        let plan = Plan {
            touched: if stays_listed { Touched::Versions } else { Touched::Names },
            packages,
            changed: changes.upserts,
            files: changes.files,
            texts: contents.texts.waiting().to_vec(),
            dists: changes.dists,
            guards: vec![sync_runs::guard(organization, self.claim.id, name.as_str(), repository.id)],
            changes: hide.into_iter().flatten().collect(),
            ..Plan::new(organization, repository.id, Origin::Own)
        };
        let capabilities = serde_json::json!(self.capabilities).to_string();
        // What another repository published that was at this address before.
        let others = Retirement { repository_id: repository.id, leaving: Leaving::AllBut(renaming.names()) };
        let kept = refs::replace(repository.id, &changes.refs, &self.digest, &capabilities);
        let kept_funding = funding.map(|funding| repositories::keep_funding(repository.id, &funding));
        let after = (
            retire(organization, &[others], now),
            kept.into_iter().chain(kept_funding).collect::<Vec<Stmt>>(),
            renaming.statements(self.app, repository).await?,
            remarks::replace(repository.id, RemarkSource::Sync, &changes.remarks, now),
            remarks::delete_outdated(repository.id),
            self.tell_of_moves(&changes.moved)?,
            upstream_answers::conflicting_packages(organization),
            sync_runs::finish(self.claim.id, report, now, next_regular(self.app, repository.id)),
        );
        let (_, _, _, _, (), _, contested, finished) = publish(self.app, plan, after).await?;
        // The package's vendor is reserved from now on.
        if let Err(failure) = retract_reserved(self.app, organization, Some(contested)).await {
            log::warn!("packages of upstreams stay listed until their next sync: {failure:?}");
        }
        Ok(finished.unwrap_or_default())
    }

    /// The statements that tell of moved tags: in the audit log and to webhooks.
    fn tell_of_moves(&self, moved: &[MovedTag]) -> Result<Vec<Stmt>, Failure> {
        let (now, repository) = (self.app.now(), self.repository);
        let mut entries = Vec::with_capacity(moved.len());
        let mut by_package: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for tag in moved {
            let details = json!({ "ref": tag.ref_name, "from": tag.from, "to": tag.to, "followed": tag.is_followed });
            entries.push(NewRepositoryEntry {
                uid: new_uid(&*self.app.ports.entropy, now)?,
                label: format!("{} {}", tag.package, tag.version),
                details,
            });
            let told = json!({ "version": tag.version, "from": tag.from, "to": tag.to, "followed": tag.is_followed });
            by_package.entry(&tag.package).or_default().push(told);
        }
        let payload = |(package, tags): (&str, Vec<Value>)| {
            let tags = &tags[..tags.len().min(MAX_TOLD)];
            json!({ "package": package, "tags": tags })
        };
        let payloads: Vec<Value> = by_package.into_iter().map(payload).collect();
        let mut stmts = record_by_repository(repository.organization, &repository.uid, "tag.moved", &entries, now);
        stmts.extend(notify_moved_tags(repository.organization, &payloads, now));
        Ok(stmts)
    }

    /// Why publishing failed: because of another repository's package, or of ourselves.
    async fn publish_error(&self, name: &PackageName, failure: Failure) -> SyncError {
        match is_taken(self.app, self.repository, name.as_str()).await {
            Ok(true) => SyncError::NameTaken { name: name.to_string() },
            _ => SyncError::Internal(failure),
        }
    }
}
