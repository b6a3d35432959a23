//! How finished a version is. The order is Composer's (`BasePackage::$stabilities`): stable first, dev last.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::version::scan_modifier;

/// A stability, ordered from the most to the least finished: `stable < RC < beta < alpha < dev`.
///
/// A version is acceptable when its stability is `<=` the minimum stability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Stability {
    /// A release.
    Stable,
    /// A release candidate; spelled `RC`.
    Rc,
    /// A beta version.
    Beta,
    /// An alpha version.
    Alpha,
    /// A branch, or a version that ends in `-dev`.
    Dev,
}

/// A word that names no stability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is not a stability; use one of stable, RC, beta, alpha, dev", excerpt(.0))]
pub struct InvalidStability(pub String);

impl Stability {
    /// The stability of a version, normalized or not (`VersionParser::parseStability`). Never fails: what is not
    /// recognized is stable.
    pub fn of(version: &str) -> Self {
        let version = match version.find('#') {
            Some(at) if at + 1 < version.len() => &version[..at],
            _ => version,
        };
        if version.starts_with("dev-") || version.ends_with("-dev") {
            return Self::Dev;
        }
        let lower = version.to_ascii_lowercase();
        let bytes = lower.as_bytes();
        for start in 0..=bytes.len() {
            let modifier = scan_modifier(bytes, start);
            if modifier.end == bytes.len() || bytes[modifier.end] == b'+' {
                if modifier.dev {
                    return Self::Dev;
                }
                return match &lower[modifier.word] {
                    "beta" | "b" => Self::Beta,
                    "alpha" | "a" => Self::Alpha,
                    "rc" => Self::Rc,
                    _ => Self::Stable,
                };
            }
        }
        Self::Stable
    }

    /// A stability by its name, in any case (`VersionParser::normalizeStability`).
    ///
    /// # Errors
    /// [`InvalidStability`] for any other word.
    pub fn parse(name: &str) -> Result<Self, InvalidStability> {
        [Self::Stable, Self::Rc, Self::Beta, Self::Alpha, Self::Dev]
            .into_iter()
            .find(|stability| stability.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| InvalidStability(name.to_owned()))
    }

    /// A requirement that lets a project have versions of `self` and what is more stable, whatever its own minimum stability:
    /// `1.*` with [`Self::Beta`] is `1.*@beta`. It is `constraint` as it is when that says so already.
    pub fn required(self, constraint: &str) -> String {
        let last = constraint.rsplit('|').next().unwrap_or_default().trim();
        let is_one = |text: &str| !text.contains([' ', ','].as_slice());
        // Composer takes the stability of a constraint that is one word for a flag.
        let is_implied = is_one(constraint) && Self::of(constraint) >= self;
        if self == Self::Stable || constraint.contains('@') || is_implied {
            return constraint.to_owned();
        }
        // Behind a range with a hyphen the flag would not be read.
        let joint = if is_one(last) { "" } else { ", " };
        format!("{constraint}{joint}@{self}")
    }

    /// Composer's spelling: all lower case but `RC`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Rc => "RC",
            Self::Beta => "beta",
            Self::Alpha => "alpha",
            Self::Dev => "dev",
        }
    }
}

impl fmt::Display for Stability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stability {
    type Err = InvalidStability;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

impl TryFrom<String> for Stability {
    type Error = InvalidStability;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(&name)
    }
}

impl From<Stability> for &'static str {
    fn from(stability: Stability) -> Self {
        stability.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_one_composer_compares_by() {
        let all = [Stability::Stable, Stability::Rc, Stability::Beta, Stability::Alpha, Stability::Dev];
        assert!(all.is_sorted());
    }

    #[test]
    fn rc_is_the_only_one_spelled_in_upper_case() {
        assert_eq!(serde_json::to_string(&Stability::Rc).expect("json"), "\"RC\"");
        assert_eq!(serde_json::from_str::<Stability>("\"rc\"").expect("json"), Stability::Rc);
        assert!(Stability::parse("unstable").is_err());
    }

    #[test]
    fn a_requirement_has_the_flag_that_composer_needs_and_no_other() {
        for (stability, constraint, expected) in [
            (Stability::Stable, "1.*", "1.*"),
            (Stability::Beta, "1.*", "1.*@beta"),
            (Stability::Rc, "*", "*@RC"),
            (Stability::Beta, "^1.0 || ^2.0", "^1.0 || ^2.0@beta"),
            (Stability::Beta, ">=1.0 <2.0", ">=1.0 <2.0, @beta"),
            (Stability::Beta, "1.0 - 2.0", "1.0 - 2.0, @beta"),
            (Stability::Beta, "3.* || >=1.0,<2.0", "3.* || >=1.0,<2.0, @beta"),
            (Stability::Beta, "2.0.0-beta1", "2.0.0-beta1"),
            (Stability::Alpha, "2.0.0-beta1", "2.0.0-beta1@alpha"),
            (Stability::Dev, "dev-main", "dev-main"),
            (Stability::Beta, "1.*@dev", "1.*@dev"),
        ] {
            assert_eq!(stability.required(constraint), expected, "{constraint} with {stability}");
        }
    }
}
