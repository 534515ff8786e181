//! What was sent to an endpoint and answered, for its log.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use serde::{Serialize, Serializer};

use crate::egress::{Exchange, Remote};

/// More of an answer's body is not kept.
const MAX_BODY: usize = 16 << 10;

/// More of an answer's headers are not kept: so many lines, and so many bytes in all.
const MAX_LINES: usize = 64;
const MAX_LINE_BYTES: usize = 8 << 10;

/// A request as it was sent, kept while its answer is waited for.
#[derive(Debug)]
pub struct Sent {
    pub url: String,
    pub method: String,
    pub headers: HeaderMap,
}

#[derive(Serialize)]
struct Transcript<'a> {
    url: &'a str,
    method: &'a str,
    request_headers: Lines<'a>,
    response_headers: Lines<'a>,
    response_body: &'a str,
    response_truncated: bool,
    remote: Option<SocketAddr>,
}

/// Header lines as pairs, the sensitive ones masked.
struct Lines<'a>(Vec<(&'a str, &'a HeaderValue)>);

impl Sent {
    /// What is about to be sent to `url`.
    pub fn new<B>(url: String, request: &Request<B>) -> Self {
        Self { url, method: request.method().to_string(), headers: request.headers().clone() }
    }

    /// With what was answered, if anything was, as JSON.
    pub fn with_answer(&self, answer: Option<&Exchange>) -> Option<Bytes> {
        let (headers, headers_cut) = answer.map(|answer| capped(answer.headers())).unwrap_or_default();
        let body = answer.map(|answer| answer.body().as_ref()).unwrap_or_default();
        let kept = String::from_utf8_lossy(&body[..body.len().min(MAX_BODY)]);
        let remote = answer.and_then(|answer| answer.extensions().get::<Remote>());
        let transcript = Transcript {
            url: &self.url,
            method: &self.method,
            request_headers: Lines(self.headers.iter().map(|(name, value)| (name.as_str(), value)).collect()),
            response_headers: Lines(headers),
            response_body: &kept,
            response_truncated: headers_cut || body.len() > MAX_BODY || remote.is_some_and(|remote| remote.truncated),
            remote: remote.map(|remote| remote.address),
        };
        serde_json::to_vec(&transcript).ok().map(Bytes::from)
    }
}

/// The first of the headers, and whether there are more.
fn capped(headers: &HeaderMap) -> (Vec<(&str, &HeaderValue)>, bool) {
    let mut left = MAX_LINE_BYTES;
    let fitting = headers.iter().take(MAX_LINES).map_while(|(name, value)| {
        left = left.checked_sub(name.as_str().len() + value.len())?;
        Some((name.as_str(), value))
    });
    let kept: Vec<_> = fitting.collect();
    let cut = kept.len() < headers.len();
    (kept, cut)
}

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, value)| match value.is_sensitive() {
            true => (*name, "***".into()),
            false => (*name, String::from_utf8_lossy(value.as_bytes())),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Response;
    use serde_json::{Value, json};

    fn sent() -> Sent {
        let mut request = Request::post("/in").header("x-sig", "v1").body(()).expect("a request");
        let mut secret = HeaderValue::from_static("Bearer secret");
        secret.set_sensitive(true);
        request.headers_mut().insert("authorization", secret);
        Sent::new("https://example.com/in".into(), &request)
    }

    fn transcript(answer: Option<&Exchange>) -> Value {
        serde_json::from_slice(&sent().with_answer(answer).expect("JSON")).expect("JSON")
    }

    #[test]
    fn it_shows_both_sides_and_no_secret() {
        let mut answer =
            Response::builder().status(500).header("x-a", "1").body(Bytes::from_static(b"no\xff")).expect("it");
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        answer.extensions_mut().insert(Remote { address, truncated: false });
        assert_eq!(
            transcript(Some(&answer)),
            json!({
                "url": "https://example.com/in", "method": "POST",
                "request_headers": [["x-sig", "v1"], ["authorization", "***"]],
                "response_headers": [["x-a", "1"]], "response_body": "no\u{fffd}", "response_truncated": false,
                "remote": "192.0.2.1:443",
            })
        );
        assert_eq!(transcript(None)["remote"], Value::Null);
    }

    #[test]
    fn what_an_endpoint_answers_is_bounded() {
        let mut answer = Response::new(Bytes::from(vec![b'x'; MAX_BODY + 1]));
        let kept = transcript(Some(&answer));
        assert_eq!(kept["response_body"].as_str().map(str::len), Some(MAX_BODY));
        assert_eq!(kept["response_truncated"], true);
        *answer.body_mut() = Bytes::new();
        for number in 0..1000 {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
            answer.headers_mut().insert(name, HeaderValue::from_static("value"));
        }
        let kept = transcript(Some(&answer));
        assert_eq!(kept["response_headers"].as_array().map(Vec::len), Some(MAX_LINES));
        assert_eq!(kept["response_truncated"], true);
        answer.headers_mut().clear();
        answer.headers_mut().insert("x-long", "x".repeat(MAX_LINE_BYTES).parse().expect("a value"));
        assert_eq!(transcript(Some(&answer))["response_headers"], json!([]));
    }
}
