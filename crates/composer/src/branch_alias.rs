//! Branch aliases: as which numeric version a branch may be required.
//!
//! The rule is `ArrayLoader::getBranchAlias`; the reader of metadata applies it, so a registry needs it to decide
//! which constraints a branch satisfies.

use serde_json::Value;

use crate::Map;
use crate::excerpt::excerpt;
use crate::version::{NormalizedVersion, normalize_branch, numeric_alias_prefix};

/// What every branch that is the default one, and has no better alias, can also be called.
pub const DEFAULT_BRANCH_ALIAS: &str = "9999999-dev";

/// The version a branch is also known as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchAlias {
    /// `2.0.9999999.9999999-dev`.
    pub normalized: NormalizedVersion,
    /// `2.0.x-dev`.
    pub pretty: String,
}

/// Why an `extra.branch-alias` entry is never used, whatever the version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBranchAlias {
    /// The target does not end in `-dev`.
    #[error("the target {:?} must end in -dev", excerpt(.0))]
    NotDev(String),
    /// The target is no number with wild cards.
    #[error("the target {:?} must be a number like 2.0-dev or 2.x-dev", excerpt(.0))]
    NotNumeric(String),
    /// `1.x-dev` cannot be called `2.x-dev`.
    #[error("the target {:?} is not a numeric alias for this version", excerpt(.0))]
    OtherNumber(String),
}

/// The alias of a version's metadata entry (`version`, `extra.branch-alias`, `default-branch`), if it has one.
pub fn branch_alias(entry: &Map) -> Option<BranchAlias> {
    let version = entry.get("version")?.as_str()?;
    if !version.starts_with("dev-") && !version.ends_with("-dev") {
        return None;
    }
    let aliases = entry.get("extra").and_then(|extra| extra.get("branch-alias")).and_then(Value::as_object);
    let mut own = aliases.into_iter().flatten().filter(|(source, _)| source.to_lowercase() == version.to_lowercase());
    let alias = own.find_map(|(source, target)| resolve(source, target.as_str()?).ok());
    alias
        .or_else(|| is_aliased_default_branch(entry, version).then(default_alias))
        .map(|normalized| BranchAlias { pretty: pretty(normalized.as_str()), normalized })
}

fn is_aliased_default_branch(entry: &Map, version: &str) -> bool {
    let unprefixed = version.strip_prefix('v').unwrap_or(version);
    entry.get("default-branch") == Some(&Value::Bool(true)) && numeric_alias_prefix(unprefixed).is_none()
}

fn default_alias() -> NormalizedVersion {
    NormalizedVersion::from_stored(DEFAULT_BRANCH_ALIAS.to_owned())
}

/// The version `target` stands for when `source` is aliased to it.
///
/// # Errors
/// [`InvalidBranchAlias`] if Composer would ignore the entry.
pub(crate) fn resolve(source: &str, target: &str) -> Result<NormalizedVersion, InvalidBranchAlias> {
    let branch = target.strip_suffix("-dev").ok_or_else(|| InvalidBranchAlias::NotDev(target.to_owned()))?;
    let normalized = if target == DEFAULT_BRANCH_ALIAS { default_alias() } else { normalize_branch(branch) };
    if !normalized.as_str().ends_with("-dev") {
        return Err(InvalidBranchAlias::NotNumeric(target.to_owned()));
    }
    match (numeric_alias_prefix(source), numeric_alias_prefix(target)) {
        (Some(source), Some(inner)) if !inner.starts_with(&source) => {
            Err(InvalidBranchAlias::OtherNumber(target.to_owned()))
        }
        _ => Ok(normalized),
    }
}

/// `1.9999999.9999999.9999999-dev` → `1.x-dev`: every run of `.9999999` becomes one `.x`.
pub(crate) fn pretty(normalized: &str) -> String {
    let mut pretty = String::with_capacity(normalized.len());
    let mut rest = normalized;
    while let Some((head, tail)) = rest.split_once(".9999999") {
        pretty.push_str(head);
        pretty.push_str(".x");
        rest = tail;
        while let Some(tail) = rest.strip_prefix(".9999999") {
            rest = tail;
        }
    }
    pretty + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_nines_are_written_as_one_x() {
        assert_eq!(pretty("1.9999999.9999999.9999999-dev"), "1.x-dev");
        assert_eq!(pretty("1.2.9999999.9999999-dev"), "1.2.x-dev");
        assert_eq!(pretty("9999999-dev"), "9999999-dev");
    }

    #[test]
    fn a_target_that_is_not_text_is_ignored() {
        let entry = serde_json::json!({"version": "dev-main", "extra": {"branch-alias": {"dev-main": 2}}});
        assert_eq!(branch_alias(entry.as_object().expect("object")), None);
    }
}
