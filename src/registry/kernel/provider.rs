//! What kind of host serves a repository.

use url::Url;

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

    /// Where such a host has its own zip of a commit of the repository at `url`, as Composer's drivers know it; `None` of a host
    /// that is not known to make any.
    pub fn zip_url(self, url: &Url, commit: &str) -> Option<Url> {
        let path = url.path().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let mut zip = url.clone();
        let zip_path = match self {
            Self::GitHub if matches!(url.host_str(), Some("github.com" | "www.github.com")) => {
                zip.set_host(Some("api.github.com")).ok()?;
                format!("repos/{path}/zipball/{commit}")
            }
            Self::GitHub => format!("api/v3/repos/{path}/zipball/{commit}"),
            Self::GitLab => {
                zip.set_query(Some(&format!("sha={commit}")));
                format!("api/v4/projects/{}/repository/archive.zip", path.replace('/', "%2F"))
            }
            Self::Gitea => format!("api/v1/repos/{path}/archive/{commit}.zip"),
            Self::Bitbucket => format!("{path}/get/{commit}.zip"),
            Self::Git | Self::Composer | Self::Artifact => return None,
        };
        zip.set_path(&zip_path);
        Some(zip)
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
    fn the_zip_of_a_commit_is_where_composers_drivers_know_it() {
        for (provider, url, expected) in [
            (
                Provider::GitHub,
                "https://github.com/acme/lib.git",
                "https://api.github.com/repos/acme/lib/zipball/c0ffee",
            ),
            (
                Provider::GitHub,
                "https://git.acme.test/a/lib",
                "https://git.acme.test/api/v3/repos/a/lib/zipball/c0ffee",
            ),
            (
                Provider::GitLab,
                "https://gitlab.com/acme/sub/lib.git",
                "https://gitlab.com/api/v4/projects/acme%2Fsub%2Flib/repository/archive.zip?sha=c0ffee",
            ),
            (
                Provider::Gitea,
                "https://codeberg.org/acme/lib",
                "https://codeberg.org/api/v1/repos/acme/lib/archive/c0ffee.zip",
            ),
            (Provider::Bitbucket, "https://bitbucket.org/acme/lib", "https://bitbucket.org/acme/lib/get/c0ffee.zip"),
        ] {
            let found = provider.zip_url(&Url::parse(url).expect("a URL"), "c0ffee");
            assert_eq!(found.as_ref().map(Url::as_str), Some(expected));
        }
        assert_eq!(Provider::Git.zip_url(&Url::parse("https://git.test/acme/lib").expect("a URL"), "c0ffee"), None);
    }

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
