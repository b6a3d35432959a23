//! How developers reach a package's repository: the form of the address in `source`.

use serde::{Deserialize, Serialize};

use crate::ports::Argument;

/// The form of a repository's address in metadata, `repositories.source_protocol`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceProtocol {
    /// `https://host/path`.
    #[default]
    Https,
    /// `git@host:path`.
    Ssh,
}

impl SourceProtocol {
    /// Reads a protocol's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Https, Self::Ssh].into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// `https` or `ssh`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
        }
    }
}

impl From<SourceProtocol> for Argument {
    fn from(protocol: SourceProtocol) -> Self {
        protocol.as_str().into()
    }
}
