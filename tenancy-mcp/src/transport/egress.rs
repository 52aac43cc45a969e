//! Where the transport may connect to.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tenancy_core::Egress;
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

    /// What the core of the family closes is closed here as well.
    fn allows(self, address: IpAddr) -> bool {
        let mut egress = Egress::default();
        if self.allow_loopback {
            egress = egress.allow_loopback();
        }
        if self.allow_private {
            for (network, bits) in PRIVATE {
                egress = egress.allow_network(network, bits);
            }
        }
        egress.allows(address)
    }
}

/// The networks that are anybody's own.
const PRIVATE: [(IpAddr, u8); 4] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    (IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    (IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

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
            "https://168.63.129.16/",
            "https://192.0.0.192/",
            "https://192.88.99.1/",
            "https://[fd00:ec2::254]/",
            "https://[3fff::1]/",
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
        assert!(private.check("https://[fd12::7]/").is_ok());
        for metadata in ["https://169.254.169.254/", "https://[fd00:ec2::254]/"] {
            assert!(private.check(metadata).is_err(), "{metadata}");
        }
    }

    #[tokio::test]
    async fn a_name_that_points_inside_does_not_resolve() {
        let dns = PublicDns::shared(EgressPolicy::default());
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_err());
        let dns = PublicDns::shared(EgressPolicy::default().with_loopback(true));
        assert!(dns.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
