//! The constraint grammar of composer/semver's `VersionParser::parseConstraints`, scanned by hand.
//!
//! The reference is a sequence of PCRE patterns with lookaround and possessive quantifiers; each function here
//! quotes the pattern it stands for.

use crate::constraint::{InvalidPart, Operator, Term};
use crate::stability::Stability;
use crate::text::strip_suffix_ci;
use crate::text::{digits_at, is_atom_byte, is_space, php_trim, starts_with_ci, strip_alias, strip_stability_flag};
use crate::version::{NormalizedVersion, normalize, scan_modifier};

/// The part that could not be read, and why.
pub(crate) type Refusal = (String, InvalidPart);

/// Parses a whole constraint into alternatives of conjunctions.
pub(crate) fn parse(written: &str) -> Result<Vec<Vec<Term>>, Refusal> {
    let mut alternatives = Vec::new();
    for alternative in split_or(php_trim(written)) {
        let mut terms = Vec::new();
        for part in split_and(alternative) {
            terms.extend(parse_part(part).map_err(|reason| (part.to_owned(), reason))?);
        }
        alternatives.push(terms);
    }
    Ok(merge_adjacent(alternatives))
}

/// Splits at `\s*\|\|?\s*`: white space belongs to the separators, not to the outer ends.
fn split_or(text: &str) -> Vec<&str> {
    let space = |character: char| character.is_ascii() && is_space(character as u8);
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((piece, behind)) = rest.split_once('|') {
        pieces.push(piece.trim_end_matches(space));
        rest = behind.strip_prefix('|').unwrap_or(behind).trim_start_matches(space);
    }
    pieces.push(rest);
    pieces
}

/// Splits at `(?<!^|as|[=>< ,]) *(?<!-)[, ](?!-) *(?!,|as|$)`.
fn split_and(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        if let Some(end) = and_separator(text.as_bytes(), at) {
            pieces.push(&text[start..at]);
            start = end;
            at = end;
        } else {
            at += 1;
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// Where the separator that starts at `at` ends. All bytes it may cover are ASCII, so the text can be cut there.
fn and_separator(bytes: &[u8], at: usize) -> Option<usize> {
    if !matches!(bytes[at], b' ' | b',') {
        return None;
    }
    let before = &bytes[..at];
    if before.ends_with(b"as") || matches!(before.last(), None | Some(b'=' | b'>' | b'<' | b' ' | b',')) {
        return None;
    }
    let spaces = |from: usize| bytes[from..].iter().take_while(|&&byte| byte == b' ').count();
    // ` *` is greedy and gives back one by one; the separator proper is a comma or one of the spaces.
    for skipped in (0..=spaces(at)).rev() {
        let place = at + skipped;
        let is_separator = matches!(bytes.get(place), Some(b' ' | b','));
        if !is_separator || bytes[place - 1] == b'-' || bytes.get(place + 1) == Some(&b'-') {
            continue;
        }
        let first = place + 1;
        for end in (first..=first + spaces(first)).rev() {
            let rest = &bytes[end..];
            if !rest.is_empty() && !rest.starts_with(b",") && !rest.starts_with(b"as") {
                return Some(end);
            }
        }
    }
    None
}

/// `[>=a <b] || [>=b <c]` is `[>=a <c]` (`MultiConstraint::optimizeConstraints`).
fn merge_adjacent(alternatives: Vec<Vec<Term>>) -> Vec<Vec<Term>> {
    use Operator::{GreaterOrEqual, Less, LessOrEqual};
    let mut merged: Vec<Vec<Term>> = Vec::with_capacity(alternatives.len());
    for right in alternatives {
        if let (
            Some([Term::Compare(GreaterOrEqual, _), Term::Compare(Less, end)]),
            [Term::Compare(GreaterOrEqual, start), upper @ Term::Compare(Less | LessOrEqual, _)],
        ) = (merged.last().map(Vec::as_slice), right.as_slice())
            && end == start
            && let Some(left) = merged.last_mut()
        {
            left[1] = upper.clone();
        } else {
            merged.push(right);
        }
    }
    merged
}

fn parse_part(part: &str) -> Result<Vec<Term>, InvalidPart> {
    let mut part = strip_alias(part).unwrap_or(part);
    let mut flag = None;
    if let Some((head, written)) = strip_stability_flag(part)
        && head.bytes().all(is_atom_byte)
    {
        part = if head.is_empty() { "*" } else { head };
        flag = Some(written).filter(|&flag| flag != "stable");
    }
    part = strip_reference(part);
    if let Some(term) = wildcard(part) {
        return Ok(vec![term]);
    }
    if let Some(numbers) = tilde(part) {
        return tilde_range(part, &numbers);
    }
    if let Some(numbers) = part.strip_prefix('^').and_then(Numbers::scan_all) {
        return caret_range(&part[1..], &numbers);
    }
    if let Some(range) = x_range(part) {
        return range;
    }
    if let Some((from, to)) = hyphen(part) {
        return hyphen_range(&from, &to);
    }
    comparison(part, flag).map(|term| vec![term])
}

/// `^(dev-[^,\s@]+?|[^,\s@]+?\.x-dev)#.+$`: the branch before a `#reference`.
fn strip_reference(part: &str) -> &str {
    let allowed = |text: &str| text.bytes().all(|byte| is_atom_byte(byte) && byte != b'@');
    let hashes = || part.match_indices('#').filter(|(at, _)| at + 1 < part.len());
    let named = hashes().find(|&(at, _)| at > 4 && starts_with_ci(part, "dev-"));
    let is_numeric = |head| strip_suffix_ci(head, ".x-dev").is_some_and(|name| !name.is_empty());
    let numeric = hashes().find(|&(at, _)| is_numeric(&part[..at]));
    [named, numeric].into_iter().flatten().map(|(at, _)| &part[..at]).find(|head| allowed(head)).unwrap_or(part)
}

/// `^(v)?[xX*](\.[xX*])*$`: `*` is everything, `v*` and `*.*` every number.
fn wildcard(part: &str) -> Option<Term> {
    let bare = part.strip_prefix(['v', 'V']).unwrap_or(part);
    if !bare.split('.').all(|piece| matches!(piece, "x" | "X" | "*")) {
        return None;
    }
    let plain = part.len() == 1;
    Some(if plain { Term::All } else { compare(Operator::GreaterOrEqual, "0.0.0.0-dev") })
}

fn compare(operator: Operator, version: impl Into<String>) -> Term {
    Term::Compare(operator, version.into())
}

/// The numbers of `v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.(\d+))?(?:MODIFIER|\.([xX*][.-]?dev))(?:\+[^\s]+)?`.
struct Numbers<'a> {
    text: &'a str,
    parts: Vec<&'a str>,
    has_modifier: bool,
    is_x_dev: bool,
}

impl<'a> Numbers<'a> {
    /// Scans the longest such version at the start of `text`.
    fn scan(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut at = usize::from(matches!(bytes.first(), Some(b'v' | b'V')));
        let mut parts = Vec::with_capacity(4);
        loop {
            let digits = digits_at(bytes, at);
            if digits == 0 {
                break;
            }
            parts.push(&text[at..at + digits]);
            at += digits;
            if parts.len() == 4 || bytes.get(at) != Some(&b'.') || digits_at(bytes, at + 1) == 0 {
                break;
            }
            at += 1;
        }
        if parts.is_empty() {
            return None;
        }
        let x_dev = x_dev_length(&bytes[at..]);
        let mut has_modifier = false;
        at = if let Some(length) = x_dev {
            at + length
        } else {
            let modifier = scan_modifier(bytes, at);
            has_modifier = !modifier.word.is_empty() || modifier.dev;
            modifier.end
        };
        let metadata = bytes[at..].iter().skip(1).take_while(|&&byte| !is_space(byte)).count();
        if bytes.get(at) == Some(&b'+') && metadata > 0 {
            at += 1 + metadata;
        }
        Some(Self { text: &text[..at], parts, has_modifier, is_x_dev: x_dev.is_some() })
    }

    /// As [`scan`](Self::scan), if nothing is left over.
    fn scan_all(text: &'a str) -> Option<Self> {
        Self::scan(text).filter(|numbers| numbers.text.len() == text.len())
    }

    /// `-dev` unless the version says itself how stable it is: a range includes the prereleases of its lower end.
    fn low_suffix(&self) -> &'static str {
        if self.has_modifier || self.is_x_dev { "" } else { "-dev" }
    }

    /// The exclusive upper end: the number at `position` (from 1) plus one, zeroes behind it.
    fn bump(&self, position: usize) -> Result<String, InvalidPart> {
        upper_end(&self.parts, position)
    }
}

/// The length of `\.[xX*][.-]?dev` at the start.
fn x_dev_length(bytes: &[u8]) -> Option<usize> {
    let [b'.', b'x' | b'X' | b'*', rest @ ..] = bytes else {
        return None;
    };
    let separator = usize::from(matches!(rest.first(), Some(b'.' | b'-')));
    let is_dev = rest.get(separator..separator + 3)?.eq_ignore_ascii_case(b"dev");
    is_dev.then_some(2 + separator + 3)
}

/// `VersionParser::manipulateVersionString` with an increment of one, and the `-dev` every upper end has.
fn upper_end(parts: &[&str], position: usize) -> Result<String, InvalidPart> {
    let too_large = |part: &str| InvalidPart::TooLarge(part.to_owned());
    let mut version = String::new();
    for index in 1..=4 {
        let part = parts.get(index - 1).copied().unwrap_or("0");
        match index.cmp(&position) {
            std::cmp::Ordering::Less => version.push_str(part),
            std::cmp::Ordering::Greater => version.push('0'),
            std::cmp::Ordering::Equal => {
                let next = part.parse::<i64>().ok().and_then(|number| number.checked_add(1));
                version.push_str(&next.ok_or_else(|| too_large(part))?.to_string());
            }
        }
        version.push_str(if index < 4 { "." } else { "-dev" });
    }
    Ok(version)
}

/// `^~>?V$`
fn tilde(part: &str) -> Option<Numbers<'_>> {
    let rest = part.strip_prefix('~')?;
    Numbers::scan_all(rest.strip_prefix('>').unwrap_or(rest))
}

fn tilde_range(part: &str, numbers: &Numbers<'_>) -> Result<Vec<Term>, InvalidPart> {
    if part.starts_with("~>") {
        return Err(InvalidPart::TildeArrow);
    }
    let position = numbers.parts.len() + usize::from(numbers.is_x_dev);
    let low = normalize(&format!("{}{}", &part[1..], numbers.low_suffix()))?;
    let high = numbers.bump(position.saturating_sub(1).max(1))?;
    Ok(vec![compare(Operator::GreaterOrEqual, low.as_str()), compare(Operator::Less, high)])
}

fn caret_range(version: &str, numbers: &Numbers<'_>) -> Result<Vec<Term>, InvalidPart> {
    let position = match numbers.parts.as_slice() {
        ["0", "0", _, ..] => 3,
        ["0", _, ..] => 2,
        _ => 1,
    };
    let low = normalize(&format!("{version}{}", numbers.low_suffix()))?;
    let high = numbers.bump(position)?;
    Ok(vec![compare(Operator::GreaterOrEqual, low.as_str()), compare(Operator::Less, high)])
}

/// `^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:\.[xX*])+$`, case-sensitive.
fn x_range(part: &str) -> Option<Result<Vec<Term>, InvalidPart>> {
    let bare = part.strip_prefix('v').unwrap_or(part);
    let pieces: Vec<&str> = bare.split('.').collect();
    let is_number = |piece: &&&str| !piece.is_empty() && piece.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = pieces.iter().take_while(is_number).count();
    let wild = &pieces[numbers..];
    if !(1..=3).contains(&numbers) || wild.is_empty() || !wild.iter().all(|piece| matches!(*piece, "x" | "X" | "*")) {
        return None;
    }
    let parts = &pieces[..numbers];
    let low = (0..4).map(|index| parts.get(index).copied().unwrap_or("0")).collect::<Vec<_>>().join(".") + "-dev";
    Some(upper_end(parts, numbers).map(|high| {
        let below = compare(Operator::Less, high);
        if low == "0.0.0.0-dev" { vec![below] } else { vec![compare(Operator::GreaterOrEqual, low), below] }
    }))
}

/// `^V +- +V$`
fn hyphen(part: &str) -> Option<(Numbers<'_>, Numbers<'_>)> {
    let from = Numbers::scan(part)?;
    let rest = part[from.text.len()..].strip_prefix(' ')?.trim_start_matches(' ');
    let to = rest.strip_prefix('-')?.strip_prefix(' ')?.trim_start_matches(' ');
    Some((from, Numbers::scan_all(to)?))
}

fn hyphen_range(from: &Numbers<'_>, to: &Numbers<'_>) -> Result<Vec<Term>, InvalidPart> {
    let low = normalize(from.text)?;
    let low = compare(Operator::GreaterOrEqual, format!("{low}{}", from.low_suffix()));
    let high = normalize(to.text)?;
    let is_exact = to.parts.len() >= 3 || to.has_modifier || to.is_x_dev;
    let high = if is_exact {
        compare(Operator::LessOrEqual, high.as_str())
    } else {
        compare(Operator::Less, to.bump(to.parts.len())?)
    };
    Ok(vec![low, high])
}

/// `^(<>|!=|>=?|<=?|==?)?\s*(.*)`
fn comparison(part: &str, flag: Option<&str>) -> Result<Term, InvalidPart> {
    let (operator, rest) = ["<>", "!=", ">=", ">", "<=", "<", "==", "="]
        .into_iter()
        .find_map(|text| Some((Operator::parse(text), part.strip_prefix(text)?)))
        .unwrap_or((None, part));
    let operator = operator.unwrap_or(Operator::Equal);
    let rest = &rest[rest.bytes().take_while(|&byte| is_space(byte)).count()..];
    let rest = rest.split('\n').next().unwrap_or(rest);
    let mut version = normalize(rest).or_else(|error| match rest.strip_suffix("-dev") {
        // `foobar-dev` was once how `dev-foobar` was written.
        Some(branch) if is_branch_text(rest) => normalize(&format!("dev-{branch}")),
        _ => Err(error),
    })?;
    let suffix = match flag {
        Some(flag) if operator != Operator::Equal && version.stability() == Stability::Stable => {
            format!("-{flag}")
        }
        _ if matches!(operator, Operator::Less | Operator::GreaterOrEqual)
            && !names_stability(rest)
            && !rest.starts_with("dev-") =>
        {
            "-dev".to_owned()
        }
        _ => String::new(),
    };
    if !suffix.is_empty() {
        version = NormalizedVersion::from_stored(format!("{version}{suffix}"));
    }
    Ok(compare(operator, version.as_str()))
}

/// `^[0-9a-zA-Z-./]+$`: PCRE reads `-.` there as two characters.
fn is_branch_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/'))
}

/// `-MODIFIER$`, somewhere in the text in lower case.
///
/// The reference's pattern spells `RC` in upper case and so never finds it there: `<2.0-RC1` excludes what leads up
/// to RC1, unlike `<2.0-beta1`.
fn names_stability(text: &str) -> bool {
    text.match_indices('-').any(|(at, _)| {
        let modifier = scan_modifier(text.as_bytes(), at + 1);
        modifier.end == text.len() && !text[modifier.word].eq_ignore_ascii_case("rc")
    })
}
