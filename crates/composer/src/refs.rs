//! From a git ref to a Composer version, as `VcsRepository` does it.

use crate::branch_alias::pretty;
use crate::constraint::{Constraint, InvalidConstraint};
use crate::excerpt::excerpt;
use crate::identifiers::PrettyVersion;
use crate::manifest::Manifest;
use crate::text::{starts_with_ci, strip_dev_suffix};
use crate::version::{InvalidVersion, NormalizedVersion, normalize, normalize_branch};

/// A version as people write it and as Composer compares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefVersion {
    /// `v1.2.0`, `1.x-dev`, `dev-main`.
    pub pretty: PrettyVersion,
    /// `1.2.0.0`, `1.9999999.9999999.9999999-dev`, `dev-main`.
    pub normalized: NormalizedVersion,
}

/// Why a ref does not become a version; the text is for the operator who asks why a tag is missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRef {
    /// The tag's name is no version.
    #[error("tag {:?} is not a version: {source}", excerpt(.tag))]
    NotAVersion {
        /// The tag.
        tag: String,
        /// What the version parser said.
        source: InvalidVersion,
    },
    /// The tag's name is a development version, which only branches may have.
    #[error("tag {:?} has a dev prefix or suffix, which only branches may have", excerpt(.tag))]
    DevTag {
        /// The tag.
        tag: String,
    },
    /// `version` in composer.json is no version.
    #[error("tag {:?} has a composer.json whose version is invalid: {source}", excerpt(.tag))]
    InvalidManifestVersion {
        /// The tag.
        tag: String,
        /// What the version parser said.
        source: InvalidVersion,
    },
    /// `version` in composer.json contradicts the tag.
    #[error(
        "tag {:?} is version {} but its composer.json says {}; remove \"version\" from composer.json and tag again",
        excerpt(.tag), excerpt(.tagged.as_str()), excerpt(.stated)
    )]
    VersionMismatch {
        /// The tag.
        tag: String,
        /// The tag's version.
        tagged: NormalizedVersion,
        /// The version in composer.json, without a dev marker.
        stated: String,
    },
    /// The branch's name means nothing or something else as a constraint, so nobody could require it.
    #[error("branch {:?} cannot be required by that name: {source}", excerpt(.branch))]
    UnusableBranch {
        /// The branch.
        branch: String,
        /// Why.
        source: Unrequirable,
    },
}

/// Why nobody could require a version by its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrequirable {
    /// It is no constraint.
    #[error(transparent)]
    NoConstraint(#[from] InvalidConstraint),
    /// It is the constraint of something else.
    #[error("as a requirement, {} means {:?}; choose another name", excerpt(.name), excerpt(.meaning))]
    Another {
        /// How the version is written.
        name: String,
        /// What that means where it is required.
        meaning: String,
    },
}

/// Checks that a requirement of the version that is written `pretty` means `normalized` and nothing else:
/// `dev-feature@dev` means `dev-feature`, and `dev-a|1.0` one of two.
///
/// # Errors
/// [`Unrequirable`] says what it means.
pub fn check_requirable(pretty: &str, normalized: &NormalizedVersion) -> Result<(), Unrequirable> {
    let meaning = Constraint::parse(pretty)?;
    if meaning.is_exactly(normalized) {
        return Ok(());
    }
    Err(Unrequirable::Another { name: pretty.to_owned(), meaning: meaning.to_string() })
}

/// What a tag's name alone says: the version, if it is one that tags may have.
///
/// # Errors
/// [`InvalidRef`] for a name that is no version, or a development version.
pub fn normalize_tag(tag: &str) -> Result<NormalizedVersion, InvalidRef> {
    let normalized = normalize(&tag.replace("release-", ""))
        .map_err(|source| InvalidRef::NotAVersion { tag: tag.to_owned(), source })?;
    if undev(normalized.as_str()) != normalized.as_str() {
        return Err(InvalidRef::DevTag { tag: tag.to_owned() });
    }
    Ok(normalized)
}

/// The version of a tag and the composer.json it points to.
///
/// `release-` is removed wherever it stands; a `version` in composer.json must agree, and is then how the version
/// is written.
///
/// # Errors
/// [`InvalidRef`] says why the tag is no version.
pub fn version_of_tag(tag: &str, manifest: &Manifest) -> Result<RefVersion, InvalidRef> {
    let normalized = normalize_tag(tag)?;
    let Some(stated) = manifest.version() else {
        let name = tag.replace("release-", "");
        return Ok(RefVersion { pretty: strip_dev_suffix(&name).unwrap_or(&name).into(), normalized });
    };
    let stated_version =
        normalize(stated).map_err(|source| InvalidRef::InvalidManifestVersion { tag: tag.to_owned(), source })?;
    let stated_version = undev(stated_version.as_str());
    if stated_version != normalized.as_str() {
        let stated = stated_version.to_owned();
        return Err(InvalidRef::VersionMismatch { tag: tag.to_owned(), tagged: normalized, stated });
    }
    Ok(RefVersion { pretty: strip_dev_suffix(stated).unwrap_or(stated).into(), normalized })
}

/// The version of a branch: `main` → `dev-main`, `1.x` → `1.x-dev`, `v2` → `v2.x-dev`.
///
/// A `#` becomes `+`, as `#` starts a reference where the branch is required; in the normalized version, too, so
/// that it stays what [`normalize`] yields for the pretty one.
///
/// # Errors
/// [`InvalidRef::UnusableBranch`] if a requirement of it means something else, or nothing.
pub fn version_of_branch(branch: &str) -> Result<RefVersion, InvalidRef> {
    let normalized = normalize_branch(branch);
    let version = if normalized.is_branch() {
        let normalized = NormalizedVersion::from_stored(normalized.as_str().replace('#', "+"));
        RefVersion { pretty: format!("dev-{}", branch.replace('#', "+")).into(), normalized }
    } else {
        let prefix = if branch.starts_with('v') { "v" } else { "" };
        RefVersion { pretty: format!("{prefix}{}", pretty(normalized.as_str())).into(), normalized }
    };
    match check_requirable(&version.pretty, &version.normalized) {
        Ok(()) => Ok(version),
        Err(source) => Err(InvalidRef::UnusableBranch { branch: branch.to_owned(), source }),
    }
}

/// `{(^dev-|[.-]?dev$)}i` removed.
fn undev(version: &str) -> &str {
    let version = if starts_with_ci(version, "dev-") { &version[4..] } else { version };
    strip_dev_suffix(version).unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::PackageName;

    fn manifest(version: &str) -> Manifest {
        let json = match version {
            "" => "{}".to_owned(),
            version => format!("{{\"version\": \"{version}\"}}"),
        };
        Manifest::parse_as(json.as_bytes(), &PackageName::parse("acme/blog").expect("name")).expect("manifest")
    }

    fn tag(tag: &str, version: &str) -> Result<(String, String), InvalidRef> {
        version_of_tag(tag, &manifest(version))
            .map(|found| (found.pretty.to_string(), found.normalized.as_str().to_owned()))
    }

    fn pair(pretty: &str, normalized: &str) -> (String, String) {
        (pretty.to_owned(), normalized.to_owned())
    }

    #[test]
    fn tags_become_versions() {
        assert_eq!(tag("v1.0", ""), Ok(pair("v1.0", "1.0.0.0")));
        assert_eq!(tag("release-1.2-beta1", ""), Ok(pair("1.2-beta1", "1.2.0.0-beta1")));
        assert_eq!(tag("v1.0", "1.0.0"), Ok(pair("1.0.0", "1.0.0.0")));
        assert_eq!(tag("1.0", "1.0-dev"), Ok(pair("1.0", "1.0.0.0")));
    }

    #[test]
    fn tags_that_are_no_versions_are_skipped_with_the_reason() {
        assert!(matches!(tag("nightly", ""), Err(InvalidRef::NotAVersion { .. })));
        for dev in ["1.0-dev", "1.x-dev", "dev-main", "master"] {
            assert!(matches!(tag(dev, ""), Err(InvalidRef::DevTag { .. })), "{dev}");
        }
        assert!(matches!(tag("1.1", "1.0"), Err(InvalidRef::VersionMismatch { .. })));
        assert!(matches!(tag("1.1", "oops"), Err(InvalidRef::InvalidManifestVersion { .. })));
    }

    #[test]
    fn branches_become_versions() {
        let branch = |name: &str| {
            version_of_branch(name).map(|found| (found.pretty.to_string(), found.normalized.as_str().to_owned()))
        };
        assert_eq!(branch("main"), Ok(pair("dev-main", "dev-main")));
        assert_eq!(branch("1.x"), Ok(pair("1.x-dev", "1.9999999.9999999.9999999-dev")));
        assert_eq!(branch("1.0"), Ok(pair("1.0.x-dev", "1.0.9999999.9999999-dev")));
        assert_eq!(branch("v2"), Ok(pair("v2.x-dev", "2.9999999.9999999.9999999-dev")));
        assert_eq!(branch("fix#12"), Ok(pair("dev-fix+12", "dev-fix+12")));
        assert_eq!(branch("feature/foo"), Ok(pair("dev-feature/foo", "dev-feature/foo")));
    }

    #[test]
    fn branches_nobody_could_require_are_skipped() {
        assert!(matches!(version_of_branch("a||b"), Err(InvalidRef::UnusableBranch { .. })));
        assert!(matches!(version_of_branch("a,b"), Err(InvalidRef::UnusableBranch { .. })));
        for (branch, meaning) in [
            ("feature@dev", "== dev-feature"),
            ("feature@STABLE", "== dev-feature"),
            ("1.x@dev", "== dev-1.x"),
            ("a|1.0", "== dev-a || == 1.0.0.0"),
            ("a,1.0", "== dev-a == 1.0.0.0"),
        ] {
            let Err(InvalidRef::UnusableBranch { source: Unrequirable::Another { meaning: found, .. }, .. }) =
                version_of_branch(branch)
            else {
                panic!("{branch} can be required");
            };
            assert_eq!(found.trim_matches(['[', ']']), meaning, "{branch}");
        }
    }

    #[test]
    fn branches_that_look_like_more_than_a_name_and_are_not_stay_what_they_are() {
        for (branch, name) in [("fix+12", "dev-fix+12"), ("dev-main", "dev-dev-main"), ("a@b", "dev-a@b")] {
            let version = version_of_branch(branch).expect("a version");
            assert_eq!((version.pretty.as_str(), version.normalized.as_str()), (name, name));
        }
        assert_eq!(version_of_branch("fix#12"), version_of_branch("fix+12"));
        assert_eq!(version_of_branch("2.0"), version_of_branch("2.0.x"));
    }
}
