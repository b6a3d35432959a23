//! Whether a package is abandoned, as bodies say it: `true`, `false`, or the package to use instead.

use serde::{Deserialize, Serialize};

/// Whether a package is abandoned, and for what.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Abandoned {
    /// Whether it is.
    Flag(bool),
    /// It is, and this is to be used instead.
    Replacement(String),
}

impl Abandoned {
    /// As it is stored: `true`, `false`, or the replacement's name.
    pub fn into_stored(self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Replacement(name) => name,
        }
    }

    /// What is stored of a package; nothing is "no".
    pub fn from_stored(stored: Option<String>) -> Self {
        match stored.as_deref() {
            None | Some("false") => Self::Flag(false),
            Some("true") => Self::Flag(true),
            _ => Self::Replacement(stored.unwrap_or_default()),
        }
    }
}
