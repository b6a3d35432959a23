//! Consumers with their private keys, which are kept sealed.

use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::secrets::TokenHash;
use crate::store::storefront::consumers::ConsumerRow;

/// A consumer with its private key opened.
#[derive(Clone)]
pub struct Consumer {
    /// As stored.
    pub row: ConsumerRow,
    /// The password of its Basic credentials.
    pub private_key: String,
}

/// What the private key of the consumer with this uid is sealed to.
pub fn seal_row(uid: &str) -> String {
    format!("consumer/{uid}/private_key")
}

impl Consumer {
    /// Opens its private key.
    pub fn open(app: &App, row: ConsumerRow) -> Result<Self, Failure> {
        let private_key =
            app.config.keyring.open(&seal_row(&row.uid), &row.private_key).map_err(Failure::internal_with_detail)?;
        Ok(Self { row, private_key })
    }

    /// By what its key pair is looked up.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of_pair(&self.row.public_key, &self.private_key)
    }
}
