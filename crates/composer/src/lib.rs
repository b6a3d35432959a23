//! Composer's own rules: names, versions, constraints, stability, branch aliases, minified metadata,
//! composer.json validation, archive layout, the files of repositories.
//!
//! Pure: no I/O, no clock, no randomness, no HTTP. What is written here is what `composer` itself does with
//! the same input; the vectors under `tests/vectors/` were produced by the reference implementation, and
//! `tests/differential.rs` asks it again whenever PHP is at hand.
//!
//! # Example
//! ```
//! use rostrum_composer::{Constraint, Stability, minify, normalize, version_of_branch};
//!
//! let version = normalize("v1.2-beta3")?;
//! assert_eq!(version.as_str(), "1.2.0.0-beta3");
//! assert_eq!(version.stability(), Stability::Beta);
//! assert!(Constraint::parse("^1.0 || ^2.0")?.matches(&version));
//! assert_eq!(version_of_branch("2.x")?.pretty, "2.x-dev");
//!
//! // Each version as its difference to the one before.
//! let versions = serde_json::from_str(r#"[{"version": "2", "type": "library"}, {"version": "1", "type": "library"}]"#)?;
//! assert_eq!(serde_json::to_string(&minify(versions))?, r#"[{"version":"2","type":"library"},{"version":"1"}]"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The README shows how a git tag becomes an entry of a repository's metadata.

pub mod archive;
pub mod branch_alias;
pub mod compare;
pub mod constraint;
mod constraint_parser;
pub mod dist;
pub mod document_index;
mod excerpt;
pub mod funding;
mod glob;
pub mod identifiers;
pub mod json;
pub mod manifest;
mod manifest_descriptions;
mod manifest_links;
mod manifest_rules;
pub mod minifier;
pub mod name;
pub mod notices;
mod raw_object;
pub mod refs;
pub mod release;
pub mod repository;
pub mod stability;
mod text;
pub mod version;

pub use archive::{ExcludeRules, NoManifest, manifest_path};
pub use branch_alias::{BranchAlias, branch_alias};
pub use compare::{php_version_compare, sort_order};
pub use constraint::{Constraint, InvalidConstraint, Operator};
pub use dist::{ArchivePath, Dist, DistMirror, DistPlaceholders, DistType};
pub use document_index::DocumentIndex;
pub use excerpt::{EXCERPT_CHARACTERS, excerpt};
pub use identifiers::{PrettyVersion, Reference, Shasum};
pub use json::{InvalidJson, JsonBudget, MAX_JSON_VALUES, parse_json, parse_json_within};
pub use manifest::{InvalidManifest, Manifest, Violation};
pub use manifest_links::LINK_TYPES;
pub use minifier::{Expander, Minifier, expand, minify};
pub use name::{InvalidPackageName, PackageName, is_platform};
pub use raw_object::RawMember;
pub use refs::{
    InvalidRef, RefVersion, Unrequirable, check_requirable, normalize_tag, version_of_branch, version_of_tag,
};
pub use release::{
    DocumentForm, DocumentWriter, Release, Source, document_json, metadata_entry, newest_first, version_of,
};
pub use repository::{
    FileReference, InvalidRepository, PackageDocument, RepositoryFile, RepositoryRoot, Versions, package_patterns,
    read_included, read_package, read_root,
};
pub use stability::{InvalidStability, Stability};
pub use version::{
    InvalidVersion, NormalizedVersion, normalize, normalize_branch, normalize_name, numeric_alias_prefix,
};

/// A JSON object whose keys keep the order their author wrote them in.
pub type Map = serde_json::Map<String, serde_json::Value>;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
