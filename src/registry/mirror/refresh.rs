//! The sync of an upstream repository: its root, and what it has of the packages that were asked for before, the oldest
//! answers first. A look-up that finds an answer too old asks for itself; this keeps old ones from piling up, tells the
//! repository's owner when the upstream fails, and finds out when it no longer does.

use serde_json::json;

use crate::composer::{DistMirror, PackageName, Versions};
use crate::ports::Stmt;
use crate::registry::App;
use crate::registry::failure::Failure;
use crate::registry::mirror::import::import;
use crate::registry::mirror::intake::{Intake, take_in};
use crate::registry::mirror::publication::{Incoming, known_versions, names_json, publish, turn_to_publish};
use crate::registry::mirror::remote::{Address, Fetched, MirrorError, Remote, fetch_package};
use crate::registry::mirror::{Upstream, rank, withdraw_reserved};
use crate::store::mirror_publication::{Leaving, Source, retire};
use crate::store::mirrors::{
    self, AnswerUpsert, Answered, KnownVersion, LeftOut, MirrorRow, OwnedName, Ownership, StoredRoot, Validators,
};
use crate::store::organizations::{self, Touched};
use crate::store::sync_runs::{ClaimedRepository, Report, SkippedRef};
use crate::store::{repositories, run};

/// Packages that one sync asks for again.
const PACKAGES_A_SYNC: i64 = 50;

/// Bytes of documents that are published together: they are in memory at the same time, several times as large.
const CHUNK_BYTES: usize = 1 << 20;
/// Packages that are published together.
const CHUNK_PACKAGES: usize = 100;

/// Whether a sync has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Done,
    /// There is more; another one is to follow at once.
    More,
}

/// A sync of an upstream repository.
pub struct Refresh<'a> {
    /// The registry.
    pub app: &'a App,
    /// What is synced.
    pub repository: &'a ClaimedRepository,
    filter: Option<Vec<String>>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// Whether a package was left out because of whose its name is; that may change without the upstream changing.
    pub has_refused: bool,
    /// What it did.
    pub report: &'a mut Report,
}

/// A package that is to be published.
pub struct Pending {
    /// The package.
    pub name: PackageName,
    /// What upstream has of it.
    pub versions: Vec<Versions>,
    /// What is noted of the upstream's answer.
    pub answer: AnswerUpsert,
}

/// Syncs an upstream repository; what was done is in `report`, whatever comes of it.
pub async fn refresh(app: &App, repository: &ClaimedRepository, report: &mut Report) -> Result<Progress, MirrorError> {
    let credentials = (repository.credential_type.as_str(), repository.credentials.as_deref());
    let mut remote = Remote::new(app, Address { uid: &repository.uid, url: &repository.url, credentials })?;
    let filter = repository.package_filter.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let mut work =
        Refresh { app, repository, filter, pending: Vec::new(), pending_bytes: 0, has_refused: false, report };
    let result = work.carry_through(&mut remote).await;
    let tidied = work.tidy_up().await;
    report.requests = remote.requests;
    report.received_bytes = remote.received_bytes;
    let progress = result?;
    tidied?;
    Ok(progress)
}

impl Refresh<'_> {
    async fn carry_through(&mut self, remote: &mut Remote<'_>) -> Result<Progress, MirrorError> {
        let known: Option<StoredRoot> =
            self.repository.capabilities.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let read = remote.root(known.as_ref().map(|known| &known.validators)).await?;
        let stored = match (read, known) {
            (Some((stored, catalogue)), known) if stored.root.metadata_url.is_none() => {
                return import(self, remote, stored, catalogue, known.as_ref()).await;
            }
            (Some((stored, _)), known) => {
                self.keep_root(&stored, known.as_ref()).await?;
                stored
            }
            // What was read as a whole has not changed since.
            (None, Some(known)) if known.root.metadata_url.is_none() => return Ok(Progress::Done),
            (None, Some(known)) => known,
            (None, None) => return Err(MirrorError::NotARepository),
        };
        self.ask_again(remote, &stored).await?;
        Ok(Progress::Done)
    }

    /// Keeps what was read of the root. What it announces is in `packages.json`, too.
    pub async fn keep_root(&self, stored: &StoredRoot, known: Option<&StoredRoot>) -> Result<(), Failure> {
        if known == Some(stored) {
            return Ok(());
        }
        let now = self.app.now();
        let mut batch =
            vec![repositories::keep_root(self.repository.id, &self.repository.url, &json!(stored).to_string())];
        if known.map(|known| &known.root.patterns) != Some(&stored.root.patterns) {
            batch.push(organizations::touch(self.repository.organization_id, Touched::Names, now));
        }
        self.app.ports.database.batch(batch).await?;
        self.app.memory.forget_published();
        Ok(())
    }

    /// Asks for the packages again that were not asked for the longest.
    async fn ask_again(&mut self, remote: &mut Remote<'_>, stored: &StoredRoot) -> Result<(), MirrorError> {
        let template = stored.root.metadata_url.as_deref().unwrap_or_default();
        let before = self.app.now().minus(self.app.config.sync_interval);
        let stmt = mirrors::oldest(self.repository.id, before, PACKAGES_A_SYNC);
        let rows: Vec<MirrorRow> = run(&*self.app.ports.database, stmt).await?.decode()?;
        let names: Vec<PackageName> = rows.iter().filter_map(|row| PackageName::parse(&row.name).ok()).collect();
        let ownerships = self.ownerships(&names).await?;
        let mut noted = Noted::default();
        let mut result = Ok(());
        for (row, name) in rows.iter().zip(&names) {
            let ownership = ownerships.iter().find(|one| one.name == row.name).map(|one| &one.ownership);
            if ownership.is_none_or(|ownership| self.upstream().refusal(ownership, name).is_some()) {
                continue;
            }
            let is_owner = ownership.is_some_and(|ownership| ownership.owner == Some(self.repository.id));
            match self.ask_for(remote, template, row, name, is_owner, &mut noted).await {
                Ok(()) => {}
                Err(error) if !error.is_the_servers() && !matches!(error, MirrorError::Internal(_)) => {
                    noted.failed.push((self.repository.id, row.name.clone(), error.to_string()));
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        // What was learnt before the server failed is not to be asked for again.
        self.flush(&stored.root.mirrors).await?;
        self.write(noted).await?;
        result
    }

    async fn ask_for(
        &mut self,
        remote: &mut Remote<'_>,
        template: &str,
        row: &MirrorRow,
        name: &PackageName,
        is_owner: bool,
        noted: &mut Noted,
    ) -> Result<(), MirrorError> {
        let known: Option<Vec<Validators>> =
            Some(&row.validators).filter(|_| is_owner).and_then(|text| serde_json::from_str(text).ok());
        match fetch_package(remote, template, name, known.as_deref()).await? {
            Fetched::Unchanged => noted.unchanged.push((self.repository.id, row.name.clone())),
            Fetched::Absent => {
                noted.answers.push(self.answer(name, Answered::Absent, &[], None));
                if is_owner {
                    noted.leaving.push(row.name.clone());
                }
            }
            Fetched::Documents { versions, validators, digest, bytes } => {
                let answer = self.answer(name, Answered::Found, &validators, Some(digest));
                if is_owner && row.digest == answer.digest {
                    noted.answers.push(answer);
                } else {
                    self.add(Pending { name: name.clone(), versions, answer }, bytes, &[]).await?;
                }
            }
        }
        Ok(())
    }

    /// The upstream that is synced.
    pub fn upstream(&self) -> Upstream<'_> {
        Upstream {
            provider: &self.repository.provider,
            credential_type: &self.repository.credential_type,
            filter: self.filter.as_deref(),
        }
    }

    /// What is noted of its answer for a package.
    pub fn answer(
        &self,
        name: &PackageName,
        answer: Answered,
        validators: &[Validators],
        digest: Option<String>,
    ) -> AnswerUpsert {
        AnswerUpsert {
            repository_id: self.repository.id,
            name: name.to_string(),
            answer,
            validators: json!(validators).to_string(),
            digest,
            skipped: "[]".to_owned(),
        }
    }

    async fn ownerships(&self, names: &[PackageName]) -> Result<Vec<OwnedName>, Failure> {
        let stmt = mirrors::ownership(self.repository.organization_id, names_json(names));
        Ok(run(&*self.app.ports.database, stmt).await?.decode()?)
    }

    /// Notes a ref that is left out.
    pub fn skip(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.report.skipped.push(SkippedRef { name: name.into(), reason: reason.into() });
    }

    // -------------------------------------------------------------------------------------- publishing

    /// Adds a package of about `bytes` to those that are published next.
    pub async fn add(&mut self, pending: Pending, bytes: usize, mirrors: &[DistMirror]) -> Result<(), Failure> {
        self.pending.push(pending);
        self.pending_bytes += bytes;
        if self.pending_bytes >= CHUNK_BYTES || self.pending.len() >= CHUNK_PACKAGES {
            self.flush(mirrors).await?;
        }
        Ok(())
    }

    /// Publishes what was added.
    pub async fn flush(&mut self, mirrors: &[DistMirror]) -> Result<(), Failure> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if pending.is_empty() {
            return Ok(());
        }
        let _place = turn_to_publish(self.app).await?;
        let names: Vec<PackageName> = pending.iter().map(|one| one.name.clone()).collect();
        let ownerships = self.ownerships(&names).await?;
        let known = known_versions(self.app, self.repository.organization_id, &names).await?;
        let (mut incoming, mut noted) = (Vec::new(), Noted::default());
        for Pending { name, versions, answer } in pending {
            let owned = ownerships.iter().find(|one| one.name == name.as_str());
            let ownership = owned.map(|one| one.ownership.clone()).unwrap_or_default();
            if let Some(reason) = self.upstream().refusal(&ownership, &name).or_else(|| self.precedence(&ownership)) {
                self.has_refused = true;
                self.skip(name.as_str(), reason);
                continue;
            }
            let intake = take_in(self.app, &name, versions.into_iter().flatten(), mirrors, &known)?;
            let answer = AnswerUpsert { skipped: json!(intake.skipped).to_string(), ..answer };
            match (intake.versions.is_empty(), intake.skipped.first()) {
                (false, _) => {
                    self.count(&intake, &known);
                    incoming.push(Incoming { intake, ownership, answer });
                }
                (true, Some((version, reason))) => {
                    let error = MirrorError::Unusable { version: version.clone(), reason: reason.clone() };
                    noted.failed.push((self.repository.id, name.to_string(), error.to_string()));
                }
                (true, None) => {
                    if ownership.owner == Some(self.repository.id) {
                        noted.leaving.push(name.to_string());
                    }
                    noted.answers.push(AnswerUpsert { answer: Answered::Claimed, ..answer });
                }
            }
        }
        if !incoming.is_empty() {
            publish(self.app, self.source(), incoming, Vec::new()).await?;
            self.app.memory.forget_published();
        }
        self.write(noted).await
    }

    fn source(&self) -> Source<'_> {
        Source {
            organization_id: self.repository.organization_id,
            repository_id: self.repository.id,
            url: &self.repository.url,
            now: self.app.now(),
        }
    }

    /// Why a package that another upstream has is left to it, if so.
    fn precedence(&self, ownership: &Ownership) -> Option<&'static str> {
        let owner = ownership.owner.filter(|owner| *owner != self.repository.id)?;
        let theirs = rank(ownership.owner_provider.as_deref().unwrap_or_default(), owner);
        (theirs < rank(&self.repository.provider, self.repository.id)).then_some("an upstream that comes first has it")
    }

    fn count(&mut self, intake: &Intake, known: &[KnownVersion]) {
        let before: Vec<&KnownVersion> = known.iter().filter(|one| one.name == intake.name.as_str()).collect();
        let find = |normalized: &str| before.iter().find(|one| one.normalized == normalized);
        let (mut kept, mut changed) = (0, 0);
        for version in &intake.versions {
            if let Some(old) = find(&version.normalized) {
                kept += 1;
                changed += i64::from(old.reference != version.reference);
            }
        }
        let size = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        self.report.added += size(intake.versions.len()) - kept;
        self.report.changed += changed;
        self.report.removed += size(before.len()) - kept;
    }

    /// Takes packages out of the metadata that the upstream no longer has.
    pub async fn retire(&mut self, names: Vec<String>) -> Result<(), Failure> {
        let answers = names.iter().filter_map(|name| PackageName::parse(name).ok());
        let answers = answers.map(|name| self.answer(&name, Answered::Absent, &[], None)).collect();
        self.write(Noted { answers, leaving: names, ..Noted::default() }).await
    }

    async fn write(&mut self, noted: Noted) -> Result<(), Failure> {
        let batch = noted.into_stmts(self);
        if !batch.is_empty() {
            self.app.ports.database.batch(batch).await?;
            self.app.memory.forget_published();
        }
        Ok(())
    }

    /// What is left to do at the end, whether it was a good one or not.
    async fn tidy_up(&mut self) -> Result<(), Failure> {
        withdraw_reserved(self.app, self.repository.organization_id, None).await?;
        let stmt = mirrors::left_out(self.repository.id);
        for LeftOut { name, error, skipped } in run(&*self.app.ports.database, stmt).await?.decode::<LeftOut>()? {
            let skipped: Vec<(String, String)> = serde_json::from_str(&skipped).unwrap_or_default();
            for (version, reason) in skipped {
                self.skip(format!("{name} {version}"), reason);
            }
            if let Some(error) = error {
                self.skip(name, error);
            }
        }
        Ok(())
    }
}

/// Answers that change no version.
#[derive(Default)]
struct Noted {
    unchanged: Vec<(i64, String)>,
    answers: Vec<AnswerUpsert>,
    failed: Vec<(i64, String, String)>,
    leaving: Vec<String>,
}

impl Noted {
    fn into_stmts(self, work: &mut Refresh<'_>) -> Vec<Stmt> {
        let now = work.app.now();
        let mut batch = Vec::new();
        if !self.leaving.is_empty() {
            let leaving = Leaving { repository_id: work.repository.id, globs: self.leaving, matching: true };
            batch.push(organizations::touch(work.repository.organization_id, Touched::Versions, now));
            batch.extend(retire(&[leaving], now));
        }
        if !self.unchanged.is_empty() {
            batch.push(mirrors::note_unchanged(&self.unchanged, now));
        }
        batch.extend(mirrors::note_answers(&self.answers, now));
        if !self.failed.is_empty() {
            batch.push(mirrors::note_failures(&self.failed, now));
        }
        batch
    }
}
