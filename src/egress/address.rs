//! Which addresses are not on the public internet, as data.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network that no stranger may have us connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    pub network: IpNet,
    /// What it is, as in "127.0.0.1 is loopback".
    pub what: &'static str,
    /// Who says so: an RFC, or the owner.
    pub source: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.source)
    }
}

/// The rule that forbids `address`; `None` for a public one.
///
/// IPv4-mapped IPv6 is judged as the IPv4 that it is. Addresses that carry an IPv4 through a gateway (NAT64, 6to4, Teredo)
/// are forbidden whatever they carry: which gateway they pass is not ours to know.
pub fn forbidden(address: IpAddr) -> Option<Forbidden> {
    let address = address.to_canonical();
    FORBIDDEN.iter().find(|rule| rule.network.contains(&address)).copied()
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8, what: &'static str, source: &'static str) -> Forbidden {
    Forbidden { network: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)), what, source }
}

/// The first four groups of the network; the others are zero in all of them.
const fn v6(groups: [u16; 4], bits: u8, what: &'static str, source: &'static str) -> Forbidden {
    let [a, b, c, d] = groups;
    let address = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
    Forbidden { network: IpNet::V6(Ipv6Net::new_assert(address, bits)), what, source }
}

const fn v6_one(last: u16, what: &'static str, source: &'static str) -> Forbidden {
    Forbidden { network: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last), 128)), what, source }
}

/// The first that contains an address is named, so narrow ones stand before the wide ones around them.
///
/// Source: IANA's special-purpose address registries for IPv4 and IPv6, and the multicast ones (read 2026-11-22).
pub const FORBIDDEN: &[Forbidden] = &[
    v4(0, 0, 0, 0, 8, "this host or network", "RFC 791"),
    v4(10, 0, 0, 0, 8, "private", "RFC 1918"),
    v4(100, 64, 0, 0, 10, "shared by a carrier's NAT", "RFC 6598"),
    v4(127, 0, 0, 0, 8, "loopback", "RFC 1122"),
    // Public by its number, and answered on every Azure machine by the host beneath it.
    v4(168, 63, 129, 16, 32, "Azure's platform address", "Microsoft"),
    v4(169, 254, 169, 254, 32, "link-local, where clouds keep credentials", "RFC 3927"),
    v4(169, 254, 0, 0, 16, "link-local", "RFC 3927"),
    v4(172, 16, 0, 0, 12, "private", "RFC 1918"),
    v4(192, 0, 0, 0, 24, "for protocols", "RFC 6890"),
    v4(192, 0, 2, 0, 24, "for documentation", "RFC 5737"),
    v4(192, 88, 99, 0, 24, "a 6to4 relay", "RFC 7526"),
    v4(192, 168, 0, 0, 16, "private", "RFC 1918"),
    v4(198, 18, 0, 0, 15, "for benchmarks", "RFC 2544"),
    v4(198, 51, 100, 0, 24, "for documentation", "RFC 5737"),
    v4(203, 0, 113, 0, 24, "for documentation", "RFC 5737"),
    v4(224, 0, 0, 0, 4, "multicast", "RFC 5771"),
    v4(255, 255, 255, 255, 32, "broadcast", "RFC 919"),
    v4(240, 0, 0, 0, 4, "reserved", "RFC 1112"),
    v6_one(0, "unspecified", "RFC 4291"),
    v6_one(1, "loopback", "RFC 4291"),
    v6([0x64, 0xff9b, 0, 0], 96, "an IPv4 address behind NAT64", "RFC 6052"),
    v6([0x64, 0xff9b, 1, 0], 48, "an IPv4 address behind a local NAT64", "RFC 8215"),
    // With the IPv4-compatible ones; the IPv4-mapped ones have become IPv4 before they come here.
    v6([0, 0, 0, 0], 8, "reserved", "RFC 4291"),
    v6([0x100, 0, 0, 0], 64, "for discarding", "RFC 6666"),
    v6([0x2001, 0, 0, 0], 32, "an IPv4 address behind Teredo", "RFC 4380"),
    v6([0x2001, 2, 0, 0], 48, "for benchmarks", "RFC 5180"),
    v6([0x2001, 0, 0, 0], 23, "for protocols", "RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0], 32, "for documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0], 16, "an IPv4 address behind 6to4", "RFC 3056"),
    v6([0x3ffe, 0, 0, 0], 16, "the former 6bone", "RFC 3701"),
    v6([0x3fff, 0, 0, 0], 20, "for documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0], 16, "a segment's identifier", "RFC 9602"),
    v6([0xfc00, 0, 0, 0], 7, "private", "RFC 4193"),
    v6([0xfe80, 0, 0, 0], 10, "link-local", "RFC 4291"),
    v6([0xfec0, 0, 0, 0], 10, "site-local", "RFC 3879"),
    v6([0xff00, 0, 0, 0], 8, "multicast", "RFC 4291"),
    // All the rest around 2000::/3, which alone is given out as global unicast.
    v6([0, 0, 0, 0], 3, "not given out", "RFC 4291"),
    v6([0x4000, 0, 0, 0], 2, "not given out", "RFC 4291"),
    v6([0x8000, 0, 0, 0], 1, "not given out", "RFC 4291"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// The addresses right before and right after a network, where there are any.
    fn neighbours(network: IpNet) -> Vec<IpAddr> {
        let (first, last) = (network.network(), network.broadcast());
        let beside = |address: IpAddr, up: bool| match address {
            IpAddr::V4(v4) => {
                let bits = if up { v4.to_bits().checked_add(1) } else { v4.to_bits().checked_sub(1) };
                bits.map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
            }
            IpAddr::V6(v6) => {
                let bits = if up { v6.to_bits().checked_add(1) } else { v6.to_bits().checked_sub(1) };
                bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)))
            }
        };
        beside(first, false).into_iter().chain(beside(last, true)).collect()
    }

    #[test]
    fn each_network_is_forbidden_from_its_first_to_its_last_address() {
        for rule in FORBIDDEN {
            assert_eq!(rule.network, rule.network.trunc(), "{rule}");
            for edge in [rule.network.network(), rule.network.broadcast()] {
                assert!(forbidden(edge).is_some(), "{edge}");
            }
        }
    }

    #[test]
    fn beside_each_network_the_others_decide() {
        for rule in FORBIDDEN {
            for beside in neighbours(rule.network) {
                let other = FORBIDDEN.iter().find(|other| other.network.contains(&beside.to_canonical()));
                assert_eq!(forbidden(beside), other.copied(), "{beside}");
            }
        }
    }

    #[test]
    fn no_rule_is_hidden_by_an_earlier_one() {
        for (place, rule) in FORBIDDEN.iter().enumerate() {
            let hides = FORBIDDEN[..place].iter().find(|earlier| earlier.network.contains(&rule.network));
            assert_eq!(hides, None, "{}", rule.network);
        }
    }

    #[test]
    fn public_addresses_are_free_up_to_both_edges() {
        for free in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::",
            "2001:200::",
            "2001:db7:ffff::1",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3ffd:ffff::1",
            "3fff:1000::",
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(forbidden(at(free)), None, "{free}");
        }
    }

    #[test]
    fn a_rule_says_what_it_is_and_who_says_so() {
        let says = |address| forbidden(at(address)).map(|rule| rule.to_string());
        assert_eq!(says("127.0.0.1").as_deref(), Some("loopback (RFC 1122)"));
        assert_eq!(says("::ffff:10.0.0.1").as_deref(), Some("private (RFC 1918)"));
        assert_eq!(says("64:ff9b::808:808").as_deref(), Some("an IPv4 address behind NAT64 (RFC 6052)"));
        assert_eq!(says("::127.0.0.1").as_deref(), Some("reserved (RFC 4291)"));
        assert_eq!(says("fd00:ec2::254").as_deref(), Some("private (RFC 4193)"));
        assert_eq!(says("0200::1").as_deref(), Some("not given out (RFC 4291)"));
    }

    proptest::proptest! {
        #[test]
        fn a_mapped_address_is_its_ipv4(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            proptest::prop_assert_eq!(forbidden(v4.to_ipv6_mapped().into()), forbidden(v4.into()));
        }

        #[test]
        fn nothing_outside_2000_3_is_free(bits: u128) {
            let v6 = Ipv6Addr::from_bits(bits);
            if v6.to_ipv4_mapped().is_none() && bits >> 125 != 1 {
                proptest::prop_assert!(forbidden(v6.into()).is_some());
            }
        }
    }
}
