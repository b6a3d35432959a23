//! Passwords: what is asked of one, and how it lies in the database.
//!
//! argon2id with the parameters that OWASP's password storage cheat sheet names first among equals: 19 MiB, two passes,
//! one lane. At rest it is a PHC string, so that the parameters can grow: whoever logs in with an older one gets a new.
//!
//! An isolate has 128 MB and one thread. Nothing here awaits, so that however many log in at once, one after the other
//! takes its 19 MiB and gives them back before the next begins.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use crate::ports::{Entropy, Fault};
use crate::registry::failure::Failure;

/// Bytes that a new password must hold.
pub const LENGTH: std::ops::RangeInclusive<usize> = 12..=1024;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// How hard a hash is to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effort {
    kibibytes: u32,
    passes: u32,
    lanes: u32,
}

const EFFORT: Effort = Effort { kibibytes: 19 * 1024, passes: 2, lanes: 1 };

/// Checks a password that somebody chooses; `field` is what the request calls it.
pub fn check(field: &str, password: &str, email: &str) -> Result<(), Failure> {
    if !LENGTH.contains(&password.len()) {
        let detail = format!("must hold {} to {} bytes", LENGTH.start(), LENGTH.end());
        return Err(Failure::invalid_field(field, detail));
    }
    if password.trim().to_lowercase() == email {
        return Err(Failure::invalid_field(field, "must not be the e-mail address"));
    }
    Ok(())
}

/// What is stored of a password.
pub fn hash(entropy: &dyn Entropy, password: &str) -> Result<String, Failure> {
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    let Effort { kibibytes, passes, lanes } = EFFORT;
    let hash = digest(EFFORT, &salt, password)?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!("$argon2id$v=19$m={kibibytes},t={passes},p={lanes}${salt}${hash}"))
}

/// How a password compares with what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one.
    Wrong,
    /// It is this one.
    Right,
    /// It is this one, and deserves a new hash: the parameters have grown.
    Outdated,
}

/// Compares a password with what is stored. Without anything stored it takes as long and says [`Verdict::Wrong`]: how
/// long a login takes does not tell whether there is such a user.
pub fn verify(stored: Option<&str>, password: &str) -> Result<Verdict, Failure> {
    let Some(stored) = stored else {
        digest(EFFORT, &[0; SALT_BYTES], password)?;
        return Ok(Verdict::Wrong);
    };
    let unreadable = || Fault::new("database", "a stored password is no PHC string of argon2id");
    let (effort, salt, expected) = parse(stored).ok_or_else(unreadable)?;
    let found = digest(effort, &salt, password)?;
    let is_right: bool = found.as_slice().ct_eq(&expected).into();
    Ok(match (is_right, effort == EFFORT) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::Outdated,
    })
}

fn digest(effort: Effort, salt: &[u8], password: &str) -> Result<[u8; HASH_BYTES], Failure> {
    let refused = |error: argon2::Error| Failure::from(Fault::new("argon2", error));
    let params = Params::new(effort.kibibytes, effort.passes, effort.lanes, Some(HASH_BYTES)).map_err(refused)?;
    let mut hash = [0; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut hash)
        .map_err(refused)?;
    Ok(hash)
}

/// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
fn parse(stored: &str) -> Option<(Effort, Vec<u8>, Vec<u8>)> {
    let mut parts = stored.strip_prefix("$argon2id$v=19$")?.split('$');
    let (effort, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let mut numbers =
        effort.split(',').zip(["m=", "t=", "p="]).map(|(text, name)| text.strip_prefix(name)?.parse().ok());
    let effort = Effort { kibibytes: numbers.next()??, passes: numbers.next()??, lanes: numbers.next()?? };
    let decode = |text: &str| STANDARD_NO_PAD.decode(text).ok();
    Some((effort, decode(salt)?, decode(hash)?)).filter(|_| parts.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            buffer.fill(0);
            Ok(())
        }
    }

    /// From the test suite of the reference implementation (phc-winner-argon2, test.c).
    const REFERENCE: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_hash_of_the_reference_implementation_is_understood_and_counts_as_outdated() {
        assert_eq!(verify(Some(REFERENCE), "password").expect("a verdict"), Verdict::Outdated);
        assert_eq!(verify(Some(REFERENCE), "Password").expect("a verdict"), Verdict::Wrong);
    }

    #[test]
    fn a_new_hash_has_todays_parameters_and_knows_its_password() {
        let stored = hash(&Zeros, "correct horse battery").expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"), "{stored}");
        assert_eq!(verify(Some(&stored), "correct horse battery").expect("a verdict"), Verdict::Right);
        assert_eq!(verify(Some(&stored), "correct horse batterz").expect("a verdict"), Verdict::Wrong);
        assert_eq!(verify(None, "correct horse battery").expect("a verdict"), Verdict::Wrong);
    }

    #[test]
    fn what_is_no_hash_is_the_registrys_fault() {
        for stored in [
            "",
            "x",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA",
            &format!("{REFERENCE}$"),
            "$argon2id$v=19$t=2$a$b",
        ] {
            assert!(verify(Some(stored), "password").is_err(), "{stored}");
        }
    }

    #[test]
    fn a_password_must_be_long_and_not_the_address() {
        let refused =
            |password: &str| check("password", password, "ada.lovelace@example.org").err().map(|f| f.detail.clone());
        assert_eq!(refused("elevenbytes").as_deref(), Some("`password`: must hold 12 to 1024 bytes"));
        assert_eq!(refused("twelve bytes"), None);
        assert_eq!(refused("ünïcödé€"), None, "14 bytes in 8 characters");
        assert_eq!(refused(&"x".repeat(1024)), None);
        assert!(refused(&"x".repeat(1025)).is_some());
        let is_address = Some("`password`: must not be the e-mail address");
        assert_eq!(refused(" Ada.Lovelace@Example.org").as_deref(), is_address);
    }
}
