//! The texts that people read: README, CHANGELOG, LICENSE.

use sha2::{Digest, Sha256};

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::store::packages::texts::{NewText, insert_texts};

/// Most bytes of one file: JSON doubles them at worst, and D1 takes 2 MB a value. A longer text is left out, a version
/// with a longer composer.json is skipped.
pub const MAX_FILE_BYTES: u64 = 200_000;

/// Bytes of texts that wait to be stored together: some 4 MB of an isolate's 128 while they are on their way. The texts of
/// all versions of a large framework have 40 MB.
const BATCH_BYTES: usize = 1 << 20;

/// A file's bytes as the text that is kept of it.
pub fn readable_text(bytes: &[u8]) -> NewText {
    let content = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    NewText { sha256: hex::encode(Sha256::digest(content.as_bytes())), content }
}

/// Texts on their way into the database. Once there are many they are stored, ahead of the versions that have them; the
/// last ones go along with these.
#[derive(Debug, Default)]
pub struct TextBatch {
    texts: Vec<NewText>,
    bytes: usize,
}

impl TextBatch {
    /// Adds a text.
    pub fn push(&mut self, text: NewText) {
        self.bytes += text.content.len();
        self.texts.push(text);
    }

    /// Those that are not stored yet.
    pub fn waiting(&self) -> &[NewText] {
        &self.texts
    }

    /// Stores the texts when there are many.
    ///
    /// # Errors
    /// When the database fails; the texts are not stored then.
    pub async fn store_if_full(&mut self, app: &App) -> Result<(), Failure> {
        if self.bytes >= BATCH_BYTES {
            let Self { texts, .. } = std::mem::take(self);
            app.ports.database.ask(insert_texts(&texts, app.now())).await?;
        }
        Ok(())
    }
}
