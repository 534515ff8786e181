//! Which client addresses a source accepts.

use std::net::IpAddr;
use std::sync::Arc;

use super::lists::List;
use crate::network::Networks;
use crate::rejection::Rejection;

/// Which client addresses a source accepts.
#[derive(Debug, Clone)]
pub enum Allow {
    /// Written `allow = "any"`. An empty list is an error, so a list that loses its last entry never opens the door.
    Any,
    Only(Networks),
    /// Written `allow = "provider"`: whom its provider publishes, today's list where it is refreshed.
    Provider(Arc<List>),
}

impl Allow {
    /// Lets in `client`, which is canonical, if it may come in.
    ///
    /// # Errors
    /// `ClientNotAllowed`, or `AddressesUnavailable` where the provider's list is not known yet.
    pub fn admit(&self, client: IpAddr) -> Result<(), Rejection> {
        let is_in = match self {
            Self::Any => true,
            Self::Only(networks) => networks.contain(client),
            Self::Provider(list) => match list.in_force() {
                none if none.is_empty() => return Err(Rejection::AddressesUnavailable),
                networks => networks.contain(client),
            },
        };
        if is_in { Ok(()) } else { Err(Rejection::ClientNotAllowed(client)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net;
    use crate::signature::preset::Preset;

    fn allow_of(provider: &str) -> Allow {
        Allow::Provider(Arc::new(List::of(Preset::find(provider).expect("a preset"))))
    }

    fn admits(allow: &Allow, client: &str) -> bool {
        allow.admit(client.parse::<IpAddr>().expect("an address").to_canonical()).is_ok()
    }

    #[test]
    fn the_published_lists_are_exact() {
        // Seed checklist VGS-80 to VGS-88, CYB-02, VAN-71: first and last address of each, and their neighbours.
        let cases = [
            (
                "vgs",
                &[
                    "44.228.126.217",
                    "50.112.21.217",
                    "52.24.126.164",
                    "54.148.139.208",
                    "54.164.207.221",
                    "54.90.7.123",
                    "::ffff:44.228.126.217",
                    "2600:1f24:64:8000::",
                    "2600:1f24:64:8fff:ffff:ffff:ffff:ffff",
                    "2600:1f28:37:4000::",
                    "2600:1f28:37:4fff:ffff:ffff:ffff:ffff",
                ][..],
                &[
                    "44.228.126.216",
                    "44.228.126.218",
                    "2600:1f24:64:7fff:ffff:ffff:ffff:ffff",
                    "2600:1f24:64:9000::",
                    "2600:1f28:37:5000::",
                    "127.0.0.1",
                    "::1",
                ][..],
            ),
            (
                "cyberark-vaas",
                &["54.152.176.29", "35.168.251.228", "54.88.235.205", "::ffff:54.88.235.205"],
                &["54.152.176.28", "54.152.176.30", "10.0.0.1"],
            ),
            (
                "vantastatus",
                &["91.234.56.0", "91.234.56.255", "185.12.78.0", "185.12.78.255"],
                &["91.234.55.255", "91.234.57.0", "185.12.77.255", "185.12.79.0"],
            ),
        ];
        for (provider, inside, outside) in cases {
            let allow = allow_of(provider);
            for client in inside {
                assert!(admits(&allow, client), "{provider} {client}");
            }
            for client in outside {
                assert!(!admits(&allow, client), "{provider} {client}");
            }
        }
    }

    #[test]
    fn any_is_everybody() {
        assert!(admits(&Allow::Any, "203.0.113.9"));
        assert!(!admits(&Allow::Only(vec![parse_net("192.0.2.0/24").expect("a net")].into()), "203.0.113.9"));
    }
}
