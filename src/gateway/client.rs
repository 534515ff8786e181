//! Whose address a request comes from: the peer's, or what a trusted proxy says.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::network::Networks;
use crate::rejection::Rejection;

/// More hops than this are refused rather than walked.
const MAX_HOPS: usize = 64;

/// So is a header line that is longer than so many hops could be.
const MAX_LINE: usize = 64 * MAX_HOPS;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How the client's address is found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientIp {
    /// The connection's other end.
    #[default]
    Peer,
    /// The right-most address of `X-Forwarded-For` that is not a trusted proxy.
    XForwardedFor(Networks),
    /// The right-most `for=` of `Forwarded` (RFC 7239) that is not a trusted proxy.
    Forwarded(Networks),
    /// The PROXY protocol, version 1 or 2: required, and only from a trusted peer.
    ProxyProtocol(Networks),
}

impl ClientIp {
    /// True if `peer` may speak for others in its headers.
    pub fn trusts_headers_of(&self, peer: IpAddr) -> bool {
        match self {
            Self::Peer | Self::ProxyProtocol(_) => false,
            Self::XForwardedFor(trusted) | Self::Forwarded(trusted) => trusted.contain(peer),
        }
    }

    /// The client of a request on a connection from `peer`, canonical.
    ///
    /// # Errors
    /// `MalformedRequest` if a trusted proxy's header cannot be read up to the first address that is not trusted.
    pub fn decide(&self, peer: IpAddr, headers: &HeaderMap) -> Result<IpAddr, Rejection> {
        match self {
            Self::XForwardedFor(trusted) if trusted.contain(peer) => {
                walk(peer, trusted, headers, &X_FORWARDED_FOR, forwarded_for_hop)
            }
            Self::Forwarded(trusted) if trusted.contain(peer) => {
                walk(peer, trusted, headers, &http::header::FORWARDED, forwarded_hop)
            }
            _ => Ok(peer),
        }
    }
}

/// Walks the hops from right to left, as long as they are trusted.
fn walk(
    peer: IpAddr,
    trusted: &Networks,
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
) -> Result<IpAddr, Rejection> {
    let unreadable = || Rejection::MalformedRequest("the proxy's client address cannot be read");
    let mut client = peer;
    let mut hops = 0;
    let too_many = || Rejection::MalformedRequest("too many proxies in a row");
    for line in headers.get_all(name).iter().rev() {
        if line.len() > MAX_LINE {
            return Err(too_many());
        }
        for hop in line.to_str().map_err(|_| unreadable())?.rsplit(',') {
            hops += 1;
            if hops > MAX_HOPS {
                return Err(too_many());
            }
            client = read(hop.trim()).ok_or_else(unreadable)?.to_canonical();
            if !trusted.contain(client) {
                return Ok(client);
            }
        }
    }
    Ok(client)
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`; no zone.
fn forwarded_for_hop(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        return inner.parse().ok().map(IpAddr::V6);
    }
    match text.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(address)) if address.scope_id() != 0 => None,
        Ok(address) => Some(address.ip()),
        Err(_) => None,
    }
}

/// The `for` of one element of `Forwarded`, as in `for="[2001:db8::1]:443";proto=https`. An obfuscated name is none.
fn forwarded_hop(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    forwarded_for_hop(bare)
}

/// Reads the PROXY protocol's header off a new connection, and no byte more. `None` where the proxy speaks for
/// itself, as its health checks do.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub async fn read_proxy_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, &'static str> {
    /// The first 12 bytes tell the versions apart; version 1 has 15 or more, version 2 has 16 and as many as it says.
    const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
    const V1_MAX: usize = 107;
    const V2_FIXED: usize = 16;
    const V2_MAX: usize = 536;
    let cut = |_| "the connection ended within it";

    let mut header = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut header).await.map_err(cut)?;
    if header == SIGNATURE {
        header.resize(V2_FIXED, 0);
        stream.read_exact(&mut header[SIGNATURE.len()..]).await.map_err(cut)?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if V2_FIXED + length > V2_MAX {
            return Err("it is too long");
        }
        header.resize(V2_FIXED + length, 0);
        stream.read_exact(&mut header[V2_FIXED..]).await.map_err(cut)?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\r\n") {
            if header.len() == V1_MAX {
                return Err("its first line is too long");
            }
            header.push(stream.read_u8().await.map_err(cut)?);
        }
    } else {
        return Err("it is not the PROXY protocol");
    }
    match ProxyHeader::parse(&header, ParseConfig::default()) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map(|address| address.source.ip().to_canonical()))
        }
        _ => Err("it is not the PROXY protocol"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parse_net;

    fn trusted() -> Networks {
        vec![parse_net("10.0.0.0/8").expect("a net"), parse_net("127.0.0.1").expect("an address")].into()
    }

    fn client(client_ip: &ClientIp, peer: &str, name: &str, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, line.parse().expect("a value"));
        }
        let peer = peer.parse().expect("an address");
        client_ip.decide(peer, &headers).ok().map(|client| client.to_string())
    }

    fn xff(peer: &str, lines: &[&str]) -> Option<String> {
        client(&ClientIp::XForwardedFor(trusted()), peer, "x-forwarded-for", lines)
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_client() {
        assert_eq!(xff("127.0.0.1", &["198.51.100.1, 203.0.113.7"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(xff("127.0.0.1", &["203.0.113.7, 10.1.2.3"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(xff("127.0.0.1", &["198.51.100.1", "203.0.113.7,10.0.0.1"]).as_deref(), Some("203.0.113.7"));
        assert_eq!(xff("127.0.0.1", &["10.0.0.9, 10.0.0.8"]).as_deref(), Some("10.0.0.9"));
        assert_eq!(xff("127.0.0.1", &[]).as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn an_untrusted_peer_speaks_for_itself() {
        assert_eq!(xff("192.0.2.1", &["203.0.113.7"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(
            client(&ClientIp::Peer, "127.0.0.1", "x-forwarded-for", &["203.0.113.7"]).as_deref(),
            Some("127.0.0.1")
        );
    }

    #[test]
    fn spellings_of_an_address_are_one_address() {
        for spelling in ["::ffff:203.0.113.7", "[::ffff:203.0.113.7]:443", "203.0.113.7:443"] {
            assert_eq!(xff("127.0.0.1", &[spelling]).as_deref(), Some("203.0.113.7"), "{spelling}");
        }
        assert_eq!(xff("127.0.0.1", &["[2001:db8::1]"]).as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for bad in ["", "unknown", "fe80::1%eth0", "[fe80::1%2]:1", "0177.0.0.1", "1.2.3", "203.0.113.7,", "_hidden"] {
            assert_eq!(xff("127.0.0.1", &[bad]), None, "{bad:?}");
        }
        let hops = |count: usize| vec!["10.0.0.1"; count].join(",");
        assert!(xff("127.0.0.1", &[&hops(MAX_HOPS)]).is_some());
        assert_eq!(xff("127.0.0.1", &[&hops(MAX_HOPS + 1)]), None);
    }

    #[test]
    fn forwarded_is_read_by_its_for() {
        let forwarded = |line| client(&ClientIp::Forwarded(trusted()), "127.0.0.1", "forwarded", &[line]);
        assert_eq!(forwarded("for=203.0.113.7;proto=https, For=\"10.0.0.1:80\"").as_deref(), Some("203.0.113.7"));
        assert_eq!(forwarded("by=10.0.0.1;for=\"[2001:db8::1]:443\"").as_deref(), Some("2001:db8::1"));
        for bad in ["for=unknown", "for=_x", "proto=https", "for=203.0.113.7;for=203.0.113.8", ""] {
            assert_eq!(forwarded(bad), None, "{bad:?}");
        }
    }

    async fn proxy(bytes: &[u8]) -> Result<Option<String>, &'static str> {
        let mut stream = bytes;
        let client = read_proxy_header(&mut stream).await?;
        assert_eq!(stream, b"GET", "what follows the header is left alone");
        Ok(client.map(|client| client.to_string()))
    }

    #[tokio::test]
    async fn both_versions_of_the_proxy_protocol_are_read_to_their_end() {
        assert_eq!(proxy(b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 80\r\nGET").await, Ok(Some("203.0.113.7".into())));
        assert_eq!(proxy(b"PROXY UNKNOWN\r\nGET").await, Ok(None));
        let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x13\x88\0\x50GET";
        assert_eq!(proxy(v2).await, Ok(Some("203.0.113.7".into())));
        assert_eq!(proxy(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET").await, Ok(None));
    }

    #[tokio::test]
    async fn anything_else_in_its_place_is_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bad in
            [&b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &long, b"PROXY", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", b""]
        {
            assert!(proxy(bad).await.is_err(), "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_breaks_it(line in "[ -~]{0,200}") {
            let _ = xff("127.0.0.1", &[&line]);
            let _ = client(&ClientIp::Forwarded(trusted()), "127.0.0.1", "forwarded", &[&line]);
        }

        #[test]
        fn what_a_client_writes_on_the_left_changes_nothing(left in "[0-9a-f:., ]{0,60}") {
            let line = format!("{left}, 203.0.113.7, 10.0.0.1");
            let client = xff("127.0.0.1", &[&line]);
            proptest::prop_assert_eq!(client.as_deref(), Some("203.0.113.7"));
        }
    }
}
