//! Which addresses may be asked. Only https, and no private, loopback or link-local address, unless the operator allows
//! them for local use. What a name resolves to cannot be seen from here; Cloudflare's egress does not reach private
//! networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why an address is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenUrl {
    /// Not a URL at all.
    #[error("is not a URL; use https://host/path")]
    NotAUrl,
    /// ssh, file, git://, http.
    #[error("must start with https://")]
    NotHttps,
    /// `https://user:password@host`.
    #[error("must not hold credentials; put them into `auth_credentials`")]
    HoldsCredentials,
    /// `?` or `#`.
    #[error("must not have a query or a fragment")]
    HasQuery,
    /// An address inside somebody's network.
    #[error("must not lead to a private, loopback or link-local address")]
    Private,
}

/// Whether only public https addresses may be asked, or any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// https to public addresses.
    Public,
    /// http, loopback and private addresses too; for local use and tests.
    Anywhere,
}

/// Checks an address that a user has given.
pub fn check_url(text: &str, reach: AddressPolicy) -> Result<Url, ForbiddenUrl> {
    let url = Url::parse(text).map_err(|_| ForbiddenUrl::NotAUrl)?;
    check_target(&url, reach)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ForbiddenUrl::HasQuery);
    }
    Ok(url)
}

/// Checks an address that is about to be asked, whoever has given it.
pub fn check_target(url: &Url, reach: AddressPolicy) -> Result<(), ForbiddenUrl> {
    match (url.scheme(), reach) {
        ("https", _) | ("http", AddressPolicy::Anywhere) => {}
        _ => return Err(ForbiddenUrl::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ForbiddenUrl::HoldsCredentials);
    }
    match url.host() {
        None => Err(ForbiddenUrl::NotAUrl),
        Some(_) if reach == AddressPolicy::Anywhere => Ok(()),
        Some(host) if is_private(&host) => Err(ForbiddenUrl::Private),
        Some(_) => Ok(()),
    }
}

fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => !is_public(IpAddr::V4(*address)),
        Host::Ipv6(address) => !is_public(IpAddr::V6(*address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let inside = ["localhost", "local", "internal", "lan", "home.arpa", "intranet", "corp", "home"];
            !name.contains('.') || inside.iter().any(|suffix| name.ends_with(&format!(".{suffix}")))
        }
    }
}

/// Whether an address belongs to the public internet, by IANA's special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !special
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let [first, second, ..] = v6.segments();
    // Only 2000::/3 is given out; in it, 6to4, Teredo, documentation and benchmarks are not hosts.
    (0x2000..0x4000).contains(&first)
        && first != 0x2002
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_addresses_may_be_asked() {
        for url in ["https://github.com/acme/lib", "https://8.8.8.8/x", "https://[2606:4700::1]/x"] {
            assert!(check_url(url, AddressPolicy::Public).is_ok(), "{url}");
        }
        for (url, expected) in [
            ("http://github.com/acme/lib", ForbiddenUrl::NotHttps),
            ("ssh://git@github.com/acme/lib", ForbiddenUrl::NotHttps),
            ("git@github.com:acme/lib.git", ForbiddenUrl::NotAUrl),
            ("file:///etc/passwd", ForbiddenUrl::NotHttps),
            ("https://user:secret@github.com/acme/lib", ForbiddenUrl::HoldsCredentials),
            ("https://github.com/acme/lib?x=1", ForbiddenUrl::HasQuery),
            ("https://127.0.0.1/x", ForbiddenUrl::Private),
            ("https://2130706433/x", ForbiddenUrl::Private),
            ("https://0x7f.1/x", ForbiddenUrl::Private),
            ("https://10.1.2.3/x", ForbiddenUrl::Private),
            ("https://172.31.0.1/x", ForbiddenUrl::Private),
            ("https://192.168.1.1/x", ForbiddenUrl::Private),
            ("https://169.254.169.254/latest", ForbiddenUrl::Private),
            ("https://100.64.0.1/x", ForbiddenUrl::Private),
            ("https://0.0.0.0/x", ForbiddenUrl::Private),
            ("https://[::1]/x", ForbiddenUrl::Private),
            ("https://[::ffff:10.0.0.1]/x", ForbiddenUrl::Private),
            ("https://[fe80::1]/x", ForbiddenUrl::Private),
            ("https://[fd00::1]/x", ForbiddenUrl::Private),
            ("https://localhost/x", ForbiddenUrl::Private),
            ("https://localhost./x", ForbiddenUrl::Private),
            ("https://git.internal/x", ForbiddenUrl::Private),
            ("https://gitserver/x", ForbiddenUrl::Private),
        ] {
            assert_eq!(check_url(url, AddressPolicy::Public).err(), Some(expected), "{url}");
        }
    }

    #[test]
    fn local_use_may_ask_loopback_over_http_but_never_with_credentials_in_the_url() {
        assert!(check_url("http://127.0.0.1:8080/repo.git", AddressPolicy::Anywhere).is_ok());
        assert_eq!(
            check_url("http://u:p@127.0.0.1/x", AddressPolicy::Anywhere).err(),
            Some(ForbiddenUrl::HoldsCredentials)
        );
    }
}
