//! What is taken from one upstream, for a look-up of one package or for a sync of many: asked for, compared with what is
//! here, taken in, published. Any number of packages in a few batches, each of them whole or not at all.

use std::time::Duration;

use composer::notices::DocumentNotices;
use composer::{PackageName, Versions};
use serde_json::json;

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::publish::{PackagePlan, Plan, publish};
use crate::registry::sources::composer::client::{ComposerClient, Fetched, changed_at, fetch_package};
use crate::registry::sources::composer::convert::{ConversionContext, ConvertedPackage, convert, find_version};
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::notices::kept;
use crate::registry::sources::composer::{ineligibility, priority};
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::packages::authority::{AnswerKind, NameOwnership, PreviousAnswer, StoredRoot, UpstreamRepository};
use crate::store::packages::publication::{KnownPackage, Origin};
use crate::store::packages::remarks::{RefRemark, Remark, RemarkKind};
use crate::store::packages::retirement::{Leaving, Retirement, retire};
use crate::store::packages::upstream_notices::{self, UpstreamNotices};
use crate::store::sources::repositories;
use crate::store::sources::sync_runs::{SkippedItem, SyncReport};
use crate::store::sources::upstream_answers::{self, KnownVersion, NameRow, NewAnswer, SkippedVersion};

/// Bytes of documents that are published together: they are in memory at the same time, several times as large.
const CHUNK_BYTES: usize = 1 << 20;
/// Packages that are published together.
const CHUNK_PACKAGES: usize = 100;

/// How long a package waits for others that are being published in the same isolate: one with a thousand versions takes
/// tens of megabytes meanwhile, and composer asks for a dozen at a time.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Packages at which an upstream may fail before a sync takes it that it fails at all of them.
const MAX_FAILED_NAMES_AT_FIRST: usize = 5;
/// Packages at which its server may fail in one sync: each may take half a minute to do so.
const MAX_SERVER_FAILURES: usize = 10;

/// A package that is to be published.
pub struct PendingPackage {
    name: PackageName,
    versions: Vec<Versions>,
    previous: PreviousAnswer,
    /// What its documents say to be wrong with it.
    notices: DocumentNotices,
}

impl PendingPackage {
    /// A package whose documents say nothing to be wrong with it. `previous` is what to compare it with next time.
    pub fn new(name: PackageName, versions: Vec<Versions>, previous: PreviousAnswer) -> Self {
        Self { name, versions, previous, notices: DocumentNotices::default() }
    }
}

/// What an upstream has left of a package.
pub enum Left {
    /// Nothing.
    Nothing,
    /// Its name, without any version, in documents that are compared with these.
    Name(PreviousAnswer),
}

impl Left {
    /// As it is noted where nothing is kept.
    pub(super) fn into_answer(self) -> (AnswerKind, PreviousAnswer) {
        match self {
            Self::Nothing => (AnswerKind::Absent, PreviousAnswer::default()),
            Self::Name(published) => (AnswerKind::Claimed, published),
        }
    }
}

/// A package that its upstream has no longer.
pub struct VanishedPackage {
    /// The package.
    pub name: PackageName,
    /// What is left of it there.
    pub left: Left,
}

/// What is taken from one upstream.
pub struct ImportBatch<'a> {
    /// The registry.
    pub app: &'a App,
    /// The organization that it is for.
    pub organization: OrganizationId,
    /// The upstream.
    pub upstream: &'a UpstreamRepository,
    /// The way to it.
    pub remote: ComposerClient<'a>,
    root: StoredRoot,
    pending: Vec<PendingPackage>,
    pending_bytes: usize,
    pub(super) noted: Vec<NewAnswer>,
    notices: Vec<UpstreamNotices>,
    pub(super) leaving: Vec<String>,
    /// Packages that the upstream has no longer, of which it is not decided what becomes.
    pub(super) vanished: Vec<VanishedPackage>,
    /// Whether one of them is kept.
    pub has_kept: bool,
    /// Whether the upstream told of anything.
    pub has_answered: bool,
    /// Packages at which it failed, and those for which it is to blame.
    failed: usize,
    server_failures: usize,
    /// Why the latest package could not be read that could not.
    pub failure: Option<String>,
    /// Whether a package was left out because of whose its name is; that may change without the upstream changing.
    pub has_refused: bool,
    /// What it did.
    pub report: SyncReport,
}

impl<'a> ImportBatch<'a> {
    /// Nothing yet.
    pub fn new(
        app: &'a App,
        organization: OrganizationId,
        upstream: &'a UpstreamRepository,
    ) -> Result<Self, UpstreamRepositoryError> {
        Ok(Self {
            app,
            organization,
            upstream,
            remote: ComposerClient::new(app, upstream)?,
            root: upstream.root.clone().unwrap_or_default(),
            pending: Vec::new(),
            pending_bytes: 0,
            noted: Vec::new(),
            notices: Vec::new(),
            leaving: Vec::new(),
            vanished: Vec::new(),
            has_kept: false,
            has_answered: false,
            failed: 0,
            server_failures: 0,
            failure: None,
            has_refused: false,
            report: SyncReport::default(),
        })
    }

    /// What is known of the root.
    pub fn root(&self) -> &StoredRoot {
        &self.root
    }

    /// Keeps what was read of the root. What it announces is in `packages.json`, too.
    pub async fn keep_root(&mut self, root: StoredRoot) -> Result<(), Failure> {
        let known = self.upstream.root.as_ref();
        if known != Some(&root) {
            let mut batch =
                vec![repositories::keep_root(self.organization, self.upstream.id, &self.upstream.url, &root.to_json())];
            let announced = |root: &StoredRoot| (root.root.patterns.clone(), root.root.notices.filter_lists.clone());
            if known.map(announced) != Some(announced(&root)) {
                batch.push(organizations::touch(self.organization, Touched::Names, self.app.now()));
                self.app.memory.invalidate_published(self.organization);
            }
            self.app.ports.database.batch(batch).await?;
        }
        self.root = root;
        Ok(())
    }

    /// Whether a sync goes on asking for packages: the server has not failed at too many.
    pub fn may_ask_on(&self) -> bool {
        self.server_failures < MAX_SERVER_FAILURES
    }

    /// Notes that a package could not be read, and goes on with others.
    ///
    /// # Errors
    /// The error itself, if it is the registry's, or one of several in a row while the upstream has told of no package.
    pub fn record_failure(
        &mut self,
        name: &PackageName,
        error: UpstreamRepositoryError,
    ) -> Result<(), UpstreamRepositoryError> {
        if matches!(error, UpstreamRepositoryError::Internal(_)) {
            return Err(error);
        }
        self.failed += usize::from(error.may_concern_all());
        self.server_failures += usize::from(error.is_server_failure());
        if !self.has_answered && self.failed >= MAX_FAILED_NAMES_AT_FIRST {
            return Err(error);
        }
        self.record_answer(name, Err(error.to_string()), PreviousAnswer::default());
        Ok(())
    }

    /// Asks for a package by name; `before` is what the upstream published of it, if it still does. Says whether it has
    /// the name. An error that is not the server's is noted.
    pub async fn import_package(
        &mut self,
        name: &PackageName,
        before: Option<&PreviousAnswer>,
    ) -> Result<bool, UpstreamRepositoryError> {
        let has_it = self.fetch_one(name, before).await?;
        self.has_answered = true;
        Ok(has_it)
    }

    async fn fetch_one(
        &mut self,
        name: &PackageName,
        before: Option<&PreviousAnswer>,
    ) -> Result<bool, UpstreamRepositoryError> {
        let template = self.root.root.metadata_url.clone().unwrap_or_default();
        match fetch_package(&mut self.remote, &template, name, before.map(|before| &*before.validators)).await {
            Ok(Fetched::Unchanged) => {
                self.record_answer(name, Ok(AnswerKind::Found), before.cloned().unwrap_or_default());
            }
            Ok(Fetched::Absent) => {
                match before {
                    Some(_) => self.note_vanished(name.clone()),
                    None => self.record_answer(name, Ok(AnswerKind::Absent), PreviousAnswer::default()),
                }
                return Ok(false);
            }
            Ok(Fetched::Documents { versions, notices, published, bytes }) => {
                let package = PendingPackage::new(name.clone(), versions, published);
                self.add(PendingPackage { notices, ..package }, bytes).await?;
            }
            Err(error) if error.may_concern_all() || matches!(error, UpstreamRepositoryError::Internal(_)) => {
                return Err(error);
            }
            Err(error) => self.record_answer(name, Err(error.to_string()), PreviousAnswer::default()),
        }
        Ok(true)
    }

    /// Notes what the upstream answered for a package.
    pub fn record_answer(&mut self, name: &PackageName, answer: Result<AnswerKind, String>, published: PreviousAnswer) {
        self.failure = answer.clone().err().or(self.failure.take());
        let name = name.to_string();
        self.noted.push(NewAnswer { name, answer, published, has_vanished: false, skipped: Vec::new() });
    }

    /// Notes a package, or something that should be one, that is left out.
    pub fn skip(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.report.skip(SkippedItem { name: name.into(), reason: reason.into() });
    }

    /// Notes that the upstream has a package no longer.
    pub fn note_vanished(&mut self, name: PackageName) {
        self.vanished.push(VanishedPackage { name, left: Left::Nothing });
    }

    /// Whether it is noted that the upstream has a package no longer.
    pub fn has_vanished(&self) -> bool {
        !self.vanished.is_empty()
    }

    /// Adds a package of about `bytes` to those that are published next.
    pub async fn add(&mut self, package: PendingPackage, bytes: usize) -> Result<(), Failure> {
        self.pending.push(package);
        self.pending_bytes += bytes;
        if self.pending_bytes >= CHUNK_BYTES || self.pending.len() >= CHUNK_PACKAGES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Why the upstream may not have a name, if so.
    fn ownership_conflict(&self, ownership: &NameOwnership, name: &PackageName) -> Option<&'static str> {
        ineligibility(self.upstream, ownership, name).or_else(|| {
            let owner = ownership.owner.filter(|owner| *owner != self.upstream.id)?;
            let theirs = priority(ownership.owner_provider.as_deref().unwrap_or_default(), owner);
            (theirs < priority(&self.upstream.provider, self.upstream.id))
                .then_some("an upstream of higher priority has it")
        })
    }

    /// Publishes what was added, and writes down what was noted.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        let mut permit = None;
        let mut plan = None;
        if !self.pending.is_empty() || self.has_vanished() {
            let message = "Too many packages are being mirrored at the moment. Try again.";
            let waited = self.app.acquire_permit(&["publish"], TIMEOUT).await;
            permit = Some(waited.ok_or_else(|| Failure::new(Kind::Upstream, message))?);
            plan = Some(self.prepare_pending().await?).filter(|plan| !plan.packages.is_empty());
            self.settle_vanished().await?;
        }
        let now = self.app.now();
        let mut after = Vec::new();
        if !self.leaving.is_empty() {
            let leaving = Leaving::Named(std::mem::take(&mut self.leaving));
            let gone = Retirement { repository_id: self.upstream.id, leaving };
            after.push(organizations::touch(self.organization, Touched::Versions, now));
            after.extend(retire(self.organization, &[gone], now));
        }
        let notices = std::mem::take(&mut self.notices);
        after.extend(upstream_notices::replace(self.organization, self.upstream.id, &notices));
        after.extend(upstream_answers::record_answer(self.upstream.id, std::mem::take(&mut self.noted), now));
        match plan {
            Some(plan) => drop(publish(self.app, plan, after).await?),
            None if after.is_empty() => {}
            None => drop(self.app.ports.database.ask(after).await?),
        }
        drop(permit);
        Ok(())
    }

    /// The plan of nothing yet, which is carried out as long as the upstream is at its address.
    pub(super) fn new_plan(&self) -> Plan {
        let mut plan = Plan::new(self.organization, self.upstream.id, Origin::Upstream);
        plan.guards.push(repositories::guard_upstream(self.organization, self.upstream.id, &self.upstream.url));
        plan
    }

    /// What was added, ready to be published.
    async fn prepare_pending(&mut self) -> Result<Plan, Failure> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let names: Vec<&str> = pending.iter().map(|one| one.name.as_str()).collect();
        let names = json!(names).to_string();
        let reads = (
            upstream_answers::ownership(self.organization, self.upstream.id, names.clone()),
            upstream_answers::known_versions(self.organization, names.clone()),
            upstream_notices::known(self.organization, self.upstream.id, names),
        );
        let (owners, known, known_notices) = self.app.ports.database.ask(reads).await?;
        let mut plan = self.new_plan();
        let mirrors = self.remote.mirrors(&self.root.root);
        let context = ConversionContext { app: self.app, organization: self.organization, mirrors: &mirrors };
        for PendingPackage { name, versions, previous: before, notices } in pending {
            let owned = owners.iter().find(|one| one.name == name.as_str());
            let Some(NameRow { ownership, before: published, has_vanished, .. }) = owned else { continue };
            let known = versions_of(&known, name.as_str());
            let is_here = ownership.owner == Some(self.upstream.id) && !known.is_empty();
            if *has_vanished {
                // It may have been listed because it was gone alone.
                plan.touched = Touched::Names;
            } else if is_here && published.digest == before.digest {
                // A server without validators says the same again, or another isolate was faster.
                self.record_answer(&name, Ok(AnswerKind::Found), before);
                continue;
            }
            if let Some(reason) = self.ownership_conflict(ownership, &name) {
                self.has_refused = true;
                self.skip(name.as_str(), reason);
                continue;
            }
            let before_notices = known_notices.iter().find(|one| one.name == name.as_str());
            self.notices.extend(kept(&self.root.root.notices, name.as_str(), notices, before_notices));
            let versions = versions.into_iter().flatten();
            let converted = convert(&context, &name, versions, changed_at(&before), known)?;
            self.settle(&mut plan, &name, converted, before, ownership, known);
        }
        Ok(plan)
    }

    /// Puts a package that was taken in to what is published, or notes why not.
    fn settle(
        &mut self,
        plan: &mut Plan,
        name: &PackageName,
        converted: ConvertedPackage,
        before: PreviousAnswer,
        ownership: &NameOwnership,
        known: &[KnownVersion],
    ) {
        if converted.versions.is_empty() {
            if let Some(SkippedVersion { version, reason }) = converted.skipped.first() {
                let message = format!("none of its versions can be used; the first, {version}: {reason}");
                self.record_answer(name, Err(message), PreviousAnswer::default());
                return;
            }
            if ownership.owner == Some(self.upstream.id) {
                self.vanished.push(VanishedPackage { name: name.clone(), left: Left::Name(before) });
            } else {
                self.record_answer(name, Ok(AnswerKind::Claimed), before);
            }
            return;
        }
        self.count(&converted, known);
        self.remark_undated(name, converted.undated);
        plan.packages.push(PackagePlan {
            name: name.clone(),
            known: KnownPackage { repository_id: ownership.owner, revision: ownership.revision },
            rendered: converted.rendered,
            live: converted.live,
            released_at: None,
        });
        plan.changed.extend(converted.versions);
        plan.dists.extend(converted.dists);
        let skipped = converted.skipped;
        self.noted.push(NewAnswer {
            name: name.to_string(),
            answer: Ok(AnswerKind::Found),
            published: before,
            has_vanished: false,
            skipped,
        });
    }

    /// Has operators know of versions that do not say when they were released.
    fn remark_undated(&mut self, name: &PackageName, undated: usize) {
        if undated > 0 {
            let text = format!(
                "{undated} of its versions do not say when they were released; each says when it counts as released for \
                 `updates_until`."
            );
            let remark = Remark::new(RemarkKind::Undated, text);
            self.report.remarks.push(RefRemark { ref_name: name.to_string(), remark });
        }
    }

    fn count(&mut self, converted: &ConvertedPackage, known: &[KnownVersion]) {
        let (mut kept, mut changed) = (0, 0);
        for version in &converted.versions {
            if let Some(old) = find_version(known, &version.normalized) {
                kept += 1;
                changed += i64::from(old.reference != version.reference);
            }
        }
        let size = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        self.report.added += size(converted.versions.len()) - kept;
        self.report.changed += changed;
        self.report.removed += size(known.len()) - kept;
    }
}

/// The versions of one package, among those of several in their order.
fn versions_of<'k>(known: &'k [KnownVersion], name: &str) -> &'k [KnownVersion] {
    let start = known.partition_point(|version| version.name.as_str() < name);
    let end = known.partition_point(|version| version.name.as_str() <= name);
    &known[start..end]
}
