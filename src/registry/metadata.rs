//! p2 documents as one caller sees them.
//!
//! What is stored was rendered when the package was published; a name that is not our own is the `mirror`'s to look up. A caller who sees every version is handed those bytes;
//! for others the versions are filtered by [`Scope::sees`] and minified again. Both are kept in the isolate's memory
//! under what they were made from, so that a warm request asks nobody.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::composer::{self, DocumentForm, NormalizedVersion, PackageName};
use crate::ports::{Fault, Millis, Rows, Stmt};
use crate::registry::App;
use crate::registry::access::{Fingerprint, Scope, View};
use crate::registry::failure::Failure;
use crate::registry::memory::{DOCUMENT_TTL, Dated};
use crate::registry::mirror::lookup;
use crate::registry::notices::Notices;
use crate::registry::render::{absolute, released_at};
use crate::store::mirrors::Facts;
use crate::store::packages::{self, DocumentPart};
use crate::store::run;

/// Which of a package's two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `{package}.json`: stable, RC, beta, alpha.
    Stable,
    /// `{package}~dev.json`.
    Dev,
}

/// A package's documents as the database has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDocuments {
    revision: i64,
    stable: String,
    dev: String,
    notices: Notices,
}

impl PackageDocuments {
    /// The two documents of a package at `revision` (unix seconds), about which there are no notices.
    pub fn new(revision: i64, stable: String, dev: String) -> Self {
        Self { revision, stable, dev, notices: Notices::default() }
    }

    fn text(&self, part: Part) -> &str {
        match part {
            Part::Stable => &self.stable,
            Part::Dev => &self.dev,
        }
    }
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// The documents of the package; `None`: there is no such package.
    Documents(Option<Arc<PackageDocuments>>),
    /// There is no version of it, and it is not to be looked for elsewhere.
    Claimed,
}

impl Known {
    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Documents(Some(documents)) => documents.stable.len() + documents.dev.len(),
            Self::Documents(None) | Self::Claimed => 0,
        }
    }
}

/// The revision of every document that only claims a name: no published one is as old.
const CLAIM_REVISION: i64 = 1;

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

/// What a body was made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyKey {
    /// The organization.
    pub organization_id: i64,
    /// The package, or empty for the list of packages.
    pub name: String,
    /// Which document; `None` for the list of packages.
    pub part: Option<Part>,
    /// In which form.
    pub form: DocumentForm,
    /// Origin of its URLs.
    pub base_url: String,
    /// Unix seconds.
    pub revision: i64,
    /// For which view.
    pub fingerprint: Fingerprint,
}

/// Which document is asked for, and how.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The organization.
    pub organization_id: i64,
    /// The package.
    pub name: &'a PackageName,
    /// Which of its documents.
    pub part: Part,
    /// In which form.
    pub form: DocumentForm,
    /// Origin of its URLs, without a slash at the end.
    pub base_url: &'a str,
}

/// The statement that [`document`] would run for this package, for a caller who asks the database anyway; `None` when
/// memory has the answer.
pub fn companion(app: &App, organization_id: i64, name: &PackageName) -> Option<Stmt> {
    let key = (organization_id, name.as_str().to_owned());
    let fresh = app.memory.documents().get(&key).is_some_and(|entry| entry.is_fresh(app.now(), DOCUMENT_TTL));
    (!fresh).then(|| packages::documents(organization_id, name.as_str(), None))
}

/// The document as `view` sees it. `rows` are those of [`companion`], if it was run.
///
/// # Errors
/// `NotFound` when there is no such package or the view sees no version of it: the two cannot be told apart. `Upstream`
/// when an upstream has to be asked for it that fails.
pub async fn document(app: &App, view: &View, wanted: Wanted<'_>, rows: Option<Rows>) -> Result<Arc<Body>, Failure> {
    let absent = || Failure::not_found(&format!("Package {}", wanted.name));
    // Before anybody is asked: what the view does not see does not make us ask an upstream either.
    let scope = view.scope(wanted.name.as_str());
    if matches!(scope, Scope::Nothing) {
        return Err(absent());
    }
    let documents = match load(app, wanted.organization_id, wanted.name, rows).await? {
        Known::Documents(documents) => documents.ok_or_else(absent)?,
        Known::Claimed => return Ok(claim(wanted)),
    };
    let key = BodyKey {
        organization_id: wanted.organization_id,
        name: wanted.name.as_str().to_owned(),
        part: Some(wanted.part),
        form: wanted.form,
        base_url: wanted.base_url.to_owned(),
        revision: documents.revision,
        fingerprint: scope.fingerprint(),
    };
    if let Some(body) = app.memory.bodies().get(&key) {
        return body.ok_or_else(absent);
    }
    let text = visible_text(&documents, &scope, wanted)?;
    let body = text.map(|text| Arc::new(Body::new(text, documents.revision, key.fingerprint)));
    let bytes = body.as_ref().map_or(0, |body| body.bytes.len());
    app.memory.bodies().put(key, body.clone(), bytes);
    body.ok_or_else(absent)
}

/// A document without versions: composer takes the name for known, and looks for it nowhere else.
fn claim(wanted: Wanted<'_>) -> Arc<Body> {
    let text = composer::document_json(wanted.name, &[], wanted.form);
    Arc::new(Body::new(text, CLAIM_REVISION, Fingerprint::default()))
}

/// What is known of a name, from memory while it is fresh.
async fn load(app: &App, organization_id: i64, name: &PackageName, rows: Option<Rows>) -> Result<Known, Failure> {
    let now = app.now();
    let key = (organization_id, name.as_str().to_owned());
    let remembered = app.memory.documents().get(&key);
    if rows.is_none()
        && let Some(entry) = &remembered
        && entry.is_fresh(now, DOCUMENT_TTL)
    {
        return Ok(entry.value.clone());
    }
    let known = match remembered.map(|entry| entry.value) {
        Some(Known::Documents(documents)) => documents,
        Some(Known::Claimed) | None => None,
    };
    let rows = if let Some(rows) = rows {
        rows
    } else {
        let stmt = packages::documents(organization_id, name.as_str(), known.as_ref().map(|known| known.revision));
        run(&*app.ports.database, stmt).await?
    };
    let known = match assemble(rows, known)? {
        (documents, None) => Known::Documents(documents),
        (documents, Some(facts)) => lookup::resolve(app, organization_id, name, facts, documents).await?,
    };
    let bytes = key.1.len() + known.bytes();
    app.memory.documents().put(key, Dated { value: known.clone(), read_at: app.now() }, bytes);
    Ok(known)
}

/// What the database has of a name: its documents, and what decides about it when it is not our own.
pub async fn stored(app: &App, organization_id: i64, name: &PackageName) -> Result<Stored, Failure> {
    let stmt = packages::documents(organization_id, name.as_str(), None);
    Ok(assemble(run(&*app.ports.database, stmt).await?, None)?)
}

/// Documents, and facts of a name that is not our own.
type Stored = (Option<Arc<PackageDocuments>>, Option<Facts>);

fn assemble(rows: Rows, known: Option<Arc<PackageDocuments>>) -> Result<Stored, Fault> {
    let (mut documents, mut facts): (Option<PackageDocuments>, _) = (None, None);
    let mut is_known = false;
    for part in rows.decode::<DocumentPart>()? {
        if let Some(text) = part.facts {
            facts = Some(serde_json::from_str(&text).map_err(|error| Fault::new("database", error))?);
            continue;
        }
        is_known |= part.body.is_none();
        let documents =
            documents.get_or_insert_with(|| PackageDocuments::new(part.revision, String::new(), String::new()));
        let Some(text) = part.body else { continue };
        match part.stability.as_str() {
            "dev" => documents.dev.push_str(&text),
            "notices" => documents.notices = Notices::parse(&text)?,
            _ => documents.stable.push_str(&text),
        }
    }
    let same = |documents: &PackageDocuments| known.filter(|known| is_known && known.revision == documents.revision);
    Ok((documents.map(|documents| same(&documents).unwrap_or_else(|| Arc::new(documents))), facts))
}

/// The asked document with what `scope` lets through, or `None` when nothing of the package is visible.
fn visible_text(documents: &PackageDocuments, scope: &Scope<'_>, wanted: Wanted<'_>) -> Result<Option<String>, Fault> {
    let text = documents.text(wanted.part);
    let name = wanted.name;
    if matches!(scope, Scope::All) {
        let mut text = match wanted.form {
            DocumentForm::Minified => absolute(text, wanted.base_url),
            DocumentForm::KeyedByVersion => {
                let entries = visible_entries(text, name, scope)?;
                absolute(&composer::document_json(name, &entries, wanted.form), wanted.base_url)
            }
        };
        documents.notices.add_to(&mut text);
        return Ok(Some(text));
    }
    let visible = visible_entries(text, name, scope)?;
    let other = match wanted.part {
        Part::Stable => Part::Dev,
        Part::Dev => Part::Stable,
    };
    let others = visible_entries(documents.text(other), name, scope)?;
    // A package of which nothing is visible is absent; one with other versions answers with an empty list, so that
    // its name is not looked for elsewhere.
    if visible.is_empty() && others.is_empty() {
        return Ok(None);
    }
    let mut text = absolute(&composer::document_json(name, &visible, wanted.form), wanted.base_url);
    let seen: Vec<NormalizedVersion> = visible.iter().chain(&others).map(version_of).collect();
    documents.notices.concerning(Some(&seen)).add_to(&mut text);
    Ok(Some(text))
}

fn visible_entries(text: &str, name: &PackageName, scope: &Scope<'_>) -> Result<Vec<composer::Map>, Fault> {
    let mut entries = composer::expand(entries_of(text, name)?);
    entries.retain(|entry| {
        let released: Option<Millis> = released_at(entry);
        scope.sees(&version_of(entry), released)
    });
    Ok(entries)
}

fn version_of(entry: &composer::Map) -> NormalizedVersion {
    let normalized = entry.get("version_normalized").and_then(Value::as_str).unwrap_or_default();
    NormalizedVersion::from_stored(normalized.to_owned())
}

fn entries_of(text: &str, name: &PackageName) -> Result<Vec<composer::Map>, Fault> {
    let damaged = |reason: &dyn fmt::Display| Fault::new("database", format!("document of {name}: {reason}"));
    let mut document: composer::Map = serde_json::from_str(text).map_err(|e| damaged(&e))?;
    let entries = document
        .get_mut("packages")
        .and_then(|packages| packages.get_mut(name.as_str()))
        .map(Value::take)
        .ok_or_else(|| damaged(&"no entries"))?;
    serde_json::from_value(entries).map_err(|e| damaged(&e))
}
