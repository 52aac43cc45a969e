//! Which addresses outside may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that a client of the family may connect to: public ones, and what its operator opened.
///
/// Look at an address where it is connected to, after its name was resolved: a name that answers
/// differently the next time gains nothing then. Closed are loopback, private, link-local (where clouds
/// keep their metadata), shared (CGNAT), benchmark, documentation, multicast and reserved addresses,
/// unique-local and site-local ones of IPv6, and what leads to an IPv4 address of these by mapping,
/// NAT64 or 6to4. `0.0.0.0` and `::` are no addresses of anybody and lead to this machine: nothing opens
/// them.
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
    /// answers its metadata stays closed in it, unless the network is that one address. A network of
    /// mapped addresses (`::ffff:10.20.0.0/112`) is the network of IPv4 that it maps; a wider one, such as
    /// `::/0`, opens nothing of IPv4.
    pub fn allow_network(mut self, address: IpAddr, prefix: u8) -> Self {
        self.networks.push(as_ipv4(address, prefix));
        self
    }

    /// Whether loopback addresses are open.
    pub fn allows_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = leads_to(address);
        if address.is_unspecified() {
            return false;
        }
        if address.is_loopback() {
            return self.loopback;
        }
        let is_metadata = METADATA.contains(&address) || leads_to_metadata(address);
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

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// Zeros between the first four parts and the last two.
const fn v6(a: u16, b: u16, g: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, g, h))
}

/// Where clouds answer their machines' metadata, with credentials among it.
const METADATA: [IpAddr; 13] = [
    v4(169, 254, 169, 254),
    // Containers of AWS: tasks, and pods with an identity.
    v4(169, 254, 170, 2),
    v4(169, 254, 170, 23),
    v6(0xfd00, 0xec2, 0, 0x23),
    v6(0xfd00, 0xec2, 0, 0x254),
    // Azure, Alibaba, Oracle, Scaleway.
    v4(168, 63, 129, 16),
    v4(100, 100, 100, 200),
    v4(192, 0, 0, 192),
    v4(169, 254, 42, 42),
    v6(0xfd00, 0x42, 0, 0x42),
    // Google, OpenStack, Oracle.
    v6(0xfd20, 0xce, 0, 0x254),
    v6(0xfe80, 0, 0xa9fe, 0xa9fe),
    v6(0xfd00, 0xc1, 0xa9fe, 0xa9fe),
];

/// The IPv4 address behind an IPv6 one: mapped, NAT64, 6to4, and the compatible ones of old.
fn leads_to(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    match v6.segments() {
        // `::` and `::1` are none of these.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x0064, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => joined(high, low),
        _ => address,
    }
}

fn joined(high: u16, low: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// Whether a translator of the operator's own (NAT64 by `64:ff9b:1::/48`) may lead to metadata: the
/// address behind it stands at one of two places.
fn leads_to_metadata(address: IpAddr) -> bool {
    let IpAddr::V6(v6) = address else {
        return false;
    };
    let [0x0064, 0xff9b, 1, high, mixed, low, g, h] = v6.segments() else {
        return false;
    };
    let behind_48 = joined(high, ((mixed & 0xff) << 8) | (low >> 8));
    METADATA.contains(&behind_48) || METADATA.contains(&joined(g, h))
}

/// A network of mapped or NAT64 addresses as what it leads to, which is what an address is looked at as.
fn as_ipv4(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    let (IpAddr::V6(v6), Some(bits)) = (address, prefix.checked_sub(96)) else {
        return (address, prefix);
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            (joined(high, low), bits)
        }
        _ => (address, prefix),
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
        let widest = wide.clone().allow_network("::".parse().unwrap(), 0);
        for address in METADATA {
            for wide in [&wide, &widest] {
                assert!(!wide.allows(address), "{address}");
                let meant = wide.clone().allow_network(address, length(address));
                assert!(meant.allows(address), "{address}");
            }
            for behind in behind(address) {
                assert!(!widest.allows(behind), "{behind}");
            }
        }
        for credentials in [
            "169.254.170.2",
            "169.254.170.23",
            "fd00:ec2::23",
            "fd20:ce::254",
        ] {
            assert!(
                !widest.allows(credentials.parse().unwrap()),
                "{credentials}"
            );
        }
    }

    /// Addresses of IPv6 that lead to one of IPv4.
    fn behind(address: IpAddr) -> Vec<IpAddr> {
        let IpAddr::V4(v4) = address else {
            return Vec::new();
        };
        let [a, b, c, d] = v4.octets();
        let texts = [
            format!("::ffff:{v4}"),
            format!("::{v4}"),
            format!("64:ff9b::{v4}"),
            format!("64:ff9b:1::{v4}"),
            format!("64:ff9b:1:{a:02x}{b:02x}:{c:02x}:{d:02x}00::"),
            format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
        ];
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn no_network_opens_what_is_nobodys_address() {
        let open =
            |network: &str, bits| Egress::default().allow_network(network.parse().unwrap(), bits);
        for egress in [
            open("0.0.0.0", 0),
            open("::", 0),
            open("0.0.0.0", 32),
            open("::", 128),
        ] {
            for nobodys in [
                "0.0.0.0",
                "::",
                "::ffff:0.0.0.0",
                "64:ff9b::",
                "127.0.0.1",
                "::1",
            ] {
                assert!(!egress.allows(nobodys.parse().unwrap()), "{nobodys}");
                let here = egress.clone().allow_loopback();
                let is_loopback = nobodys.ends_with('1');
                assert_eq!(
                    here.allows(nobodys.parse().unwrap()),
                    is_loopback,
                    "{nobodys}"
                );
            }
        }
    }

    #[test]
    fn a_network_of_mapped_addresses_is_the_one_that_it_maps() {
        for (network, bits) in [("::ffff:10.20.0.0", 112), ("64:ff9b::10.20.0.0", 112)] {
            let egress = Egress::default().allow_network(network.parse().unwrap(), bits);
            for (address, allowed) in [
                ("10.20.7.1", true),
                ("::ffff:10.20.7.1", true),
                ("10.21.0.1", false),
                ("::ffff:10.21.0.1", false),
            ] {
                assert_eq!(
                    egress.allows(address.parse().unwrap()),
                    allowed,
                    "{address}"
                );
            }
        }
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        for (bits, allowed) in [(96, false), (112, false), (127, false), (128, true)] {
            let egress =
                Egress::default().allow_network("::ffff:169.254.169.254".parse().unwrap(), bits);
            assert_eq!(egress.allows(metadata), allowed, "{bits}");
        }
    }
}
