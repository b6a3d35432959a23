//! How much of an input an error repeats: enough to find the place, and not the megabyte that somebody may have sent.

use std::borrow::Cow;

/// Most characters of an input that an error repeats.
pub const EXCERPT_CHARACTERS: usize = 200;

/// The first [`EXCERPT_CHARACTERS`] of `text`, with `…` if that is not all.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(EXCERPT_CHARACTERS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Constraint, PackageName, Stability, normalize};

    #[test]
    fn only_what_is_longer_is_cut_and_never_within_a_character() {
        assert_eq!(excerpt(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(excerpt(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }

    #[test]
    fn no_error_repeats_a_long_input() {
        let long = "é ~".repeat(50_000);
        let errors = [
            normalize(&long).expect_err("no version").to_string(),
            Constraint::parse(&long).expect_err("no constraint").to_string(),
            Constraint::parse(&format!("^{}", "9".repeat(50_000))).expect_err("too large").to_string(),
            PackageName::parse(&long).expect_err("no name").to_string(),
            long.parse::<Stability>().expect_err("no stability").to_string(),
        ];
        for error in errors {
            assert!(error.chars().count() < 900, "{} characters", error.chars().count());
        }
    }
}
