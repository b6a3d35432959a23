//! What one caller sees of a package's two documents, and those documents without the rest.
//!
//! Which versions are visible is [`Scope::sees`]'s to say. What is made of it goes by the versions and not by the
//! grants: thousands of customers who paid until as many different days share one document.

use std::fmt;

use composer::{DocumentForm, DocumentIndex, NormalizedVersion, PackageName};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::ports::{Fault, Millis};
use crate::registry::access::{Fingerprint, Scope};
use crate::registry::dates::read_rfc3339;

/// The versions of one document, and where they stand in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedDocument {
    index: DocumentIndex,
    /// In the order of the document, with when they were released.
    versions: Vec<(NormalizedVersion, Option<Millis>)>,
}

impl IndexedDocument {
    /// Looks where the versions stand in `text`, the minified document of the package `name`.
    pub fn of(text: &str, name: &PackageName) -> Result<Self, Fault> {
        let index =
            DocumentIndex::parse(text, name).ok_or_else(|| damaged(name, &"it is cut off, or not a minified one"))?;
        let version = |position| {
            let field = |key| index.text_field(text, position, key);
            let normalized = field("version_normalized").unwrap_or_default();
            (NormalizedVersion::from_stored(normalized), field("time").as_deref().and_then(read_rfc3339))
        };
        let versions = (0..index.len()).map(version).collect();
        Ok(Self { index, versions })
    }

    /// The positions of the versions that `scope` lets through.
    fn seen(&self, scope: &Scope<'_>) -> Vec<usize> {
        let versions = self.versions.iter().enumerate();
        versions.filter(|(_, (version, released))| scope.sees(version, *released)).map(|(at, _)| at).collect()
    }

    /// The text `document` with nothing but the versions at these positions, and without their field `omitted_field`.
    pub fn subset(
        &self,
        document: &str,
        name: &PackageName,
        positions: &[usize],
        omitted_field: Option<&str>,
        form: DocumentForm,
    ) -> Result<String, Fault> {
        let minified = self.index.subset(document, name, positions, omitted_field);
        match form {
            DocumentForm::Minified => Ok(minified),
            DocumentForm::KeyedByVersion => keyed(&minified, name),
        }
    }
}

/// The positions of the visible versions in a package's documents.
pub struct Seen {
    /// In `{package}.json`.
    pub stable: Vec<usize>,
    /// In `{package}~dev.json`.
    pub dev: Vec<usize>,
    /// All of them.
    pub versions: Vec<NormalizedVersion>,
}

impl Seen {
    /// What `scope` lets through of both documents.
    pub fn of(scope: &Scope<'_>, stable: &IndexedDocument, dev: &IndexedDocument) -> Self {
        let positions = [stable, dev].map(|document| document.seen(scope));
        let versions = [stable, dev].into_iter().zip(&positions).flat_map(|(document, positions)| {
            positions.iter().filter_map(|&at| document.versions.get(at)).map(|(version, _)| version.clone())
        });
        let versions = versions.collect();
        let [stable, dev] = positions;
        Self { stable, dev, versions }
    }

    /// Identifies the versions; `None` when there are none.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let mut digest = Sha256::new();
        for version in &self.versions {
            digest.update(version.as_str());
            digest.update([0]);
        }
        (!self.versions.is_empty()).then(|| Fingerprint::from_digest(digest.finalize().as_slice()))
    }
}

/// A minified document as clients other than composer get it: each version in full under its name.
pub fn keyed(text: &str, name: &PackageName) -> Result<String, Fault> {
    let mut document: composer::Map = serde_json::from_str(text).map_err(|error| damaged(name, &error))?;
    let entries = document
        .get_mut("packages")
        .and_then(|packages| packages.get_mut(name.as_str()))
        .map(Value::take)
        .ok_or_else(|| damaged(name, &"no entries"))?;
    let entries = composer::expand(serde_json::from_value(entries).map_err(|error| damaged(name, &error))?);
    Ok(composer::document_json(name, &entries, DocumentForm::KeyedByVersion))
}

fn damaged(name: &PackageName, reason: &dyn fmt::Display) -> Fault {
    Fault::new("database", format!("document of {name}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_have_another_fingerprint_however_their_names_run_together() {
        let fingerprint = |names: &[&str]| {
            let versions = names.iter().map(|name| NormalizedVersion::from_stored((*name).to_owned())).collect();
            Seen { stable: Vec::new(), dev: Vec::new(), versions }.fingerprint()
        };
        assert_eq!(fingerprint(&[]), None);
        assert_ne!(fingerprint(&["dev-a", "dev-b"]), fingerprint(&["dev-adev-b"]));
        assert_ne!(fingerprint(&["1.0.0.0"]), fingerprint(&["1.0.0.0", "1.1.0.0"]));
    }
}
