//! Packages, versions, and writing them.

use serde::{Deserialize, Deserializer};

pub mod authority;
pub mod changes;
pub mod documents;
pub mod inline;
pub mod lists;
pub mod publication;
pub mod remarks;
pub mod renaming;
pub mod retirement;
pub mod state;
pub mod texts;
pub mod upstream_notices;
pub mod version_source;
pub mod versions;
pub mod visible;

/// `packages.version_index` of a package of which lists show no version.
const NO_VERSIONS: &str = "[]";

/// `packages.version_index`, if it holds a version.
pub(in crate::store) fn version_index<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|index| index != NO_VERSIONS))
}
