//! The texts that people read: README, CHANGELOG, LICENSE.

use sha2::{Digest, Sha256};

/// Most bytes of one file: JSON doubles them at worst, and D1 takes 2 MB a value. A longer text is left out, a version
/// with a longer composer.json is skipped.
pub const MAX_FILE_BYTES: u64 = 200_000;

/// A file's bytes as the text that is kept of it, and the text's SHA-256.
pub fn readable_text(bytes: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    (hex::encode(Sha256::digest(text.as_bytes())), text)
}
