//! What no list may be, whoever publishes it.

use ipnet::IpNet;

use crate::egress::address::FORBIDDEN;
use crate::network::Networks;
use crate::signature::addresses::MAX_ENTRIES;

/// No provider has a wider network: the largest clouds have none.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// The list that `nets` are, if it can be one.
///
/// # Errors
/// Why it cannot, as a fragment: it is empty or endless, or it has a network that is too wide, or one from which nobody
/// comes over the internet.
pub fn judge(nets: Vec<IpNet>) -> Result<Networks, String> {
    if nets.is_empty() {
        return Err("it has no entry".to_owned());
    }
    if nets.len() > MAX_ENTRIES {
        return Err(format!("it has more than {MAX_ENTRIES} entries"));
    }
    for net in &nets {
        let widest = if net.max_prefix_len() == 32 { WIDEST_V4 } else { WIDEST_V6 };
        if net.prefix_len() < widest {
            return Err(format!("{net} is wider than /{widest}"));
        }
        let overlaps = |known: &IpNet| known.contains(net) || net.contains(known);
        if let Some(rule) = FORBIDDEN.iter().find(|rule| overlaps(&rule.network)) {
            return Err(format!("{net} has addresses that are not on the internet: {rule}"));
        }
    }
    Ok(nets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net_of_any_size;

    fn judged(texts: &[&str]) -> Result<usize, String> {
        let nets = texts.iter().map(|text| parse_net_of_any_size(text).expect("a network")).collect();
        judge(nets).map(|list| list.len())
    }

    #[test]
    fn a_list_of_public_networks_is_one() {
        assert_eq!(judged(&["8.0.0.0/8", "2600::/16", "192.30.252.0/22", "2a0a:a440::/29", "1.1.1.1"]), Ok(5));
    }

    #[test]
    fn what_opens_the_door_to_everybody_or_to_neighbours_is_none() {
        for bad in [
            "0.0.0.0/0",
            "::/0",
            "8.0.0.0/7",
            "2600::/15",
            "127.0.0.1",
            "10.1.2.0/24",
            "172.16.0.0/12",
            "192.168.7.7",
            "100.64.0.0/10",
            // It reaches into a carrier's NAT.
            "100.0.0.0/8",
            "169.254.169.254",
            "224.0.0.1",
            "240.0.0.0/8",
            "0.0.0.1",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::/16",
            "ff02::1",
            "2001:db8::/32",
            "64:ff9b::a00:1",
        ] {
            assert!(judged(&["8.8.8.8", bad]).is_err(), "{bad}");
        }
        assert_eq!(judged(&[]), Err("it has no entry".to_owned()));
        let many = |count| judge(vec![parse_net_of_any_size("8.8.8.8").expect("one"); count]).is_ok();
        assert_eq!((many(MAX_ENTRIES), many(MAX_ENTRIES + 1)), (true, false));
    }
}
