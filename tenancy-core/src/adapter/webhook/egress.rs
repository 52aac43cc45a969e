//! Which URLs may be asked for, and the addresses that their names lead to.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::Egress;

/// Whether the URL may be asked for. A name is looked at when it is resolved; a literal address is
/// connected to without that, so it is looked at here.
pub(super) fn may_ask(egress: &Egress, url: &Url) -> bool {
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
        "http" => here && egress.allows_loopback(),
        _ => false,
    };
    scheme && literal.is_none_or(|address| egress.allows(address))
}

/// Resolves names, and leaves out the addresses that may not be reached: what it answers is what is
/// connected to.
#[derive(Debug)]
pub(super) struct CheckedDns(pub(super) Arc<Egress>);

impl Resolve for CheckedDns {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let open: Vec<SocketAddr> = found
                .filter(|address| allowed.allows(address.ip()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn url(allowed: &Egress, text: &str) -> bool {
        may_ask(allowed, &Url::parse(text).unwrap())
    }

    #[test]
    fn public_addresses_are_open_by_https() {
        let allowed = Egress::default();
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
        let allowed = Egress::default();
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
        let here = Egress::default().allow_loopback();
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
        let inside = Egress::default()
            .allow_network("10.20.0.0".parse().unwrap(), 16)
            .allow_network("fd12::".parse().unwrap(), 16);
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
    }

    #[tokio::test]
    async fn a_name_that_points_inside_does_not_resolve() {
        let dns = CheckedDns(Arc::new(Egress::default()));
        let refused = dns.resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().is::<Refused>());
        let dns = CheckedDns(Arc::new(Egress::default().allow_loopback()));
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
