//! Client addresses, as lists of addresses and networks.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and networks, IPv4-mapped IPv6 already written as IPv4.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &IpNet> {
        self.0.iter()
    }

    /// True if `address`, which is canonical, is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

impl From<Vec<IpNet>> for Networks {
    fn from(nets: Vec<IpNet>) -> Self {
        Self(nets)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |net: &IpNet| match net.prefix_len() == net.max_prefix_len() {
            true => format!("\"{}\"", net.addr()),
            false => format!("\"{net}\""),
        };
        let texts: Vec<String> = self.0.iter().map(text).collect();
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
}
