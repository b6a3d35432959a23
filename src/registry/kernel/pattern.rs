//! Patterns of names: `*` stands for any characters, the slash included.

use crate::json::read_text;

/// Whether `text` matches `pattern`, in which `*` stands for any characters.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pattern.contains('*').then(|| parts.next_back().unwrap_or_default()) else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a name matches one of some patterns; without a list, any does.
pub fn matches_any(patterns: Option<&[String]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| matches_pattern(pattern, name)))
}

/// Whether a `package_filter` (JSON array of names and patterns) lets a name through; none lets everything through.
pub fn passes_filter(filter: Option<&str>, name: &str) -> bool {
    let patterns = filter.map(|filter| read_text::<Vec<String>>(filter).unwrap_or_default());
    matches_any(patterns.as_deref(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_any_characters_and_a_plain_name_only_itself() {
        for (pattern, text, expected) in [
            ("acme/*", "acme/lib", true),
            ("acme/*", "acmes/lib", false),
            ("acme/lib", "acme/lib", true),
            ("acme/lib", "acme/lib2", false),
            ("*/lib", "acme/lib", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*b", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
