//! Looking a name up that no repository of our own publishes: what is known holds for a while, and then its upstreams
//! are asked again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::composer::PackageName;
use crate::ports::{Fault, Job, Stmt};
use crate::registry::App;
use crate::registry::failure::{Failure, Kind};
use crate::registry::memory::{DOCUMENT_TTL, Dated};
use crate::registry::metadata::{self, Known, PackageDocuments};
use crate::registry::mirror::intake::take_in;
use crate::registry::mirror::publication::{Incoming, known_versions, publish, turn_to_publish};
use crate::registry::mirror::remote::{Address, Fetched, MirrorError, Remote, fetch_package};
use crate::registry::mirror::{entitled, is_withheld, takes};
use crate::store::mirror_publication::{Leaving, Source, retire};
use crate::store::mirrors::{self, AnswerUpsert, Answered, Facts, StoredRoot, UpstreamRow, Validators};
use crate::store::organizations::{self, Touched};
use crate::store::repositories;

/// For how many sync intervals an answer may be handed out while it is asked for again.
pub const STALE_INTERVALS: u32 = 6;

/// How long a request waits for another one that asks for the same package.
const TURN_PATIENCE: Duration = Duration::from_mins(1);

/// What is known of an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It holds.
    Holds(Answered),
    /// It is to be asked.
    Due,
}

/// A look-up of one name.
struct Lookup<'a> {
    app: &'a App,
    organization_id: i64,
    name: &'a PackageName,
    facts: &'a Facts,
    /// What the package's owner published, if that one may still answer.
    shown: Option<Arc<PackageDocuments>>,
}

impl Lookup<'_> {
    fn is_owner(&self, upstream: &UpstreamRow) -> bool {
        self.shown.is_some() && self.facts.ownership.owner == Some(upstream.id)
    }

    fn standing(&self, upstream: &UpstreamRow) -> Standing {
        let is_owner = self.is_owner(upstream);
        let Some(stored) = &upstream.root else { return Standing::Due };
        if stored.root.metadata_url.is_none() {
            // It is read as a whole by its syncs.
            return Standing::Holds(if is_owner { Answered::Found } else { Answered::Absent });
        }
        let holds = upstream.checked_at.is_some_and(|at| self.app.now() < at.plus(self.app.config.sync_interval));
        match upstream.answer {
            Some(Answered::Found) if !is_owner => Standing::Due,
            Some(answer) if holds => Standing::Holds(answer),
            _ => Standing::Due,
        }
    }

    /// What is known without asking anybody; `None` when somebody is to be asked first.
    fn settled(&self) -> Option<Known> {
        for upstream in entitled(self.facts, self.name) {
            match self.standing(upstream) {
                Standing::Holds(Answered::Absent) => {}
                Standing::Holds(Answered::Claimed) => return Some(Known::Claimed),
                Standing::Holds(Answered::Found) => return Some(Known::Documents(self.shown.clone())),
                Standing::Due => return None,
            }
        }
        Some(self.nobodys())
    }

    fn nobodys(&self) -> Known {
        if is_withheld(self.facts, self.name) { Known::Claimed } else { Known::Documents(None) }
    }

    /// Whether what is shown may be shown while it is asked for again.
    fn may_be_shown_meanwhile(&self) -> bool {
        let bound = self.app.config.sync_interval * STALE_INTERVALS;
        let owner = self.facts.upstreams.iter().find(|upstream| self.is_owner(upstream));
        owner.and_then(|owner| owner.checked_at).is_some_and(|at| self.app.now() < at.plus(bound))
    }
}

/// What is known of a name that no repository of our own publishes, after its upstreams were asked if they had to be.
///
/// # Errors
/// `Upstream` when an upstream has to be asked that fails, and nothing is known of the name.
pub async fn resolve(
    app: &App,
    organization_id: i64,
    name: &PackageName,
    facts: Facts,
    documents: Option<Arc<PackageDocuments>>,
) -> Result<Known, Failure> {
    let owner_may_answer = entitled(&facts, name).iter().any(|one| Some(one.id) == facts.ownership.owner);
    let shown = documents.filter(|_| owner_may_answer);
    let lookup = Lookup { app, organization_id, name, facts: &facts, shown: shown.clone() };
    if let Some(known) = lookup.settled() {
        return Ok(known);
    }
    if lookup.may_be_shown_meanwhile() {
        ask_later(app, organization_id, name, facts, shown.clone());
        return Ok(Known::Documents(shown));
    }
    match ask_in_turn(&lookup).await {
        Err(failure) if shown.is_some() => {
            log::warn!("{name} is shown as it was: {}", failure.detail);
            Ok(Known::Documents(shown))
        }
        result => result,
    }
}

/// What a piece of work holds that asks for a package: composer wants both documents of one at the same time.
fn turn(organization_id: i64, name: &PackageName) -> String {
    format!("mirror:{organization_id}:{name}")
}

async fn ask_in_turn(lookup: &Lookup<'_>) -> Result<Known, Failure> {
    let Lookup { app, organization_id, name, .. } = *lookup;
    let turn = turn(organization_id, name);
    let key = (organization_id, name.as_str().to_owned());
    let place = if let Some(place) = app.memory.try_take(&turn, app.now()) {
        place
    } else {
        let place = app.wait_for_place(&[&turn], TURN_PATIENCE).await;
        let learnt = app.memory.documents().get(&key);
        if let Some(entry) = learnt.filter(|entry| entry.is_fresh(app.now(), DOCUMENT_TTL)) {
            return Ok(entry.value);
        }
        let words = || format!("{name} is being asked for already. Try again in a moment.");
        place.ok_or_else(|| Failure::new(Kind::Upstream, words()))?
    };
    let known = ask(lookup).await?;
    // Before the place is given back, so that whoever waits for it finds the answer.
    let bytes = known.bytes();
    app.memory.documents().put(key, Dated { value: known.clone(), read_at: app.now() }, bytes);
    drop(place);
    Ok(known)
}

/// Asks in the background, unless somebody does it already.
fn ask_later(app: &App, organization_id: i64, name: &PackageName, facts: Facts, shown: Option<Arc<PackageDocuments>>) {
    let Some(place) = app.memory.try_take(&turn(organization_id, name), app.now()) else { return };
    let (app_then, name) = (app.clone(), name.clone());
    app.ports.tasks.wait_until(Box::pin(async move {
        let lookup = Lookup { app: &app_then, organization_id, name: &name, facts: &facts, shown };
        match ask(&lookup).await {
            // The next one to ask reads it from the database.
            Ok(_) => app_then.memory.documents().remove(&(organization_id, name.as_str().to_owned())),
            Err(failure) => log::warn!("{name} was not asked for again: {}", failure.detail),
        }
        drop(place);
    }));
}

/// What an upstream said.
enum Said {
    /// It has the package, as the database has it now.
    Found(Option<Arc<PackageDocuments>>),
    /// It has the name, and no version.
    Claimed,
    /// It does not have it.
    Absent,
}

/// Asks the upstreams in their order until one has the name, and writes down what they said.
async fn ask(lookup: &Lookup<'_>) -> Result<Known, Failure> {
    let mut owner_lost_it = None;
    for upstream in entitled(lookup.facts, lookup.name) {
        let said = match lookup.standing(upstream) {
            Standing::Holds(Answered::Absent) => Said::Absent,
            Standing::Holds(Answered::Claimed) => Said::Claimed,
            Standing::Holds(Answered::Found) => Said::Found(lookup.shown.clone()),
            Standing::Due => {
                if let Some(reason) = lookup.app.memory.recent_failure(upstream.id, lookup.app.now()) {
                    return Err(Failure::new(Kind::Upstream, reason));
                }
                match ask_one(lookup, upstream).await {
                    Ok(said) => said,
                    Err(MirrorError::Internal(failure)) => return Err(failure),
                    Err(error) => return Err(note_failure(lookup, upstream, error).await),
                }
            }
        };
        match said {
            Said::Found(documents) => return Ok(Known::Documents(documents)),
            Said::Claimed => return Ok(Known::Claimed),
            Said::Absent if lookup.is_owner(upstream) => owner_lost_it = Some(upstream),
            Said::Absent => {}
        }
    }
    if let Some(owner) = owner_lost_it {
        lookup.app.ports.database.batch(retirement(lookup, owner).into()).await?;
    }
    Ok(lookup.nobodys())
}

/// Takes the package out of the metadata: its upstream no longer has it.
fn retirement(lookup: &Lookup<'_>, owner: &UpstreamRow) -> [Stmt; 5] {
    let now = lookup.app.now();
    let leaving = Leaving { repository_id: owner.id, globs: vec![lookup.name.to_string()], matching: true };
    let [first, second, third, fourth] = retire(&[leaving], now);
    [organizations::touch(lookup.organization_id, Touched::Versions, now), first, second, third, fourth]
}

/// Asks one upstream, and writes down what it said.
async fn ask_one(lookup: &Lookup<'_>, upstream: &UpstreamRow) -> Result<Said, MirrorError> {
    let Lookup { app, name, .. } = *lookup;
    let credentials = (upstream.credential_type.as_str(), upstream.credentials.as_deref());
    let mut remote = Remote::new(app, Address { uid: &upstream.uid, url: &upstream.url, credentials })?;
    let mut batch = Vec::new();
    let stored = if let Some(stored) = &upstream.root {
        stored.clone()
    } else {
        let (stored, _) = remote.root(None).await?.ok_or(MirrorError::NotARepository)?;
        batch.push(repositories::keep_root(upstream.id, &upstream.url, &json!(stored).to_string()));
        stored
    };
    let known = upstream.validators.as_deref().filter(|_| lookup.is_owner(upstream));
    let fetched = match stored.root.metadata_url.as_deref() {
        // It is read as a whole, by the sync that its registration asked for.
        None => return Ok(Said::Absent),
        Some(_) if !takes(stored.root.patterns.as_deref(), name.as_str()) => Fetched::Absent,
        Some(template) => fetch_package(&mut remote, template, name, known).await?,
    };
    let now = app.now();
    let said = match fetched {
        Fetched::Unchanged => {
            batch.push(mirrors::note_unchanged(&[(upstream.id, name.to_string())], now));
            Said::Found(lookup.shown.clone())
        }
        Fetched::Absent => {
            batch.extend(mirrors::note_answers(&[answer(lookup, upstream, Answered::Absent, &[], None)], now));
            Said::Absent
        }
        Fetched::Documents { versions, validators, digest, .. } => {
            let answer = answer(lookup, upstream, Answered::Found, &validators, Some(digest));
            if lookup.is_owner(upstream) && upstream.digest == answer.digest {
                // A server without validators says the same again.
                batch.extend(mirrors::note_answers(&[answer], now));
                Said::Found(lookup.shown.clone())
            } else {
                return take(lookup, upstream, &stored, versions.into_iter().flatten(), answer, batch).await;
            }
        }
    };
    app.ports.database.batch(batch).await?;
    Ok(said)
}

fn answer(
    lookup: &Lookup<'_>,
    upstream: &UpstreamRow,
    answer: Answered,
    validators: &[Validators],
    digest: Option<String>,
) -> AnswerUpsert {
    AnswerUpsert {
        repository_id: upstream.id,
        name: lookup.name.to_string(),
        answer,
        validators: json!(validators).to_string(),
        digest,
        skipped: "[]".to_owned(),
    }
}

/// Publishes what an upstream has of the package; `batch` goes with it.
async fn take(
    lookup: &Lookup<'_>,
    upstream: &UpstreamRow,
    stored: &StoredRoot,
    versions: impl Iterator<Item = crate::composer::Map>,
    answer: AnswerUpsert,
    mut batch: Vec<Stmt>,
) -> Result<Said, MirrorError> {
    let Lookup { app, name, organization_id, .. } = *lookup;
    let ownership = lookup.facts.ownership.clone();
    let place = turn_to_publish(app).await?;
    let known = match ownership.owner {
        Some(_) => known_versions(app, organization_id, std::slice::from_ref(name)).await?,
        None => Vec::new(),
    };
    let intake = take_in(app, name, versions, &stored.root.mirrors, &known)?;
    let answer = AnswerUpsert { skipped: json!(intake.skipped).to_string(), ..answer };
    if intake.versions.is_empty() {
        if let Some((version, reason)) = intake.skipped.first() {
            return Err(MirrorError::Unusable { version: version.clone(), reason: reason.clone() });
        }
        batch.extend(mirrors::note_answers(&[AnswerUpsert { answer: Answered::Claimed, ..answer }], app.now()));
        if lookup.is_owner(upstream) {
            batch.extend(retirement(lookup, upstream));
        }
        app.ports.database.batch(batch).await?;
        return Ok(Said::Claimed);
    }
    let (stable, dev) = (intake.rendered.stable.clone(), intake.rendered.dev.clone());
    let source = Source { organization_id, repository_id: upstream.id, url: &upstream.url, now: app.now() };
    let published = publish(app, source, vec![Incoming { intake, ownership, answer }], batch).await;
    drop(place);
    let failure = match published.map(|packages| packages.first().map(|package| package.revision)) {
        Ok(Some(revision)) if !lookup.facts.has_notices => {
            return Ok(Said::Found(Some(Arc::new(PackageDocuments::new(revision, stable, dev)))));
        }
        Ok(Some(_)) => return Ok(Said::Found(metadata::stored(app, organization_id, name).await?.0)),
        Ok(None) => Fault::new("database", "a package was published and is not there").into(),
        Err(failure) => failure,
    };
    // Somebody else has published it meanwhile, or only the answer was lost.
    match metadata::stored(app, organization_id, name).await {
        Ok((documents @ Some(_), Some(facts))) if facts.ownership.owner == Some(upstream.id) => {
            Ok(Said::Found(documents))
        }
        _ => Err(failure.into()),
    }
}

/// Writes down that an upstream failed. When it is the server, a sync looks at it and tells its repository's owner.
async fn note_failure(lookup: &Lookup<'_>, upstream: &UpstreamRow, error: MirrorError) -> Failure {
    let Lookup { app, name, .. } = *lookup;
    let (now, reason, is_the_servers) = (app.now(), error.to_string(), error.is_the_servers());
    let failure = error.into_failure(name.as_str());
    let mut batch = vec![mirrors::note_failures(&[(upstream.id, name.to_string(), reason)], now)];
    if is_the_servers {
        app.memory.note_failure(upstream.id, &failure.detail, now);
        batch.push(repositories::ask_for_check(upstream.id));
    }
    if let Err(error) = app.ports.database.batch(batch).await {
        log::warn!("a failure of upstream {} was not noted: {error}", upstream.uid);
    } else if is_the_servers {
        app.enqueue(Job::SyncRepository { repository_id: upstream.id }, Duration::ZERO).await;
    }
    failure
}
