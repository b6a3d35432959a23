//! What kind of host serves a repository.

use crate::store::kernel::repository_kind::RepositoryKind;

/// What kind of host serves a repository: decides how credentials are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Any git server that speaks smart HTTP.
    Git,
    /// github.com or GitHub Enterprise.
    GitHub,
    /// gitlab.com or a GitLab of one's own.
    GitLab,
    /// bitbucket.org.
    Bitbucket,
    /// Gitea or Forgejo.
    Gitea,
    /// A Composer repository.
    Composer,
    /// Uploaded zips.
    Artifact,
}

const PROVIDERS: [(Provider, &str); 7] = [
    (Provider::Git, "git"),
    (Provider::GitHub, "github"),
    (Provider::GitLab, "gitlab"),
    (Provider::Bitbucket, "bitbucket"),
    (Provider::Gitea, "gitea"),
    (Provider::Composer, "composer"),
    (Provider::Artifact, "artifact"),
];

impl Provider {
    /// Reads a provider's name.
    pub fn parse(name: &str) -> Option<Self> {
        PROVIDERS.iter().find(|(_, known)| *known == name).map(|(provider, _)| *provider)
    }

    /// The provider's name.
    pub fn as_str(self) -> &'static str {
        PROVIDERS.iter().find(|(provider, _)| *provider == self).map_or("", |(_, name)| name)
    }

    /// The kind of repository that it serves.
    pub fn kind(self) -> RepositoryKind {
        match self {
            Self::Git | Self::GitHub | Self::GitLab | Self::Bitbucket | Self::Gitea => RepositoryKind::Git,
            Self::Composer => RepositoryKind::Composer,
            Self::Artifact => RepositoryKind::Artifact,
        }
    }

    /// The user name that the host's documentation asks for beside an access token. Hosts that do not care get
    /// GitHub's.
    pub fn token_user(self) -> &'static str {
        match self {
            Self::GitLab => "oauth2",
            Self::Bitbucket => "x-token-auth",
            _ => "x-access-token",
        }
    }
}
