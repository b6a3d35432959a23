//! What a shop sells: versions by number, made before there is a zip, hidden and shown again.
//!
//! A version without a zip is nowhere but here, until its zip is uploaded. The metadata is written by
//! `packages::manage_versions` and `sources::uploads`.

use composer::{NormalizedVersion, normalize_name};
use serde_json::{Value, json};

use crate::ports::{DatabaseError, Millis, Stmt};
use crate::registry::access::actor::Actor;
use crate::registry::access::issuer::Issuer;
use crate::registry::access::view::View;
use crate::registry::identity::idempotency::{
    self, Answer, DoneRequest, IdempotencyClaim, IdempotencyKey, IdempotencyState,
};
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::packages::manage_versions::{VersionChange, change_version as change_published};
use crate::registry::packages::released;
use crate::registry::packages::revise::ManagedBy;
use crate::registry::sources::incoming_zip::ReceivedZip;
use crate::registry::sources::uploads::address::{UploadAddress, check_version};
use crate::registry::sources::uploads::{self, MAX_VERSIONS, Uploaded};
use crate::registry::storefront::catalog::{hidden_of, one_package, package};
use crate::store::kernel::organizations::{Touched, touch};
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::sources::dists::NewArtifact;
use crate::store::storefront::catalog::{self, AwaitedVersion, CatalogVersion};
use crate::store::{KeysetPage, KeysetRows, OrganizationId, Query, Update};

/// Longest file names.
const MAX_FILENAME_BYTES: usize = 255;

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
    /// When it was released; cleared is when it is shown for the first time.
    pub released_at: Update<Millis>,
    /// Whether it is taken out of the metadata, while lock files that name it go on working.
    pub yanked: Option<bool>,
}

/// Which versions of a package a list holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct VersionsFilter<'a> {
    /// Only that with this public id.
    pub uid: Option<&'a str>,
    /// Only that which is written so, or is the same to Composer.
    pub version: Option<&'a str>,
}

impl VersionsFilter<'_> {
    fn holds(&self, row: &CatalogVersion) -> bool {
        let is_written = |version: &str| {
            row.pretty == version || normalize_name(version).is_ok_and(|version| version.as_str() == row.normalized)
        };
        self.uid.is_none_or(|uid| row.uid == uid) && self.version.is_none_or(is_written)
    }
}

fn no_version() -> Failure {
    Failure::not_found("Version")
}

fn sees_version(view: &View, version: &CatalogVersion) -> bool {
    let normalized = NormalizedVersion::from_stored(version.normalized.clone());
    view.version_filter(&version.package).sees(&normalized, Some(version.released))
}

/// A page of a package's versions, by number.
pub async fn versions(
    app: &App,
    view: &View,
    package_id: i64,
    filter: VersionsFilter<'_>,
    page: KeysetPage,
) -> Result<KeysetRows<CatalogVersion>, Failure> {
    let batch = (
        catalog::package(view.organization(), package_id, !view.sees_everything()),
        catalog::versions(view.organization(), package_id),
    );
    let (package, versions) = app.ports.database.ask(batch).await?;
    one_package(package, view)?;
    let is_listed = |version: &CatalogVersion| filter.holds(version) && sees_version(view, version);
    Ok(page.of(versions.into_iter().filter(is_listed).collect(), |version| version.id))
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
    refuse_yank_of_awaited(&name, spec.yanked)?;
    if package.kind != RepositoryKind::Artifact {
        let message = format!("The versions of {} come from its repository. Make them there.", package.name);
        return Err(Failure::new(Kind::Conflict, message));
    }
    let released_at = spec.released_at.into_value();
    let address = UploadAddress::parse(&by.view, &package.name, &name, app.now())?;
    let mut address = address.released(released_at, app.now())?;
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
        let normalized = normalized.as_str();
        let version = AwaitedVersion { normalized, pretty: &name, hidden, security_fix, filename, released_at };
        let insert = catalog::insert_version(by.organization(), package_id, &uid, &version, most, app.now());
        let label = format!("{} {name}", package.name);
        let event =
            AuditEvent { action: "version.created", target: &uid, label: Some(&label), details: noted(&version) };
        if !insert_awaiting_zip(app, by, package_id, &name, insert, &event, keep).await? {
            let message = format!("{} has {MAX_VERSIONS} versions already. Delete some of them first.", package.name);
            return Err(Failure::new(Kind::Conflict, message));
        }
    }
    one_version(app, &by.view, same).await
}

/// What the audit log tells of a version whose zip has yet to come.
fn noted(version: &AwaitedVersion<'_>) -> Value {
    json!({
        "name": version.pretty,
        "status": i64::from(!version.hidden),
        "security_fix": version.security_fix,
        "released_at": version.released_at.map(rfc3339),
    })
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
    let is_same_date = released::is(old.released, old.released_when_shown, new.released_at);
    if is_same && is_same_date && old.released.security_fix == new.security_fix {
        return Ok(());
    }
    UploadAddress::parse(&by.view, &old.package, new.pretty, app.now())?.released(new.released_at, app.now())?;
    let update = catalog::update_awaiting_zip(by.organization(), old.id, new, app.now());
    let label = format!("{} {}", old.package, new.pretty);
    let event = AuditEvent { action: "version.changed", target: &old.uid, label: Some(&label), details: noted(new) };
    if insert_awaiting_zip(app, by, old.package_id, new.pretty, update, &event, None).await? {
        Ok(())
    } else {
        Err(Failure::concurrent_change("version"))
    }
}

/// Changes what the request names, and nothing else. What is published keeps its name and its zip. A version is dated and
/// marked as a security fix before it is shown.
pub async fn change_version(app: &App, by: &Actor, id: i64, spec: VersionSpec) -> Result<CatalogVersion, Failure> {
    let old = version(app, &by.view, id).await?;
    let hidden = hidden_of(spec.status)?;
    let name = spec.name.clone().unwrap_or_else(|| old.pretty.to_string());
    let normalized = check_version("name", &name)?;
    let filename = spec.filename.as_deref().map(Filename::parse).transpose()?;
    if old.awaited {
        refuse_yank_of_awaited(&name, spec.yanked)?;
        let zip = match filename {
            Some(Filename::Hash(hash)) => Some(find_zip(app, by.organization(), old.package_id, hash).await?),
            _ => None,
        };
        let hidden = hidden.unwrap_or(old.hidden);
        let security_fix = spec.security_fix.unwrap_or(old.released.security_fix);
        let filename = filename.map_or(old.filename.as_deref(), Filename::given);
        let released_at = match spec.released_at {
            Update::Keep => (!old.released_when_shown).then_some(old.released.at),
            Update::Set(stated) => stated,
        };
        let normalized = normalized.as_str();
        let new = AwaitedVersion { normalized, pretty: &name, hidden, security_fix, filename, released_at };
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
    for change in changes_of_published(&spec, hidden) {
        change_published(app, by, ManagedBy::Shop, &old.package_uid, &old.pretty, change).await?;
    }
    version(app, &by.view, id).await
}

/// What becomes of a version that is published, one after the other: at no moment is more of it shown than before or after.
fn changes_of_published(spec: &VersionSpec, hidden: Option<bool>) -> impl Iterator<Item = VersionChange> {
    let dated = match spec.released_at {
        Update::Keep => None,
        Update::Set(moment) => Some(VersionChange::Release(moment)),
    };
    let mark = |is_one| if is_one { VersionChange::MarkSecurityFix } else { VersionChange::UnmarkSecurityFix };
    let is = |asked: Option<bool>, wanted: bool, change| (asked == Some(wanted)).then_some(change);
    let changes = [
        dated,
        spec.security_fix.map(mark),
        is(spec.yanked, true, VersionChange::Yank),
        is(hidden, true, VersionChange::Hide),
        is(spec.yanked, false, VersionChange::Unyank),
        is(hidden, false, VersionChange::Show),
    ];
    changes.into_iter().flatten()
}

/// Refuses to yank what is not published yet.
fn refuse_yank_of_awaited(version: &str, yanked: Option<bool>) -> Result<(), Failure> {
    if yanked != Some(true) {
        return Ok(());
    }
    let message =
        format!("{version} waits for its zip, so that nobody has it to be kept from. Hide it: \"status\": 0.");
    Err(Failure::new(Kind::Conflict, message))
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
        return change_published(app, by, ManagedBy::Shop, &old.package_uid, &old.pretty, VersionChange::Remove).await;
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
