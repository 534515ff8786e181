//! How connections leave: what is allowed, who resolves, from which address, through which proxy, and what is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{Guard, Proxy, Resolver, Roots};

/// A way out that many pools share. Its clones are cheap.
///
/// Where there is a [`Proxy`], it is the proxy that resolves names: the guard judges how a host is written and the addresses
/// that stand in a URL, and no others. Such a proxy must refuse private addresses itself; [`Exit::limits`] has a sentence
/// for the operator. The connection to the proxy is the operator's own, and not judged.
#[derive(Debug, Clone)]
pub struct Exit {
    /// What may be reached; `None` where it is the operator who says what is connected to.
    pub guard: Option<Arc<Guard>>,
    pub resolver: Resolver,
    /// Whom to trust, and what to show, where the target speaks TLS. Without them no such target is reached.
    pub roots: Option<Roots>,
    pub bind: Bind,
    pub proxy: Option<Arc<Proxy>>,
    /// For names, connecting and the TLS handshake in all.
    pub connect_timeout: Duration,
    pub answers: Answers,
}

/// The addresses that connections come from. Where one is named, no connection comes from another: without one of its
/// family a target cannot be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bind {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

/// What becomes of an answer's body. Its status counts in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Kept up to this many bytes; a longer one is dropped whole.
    Whole(usize),
    /// The first `keep` bytes are kept. Where it is longer than `read`, the connection is dropped rather than read on.
    Head { keep: usize, read: usize },
}

/// An operator's answers are kept whole up to this many bytes.
const MAX_ANSWER: usize = 1 << 20;

/// What is kept of an endpoint's answer: enough for whoever looks for what went wrong.
const ENDPOINT_ANSWERS: Answers = Answers::Head { keep: 16 << 10, read: 64 << 10 };

impl Exit {
    /// To where the operator says: nothing is judged, answers are kept whole.
    pub fn unguarded(roots: Option<Roots>, connect_timeout: Duration) -> Self {
        Self {
            guard: None,
            resolver: Resolver::System,
            roots,
            bind: Bind::default(),
            proxy: None,
            connect_timeout,
            answers: Answers::Whole(MAX_ANSWER),
        }
    }

    /// To where strangers say: `guard` judges it, and what is kept of an answer is bounded.
    pub fn guarded(guard: Guard, roots: Roots, connect_timeout: Duration) -> Self {
        let unguarded = Self::unguarded(Some(roots), connect_timeout);
        Self { guard: Some(Arc::new(guard)), answers: ENDPOINT_ANSWERS, ..unguarded }
    }

    /// What the operator should know of it: what the guard cannot see.
    pub fn limits(&self) -> Option<&'static str> {
        (self.guard.is_some() && self.proxy.is_some()).then_some(PROXY_LIMITS)
    }
}

/// What a guard cannot see through a proxy.
pub const PROXY_LIMITS: &str = "names of endpoints are resolved by the proxy, so the address guard judges only addresses that stand in a URL: let the proxy refuse private addresses";

impl Bind {
    /// Reads a list of at most one address of each family.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub fn new(addresses: &[IpAddr]) -> Result<Self, String> {
        let mut bind = Self::default();
        for address in addresses {
            let taken = match address.to_canonical() {
                IpAddr::V4(v4) => bind.v4.replace(v4).is_some(),
                IpAddr::V6(v6) => bind.v6.replace(v6).is_some(),
            };
            if taken {
                return Err(format!("{address} is the second of its family, one IPv4 and one IPv6 address are enough"));
            }
            if address.is_unspecified() || address.is_multicast() {
                return Err(format!("{address} is no address that connections could come from"));
            }
        }
        Ok(bind)
    }

    /// Where a connection to `address` comes from: `Ok(None)` leaves it to the system, `Err` is the missing family.
    pub(super) fn source_for(self, address: IpAddr) -> Result<Option<IpAddr>, &'static str> {
        match (self, address) {
            (Self { v4: None, v6: None }, _) => Ok(None),
            (Self { v4: Some(v4), .. }, IpAddr::V4(_)) => Ok(Some(v4.into())),
            (Self { v6: Some(v6), .. }, IpAddr::V6(_)) => Ok(Some(v6.into())),
            (Self { v4: None, .. }, IpAddr::V4(_)) => Err("[egress] bind names no IPv4 address"),
            (Self { v6: None, .. }, IpAddr::V6(_)) => Err("[egress] bind names no IPv6 address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(texts: &[&str]) -> Result<Bind, String> {
        Bind::new(&texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<_>>())
    }

    #[test]
    fn one_address_of_each_family_is_enough() {
        let both = bind(&["203.0.113.7", "2001:db8::7"]).expect("both");
        assert_eq!((both.v4.is_some(), both.v6.is_some()), (true, true));
        for bad in
            [&["192.0.2.1", "192.0.2.2"][..], &["::"], &["0.0.0.0"], &["224.0.0.1"], &["192.0.2.1", "::ffff:192.0.2.2"]]
        {
            assert!(bind(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_connection_comes_from_the_address_of_its_family_or_not_at_all() {
        let (v4, v6) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from(Ipv6Addr::LOCALHOST));
        let only = bind(&["203.0.113.7"]).expect("one");
        assert_eq!(only.source_for(v4), Ok(Some(IpAddr::from([203, 0, 113, 7]))));
        assert!(only.source_for(v6).is_err());
        assert_eq!(Bind::default().source_for(v6), Ok(None));
    }
}
