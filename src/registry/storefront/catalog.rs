//! What a shop sells: packages by number, hidden and shown again. Their versions are in [`super::catalog_versions`].
//!
//! A shop goes on seeing what it hides; nobody else does. The metadata is written by `packages::manage`.

use composer::PackageName;
use serde_json::json;

use crate::ports::DatabaseError;
use crate::registry::access::actor::Actor;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::manage::{self, PackageChanges};
use crate::registry::packages::revise::ManagedBy;
use crate::store::kernel::organizations::{Touched, touch};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::uploads::insert_repository;
use crate::store::storefront::catalog::{self, CatalogPackage, NewPackage};
use crate::store::{KeysetPage, KeysetRows, Update};

/// Most packages that are looked through for a caller who does not see all of them.
const MAX_SCANNED_ROWS: i64 = 10_000;
/// Packages whose versions one statement reads: those of a large one take 300 kB.
const MAX_WITH_VERSIONS: usize = 50;

/// What a request says that a package should be; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct PackageSpec {
    /// `vendor/package`.
    pub name: Option<String>,
    /// What lists show, whatever composer.json says.
    pub description: Update<String>,
    /// 1 is shown, 0 is hidden.
    pub status: Option<i64>,
    /// `true`, `false` or the name of the package to use instead; cleared leaves it to composer.json.
    pub abandoned: Update<String>,
}

/// Whether a `status` hides what it is of.
pub(super) fn hidden_of(status: Option<i64>) -> Result<Option<bool>, Failure> {
    match status {
        None => Ok(None),
        Some(0) => Ok(Some(true)),
        Some(1) => Ok(Some(false)),
        Some(_) => Err(Failure::invalid_field("status", "must be 1 for shown or 0 for hidden")),
    }
}

fn no_package() -> Failure {
    Failure::not_found("Package")
}

fn sees(view: &View, package: &CatalogPackage) -> bool {
    view.version_filter(&package.name).sees_any_in_index(package.versions.as_deref())
}

/// A page of the packages, by number.
pub async fn packages(app: &App, view: &View, page: KeysetPage) -> Result<KeysetRows<CatalogPackage>, Failure> {
    if view.sees_everything() {
        let (rows, total) = app.ports.database.ask(catalog::packages(view.organization(), page)).await?;
        return Ok(KeysetRows::whole(rows, total));
    }
    let KeysetRows { rows: ids, total, .. } = page.of(visible_packages(app, view).await?, |id| *id);
    let rows = app.ports.database.ask(catalog::packages_by_ids(view.organization(), &ids, false)).await?;
    Ok(KeysetRows::whole(rows, total))
}

/// What one package is known by outside of the storefront.
#[derive(Debug, Clone, Copy)]
pub enum PackageKey<'a> {
    /// Its public id.
    Uid(&'a str),
    /// `vendor/package`.
    Name(&'a str),
}

/// The package with this key, if there is one that `view` sees.
pub async fn find_package(app: &App, view: &View, key: PackageKey<'_>) -> Result<Option<CatalogPackage>, Failure> {
    let (organization, with_versions) = (view.organization(), !view.sees_everything());
    let query = match key {
        PackageKey::Uid(uid) => catalog::package_by_uid(organization, uid, with_versions),
        PackageKey::Name(name) => catalog::package_by_name(organization, name, with_versions),
    };
    Ok(app.ports.database.ask(query).await?.filter(|package| sees(view, package)))
}

/// The numbers of the packages that a limited view sees some version of. Versions are read of those alone that it does not see
/// whole, a few packages at a time.
async fn visible_packages(app: &App, view: &View) -> Result<Vec<i64>, Failure> {
    let organization = view.organization();
    let named = catalog::names_in(organization, view.ranges(), MAX_SCANNED_ROWS);
    let (mut visible, mut in_part) = (Vec::new(), Vec::new());
    for package in app.ports.database.ask(named).await? {
        match view.version_filter(&package.name) {
            VersionFilter::All => visible.push(package.id),
            VersionFilter::Some(..) => in_part.push(package.id),
            VersionFilter::Nothing => {}
        }
    }
    for ids in in_part.chunks(MAX_WITH_VERSIONS) {
        let rows = app.ports.database.ask(catalog::packages_by_ids(organization, ids, true)).await?;
        visible.extend(rows.iter().filter(|package| sees(view, package)).map(|package| package.id));
    }
    visible.sort_unstable();
    Ok(visible)
}

/// A package that was looked up, if `view` sees it.
pub(super) fn one_package(package: Option<CatalogPackage>, view: &View) -> Result<CatalogPackage, Failure> {
    package.filter(|package| sees(view, package)).ok_or_else(no_package)
}

/// One package.
pub async fn package(app: &App, view: &View, id: i64) -> Result<CatalogPackage, Failure> {
    let query = catalog::package(view.organization(), id, !view.sees_everything());
    one_package(app.ports.database.ask(query).await?, view)
}

/// Makes a package without versions; its zips are uploaded.
pub async fn create_package(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    spec: PackageSpec,
) -> Result<Answer<CatalogPackage>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => {
            let view = &issuer.by.view;
            let look_up = catalog::package_by_uid(view.organization(), done.uid(), !view.sees_everything());
            return DoneRequest::again(one_package(app.ports.database.ask(look_up).await?, view));
        }
    };
    let created = create_package_once(app, &issuer.by, spec, &claim).await;
    claim.release_on_failure(app, created).await.map(Answer::first)
}

async fn create_package_once(
    app: &App,
    by: &Actor,
    spec: PackageSpec,
    claim: &IdempotencyClaim,
) -> Result<CatalogPackage, Failure> {
    let name = spec.name.ok_or_else(|| Failure::invalid_field("name", "is required"))?;
    let name = own_name(by, &name)?;
    let name = name.as_str();
    let hidden = hidden_of(spec.status)?.unwrap_or(false);
    if spec.abandoned.is_set() {
        let message = "can be said of a package that is there. Make it first, then change it";
        return Err(Failure::invalid_field("abandoned", message));
    }
    let description = spec.description.into_value();
    manage::check_description(description.as_deref())?;
    let now = app.now();
    let (uid, repository) = (new_uid(&*app.ports.entropy, now)?, new_uid(&*app.ports.entropy, now)?);
    let event = |action, target, label, details| by.record(app, &AuditEvent { action, target, label, details });
    let new = NewPackage { uid: &uid, name, description: description.as_deref(), hidden };
    let batch = (
        // Nothing is listed yet, but the vendor is claimed from now on.
        touch(by.organization(), Touched::Names, now),
        insert_repository(by.organization(), &repository, now),
        event("repository.created", &repository, None, json!({ "kind": RepositoryKind::Artifact }))?,
        catalog::insert_package(by.organization(), &new, now),
        event("package.created", &uid, Some(name), json!({ "status": i64::from(!hidden) }))?,
        claim.keep(uid.as_str()),
        catalog::package_by_name(by.organization(), name, false),
    );
    let (.., package) = app.ports.database.ask(batch).await.map_err(name_taken(name))?;
    app.memory.invalidate_published(by.organization());
    one_package(package, &by.view)
}

/// The name of a package as a request says it, all of whose versions are `by`'s to publish.
fn own_name(by: &Actor, name: &str) -> Result<PackageName, Failure> {
    let name =
        PackageName::parse_ignoring_case(name).map_err(|error| Failure::invalid_field("name", error.to_string()))?;
    if matches!(by.view.version_filter(name.as_str()), VersionFilter::All) {
        return Ok(name);
    }
    let message = format!("This token does not cover all versions of {name}. Use one whose grants do.");
    Err(Failure::new(Kind::Forbidden, message))
}

/// The failure of a batch that makes or names a package.
fn name_taken(name: &str) -> impl FnOnce(DatabaseError) -> Failure {
    move |error| match error {
        DatabaseError::Conflict(_) => Failure::new(Kind::Conflict, format!("There is a package {name} already.")),
        DatabaseError::Fault(fault) => fault.into(),
    }
}

/// Gives a package another name that nothing relies on yet.
async fn rename_package(app: &App, by: &Actor, old: &CatalogPackage, name: &str) -> Result<(), Failure> {
    own_name(by, &old.name)?;
    let name = own_name(by, name)?;
    let now = app.now();
    let event = AuditEvent {
        action: "package.renamed",
        target: &old.uid,
        label: Some(name.as_str()),
        details: json!({ "from": old.name }),
    };
    let (rename, forget_documents) = catalog::rename_package(by.organization(), old.id, name.as_str(), now);
    let batch = (touch(by.organization(), Touched::Names, now), rename, by.record(app, &event)?, forget_documents);
    let ((), is_renamed, ..) = app.ports.database.ask(batch).await.map_err(name_taken(name.as_str()))?;
    app.memory.invalidate_published(by.organization());
    if is_renamed {
        return Ok(());
    }
    let message = "cannot be changed any more: zips of the package name it, or permissions or tokens do, or it comes from a \
                   repository. Make another package";
    Err(Failure::invalid_field("name", message))
}

/// Changes what the request names, and nothing else. A package of which no version has a zip may get another name.
pub async fn change_package(app: &App, by: &Actor, id: i64, spec: PackageSpec) -> Result<CatalogPackage, Failure> {
    let old = package(app, &by.view, id).await?;
    let hidden = hidden_of(spec.status)?;
    if let Some(name) = spec.name.filter(|name| name.to_ascii_lowercase() != old.name) {
        rename_package(app, by, &old, &name).await?;
    }
    // What is so already is no news, and is left to composer.json.
    let news = |update: Update<String>, known: Option<&str>| match update {
        Update::Set(said) if said.as_deref() == known => Update::Keep,
        update => update,
    };
    let changes = PackageChanges {
        abandoned: news(spec.abandoned, Some(old.abandoned.as_deref().unwrap_or("false"))),
        description: news(spec.description, old.description.as_deref()),
        hidden,
    };
    manage::change_package(app, by, ManagedBy::Shop, &old.uid, changes).await?;
    package(app, &by.view, id).await
}

/// Deletes a package with all its versions.
pub async fn delete_package(app: &App, by: &Actor, id: i64) -> Result<(), Failure> {
    let old = package(app, &by.view, id).await?;
    manage::delete_package(app, by, ManagedBy::Shop, &old.uid).await
}
