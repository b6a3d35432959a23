//! What operators and shops do to packages by hand: say that one is abandoned, describe it, hide it and show it again, delete
//! it. A hidden package is hidden with all its versions; what is done to those one by one is in [`super::manage_versions`].

use composer::PackageName;
use serde_json::{Value, json};

use crate::ports::Stmt;
use crate::registry::access::actor::Actor;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::packages::publish::{Attempt, Change, Plan, RenderContext, Snapshot, apply, publish};
use crate::registry::packages::revise::{ManagedBy, PackageSnapshot, check_changeable, context_of};
use crate::store::Update;
use crate::store::kernel::organizations;
use crate::store::kernel::webhook_events::{Withdrawal, notify_withdrawn};
use crate::store::packages::changes::{delete, hide, override_manifest};
use crate::store::packages::publication::{KnownPackage, Origin, Publisher, guard_revisions};
use crate::store::packages::remarks;
use crate::store::packages::state::PackageState;

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
        check_changeable(package, false)?;
        changes.check(package)?;
        if changes.are_applied(package) {
            app.memory.invalidate_published(by.organization());
            return Ok(Attempt::Done(()));
        }
        let context = context_of(package, app.now());
        let abandoned = match &changes.abandoned {
            Update::Keep => context.abandoned,
            Update::Set(value) => value.as_deref().or(package.renamed_to.as_deref()),
        };
        let context = RenderContext { abandoned, hidden: changes.hidden.unwrap_or(package.hidden), ..context };
        let before = changes.statements(app, by, package)?;
        let plan = snapshot.revised(package, context, &snapshot.versions)?;
        Ok(publish(app, Plan { before, ..plan }, ()).await.into())
    }
}

/// Deletes a package that was uploaded, or of which nothing is left, with all its versions.
pub async fn delete_package(app: &App, by: &Actor, who: ManagedBy, key: &str) -> Result<(), Failure> {
    let snapshot = PackageSnapshot::read(app, by.organization(), key).await?;
    let package = require_full_view(&snapshot, &by.view, who)?;
    check_changeable(package, !snapshot.versions.is_empty())?;
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
