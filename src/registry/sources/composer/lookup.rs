//! Looking a name up that no repository of our own publishes: what is known holds for a while, and then its upstreams
//! are asked again.

use std::sync::Arc;
use std::time::Duration;

use composer::PackageName;

use crate::ports::Job;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::Cached;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::pattern::matches_any;
use crate::registry::packages::documents::{
    DOCUMENT_TTL, DocumentCache, NameResolution, PackageDocuments, StoredDocuments, stored,
};
use crate::registry::sources::composer::client::ComposerClient;
use crate::registry::sources::composer::error::UpstreamRepositoryError;
use crate::registry::sources::composer::failing::FailingUpstreams;
use crate::registry::sources::composer::import_batch::ImportBatch;
use crate::registry::sources::composer::{eligible_upstreams, is_name_reserved};
use crate::store::OrganizationId;
use crate::store::packages::authority::{
    AnswerKind, NameAuthority, PreviousAnswer, UpstreamAnswer, UpstreamRepository,
};
use crate::store::sources::repositories;
use crate::store::sources::upstream_answers::{self, NewAnswer};

/// For how many sync intervals an answer may be handed out while it is asked for again.
pub const STALE_WHILE_REVALIDATE_INTERVALS: u32 = 6;

/// How long a request waits for another one that asks for the same package.
const LOOKUP_TIMEOUT: Duration = Duration::from_mins(1);

/// What is known of an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerFreshness {
    /// It holds.
    Holds(AnswerKind),
    /// It is to be asked.
    Due,
}

/// A look-up of one name.
struct Lookup<'a> {
    app: &'a App,
    organization: OrganizationId,
    name: &'a PackageName,
    authority: &'a NameAuthority,
    /// What the package's owner published, if that one may still answer.
    shown: Option<Arc<PackageDocuments>>,
}

impl<'a> Lookup<'a> {
    fn new(
        app: &'a App,
        organization: OrganizationId,
        name: &'a PackageName,
        facts: &'a NameAuthority,
        documents: Option<Arc<PackageDocuments>>,
    ) -> Self {
        let owner_may_answer =
            eligible_upstreams(facts, name).iter().any(|one| Some(one.upstream.id) == facts.ownership.owner);
        Self { app, organization, name, authority: facts, shown: documents.filter(|_| owner_may_answer) }
    }

    fn is_owner(&self, upstream: &UpstreamRepository) -> bool {
        self.shown.is_some() && self.authority.ownership.owner == Some(upstream.id)
    }

    fn freshness(&self, said: &UpstreamAnswer) -> AnswerFreshness {
        let is_owner = self.is_owner(&said.upstream);
        let Some(stored) = &said.upstream.root else { return AnswerFreshness::Due };
        if stored.root.metadata_url.is_none() {
            // It is read as a whole by its syncs. A name of which they could read nothing is not absent.
            return match (is_owner, said.answer, said.checked_at) {
                (true, ..) => AnswerFreshness::Holds(AnswerKind::Found),
                (false, None, Some(_)) => AnswerFreshness::Due,
                (false, ..) => AnswerFreshness::Holds(AnswerKind::Absent),
            };
        }
        let holds = said.checked_at.is_some_and(|at| self.app.now() < at.plus(self.app.config.sync_interval));
        match said.answer {
            Some(AnswerKind::Found) if !is_owner => AnswerFreshness::Due,
            Some(answer) if holds => AnswerFreshness::Holds(answer),
            _ => AnswerFreshness::Due,
        }
    }

    /// What is known without asking anybody; `None` when somebody is to be asked first.
    fn cached_resolution(&self) -> Option<NameResolution> {
        for said in eligible_upstreams(self.authority, self.name) {
            match self.freshness(said) {
                AnswerFreshness::Holds(AnswerKind::Absent) => {}
                AnswerFreshness::Holds(AnswerKind::Claimed) => return Some(NameResolution::Claimed),
                AnswerFreshness::Holds(AnswerKind::Found) => {
                    return Some(NameResolution::Documents(self.shown.clone()));
                }
                AnswerFreshness::Due => return None,
            }
        }
        Some(self.unowned())
    }

    fn unowned(&self) -> NameResolution {
        if is_name_reserved(self.authority, self.name) {
            NameResolution::Claimed
        } else {
            NameResolution::Documents(None)
        }
    }

    /// Whether what is shown may be shown while it is asked for again.
    fn may_serve_stale(&self) -> bool {
        let bound = self.app.config.sync_interval * STALE_WHILE_REVALIDATE_INTERVALS;
        let owner = self.authority.upstreams.iter().find(|said| self.is_owner(&said.upstream));
        owner.and_then(|owner| owner.checked_at).is_some_and(|at| self.app.now() < at.plus(bound))
    }
}

/// What is known of a name that no repository of our own publishes, after its upstreams were asked if they had to be.
///
/// # Errors
/// `Upstream` when an upstream has to be asked that fails, and nothing is known of the name.
pub async fn resolve(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    facts: NameAuthority,
    documents: Option<Arc<PackageDocuments>>,
) -> Result<NameResolution, Failure> {
    let lookup = Lookup::new(app, organization, name, &facts, documents);
    let shown = lookup.shown.clone();
    if let Some(known) = lookup.cached_resolution() {
        return Ok(known);
    }
    if lookup.may_serve_stale() {
        revalidate_in_background(app, organization, name, facts, shown.clone());
        return Ok(NameResolution::Documents(shown));
    }
    match ask_once(&lookup).await {
        Err(failure) if shown.is_some() => {
            log::warn!("{name} is served from the cache, because its upstream failed: {}", failure.detail);
            Ok(NameResolution::Documents(shown))
        }
        result => result,
    }
}

/// What a piece of work holds that asks for a package: composer wants both documents of one at the same time.
fn lookup_permit_name(organization: OrganizationId, name: &PackageName) -> String {
    format!("mirror:{organization}:{name}")
}

async fn ask_once(lookup: &Lookup<'_>) -> Result<NameResolution, Failure> {
    let Lookup { app, organization, name, .. } = *lookup;
    let turn = lookup_permit_name(organization, name);
    let key = (organization, name.as_str().to_owned());
    let place = if let Some(place) = app.memory.try_acquire_permit(&turn, app.now()) {
        place
    } else {
        let place = app.acquire_permit(&[&turn], LOOKUP_TIMEOUT).await;
        let cached = app.memory.published_slot::<DocumentCache>().lock().get(&key);
        if let Some(entry) = cached.filter(|entry| entry.is_fresh(app.now(), DOCUMENT_TTL)) {
            return Ok(entry.value);
        }
        let message = || format!("{name} is being asked for already. Try again in a moment.");
        place.ok_or_else(|| Failure::new(Kind::Upstream, message()))?
    };
    let known = ask_upstreams(lookup).await?;
    // Before the place is given back, so that whoever waits for it finds the answer.
    let bytes = known.bytes();
    app.memory.published_slot::<DocumentCache>().lock().put(
        key,
        Cached { value: known.clone(), cached_at: app.now() },
        bytes,
    );
    drop(place);
    Ok(known)
}

/// Asks in the background, unless somebody does it already.
fn revalidate_in_background(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    facts: NameAuthority,
    shown: Option<Arc<PackageDocuments>>,
) {
    let Some(place) = app.memory.try_acquire_permit(&lookup_permit_name(organization, name), app.now()) else { return };
    let (app_then, name) = (app.clone(), name.clone());
    app.ports.tasks.wait_until(Box::pin(async move {
        let lookup = Lookup { app: &app_then, organization, name: &name, authority: &facts, shown };
        match ask_upstreams(&lookup).await {
            // The next one to ask reads it from the database.
            Ok(_) => app_then
                .memory
                .published_slot::<DocumentCache>()
                .lock()
                .remove(&(organization, name.as_str().to_owned())),
            Err(failure) => log::warn!("{name} was not asked for again: {}", failure.detail),
        }
        drop(place);
    }));
}

/// Asks the upstreams in their order until one has the name, writes down what they said, and reads what that makes.
async fn ask_upstreams(lookup: &Lookup<'_>) -> Result<NameResolution, Failure> {
    let Lookup { app, organization, name, .. } = *lookup;
    let mut asked = Ok(());
    for said in eligible_upstreams(lookup.authority, name) {
        let has_it = match lookup.freshness(said) {
            AnswerFreshness::Holds(answer) => Ok(answer != AnswerKind::Absent),
            AnswerFreshness::Due => ask_upstream(lookup, said).await,
        };
        match has_it {
            Ok(false) => {}
            Ok(true) => break,
            Err(failure) => {
                asked = Err(failure);
                break;
            }
        }
    }
    // Also after a failure: somebody else may have published it meanwhile, or only the database's answer was lost.
    let StoredDocuments { documents, authority: facts } = match stored(app, organization, name).await {
        Ok(stored) => stored,
        Err(failure) => return Err(asked.err().unwrap_or(failure)),
    };
    let facts = facts.unwrap_or_else(|| lookup.authority.clone());
    match Lookup::new(app, organization, name, &facts, documents).cached_resolution() {
        Some(known) => Ok(known),
        None => Err(asked.err().unwrap_or_else(|| upstream_unavailable(name, "its upstream was changed meanwhile"))),
    }
}

fn upstream_unavailable(name: &PackageName, reason: &str) -> Failure {
    Failure::new(Kind::Upstream, format!("{name} is not available from its upstream now: {reason}"))
}

/// Asks one upstream, and writes down what it said; whether it has the name, if only to claim it.
async fn ask_upstream(lookup: &Lookup<'_>, said: &UpstreamAnswer) -> Result<bool, Failure> {
    let Lookup { app, organization, name, .. } = *lookup;
    let upstream = &said.upstream;
    if let Some(error) = app.memory.slot::<FailingUpstreams>().lock().error(upstream.id, name, app.now()) {
        return Err(error.into_failure(name.as_str()));
    }
    let before = Some(&said.before).filter(|_| lookup.is_owner(upstream));
    match import_one(app, organization, upstream, name, before).await {
        Ok(Ok(has_it)) => Ok(has_it),
        Ok(Err(reason)) => Err(upstream_unavailable(name, &reason)),
        Err(
            LookupError::Root(UpstreamRepositoryError::Internal(failure))
            | LookupError::Name(UpstreamRepositoryError::Internal(failure)),
        ) => Err(failure),
        Err(LookupError::NotReadYet) => {
            let reason = "it is read as a whole, and no sync could read all of it yet; its syncs tell why";
            Err(upstream_unavailable(name, reason))
        }
        Err(LookupError::Root(error)) => {
            record_root_failure(lookup, upstream, error.clone()).await;
            Err(error.into_failure(name.as_str()))
        }
        Err(LookupError::Name(error)) => {
            record_name_failure(lookup, upstream, error.clone()).await;
            Err(error.into_failure(name.as_str()))
        }
    }
}

/// What an upstream failed at.
enum LookupError {
    /// At its root: it can tell of no name.
    Root(UpstreamRepositoryError),
    /// At the name that was asked for.
    Name(UpstreamRepositoryError),
    /// It is read as a whole by its syncs, and they could not read this name, or all of it, yet.
    NotReadYet,
}

impl<E: Into<UpstreamRepositoryError>> From<E> for LookupError {
    fn from(error: E) -> Self {
        Self::Name(error.into())
    }
}

/// Takes one package from an upstream; whether it has the name, or why what it has is of no use.
async fn import_one(
    app: &App,
    organization: OrganizationId,
    upstream: &UpstreamRepository,
    name: &PackageName,
    before: Option<&PreviousAnswer>,
) -> Result<Result<bool, String>, LookupError> {
    let mut import = ImportBatch::new(app, organization, upstream)?;
    if upstream.root.as_ref().is_some_and(|stored| stored.root.metadata_url.is_none()) {
        return Err(LookupError::NotReadYet);
    }
    if upstream.root.is_none() {
        let read = import.remote.root(None).await.map_err(LookupError::Root)?;
        let root = read.ok_or(LookupError::Root(UpstreamRepositoryError::NotARepository))?.stored;
        if root.root.metadata_url.is_none() {
            return Err(LookupError::NotReadYet);
        }
        import.keep_root(root).await?;
    }
    let mut has_it = before.is_some() || matches_any(import.root().root.patterns.as_deref(), name.as_str());
    if has_it {
        has_it = import.import_package(name, before).await?;
        if import.has_vanished() {
            // An upstream that is gone altogether says nothing of one package.
            let known = import.root().validators.clone();
            import.remote.root(Some(&known)).await.map_err(LookupError::Root)?;
        }
    } else {
        import.record_answer(name, Ok(AnswerKind::Absent), PreviousAnswer::default());
    }
    import.flush().await?;
    Ok(import.failure.map_or(Ok(has_it || import.has_kept), Err))
}

/// Asks an upstream once more for a package that it has told of, whatever its answer is worth: an archive is another one than
/// that promised. Whether it has it; a failure is none of the package's.
pub async fn ask_again(
    app: &App,
    organization: OrganizationId,
    upstream: &UpstreamRepository,
    name: &PackageName,
) -> bool {
    let turn = lookup_permit_name(organization, name);
    let Some(place) = app.acquire_permit(&[&turn], LOOKUP_TIMEOUT).await else { return false };
    let before = PreviousAnswer::default();
    let has_it = matches!(import_one(app, organization, upstream, name, Some(&before)).await, Ok(Ok(true)));
    app.memory.published_slot::<DocumentCache>().lock().remove(&(organization, name.as_str().to_owned()));
    drop(place);
    has_it
}

/// Writes down that an upstream failed to tell of the name, unless it fails as a whole, which its root tells.
async fn record_name_failure(lookup: &Lookup<'_>, upstream: &UpstreamRepository, error: UpstreamRepositoryError) {
    let Lookup { app, name, .. } = *lookup;
    let now = app.now();
    let is_to_be_checked = {
        let slot = app.memory.slot::<FailingUpstreams>();
        let mut failing = slot.lock();
        failing.record_name(upstream.id, name, error.clone(), now);
        failing.begin_root_check(upstream.id, now)
    };
    if is_to_be_checked && let Err(error) = check_root(app, upstream).await {
        return record_root_failure(lookup, upstream, error).await;
    }
    let answer = Err(error.to_string());
    let recorded = NewAnswer {
        name: name.to_string(),
        answer,
        published: PreviousAnswer::default(),
        has_vanished: false,
        skipped: Vec::new(),
    };
    let batch = upstream_answers::record_answer(upstream.id, vec![recorded], now);
    if let Err(error) = app.ports.database.batch(batch).await {
        log::warn!("a failure of upstream {} was not noted: {error}", upstream.uid);
    }
}

/// Whether an upstream can still be read at all. What it says is not looked at: that is for its next sync.
async fn check_root(app: &App, upstream: &UpstreamRepository) -> Result<(), UpstreamRepositoryError> {
    let known = upstream.root.as_ref().map(|known| &known.validators);
    match ComposerClient::new(app, upstream)?.root(known).await {
        Ok(_) | Err(UpstreamRepositoryError::Internal(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Leaves a whole upstream alone for a while, and has a sync look at it, which tells its repository's owner.
async fn record_root_failure(lookup: &Lookup<'_>, upstream: &UpstreamRepository, error: UpstreamRepositoryError) {
    let Lookup { app, organization, .. } = *lookup;
    app.memory.slot::<FailingUpstreams>().lock().record_root(upstream.id, error, app.now());
    match app.ports.database.batch(vec![repositories::request_check(organization, upstream.id)]).await {
        Ok(_) => app.enqueue(Job::SyncRepository { repository_id: upstream.id }, Duration::ZERO).await,
        Err(error) => log::warn!("no sync of the failing upstream {} was asked for: {error}", upstream.uid),
    }
}
