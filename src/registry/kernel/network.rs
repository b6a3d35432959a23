//! Networks: by what an address is counted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network. An IPv6 host has a whole /64 to itself, and whoever is given a /48 has 65,536 of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// One IPv4 address, which many people may share.
    V4(Ipv4Addr),
    /// An IPv6 /64, by its first address.
    V6Host(Ipv6Addr),
    /// An IPv6 /48, by its first address.
    V6Site(Ipv6Addr),
    /// That of requests whose address is not known.
    Unknown,
}

impl Network {
    /// The smallest network that an address is counted by.
    pub fn of_host(address: Option<&str>) -> Self {
        match parse(address) {
            None => Self::Unknown,
            Some(IpAddr::V4(v4)) => Self::V4(v4),
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, d, ..] = v6.segments();
                Self::V6Host(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }

    /// The largest one.
    pub fn of_site(address: Option<&str>) -> Self {
        match parse(address) {
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, ..] = v6.segments();
                Self::V6Site(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
            }
            _ => Self::of_host(address),
        }
    }
}

fn parse(address: Option<&str>) -> Option<IpAddr> {
    // An IPv4 address that is written as an IPv6 one is that of one host.
    address?.parse().ok().map(|address: IpAddr| address.to_canonical())
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6Host(first) => write!(f, "{first}/64"),
            Self::V6Site(first) => write!(f, "{first}/48"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_counted_by_its_64_and_its_48() {
        let both = |address| {
            let address = Some(address);
            (Network::of_host(address).to_string(), Network::of_site(address).to_string())
        };
        let expected = ("2001:db8:1:2::/64".to_owned(), "2001:db8:1::/48".to_owned());
        assert_eq!(both("2001:db8:1:2:3:4:5:6"), expected);
        assert_eq!(both("2001:db8:1:2:ffff::9"), expected);
        assert_eq!(both("2001:db8:1:3::1").1, expected.1);
        assert_ne!(both("2001:db8:1:3::1").0, expected.0);
        for v4 in ["203.0.113.9", "::ffff:203.0.113.9"] {
            assert_eq!(both(v4), ("203.0.113.9".to_owned(), "203.0.113.9".to_owned()), "{v4}");
        }
        assert_eq!(both("nonsense"), ("unknown".to_owned(), "unknown".to_owned()));
        assert_eq!(Network::of_site(None), Network::Unknown);
    }
}
