//! What the upstream gets: the body byte for byte, the provider's headers, and what we say of the request.

use std::net::IpAddr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use smallvec::SmallVec;

use super::Connection;
use super::receive::{Received, Share, head_of};
use super::routes::Reach;
use super::source::{Source, Upstream};
use super::verify::Admitted;
use crate::clock::Clock;
use crate::delivery::destination::write_headers;
use crate::signature::encoding::encode_hex;
use crate::store::Message;

const SOURCE: HeaderName = HeaderName::from_static("hookward-source");
const VERIFIED: HeaderName = HeaderName::from_static("hookward-verified");
const EVENT_ID: HeaderName = HeaderName::from_static("hookward-event-id");
const POSSIBLE_DUPLICATE: HeaderName = HeaderName::from_static("hookward-possible-duplicate");
const REJECTION: HeaderName = HeaderName::from_static("hookward-rejection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// True for headers that concern one connection only (RFC 9110, 7.6.1), and for the framing, which is written anew.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "content-length"
    )
}

/// True for what only we may say of a request, and for names with an underscore: CGI-like upstreams read
/// `x_forwarded_for` as its twin with a dash.
fn is_ours(name: &str) -> bool {
    name.starts_with("hookward-")
        || name.starts_with("x-forwarded-")
        || matches!(name, "expect" | "forwarded" | "x-real-ip")
        || name.contains('_')
}

/// Headers by which frameworks let a client rewrite the request that they see.
pub static REWRITING: [HeaderName; 7] = [
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-override-url"),
];

/// What is said of the connection that a request came by.
#[derive(Debug, Clone)]
pub struct Via {
    /// The client's address as text.
    pub client: HeaderValue,
    /// `http` or `https`, as the provider used it.
    pub proto: HeaderValue,
    /// The host that the provider asked for; `None` where it named none.
    pub host: Option<HeaderValue>,
}

impl Via {
    /// What the gateway saw itself, or, where the connection's other end is `trusted`, what that says in `headers`.
    pub fn new(client: IpAddr, connection: &Connection, trusted: bool, headers: &HeaderMap) -> Self {
        let said = |name| last_item(headers, &name).filter(|_| trusted);
        let proto = HeaderValue::from_static(if connection.tls { "https" } else { "http" });
        let client = if client == connection.peer { connection.peer_text.clone() } else { address(client) };
        Self {
            client,
            proto: said(X_FORWARDED_PROTO).unwrap_or(proto),
            host: said(X_FORWARDED_HOST).or_else(|| headers.get(HOST).cloned()),
        }
    }
}

/// A request on its way to the upstream. The share of the budget is held until it is done with.
#[derive(Debug)]
pub struct Outgoing {
    pub request: Request<Full<bytes::Bytes>>,
    pub share: Share,
}

/// The upstream's request for an admitted one.
///
/// # Errors
/// If its template makes no message of it: why, as a fragment.
pub fn outgoing(
    source: &Source,
    reach: &Reach,
    admitted: Admitted,
    via: Via,
    possible_duplicate: bool,
    clock: &Clock,
) -> Result<Outgoing, String> {
    let upstream = &reach.upstream;
    let Received { mut parts, mut body, share, .. } = told(source, admitted, via);
    if possible_duplicate {
        parts.headers.insert(POSSIBLE_DUPLICATE, HeaderValue::from_static("1"));
    }
    match &reach.rendering {
        None => parts.uri = target(upstream, parts.uri.query()),
        Some(rendering) => {
            let id = parts.headers.get(EVENT_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
            body = rendering.body(head_of(&parts, ""), &body, id, clock.millis())?;
            parts.headers = rendering.headers(&parts.headers);
            parts.method = Method::POST;
            parts.uri = upstream.path.clone();
        }
    }
    parts.headers.insert(HOST, upstream.host.clone());
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    // Said also of an empty body, which hyper would leave out.
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(Outgoing { request: Request::from_parts(parts, Full::new(body)), share })
}

/// What is stored of an admitted request: all that its upstreams get, whichever they are. The share of the budget is
/// held until it is stored.
pub fn kept(source: &Source, admitted: Admitted, via: Via) -> (Message, Share) {
    let Received { mut parts, body, share, .. } = told(source, admitted, via);
    parts.headers.remove(HOST);
    let message = Message {
        method: parts.method.as_str().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: write_headers(&parts.headers),
        body,
    };
    (message, share)
}

/// The request with what is said of it, and without what is not for an upstream.
fn told(source: &Source, admitted: Admitted, via: Via) -> Received {
    match admitted {
        Admitted::Verified(verified) => {
            let (mut received, verified_by, event_id) = verified.into_parts();
            prepare(&mut received, source, via);
            let headers = &mut received.parts.headers;
            headers.insert(VERIFIED, verified_by);
            if let Some(event_id) = event_id {
                headers.insert(EVENT_ID, event_id);
            }
            received
        }
        Admitted::Shadowed(shadowed) => {
            let (mut received, rejection) = shadowed.into_parts();
            prepare(&mut received, source, via);
            let reason = HeaderValue::from_static(rejection.reason().as_str());
            received.parts.headers.insert(REJECTION, reason);
            received
        }
    }
}

/// The upstream's own path with the request's query, verbatim.
fn target(upstream: &Upstream, query: Option<&str>) -> Uri {
    let Some(query) = query else {
        return upstream.path.clone();
    };
    let path_and_query = PathAndQuery::try_from(format!("{}?{query}", upstream.url.path));
    path_and_query.map_or_else(|_| upstream.path.clone(), Uri::from)
}

/// Takes out of the client's headers what is not for the upstream, and puts in what is said of the connection.
fn prepare(received: &mut Received, source: &Source, via: Via) {
    let headers = &mut received.parts.headers;
    drop_headers(headers, |name| is_hop_by_hop(name.as_str()) || is_ours(name.as_str()) || source.drops(name));
    headers.insert(SOURCE, source.name_header.clone());
    headers.insert(X_FORWARDED_FOR, via.client);
    headers.insert(X_FORWARDED_PROTO, via.proto);
    if let Some(host) = via.host {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if !is_once(headers, &X_REQUEST_ID, is_request_id) {
        let id = encode_hex(&fastrand::u128(..).to_be_bytes());
        headers.insert(X_REQUEST_ID, HeaderValue::try_from(id).expect("hex is visible ASCII"));
    }
    if !is_once(headers, &TRACEPARENT, is_traceparent) {
        // A new trace, not sampled.
        let (trace, span) = (fastrand::u128(1..).to_be_bytes(), fastrand::u64(1..).to_be_bytes());
        let parent = ["00-", &encode_hex(&trace), "-", &encode_hex(&span), "-00"].concat();
        headers.insert(TRACEPARENT, HeaderValue::try_from(parent).expect("hex is visible ASCII"));
    }
}

/// An address as a header's value.
pub fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::try_from(address.to_string()).expect("an address is visible ASCII")
}

/// Drops the headers that concern one connection only, those that `Connection` names among them.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    drop_headers(headers, |name| is_hop_by_hop(name.as_str()));
}

/// Drops the headers that `is_dropped` says so of, and those that `Connection` names.
fn drop_headers(headers: &mut HeaderMap, is_dropped: impl Fn(&HeaderName) -> bool) {
    let mut dropped: SmallVec<[HeaderName; 4]> = headers.keys().filter(|name| is_dropped(name)).cloned().collect();
    for value in headers.get_all(CONNECTION) {
        let tokens = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        dropped.extend(tokens.filter_map(|token| HeaderName::from_bytes(token).ok()));
    }
    for name in dropped {
        headers.remove(name);
    }
}

/// True if the header is there once, and `is_good`.
fn is_once(headers: &HeaderMap, name: &HeaderName, is_good: fn(&HeaderValue) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(is_good) && values.next().is_none()
}

/// What the nearest proxy said: the last item of a header, over all its lines.
fn last_item(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let line = headers.get_all(name).iter().next_back()?;
    let item = line.as_bytes().rsplit(|byte| *byte == b',').next()?.trim_ascii();
    HeaderValue::from_bytes(item).ok().filter(|item| !item.is_empty())
}

/// 1 to 128 of the characters that ids are made of.
fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=128).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b))
}

/// Version 00 of W3C Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`, lower case.
fn is_traceparent(value: &HeaderValue) -> bool {
    let mut parts = value.as_bytes().split(|byte| *byte == b'-');
    let hex = |part: Option<&[u8]>, length: usize| {
        part.is_some_and(|part| {
            part.len() == length && part.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        })
    };
    parts.next() == Some(b"00")
        && hex(parts.next(), 32)
        && hex(parts.next(), 16)
        && hex(parts.next(), 2)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn connection_drops_what_it_names() {
        let mut map = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", ",x-b"),
            ("x-secret", "1"),
            ("x-b", "1"),
            ("te", "gzip"),
            ("x-c", "1"),
        ]);
        drop_hop_by_hop(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-c"]);
    }

    #[test]
    fn nobody_else_speaks_for_the_gateway() {
        let mut map = headers(&[
            ("hookward-verified", "forged"),
            ("hookward_verified", "forged"),
            ("x_forwarded_for", "1"),
            ("x-forwarded-port", "1"),
            ("x-other", "1"),
        ]);
        drop_headers(&mut map, |name| is_ours(name.as_str()));
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
    }

    #[test]
    fn ids_from_outside_are_kept_only_if_they_are_plain() {
        let is_id = |text: &str| is_request_id(&text.parse().expect("a value"));
        assert!(
            is_id("req-1.2_3") && !is_id("") && !is_id("a b") && !is_id(&"a".repeat(129)) && is_id(&"a".repeat(128))
        );
        let is_parent = |text: &str| is_traceparent(&text.parse().expect("a value"));
        assert!(is_parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(!is_parent("00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") && !is_parent("00-1-1-1"));
    }
}
