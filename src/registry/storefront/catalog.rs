//! What a shop sells: packages and versions by number, made before there is a zip, hidden and shown again.
//!
//! A shop goes on seeing what it hides; nobody else does. A version without a zip is nowhere but here, until its zip is
//! uploaded. The metadata is written by `packages::manage` and `sources::uploads`.

use composer::{NormalizedVersion, PackageName};
use serde_json::json;

use crate::ports::{DatabaseError, Stmt};
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
use crate::registry::packages::manage::{self, ManagedBy, PackageChanges, VersionChange};
use crate::registry::sources::incoming_zip::ReceivedZip;
use crate::registry::sources::uploads::{self, MAX_VERSIONS, UploadAddress, Uploaded, check_version};
use crate::store::kernel::organizations::{Touched, touch};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::dists::NewArtifact;
use crate::store::sources::uploads::insert_repository;
use crate::store::storefront::catalog::{self, AwaitedVersion, CatalogPackage, CatalogVersion, NewPackage};
use crate::store::{KeysetPage, KeysetRows, OrganizationId, Query, Update};

/// Longest file names.
const MAX_FILENAME_BYTES: usize = 255;

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
}

/// What a request says that a version should be; every field is optional here.
#[derive(Debug, Clone, Default)]
pub struct VersionSpec {
    /// The version.
    pub name: Option<String>,
    /// The name of a zip: the SHA-1 or SHA-256 of one that the package has, with `.zip`, else what the shop calls the one
    /// that is uploaded later.
    pub filename: Option<String>,
    /// 1 is shown, 0 is hidden.
    pub status: Option<i64>,
    /// Whether those have it too whose updates ended before it was released.
    pub security_fix: Option<bool>,
}

fn hidden_of(status: Option<i64>) -> Result<Option<bool>, Failure> {
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

fn no_version() -> Failure {
    Failure::not_found("Version")
}

fn sees(view: &View, package: &CatalogPackage) -> bool {
    view.version_filter(&package.name).sees_any_in_index(package.versions.as_deref())
}

fn sees_version(view: &View, version: &CatalogVersion) -> bool {
    let normalized = NormalizedVersion::from_stored(version.normalized.clone());
    view.version_filter(&version.package).sees(&normalized, Some(version.released))
}

// ---------------------------------------------------------------------------------------------- packages

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

fn one_package(package: Option<CatalogPackage>, view: &View) -> Result<CatalogPackage, Failure> {
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
    let name =
        PackageName::parse_ignoring_case(&name).map_err(|error| Failure::invalid_field("name", error.to_string()))?;
    let name = name.as_str();
    let hidden = hidden_of(spec.status)?.unwrap_or(false);
    let description = spec.description.into_value();
    manage::check_description(description.as_deref())?;
    if !matches!(by.view.version_filter(name), VersionFilter::All) {
        let message = format!("This token does not cover all versions of {name}. Use one whose grants do.");
        return Err(Failure::new(Kind::Forbidden, message));
    }
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
        catalog::package_by_name(by.organization(), name),
    );
    let (.., package) = app.ports.database.ask(batch).await.map_err(|error| match error {
        DatabaseError::Conflict(_) => Failure::new(Kind::Conflict, format!("There is a package {name} already.")),
        DatabaseError::Fault(fault) => fault.into(),
    })?;
    app.memory.invalidate_published(by.organization());
    one_package(package, &by.view)
}

/// Changes what the request names, and nothing else.
pub async fn change_package(app: &App, by: &Actor, id: i64, spec: PackageSpec) -> Result<CatalogPackage, Failure> {
    let old = package(app, &by.view, id).await?;
    let hidden = hidden_of(spec.status)?;
    if spec.name.is_some_and(|name| name.to_ascii_lowercase() != old.name) {
        let message = "cannot be changed: the zips of a package name it. Make another package";
        return Err(Failure::invalid_field("name", message));
    }
    // A description that is the present one is no news.
    let said = if matches!(&spec.description, Update::Set(text) if *text == old.description) {
        Update::Keep
    } else {
        spec.description
    };
    let changes = PackageChanges { abandoned: Update::Keep, description: said, hidden };
    manage::change_package(app, by, ManagedBy::Shop, &old.uid, changes).await?;
    package(app, &by.view, id).await
}

/// Deletes a package with all its versions.
pub async fn delete_package(app: &App, by: &Actor, id: i64) -> Result<(), Failure> {
    let old = package(app, &by.view, id).await?;
    manage::delete_package(app, by, ManagedBy::Shop, &old.uid).await
}

// ---------------------------------------------------------------------------------------------- versions

/// A page of a package's versions, by number.
pub async fn versions(
    app: &App,
    view: &View,
    package_id: i64,
    page: KeysetPage,
) -> Result<KeysetRows<CatalogVersion>, Failure> {
    let batch = (
        catalog::package(view.organization(), package_id, !view.sees_everything()),
        catalog::versions(view.organization(), package_id),
    );
    let (package, versions) = app.ports.database.ask(batch).await?;
    one_package(package, view)?;
    Ok(page.of(versions.into_iter().filter(|version| sees_version(view, version)).collect(), |version| version.id))
}

async fn one_version(app: &App, view: &View, query: Query<Option<CatalogVersion>>) -> Result<CatalogVersion, Failure> {
    let version = app.ports.database.ask(query).await?;
    version.filter(|version| sees_version(view, version)).ok_or_else(no_version)
}

/// One version.
pub async fn version(app: &App, view: &View, id: i64) -> Result<CatalogVersion, Failure> {
    one_version(app, view, catalog::version(view.organization(), id)).await
}

/// Makes a version: one that waits for its zip, or at once with a zip that the package has.
pub async fn create_version(
    app: &App,
    issuer: &Issuer,
    key: Option<IdempotencyKey>,
    package_id: i64,
    spec: VersionSpec,
) -> Result<Answer<CatalogVersion>, Failure> {
    let claim = match idempotency::begin(app, issuer, key).await? {
        IdempotencyState::Claimed(claim) => claim,
        IdempotencyState::Done(done) => return DoneRequest::again(version(app, &issuer.by.view, done.id()).await),
    };
    let created = create_version_once(app, &issuer.by, package_id, spec, &claim).await;
    claim.release_on_failure(app, created).await.map(Answer::first)
}

async fn create_version_once(
    app: &App,
    by: &Actor,
    package_id: i64,
    spec: VersionSpec,
    claim: &IdempotencyClaim,
) -> Result<CatalogVersion, Failure> {
    let package = package(app, &by.view, package_id).await?;
    let name = spec.name.ok_or_else(|| Failure::invalid_field("name", "is required"))?;
    let normalized = check_version("name", &name)?;
    let hidden = hidden_of(spec.status)?.unwrap_or(false);
    let security_fix = spec.security_fix.unwrap_or(false);
    if package.kind != RepositoryKind::Artifact {
        let message = format!("The versions of {} come from its repository. Make them there.", package.name);
        return Err(Failure::new(Kind::Conflict, message));
    }
    let mut address = UploadAddress::parse(&by.view, &package.name, &name, app.now())?;
    let same = catalog::version_of(by.organization(), package_id, normalized.as_str());
    let keep =
        claim.keep_with(|request| catalog::keep_version(by.organization(), request, package_id, normalized.as_str()));
    let filename = spec.filename.as_deref().map(Filename::parse).transpose()?;
    if let Some(Filename::Hash(hash)) = filename {
        address.keep = keep;
        address.hidden = Some(hidden);
        address.security_fix = Some(security_fix);
        let zip = find_zip(app, by.organization(), package_id, hash).await?;
        if !publish(app, by, address, zip).await?.is_new {
            return Err(version_exists(&name));
        }
    } else {
        let uid = new_uid(&*app.ports.entropy, app.now())?;
        let most = i64::try_from(MAX_VERSIONS).unwrap_or(i64::MAX);
        let filename = filename.and_then(Filename::given);
        let version = AwaitedVersion { normalized: normalized.as_str(), pretty: &name, hidden, security_fix, filename };
        let insert = catalog::insert_version(by.organization(), package_id, &uid, &version, most, app.now());
        let label = format!("{} {name}", package.name);
        let details = json!({ "status": i64::from(!hidden), "security_fix": security_fix });
        let event = AuditEvent { action: "version.created", target: &uid, label: Some(&label), details };
        if !insert_awaiting_zip(app, by, package_id, &name, insert, &event, keep).await? {
            let message = format!("{} has {MAX_VERSIONS} versions already. Delete some of them first.", package.name);
            return Err(Failure::new(Kind::Conflict, message));
        }
    }
    one_version(app, &by.view, same).await
}

fn version_exists(name: &str) -> Failure {
    Failure::new(Kind::Conflict, format!("The package has version {name} already. Change that one instead."))
}

/// Writes a version whose zip has yet to come; says whether there was anything to write.
async fn insert_awaiting_zip(
    app: &App,
    by: &Actor,
    package_id: i64,
    version: &str,
    write: Query<bool>,
    event: &AuditEvent<'_>,
    keep: Option<Stmt>,
) -> Result<bool, Failure> {
    let batch = (
        touch(by.organization(), Touched::Versions, app.now()),
        write,
        by.record(app, event)?,
        keep,
        catalog::bump(by.organization(), package_id),
    );
    let ((), is_written, ..) = app.ports.database.ask(batch).await.map_err(|error| match error {
        DatabaseError::Conflict(_) => version_exists(version),
        DatabaseError::Fault(fault) => fault.into(),
    })?;
    app.memory.invalidate_published(by.organization());
    Ok(is_written)
}

/// How a request names a zip.
#[derive(Clone, Copy)]
enum Filename<'a> {
    /// SHA-1 or SHA-256 of a zip that the package has.
    Hash(&'a str),
    /// What the shop calls it.
    Given(&'a str),
}

impl<'a> Filename<'a> {
    fn parse(filename: &'a str) -> Result<Self, Failure> {
        if let Some(hash) = catalog::hash_of(filename) {
            return Ok(Self::Hash(hash));
        }
        let is_unfit = |character: char| character.is_control() || matches!(character, '/' | '\\');
        if filename.is_empty() || filename.len() > MAX_FILENAME_BYTES || filename.contains(is_unfit) {
            let message = format!(
                "must have 1 to {MAX_FILENAME_BYTES} bytes, and neither slashes, backslashes nor control characters"
            );
            return Err(Failure::invalid_field("filename", message));
        }
        Ok(Self::Given(filename))
    }

    fn given(self) -> Option<&'a str> {
        match self {
            Self::Given(filename) => Some(filename),
            Self::Hash(_) => None,
        }
    }
}

/// A zip that the package has, by its SHA-1 or SHA-256.
async fn find_zip(
    app: &App,
    organization: OrganizationId,
    package_id: i64,
    hash: &str,
) -> Result<NewArtifact, Failure> {
    let zip = app.ports.database.ask(catalog::zip(organization, package_id, hash)).await?;
    zip.ok_or_else(|| {
        let message = "is the hash of no zip of this package. Give it another name, or leave that out, and upload the zip \
                       with PUT /api/storefront/versions/{id}/file";
        Failure::invalid_field("filename", message)
    })
}

/// Publishes a zip that is there already.
async fn publish(app: &App, by: &Actor, address: UploadAddress, zip: NewArtifact) -> Result<Uploaded, Failure> {
    uploads::publish(app, by, address, ReceivedZip::kept(zip)).await
}

/// Where the zip of a version is uploaded to.
pub async fn address(app: &App, by: &Actor, id: i64) -> Result<UploadAddress, Failure> {
    let version = version(app, &by.view, id).await?;
    UploadAddress::parse(&by.view, &version.package, &version.pretty, app.now())
}

/// Gives a version whose zip has yet to come another name or status.
async fn change_awaiting_zip(
    app: &App,
    by: &Actor,
    old: &CatalogVersion,
    new: &AwaitedVersion<'_>,
) -> Result<(), Failure> {
    let is_same = old.pretty == new.pretty && old.hidden == new.hidden && old.filename.as_deref() == new.filename;
    if is_same && old.released.security_fix == new.security_fix {
        return Ok(());
    }
    UploadAddress::parse(&by.view, &old.package, new.pretty, app.now())?;
    let update = catalog::update_awaiting_zip(by.organization(), old.id, new, app.now());
    let label = format!("{} {}", old.package, new.pretty);
    let details = json!({ "name": new.pretty, "status": i64::from(!new.hidden), "security_fix": new.security_fix });
    let event = AuditEvent { action: "version.changed", target: &old.uid, label: Some(&label), details };
    if insert_awaiting_zip(app, by, old.package_id, new.pretty, update, &event, None).await? {
        Ok(())
    } else {
        Err(Failure::concurrent_change("version"))
    }
}

/// Changes what the request names, and nothing else. What is published keeps its name and its zip. A security fix is marked
/// before it is shown.
pub async fn change_version(app: &App, by: &Actor, id: i64, spec: VersionSpec) -> Result<CatalogVersion, Failure> {
    let old = version(app, &by.view, id).await?;
    let hidden = hidden_of(spec.status)?;
    let name = spec.name.unwrap_or_else(|| old.pretty.to_string());
    let normalized = check_version("name", &name)?;
    let filename = spec.filename.as_deref().map(Filename::parse).transpose()?;
    if old.awaited {
        let zip = match filename {
            Some(Filename::Hash(hash)) => Some(find_zip(app, by.organization(), old.package_id, hash).await?),
            _ => None,
        };
        let hidden = hidden.unwrap_or(old.hidden);
        let security_fix = spec.security_fix.unwrap_or(old.released.security_fix);
        let filename = filename.map_or(old.filename.as_deref(), Filename::given);
        let new = AwaitedVersion { normalized: normalized.as_str(), pretty: &name, hidden, security_fix, filename };
        change_awaiting_zip(app, by, &old, &new).await?;
        if let Some(zip) = zip {
            let address = UploadAddress::parse(&by.view, &old.package, &name, app.now())?;
            publish(app, by, address, zip).await?;
        }
        return version(app, &by.view, id).await;
    }
    if normalized.as_str() != old.normalized {
        let message = "cannot be changed: lock files name the version that is published. Make another one";
        return Err(Failure::invalid_field("name", message));
    }
    if filename.is_some_and(|filename| !names_zip_of(filename, &old)) {
        let message = "The version is published with another zip, which lock files rely on. Make another version.";
        return Err(Failure::new(Kind::Conflict, message));
    }
    let mark = |is| if is { VersionChange::MarkSecurityFix } else { VersionChange::UnmarkSecurityFix };
    let hide = |hidden| if hidden { VersionChange::Hide } else { VersionChange::Show };
    for change in spec.security_fix.map(mark).into_iter().chain(hidden.map(hide)) {
        manage::change_version(app, by, &old.package_uid, &old.pretty, change).await?;
    }
    version(app, &by.view, id).await
}

/// Whether a published version has the zip that is named.
fn names_zip_of(filename: Filename<'_>, version: &CatalogVersion) -> bool {
    match filename {
        Filename::Given(filename) => version.filename.as_deref() == Some(filename),
        Filename::Hash(hash) => {
            version.sha1.as_ref().is_some_and(|sha1| sha1.as_str() == hash) || version.sha256.as_deref() == Some(hash)
        }
    }
}

/// Deletes a version; its package stays.
pub async fn delete_version(app: &App, by: &Actor, id: i64) -> Result<(), Failure> {
    let old = version(app, &by.view, id).await?;
    if !old.awaited {
        return manage::change_version(app, by, &old.package_uid, &old.pretty, VersionChange::Remove).await;
    }
    let label = format!("{} {}", old.package, old.pretty);
    let details = json!({ "version": old.normalized });
    let event = AuditEvent { action: "version.deleted", target: &old.uid, label: Some(&label), details };
    let delete = catalog::delete_awaiting_zip(by.organization(), id);
    if insert_awaiting_zip(app, by, old.package_id, &old.pretty, delete, &event, None).await? {
        Ok(())
    } else {
        Err(no_version())
    }
}
