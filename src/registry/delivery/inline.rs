//! Every visible version of every package of an organization in one document, for programs that know of no other:
//! `{"packages": {name: {version: {…}}}}`.
//!
//! It is written package by package while it is sent, so that it takes no more memory however many there are: at a time, the
//! stored documents of some packages ([`AT_ONCE`]) and one of them in full. What upstreams have is not part of it: nobody
//! has asked for that yet.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use composer::{DocumentForm, PackageName};

use crate::ports::{BoxFuture, ByteStream, Fault};
use crate::registry::access::view::{VersionFilter, View};
use crate::registry::delivery::document_text::{DocumentRequest, document_text};
use crate::registry::delivery::filtered::VisibleVersions;
use crate::registry::delivery::metadata::Body;
use crate::registry::kernel::app::App;
use crate::registry::kernel::batches::{BatchLimits, batches};
use crate::registry::kernel::failure::Failure;
use crate::registry::packages::documents::{DocumentKind, assemble};
use crate::store::kernel::organizations::revisions;
use crate::store::packages::inline::{self, NamedPart, SizedPackage};

/// Packages whose stored documents one statement reads, which are kept while the reader takes its time: a hundred readers that
/// stall hold 50 MB. 2,000 packages of 50 versions, 25 kB each, take 100 statements of the thousand that a request may run.
const AT_ONCE: BatchLimits = BatchLimits { bytes: MAX_BYTES, items: MAX_PACKAGES };
const MAX_BYTES: usize = 512 << 10;
const MAX_PACKAGES: usize = 200;
/// What the text of one package's document stands in.
const ENVELOPE: (&str, &str) = ("{\"packages\":{", "}}");

/// The document, as it is sent.
struct Inline {
    app: App,
    view: Arc<View>,
    base_url: String,
    /// The names whose documents are read next, a statement each.
    batches: VecDeque<Vec<SizedPackage>>,
    /// What was read of packages that are not written yet.
    parts: VecDeque<NamedPart>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is written.
    Unopened,
    /// The beginning is written, and no package.
    Opened,
    /// Some packages are written.
    InPackages,
    /// All is written.
    Closed,
}

/// The document, which is written while it is read, and its validators.
pub struct InlineDocument {
    /// Strong entity tag, quotes included.
    pub etag: String,
    /// Unix seconds; compared for equality only.
    pub last_modified: i64,
    /// JSON.
    pub stream: Box<dyn ByteStream>,
}

/// The document of all that `view` sees, whose addresses begin with `base_url`.
pub async fn inline_document(app: &App, view: Arc<View>, base_url: String) -> Result<InlineDocument, Failure> {
    let organization = view.organization();
    let reads = (revisions(organization), inline::packages(organization, view.ranges()));
    let (revisions, packages) = app.ports.database.ask(reads).await?;
    let revision = revisions.ok_or_else(|| Failure::not_found("Organization"))?.revision;
    let fingerprint = view.body_fingerprint(view.fingerprint()).in_form(DocumentForm::KeyedByVersion);
    // What it is made from tells as much as its bytes, which nobody has yet.
    let Body { etag, last_modified, .. } =
        Body::new(format!("{revision} {fingerprint:?} {base_url}"), revision, fingerprint);
    let is_seen = |package: &SizedPackage| !matches!(view.version_filter(&package.name), VersionFilter::Nothing);
    let batches = batches(packages.into_iter().filter(is_seen), AT_ONCE, |package| package.bytes).into();
    let app = app.clone();
    let stream = Box::new(Inline { app, view, base_url, batches, parts: VecDeque::new(), state: State::Unopened });
    Ok(InlineDocument { etag, last_modified, stream })
}

impl Inline {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.state == State::Unopened {
            self.state = State::Opened;
            return Ok(Some(Bytes::from_static(ENVELOPE.0.as_bytes())));
        }
        loop {
            while let Some(name) = self.parts.front().map(|part| part.name.clone()) {
                if let Some(text) = self.package(&name)? {
                    let comma = if self.state == State::InPackages { "," } else { "" };
                    self.state = State::InPackages;
                    return Ok(Some(Bytes::from([comma, &text].concat())));
                }
            }
            let Some(batch) = self.batches.pop_front() else { break };
            let names: Vec<&str> = batch.iter().map(|package| package.name.as_str()).collect();
            let parts = inline::documents(self.view.organization(), &names);
            self.parts = self.app.ports.database.ask(parts).await?.into();
        }
        let is_over = std::mem::replace(&mut self.state, State::Closed) == State::Closed;
        Ok((!is_over).then(|| Bytes::from_static(ENVELOPE.1.as_bytes())))
    }

    /// The next package with its visible versions: `"name":{…}`; `None` if there are none.
    fn package(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let mut parts = Vec::new();
        while self.parts.front().is_some_and(|part| part.name == name) {
            parts.extend(self.parts.pop_front().map(|part| part.part));
        }
        let name = PackageName::parse_ignoring_case(name).map_err(Failure::internal)?;
        let Some(documents) = assemble(parts, None)?.documents else { return Ok(None) };
        let scope = self.view.version_filter(name.as_str());
        let look = || VisibleVersions::of(&scope, &documents, &name, self.view.shows_source());
        let seen = if self.view.shows_whole(&scope) { None } else { Some(look()?) };
        if seen.as_ref().is_some_and(|seen| seen.versions.is_empty()) {
            return Ok(None);
        }
        let (part, form) = (DocumentKind::Both, DocumentForm::KeyedByVersion);
        let wanted = DocumentRequest { name: &name, part, form, base_url: &self.base_url };
        let text = document_text(&documents, seen.as_ref(), &self.view, wanted)?;
        let inner = text.strip_prefix(ENVELOPE.0).and_then(|text| text.strip_suffix(ENVELOPE.1));
        Ok(inner.map(str::to_owned))
    }
}

impl ByteStream for Inline {
    fn next_chunk(&mut self) -> BoxFuture<'_, Option<Result<Bytes, Fault>>> {
        Box::pin(async move {
            // The status is sent already: all that is left is to end before the end.
            let told = |failure: Failure| Fault::new("database", format!("packages.json was cut off: {failure:?}"));
            self.next().await.map_err(told).transpose()
        })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_reads_a_bounded_number_of_packages_and_of_bytes() {
        let package = |bytes| SizedPackage { name: "acme/lib".to_owned(), bytes };
        let sizes = |packages: Vec<SizedPackage>| {
            batches(packages, AT_ONCE, |package| package.bytes).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes((0..450).map(|_| package(10)).collect()), [200, 200, 50]);
        let half = MAX_BYTES / 2;
        assert_eq!(sizes(vec![package(half), package(half), package(1), package(3 * half), package(1)]), [2, 1, 1, 1]);
        assert!(sizes(Vec::new()).is_empty());
    }
}
