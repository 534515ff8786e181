//! Where deliveries go, and how.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::rate::Rate;
use super::rendering::Rendering;
use super::signing::Signing;
use crate::clock::UnixMillis;
use crate::egress::{Pool, Url};
use crate::schedule::Schedule;
use crate::signature::request::{Head, PublicUrl};
use crate::store::{Consequence, Leased, Message};
use crate::telemetry::metrics::DeliveryMetrics;

const ATTEMPT: HeaderName = HeaderName::from_static("hookward-attempt");
const POSSIBLE_DUPLICATE: HeaderName = HeaderName::from_static("hookward-possible-duplicate");

/// Nothing of ours writes such a one.
const NO_REQUEST: &str = "what is stored of the event is not a request";

/// More header lines are not read back; hyper accepts no more from a client.
const MAX_HEADERS: usize = 256;

/// A URL that events are delivered to.
#[derive(Debug)]
pub struct Destination {
    /// By which deliveries know it in the store: an upstream's is its source's name, a space, its URL, and where it gets
    /// messages " as " and their template; an endpoint's is its id.
    pub name: Arc<str>,
    /// Whose events it gets, for logs and metrics.
    pub source: String,
    pub url: Url,
    pub pool: Pool,
    pub way: Way,
    /// True of an upstream that gets some of its source's events and not others.
    pub routed: bool,
    /// For one attempt in all.
    pub timeout: Duration,
    /// How long a delivery is this process's: longer than an attempt may take.
    pub lease: Duration,
    pub schedule: Schedule,
    /// What follows once the schedule has nothing left.
    pub exhausted: Consequence,
    /// Attempts at once.
    pub limit: usize,
    /// True if it gets one at a time, the oldest first.
    pub ordered: bool,
    /// How fast it gets them, where that is bounded.
    pub rate: Option<Rate>,
    pub metrics: Arc<DeliveryMetrics>,
}

/// What becomes of an event on its way to a destination.
#[derive(Debug)]
pub enum Way {
    /// It goes on as it came, to an upstream.
    Forward,
    /// A message is made of it, for an upstream that takes no events.
    Render(Arc<Rendering>),
    /// It is signed, for an endpoint.
    Sign(Box<Signing>),
}

/// All there are.
#[derive(Debug, Default)]
pub struct Destinations {
    by_name: HashMap<Arc<str>, Arc<Destination>>,
    /// Those that are the only ones of their source.
    alone: HashMap<String, Arc<Destination>>,
}

impl Destinations {
    /// These.
    pub fn new(all: impl IntoIterator<Item = Destination>) -> Self {
        let mut of_source: HashMap<String, Vec<Arc<Destination>>> = HashMap::new();
        let mut by_name = HashMap::new();
        for destination in all.into_iter().map(Arc::new) {
            of_source.entry(destination.source.clone()).or_default().push(Arc::clone(&destination));
            by_name.insert(Arc::clone(&destination.name), destination);
        }
        let alone = of_source.into_iter().filter_map(|(source, all)| match all.as_slice() {
            [only] if matches!(only.way, Way::Forward) && !only.routed => Some((source, Arc::clone(only))),
            _ => None,
        });
        Self { by_name, alone: alone.collect() }
    }

    /// The destination that deliveries know by `name`. Where its URL is not there any more, what was owed to it goes to
    /// the one that its source has now, if that is just one: an operator has moved it.
    pub fn find(&self, name: &str) -> Option<&Arc<Destination>> {
        let moved = || match name.split_once(' ')? {
            // Whoever takes events has no use for a message.
            (_, message) if message.contains(' ') => None,
            (source, _) => self.alone.get(source),
        };
        self.by_name.get(name).or_else(moved)
    }

    /// True of an upstream that a source of ours had and has no more, be it that its route is called otherwise now: what is
    /// owed to it waits until it is there again.
    pub fn have_lost(&self, name: &str) -> bool {
        let source = name.split_once(' ').map(|(source, _)| source);
        self.find(name).is_none() && source.is_some_and(|source| self.of_source(source).next().is_some())
    }

    /// Those of one source.
    pub fn of_source(&self, source: &str) -> impl Iterator<Item = &Arc<Destination>> {
        self.by_name.values().filter(move |destination| destination.source == source)
    }
}

impl Destination {
    /// Attempts at once.
    pub fn limit(&self) -> usize {
        if self.ordered { 1 } else { self.limit }
    }

    /// The endpoint that it is.
    pub fn endpoint(&self) -> Option<&Arc<str>> {
        match &self.way {
            Way::Forward | Way::Render(_) => None,
            Way::Sign(signing) => Some(&signing.endpoint),
        }
    }

    /// What is told of it in logs: an endpoint's URL may be all that keeps strangers from it, and so may some upstreams'.
    pub fn shown(&self) -> Option<&str> {
        match &self.way {
            Way::Forward | Way::Render(_) => Some(self.name.split_once(' ').map_or(&*self.name, |(_, shown)| shown)),
            Way::Sign(_) => None,
        }
    }

    /// The request of attempt `number`, which begins `now`.
    ///
    /// # Errors
    /// Why it cannot be made, as a fragment.
    pub fn request(
        &self,
        delivery: &Leased,
        number: u32,
        now: UnixMillis,
    ) -> Result<Request<Full<bytes::Bytes>>, String> {
        match &self.way {
            Way::Sign(signing) => signing.request(&self.url, delivery, number, now),
            Way::Forward => {
                self.forwarded(&delivery.message, number, delivery.possible_duplicate).ok_or_else(|| NO_REQUEST.into())
            }
            Way::Render(rendering) => self.rendered(rendering, delivery, number),
        }
    }

    /// The message that is made of an event, made anew for each attempt: a template that fails can be mended in between.
    fn rendered(
        &self,
        rendering: &Rendering,
        delivery: &Leased,
        number: u32,
    ) -> Result<Request<Full<bytes::Bytes>>, String> {
        let Leased { message, possible_duplicate, .. } = delivery;
        let received = read_headers(&message.headers).ok_or(NO_REQUEST)?;
        let url = PublicUrl { base: "", query: message.query.as_deref() };
        let head = Head { method: &message.method, url, headers: &received };
        let id = delivery.event_id.as_deref().unwrap_or_default();
        let body = rendering.body(head, &message.body, id, delivery.created_at)?;
        let mut headers = rendering.headers(&received);
        self.add_own_headers(&mut headers, body.len(), number, *possible_duplicate);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target(self.url.query.as_deref()).ok_or(NO_REQUEST)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn add_own_headers(&self, headers: &mut HeaderMap, length: usize, number: u32, possible_duplicate: bool) {
        headers.insert(HOST, self.url.target.host_header());
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(ATTEMPT, HeaderValue::from(number));
        if possible_duplicate {
            headers.insert(POSSIBLE_DUPLICATE, HeaderValue::from_static("1"));
        }
    }

    /// `None` if what was stored cannot be read back, which nothing of ours writes.
    fn forwarded(
        &self,
        message: &Message,
        number: u32,
        possible_duplicate: bool,
    ) -> Option<Request<Full<bytes::Bytes>>> {
        let mut request = Request::new(Full::new(message.body.clone()));
        *request.method_mut() = Method::from_bytes(message.method.as_bytes()).ok()?;
        *request.uri_mut() = self.target(message.query.as_deref())?;
        let mut headers = read_headers(&message.headers)?;
        self.add_own_headers(&mut headers, message.body.len(), number, possible_duplicate);
        *request.headers_mut() = headers;
        Some(request)
    }

    /// Its own path with the event's query, verbatim.
    fn target(&self, query: Option<&str>) -> Option<Uri> {
        match query {
            Some(query) => Uri::try_from(format!("{}?{query}", self.url.path)).ok(),
            None => Uri::try_from(self.url.path.as_str()).ok(),
        }
    }
}

/// Headers as they are stored: one line each. Host and framing are not among them, since they depend on the destination.
pub fn write_headers(headers: &HeaderMap) -> bytes::Bytes {
    let mut lines = Vec::new();
    for (name, value) in headers {
        if *name == HOST || *name == CONTENT_LENGTH {
            continue;
        }
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines.into()
}

/// Headers as they were stored.
pub fn read_headers(lines: &[u8]) -> Option<HeaderMap> {
    let mut parsed = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let whole = [lines, b"\r\n"].concat();
    let httparse::Status::Complete((_, parsed)) = httparse::parse_headers(&whole, &mut parsed).ok()? else {
        return None;
    };
    let mut headers = HeaderMap::with_capacity(parsed.len() + 4);
    for line in parsed {
        headers.append(HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", &b"1"[..]), ("x-b", b""), ("x-a", b"two  words; \xff"), ("x-c", b"\ttab")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a value"));
        }
        headers.append(HOST, HeaderValue::from_static("h"));
        let lines = write_headers(&headers);
        headers.remove(HOST);
        let back = read_headers(&lines).expect("headers");
        let sorted = |headers: &HeaderMap| {
            let mut all: Vec<_> =
                headers.iter().map(|(n, v)| (n.clone(), v.as_bytes().trim_ascii().to_vec())).collect();
            all.sort_by_key(|(name, _)| name.to_string());
            all
        };
        assert_eq!(sorted(&back), sorted(&headers));
        assert_eq!(read_headers(b"no colon\r\n"), None);
        assert_eq!(read_headers(b""), Some(HeaderMap::new()));
    }
}
