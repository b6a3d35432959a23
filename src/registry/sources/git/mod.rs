//! Syncing a git repository that was claimed: from its refs to published versions.
//!
//! 1. *Ask* for the refs: one request, when the server's capabilities are known. Their digest is the same as last
//!    time: nothing to do.
//! 2. *Load* what is known, *fetch* the commits that are new or have moved (`contents`), *decide* what each ref
//!    becomes (`changes`).
//! 3. *Publish* and end the run in one batch, or nothing.

pub mod archive_objects;
pub mod archives;
pub mod contents;
pub mod error;
pub mod plan;
pub mod remote;

use crate::registry::sources::git::contents::fetch_contents;
use crate::registry::sources::git::plan::{Candidate, Changes, Deciding, Known, candidates, digest, package_name};
use crate::registry::sources::git::remote::Remote;
use composer::PackageName;
use git::{Capabilities, PackagePath, RemoteRefs};
use url::Url;

use crate::json::read_text;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::publish::{Publication, publish};
use crate::registry::sources::composer::withdraw_reserved;
use crate::registry::sources::git::error::SyncError;
use crate::registry::sources::git::plan::short;
use crate::registry::sources::repositories::credentials::Credentials;
use crate::registry::sources::repositories::provider::Provider;
use crate::store::kernel::organizations::Touched;
use crate::store::packages::packages::{self, LiveVersion, PackageState};
use crate::store::sources::repositories::{self, RefRow};
use crate::store::sources::sync_runs::{self, Claim, ClaimedRepository, Finished, Report, SkippedRef};

/// Attempts to publish before giving up to somebody who keeps publishing the same package.
const PUBLISH_ATTEMPTS: usize = 3;

/// What a sync came to.
pub enum Ended {
    /// The refs are what they were.
    NothingNew,
    /// What is new was published, and the run has ended.
    Published {
        /// Whether a sync was asked for meanwhile.
        asked_again: bool,
    },
}

/// A git server at the address and with the credentials of a claimed repository.
pub fn remote_of<'a>(
    app: &'a App,
    uid: &str,
    url: &str,
    provider: &str,
    credentials: (&str, Option<&str>),
) -> Result<Remote<'a>, SyncError> {
    let (credential_type, sealed) = credentials;
    let credentials = Credentials::open(app, uid, credential_type, sealed)?;
    let provider = Provider::parse(provider).unwrap_or(Provider::Git);
    let url = Url::parse(url).map_err(|_| SyncError::NotARepository)?;
    Ok(Remote::new(app, url, credentials.authorization(provider)))
}

/// Syncs a claimed repository; what was done is in `report`, whatever comes of it.
pub async fn sync(
    app: &App,
    claim: &Claim,
    repository: &ClaimedRepository,
    report: &mut Report,
) -> Result<Ended, SyncError> {
    let credentials = (repository.credential_type.as_str(), repository.credentials.as_deref());
    let mut remote = remote_of(app, &repository.uid, &repository.url, &repository.provider, credentials)?;
    let ended = sync_with(app, claim, repository, &mut remote, report).await;
    report.requests = remote.requests;
    report.received_bytes = remote.received_bytes;
    ended
}

async fn sync_with(
    app: &App,
    claim: &Claim,
    repository: &ClaimedRepository,
    remote: &mut Remote<'_>,
    report: &mut Report,
) -> Result<Ended, SyncError> {
    let (capabilities, advertised) = look(remote, repository).await?;
    report.skipped = skipped_by_name(&advertised);
    let default = advertised.default_branch().ok_or(SyncError::Empty)?;
    let default = Candidate { ref_name: default.name.clone(), commit: default.commit_id(), ruled_out: None };
    let digest = digest(&advertised, repository);
    if repository.refs_digest.as_deref() == Some(digest.as_str()) {
        return Ok(Ended::NothingNew);
    }
    let mut found = Found {
        app,
        claim,
        repository,
        capabilities,
        path: PackagePath::parse(&repository.path)?,
        candidates: candidates(&advertised, repository),
        default,
        digest,
    };
    found.carry_through(remote, report).await
}

/// The refs whose names nobody could use.
fn skipped_by_name(advertised: &RemoteRefs) -> Vec<SkippedRef> {
    let mut skipped: Vec<SkippedRef> = advertised
        .skipped
        .iter()
        .map(|skipped| SkippedRef { name: skipped.name.clone(), reason: skipped.reason.to_string() })
        .collect();
    let more = advertised.skipped_total - advertised.skipped.len();
    if more > 0 {
        skipped.push(SkippedRef { name: String::new(), reason: format!("and {more} more refs with unusable names") });
    }
    skipped
}

/// Asks for the refs; for the capabilities too when they are unknown or have changed.
async fn look(
    remote: &mut Remote<'_>,
    repository: &ClaimedRepository,
) -> Result<(Capabilities, RemoteRefs), SyncError> {
    let known = repository.capabilities.as_deref().and_then(|text| read_text(text).ok());
    if let Some(capabilities) = known {
        match remote.refs(&capabilities).await {
            Ok(advertised) => return Ok((capabilities, advertised)),
            // The server may have been replaced by one that wants other requests.
            Err(SyncError::LsRefs(_) | SyncError::Status { .. } | SyncError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let capabilities = remote.capabilities().await?;
    let advertised = remote.refs(&capabilities).await?;
    Ok((capabilities, advertised))
}

/// A repository whose refs have changed.
struct Found<'a> {
    app: &'a App,
    claim: &'a Claim,
    repository: &'a ClaimedRepository,
    capabilities: Capabilities,
    path: PackagePath,
    candidates: Vec<Candidate>,
    default: Candidate,
    digest: String,
}

/// What the database has of a repository.
struct Stored {
    known: Known,
    /// Every package that the repository ever published.
    packages: Vec<PackageState>,
}

impl Found<'_> {
    async fn carry_through(&mut self, remote: &mut Remote<'_>, report: &mut Report) -> Result<Ended, SyncError> {
        let mut attempt = 1;
        let mut stored = self.load().await?;
        let mut commits = stored.known.wanted(&self.candidates);
        if stored.known.name_of(&self.default).is_none() && !commits.contains(&self.default.commit) {
            commits.push(self.default.commit);
        }
        let mut contents = fetch_contents(remote, &self.capabilities, &self.path, commits).await?;
        let name = self.name(&stored.known, &contents)?;
        if stored.known.is_published_under_another_name(&name) {
            // Everything is looked at again under the new name.
            let all = Known::default().wanted(&self.candidates);
            contents = fetch_contents(remote, &self.capabilities, &self.path, all).await?;
        }
        let skipped_by_name = std::mem::take(&mut report.skipped);
        loop {
            let changes = self.decide(&name, &stored, &contents)?;
            report.skipped = skipped_by_name.iter().chain(&changes.skipped).cloned().collect();
            report.requests = remote.requests;
            report.received_bytes = remote.received_bytes;
            (report.added, report.changed, report.removed) = (changes.added, changes.changed, changes.removed);
            let failure = match self.publish(&name, &stored, &changes, &contents, report).await {
                Ok(asked_again) => return Ok(Ended::Published { asked_again }),
                Err(failure) => failure,
            };
            if let Some(Finished { asked_again }) = self.was_published_all_the_same().await {
                return Ok(Ended::Published { asked_again });
            }
            if attempt == PUBLISH_ATTEMPTS {
                return Err(self.explain(&name, failure).await);
            }
            log::warn!("publishing {name} again: {failure:?}");
            attempt += 1;
            stored = self.load().await?;
        }
    }

    /// A batch whose answer got lost may have been carried out; then the run has ended with it.
    async fn was_published_all_the_same(&self) -> Option<Finished> {
        let rows = crate::store::run(&*self.app.ports.database, sync_runs::finished(self.claim.id)).await.ok()?;
        let finished = rows.first().ok().flatten()?;
        self.app.memory.invalidate_published(self.repository.organization);
        Some(finished)
    }

    async fn load(&self) -> Result<Stored, SyncError> {
        let id = self.repository.id;
        let batch = vec![repositories::refs(id), packages::live_versions(id), packages::of_repository(id)];
        let mut results = self.app.ports.database.batch(batch).await?.into_iter();
        let refs: Vec<RefRow> = results.next().unwrap_or_default().decode()?;
        let versions: Vec<LiveVersion> = results.next().unwrap_or_default().decode()?;
        let packages = results.next().unwrap_or_default().decode()?;
        Ok(Stored { known: Known::new(refs, versions, &packages), packages })
    }

    /// The name of the package: the default branch tells it for all versions.
    fn name(&self, known: &Known, contents: &contents::Contents) -> Result<PackageName, SyncError> {
        let no_name = |reason: String| SyncError::NoName { branch: short(&self.default.ref_name).to_owned(), reason };
        if let Some(content) = contents.get(&self.default.commit) {
            package_name(content).map_err(no_name)
        } else {
            let name = known.name_of(&self.default).unwrap_or_default();
            PackageName::parse(name).map_err(|error| no_name(error.to_string()))
        }
    }

    fn decide(&self, name: &PackageName, stored: &Stored, contents: &contents::Contents) -> Result<Changes, SyncError> {
        let renamed = stored.known.is_published_under_another_name(name);
        let nothing = stored.known.under_another_name();
        let deciding = Deciding {
            name,
            default_ref: &self.default.ref_name,
            known: if renamed { &nothing } else { &stored.known },
            contents,
            entropy: &*self.app.ports.entropy,
            now: self.app.now(),
        };
        Ok(deciding.decide(&self.candidates)?)
    }

    async fn publish(
        &self,
        name: &PackageName,
        stored: &Stored,
        changes: &Changes,
        contents: &contents::Contents,
        report: &Report,
    ) -> Result<bool, Failure> {
        let state = stored.packages.iter().find(|state| state.name == name.as_str());
        let stays_listed = !stored.known.is_published_under_another_name(name)
            && stored.known.is_listed() == changes.versions.iter().any(LiveVersion::is_listed);
        let texts: Vec<(String, String)> =
            contents.texts.iter().map(|(sha256, text)| (sha256.clone(), text.clone())).collect();
        let capabilities = serde_json::json!(self.capabilities).to_string();
        let published = publish(
            self.app,
            &Publication {
                organization: self.repository.organization,
                repository_id: self.repository.id,
                source_url: &self.repository.url,
                run_id: self.claim.id,
                name,
                known_revision: state.map(|state| state.revision),
                abandoned: state.and_then(|state| state.abandoned_override.as_deref()),
                hidden: state.is_some_and(|state| state.hidden),
                versions: &changes.versions,
                changed: &changes.upserts,
                files: &changes.files,
                texts: &texts,
                default_ref: Some(&self.default.ref_name),
                refs: &changes.refs,
                refs_digest: &self.digest,
                capabilities: &capabilities,
                touched: if stays_listed { Touched::Versions } else { Touched::Names },
                report,
                next_due_at: self.app.now().plus(self.app.config.sync_interval),
            },
        )
        .await?;
        // The package's vendor is reserved from now on.
        let contested = Some(published.contested);
        if let Err(failure) = withdraw_reserved(self.app, self.repository.organization, contested).await {
            log::warn!("packages of upstreams stay listed until their next sync: {failure:?}");
        }
        Ok(published.asked_again)
    }

    /// Why publishing failed: because of another repository's package, or of ourselves.
    async fn explain(&self, name: &PackageName, failure: Failure) -> SyncError {
        let stmt = packages::owner(self.repository.organization, name.as_str());
        let owner = crate::store::run(&*self.app.ports.database, stmt).await.ok();
        match owner.and_then(|rows| rows.first::<packages::Owner>().ok().flatten()) {
            Some(owner) if owner.repository_id != self.repository.id => SyncError::NameTaken { name: name.to_string() },
            _ => SyncError::Internal(failure),
        }
    }
}
