//! Which addresses outside may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a client of the family may connect to: public ones, and what its operator opened.
///
/// Look at an address where it is connected to, after its name was resolved: a name that answers
/// differently the next time gains nothing then. Closed are loopback, private, link-local (where clouds
/// keep their metadata), shared (CGNAT), benchmark, documentation, multicast and reserved addresses,
/// unique-local and site-local ones of IPv6, and what leads to an IPv4 address of these by mapping,
/// NAT64 or 6to4.
///
/// ```
/// use tenancy_core::Egress;
///
/// let egress = Egress::default().allow_network("10.20.0.0".parse()?, 16);
/// assert!(egress.allows("10.20.7.1".parse()?) && !egress.allows("10.21.0.1".parse()?));
/// assert!(!egress.allows("169.254.169.254".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Egress {
    loopback: bool,
    /// Addresses with the number of bits that count.
    networks: Vec<(IpAddr, u8)>,
}

impl Egress {
    /// Opens this machine's loopback addresses: for development and tests.
    pub fn allow_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// Opens a network of the operator's own, such as `10.20.0.0/16`. An address on which a cloud
    /// answers its metadata stays closed in it, unless the network is that one address.
    pub fn allow_network(mut self, address: IpAddr, prefix: u8) -> Self {
        self.networks.push((address, prefix));
        self
    }

    /// Whether loopback addresses are open.
    pub fn allows_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = leads_to(address);
        if address.is_loopback() {
            return self.loopback;
        }
        let is_metadata = METADATA.contains(&address);
        let open = |(network, bits): &(IpAddr, u8)| {
            within(address, *network, *bits) && (!is_metadata || *bits >= length(address))
        };
        self.networks.iter().any(open)
            || match address {
                IpAddr::V4(v4) => is_public_v4(v4),
                IpAddr::V6(v6) => is_public_v6(v6),
            }
    }
}

fn length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Where clouds answer their machines' metadata, with credentials among it.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

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

    #[test]
    fn a_network_is_as_long_as_it_says() {
        let (one, other) = ("1.2.3.4".parse().unwrap(), "9.9.9.9".parse().unwrap());
        assert!(within(one, other, 0) && !within(one, other, 8));
        assert!(within("::1".parse().unwrap(), "::1".parse().unwrap(), 255));
    }

    #[test]
    fn no_wide_network_opens_a_clouds_metadata() {
        let wide = Egress::default()
            .allow_network("0.0.0.0".parse().unwrap(), 0)
            .allow_network("fc00::".parse().unwrap(), 7);
        assert!(
            wide.allows("10.0.0.1".parse().unwrap()) && wide.allows("fd00::1".parse().unwrap())
        );
        for address in METADATA {
            assert!(!wide.allows(address), "{address}");
            let meant = wide.clone().allow_network(address, length(address));
            assert!(meant.allows(address), "{address}");
        }
    }
}
