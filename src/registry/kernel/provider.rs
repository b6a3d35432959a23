//! What kind of host serves a repository.

use crate::store::kernel::repository_kind::RepositoryKind;

/// What kind of host serves a repository: decides how credentials are sent, and which pages metadata leads to.
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

    /// The provider that a git host's name tells: that of a well-known host, or of one which is called by what runs there
    /// (`gitlab.example.com`); else [`Self::Git`].
    pub fn of_host(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        match host.as_str() {
            "github.com" | "www.github.com" => Self::GitHub,
            "gitlab.com" | "www.gitlab.com" => Self::GitLab,
            "bitbucket.org" | "www.bitbucket.org" => Self::Bitbucket,
            "codeberg.org" | "gitea.com" => Self::Gitea,
            _ => match host.split_once('.').map(|(first, _)| first) {
                Some("github") => Self::GitHub,
                Some("gitlab") => Self::GitLab,
                Some("gitea" | "forgejo") => Self::Gitea,
                _ => Self::Git,
            },
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_tells_what_runs_there() {
        for (host, expected) in [
            ("github.com", Provider::GitHub),
            ("GitHub.com", Provider::GitHub),
            ("gitlab.com", Provider::GitLab),
            ("gitlab.acme.test", Provider::GitLab),
            ("bitbucket.org", Provider::Bitbucket),
            ("codeberg.org", Provider::Gitea),
            ("gitea.acme.test", Provider::Gitea),
            ("git.acme.test", Provider::Git),
            ("notgithub.com", Provider::Git),
            ("localhost", Provider::Git),
            ("", Provider::Git),
        ] {
            assert_eq!(Provider::of_host(host), expected, "{host}");
        }
    }
}
