//! Passwords: what is asked of one, and how it lies in the database.
//!
//! argon2id with the parameters that OWASP's password storage cheat sheet names first among equals: 19 MiB, two passes,
//! one lane. At rest it is a PHC string, so that the parameters can grow: whoever logs in with an older one gets a new.
//!
//! An isolate has 128 MB and one thread. Nothing here awaits, so that however many log in at once, one after the other
//! takes its 19 MiB and gives them back before the next begins.

use argon2::password_hash::Error;
use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version,
};

use crate::ports::{Entropy, Fault};
use crate::registry::kernel::failure::Failure;

/// Bytes that a new password must hold.
pub const LENGTH: std::ops::RangeInclusive<usize> = 12..=1024;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// How hard a hash is to compute: KiB of memory, passes over them, lanes.
const PARAMS: Params = match Params::new(19 * 1024, 2, 1, Some(HASH_BYTES)) {
    Ok(params) => params,
    Err(_) => panic!("argon2 refuses these parameters"),
};

const VERSION: Version = Version::V0x13;

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
    Ok(digest(&salt, password)?.to_string())
}

/// How a password compares with what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCheck {
    /// It is another one.
    Wrong,
    /// It is this one.
    Right,
    /// It is this one, and deserves a new hash: the parameters have grown.
    Outdated,
}

/// Compares a password with what is stored, in constant time. Without anything stored it takes as long and says
/// [`PasswordCheck::Wrong`]: how long a login takes does not tell whether there is such a user.
pub fn verify(stored: Option<&str>, password: &str) -> Result<PasswordCheck, Failure> {
    let Some(stored) = stored else {
        digest(&[0; SALT_BYTES], password)?;
        return Ok(PasswordCheck::Wrong);
    };
    let hash = parse(stored).ok_or_else(|| Fault::new("database", "a stored password is no PHC string of argon2id"))?;
    match argon2id().verify_password(password.as_bytes(), &hash) {
        Ok(()) if Params::try_from(&hash) == Ok(PARAMS) => Ok(PasswordCheck::Right),
        Ok(()) => Ok(PasswordCheck::Outdated),
        Err(Error::PasswordInvalid) => Ok(PasswordCheck::Wrong),
        Err(error) => Err(refused(error)),
    }
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, VERSION, PARAMS)
}

fn digest(salt: &[u8], password: &str) -> Result<PasswordHash, Failure> {
    argon2id().hash_password_with_salt(password.as_bytes(), salt).map_err(refused)
}

fn refused(error: Error) -> Failure {
    Fault::new("argon2", error).into()
}

/// A PHC string like ours, whatever its parameters: of the same algorithm in the same version, with salt and hash.
fn parse(stored: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(stored).ok()?;
    let is_ours = hash.algorithm == ARGON2ID_IDENT && hash.version == Some(VERSION.into());
    (is_ours && hash.salt.is_some() && hash.hash.is_some()).then_some(hash)
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
        assert_eq!(verify(Some(REFERENCE), "password").expect("a verdict"), PasswordCheck::Outdated);
        assert_eq!(verify(Some(REFERENCE), "Password").expect("a verdict"), PasswordCheck::Wrong);
    }

    #[test]
    fn a_new_hash_has_todays_parameters_and_knows_its_password() {
        let stored = hash(&Zeros, "correct horse battery").expect("a hash");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"), "{stored}");
        assert_eq!(verify(Some(&stored), "correct horse battery").expect("a verdict"), PasswordCheck::Right);
        assert_eq!(verify(Some(&stored), "correct horse batterz").expect("a verdict"), PasswordCheck::Wrong);
        assert_eq!(verify(None, "correct horse battery").expect("a verdict"), PasswordCheck::Wrong);
    }

    #[test]
    fn what_is_no_hash_is_the_registrys_fault() {
        for stored in [
            "",
            "x",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA",
            &format!("{REFERENCE}$"),
            "$argon2id$v=19$t=2$a$b",
            "$argon2id$v=19$m=256,t=2,p=1",
            &REFERENCE.replace("v=19", "v=16"),
            &REFERENCE.replace("$v=19", ""),
            &REFERENCE.replace("m=256", "m=1"),
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
