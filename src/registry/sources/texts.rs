//! The texts that people read: README, CHANGELOG, LICENSE.

use sha2::{Digest, Sha256};

/// Most bytes of one file: JSON doubles them at worst, and D1 takes 2 MB a value. A longer text is left out, a version
/// with a longer composer.json is skipped.
pub const MAX_FILE_BYTES: u64 = 200_000;

/// What is kept of a file.
pub struct ReadableText {
    /// SHA-256 of the text, lowercase hex.
    pub sha256: String,
    /// The text.
    pub text: String,
}

/// A file's bytes as the text that is kept of it.
pub fn readable_text(bytes: &[u8]) -> ReadableText {
    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    ReadableText { sha256: hex::encode(Sha256::digest(text.as_bytes())), text }
}
