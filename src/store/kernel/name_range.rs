//! What a pattern of package names begins with, as a range that the database can search. It is never asked for a pattern:
//! D1 refuses one of more than 50 bytes, whether `LIKE` or `GLOB`.

use serde_json::{Value, json};

/// The names that a pattern can match are among those from `first` up to `last`, both included. Which of them do match is
/// for the `registry` to say. A plain name has a range of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRange {
    /// The lowest name.
    pub first: String,
    /// The highest.
    pub last: String,
}

impl NameRange {
    /// The range of `pattern`, in which `*` stands for any characters, in whatever case it is written.
    pub fn of(pattern: &str) -> Self {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.split_once('*') {
            None => Self { first: pattern.clone(), last: pattern },
            // No character of a name comes after the tilde.
            Some((beginning, _)) => Self { first: beginning.to_owned(), last: format!("{beginning}~") },
        }
    }

    /// Whether it holds no name that `pattern` does not match: a name, or a beginning with a `*` behind it.
    pub fn is_exact(pattern: &str) -> bool {
        pattern.find('*').is_none_or(|at| at + 1 == pattern.len())
    }

    /// The ranges of some names and patterns, as one JSON array.
    pub fn list<'t>(targets: impl IntoIterator<Item = &'t str>) -> String {
        Value::Array(targets.into_iter().map(|target| Self::of(target).to_json()).collect()).to_string()
    }

    /// As one element of a list that travels to the database.
    pub fn to_json(&self) -> Value {
        json!([self.first, self.last])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_the_pattern_can_match_and_nothing_that_begins_otherwise() {
        for (pattern, name, expected) in [
            ("acme/*", "acme/lib", true),
            ("acme/*", "acme/zz_9.z-z", true),
            ("Acme/*", "acme/lib", true),
            ("acme/lib", "acme/lib", true),
            ("acme/l*b", "acme/lib", true),
            ("*/lib", "acme/lib", true),
            ("*", "0/0", true),
            ("*", "zzz/zzz", true),
            ("acme/*", "acme0/lib", false),
            ("acme/*", "acm/lib", false),
            ("acme/*", "acme-x/lib", false),
            ("acme/lib", "acme/lib2", false),
        ] {
            let range = NameRange::of(pattern);
            let holds = range.first.as_str() <= name && name <= range.last.as_str();
            assert_eq!(holds, expected, "{pattern}: {name}");
        }
    }
}
