//! E-mail addresses and names of users.

use crate::registry::kernel::failure::Failure;

/// RFC 5321, 4.5.3.1: 256 bytes with the angle brackets around it.
const MAX_EMAIL_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

/// Not allowed before the `@` without quotes (RFC 5322, 3.2.3), and nobody quotes.
const SPECIAL: &str = "\"(),:;<>@[\\]";

/// An e-mail address as it is stored: trimmed and in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address. Whether anybody gets what is sent there is not known; nothing is sent.
    ///
    /// # Errors
    /// Names the field `email`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let email = Self::normalize(text);
        if email.len() > MAX_EMAIL_BYTES {
            return Err(Failure::invalid_field("email", format!("must not be longer than {MAX_EMAIL_BYTES} bytes")));
        }
        let is_good = email.rsplit_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
        if !is_good {
            return Err(Failure::invalid_field("email", "is not an e-mail address like `ada@example.org`"));
        }
        Ok(Self(email))
    }

    /// What an address that was typed in is looked up as.
    pub fn normalize(text: &str) -> String {
        text.trim().to_lowercase()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_LOCAL_BYTES
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || SPECIAL.contains(c))
        && text.split('.').all(|part| !part.is_empty())
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_and_lowered() {
        for (text, stored) in [
            (" Ada@Example.ORG\n", "ada@example.org"),
            ("a.b+c'd@x-y.example", "a.b+c'd@x-y.example"),
            ("root@localhost", "root@localhost"),
            ("Ödön@büro.example", "ödön@büro.example"),
        ] {
            assert_eq!(Email::parse(text).expect(text).as_str(), stored);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.org", "a".repeat(65));
        let long = format!("a@{}.org", "b.".repeat(130));
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "a b@example.org",
            "a@b@example.org",
            ".a@example.org",
            "a..b@example.org",
            "a@-example.org",
            "a@example..org",
            "a@example.org.",
            "a@exa_mple.org",
            "a\0@example.org",
            "\"a\"@example.org",
            "a@example.org, b@example.org",
            "<a@example.org>",
            &long_local,
            &long,
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }
}
