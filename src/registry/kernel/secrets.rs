//! Secrets: how tokens are made and recognised, and how credentials lie encrypted in the database.
//!
//! A token is a prefix (`rst_`, or `pri_`; sessions and links have others) + 40 random base62 characters + 6 characters of CRC-32
//! over what stands before: a mistyped or made-up one is refused without a look-up, and secret scanners can find it.
//! Only its SHA-256 is stored. A consumer's key pair is looked up like a token, by a hash of both keys.
//! Credentials are sealed with AES-256-GCM; the key's id and the row's id are authenticated with them, so that a
//! sealed text cannot be moved to another row.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ports::{Entropy, Fault};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// To call the registry.
    Access,
    /// To call it as a user who has logged in.
    Session,
    /// To become a user, once.
    Invitation,
    /// To choose a new password, once.
    Reset,
}

/// All of the same length; of those of a kind, the first is what new tokens begin with.
const TOKEN_PREFIXES: [(TokenKind, &str); 5] = [
    (TokenKind::Access, "rst_"),
    // What the document of organizations shows: no other than the first but for its looks.
    (TokenKind::Access, ORGANIZATION_TOKEN_PREFIX),
    (TokenKind::Session, "rss_"),
    (TokenKind::Invitation, "rsi_"),
    (TokenKind::Reset, "rsr_"),
];
/// What tokens begin with that are made below `/api/organizations`.
pub const ORGANIZATION_TOKEN_PREFIX: &str = "pri_";
const TOKEN_PREFIX_CHARACTERS: usize = 4;
const TOKEN_RANDOM_CHARACTERS: usize = 40; // log2(62^40) = 238 bits
const TOKEN_CHECKSUM_CHARACTERS: usize = 6; // 62^6 > 2^32
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token as its holder knows it.
#[derive(Clone)]
pub struct PlainToken(String);

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken(…)")
    }
}

impl PlainToken {
    /// A new random token.
    pub fn generate(kind: TokenKind, entropy: &dyn Entropy) -> Result<Self, Fault> {
        let prefix = TOKEN_PREFIXES.iter().find(|(known, _)| *known == kind).map_or("", |(_, prefix)| prefix);
        Self::with_prefix(prefix, entropy)
    }

    /// A new random token that begins with `prefix`, one of those that [`PlainToken::parse`] knows.
    pub fn with_prefix(prefix: &str, entropy: &dyn Entropy) -> Result<Self, Fault> {
        let mut text = String::from(prefix);
        push_random(entropy, &mut text, TOKEN_PREFIX_CHARACTERS + TOKEN_RANDOM_CHARACTERS)?;
        text.push_str(&checksum(&text));
        Ok(Self(text))
    }

    /// Recognises a token and what it is for by its form; `None` is certainly not one of ours.
    pub fn parse(text: &str) -> Option<(TokenKind, Self)> {
        let (kind, _) = TOKEN_PREFIXES.iter().find(|(_, prefix)| text.starts_with(prefix))?;
        let form = text.len() == TOKEN_PREFIX_CHARACTERS + TOKEN_RANDOM_CHARACTERS + TOKEN_CHECKSUM_CHARACTERS
            && text.is_ascii();
        let (body, sum) = form.then(|| text.split_at(text.len() - TOKEN_CHECKSUM_CHARACTERS))?;
        (checksum(body) == sum).then(|| (*kind, Self(text.to_owned())))
    }

    /// What is stored of the token in `text`, if it is one of this kind.
    pub fn hash_of(text: &str, kind: TokenKind) -> Option<TokenHash> {
        let (found, plain) = Self::parse(text.trim())?;
        (found == kind).then(|| plain.hash())
    }

    /// The token itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

/// Makes `text` up to `length` with random base62 characters.
fn push_random(entropy: &dyn Entropy, text: &mut String, length: usize) -> Result<(), Fault> {
    let mut bytes = [0; 64];
    while text.len() < length {
        entropy.fill(&mut bytes)?;
        // 248 = 4 × 62: higher bytes are thrown away, so that every character is equally likely.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(length - text.len()) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    Ok(())
}

/// As many as the storefront document shows; log2(62^60) = 357 bits.
const KEY_CHARACTERS: usize = 60;

/// A new public or private key of a consumer.
pub fn new_key(entropy: &dyn Entropy) -> Result<String, Fault> {
    let mut key = String::new();
    push_random(entropy, &mut key, KEY_CHARACTERS)?;
    Ok(key)
}

/// Whether `text` may be a consumer's key: 16 to 255 visible ASCII characters.
pub fn is_key(text: &str) -> bool {
    (16..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut characters = [b'0'; TOKEN_CHECKSUM_CHARACTERS];
    for character in characters.iter_mut().rev() {
        *character = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    characters.iter().map(|byte| char::from(*byte)).collect()
}

/// Fewest characters of `ADMIN_TOKEN`: 20 random ones of base64 are 120 bits.
const MIN_ADMIN_TOKEN: usize = 20;

/// SHA-256 of a token, lowercase hex.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenHash(String);

impl TokenHash {
    /// Hashes a token's text.
    pub fn of(token: &str) -> Self {
        Self(hex::encode(Sha256::digest(token.as_bytes())))
    }

    /// Hashes `ADMIN_TOKEN`, unless it can be guessed.
    ///
    /// # Errors
    /// [`SecretError::ShortAdminToken`].
    pub fn of_admin(token: &str) -> Result<Self, SecretError> {
        if token.chars().count() < MIN_ADMIN_TOKEN { Err(SecretError::ShortAdminToken) } else { Ok(Self::of(token)) }
    }

    /// Hashes a consumer's key pair. No token hashes to the same: none begins like this.
    pub fn of_pair(public_key: &str, private_key: &str) -> Self {
        Self::of(&["consumer:", public_key, ":", private_key].concat())
    }

    /// A hash read from the database.
    pub fn from_stored(hash: String) -> Self {
        Self(hash)
    }

    /// Lowercase hex.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its duration how much was right.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

/// The keys of `ENCRYPTION_KEY`; the first seals, all of them open.
#[derive(Clone, Default)]
pub struct Keyring(Vec<(String, Aes256Gcm)>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

/// Why a keyring or a sealed text is no good. Never holds a key or a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// `ENCRYPTION_KEY` has an entry that is not 32 bytes of base64 or hex.
    #[error("ENCRYPTION_KEY entry {0} is not 32 bytes in base64 or hex; make one with `openssl rand -base64 32`")]
    BadKey(usize),
    /// `ADMIN_TOKEN` is too short.
    #[error(
        "ADMIN_TOKEN has fewer than {MIN_ADMIN_TOKEN} characters, so it is not accepted and nobody is administrator; make one with `openssl rand -base64 24`"
    )]
    ShortAdminToken,
    /// There is no key to seal with.
    #[error(
        "ENCRYPTION_KEY is not set, so credentials cannot be stored; set it with `wrangler secret put ENCRYPTION_KEY`"
    )]
    NoKey,
    /// The key that sealed this is no longer in `ENCRYPTION_KEY`.
    #[error("the encryption key {0} that sealed this is not in ENCRYPTION_KEY any more")]
    KeyGone(String),
    /// The sealed text was changed, cut, or moved to another row.
    #[error("the sealed text does not open: it was changed or moved")]
    Damaged,
    /// No randomness.
    #[error(transparent)]
    Fault(#[from] Fault),
}

const NONCE_BYTES: usize = 12;

impl Keyring {
    /// Reads `ENCRYPTION_KEY`: 32-byte keys in base64 or hex, separated by commas or spaces, the newest first. To
    /// rotate, put a new key in front.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        text.split([',', ' ', '\n', '\t'])
            .filter(|entry| !entry.is_empty())
            .enumerate()
            .map(|(index, entry)| {
                let bytes = hex::decode(entry)
                    .ok()
                    .or_else(|| STANDARD_NO_PAD.decode(entry.trim_end_matches('=')).ok())
                    .filter(|bytes| bytes.len() == 32)
                    .ok_or(SecretError::BadKey(index + 1))?;
                let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| SecretError::BadKey(index + 1))?;
                Ok((hex::encode(&Sha256::digest(&bytes)[..4]), cipher))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The keys' ids, that of the sealing one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(id, _)| id.as_str())
    }

    /// Seals `secret` for the row `row`: `v1.<key id>.<base64 of nonce and ciphertext>`.
    pub fn seal(&self, entropy: &dyn Entropy, row: &str, secret: &str) -> Result<String, SecretError> {
        let (id, cipher) = self.0.first().ok_or(SecretError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce)?;
        let aad = format!("{id}/{row}");
        let payload = Payload { msg: secret.as_bytes(), aad: aad.as_bytes() };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| SecretError::Damaged)?;
        Ok(format!("v1.{id}.{}", STANDARD.encode([nonce.as_slice(), &sealed].concat())))
    }

    /// Opens what [`Keyring::seal`] sealed for the same row.
    pub fn open(&self, row: &str, sealed: &str) -> Result<String, SecretError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SecretError::Damaged);
        };
        let (_, cipher) =
            self.0.iter().find(|(known, _)| known == id).ok_or_else(|| SecretError::KeyGone(id.to_owned()))?;
        let bytes = STANDARD.decode(body).map_err(|_| SecretError::Damaged)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(SecretError::Damaged)?;
        let aad = format!("{id}/{row}");
        let payload = Payload { msg: ciphertext, aad: aad.as_bytes() };
        let opened = cipher.decrypt(&Nonce::from(*nonce), payload).map_err(|_| SecretError::Damaged)?;
        String::from_utf8(opened).map_err(|_| SecretError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), Fault> {
            for byte in buffer {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        }
    }

    fn entropy() -> Counting {
        Counting(AtomicU8::new(0))
    }

    #[test]
    fn an_admin_token_of_fewer_than_20_characters_is_refused() {
        let refused = TokenHash::of_admin(&"ä".repeat(19)).expect_err("too short").to_string();
        assert!(refused.starts_with("ADMIN_TOKEN has fewer than 20 characters, so it is not accepted"), "{refused}");
        let token = "ä".repeat(20);
        assert_eq!(TokenHash::of_admin(&token).expect("long enough"), TokenHash::of(&token));
    }

    #[test]
    fn a_generated_token_is_recognised_and_a_changed_one_is_not() {
        for (kind, prefix) in TOKEN_PREFIXES {
            let token = PlainToken::with_prefix(prefix, &entropy()).expect("entropy");
            assert_eq!(token.expose().len(), 50);
            assert!(token.expose().starts_with(prefix));
            let made = PlainToken::generate(kind, &entropy()).expect("entropy");
            assert_eq!(PlainToken::parse(made.expose()).map(|(kind, _)| kind), Some(kind));
            assert_eq!(PlainToken::parse(token.expose()).map(|(kind, _)| kind), Some(kind));
            let mut changed = token.expose().to_owned();
            changed.replace_range(10..11, if &changed[10..11] == "x" { "y" } else { "x" });
            assert!(PlainToken::parse(&changed).is_none());
            for other in ["", prefix, "ä".repeat(25).as_str(), &token.expose()[1..]] {
                assert!(PlainToken::parse(other).is_none(), "{other}");
            }
        }
    }

    #[test]
    fn a_token_of_one_kind_cannot_pass_for_another() {
        let token = PlainToken::generate(TokenKind::Reset, &entropy()).expect("entropy");
        assert_eq!(PlainToken::hash_of(token.expose(), TokenKind::Reset), Some(token.hash()));
        assert_eq!(PlainToken::hash_of(token.expose(), TokenKind::Invitation), None);
        assert!(PlainToken::parse(&token.expose().replace("rsr_", "rst_")).is_none());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let token = PlainToken::generate(TokenKind::Access, &entropy()).expect("entropy");
        assert!(!format!("{token:?}").contains(&token.expose()[4..]));
        let ring = Keyring::parse(&STANDARD.encode([7; 32])).expect("a key");
        assert!(!format!("{ring:?}").contains("Bw"));
    }

    #[test]
    fn a_sealed_secret_opens_only_for_its_row() {
        let ring = Keyring::parse(&STANDARD.encode([7; 32])).expect("a key");
        let sealed = ring.seal(&entropy(), "repository/1", "s3cret").expect("sealed");
        assert!(!sealed.contains("s3cret"));
        assert_eq!(ring.open("repository/1", &sealed).expect("opens"), "s3cret");
        assert!(matches!(ring.open("repository/2", &sealed), Err(SecretError::Damaged)));
    }

    #[test]
    fn a_new_key_in_front_seals_and_the_old_one_still_opens() {
        let (old, new) = (hex::encode([1; 32]), hex::encode([2; 32]));
        let sealed = Keyring::parse(&old).expect("a key").seal(&entropy(), "r", "s").expect("sealed");
        let both = Keyring::parse(&format!("{new},{old}")).expect("two keys");
        assert_eq!(both.open("r", &sealed).expect("opens"), "s");
        let resealed = both.seal(&entropy(), "r", "s").expect("sealed");
        let only_new = Keyring::parse(&new).expect("a key");
        assert_eq!(only_new.open("r", &resealed).expect("opens"), "s");
        assert!(matches!(only_new.open("r", &sealed), Err(SecretError::KeyGone(_))));
    }

    #[test]
    fn a_key_of_the_wrong_size_is_refused_by_its_place() {
        assert!(matches!(Keyring::parse("c2hvcnQ="), Err(SecretError::BadKey(1))));
        assert!(matches!(Keyring::default().seal(&entropy(), "r", "s"), Err(SecretError::NoKey)));
    }
}
