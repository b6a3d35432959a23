//! What operators and shops do to versions by hand: yank one and put it back, hide it and show it again, delete it, say that
//! it is a security fix.
//!
//! A yanked version leaves the metadata, so that nobody comes to require it; whoever has it in a lock file goes on
//! downloading it. A hidden one is as if it were not there, for everybody and for its zip too, until it is shown again. A
//! deleted one is gone, its zip too when nothing else needs it. Only what was uploaded can be deleted, and former names of
//! packages: what else comes from a repository would come back with its next sync.

use composer::{NormalizedVersion, normalize_name};
use serde_json::json;

use crate::ports::{Millis, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::publish::{Attempt, Change, Plan, apply, publish};
use crate::registry::packages::released;
use crate::registry::packages::revise::{ManagedBy, PackageSnapshot, check_changeable, context_of};
use crate::store::kernel::webhook_events::{Withdrawal, notify_withdrawn};
use crate::store::packages::changes::delete_empty;
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
    /// It was released at this moment (`None`: it is when it is shown), which can be said before anybody could see it.
    Release(Option<Millis>),
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
            Self::Release(_) => "version.release_dated",
        }
    }

    /// What it means for customers who have the version, if anything.
    fn withdrawal(self) -> Option<Withdrawal> {
        match self {
            Self::Yank => Some(Withdrawal::Yanked),
            Self::Delete | Self::Remove => Some(Withdrawal::Deleted),
            Self::Hide => Some(Withdrawal::Hidden),
            Self::MarkSecurityFix => Some(Withdrawal::SecurityFix),
            Self::Unyank | Self::Show | Self::UnmarkSecurityFix | Self::Release(_) => None,
        }
    }

    fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::Remove)
    }
}

/// Changes one version of a package, named by its public id or its name. Doing it again changes nothing.
///
/// # Errors
/// `NotFound` for what is not there and for what `view` does not see, `Conflict` for what cannot be changed by hand.
pub async fn change_version(
    app: &App,
    by: &Actor,
    who: ManagedBy,
    key: &str,
    version: &str,
    change: VersionChange,
) -> Result<(), Failure> {
    let snapshot = PackageSnapshot::read(app, by.organization(), key).await?;
    find(&snapshot, &by.view, who, version)?;
    apply(app, by.organization(), snapshot, ChangeOfVersion { app, by, who, key, version, change }).await
}

struct ChangeOfVersion<'a> {
    app: &'a App,
    by: &'a Actor,
    who: ManagedBy,
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
        let found = find(snapshot, &self.by.view, self.who, self.version).ok();
        let Some(found) = found.filter(|found| !is_done(&snapshot.versions[found.position], self.change)) else {
            return Ok(Attempt::Done(()));
        };
        check_changeable(found.package, self.change.deletes() && !snapshot.versions.is_empty())?;
        if let VersionChange::Release(moment) = self.change {
            check_release(&snapshot.versions[found.position], moment, self.app.now())?;
        }
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

/// The version that is meant, if `view` sees it, and it is not hidden from `who`.
fn find<'d>(
    snapshot: &'d PackageSnapshot,
    view: &View,
    who: ManagedBy,
    version: &str,
) -> Result<FoundVersion<'d>, Failure> {
    let package = snapshot.package.as_ref().ok_or_else(|| Failure::not_found("Package"))?;
    let scope = view.version_filter(&package.name);
    if matches!(scope, VersionFilter::Nothing) || package.hidden && who == ManagedBy::Operator {
        return Err(Failure::not_found("Package"));
    }
    let normalized = normalize_name(version).map(|normalized| normalized.as_str().to_owned()).unwrap_or_default();
    let is_meant = |known: &LiveVersion| {
        (known.pretty == version || known.normalized == normalized)
            && (!known.hidden || who == ManagedBy::Shop)
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
        VersionChange::Release(moment) => released::is(version.released, version.released_when_shown, moment),
        VersionChange::Delete | VersionChange::Remove => false,
    }
}

/// Refuses a date for what customers could have already, and one that cannot be true.
fn check_release(version: &LiveVersion, moment: Option<Millis>, now: Millis) -> Result<(), Failure> {
    if version.was_shown {
        return Err(released::stays(&version.pretty, &version.package_name, version.released.at));
    }
    moment.map_or(Ok(()), |moment| released::check_stated(moment, now))
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
        VersionChange::Release(moment) => {
            left[at].released_when_shown = moment.is_none();
            left[at].released.at = moment.unwrap_or_else(|| app.now());
            versions::release(organization, name, &normalized, moment, app.now())
        }
        VersionChange::Delete | VersionChange::Remove => {
            left.remove(at);
            versions::delete(organization, name, &normalized)
        }
    };
    let label = format!("{name} {}", snapshot.versions[at].pretty);
    let mut details = json!({ "version": normalized, "reference": snapshot.versions[at].reference });
    if let VersionChange::Release(moment) = change {
        details["released_at"] = json!(moment.map(rfc3339));
    }
    let event = AuditEvent { action: change.action(), target: &package.uid, label: Some(&label), details };
    let told =
        change.withdrawal().map(|why| notify_withdrawn(organization, name, Some(&[&normalized]), why, app.now()));
    let mut changes: Vec<Stmt> = told.into_iter().chain([stmt, by.record(app, &event)?]).collect();
    if left.is_empty() && change == VersionChange::Delete {
        changes.push(delete_empty(by.organization(), package.id));
    }
    let plan = snapshot.revised(package, context_of(package, app.now()), &left)?;
    Ok(Plan { changes, ..plan })
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
        check_changeable(package, true)?;
        let details = json!({ "versions": gone });
        let event =
            AuditEvent { action: "versions.cleaned_up", target: &package.uid, label: Some(&package.name), details };
        let changes = vec![
            notify_withdrawn(organization, &package.name, Some(&gone), Withdrawal::Deleted, self.app.now()),
            versions::delete_all(organization, &package.name, &gone),
            self.by.record(self.app, &event)?,
            delete_empty(organization, package.id),
        ];
        let plan = snapshot.revised(package, context_of(package, self.app.now()), &left)?;
        let outdated = remarks::delete_outdated(package.repository_id);
        Ok(publish(self.app, Plan { changes, ..plan }, outdated).await.into())
    }
}
