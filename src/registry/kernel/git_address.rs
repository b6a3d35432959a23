//! What people paste as the address of a git repository: an SSH address, one without its scheme, a page of a branch in a
//! browser. It becomes the https address that is asked, or is refused with the address to use.

use url::Url;

use crate::registry::kernel::provider::Provider;

/// Hosts that are reached by another name over SSH.
const SSH_HOSTS: [(&str, &str); 4] = [
    ("ssh.github.com", "github.com"),
    ("altssh.gitlab.com", "gitlab.com"),
    ("altssh.bitbucket.org", "bitbucket.org"),
    (AZURE_SSH_HOST, "dev.azure.com"),
];
const AZURE_SSH_HOST: &str = "ssh.dev.azure.com";

/// Why an address is not taken, though it can be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableAddress {
    /// It leads into the repository; which directory is meant can only be guessed, for branches have slashes too.
    #[error("is a page of the repository; use {repository}, and name a package's directory in `path`")]
    Page {
        /// The address to use.
        repository: String,
    },
}

/// The https address that `text` means, as far as it is understood; what is not is left as it is, for the check of
/// addresses to refuse.
pub fn read_git_address(text: &str) -> Result<String, UnusableAddress> {
    let text = text.trim();
    let address = from_ssh(text).or_else(|| with_scheme(text)).unwrap_or_else(|| text.to_owned());
    match Url::parse(&address) {
        Ok(url) if url.scheme() == "https" => without_page(url, address),
        _ => Ok(address),
    }
}

/// `ssh://git@host:22/path` and `git@host:path` as https. The user is whoever SSH signs in, and the port is SSH's.
fn from_ssh(text: &str) -> Option<String> {
    let (authority, path) = if let Some(rest) = text.strip_prefix("ssh://").or_else(|| text.strip_prefix("git+ssh://"))
    {
        rest.split_once('/')?
    } else {
        let (authority, path) = text.split_once(':')?;
        let is_short_form = !path.starts_with("//") && !authority.contains('/') && has_dot(authority);
        is_short_form.then_some((authority, path.trim_start_matches('/')))?
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') {
        return None;
    }
    let host = host.split_once(':').map_or(host, |(host, _)| host).to_ascii_lowercase();
    let path = if host == AZURE_SSH_HOST { azure_path(path)? } else { path.to_owned() };
    let known = SSH_HOSTS.iter().find(|(over_ssh, _)| *over_ssh == host);
    Some(format!("https://{}/{path}", known.map_or(host.as_str(), |(_, host)| host)))
}

/// Whether an authority has the dot of a public host's name, as no scheme has.
fn has_dot(authority: &str) -> bool {
    authority.rsplit('@').next().is_some_and(|host| host.contains('.'))
}

/// `v3/organization/project/repository` as https has it.
fn azure_path(path: &str) -> Option<String> {
    let mut parts = path.strip_prefix("v3/")?.splitn(3, '/');
    let (organization, project, repository) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{organization}/{project}/_git/{repository}"))
}

/// `host.test/path` with its scheme.
fn with_scheme(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("git://") {
        return Some(format!("https://{rest}"));
    }
    let (host, path) = text.split_once('/')?;
    let is_host = has_dot(host) && !host.contains([':', '@']) && !host.starts_with('.');
    (is_host && !path.is_empty()).then(|| format!("https://{text}"))
}

/// The repository's own address, when `url` is one of its pages at a host whose addresses are known.
fn without_page(mut url: Url, address: String) -> Result<String, UnusableAddress> {
    let provider = Provider::of_host(url.host_str().unwrap_or_default());
    if provider == Provider::Git {
        return Ok(address);
    }
    let path = url.path().trim_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let (repository, page) = split_page(provider, &parts);
    if page.is_empty() && url.query().is_none() && url.fragment().is_none() {
        return Ok(address);
    }
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&repository.join("/"));
    let repository = url.as_str().trim_end_matches('/').to_owned();
    if leads_into(provider, page) { Err(UnusableAddress::Page { repository }) } else { Ok(repository) }
}

/// The parts of a path that name the repository, and those behind them. Only GitLab has groups within groups; it keeps
/// them apart from pages by a dash, and never names a group `tree` or `blob`.
fn split_page<'p>(provider: Provider, parts: &'p [&'p str]) -> (&'p [&'p str], &'p [&'p str]) {
    let length = match provider {
        Provider::GitLab => parts.iter().position(|part| ["-", "tree", "blob"].contains(part)).unwrap_or(parts.len()),
        _ => parts.len().min(2),
    };
    parts.split_at(length)
}

/// Whether a page is that of a directory or a file: more than the name of a branch follows.
fn leads_into(provider: Provider, page: &[&str]) -> bool {
    match (provider, page) {
        (Provider::GitLab, ["-", rest @ ..]) => leads_into(provider, rest),
        (Provider::GitHub | Provider::GitLab, ["tree" | "blob", _, rest @ ..])
        | (Provider::Bitbucket, ["src", _, rest @ ..])
        | (Provider::Gitea, ["src", _, _, rest @ ..]) => !rest.is_empty(),
        _ => false,
    }
}

/// The address of a repository over SSH: `git@host:path`, as hosts show it.
pub fn ssh_address(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let path = url.path().trim_matches('/');
    match url.host_str()? {
        "dev.azure.com" => Some(format!("git@{AZURE_SSH_HOST}:v3/{}", path.replacen("/_git/", "/", 1))),
        host => Some(format!("git@{host}:{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_paste_is_understood() {
        for (pasted, expected) in [
            ("https://github.com/acme/lib", "https://github.com/acme/lib"),
            ("https://git.test/some/deep/path.git", "https://git.test/some/deep/path.git"),
            ("git@github.com:acme/lib.git", "https://github.com/acme/lib.git"),
            ("github.com:acme/lib.git", "https://github.com/acme/lib.git"),
            ("git@GitHub.com:/acme/lib.git", "https://github.com/acme/lib.git"),
            ("ssh://git@gitlab.com/acme/lib.git", "https://gitlab.com/acme/lib.git"),
            ("ssh://git@gitlab.acme.test:2222/acme/sub/lib.git", "https://gitlab.acme.test/acme/sub/lib.git"),
            ("git+ssh://git@github.com/acme/lib.git", "https://github.com/acme/lib.git"),
            ("ssh://git@ssh.github.com:443/acme/lib.git", "https://github.com/acme/lib.git"),
            ("git@ssh.dev.azure.com:v3/acme/shop/lib", "https://dev.azure.com/acme/shop/_git/lib"),
            ("git://github.com/acme/lib.git", "https://github.com/acme/lib.git"),
            ("github.com/acme/lib", "https://github.com/acme/lib"),
            ("  git.acme.test/lib.git ", "https://git.acme.test/lib.git"),
            ("https://github.com/acme/lib/tree/main", "https://github.com/acme/lib"),
            ("github.com/acme/lib/tree/2.x/", "https://github.com/acme/lib"),
            ("https://github.com/acme/lib/releases/tag/1.0.0", "https://github.com/acme/lib"),
            ("https://github.com/acme/lib?tab=readme-ov-file#install", "https://github.com/acme/lib"),
            ("https://gitlab.com/acme/sub/lib/-/tree/main?ref_type=heads", "https://gitlab.com/acme/sub/lib"),
            ("https://gitlab.com/acme/sub/lib", "https://gitlab.com/acme/sub/lib"),
            ("https://gitlab.com/acme/lib/-/issues", "https://gitlab.com/acme/lib"),
            ("https://bitbucket.org/acme/lib/src/main/", "https://bitbucket.org/acme/lib"),
            ("https://codeberg.org/acme/lib/src/branch/main", "https://codeberg.org/acme/lib"),
        ] {
            assert_eq!(read_git_address(pasted).as_deref(), Ok(expected), "{pasted}");
        }
    }

    #[test]
    fn a_page_of_a_directory_is_refused_with_the_address_to_use() {
        for (pasted, repository) in [
            ("https://github.com/acme/mono/tree/main/packages/api", "https://github.com/acme/mono"),
            ("https://github.com/acme/lib/tree/feature/new", "https://github.com/acme/lib"),
            ("https://github.com/acme/lib/blob/main/composer.json", "https://github.com/acme/lib"),
            ("https://gitlab.com/acme/sub/lib/-/tree/main/src", "https://gitlab.com/acme/sub/lib"),
            ("https://bitbucket.org/acme/lib/src/main/composer.json", "https://bitbucket.org/acme/lib"),
            ("https://codeberg.org/acme/lib/src/branch/main/src", "https://codeberg.org/acme/lib"),
        ] {
            let expected = UnusableAddress::Page { repository: repository.to_owned() };
            assert_eq!(read_git_address(pasted), Err(expected), "{pasted}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_for_the_check_of_addresses() {
        for text in
            ["acme/lib", "/srv/git/lib.git", "./lib", "C:/lib", "ftp://host.test/x", "ssh://git:secret@host.test/x", ""]
        {
            assert_eq!(read_git_address(text).as_deref(), Ok(text), "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_for_ssh_as_hosts_show_it() {
        for (address, expected) in [
            ("https://github.com/acme/lib", "git@github.com:acme/lib"),
            ("https://gitlab.acme.test:8443/acme/sub/lib.git", "git@gitlab.acme.test:acme/sub/lib.git"),
            ("https://dev.azure.com/acme/shop/_git/lib", "git@ssh.dev.azure.com:v3/acme/shop/lib"),
        ] {
            assert_eq!(ssh_address(address).as_deref(), Some(expected));
            let back = read_git_address(expected).expect("understood");
            assert_eq!(
                Url::parse(&back).map(|url| url.path().to_owned()),
                Url::parse(address).map(|url| url.path().to_owned())
            );
        }
        assert_eq!(ssh_address("nonsense"), None);
    }
}
