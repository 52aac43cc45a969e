//! Which addresses may be reached.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What is open beside public addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    pub(super) loopback: bool,
    /// Addresses with the number of bits that count.
    pub(super) networks: Vec<(IpAddr, u8)>,
}

impl Allowed {
    /// Whether the URL may be asked for. A name is looked at when it is resolved; a literal address
    /// is connected to without that, so it is looked at here.
    pub(super) fn url(&self, url: &Url) -> bool {
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return false,
        };
        let here = match literal {
            Some(address) => address.is_loopback(),
            None => url.host_str() == Some("localhost"),
        };
        let scheme = match url.scheme() {
            "https" => true,
            "http" => here && self.loopback,
            _ => false,
        };
        scheme && literal.is_none_or(|address| self.address(address))
    }

    pub(super) fn address(&self, address: IpAddr) -> bool {
        let address = leads_to(address);
        if address.is_loopback() {
            return self.loopback;
        }
        let open = |(network, bits): &(IpAddr, u8)| within(address, *network, *bits);
        self.networks.iter().any(open)
            || match address {
                IpAddr::V4(v4) => is_public_v4(v4),
                IpAddr::V6(v6) => is_public_v6(v6),
            }
    }
}

/// Resolves names, and leaves out the addresses that may not be reached: what it answers is what is
/// connected to.
#[derive(Debug)]
pub(super) struct CheckedDns(pub(super) Arc<Allowed>);

impl Resolve for CheckedDns {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found
                .filter(|address| allowed.address(address.ip()))
                .collect();
            if open.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// No address of a name may be reached.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name has no address that may be reached")
    }
}

impl std::error::Error for Refused {}

/// The IPv4 address behind an IPv6 one: mapped, NAT64, 6to4.
fn leads_to(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let v4 =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (one, other, length) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    let rest = length - u32::from(bits).min(length);
    // A shift by the whole length is none that Rust knows.
    one.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
}

/// Networks of IPv4 that are not the public internet (the registry of special-purpose addresses),
/// and the one public address that a cloud answers its metadata on.
const CLOSED_V4: [(Ipv4Addr, u8); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4
        .iter()
        .any(|(network, bits)| within(address.into(), (*network).into(), *bits))
}

/// Global unicast (`2000::/3`), but for what the registry takes out of it: protocols and Teredo,
/// documentation, 6to4 (looked at as IPv4 before), AS112.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let special = match a {
        0x2001 => b < 0x0200 || b == 0x0db8,
        0x2620 => b == 0x004f && c == 0x8000,
        0x3fff => b < 0x1000,
        _ => false,
    };
    (0x2000..=0x3fff).contains(&a) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(allowed: &Allowed, text: &str) -> bool {
        allowed.url(&Url::parse(text).unwrap())
    }

    #[test]
    fn public_addresses_are_open_by_https() {
        let allowed = Allowed::default();
        for good in [
            "https://hooks.example.com/x",
            "https://8.8.8.8/",
            "https://1.1.1.1:8443/",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://[2606:4700::1111]/",
            "https://[::ffff:8.8.8.8]/",
            "https://[64:ff9b::808:808]/",
        ] {
            assert!(url(&allowed, good), "{good}");
        }
    }

    #[test]
    fn by_default_everything_else_is_closed() {
        let allowed = Allowed::default();
        for (class, bad) in [
            ("plain", "http://hooks.example.com/x"),
            ("plain", "http://8.8.8.8/"),
            ("plain", "http://localhost/"),
            ("scheme", "ftp://example.com/"),
            ("scheme", "file:///etc/passwd"),
            ("unspecified", "https://0.0.0.0/"),
            ("this network", "https://0.1.2.3/"),
            ("loopback", "https://127.0.0.1/"),
            ("loopback", "https://127.255.0.9/"),
            ("loopback as a number", "https://2130706433/"),
            ("loopback in hexadecimal", "https://0x7f.1/"),
            ("loopback in octal", "https://0177.0.0.1/"),
            ("loopback v6", "https://[::1]/"),
            ("unspecified v6", "https://[::]/"),
            ("private", "https://10.0.0.1/"),
            ("private", "https://172.31.255.255/"),
            ("private", "https://192.168.1.1/"),
            ("link-local", "https://169.254.0.1/"),
            ("metadata", "https://169.254.169.254/latest/meta-data"),
            ("metadata", "https://168.63.129.16/"),
            ("metadata", "https://100.100.100.200/"),
            ("metadata", "https://192.0.0.192/"),
            ("metadata v6", "https://[fd00:ec2::254]/"),
            ("shared", "https://100.64.0.1/"),
            ("shared", "https://100.127.255.255/"),
            ("benchmark", "https://198.18.0.1/"),
            ("benchmark", "https://198.19.255.1/"),
            ("documentation", "https://192.0.2.1/"),
            ("documentation", "https://198.51.100.1/"),
            ("documentation", "https://203.0.113.1/"),
            ("documentation v6", "https://[2001:db8::1]/"),
            ("documentation v6", "https://[3fff::1]/"),
            ("multicast", "https://224.0.0.1/"),
            ("reserved", "https://240.0.0.1/"),
            ("broadcast", "https://255.255.255.255/"),
            ("mapped loopback", "https://[::ffff:127.0.0.1]/"),
            ("mapped private", "https://[::ffff:10.0.0.1]/"),
            ("mapped metadata", "https://[::ffff:a9fe:a9fe]/"),
            ("compatible", "https://[::10.0.0.1]/"),
            ("NAT64", "https://[64:ff9b::a9fe:a9fe]/"),
            ("NAT64 of a network's own", "https://[64:ff9b:1::a00:1]/"),
            ("6to4", "https://[2002:7f00:1::]/"),
            ("Teredo", "https://[2001::1]/"),
            ("unique-local", "https://[fd00::1]/"),
            ("unique-local", "https://[fc00::1]/"),
            ("link-local v6", "https://[fe80::1]/"),
            ("site-local", "https://[fec0::1]/"),
            ("multicast v6", "https://[ff02::1]/"),
        ] {
            assert!(!url(&allowed, bad), "{class}: {bad}");
        }
    }

    #[test]
    fn what_the_operator_opens_is_open_and_nothing_beside_it() {
        let here = Allowed {
            loopback: true,
            ..Allowed::default()
        };
        for good in [
            "http://127.0.0.1:80/",
            "http://localhost:80/",
            "http://[::1]:80/",
        ] {
            assert!(url(&here, good), "{good}");
        }
        for bad in [
            "http://10.0.0.1/",
            "https://10.0.0.1/",
            "http://example.com/",
        ] {
            assert!(!url(&here, bad), "{bad}");
        }
        let inside = Allowed {
            networks: vec![
                ("10.20.0.0".parse().unwrap(), 16),
                ("fd12::".parse().unwrap(), 16),
            ],
            ..Allowed::default()
        };
        for good in [
            "https://10.20.255.1/",
            "https://[fd12::7]/",
            "https://[::ffff:10.20.0.1]/",
        ] {
            assert!(url(&inside, good), "{good}");
        }
        for bad in [
            "https://10.21.0.1/",
            "http://10.20.0.1/",
            "https://[fd13::7]/",
            "https://169.254.169.254/",
        ] {
            assert!(!url(&inside, bad), "{bad}");
        }
        assert!(within(
            "1.2.3.4".parse().unwrap(),
            "9.9.9.9".parse().unwrap(),
            0
        ));
        assert!(within("::1".parse().unwrap(), "::1".parse().unwrap(), 255));
    }

    #[tokio::test]
    async fn a_name_that_points_inside_does_not_resolve() {
        let dns = CheckedDns(Arc::new(Allowed::default()));
        let refused = dns.resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().is::<Refused>());
        let dns = CheckedDns(Arc::new(Allowed {
            loopback: true,
            ..Allowed::default()
        }));
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
