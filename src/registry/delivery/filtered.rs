//! What one caller sees of a package's two documents, and those documents without the rest.
//!
//! Which versions are visible is [`VersionFilter::sees`]'s to say. What is made of it goes by the versions and not by the
//! grants: thousands of customers who paid until as many different days share one document.

use composer::{NormalizedVersion, PackageName};
use sha2::{Digest, Sha256};

use crate::ports::Fault;
use crate::registry::access::view::{Fingerprint, VersionFilter};
use crate::registry::packages::documents::PackageDocuments;

/// The positions of the visible versions in a package's documents.
pub struct VisibleVersions {
    /// In `{package}.json`.
    pub stable: Vec<usize>,
    /// In `{package}~dev.json`.
    pub dev: Vec<usize>,
    /// All of them.
    pub versions: Vec<NormalizedVersion>,
}

impl VisibleVersions {
    /// What `scope` lets through of a package's documents, for a view that shows `source` or does not.
    pub fn of(
        scope: &VersionFilter<'_>,
        documents: &PackageDocuments,
        name: &PackageName,
        shows_source: bool,
    ) -> Result<Self, Fault> {
        let both = documents.indexed(name)?.each_ref();
        let positions = both.map(|document| document.seen(scope, shows_source));
        let versions = both
            .into_iter()
            .zip(&positions)
            .flat_map(|(document, positions)| positions.iter().filter_map(|&at| document.version(at)).cloned());
        let versions = versions.collect();
        let [stable, dev] = positions;
        Ok(Self { stable, dev, versions })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_have_another_fingerprint_however_their_names_run_together() {
        let fingerprint = |names: &[&str]| {
            let versions = names.iter().map(|name| NormalizedVersion::from_stored((*name).to_owned())).collect();
            VisibleVersions { stable: Vec::new(), dev: Vec::new(), versions }.fingerprint()
        };
        assert_eq!(fingerprint(&[]), None);
        assert_ne!(fingerprint(&["dev-a", "dev-b"]), fingerprint(&["dev-adev-b"]));
        assert_ne!(fingerprint(&["1.0.0.0"]), fingerprint(&["1.0.0.0", "1.1.0.0"]));
    }
}
