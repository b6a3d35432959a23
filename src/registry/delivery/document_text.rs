//! The text of a document for one view, in the form that its reader takes, without what is known to be wrong with the versions.

use std::borrow::Cow;

use composer::{DocumentForm, PackageName};

use crate::ports::Fault;
use crate::registry::access::view::View;
use crate::registry::delivery::filtered::VisibleVersions;
use crate::registry::packages::documents::{
    Audience, DocumentKind, IndexedDocument, PackageDocuments, keyed_by_version,
};
use crate::registry::packages::render::{absolute, addressed_by_version};

/// Which document is asked for, and how.
#[derive(Debug, Clone, Copy)]
pub struct DocumentRequest<'a> {
    /// The package.
    pub name: &'a PackageName,
    /// Which of its documents.
    pub part: DocumentKind,
    /// In which form.
    pub form: DocumentForm,
    /// Origin of its URLs, without a slash at the end.
    pub base_url: &'a str,
}

/// A package's document with the versions that are `seen`; `None` is all of them. One without any, of a package with visible
/// versions in its other document, is an empty list, so that the name is not looked for elsewhere.
pub fn document_text(
    documents: &PackageDocuments,
    seen: Option<&VisibleVersions>,
    view: &View,
    wanted: DocumentRequest<'_>,
) -> Result<String, Fault> {
    let mut minified = match seen {
        None => documents.texts(wanted.part).map(Cow::Borrowed).collect(),
        Some(seen) => subset(documents, seen, view, wanted)?,
    };
    let text = match wanted.form {
        // It is one, as composer asks for either.
        DocumentForm::Minified => minified.pop().unwrap_or_default(),
        DocumentForm::KeyedByVersion => Cow::Owned(keyed_by_version(minified.iter().map(AsRef::as_ref), wanted.name)?),
    };
    let text = if wanted.part == DocumentKind::Both { Cow::Owned(addressed_by_version(&text)) } else { text };
    Ok(absolute(&text, wanted.base_url))
}

fn subset<'a>(
    documents: &PackageDocuments,
    seen: &VisibleVersions,
    view: &View,
    wanted: DocumentRequest<'_>,
) -> Result<Vec<Cow<'a, str>>, Fault> {
    let audience = if view.shows_source() { Audience::Developers } else { Audience::Customers };
    let [stable, dev] = documents.indexed(wanted.name)?;
    let both = [(DocumentKind::Stable, stable, &seen.stable), (DocumentKind::Dev, dev, &seen.dev)];
    let wanted_ones = both.into_iter().filter(|(kind, ..)| wanted.part.has(*kind));
    let part = |(kind, indexed, positions): (_, &IndexedDocument, &Vec<usize>)| {
        documents.texts(kind).map(|text| Cow::Owned(indexed.subset(text, wanted.name, positions, audience))).collect()
    };
    Ok(wanted_ones.flat_map(|one| -> Vec<Cow<'a, str>> { part(one) }).collect())
}
