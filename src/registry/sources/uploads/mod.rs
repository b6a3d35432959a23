//! Publishing an uploaded zip as one version of a package. What was published once under a version stays what it is,
//! except under a dev version, which moves on like a branch: its old zips stay where lock files look for them.
//!
//! 0. *Receive* it (`http::kit::zip_body`): what is larger than a part waits in the blob store.
//! 1. *Look* through the zip: it is safe to unpack, and its composer.json fits the address.
//! 2. *Read* the package, and whether the version is there already: the same zip changes nothing, another is refused, or
//!    takes a dev version's place.
//! 3. *Announce* the zip to the database, then *store* it: no blob is unknown, and a young one is not removed.
//! 4. *Publish* in one batch, or nothing. Of two at once, one finds the package changed and reads it again.

pub mod address;
pub mod inspect;

use std::time::Duration;

use composer::{Manifest, NormalizedVersion, PackageName, PrettyVersion, Stability, normalize};
use serde_json::json;

use crate::registry::access::actor::Actor;
use crate::registry::kernel::app::App;
use crate::registry::kernel::audit::AuditEvent;
use crate::registry::kernel::dates::rfc3339;
use crate::registry::kernel::failure::{Failure, Kind};
use crate::registry::kernel::ids::new_uid;
use crate::registry::kernel::memory::Permit;
use crate::registry::packages::publish::{
    Attempt, Change, Plan, RenderContext, Snapshot, apply, publish as publish_plan,
};
use crate::registry::packages::released;
use crate::registry::packages::revise::PackageSnapshot;
use crate::registry::sources::archive_store::acquire_build_permit;
use crate::registry::sources::incoming_zip::ReceivedZip;
use crate::registry::sources::uploads::address::UploadAddress;
use crate::registry::sources::uploads::inspect::{MAX_ZIP_BYTES, Readable, ZipContents, inspect};
use crate::store::access::released::Released;
use crate::store::kernel::repository_kind::RepositoryKind;
use crate::store::packages::publication::{FileUpsert, VersionUpsert};
use crate::store::packages::remarks::{self, Remark, RemarkKind, RemarkSource, RemarksOn};
use crate::store::packages::state::{LiveVersion, PackageSource, VersionHistory};
use crate::store::packages::version_source::VersionSource;
use crate::store::packages::versions::{hide, mark_security_fix};
use crate::store::sources::dists::NewArtifact;
use crate::store::sources::uploads::{self, ExistingVersion, Id};

/// Most versions of one package, as with a repository's.
pub const MAX_VERSIONS: usize = 5000;

/// How long an upload waits for another one of the same credential.
const TURN_PATIENCE: Duration = Duration::from_secs(25);

/// What it is told to wait when that was not enough.
const TURN_RETRY_SECONDS: i64 = 10;

/// Waits until `by` uploads nothing else: a credential receives one zip at a time, so that none takes the whole memory for
/// bodies. The turn is for the time of receiving.
///
/// # Errors
/// `TooMany` when another one of its uploads takes longer than that.
pub async fn acquire_turn(app: &App, by: &Actor) -> Result<Permit, Failure> {
    let name = format!("upload:{}", by.name);
    let turn = app.acquire_permit(&[&name], TURN_PATIENCE).await;
    turn.ok_or_else(|| {
        let detail = "Another zip is being uploaded with this token. Upload one at a time, or use a token for each.";
        Failure::new(Kind::TooMany { retry_after: TURN_RETRY_SECONDS }, detail)
    })
}

/// The refusal of an upload that does not fit.
pub fn too_large() -> Failure {
    Failure::invalid(format!("The zip is larger than {MAX_ZIP_BYTES} bytes. Leave out what is not needed to run it."))
}

/// What an upload became.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// Public id of the version.
    pub uid: String,
    /// The package.
    pub name: PackageName,
    /// The version as it is published: as the first upload of it was addressed.
    pub pretty: PrettyVersion,
    /// What Composer compares.
    pub normalized: NormalizedVersion,
    /// The zip.
    pub artifact: NewArtifact,
    /// What whoever uploads it should know of the zip.
    pub remarks: Vec<Remark>,
    /// Whether it was published now; else it was there already.
    pub is_new: bool,
}

/// Publishes a zip.
///
/// # Errors
/// `Invalid` when the zip or its composer.json will not do, `Conflict` when the version is there with other bytes or the
/// name belongs to another repository.
pub async fn publish(app: &App, by: &Actor, address: UploadAddress, zip: ReceivedZip) -> Result<Uploaded, Failure> {
    match prepare(app, by, address, &zip).await {
        Ok(Prepared::Publish(publisher, stored)) => {
            zip.keep(app).await?;
            apply(app, by.organization(), *stored, *publisher).await
        }
        Ok(Prepared::Settled(uploaded)) => {
            zip.discard(app).await;
            Ok(*uploaded)
        }
        Err(failure) => {
            zip.discard(app).await;
            Err(failure)
        }
    }
}

/// What is to be done with a zip that was looked through.
enum Prepared<'a> {
    Publish(Box<Publisher<'a>>, Box<UploadSnapshot>),
    /// It was published before.
    Settled(Box<Uploaded>),
}

/// Looks through a zip, and announces it to the database if it is to be published.
async fn prepare<'a>(
    app: &'a App,
    by: &'a Actor,
    address: UploadAddress,
    zip: &ReceivedZip,
) -> Result<Prepared<'a>, Failure> {
    let contents = look_through(app, zip).await?;
    check_manifest(&address, &contents)?;
    let uid = new_uid(&*app.ports.entropy, app.now())?;
    let publisher = Publisher { app, by, address, contents, artifact: zip.artifact.clone(), uid };
    let stored = publisher.read().await?;
    if let Some(settled) = publisher.already_published(&stored)? {
        return Ok(Prepared::Settled(Box::new(settled)));
    }
    publisher.announce_zip().await?;
    Ok(Prepared::Publish(Box::new(publisher), Box::new(stored)))
}

/// Looks through a zip. A large one is read back from the blob store, in the isolate's one place for archives.
async fn look_through(app: &App, zip: &ReceivedZip) -> Result<ZipContents, Failure> {
    let _place = if zip.is_in_memory() { None } else { Some(acquire_build_permit(app).await?) };
    let bytes = zip.bytes(app).await?;
    inspect(&bytes).map_err(|refusal| Failure::invalid(format!("This zip cannot be published: {refusal}")))
}

fn check_manifest(address: &UploadAddress, contents: &ZipContents) -> Result<(), Failure> {
    let manifest = Manifest::parse(&contents.manifest).map_err(|error| Failure::invalid(error.to_string()))?;
    if manifest.name() != Some(&address.name) {
        let stated = manifest.name().map(PackageName::as_str).unwrap_or_default();
        let message = format!("composer.json says {stated}, the address {}; they must be the same", address.name);
        return Err(Failure::invalid_field("name", message));
    }
    let stated = manifest.version().map(|stated| (stated, normalize(stated)));
    if let Some((stated, normalized)) = stated
        && normalized.as_ref() != Ok(&address.version)
    {
        let message = format!("composer.json says {stated}, the address {}; they must agree", address.pretty);
        return Err(Failure::invalid_field("version", message));
    }
    Ok(())
}

/// What the database has.
struct UploadSnapshot {
    draft: PackageSnapshot,
    existing_reference: Option<ExistingVersion>,
    /// The organization's repository of uploaded zips.
    repository: Option<Id>,
    /// Whether an upstream has the name so far, which belongs to who publishes it here.
    takes_over: bool,
    /// Whether the version was mirrored once, so that its row is there.
    takes_row: bool,
}

impl UploadSnapshot {
    /// What an upstream has of a package is as if it were not there.
    fn without_imported(mut self) -> Self {
        let kind = self.draft.package.as_ref().map(|package| package.kind);
        self.takes_over = kind == Some(RepositoryKind::Composer);
        let is_uploads = matches!(kind, Some(RepositoryKind::Artifact | RepositoryKind::Composer));
        self.takes_row =
            is_uploads && self.existing_reference.as_ref().is_some_and(|taken| taken.source != VersionSource::Upload);
        if self.takes_row {
            self.existing_reference = None;
        }
        if self.takes_over {
            self.draft = PackageSnapshot::default();
        }
        self
    }
}

impl Snapshot for UploadSnapshot {
    const MAX_ATTEMPTS: usize = PackageSnapshot::MAX_ATTEMPTS;

    fn has_changed_since(&self, earlier: &Self) -> bool {
        self.draft.has_changed_since(&earlier.draft)
    }

    fn exhausted(_: Failure) -> Failure {
        Failure::new(Kind::Conflict, "Other requests are publishing this package. Upload again in a moment.")
    }
}

struct Publisher<'a> {
    app: &'a App,
    by: &'a Actor,
    address: UploadAddress,
    contents: ZipContents,
    artifact: NewArtifact,
    uid: String,
}

impl Change for Publisher<'_> {
    type Snapshot = UploadSnapshot;
    type Done = Uploaded;

    async fn read(&self) -> Result<UploadSnapshot, Failure> {
        let (organization, name) = (self.by.organization(), self.address.name.as_str());
        let reads = (
            PackageSnapshot::query(organization, name),
            uploads::taken(organization, name, self.address.version.as_str()),
            uploads::repository(organization),
        );
        let (draft, taken, repository) = self.app.ports.database.ask(reads).await?;
        let stored = UploadSnapshot {
            draft: draft.into(),
            existing_reference: taken,
            repository,
            takes_over: false,
            takes_row: false,
        };
        Ok(stored.without_imported())
    }

    async fn write(&mut self, stored: &UploadSnapshot) -> Result<Attempt<Uploaded>, Failure> {
        // An earlier answer may have got lost, or somebody else was faster.
        if let Some(settled) = self.already_published(stored)? {
            return Ok(Attempt::Done(settled));
        }
        let plan = self.plan(stored).await?;
        let outdated = remarks::delete_outdated(plan.repository_id);
        if let Err(failure) = publish_plan(self.app, plan, outdated).await {
            return Ok(Attempt::Failed(failure));
        }
        if !stored.takes_row && stored.existing_reference.is_none() {
            return Ok(Attempt::Done(self.uploaded(None)));
        }
        // The row that was there keeps its public id.
        let settled = self.already_published(&self.read().await?)?;
        Ok(match settled {
            Some(settled) => Attempt::Done(Uploaded { is_new: true, ..settled }),
            None => Attempt::Failed(UploadSnapshot::exhausted(Failure::not_found("Version"))),
        })
    }
}

impl Publisher<'_> {
    /// What has become of the upload already, if anything has.
    fn already_published(&self, stored: &UploadSnapshot) -> Result<Option<Uploaded>, Failure> {
        let name = &self.address.name;
        if stored.draft.package.as_ref().is_some_and(|package| package.kind != RepositoryKind::Artifact) {
            let message = format!("{name} is published from a repository. Remove that first, or take another name.");
            return Err(Failure::new(Kind::Conflict, message));
        }
        match &stored.existing_reference {
            None if stored.draft.versions.len() >= MAX_VERSIONS => {
                let message = format!("{name} has {MAX_VERSIONS} versions already. Delete some of them first.");
                Err(Failure::new(Kind::Conflict, message))
            }
            None => Ok(None),
            Some(taken) if taken.sha256.as_deref() == Some(&self.artifact.sha256) => {
                self.check_date_of_published(&stored.draft.versions)?;
                Ok(Some(self.uploaded(Some(taken))))
            }
            // The zip takes its place.
            Some(_) if self.address.version.stability() == Stability::Dev => Ok(None),
            Some(_) => {
                let version = &self.address.pretty;
                let message = format!(
                    "Version {version} of {name} is published already, with other bytes. Lock files rely on them: \
                     publish the change as a new version."
                );
                Err(Failure::new(Kind::Conflict, message))
            }
        }
    }

    /// Refuses another date for what is published already.
    fn check_date_of_published(&self, versions: &[LiveVersion]) -> Result<(), Failure> {
        let known = versions.iter().find(|known| known.normalized == self.address.version.as_str());
        match known.filter(|_| self.address.released_at.is_some()) {
            Some(known) if !released::is(known.released, known.released_when_shown, self.address.released_at) => {
                Err(released::stays(&known.pretty, &known.package_name, known.released.at))
            }
            _ => Ok(()),
        }
    }

    fn uploaded(&self, taken: Option<&ExistingVersion>) -> Uploaded {
        Uploaded {
            uid: taken.map_or(&self.uid, |taken| &taken.uid).clone(),
            name: self.address.name.clone(),
            pretty: taken.map_or(&self.address.pretty, |taken| &taken.pretty).clone(),
            normalized: self.address.version.clone(),
            artifact: self.artifact.clone(),
            remarks: self.remarks(),
            is_new: taken.is_none_or(|taken| taken.uid == self.uid),
        }
    }

    fn remarks(&self) -> Vec<Remark> {
        // Paths that differ in case only are all that is told of an uploaded zip: what else could be is refused.
        let texts = self.contents.remarks.texts();
        texts.map(|(_, text)| Remark::new(RemarkKind::CaseCollisions, text)).collect()
    }

    /// Announces the zip, and makes the repository of uploaded zips if there is none.
    async fn announce_zip(&self) -> Result<(), Failure> {
        let now = self.app.now();
        let uid = new_uid(&*self.app.ports.entropy, now)?;
        let details = json!({ "kind": RepositoryKind::Artifact });
        let event = AuditEvent { action: "repository.created", target: &uid, label: None, details };
        let batch = (
            uploads::insert_repository(self.by.organization(), &uid, now),
            self.by.record(self.app, &event)?,
            uploads::announce_zip(&self.artifact, now),
        );
        let ((), (), is_announced) = self.app.ports.database.ask(batch).await?;
        if !is_announced {
            let message = "The same zip is just being removed from the store. Upload it again in a minute.";
            return Err(Failure::new(Kind::Conflict, message));
        }
        Ok(())
    }

    async fn plan(&self, stored: &UploadSnapshot) -> Result<Plan, Failure> {
        let package = stored.draft.package.as_ref();
        let organization = self.by.organization();
        let repository_id = match (package, stored.repository) {
            (Some(package), _) => package.repository_id,
            (None, Some(repository)) => repository.id,
            // It was made after it was looked for.
            (None, None) => {
                let repository = self.app.ports.database.ask(uploads::repository(organization)).await?;
                repository.ok_or_else(|| Failure::not_found("Repository"))?.id
            }
        };
        let version = self.version(stored);
        let mut versions = stored.draft.versions.clone();
        versions.retain(|known| known.normalized != version.normalized);
        versions.push(version.clone());
        let source = PackageSource::default();
        let context = RenderContext {
            source: &source,
            abandoned: package.and_then(|package| package.abandoned()),
            hidden: package.is_some_and(|package| package.hidden),
            now: self.app.now(),
        };
        let plan = stored.draft.plan(organization, repository_id, &self.address.name, context, &versions)?;
        self.with_contents(plan, version, stored.existing_reference.as_ref())
    }

    /// The version as it is published. Its row may have been yanked, hidden, or marked as a security fix, before it had
    /// this zip.
    fn version(&self, stored: &UploadSnapshot) -> LiveVersion {
        let former = stored.draft.package.iter().flat_map(|package| package.former.iter().cloned());
        let mut known = stored.draft.versions.iter().map(VersionHistory::from).chain(former);
        let known = known.find(|one| one.normalized == self.address.version.as_str());
        let is_marked = |asked: Option<bool>, mark: fn(&VersionHistory) -> bool| {
            asked.unwrap_or_else(|| known.as_ref().is_some_and(mark))
        };
        let pretty = stored.existing_reference.as_ref().map_or(&self.address.pretty, |existing| &existing.pretty);
        // Another zip in the place of a dev version's is released anew.
        let is_row_dated = |known: &&VersionHistory| !known.released_when_shown && stored.existing_reference.is_none();
        let stated = known.as_ref().filter(is_row_dated).map(|known| known.released.at);
        let stated = self.address.released_at.or(stated);
        LiveVersion {
            package_name: self.address.name.as_str().to_owned(),
            revision: 0,
            normalized: self.address.version.as_str().to_owned(),
            pretty: pretty.clone(),
            source: VersionSource::Upload,
            reference: self.artifact.sha1.as_str().into(),
            is_default_branch: false,
            manifest: String::from_utf8_lossy(&self.contents.manifest).into(),
            released: Released {
                at: stated.unwrap_or_else(|| self.app.now()),
                security_fix: is_marked(self.address.security_fix, |known| known.released.security_fix),
            },
            released_when_shown: stated.is_none(),
            was_shown: false,
            made_at: self.app.now(),
            published_at: self.app.now(),
            shasum: Some(self.artifact.sha1.clone()),
            promised_shasum: None,
            dist_error: None,
            yanked: is_marked(None, |known| known.yanked),
            hidden: is_marked(self.address.hidden, |known| known.hidden),
        }
    }

    /// The plan with the version's row, its files and its zip.
    fn with_contents(
        &self,
        plan: Plan,
        version: LiveVersion,
        replaced: Option<&ExistingVersion>,
    ) -> Result<Plan, Failure> {
        let (organization, package, now) = (plan.organization, self.address.name.as_str(), self.app.now());
        let normalized = version.normalized.clone();
        let readable = &self.contents.readable;
        let file = |file: &Readable| FileUpsert {
            package: package.to_owned(),
            normalized: normalized.clone(),
            kind: file.kind,
            name: file.name.clone(),
            text_sha256: file.text.sha256.clone(),
        };
        let label = format!("{package} {}", self.address.pretty);
        let event = AuditEvent {
            action: "version.uploaded",
            target: replaced.map_or(&self.uid, |replaced| &replaced.uid),
            label: Some(&label),
            details: json!({
                "sha256": self.artifact.sha256,
                "size": self.artifact.size,
                "replaced": replaced.map(|replaced| &replaced.sha256),
                "released_at": self.address.released_at.map(rfc3339),
            }),
        };
        let mut changes = vec![self.by.record(self.app, &event)?];
        changes.extend(self.address.keep.clone());
        changes.extend(self.address.hidden.map(|hidden| hide(organization, package, &normalized, hidden, now)));
        changes.extend(
            self.address
                .security_fix
                .map(|is_one| mark_security_fix(organization, package, &normalized, is_one.then_some(now))),
        );
        changes.push(uploads::insert_dist(organization, package, &normalized, &self.artifact.sha256, now));
        let on_zip = RemarksOn { subject: self.artifact.sha1.as_str().to_owned(), remarks: self.remarks() };
        changes.extend(remarks::replace(plan.repository_id, RemarkSource::Archive, &[on_zip], now));
        Ok(Plan {
            changed: vec![VersionUpsert {
                package: package.to_owned(),
                uid: self.uid.clone(),
                normalized: version.normalized,
                pretty: version.pretty,
                source: version.source,
                reference: version.reference,
                manifest: version.manifest,
                released_at: version.released.at,
                released_when_shown: version.released_when_shown,
                made_at: version.made_at,
                published_at: version.published_at,
            }],
            files: readable.iter().map(file).collect(),
            texts: readable.iter().map(|file| file.text.clone()).collect(),
            guards: vec![uploads::guard_announced(&self.artifact.sha256)],
            changes,
            ..plan
        })
    }
}
