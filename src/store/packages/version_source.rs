//! `versions.ref_name`: where a version comes from.

use serde::Deserialize;

/// Where a version comes from. Git's refs begin with `refs/`, so no text below is one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum VersionSource {
    /// A git ref, in full.
    Ref(String),
    /// A zip that was uploaded.
    Upload,
    /// An upstream repository.
    Upstream,
    /// A zip that has yet to come. `removed_at` keeps the version out of everything else until then.
    AwaitingZip,
}

const UPLOAD: &str = "upload";
const UPSTREAM: &str = "";
const AWAITING_ZIP: &str = "awaited";

impl VersionSource {
    /// Whether it is a branch of a git repository.
    pub fn is_branch(&self) -> bool {
        matches!(self, Self::Ref(name) if name.starts_with("refs/heads/"))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ref(name) => name,
            Self::Upload => UPLOAD,
            Self::Upstream => UPSTREAM,
            Self::AwaitingZip => AWAITING_ZIP,
        }
    }
}

impl From<String> for VersionSource {
    fn from(stored: String) -> Self {
        match stored.as_str() {
            UPLOAD => Self::Upload,
            UPSTREAM => Self::Upstream,
            AWAITING_ZIP => Self::AwaitingZip,
            _ => Self::Ref(stored),
        }
    }
}
