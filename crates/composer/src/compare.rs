//! The order of versions: PHP's `version_compare`, and what `composer/semver` builds on it.

use std::cmp::Ordering;

use crate::constraint::Operator;
use crate::version::NormalizedVersion;

/// One part of a canonical version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A run of digits; saturates where C's `strtol` does.
    Number(i64),
    /// A run of letters, as the rank of the release stage it starts with.
    Word(i8),
    /// Nothing behind a last separator.
    Trailing,
}

/// The rank at which numbers, and the end of a version, stand among the words.
const NUMBER_RANK: i8 = 4;

/// `dev < alpha = a < beta = b < RC = rc < (number) < pl = p`, by what the word starts with; anything else is less.
fn word_rank(word: &[u8]) -> i8 {
    match word {
        [b'd', b'e', b'v', ..] => 0,
        [b'a', ..] => 1,
        [b'b', ..] => 2,
        [b'R', b'C', ..] | [b'r', b'c', ..] => 3,
        [b'#', ..] => NUMBER_RANK,
        [b'p', ..] => 5,
        _ => -1,
    }
}

fn part(segment: &[u8]) -> Part {
    match segment {
        [] => Part::Trailing,
        [b'0'..=b'9', ..] => Part::Number(number(segment)),
        word => Part::Word(word_rank(word)),
    }
}

fn number(digits: &[u8]) -> i64 {
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')))
}

/// The parts of a version made only of letters, digits and separators, without building the canonical text.
struct PlainParts<'a> {
    rest: &'a [u8],
    separated: bool,
}

/// Whether [`PlainParts`] reads `text` as `version_compare` would.
fn is_plain(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'))
}

impl Iterator for PlainParts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        while let Some((b'.' | b'-' | b'_' | b'+', rest)) = self.rest.split_first() {
            self.rest = rest;
            self.separated = true;
        }
        let Some(first) = self.rest.first() else {
            return std::mem::take(&mut self.separated).then_some(Part::Trailing);
        };
        self.separated = false;
        let digits = first.is_ascii_digit();
        let same = |byte: &&u8| byte.is_ascii_alphanumeric() && byte.is_ascii_digit() == digits;
        let (segment, rest) = self.rest.split_at(self.rest.iter().take_while(same).count());
        self.rest = rest;
        Some(part(segment))
    }
}

/// `php_canonicalize_version`: dots between digits and other characters and in place of punctuation.
fn canonicalize(version: &[u8]) -> Vec<u8> {
    let is_special = |byte: u8| matches!(byte, b'-' | b'_' | b'+');
    let is_other = |byte: u8| !byte.is_ascii_digit() && byte != b'.';
    let mut canonical = Vec::with_capacity(version.len() * 2);
    let mut previous = None;
    for &byte in version {
        let Some(last) = previous.replace(byte) else {
            canonical.push(byte);
            continue;
        };
        let turns =
            (is_other(last) && !is_special(last) && byte.is_ascii_digit()) || (last.is_ascii_digit() && is_other(byte));
        let separates = is_special(byte) || !byte.is_ascii_alphanumeric();
        if (separates || turns) && canonical.last() != Some(&b'.') {
            canonical.push(b'.');
        }
        // A turn keeps its character even if it is punctuation; the reference does, too.
        if !separates || (turns && !is_special(byte)) {
            canonical.push(byte);
        }
    }
    canonical
}

fn parts_of(version: &str) -> Vec<Part> {
    let canonical = canonicalize(version.as_bytes());
    let mut parts: Vec<Part> = canonical.split(|&byte| byte == b'.').map(part).collect();
    // Only a leading dot leaves an empty part before the last one; it counts as an unknown word.
    if let [first @ Part::Trailing, _, ..] = parts.as_mut_slice() {
        *first = Part::Word(-1);
    }
    parts
}

fn compare_parts(mut left: impl Iterator<Item = Part>, mut right: impl Iterator<Item = Part>) -> Ordering {
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            // The reference looks at the left remainder first, so a trailing separator there decides.
            (Some(Part::Trailing), _) | (None, Some(Part::Number(_))) => return Ordering::Less,
            (None, Some(Part::Trailing)) | (Some(Part::Number(_)), None) => {
                return Ordering::Greater;
            }
            (Some(Part::Number(_)), Some(Part::Trailing)) => return Ordering::Greater,
            (Some(Part::Word(word)), None | Some(Part::Trailing)) => return word.cmp(&NUMBER_RANK),
            (None, Some(Part::Word(word))) => return NUMBER_RANK.cmp(&word),
            (Some(Part::Number(left)), Some(Part::Number(right))) => left.cmp(&right),
            (Some(Part::Word(left)), Some(Part::Word(right))) => left.cmp(&right),
            (Some(Part::Number(_)), Some(Part::Word(word))) => NUMBER_RANK.cmp(&word),
            (Some(Part::Word(word)), Some(Part::Number(_))) => word.cmp(&NUMBER_RANK),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// PHP's `version_compare(a, b)`, on any text.
///
/// Not a total order on odd input: a version that ends in a separator is less than itself. [`sort_order`] is one.
pub fn php_version_compare(a: &str, b: &str) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return b.is_empty().cmp(&a.is_empty());
    }
    if is_plain(a) && is_plain(b) {
        let plain = |text| PlainParts { rest: str::as_bytes(text), separated: false };
        return compare_parts(plain(a), plain(b));
    }
    compare_parts(parts_of(a).into_iter(), parts_of(b).into_iter())
}

/// The order of `Semver::sort`, oldest first: `dev-master`, `dev-trunk` and `dev-default` count as `9999999-dev`,
/// every other named branch is older than any number, and named branches are equal to each other.
pub fn sort_order(a: &NormalizedVersion, b: &NormalizedVersion) -> Ordering {
    let (a, b) = (default_branch_last(a.as_str()), default_branch_last(b.as_str()));
    match (a.starts_with("dev-"), b.starts_with("dev-")) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        // Stored text may be anything, and sorting must not panic. What cannot be a version (`1#0`) comes first, as text;
        // among the others, without trailing separators, PHP's order is total.
        (false, false) => match (is_ordinary(a), is_ordinary(b)) {
            (true, true) => php_version_compare(trim_separators(a), trim_separators(b)),
            (false, false) => a.cmp(b),
            (a_is_ordinary, b_is_ordinary) => a_is_ordinary.cmp(&b_is_ordinary),
        },
    }
}

/// Whether a text has only the characters of normalized versions.
fn is_ordinary(version: &str) -> bool {
    version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
}

fn default_branch_last(version: &str) -> &str {
    match version {
        "dev-master" | "dev-default" | "dev-trunk" => "9999999-dev",
        other => other,
    }
}

fn trim_separators(version: &str) -> &str {
    version.trim_end_matches(|character: char| !character.is_ascii_alphanumeric())
}

/// `Comparator::compare(a, operator, b)`: as `version_compare`, but two named branches are only ever `==` or `!=`.
pub fn compares(a: &NormalizedVersion, operator: Operator, b: &NormalizedVersion) -> bool {
    version_compare(a.as_str(), operator, b.as_str(), Branches::Comparable)
}

/// Whether a named branch can be compared with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branches {
    /// As when sorting.
    Comparable,
    /// As when matching: only `!=` holds.
    Incomparable,
}

/// `Constraint::versionCompare`.
pub(crate) fn version_compare(a: &str, operator: Operator, b: &str, branches: Branches) -> bool {
    let (a_is_branch, b_is_branch) = (a.starts_with("dev-"), b.starts_with("dev-"));
    if a_is_branch || b_is_branch {
        if operator == Operator::NotEqual {
            return a != b;
        }
        if a_is_branch && b_is_branch {
            return operator == Operator::Equal && a == b;
        }
        if branches == Branches::Incomparable {
            return false;
        }
    }
    let order = php_version_compare(a, b);
    match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_in_phps_order() {
        let ordered = ["1.0-foo", "1.0-dev", "1.0-alpha1", "1.0-b2", "1.0-RC1", "1.0", "1.0.0", "1.0.1", "1.0-patch1"];
        for (index, older) in ordered.iter().enumerate() {
            for newer in &ordered[index + 1..] {
                assert_eq!(php_version_compare(older, newer), Ordering::Less, "{older} {newer}");
                assert_eq!(php_version_compare(newer, older), Ordering::Greater, "{newer} {older}");
            }
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_equal() {
        let huge = ["99999999999999999999.0", "88888888888888888888.0"];
        assert_eq!(php_version_compare(huge[0], huge[1]), Ordering::Equal);
    }

    #[test]
    fn the_default_branch_of_old_is_newest_and_other_branches_oldest() {
        let stored = |text: &str| NormalizedVersion::from_stored(text.to_owned());
        assert_eq!(sort_order(&stored("dev-master"), &stored("999.0.0.0")), Ordering::Greater);
        assert_eq!(sort_order(&stored("dev-main"), &stored("0.0.0.1")), Ordering::Less);
        assert_eq!(sort_order(&stored("dev-a"), &stored("dev-b")), Ordering::Equal);
    }
}
