//! p2 documents as one caller sees them.
//!
//! What is stored was rendered when the package was published; a name that is not our own is resolved by
//! [`lookup::resolve`]. A caller who sees every version is handed those bytes; for others `filtered` makes a document of the
//! versions that [`VersionFilter::sees`] lets through. Both are cached in the isolate under what they were made from, so that
//! a warm request asks nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use composer::{DocumentForm, PackageName};
use sha2::{Digest, Sha256};

use crate::ports::Job;
use crate::registry::access::view::{Fingerprint, VersionFilter, View};
use crate::registry::delivery::claims::is_claimed;
use crate::registry::delivery::document_text::{DocumentRequest, document_text};
use crate::registry::delivery::filtered::VisibleVersions;
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::{BoundedCache, Cached};
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::documents::{
    DOCUMENT_TTL, DocumentCache, DocumentKind, NameResolution, PackageDocuments, StoredDocuments, assemble,
};
use crate::registry::sources::composer::lookup;
use crate::store::packages::documents::{self, DocumentPart, RequestedBranches};
use crate::store::{OrganizationId, Query};

/// The revision of every document that only claims a name: no published one is as old, and all of them are alike.
const EMPTY_DOCUMENT_REVISION: i64 = 1;

/// A body with its validators, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// JSON.
    pub bytes: Bytes,
    /// Unix seconds; differs between views and between revisions, compared for equality only.
    pub last_modified: i64,
    /// Strong entity tag, quotes included.
    pub etag: String,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes, {}, {})", self.bytes.len(), self.last_modified, self.etag)
    }
}

impl Body {
    /// `text` as a revision's body for the view with `fingerprint`.
    pub fn new(text: String, revision: i64, fingerprint: Fingerprint) -> Self {
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(text.as_bytes())[..16]));
        Self { bytes: Bytes::from(text), last_modified: revision - fingerprint.seconds(), etag }
    }
}

/// Where the answer to a request is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the isolate's memory.
    Memory,
    /// The database has to be asked, and perhaps an upstream.
    Database,
}

impl Source {
    /// Memory, when what it has is fresh.
    pub fn of(is_fresh: bool) -> Self {
        if is_fresh { Self::Memory } else { Self::Database }
    }
}

/// What a body was made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyKey {
    /// The organization.
    pub organization: OrganizationId,
    /// The package, or empty for the list of packages.
    pub name: String,
    /// Which document; `None` for the list of packages.
    pub part: Option<DocumentKind>,
    /// In which form.
    pub form: DocumentForm,
    /// Origin of its URLs.
    pub base_url: String,
    /// Unix seconds.
    pub revision: i64,
    /// For which view: of its grants, or of the versions that they let through.
    pub fingerprint: Fingerprint,
}

/// What is made of a package's documents for one view.
#[derive(Debug, Clone)]
pub enum ViewCacheEntry {
    /// Which versions it sees; `None` is none. The body is kept under this fingerprint.
    Seen(Option<Fingerprint>),
    /// A body.
    Body(Arc<Body>),
}

/// Bodies made for one view, and what the view sees. They go by their revision, so that nothing has to invalidate them.
pub type BodyCache = BoundedCache<BodyKey, ViewCacheEntry>;

/// The statement that [`document`] would run for this package, for a caller who asks the database anyway; `None` when
/// memory has the answer.
pub fn prefetch(app: &App, organization: OrganizationId, name: &PackageName) -> Option<Query<Vec<DocumentPart>>> {
    let is_needed = source_of(app, organization, name) == Source::Database;
    is_needed.then(|| documents::documents(organization, name.as_str(), None))
}

/// Where the documents of a package are found.
pub fn source_of(app: &App, organization: OrganizationId, name: &PackageName) -> Source {
    let key = (organization, name.as_str().to_owned());
    let cached = app.memory.published_slot::<DocumentCache>().lock().get(&key);
    Source::of(cached.is_some_and(|entry| entry.is_fresh(app.now(), DOCUMENT_TTL)))
}

/// The document as `view` sees it. `parts` are those of [`prefetch`], if it was run.
///
/// Of a claimed vendor composer gets a document without versions for every name that the view sees nothing of, whether
/// there is such a package or not. Other programs would take that for a package, and hear that there is none.
///
/// # Errors
/// `NotFound` when there is no such package or the view sees no version of it: the two cannot be told apart. `Upstream`
/// when an upstream has to be asked for it that fails.
pub async fn document(
    app: &App,
    view: &View,
    wanted: DocumentRequest<'_>,
    parts: Option<Vec<DocumentPart>>,
) -> Result<Arc<Body>, Failure> {
    let is_composer = wanted.form == DocumentForm::Minified;
    match visible_document(app, view, wanted, parts).await? {
        Lookup::Visible(body) => Ok(body),
        Lookup::Claimed if is_composer => Ok(empty_document(wanted)),
        Lookup::Absent if is_composer && is_claimed(app, view.organization(), wanted.name.vendor()).await? => {
            Ok(empty_document(wanted))
        }
        Lookup::Claimed | Lookup::Absent => Err(Failure::not_found(&format!("Package {}", wanted.name))),
    }
}

/// What a view sees of a name.
enum Lookup {
    /// This document.
    Visible(Arc<Body>),
    /// No version, but the name is not to be looked for elsewhere.
    Claimed,
    /// Nothing.
    Absent,
}

async fn visible_document(
    app: &App,
    view: &View,
    wanted: DocumentRequest<'_>,
    parts: Option<Vec<DocumentPart>>,
) -> Result<Lookup, Failure> {
    // Before anybody is asked: what the view does not see does not make us ask an upstream either.
    let scope = view.version_filter(wanted.name.as_str());
    if matches!(scope, VersionFilter::Nothing) {
        return Ok(Lookup::Absent);
    }
    let documents = match load(app, view.organization(), wanted.name, parts).await? {
        NameResolution::Documents(Some(documents)) => documents,
        NameResolution::Documents(None) => return Ok(Lookup::Absent),
        NameResolution::Claimed => return Ok(Lookup::Claimed),
    };
    let mut key = BodyKey {
        organization: view.organization(),
        name: wanted.name.as_str().to_owned(),
        part: Some(wanted.part),
        form: wanted.form,
        base_url: wanted.base_url.to_owned(),
        revision: documents.revision(),
        fingerprint: view.body_fingerprint(scope.fingerprint()),
    };
    let is_whole = view.shows_whole(&scope);
    let mut seen: Option<VisibleVersions> = None;
    if !is_whole {
        let fingerprint;
        (fingerprint, seen) = visible_fingerprint(app, &documents, &scope, view.shows_source(), wanted.name, &key)?;
        let Some(fingerprint) = fingerprint else { return Ok(Lookup::Absent) };
        key.fingerprint = view.body_fingerprint(fingerprint);
    }
    let shows_branches = is_whole || seen.as_ref().is_some_and(|seen| !seen.dev.is_empty());
    if wanted.part.has(DocumentKind::Dev) && shows_branches && documents.request_branches() {
        zip_branches(app, view.organization(), wanted.name);
    }
    if let Some(ViewCacheEntry::Body(body)) = app.memory.slot::<BodyCache>().lock().get(&key) {
        return Ok(Lookup::Visible(body));
    }
    if !is_whole && seen.is_none() {
        seen = Some(VisibleVersions::of(&scope, &documents, wanted.name, view.shows_source())?);
    }
    let mut text = document_text(&documents, seen.as_ref(), view, wanted)?;
    documents.notices().limited_to(seen.as_ref().map(|seen| seen.versions.as_slice())).add_to(&mut text);
    let body = Arc::new(Body::new(text, documents.revision(), key.fingerprint.in_form(wanted.form)));
    app.memory.slot::<BodyCache>().lock().put(key, ViewCacheEntry::Body(body.clone()), body.bytes.len());
    Ok(Lookup::Visible(body))
}

/// Has the heads of a package's branches zipped: a lock file is about to name them, and must outlive a force-push.
fn zip_branches(app: &App, organization: OrganizationId, name: &PackageName) {
    let (background, request) = (app.clone(), documents::request_branches(organization, name.as_str()));
    app.ports.tasks.wait_until(Box::pin(async move {
        match background.ports.database.ask(request).await {
            Ok(Some(RequestedBranches { repository_id })) => {
                background.enqueue(Job::BuildArchives { repository_id }, Duration::ZERO).await;
            }
            Ok(None) => {}
            Err(error) => log::warn!("branches are zipped when they are downloaded: {error}"),
        }
    }));
}

/// Identifies the versions that `scope` lets through, so that equal documents are kept once; `None` is no version. Tells
/// which they are, if that had to be found out. `key` goes by the grants.
fn visible_fingerprint(
    app: &App,
    documents: &PackageDocuments,
    scope: &VersionFilter<'_>,
    shows_source: bool,
    name: &PackageName,
    key: &BodyKey,
) -> Result<(Option<Fingerprint>, Option<VisibleVersions>), Failure> {
    let known = app.memory.slot::<BodyCache>().lock().get(key);
    if let Some(ViewCacheEntry::Seen(fingerprint)) = known {
        return Ok((fingerprint, None));
    }
    let seen = VisibleVersions::of(scope, documents, name, shows_source)?;
    let fingerprint = seen.fingerprint();
    app.memory.slot::<BodyCache>().lock().put(key.clone(), ViewCacheEntry::Seen(fingerprint), size_of::<BodyKey>());
    Ok((fingerprint, Some(seen)))
}

/// A document without versions: composer takes the name for known, and looks for it nowhere else.
fn empty_document(wanted: DocumentRequest<'_>) -> Arc<Body> {
    let text = composer::document_json(wanted.name, [], wanted.form);
    Arc::new(Body::new(text, EMPTY_DOCUMENT_REVISION, Fingerprint::Everything))
}

/// What is known of a name, from memory while it is fresh.
async fn load(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    parts: Option<Vec<DocumentPart>>,
) -> Result<NameResolution, Failure> {
    let now = app.now();
    let key = (organization, name.as_str().to_owned());
    let cached = app.memory.published_slot::<DocumentCache>().lock().get(&key);
    if parts.is_none()
        && let Some(entry) = &cached
        && entry.is_fresh(now, DOCUMENT_TTL)
    {
        return Ok(entry.value.clone());
    }
    let known = match cached.map(|entry| entry.value) {
        Some(NameResolution::Documents(documents)) => documents,
        Some(NameResolution::Claimed) | None => None,
    };
    let parts =
        if let Some(parts) = parts { parts } else { current_parts(app, organization, name, known.as_deref()).await? };
    let StoredDocuments { documents, authority: facts } = assemble(parts, known)?;
    let known = match facts {
        None => NameResolution::Documents(documents),
        Some(facts) => lookup::resolve(app, organization, name, facts, documents).await?,
    };
    let bytes = key.1.len() + known.bytes();
    app.memory.published_slot::<DocumentCache>().lock().put(
        key,
        Cached { value: known.clone(), cached_at: app.now() },
        bytes,
    );
    Ok(known)
}

/// What the database has of a name. Whether what is known still holds is asked of a replica; one that is behind what is
/// known, or has nothing of it, is not believed.
async fn current_parts(
    app: &App,
    organization: OrganizationId,
    name: &PackageName,
    known: Option<&PackageDocuments>,
) -> Result<Vec<DocumentPart>, Failure> {
    let database = &app.ports.database;
    let query = documents::documents(organization, name.as_str(), known.map(PackageDocuments::revision));
    if let Some(known) = known {
        let parts = database.ask_replica(query.clone()).await?;
        let mut documents = parts.iter().filter(|part| part.facts.is_none()).peekable();
        if documents.peek().is_some() && documents.all(|part| part.revision >= known.revision()) {
            return Ok(parts);
        }
    }
    Ok(database.ask(query).await?)
}
