//! Client addresses, as lists of addresses and networks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and networks, IPv4-mapped IPv6 already written as IPv4.
///
/// Whoever asks for one address is answered by two searches at most, however many there are.
#[derive(Debug, Clone, Default)]
pub struct Networks {
    /// As they were written.
    nets: Vec<IpNet>,
    /// The same as first and last addresses, sorted, those that touch made one.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Networks {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.nets.is_empty()
    }

    /// How many were written.
    pub fn len(&self) -> usize {
        self.nets.len()
    }

    /// Each of them, as it was written.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.nets.iter()
    }

    /// True if `address`, which is canonical, is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => cover(&self.v4, address.into(), address.into()),
            IpAddr::V6(address) => cover(&self.v6, address.into(), address.into()),
        }
    }

    /// True if every address of `net` is in one of them, not all in the same.
    pub fn cover(&self, net: &IpNet) -> bool {
        match net {
            IpNet::V4(net) => cover(&self.v4, net.network().into(), net.broadcast().into()),
            IpNet::V6(net) => cover(&self.v6, net.network().into(), net.broadcast().into()),
        }
    }
}

impl PartialEq for Networks {
    /// True if they are the same addresses, however written.
    fn eq(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.v6 == other.v6
    }
}

impl Eq for Networks {}

impl From<Vec<IpNet>> for Networks {
    fn from(nets: Vec<IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in &nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().into(), net.broadcast().into())),
                IpNet::V6(net) => v6.push((net.network().into(), net.broadcast().into())),
            }
        }
        let (v4, v6) = (merged(v4, u32::checked_add), merged(v6, u128::checked_add));
        Self { nets, v4, v6 }
    }
}

/// True if one of `ranges`, which are sorted and apart, has all from `first` to `last`.
fn cover<N: Copy + Ord>(ranges: &[(N, N)], first: N, last: N) -> bool {
    let after = ranges.partition_point(|(begins, _)| *begins <= first);
    after.checked_sub(1).and_then(|place| ranges.get(place)).is_some_and(|(_, ends)| last <= *ends)
}

/// The same ranges, sorted, those that overlap or touch made one. `add` is the numbers' own.
fn merged<N: Copy + Ord + From<u8>>(mut ranges: Vec<(N, N)>, add: fn(N, N) -> Option<N>) -> Vec<(N, N)> {
    ranges.sort_unstable();
    let mut merged: Vec<(N, N)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            // What ends at the last address of all touches whatever comes after.
            Some((_, ends)) if add(*ends, 1.into()).is_none_or(|next| first <= next) => *ends = last.max(*ends),
            _ => merged.push((first, last)),
        }
    }
    merged
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
            true => format!("\"{}\"", net.addr()),
            false => format!("\"{net}\""),
        };
        let texts: Vec<String> = self.nets.iter().map(text).collect();
        write!(f, "[{}]", texts.join(", "))
    }
}

/// An address or a network, IPv4-mapped IPv6 written as IPv4.
///
/// # Errors
/// What is wrong with it, and what would be right, as a fragment.
pub fn parse_net(text: &str) -> Result<IpNet, String> {
    match parse_net_of_any_size(text)? {
        net if net.prefix_len() == 0 => {
            Err(format!("\"{text}\" is every address, write allow = \"any\" if that is meant"))
        }
        net => Ok(net),
    }
}

/// The same, and the networks of all addresses.
///
/// # Errors
/// What is wrong with it, and what would be right, as a fragment.
pub fn parse_net_of_any_size(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| format!("\"{text}\" is not an address or a network, for example \"203.0.113.0/24\""))?;
    let trunc = net.trunc();
    if trunc != net {
        return Err(format!("\"{text}\" has bits behind its prefix, write \"{trunc}\""));
    }
    let net = match net {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96 => {
            IpNet::new(v6.addr().to_canonical(), v6.prefix_len() - 96).unwrap_or(net)
        }
        _ => net,
    };
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_exactly() {
        assert_eq!(parse_net("192.0.2.1").map(|net| net.to_string()), Ok("192.0.2.1/32".into()));
        assert_eq!(parse_net("::ffff:192.0.2.0/120").map(|net| net.to_string()), Ok("192.0.2.0/24".into()));
        for bad in ["", "192.0.2.1/24", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "192.0.2.0/33", "example.com"] {
            assert!(parse_net(bad).is_err(), "{bad:?}");
        }
    }

    fn nets(texts: &[&str]) -> Networks {
        texts.iter().map(|text| parse_net_of_any_size(text).expect("a network")).collect::<Vec<_>>().into()
    }

    #[test]
    fn what_touches_is_one_and_what_is_written_stays() {
        let halves = nets(&["8.8.8.128/25", "2600::/17", "8.8.8.0/25", "2600:8000::/17", "8.8.8.7"]);
        assert_eq!(halves, nets(&["8.8.8.0/24", "2600::/16"]));
        assert_ne!(halves, nets(&["8.8.8.0/24"]));
        assert_eq!(halves.len(), 5);
        assert!(halves.to_string().starts_with("[\"8.8.8.128/25\", \"2600::/17\""), "{halves}");
        for inside in ["8.8.8.0/24", "8.8.8.64/26", "2600::/16", "8.8.8.255"] {
            assert!(halves.cover(&parse_net(inside).expect("a network")), "{inside}");
        }
        for outside in ["8.8.8.0/23", "8.8.9.0/24", "2601::/32", "2600::/15", "1.1.1.1"] {
            assert!(!halves.cover(&parse_net(outside).expect("a network")), "{outside}");
        }
        let all = nets(&["0.0.0.0/0", "255.255.255.255", "::/0", "8.8.8.8"]);
        assert!(all.contain("255.255.255.255".parse().expect("one")) && all.contain("::".parse().expect("one")));
        assert!(!Networks::default().contain("0.0.0.0".parse().expect("one")));
    }

    proptest::proptest! {
        #[test]
        fn a_search_finds_what_looking_at_each_does(
            written in proptest::collection::vec((0u8..=255, 0u8..=255, 0u8..=32), 0..20),
            asked in proptest::collection::vec((0u8..=255, 0u8..=255), 1..20),
        ) {
            let written: Vec<IpNet> = written
                .into_iter()
                .map(|(a, d, bits)| IpNet::new(IpAddr::from([a, 0, 0, d]), bits).expect("a prefix").trunc())
                .collect();
            let networks = Networks::from(written.clone());
            for (a, d) in asked {
                let address = IpAddr::from([a, 0, 0, d]);
                let each = written.iter().any(|net| net.contains(&address));
                proptest::prop_assert_eq!(networks.contain(address), each);
            }
        }
    }
}
