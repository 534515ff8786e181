//! From a connection to a request as it was sent: a strict head, a bounded body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use crate::rejection::Rejection;
use crate::signature::Claimed;
use crate::signature::request::{Head, PublicUrl};

/// A request, its body byte for byte.
#[derive(Debug)]
pub struct Received {
    pub parts: Parts,
    pub body: Bytes,
    /// Scheme, host and path as the provider knows them; empty where no signature needs them.
    pub public_base: String,
    /// What its head claims of its signature; `None` where there is none to claim.
    pub claimed: Option<Claimed>,
    /// Room in the budget, given back when the request is done with.
    pub share: Share,
}

impl Received {
    /// What a scheme may read of it before its body.
    pub fn head(&self) -> Head<'_> {
        head_of(&self.parts, &self.public_base)
    }
}

/// What a scheme may read of a request whose body is not there yet.
pub fn head_of<'r>(parts: &'r Parts, public_base: &'r str) -> Head<'r> {
    let url = PublicUrl { base: public_base, query: parts.uri.query() };
    Head { method: parts.method.as_str(), url, headers: &parts.headers }
}

/// How many body bytes the gateway may hold at once, over all connections.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) })
    }

    /// Changes it. What is in use stays in use.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Bytes in use now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// A part of a [`Budget`].
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    /// A share of nothing yet.
    pub fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Makes the share at least `bytes` large.
    fn grow_to(&mut self, bytes: u64) -> Result<(), Rejection> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let before = self.budget.used.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        // Taken first and judged after: when this fails, dropping the share gives it back.
        if before.saturating_add(more) > self.budget.limit.load(Ordering::Relaxed) {
            Err(Rejection::Overloaded)
        } else {
            Ok(())
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Room made for a body before it has arrived: what a head promises costs its sender nothing.
const MAX_RESERVED: usize = 64 * 1024;

/// Refuses heads that two HTTP implementations could understand differently.
///
/// # Errors
/// `MalformedRequest`, with what is wrong.
pub fn check_head(parts: &Parts) -> Result<(), Rejection> {
    let malformed = |why| Err(Rejection::MalformedRequest(why));
    if parts.uri.scheme().is_some() || parts.uri.authority().is_some() || !parts.uri.path().starts_with('/') {
        return malformed("the request's target is not a path");
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => {}
        (Some(_), None) => return malformed("Host is not a host"),
        (Some(_), Some(_)) => return malformed("Host is repeated"),
        (None, _) if parts.version == Version::HTTP_10 => {}
        (None, _) => return malformed("Host is missing"),
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if codings.next().is_some() || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return malformed("Transfer-Encoding is not exactly chunked");
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || (length.is_some() && coding.is_some()) {
        return malformed("the body's length is said twice");
    }
    if length.is_some_and(|length| !is_length(length.as_bytes())) {
        return malformed("Content-Length is not a plain number");
    }
    Ok(())
}

/// Only the characters of a name, an address and a port (RFC 3986, 3.2), so no user and no path.
fn is_host(host: &[u8]) -> bool {
    !host.is_empty() && host.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte))
}

/// Digits without a leading zero, but for zero itself.
fn is_length(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit) && (text.len() == 1 || text[0] != b'0')
}

/// Takes the body and reads it, at most `max` bytes within `within`. Leaves it there if its header alone refuses it.
///
/// # Errors
/// `BodyTooLarge` (by its header alone where it has one), `BodyTimeout`, `Overloaded`, `MalformedRequest` where it
/// breaks off.
pub async fn read_body(
    body: &mut Option<Incoming>,
    headers: &HeaderMap,
    max: u64,
    within: Duration,
    share: &mut Share,
) -> Result<Bytes, Rejection> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max) {
        return Err(Rejection::BodyTooLarge);
    }
    let Some(incoming) = body else {
        return Ok(Bytes::new());
    };
    let whole = match timeout(within, collect(incoming, length.unwrap_or(0), max, share)).await {
        Ok(whole) => whole?,
        Err(_) => return Err(Rejection::BodyTimeout),
    };
    *body = None;
    Ok(whole)
}

/// Reads on after a refusal, within bounds: a client that is still writing would otherwise find its connection reset
/// and never see the answer.
pub async fn discard(mut body: Incoming) {
    const MOST: usize = 4 << 20;
    const LONGEST: Duration = Duration::from_secs(2);
    let read = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whether it came to its end makes no difference: the connection is closed.
    let _ = timeout(LONGEST, read).await;
}

async fn collect(body: &mut Incoming, expected: u64, max: u64, share: &mut Share) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Rejection::MalformedRequest("the body broke off"))?;
        // Trailers are dropped: they were never part of what was judged.
        let Ok(data) = frame.into_data() else { continue };
        let so_far = (whole.len() + data.len()) as u64;
        if so_far > max {
            return Err(Rejection::BodyTooLarge);
        }
        share.grow_to(so_far)?;
        if whole.is_empty() && body.is_end_stream() {
            // The whole body came in one piece: no copy.
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(usize::try_from(expected).unwrap_or(0).min(MAX_RESERVED));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn check(version: Version, target: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        check_head(&parts).is_ok()
    }

    #[test]
    fn one_host_and_one_framing_are_wanted() {
        let host = ("host", "hooks.example.com:8080");
        assert!(check(Version::HTTP_11, "/a?b", &[host]));
        assert!(check(Version::HTTP_11, "/a", &[host, ("content-length", "10")]));
        assert!(check(Version::HTTP_11, "/a", &[host, ("content-length", "0")]));
        assert!(check(Version::HTTP_11, "/a", &[host, ("transfer-encoding", "Chunked")]));
        assert!(check(Version::HTTP_10, "/a", &[]));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let host = ("host", "x");
        assert!(!check(Version::HTTP_11, "http://x/a", &[host]));
        assert!(!check(Version::HTTP_11, "x:80", &[host]));
        assert!(!check(Version::HTTP_11, "/a", &[]));
        assert!(!check(Version::HTTP_11, "/a", &[host, host]));
        for bad in ["", "a@b", "a/b", "a b", "x, y"] {
            assert!(!check(Version::HTTP_11, "/a", &[("host", bad)]), "{bad:?}");
        }
        for bad in ["gzip, chunked", "chunked, chunked", "identity", ""] {
            assert!(!check(Version::HTTP_11, "/a", &[host, ("transfer-encoding", bad)]), "{bad:?}");
        }
        let chunked = ("transfer-encoding", "chunked");
        assert!(!check(Version::HTTP_11, "/a", &[host, chunked, chunked]));
        assert!(!check(Version::HTTP_11, "/a", &[host, chunked, ("content-length", "1")]));
        for bad in ["+1", "01", "1, 1", "", " "] {
            assert!(!check(Version::HTTP_11, "/a", &[host, ("content-length", bad)]), "{bad:?}");
        }
    }

    #[test]
    fn a_share_is_given_back_when_it_is_dropped() {
        let budget = Budget::new(100);
        let mut share = Share::of(&budget);
        assert_eq!(share.grow_to(60), Ok(()));
        assert_eq!(share.grow_to(60), Ok(()));
        assert_eq!(Share::of(&budget).grow_to(41), Err(Rejection::Overloaded));
        assert_eq!(Share::of(&budget).grow_to(40), Ok(()));
        assert_eq!(budget.used(), 60);
        drop(share);
        assert_eq!(budget.used(), 0);
    }
}
