//! A package's documents as the database has them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use composer::{DocumentForm, DocumentIndex, NormalizedVersion, PackageName};
use serde_json::Value;

use crate::ports::{BoxFuture, Fault};
use crate::registry::access::view::{VersionFilter, read_index};
use crate::registry::kernel::app::App;
use crate::registry::kernel::cache::{BoundedCache, Cached};
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::memory::PublishedCache;
use crate::registry::packages::notices::SecurityNotices;
use crate::registry::packages::support::for_customers;
use crate::store::OrganizationId;
use crate::store::access::released::Released;
use crate::store::packages::authority::NameAuthority;
use crate::store::packages::documents::{self, DocumentPart};

/// Which of a package's two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentKind {
    /// `{package}.json`: stable, RC, beta, alpha.
    Stable,
    /// `{package}~dev.json`.
    Dev,
    /// What both have, for programs that know of no second one.
    Both,
}

impl DocumentKind {
    /// Whether it has the versions of the other documents too.
    pub fn has(self, other: Self) -> bool {
        self == other || self == Self::Both
    }
}

/// A package's documents as the database has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageDocuments {
    revision: i64,
    stable: String,
    dev: String,
    notices: SecurityNotices,
    /// The stored index of its versions; `None` when it has none.
    version_index: Option<String>,
    /// Where the versions stand in the two, once somebody has asked who does not see all of them.
    indexed: OnceLock<[IndexedDocument; 2]>,
    /// Set when somebody was handed the metadata of its branches.
    branches_requested: OnceLock<()>,
}

impl PackageDocuments {
    /// The two documents of a package at `revision` (unix seconds), about which there are no notices.
    pub fn new(revision: i64, stable: String, dev: String) -> Self {
        Self {
            revision,
            stable,
            dev,
            notices: SecurityNotices::default(),
            version_index: None,
            indexed: OnceLock::new(),
            branches_requested: OnceLock::from(()),
        }
    }

    /// Where the versions stand in the stable document and in the other.
    pub fn indexed(&self, name: &PackageName) -> Result<&[IndexedDocument; 2], Fault> {
        if let Some(indexed) = self.indexed.get() {
            return Ok(indexed);
        }
        let index = read_index(self.version_index.as_deref()).into_iter();
        let releases: Releases = index.map(|version| (version.normalized, version.released)).collect();
        let document = |text| IndexedDocument::of(text, name, &releases);
        let indexed = [document(&self.stable)?, document(&self.dev)?];
        Ok(self.indexed.get_or_init(|| indexed))
    }

    /// Notes that the metadata of its branches is handed out. Says whether that is the first time, as far as this isolate
    /// and the database know.
    pub fn request_branches(&self) -> bool {
        self.branches_requested.set(()).is_ok()
    }

    /// Unix seconds.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// What is known to be wrong with its versions.
    pub fn notices(&self) -> &SecurityNotices {
        &self.notices
    }

    /// Those of the two that `kind` has.
    pub fn texts(&self, kind: DocumentKind) -> impl Iterator<Item = &str> {
        let both = [(DocumentKind::Stable, &self.stable), (DocumentKind::Dev, &self.dev)];
        both.into_iter().filter(move |(one, _)| kind.has(*one)).map(|(_, text)| text.as_str())
    }
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameResolution {
    /// The documents of the package; `None`: there is no such package.
    Documents(Option<Arc<PackageDocuments>>),
    /// There is no version of it, and it is not to be looked for elsewhere.
    Claimed,
}

impl NameResolution {
    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        match self {
            // A half more for the indexes.
            Self::Documents(Some(documents)) => {
                let index = documents.version_index.as_ref().map_or(0, String::len);
                (documents.stable.len() + documents.dev.len()) * 3 / 2 + index
            }
            Self::Documents(None) | Self::Claimed => 0,
        }
    }
}

/// How long an isolate goes by what it has read of a package.
pub const DOCUMENT_TTL: Duration = Duration::from_secs(10);

/// What is known of packages, by organization and name.
pub type DocumentCache = BoundedCache<(OrganizationId, String), Cached<NameResolution>>;

impl PublishedCache for DocumentCache {
    fn invalidate(&mut self, organization: OrganizationId) {
        self.remove_all(|(of, _)| *of == organization);
    }
}

/// What the database has of a name: its documents, and what decides about it when it is not our own.
pub fn stored<'a>(
    app: &'a App,
    organization: OrganizationId,
    name: &PackageName,
) -> BoxFuture<'a, Result<StoredDocuments, Failure>> {
    let parts = documents::documents(organization, name.as_str(), None);
    Box::pin(async move { Ok(assemble(app.ports.database.ask(parts).await?, None)?) })
}

/// What the database has of a name.
pub struct StoredDocuments {
    /// The documents of the package, if there is one.
    pub documents: Option<Arc<PackageDocuments>>,
    /// What decides about the name when it is not our own.
    pub authority: Option<NameAuthority>,
}

/// Puts documents together from the parts that [`documents`](crate::store::packages::documents::documents) reads; `known` are those whose revision was asked for.
///
/// # Errors
/// When the facts or the notices cannot be read.
pub fn assemble(parts: Vec<DocumentPart>, known: Option<Arc<PackageDocuments>>) -> Result<StoredDocuments, Fault> {
    let (mut documents, mut facts): (Option<PackageDocuments>, _) = (None, None);
    let mut is_known = false;
    for part in parts {
        if let Some(text) = part.facts {
            facts = Some(NameAuthority::read(&text)?);
            continue;
        }
        is_known |= part.body.is_none();
        let documents =
            documents.get_or_insert_with(|| PackageDocuments::new(part.revision, String::new(), String::new()));
        if part.branches_unrequested {
            documents.branches_requested = OnceLock::new();
        }
        let Some(text) = part.body else { continue };
        match part.stability.as_str() {
            "dev" => documents.dev.push_str(&text),
            "notices" => documents.notices = SecurityNotices::parse(&text)?,
            "index" => documents.version_index = Some(text),
            _ => documents.stable.push_str(&text),
        }
    }
    let same = |documents: &PackageDocuments| known.filter(|known| is_known && known.revision == documents.revision);
    Ok(StoredDocuments {
        documents: documents.map(|documents| same(&documents).unwrap_or_else(|| Arc::new(documents))),
        authority: facts,
    })
}

/// Whom a document is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// They are shown all of it.
    Developers,
    /// They are not told where the sources are.
    Customers,
}

/// When the versions of a package were released, by what Composer compares.
type Releases = HashMap<String, Released>;

/// The versions of one document, and where they stand in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedDocument {
    index: DocumentIndex,
    /// In the order of the document.
    versions: Vec<DocumentedVersion>,
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DocumentedVersion {
    normalized: NormalizedVersion,
    /// When it was released, if the package's index has it.
    released: Option<Released>,
    /// Whether it can be installed by whoever is not shown `source`: it has a zip, or needs none.
    has_zip: bool,
}

impl IndexedDocument {
    /// Looks where the versions stand in `text`, the minified document of the package `name`. Its field `time` does not tell
    /// when a version was released, so that is looked up in `known`.
    fn of(text: &str, name: &PackageName, known: &Releases) -> Result<Self, Fault> {
        let index =
            DocumentIndex::parse(text, name).ok_or_else(|| damaged(name, &"it is cut off, or not a minified one"))?;
        let version = |position| {
            let field = |key| index.text_field(text, position, key);
            let normalized = field("version_normalized").unwrap_or_default();
            DocumentedVersion {
                released: known.get(&normalized).copied(),
                normalized: NormalizedVersion::from_stored(normalized),
                has_zip: index.has_field(position, "dist") || field("type").as_deref() == Some("metapackage"),
            }
        };
        let versions = (0..index.len()).map(version).collect();
        Ok(Self { index, versions })
    }

    /// The positions of the versions that `scope` lets through. Whoever is not shown `source` does not see those that there
    /// will never be a zip of: they could not install them.
    pub fn seen(&self, scope: &VersionFilter<'_>, shows_source: bool) -> Vec<usize> {
        let is_seen =
            |one: &DocumentedVersion| (one.has_zip || shows_source) && scope.sees(&one.normalized, one.released);
        let versions = self.versions.iter().enumerate();
        versions.filter(|(_, version)| is_seen(version)).map(|(at, _)| at).collect()
    }

    /// The version at a position.
    pub fn version(&self, position: usize) -> Option<&NormalizedVersion> {
        self.versions.get(position).map(|version| &version.normalized)
    }

    /// The text `document` with nothing but the versions at these positions, and of them what `audience` is shown; minified.
    pub fn subset(&self, document: &str, name: &PackageName, positions: &[usize], audience: Audience) -> String {
        self.index.subset(document, name, positions, |key, value| match audience {
            Audience::Developers => Some(Cow::Borrowed(value)),
            Audience::Customers => for_customers(key, value),
        })
    }
}

/// The versions of some minified documents of a package as clients other than composer get them: each in full under its name.
pub fn keyed_by_version<'a>(texts: impl IntoIterator<Item = &'a str>, name: &PackageName) -> Result<String, Fault> {
    let mut entries = Vec::new();
    for text in texts {
        let mut document: composer::Map = serde_json::from_str(text).map_err(|error| damaged(name, &error))?;
        let differences = document
            .get_mut("packages")
            .and_then(|packages| packages.get_mut(name.as_str()))
            .map(Value::take)
            .ok_or_else(|| damaged(name, &"no entries"))?;
        let differences: Vec<composer::Map> =
            serde_json::from_value(differences).map_err(|error| damaged(name, &error))?;
        let mut expander = composer::Expander::default();
        entries.extend(differences.into_iter().map(|difference| expander.next(difference)));
    }
    Ok(composer::document_json(name, entries, DocumentForm::KeyedByVersion))
}

fn damaged(name: &PackageName, reason: &dyn fmt::Display) -> Fault {
    Fault::new("database", format!("document of {name}: {reason}"))
}
