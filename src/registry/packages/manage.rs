//! What operators and shops do to packages by hand: yank a version and put it back, hide it and show it again, delete, say
//! that a version is a security fix or that a package is abandoned.
//!
//! A yanked version leaves the metadata, so that nobody comes to require it; whoever has it in a lock file goes on
//! downloading it. A hidden one is as if it were not there, for everybody and for its zip too, until it is shown again; a
//! hidden package is so with all its versions. A deleted one is gone, its zip too when nothing else needs it. Only what
//! was uploaded can be deleted, and former names of packages: what else comes from a repository would come back with its next
//! sync.

use composer::{NormalizedVersion, PackageName, normalize_name};
use serde_json::{Value, json};

use crate::ports::Stmt;
use crate::registry::access::actor::Actor;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::publish::{Attempt, Change, Plan, RenderContext, Snapshot, apply, publish};
use crate::registry::packages::revise::PackageSnapshot;
use crate::store::Update;
use crate::store::kernel::organizations;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::kernel::webhook_events::{Withdrawal, notify_withdrawn};
use crate::store::packages::changes::{delete, delete_empty, hide, override_manifest};
use crate::store::packages::publication::{KnownPackage, Origin, Publisher, guard_revisions};
use crate::store::packages::remarks;
use crate::store::packages::state::{LiveVersion, PackageState};
use crate::store::packages::versions;

/// What is done to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChange {
    /// It leaves the metadata.
    Yank,
    /// It comes back.
    Unyank,
    /// It is gone for good, and with the last one its package.
    Delete,
    /// It is as if it were not there, its zip too.
    Hide,
    /// It is there again.
    Show,
    /// Those have it too whose updates ended before it was released.
    MarkSecurityFix,
    /// They no longer have it.
    UnmarkSecurityFix,
    /// It is gone for good; its package stays, even without a version.
    Remove,
}

impl VersionChange {
    fn action(self) -> &'static str {
        match self {
            Self::Yank => "version.yanked",
            Self::Unyank => "version.unyanked",
            Self::Delete | Self::Remove => "version.deleted",
            Self::Hide => "version.hidden",
            Self::Show => "version.shown",
            Self::MarkSecurityFix => "version.security_fix_marked",
            Self::UnmarkSecurityFix => "version.security_fix_unmarked",
        }
    }

    /// What it means for customers who have the version, if anything.
    fn withdrawal(self) -> Option<Withdrawal> {
        match self {
            Self::Yank => Some(Withdrawal::Yanked),
            Self::Delete | Self::Remove => Some(Withdrawal::Deleted),
            Self::Hide => Some(Withdrawal::Hidden),
            Self::MarkSecurityFix => Some(Withdrawal::SecurityFix),
            Self::Unyank | Self::Show | Self::UnmarkSecurityFix => None,
        }
    }

    fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Remove)
    }

    /// Whether it is a shop's, which goes on seeing what it hides.
    fn is_storefront_only(self) -> bool {
        matches!(self, Self::Hide | Self::Show | Self::Remove | Self::MarkSecurityFix | Self::UnmarkSecurityFix)
    }
}

/// Changes one version of a package, named by its public id or its name. Doing it again changes nothing.
///
/// # Errors
/// `NotFound` for what is not there and for what `view` does not see, `Conflict` for what cannot be changed by hand.
pub async fn change_version(
    app: &App,
    by: &Actor,
    key: &str,
    version: &str,
    change: VersionChange,
) -> Result<(), Failure> {
    let snapshot = PackageSnapshot::read(app, by.organization(), key).await?;
    find(&snapshot, &by.view, version, change)?;
    apply(app, by.organization(), snapshot, ChangeOfVersion { app, by, key, version, change }).await
}

struct ChangeOfVersion<'a> {
    app: &'a App,
    by: &'a Actor,
    key: &'a str,
    version: &'a str,
    change: VersionChange,
}

impl Change for ChangeOfVersion<'_> {
    type Snapshot = PackageSnapshot;
    type Done = ();

    async fn read(&self) -> Result<PackageSnapshot, Failure> {
        PackageSnapshot::read(self.app, self.by.organization(), self.key).await
    }

    async fn write(&mut self, snapshot: &PackageSnapshot) -> Result<Attempt<()>, Failure> {
        let found = find(snapshot, &self.by.view, self.version, self.change).ok();
        let Some(found) = found.filter(|found| !is_done(&snapshot.versions[found.position], self.change)) else {
            return Ok(Attempt::Done(()));
        };
        check_kind(found.package, self.change.deletes() && !snapshot.versions.is_empty())?;
        let outdated = self.change.deletes().then(|| remarks::delete_outdated(found.package.repository_id));
        let plan = with_change(self.app, self.by, snapshot, found, self.change)?;
        Ok(publish(self.app, plan, outdated).await.map(drop).into())
    }
}

/// A version of a package that was read.
struct FoundVersion<'d> {
    package: &'d PackageState,
    /// Among the versions of the snapshot.
    position: usize,
}

/// The version that is meant, if `view` sees it.
fn find<'d>(
    snapshot: &'d PackageSnapshot,
    view: &View,
    version: &str,
    change: VersionChange,
) -> Result<FoundVersion<'d>, Failure> {
    let package = snapshot.package.as_ref().ok_or_else(|| Failure::not_found("Package"))?;
    let scope = view.version_filter(&package.name);
    if matches!(scope, VersionFilter::Nothing) || package.hidden && !change.is_storefront_only() {
        return Err(Failure::not_found("Package"));
    }
    let normalized = normalize_name(version).map(|normalized| normalized.as_str().to_owned()).unwrap_or_default();
    let is_meant = |known: &LiveVersion| {
        (known.pretty == version || known.normalized == normalized)
            && (!known.hidden || change.is_storefront_only())
            && scope.sees(&NormalizedVersion::from_stored(known.normalized.clone()), Some(known.released))
    };
    let position = snapshot.versions.iter().position(is_meant).ok_or_else(|| Failure::not_found("Version"))?;
    Ok(FoundVersion { package, position })
}

fn is_done(version: &LiveVersion, change: VersionChange) -> bool {
    match change {
        VersionChange::Yank => version.yanked,
        VersionChange::Unyank => !version.yanked,
        VersionChange::Hide => version.hidden,
        VersionChange::Show => !version.hidden,
        VersionChange::MarkSecurityFix => version.released.security_fix,
        VersionChange::UnmarkSecurityFix => !version.released.security_fix,
        VersionChange::Delete | VersionChange::Remove => false,
    }
}

/// Refuses what would not last: a mirrored package is its upstream's, and a repository brings back what is deleted, unless
/// that is a former name of its package.
fn check_kind(package: &PackageState, deletes: bool) -> Result<(), Failure> {
    let name = &package.name;
    let message = match package.kind {
        RepositoryKind::Composer => format!("{name} is mirrored from an upstream repository. Change it there."),
        RepositoryKind::Git if deletes && package.renamed_to.is_none() => format!(
            "{name} comes from a git repository, whose next sync would bring it back. Yank its versions, delete the tag \
             there, or remove the repository from here."
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(Kind::Conflict, message))
}

fn name_of(package: &PackageState) -> Result<PackageName, Failure> {
    PackageName::parse(&package.name).map_err(Failure::internal)
}

/// The package with one version changed.
fn with_change(
    app: &App,
    by: &Actor,
    snapshot: &PackageSnapshot,
    FoundVersion { package, position: at }: FoundVersion<'_>,
    change: VersionChange,
) -> Result<Plan, Failure> {
    let mut left = snapshot.versions.clone();
    let normalized = left[at].normalized.clone();
    let (organization, name) = (by.organization(), package.name.as_str());
    let stmt = match change {
        VersionChange::Yank | VersionChange::Unyank => {
            left[at].yanked = change == VersionChange::Yank;
            let moment = left[at].yanked.then(|| app.now());
            versions::yank(organization, name, &normalized, moment)
        }
        VersionChange::Hide | VersionChange::Show => {
            left[at].hidden = change == VersionChange::Hide;
            versions::hide(organization, name, &normalized, left[at].hidden, app.now())
        }
        VersionChange::MarkSecurityFix | VersionChange::UnmarkSecurityFix => {
            left[at].released.security_fix = change == VersionChange::MarkSecurityFix;
            let moment = left[at].released.security_fix.then(|| app.now());
            versions::mark_security_fix(organization, name, &normalized, moment)
        }
        VersionChange::Delete | VersionChange::Remove => {
            left.remove(at);
            versions::delete(organization, name, &normalized)
        }
    };
    let label = format!("{name} {}", snapshot.versions[at].pretty);
    let details = json!({ "version": normalized, "reference": snapshot.versions[at].reference });
    let event = AuditEvent { action: change.action(), target: &package.uid, label: Some(&label), details };
    let told =
        change.withdrawal().map(|why| notify_withdrawn(organization, name, Some(&[&normalized]), why, app.now()));
    let mut changes: Vec<Stmt> = told.into_iter().chain([stmt, by.record(app, &event)?]).collect();
    if left.is_empty() && change == VersionChange::Delete {
        changes.push(delete_empty(by.organization(), package.id));
    }
    let plan = plan_of(snapshot, package, context_of(package), &left)?;
    Ok(Plan { changes, ..plan })
}

/// What decides about a package's documents so far.
fn context_of(package: &PackageState) -> RenderContext<'_> {
    RenderContext { source: &package.source, abandoned: package.abandoned(), hidden: package.hidden }
}

/// The package with these versions and in this context from now on.
fn plan_of(
    snapshot: &PackageSnapshot,
    package: &PackageState,
    context: RenderContext<'_>,
    versions: &[LiveVersion],
) -> Result<Plan, Failure> {
    snapshot.plan(package.organization, package.repository_id, &name_of(package)?, context, versions)
}

/// Deletes several versions (normalized) of an uploaded package at once; those that are gone already are passed over.
pub async fn delete_versions(app: &App, by: &Actor, name: &str, normalized: &[&str]) -> Result<(), Failure> {
    let change = DeletionOfVersions { app, by, name, normalized };
    apply(app, by.organization(), change.read().await?, change).await
}

struct DeletionOfVersions<'a> {
    app: &'a App,
    by: &'a Actor,
    name: &'a str,
    normalized: &'a [&'a str],
}

impl Change for DeletionOfVersions<'_> {
    type Snapshot = PackageSnapshot;
    type Done = ();

    async fn read(&self) -> Result<PackageSnapshot, Failure> {
        PackageSnapshot::read(self.app, self.by.organization(), self.name).await
    }

    async fn write(&mut self, snapshot: &PackageSnapshot) -> Result<Attempt<()>, Failure> {
        let organization = self.by.organization();
        let goes = |version: &LiveVersion| self.normalized.contains(&version.normalized.as_str());
        let (gone, left): (Vec<LiveVersion>, Vec<LiveVersion>) = snapshot.versions.iter().cloned().partition(goes);
        let gone: Vec<&str> = gone.iter().map(|version| version.normalized.as_str()).collect();
        let Some(package) = snapshot.package.as_ref().filter(|_| !gone.is_empty()) else {
            self.app.memory.invalidate_published(organization);
            return Ok(Attempt::Done(()));
        };
        check_kind(package, true)?;
        let details = json!({ "versions": gone });
        let event =
            AuditEvent { action: "versions.cleaned_up", target: &package.uid, label: Some(&package.name), details };
        let changes = vec![
            notify_withdrawn(organization, &package.name, Some(&gone), Withdrawal::Deleted, self.app.now()),
            versions::delete_all(organization, &package.name, &gone),
            self.by.record(self.app, &event)?,
            delete_empty(organization, package.id),
        ];
        let plan = plan_of(snapshot, package, context_of(package), &left)?;
        let outdated = remarks::delete_outdated(package.repository_id);
        Ok(publish(self.app, Plan { changes, ..plan }, outdated).await.into())
    }
}

/// What an operator says of a package over its composer.json.
#[derive(Debug, Clone, Default)]
pub struct PackageChanges {
    /// `true`, `false` or the replacement's name; cleared leaves it to composer.json.
    pub abandoned: Update<String>,
    /// Cleared leaves it to composer.json.
    pub description: Update<String>,
    /// Whether it is hidden from everybody; `None` leaves that as it is. Only shops say so.
    pub hidden: Option<bool>,
}

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;

/// Refuses a description that lists could not show.
pub fn check_description(text: Option<&str>) -> Result<(), Failure> {
    match text {
        Some(text) if text.chars().count() > MAX_DESCRIPTION || text.contains(char::is_control) => {
            let reason = format!("must have at most {MAX_DESCRIPTION} characters and no control characters");
            Err(Failure::invalid_field("description", reason))
        }
        _ => Ok(()),
    }
}

impl PackageChanges {
    fn check(&self, package: &PackageState) -> Result<(), Failure> {
        if let Update::Set(Some(replacement)) = &self.abandoned
            && !matches!(replacement.as_str(), "true" | "false")
        {
            let wrong = |reason: String| Failure::invalid_field("abandoned", reason);
            let name = PackageName::parse(replacement).map_err(|error| wrong(error.to_string()))?;
            if name.as_str() == package.name {
                return Err(wrong("must not be the package itself".to_owned()));
            }
        }
        match &self.description {
            Update::Set(text) => check_description(text.as_deref()),
            Update::Keep => Ok(()),
        }
    }

    /// The statements that make them.
    fn statements(&self, app: &App, by: &Actor, package: &PackageState) -> Result<Vec<Stmt>, Failure> {
        let mut batch = Vec::new();
        let event = |action, details| AuditEvent { action, target: &package.uid, label: Some(&package.name), details };
        if self.abandoned.is_set() || self.description.is_set() {
            batch.push(override_manifest(
                by.organization(),
                package.id,
                self.abandoned.clone(),
                self.description.clone(),
            ));
            batch.push(by.record(app, &event("package.changed", self.named()))?);
        }
        if let Some(hidden) = self.hidden.filter(|hidden| *hidden != package.hidden) {
            if hidden {
                batch.push(notify_withdrawn(by.organization(), &package.name, None, Withdrawal::Hidden, app.now()));
            }
            batch.push(hide(by.organization(), package.id, hidden.then(|| app.now())));
            let action = if hidden { "package.hidden" } else { "package.shown" };
            batch.push(by.record(app, &event(action, json!({})))?);
        }
        Ok(batch)
    }

    fn are_applied(&self, package: &PackageState) -> bool {
        let is = |update: &Update<String>, known: &Option<String>| match update {
            Update::Keep => true,
            Update::Set(value) => value == known,
        };
        is(&self.abandoned, &package.abandoned_override)
            && is(&self.description, &package.description_override)
            && self.hidden.is_none_or(|hidden| hidden == package.hidden)
    }

    fn named(&self) -> Value {
        let text = |update: &Update<String>| match update {
            Update::Keep => None,
            Update::Set(value) => Some(json!(value)),
        };
        let named = [("abandoned", text(&self.abandoned)), ("description", text(&self.description))];
        named.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect()
    }
}

/// Who changes a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagedBy {
    /// An operator, for whom nothing is there that is hidden.
    Operator,
    /// A shop, which goes on seeing what it hides.
    Shop,
}

/// The package that was read, if all of it is `view`'s to change.
fn require_full_view<'d>(
    snapshot: &'d PackageSnapshot,
    view: &View,
    who: ManagedBy,
) -> Result<&'d PackageState, Failure> {
    let absent = || Failure::not_found("Package");
    let package = snapshot.package.as_ref().ok_or_else(absent)?;
    let nothing_shown = || !snapshot.versions.is_empty() && snapshot.versions.iter().all(|version| version.hidden);
    if who == ManagedBy::Operator && (package.hidden || nothing_shown()) {
        return Err(absent());
    }
    match view.version_filter(&package.name) {
        VersionFilter::All => Ok(package),
        scope if scope.sees_any_in_index(package.version_index.as_deref()) => {
            let message =
                format!("This token does not cover all versions of {}. Use one whose grants do.", package.name);
            Err(Failure::new(Kind::Forbidden, message))
        }
        _ => Err(absent()),
    }
}

/// Sets what an operator says of a package.
pub async fn change_package(
    app: &App,
    by: &Actor,
    who: ManagedBy,
    key: &str,
    changes: PackageChanges,
) -> Result<(), Failure> {
    let abandoned = changes.abandoned.map(|said| said.to_ascii_lowercase());
    let changes = PackageChanges { abandoned, ..changes };
    let snapshot = PackageSnapshot::read(app, by.organization(), key).await?;
    require_full_view(&snapshot, &by.view, who)?;
    apply(app, by.organization(), snapshot, ChangeOfPackage { app, by, who, key, changes }).await
}

struct ChangeOfPackage<'a> {
    app: &'a App,
    by: &'a Actor,
    who: ManagedBy,
    key: &'a str,
    changes: PackageChanges,
}

impl Change for ChangeOfPackage<'_> {
    type Snapshot = PackageSnapshot;
    type Done = ();

    async fn read(&self) -> Result<PackageSnapshot, Failure> {
        PackageSnapshot::read(self.app, self.by.organization(), self.key).await
    }

    async fn write(&mut self, snapshot: &PackageSnapshot) -> Result<Attempt<()>, Failure> {
        let Self { app, by, changes, .. } = self;
        let package = require_full_view(snapshot, &by.view, self.who)?;
        check_kind(package, false)?;
        changes.check(package)?;
        if changes.are_applied(package) {
            app.memory.invalidate_published(by.organization());
            return Ok(Attempt::Done(()));
        }
        let context = context_of(package);
        let abandoned = match &changes.abandoned {
            Update::Keep => context.abandoned,
            Update::Set(value) => value.as_deref().or(package.renamed_to.as_deref()),
        };
        let context = RenderContext { abandoned, hidden: changes.hidden.unwrap_or(package.hidden), ..context };
        let before = changes.statements(app, by, package)?;
        let plan = plan_of(snapshot, package, context, &snapshot.versions)?;
        Ok(publish(app, Plan { before, ..plan }, ()).await.into())
    }
}

/// Deletes a package that was uploaded, or of which nothing is left, with all its versions.
pub async fn delete_package(app: &App, by: &Actor, who: ManagedBy, key: &str) -> Result<(), Failure> {
    let snapshot = PackageSnapshot::read(app, by.organization(), key).await?;
    let package = require_full_view(&snapshot, &by.view, who)?;
    check_kind(package, !snapshot.versions.is_empty())?;
    let now = app.now();
    let details = json!({ "versions": snapshot.versions.len() });
    let event = AuditEvent { action: "package.deleted", target: &package.uid, label: Some(&package.name), details };
    let publisher =
        Publisher { organization: by.organization(), repository_id: package.repository_id, origin: Origin::Own, now };
    let known = KnownPackage { repository_id: None, revision: Some(package.revision) };
    let batch = vec![
        guard_revisions(publisher, [(package.name.as_str(), known)]),
        organizations::touch(by.organization(), organizations::Touched::Names, now),
        notify_withdrawn(by.organization(), &package.name, None, Withdrawal::Deleted, now),
        delete(by.organization(), package.id),
        by.record(app, &event)?,
        remarks::delete_outdated(package.repository_id),
    ];
    let deleted = app.ports.database.batch(batch).await;
    app.memory.invalidate_published(by.organization());
    let Err(error) = deleted else { return Ok(()) };
    // Somebody else may have deleted or published it meanwhile, or the answer got lost.
    match PackageSnapshot::read(app, by.organization(), key).await?.package {
        None => Ok(()),
        Some(left) if left.revision == package.revision => Err(error.into()),
        Some(_) => Err(PackageSnapshot::exhausted(error.into())),
    }
}
