//! Where the transport may connect to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::{CallFault, FaultKind};

/// Which endpoints may be reached. By default: `https`, at public addresses.
///
/// Names are looked at after they are resolved, at each connecting, so that a name that points
/// into the host's own network is of no use. Redirects are never followed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EgressPolicy {
    /// Whether `http` and `https` to this machine's loopback addresses are allowed: for
    /// development and tests.
    pub allow_loopback: bool,
    /// Whether `https` to private addresses is allowed: for servers in the host's own network
    /// that its operator entered in the catalog.
    pub allow_private: bool,
}

impl EgressPolicy {
    /// Allows this machine's loopback addresses.
    pub fn with_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Allows private addresses.
    pub fn with_private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// Refuses a URL whose scheme or literal address is not allowed. Names are looked at later.
    pub(super) fn check(self, endpoint: &str) -> Result<Url, CallFault> {
        let forbidden = |why: &str| CallFault::unsent(FaultKind::Forbidden, why);
        let url = Url::parse(endpoint).map_err(|_| forbidden("the endpoint is no URL"))?;
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(forbidden("the endpoint has no host")),
        };
        if literal.is_some_and(|address| !self.allows(address)) {
            return Err(forbidden("the endpoint's address is not public"));
        }
        let local = literal.is_some_and(|address| address.is_loopback())
            || url.host_str() == Some("localhost");
        match url.scheme() {
            "https" => Ok(url),
            "http" if local && self.allow_loopback => Ok(url),
            _ => Err(forbidden("the endpoint is not https")),
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        let address = embedded_v4(address).map_or(address, IpAddr::V4);
        match address {
            _ if address.is_loopback() => self.allow_loopback,
            IpAddr::V4(v4) => is_public_v4(v4) || (self.allow_private && v4.is_private()),
            IpAddr::V6(v6) => is_public_v6(v6) || (self.allow_private && v6.is_unique_local()),
        }
    }
}

/// Resolves names, and leaves out the addresses that are not allowed.
#[derive(Debug)]
pub(super) struct PublicDns(pub(super) EgressPolicy);

impl Resolve for PublicDns {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| policy.allows(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err("the name has no address that may be reached".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl PublicDns {
    pub(super) fn shared(policy: EgressPolicy) -> Arc<Self> {
        Arc::new(Self(policy))
    }
}

/// The IPv4 address that an IPv6 address leads to: mapped, 6to4, NAT64.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match v6.segments() {
        [0x2002, high, low, ..] | [0x0064, 0xff9b, .., high, low] => Some(join(high, low)),
        _ => v6.to_ipv4_mapped(),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && (64..=127).contains(&b);
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (18..=19).contains(&b);
    !(a == 0
        || a >= 224
        || v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || shared
        || protocol
        || benchmark)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // Only global unicast, without documentation (2001:db8::/32) and the special block
    // 2001::/23, where Teredo lives.
    (0x2000..=0x3fff).contains(&a) && !(a == 0x2001 && (b == 0x0db8 || b < 0x0200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_only_https_to_public_addresses_is_allowed() {
        let policy = EgressPolicy::default();
        for good in [
            "https://mcp.example.com/mcp",
            "https://8.8.8.8/mcp",
            "https://[2606:4700::1]/",
        ] {
            assert!(policy.check(good).is_ok(), "{good}");
        }
        let bad = [
            "http://mcp.example.com/mcp",
            "http://localhost:8000/",
            "https://127.0.0.1/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://2130706433/",
            "https://0x7f.1/",
            "ftp://mcp.example.com/",
            "file:///etc/passwd",
        ];
        for bad in bad {
            let fault = policy.check(bad).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Forbidden, "{bad}");
        }
    }

    #[test]
    fn loopback_and_private_addresses_are_allowed_only_where_the_operator_says_so() {
        let local = EgressPolicy::default().with_loopback(true);
        assert!(local.check("http://127.0.0.1:8000/mcp").is_ok());
        assert!(local.check("http://localhost:8000/mcp").is_ok());
        assert!(local.check("http://10.0.0.1/").is_err());
        let private = EgressPolicy::default().with_private(true);
        assert!(private.check("https://10.0.0.1/").is_ok());
        assert!(private.check("https://169.254.169.254/").is_err());
    }

    #[tokio::test]
    async fn a_name_that_points_inside_does_not_resolve() {
        let dns = PublicDns::shared(EgressPolicy::default());
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_err());
        let dns = PublicDns::shared(EgressPolicy::default().with_loopback(true));
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
