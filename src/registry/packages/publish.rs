//! Writing packages: the one way in which versions come to be published, whether a sync found them, somebody uploaded or
//! changed them, or an upstream repository has them. What is published together is rendered before and written in one
//! batch, all or nothing.

use std::borrow::Cow;

use composer::PackageName;

use crate::ports::{Millis, Stmt};
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::render::{Rendered, render};
use crate::store::OrganizationId;
use crate::store::kernel::organizations::{self, Touched};
use crate::store::kernel::webhook_events::notify_published;
use crate::store::packages::documents::{self, DocumentPart};
use crate::store::packages::publication::{
    self, DocumentPair, FileUpsert, KnownPackage, LiveVersions, Origin, PackageUpsert, Publisher, UpstreamDist,
    VersionUpsert,
};
use crate::store::packages::state::{self, LiveVersion, PackageSource, PackageState};
use crate::store::packages::texts::{self, NewText};
use crate::store::query::Batch;

/// A package as it is from now on.
pub struct PackagePlan {
    /// The package.
    pub name: PackageName,
    /// Whose it was, and at which revision, when it was read.
    pub known: KnownPackage,
    /// Its documents.
    pub rendered: Rendered,
    /// All its versions.
    pub live: LiveVersions,
    /// When those were released that are listed for the first time, if any are.
    pub released_at: Option<Millis>,
}

/// What decides about the documents of a package of our own besides its versions.
#[derive(Debug, Clone, Copy)]
pub struct RenderContext<'a> {
    /// The repository, for `source` and what follows from it.
    pub source: &'a PackageSource,
    /// What the operator says in place of composer.json: `true`, `false` or the replacement's name.
    pub abandoned: Option<&'a str>,
    /// Whether it is hidden: then it has no version for anybody.
    pub hidden: bool,
    /// When it is rendered: what is listed for the first time is released then.
    pub now: Millis,
}

impl PackagePlan {
    /// The plan of a package of our own that has these versions from now on, the yanked and hidden ones too. `revision` is
    /// the one that they were read at, `None` when the package is new.
    ///
    /// # Errors
    /// When a stored manifest does not parse any more; they are checked before they are stored.
    pub fn own(
        name: &PackageName,
        revision: Option<i64>,
        context: RenderContext<'_>,
        versions: &[LiveVersion],
    ) -> Result<Self, Failure> {
        let is_released = |version: &LiveVersion| !context.hidden && version.is_listed() && version.released_when_shown;
        let released_at = versions.iter().any(is_released).then_some(context.now);
        let mut versions = Cow::Borrowed(versions);
        if released_at.is_some() {
            for version in versions.to_mut().iter_mut().filter(|version| is_released(version)) {
                (version.released.at, version.published_at) = (context.now, context.now);
            }
        }
        let rendered = render(name, context.source, context.abandoned, &versions).map_err(Failure::internal)?;
        let rendered = if context.hidden { rendered.withheld(name) } else { rendered };
        let live = LiveVersions {
            package: name.to_string(),
            versions: versions.iter().map(|version| version.normalized.clone()).collect(),
            default_branch: versions.iter().find(|one| one.is_default_branch).map(|one| one.normalized.clone()),
        };
        let known = KnownPackage { repository_id: None, revision };
        Ok(Self { name: name.clone(), known, rendered, live, released_at })
    }
}

/// What one repository publishes together.
pub struct Plan {
    /// The organization.
    pub organization: OrganizationId,
    /// The repository.
    pub repository_id: i64,
    /// Of what sort that is.
    pub origin: Origin,
    /// Whether packages appear or disappear.
    pub touched: Touched,
    /// The packages, each with all its versions.
    pub packages: Vec<PackagePlan>,
    /// Those of the versions that are new or another one than before; an upstream need not know which.
    pub changed: Vec<VersionUpsert>,
    /// The files of the changed versions.
    pub files: Vec<FileUpsert>,
    /// The files' texts that are not stored yet.
    pub texts: Vec<NewText>,
    /// Where an upstream has the zips of its versions.
    pub dists: Vec<UpstreamDist>,
    /// Statements that abort the batch when something else has changed that was read.
    pub guards: Vec<Stmt>,
    /// Statements that run before the packages are written.
    pub before: Vec<Stmt>,
    /// Statements that find packages and changed versions there.
    pub changes: Vec<Stmt>,
}

impl Plan {
    /// The plan of nothing yet.
    pub fn new(organization: OrganizationId, repository_id: i64, origin: Origin) -> Self {
        Self {
            organization,
            repository_id,
            origin,
            touched: Touched::Versions,
            packages: Vec::new(),
            changed: Vec::new(),
            files: Vec::new(),
            texts: Vec::new(),
            dists: Vec::new(),
            guards: Vec::new(),
            before: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The statements that carry the plan out, in their order: what was read still holds; the organization has a new
    /// revision; packages, then versions, then what hangs on them; the documents last.
    fn into_statements(self, app: &App) -> Result<Vec<Stmt>, Failure> {
        let now = app.now();
        let publisher =
            Publisher { organization: self.organization, repository_id: self.repository_id, origin: self.origin, now };
        let mut upserts = Vec::with_capacity(self.packages.len());
        for package in &self.packages {
            let uid = new_uid(&*app.ports.entropy, now)?;
            let summary = package.rendered.summary.clone();
            upserts.push(PackageUpsert { uid, name: package.name.to_string(), summary });
        }
        let known = self.packages.iter().map(|package| (package.name.as_str(), package.known));
        let live: Vec<LiveVersions> = self.packages.iter().map(|package| package.live.clone()).collect();
        let documents: Vec<DocumentPair<'_>> = self
            .packages
            .iter()
            .map(|package| DocumentPair {
                package: package.name.as_str(),
                stable: &package.rendered.stable,
                dev: &package.rendered.dev,
            })
            .collect();
        let mut stmts = self.guards;
        stmts.push(publication::guard_revisions(publisher, known));
        stmts.push(organizations::touch(self.organization, self.touched, now));
        stmts.extend(self.before);
        stmts.extend(publication::upsert_packages(publisher, upserts));
        stmts.extend(texts::insert_texts(&self.texts, now));
        stmts.extend(publication::upsert_versions(publisher, &self.changed));
        stmts.extend(self.changes);
        stmts.extend(publication::settle_versions(publisher, &live));
        if self.origin == Origin::Own {
            for package in &self.packages {
                let name = package.name.as_str();
                stmts.extend(package.released_at.map(|at| publication::release_shown(self.organization, name, at)));
                stmts.extend(notify_published(self.organization, name, now));
            }
            stmts.extend(publication::replace_files(publisher, &self.changed, &self.files));
            stmts.extend(publication::insert_dists(publisher, &self.changed));
        }
        stmts.extend(publication::upsert_upstream_dists(publisher, &self.dists));
        stmts.extend(publication::replace_documents(publisher, &documents));
        Ok(stmts)
    }
}

/// Publishes what is planned, and runs `after` in the same batch behind it, all or nothing.
///
/// # Errors
/// When one of the guards says no, when a package was published by somebody else meanwhile, or when the database failed:
/// nothing is written then, or the database does not know.
pub async fn publish<B: Batch>(app: &App, plan: Plan, after: B) -> Result<B::Answer, Failure> {
    let (organization, origin) = (plan.organization, plan.origin);
    let stmts = plan.into_statements(app)?;
    let (_, answer) = app.ports.database.ask((stmts, after)).await?;
    if origin == Origin::Own {
        app.memory.invalidate_published(organization);
    }
    Ok(answer)
}

/// What a package was read as, by somebody who is about to write it.
pub trait Snapshot {
    /// How often it is written before giving up.
    const MAX_ATTEMPTS: usize;

    /// Whether writing is worth another attempt, now that it was read again: when nobody else has written, the failure was no
    /// conflict.
    fn has_changed_since(&self, earlier: &Self) -> bool;

    /// What is said when every attempt has failed, the last one with `failure`.
    fn exhausted(failure: Failure) -> Failure;
}

/// What an attempt to write came to.
pub enum Attempt<T> {
    /// It is written, or there was nothing to do.
    Done(T),
    /// It is not, or the database does not know.
    Failed(Failure),
}

impl<T> From<Result<T, Failure>> for Attempt<T> {
    fn from(result: Result<T, Failure>) -> Self {
        match result {
            Ok(done) => Self::Done(done),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// A change that is made to what is there, whatever that is by then.
pub trait Change: Send + Sync {
    /// What it is made to.
    type Snapshot: Snapshot + Send + Sync;
    /// What comes of it.
    type Done: Send;

    /// Reads what is there.
    fn read(&self) -> impl Future<Output = Result<Self::Snapshot, Failure>> + Send;

    /// Writes what becomes of it.
    fn write(&mut self, read: &Self::Snapshot) -> impl Future<Output = Result<Attempt<Self::Done>, Failure>> + Send;
}

/// Makes a change to what was read as `snapshot`; while others are faster, reads and writes again.
///
/// # Errors
/// Those of the change at once; the failure of an attempt when another one would not help.
pub async fn apply<C: Change>(
    app: &App,
    organization: OrganizationId,
    mut snapshot: C::Snapshot,
    mut change: C,
) -> Result<C::Done, Failure> {
    let mut attempt = 1;
    loop {
        let failure = match change.write(&snapshot).await? {
            Attempt::Done(done) => return Ok(done),
            Attempt::Failed(failure) => failure,
        };
        if attempt == C::Snapshot::MAX_ATTEMPTS {
            return Err(C::Snapshot::exhausted(failure));
        }
        let now = change.read().await?;
        if !now.has_changed_since(&snapshot) {
            return Err(failure);
        }
        log::warn!("publishing again: {failure:?}");
        app.memory.invalidate_published(organization);
        snapshot = now;
        attempt += 1;
    }
}

/// The package that a repository publishes, with its documents as they are stored.
struct StoredPackage {
    name: PackageName,
    state: PackageState,
    versions: Vec<LiveVersion>,
    documents: Vec<DocumentPart>,
}

impl StoredPackage {
    async fn read(app: &App, repository_id: i64) -> Result<Option<Self>, Failure> {
        let (versions, documents, states) = app
            .ports
            .database
            .ask((
                state::live_versions(repository_id),
                documents::documents_of_repository(repository_id),
                state::of_repository(repository_id),
            ))
            .await?;
        let Some(name) = versions.first().map(|version| version.package_name.as_str()) else { return Ok(None) };
        let Some(state) = states.into_iter().find(|state| state.name == name) else { return Ok(None) };
        let name = PackageName::parse(name).map_err(Failure::internal)?;
        Ok(Some(Self { name, state, versions, documents }))
    }

    fn text(&self, stability: &str) -> String {
        let parts = self.documents.iter().filter(|part| part.stability == stability);
        parts.filter_map(|part| part.body.as_deref()).collect()
    }
}

impl Snapshot for Option<StoredPackage> {
    const MAX_ATTEMPTS: usize = 3;

    fn has_changed_since(&self, _: &Self) -> bool {
        true
    }

    fn exhausted(failure: Failure) -> Failure {
        failure
    }
}

/// Rendering the package of a repository again.
struct RenderAgain<'a> {
    app: &'a App,
    repository_id: i64,
}

impl Change for RenderAgain<'_> {
    type Snapshot = Option<StoredPackage>;
    type Done = ();

    async fn read(&self) -> Result<Self::Snapshot, Failure> {
        StoredPackage::read(self.app, self.repository_id).await
    }

    async fn write(&mut self, stored: &Self::Snapshot) -> Result<Attempt<()>, Failure> {
        let Some(stored) = stored else { return Ok(Attempt::Done(())) };
        let StoredPackage { name, state, versions, .. } = stored;
        let (abandoned, hidden) = (state.abandoned(), state.hidden);
        let context = RenderContext { source: &state.source, abandoned, hidden, now: self.app.now() };
        let package = PackagePlan::own(name, Some(state.revision), context, versions)?;
        if stored.text("stable") == package.rendered.stable && stored.text("dev") == package.rendered.dev {
            return Ok(Attempt::Done(()));
        }
        let plan = Plan::new(state.organization, self.repository_id, Origin::Own);
        Ok(publish(self.app, Plan { packages: vec![package], ..plan }, ()).await.into())
    }
}

/// Renders the package of a repository again, for what has changed besides its versions. When nothing has, its
/// documents keep their date.
pub async fn render_again_after_builds(app: &App, repository_id: i64) -> Result<(), Failure> {
    let change = RenderAgain { app, repository_id };
    let Some(stored) = change.read().await? else { return Ok(()) };
    let organization = stored.state.organization;
    apply(app, organization, Some(stored), change).await
}
