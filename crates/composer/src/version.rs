//! Versions as Composer's `VersionParser` normalizes them.
//!
//! The patterns of the reference are scanned by hand: they are ASCII, deterministic once the possessive
//! quantifiers are read as such, and a sync normalizes thousands of tags.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::excerpt::excerpt;
use crate::stability::Stability;
use crate::text::{digits_at, is_atom_byte, is_space, php_trim, starts_with_ci, strip_alias, strip_dev_suffix};
use crate::text::{strip_stability_flag, strip_suffix_ci};

/// What [`normalize`] yields: `1.2.0.0-beta1`, `dev-main`, `1.9999999.9999999.9999999-dev`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NormalizedVersion(String);

/// Text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version string {:?}; a version looks like 1.2.3, v1.2.3-beta1 or dev-main", excerpt(.0))]
pub struct InvalidVersion(pub String);

impl NormalizedVersion {
    /// Takes a version that [`normalize`] or [`normalize_branch`] yielded before it was stored. Not checked.
    pub fn from_stored(version: String) -> Self {
        Self(version)
    }

    /// The normalized text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stability of the version.
    pub fn stability(&self) -> Stability {
        Stability::of(&self.0)
    }

    /// Whether this is a named branch (`dev-…`), which no range matches; `1.x-dev` is not one.
    pub fn is_branch(&self) -> bool {
        self.0.starts_with("dev-")
    }
}

impl fmt::Display for NormalizedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NormalizedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NormalizedVersion({})", self.0)
    }
}

impl AsRef<str> for NormalizedVersion {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What stands behind the numbers: `[._-]?(?:(stable|beta|b|RC|…)((?:[.-]?\d+)*)?)?([.-]?dev)?`.
///
/// Every part may be missing, so a scan always succeeds; `end` says how far it got.
#[derive(Debug, Clone)]
pub(crate) struct Modifier {
    /// Where the stability word stands; empty if there is none.
    pub word: Range<usize>,
    /// Where the number behind the word stands, with its separators.
    pub number: Range<usize>,
    /// Whether a `dev` follows.
    pub dev: bool,
    /// The first byte that was not taken.
    pub end: usize,
}

/// The stability words, each before those it starts with: `beta` before `b`.
const WORDS: [&str; 9] = ["stable", "beta", "b", "rc", "alpha", "a", "patch", "pl", "p"];

/// Scans a [`Modifier`] that starts at `start`, ASCII case aside.
pub(crate) fn scan_modifier(bytes: &[u8], start: usize) -> Modifier {
    let mut at = start;
    if matches!(bytes.get(at), Some(b'.' | b'_' | b'-')) {
        at += 1;
    }
    let has = |at: usize, word: &str| {
        bytes.get(at..at + word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    let word_length = WORDS.iter().find(|word| has(at, word)).map_or(0, |word| word.len());
    let word = at..at + word_length;
    at = word.end;
    if word_length > 0 {
        loop {
            let separator = usize::from(matches!(bytes.get(at), Some(b'.' | b'-')));
            let digits = digits_at(bytes, at + separator);
            if digits == 0 {
                break;
            }
            at += separator + digits;
        }
    }
    let number = word.end..at;
    let separator = usize::from(matches!(bytes.get(at), Some(b'.' | b'-')));
    let dev = has(at + separator, "dev");
    if dev {
        at += separator + 3;
    }
    Modifier { word, number, dev, end: at }
}

/// Normalizes a version (`VersionParser::normalize`).
///
/// One deviation: a line feed inside a version is refused, where PCRE's `$` would look past it.
///
/// # Errors
/// [`InvalidVersion`] for text that is neither a version nor a branch with its `dev-` prefix.
pub fn normalize(version: &str) -> Result<NormalizedVersion, InvalidVersion> {
    let original = php_trim(version);
    let mut version = strip_alias(original).unwrap_or(original);
    if let Some((head, _)) = strip_stability_flag(version) {
        version = head;
    }
    if matches!(version, "master" | "trunk" | "default") {
        return Ok(NormalizedVersion(format!("dev-{version}")));
    }
    if starts_with_ci(version, "dev-") {
        return Ok(NormalizedVersion(format!("dev-{}", &version[4..])));
    }
    version = strip_build_metadata(version);
    if let Some(normalized) = classical(version).or_else(|| dated(version)) {
        return Ok(NormalizedVersion(normalized));
    }
    let branch = strip_dev_suffix(version).filter(|_| !version.contains('\n')).and_then(numeric_branch);
    branch.map(NormalizedVersion).ok_or_else(|| InvalidVersion(original.to_owned()))
}

/// Normalizes text that names one version, as an address does. A stability flag (`dev-main@dev`) and an alias
/// (`1.0 as 2.0`) belong to requirements: [`normalize`] passes over them, and would yield a version of another name.
///
/// # Errors
/// [`InvalidVersion`] as [`normalize`], and for text with a flag or an alias.
pub fn normalize_name(version: &str) -> Result<NormalizedVersion, InvalidVersion> {
    let trimmed = php_trim(version);
    if strip_alias(trimmed).is_some() || strip_stability_flag(trimmed).is_some() {
        return Err(InvalidVersion(trimmed.to_owned()));
    }
    normalize(trimmed)
}

/// `^([^,\s+]+)\+\S+$`: the version before `+metadata`.
fn strip_build_metadata(version: &str) -> &str {
    match version.split_once('+') {
        Some((head, metadata))
            if !head.is_empty()
                && head.bytes().all(is_atom_byte)
                && !metadata.is_empty()
                && !metadata.bytes().any(is_space) =>
        {
            head
        }
        _ => version,
    }
}

/// One to four numbers, the first of at most five digits, then a modifier.
fn classical(version: &str) -> Option<String> {
    let bytes = version.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'v' | b'V')));
    let major = digits_at(bytes, at);
    if major == 0 || major > 5 {
        return None;
    }
    let start = at;
    at += major;
    let mut parts = 1;
    while parts < 4 && bytes.get(at) == Some(&b'.') {
        let digits = digits_at(bytes, at + 1);
        if digits == 0 {
            break;
        }
        at += 1 + digits;
        parts += 1;
    }
    let mut normalized = version[start..at].to_owned();
    for _ in parts..4 {
        normalized.push_str(".0");
    }
    with_modifier(version, at, normalized)
}

/// Four digits, then pairs of digits, then up to two short numbers, each with or without a separator.
fn dated(version: &str) -> Option<String> {
    let bytes = version.as_bytes();
    let start = usize::from(matches!(bytes.first(), Some(b'v' | b'V')));
    // A modifier never starts with a digit, so the date is the whole run of digits and single separators.
    let mut end = start + digits_at(bytes, start);
    while matches!(bytes.get(end), Some(b'.' | b':' | b'-')) && digits_at(bytes, end + 1) > 0 {
        end += 1 + digits_at(bytes, end + 1);
    }
    if !is_date(&bytes[start..end]) {
        return None;
    }
    with_modifier(version, end, version[start..end].replace([':', '-'], "."))
}

/// `^\d{4}(?:[.:-]?\d{2}){1,6}(?:[.:-]?\d{1,3}){0,2}$`, by the set of places each step can reach.
fn is_date(run: &[u8]) -> bool {
    // Four digits, six pairs and two triples with separators make 30 bytes: a bit per place is enough.
    if run.len() > 30 || digits_at(run, 0) < 4 {
        return false;
    }
    let step = |places: u32, lengths: &[usize]| {
        let mut reached = 0_u32;
        for place in (0..run.len()).filter(|place| places & (1 << place) != 0) {
            let first = place + usize::from(!run[place].is_ascii_digit());
            for &length in lengths {
                if digits_at(run, first) >= length {
                    reached |= 1 << (first + length);
                }
            }
        }
        reached
    };
    let mut places = 1 << 4;
    let mut reached = 0;
    for _ in 0..6 {
        places = step(places, &[2]);
        reached |= places;
    }
    for _ in 0..2 {
        reached |= step(reached, &[1, 2, 3]);
    }
    reached & (1 << run.len()) != 0
}

/// Appends the modifier that starts at `at`, if the version ends with it.
fn with_modifier(version: &str, at: usize, mut normalized: String) -> Option<String> {
    let modifier = scan_modifier(version.as_bytes(), at);
    if modifier.end != version.len() {
        return None;
    }
    let word = &version[modifier.word];
    // Exactly lower case: the reference forgets a following `dev` only then.
    if word == "stable" {
        return Some(normalized);
    }
    if !word.is_empty() {
        let lower = word.to_ascii_lowercase();
        normalized.push('-');
        normalized.push_str(match lower.as_str() {
            "a" => "alpha",
            "b" => "beta",
            "p" | "pl" => "patch",
            "rc" => "RC",
            other => other,
        });
        normalized.push_str(version[modifier.number].trim_start_matches(['.', '-']));
    }
    if modifier.dev {
        normalized.push_str("-dev");
    }
    Some(normalized)
}

/// Normalizes a branch name (`VersionParser::normalizeBranch`): `1.x` → `1.9999999.9999999.9999999-dev`,
/// `main` → `dev-main`.
pub fn normalize_branch(branch: &str) -> NormalizedVersion {
    let branch = php_trim(branch);
    NormalizedVersion(numeric_branch(branch).unwrap_or_else(|| format!("dev-{branch}")))
}

/// `^v?(\d+)(\.(?:\d+|[xX*])){0,3}$` as a version, or nothing.
fn numeric_branch(branch: &str) -> Option<String> {
    let branch = php_trim(branch);
    let branch = branch.strip_prefix(['v', 'V']).unwrap_or(branch);
    let mut parts = branch.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut normalized = parts.next().filter(|part| is_number(part))?.to_owned();
    for _ in 0..3 {
        normalized.push('.');
        normalized.push_str(match parts.next() {
            None | Some("x" | "X" | "*") => "9999999",
            Some(part) if is_number(part) => part,
            Some(_) => return None,
        });
    }
    parts.next().is_none().then(|| normalized + "-dev")
}

/// The numeric prefix of a numeric branch's version (`VersionParser::parseNumericAliasPrefix`):
/// `1.2.x-dev` → `1.2.`, nothing for `dev-main`.
pub fn numeric_alias_prefix(branch: &str) -> Option<String> {
    let head = strip_suffix_ci(branch, "-dev")?;
    let head = strip_suffix_ci(head, ".x").unwrap_or(head);
    let numeric = head.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    numeric.then(|| format!("{head}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_drops_the_modifier_only_in_lower_case() {
        let normalized = |version| normalize(version).expect(version).as_str().to_owned();
        assert_eq!(normalized("1.0-stable-dev"), "1.0.0.0");
        assert_eq!(normalized("1.0-STABLE"), "1.0.0.0-stable");
    }

    #[test]
    fn a_line_feed_inside_is_refused() {
        assert!(normalize("foo\n1.x-dev").is_err());
        assert!(normalize("1.0\n").is_ok());
    }

    #[test]
    fn named_branches_are_told_from_numeric_ones() {
        assert!(normalize_branch("main").is_branch());
        assert!(!normalize_branch("1.x").is_branch());
    }

    #[test]
    fn only_numeric_branches_have_an_alias_prefix() {
        assert_eq!(numeric_alias_prefix("1.2.X-DEV").as_deref(), Some("1.2."));
        assert_eq!(numeric_alias_prefix("1..2-dev"), None);
        assert_eq!(numeric_alias_prefix("x-dev"), None);
    }
}
