//! The few string functions of PHP and PCRE that Composer's rules lean on, over ASCII.

/// PHP's `trim`: space, tab, line feed, carriage return, vertical tab and NUL, nothing else.
pub(crate) fn php_trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\0'])
}

/// PCRE's `\s` without Unicode.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// PCRE's `[^,\s]`.
pub(crate) fn is_atom_byte(byte: u8) -> bool {
    byte != b',' && !is_space(byte)
}

/// Whether `text` starts with `prefix`, ASCII case aside.
pub(crate) fn starts_with_ci(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// `text` without an ASCII `suffix`, ASCII case aside.
pub(crate) fn strip_suffix_ci<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let (head, tail) = text.split_at_checked(at)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

/// `{[.-]?dev$}i`: a trailing `dev` and the one separator before it.
pub(crate) fn strip_dev_suffix(text: &str) -> Option<&str> {
    let head = strip_suffix_ci(text, "dev")?;
    Some(head.strip_suffix(['.', '-']).unwrap_or(head))
}

/// `{^([^,\s]++) ++as ++([^,\s]++)$}`: the version on the left of an inline alias.
pub(crate) fn strip_alias(text: &str) -> Option<&str> {
    let at = text.bytes().position(|byte| !is_atom_byte(byte))?;
    let (left, rest) = text.split_at(at);
    let after_spaces = rest.trim_start_matches(' ');
    let right = after_spaces.strip_prefix("as")?;
    let target = right.trim_start_matches(' ');
    let spaced = after_spaces.len() < rest.len() && target.len() < right.len();
    (!left.is_empty() && spaced && !target.is_empty() && target.bytes().all(is_atom_byte)).then_some(left)
}

/// `{@(?:stable|RC|beta|alpha|dev)$}i`: what stands before a stability flag, and the flag as written.
pub(crate) fn strip_stability_flag(text: &str) -> Option<(&str, &str)> {
    let (head, flag) = text.rsplit_once('@')?;
    let known = ["stable", "RC", "beta", "alpha", "dev"].iter().any(|name| flag.eq_ignore_ascii_case(name));
    known.then_some((head, flag))
}

/// The length of the run of ASCII digits that starts at `at`.
pub(crate) fn digits_at(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_needs_both_sides_and_spaces() {
        assert_eq!(strip_alias("1.0 as 2.0"), Some("1.0"));
        assert_eq!(strip_alias("1.0  as   2.0"), Some("1.0"));
        for text in ["1.0", "1.0 as ", " as 1.0", "1.0 as2", "1.0,as 2", "1.0 as 2 3", "1.0as 2", "1.0\tas 2"] {
            assert_eq!(strip_alias(text), None, "{text}");
        }
    }

    #[test]
    fn case_folding_never_cuts_a_character_in_two() {
        assert_eq!(strip_suffix_ci("é-DEV", "-dev"), Some("é"));
        assert_eq!(strip_suffix_ci("éé", "dev"), None);
        assert!(!starts_with_ci("dé", "dev"));
    }
}
