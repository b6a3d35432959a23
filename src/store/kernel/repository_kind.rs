//! What a repository is: where its packages come from.

use serde::{Deserialize, Serialize};

use crate::ports::Argument;

/// What a repository is, `repositories.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RepositoryKind {
    /// A git repository: its refs become versions of a package.
    Git,
    /// An upstream Composer repository: its packages are mirrored.
    Composer,
    /// The repository of uploaded zips.
    Artifact,
}

impl RepositoryKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Git, Self::Composer, Self::Artifact];

    /// Reads a kind's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind's name: `git`, `composer` or `artifact`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Composer => "composer",
            Self::Artifact => "artifact",
        }
    }
}

impl std::fmt::Display for RepositoryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<RepositoryKind> for Argument {
    fn from(kind: RepositoryKind) -> Self {
        kind.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::read_object;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Kinded {
        kind: RepositoryKind,
    }

    #[test]
    fn a_kind_has_one_name_everywhere_and_an_unknown_one_cannot_be_read() {
        let read = |name: &str| read_object::<Kinded>(json!({ "kind": name }).as_object().expect("an object"));
        for kind in RepositoryKind::ALL {
            assert_eq!(RepositoryKind::parse(kind.as_str()), Some(kind));
            assert_eq!(json!(kind), json!(kind.as_str()));
            assert_eq!(read(kind.as_str()).expect("a kind"), Kinded { kind });
        }
        assert_eq!(RepositoryKind::parse("svn"), None);
        assert!(read("svn").is_err());
    }
}
