//! Every response on the gateway's port is made here.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::outgoing::drop_hop_by_hop;
use super::source::Source;
use crate::dedup::Answer;
use crate::egress::{Exchange, ExchangeError};
use crate::rejection::Rejection;
use crate::signature::challenge::{self, AnswerBody};

/// A response with its body, as the server sends it.
pub type Reply = Response<Full<Bytes>>;

/// When a sender that is asked to come back should.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Without a charset: some providers compare it.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A refusal: its status and its fixed phrase. The connection is closed where a body may be left unread.
pub fn rejected(rejection: &Rejection, methods: &[Method], close: bool) -> Reply {
    let mut reply = phrase(rejection.status(), rejection.phrase());
    let headers = reply.headers_mut();
    match rejection {
        Rejection::MethodNotAllowed => {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let names = HeaderValue::try_from(names.join(", ")).expect("methods are tokens");
            headers.insert(ALLOW, names);
        }
        Rejection::AddressesUnavailable | Rejection::Overloaded | Rejection::KeysUnavailable => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        _ => {}
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// Leaves of a refusal what providers go by who want no body.
pub fn strip(reply: &mut Reply) {
    *reply.body_mut() = Full::default();
    reply.headers_mut().remove(CONTENT_TYPE);
}

/// To a duplicate of a finished event, or a challenge that wants no other answer: what the source counts as accepted.
pub fn accepted(source: &Source) -> Reply {
    let mut reply = Reply::new(Full::new(source.accepted_body.clone()));
    *reply.status_mut() = source.accepted_status();
    if !source.accepted_body.is_empty() {
        let is_object = source.accepted_body.starts_with(b"{");
        reply.headers_mut().insert(CONTENT_TYPE, if is_object { JSON } else { PLAIN });
        keep_as_it_is(reply.headers_mut());
    }
    reply
}

/// To a challenge: what its preset says.
pub fn challenge(answer: challenge::Answer) -> Reply {
    let (content_type, body) = match answer.body {
        AnswerBody::Empty => (None, Bytes::new()),
        AnswerBody::Text(text) => (Some(PLAIN), text.into()),
        AnswerBody::Json(text) => (Some(JSON), text.into()),
    };
    let mut reply = Reply::new(Full::new(body));
    *reply.status_mut() = answer.status;
    let headers = reply.headers_mut();
    headers.extend(answer.headers);
    headers.extend(content_type.map(|content_type| (CONTENT_TYPE, content_type)));
    keep_as_it_is(headers);
    reply
}

/// To a challenge about which something had to be done, and could not be: come back.
pub fn not_done() -> Reply {
    phrase(StatusCode::BAD_GATEWAY, "Bad Gateway")
}

/// To a copy whose owner is still at work: come back.
pub fn busy() -> Reply {
    let mut reply = phrase(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    reply.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    reply
}

/// What the upstream said of an event, or what is said in its place: to the owner and to every copy alike.
///
/// A 2xx becomes the source's `accepted` status where it has one. 3xx and 410 become 502: a sender would follow the
/// one and unsubscribe for the other. Everything else passes.
pub fn answer(source: &Source, exchanged: Result<Exchange, ExchangeError>) -> Answer {
    let (mut parts, body) = match exchanged {
        Ok(exchange) => exchange.into_parts(),
        Err(error) if error.is_timeout() => return in_its_place(StatusCode::GATEWAY_TIMEOUT),
        Err(_) => return in_its_place(StatusCode::BAD_GATEWAY),
    };
    let status = parts.status;
    let is_error = status.is_client_error() || status.is_server_error();
    if !(status.is_success() || is_error) || status == StatusCode::GONE {
        return in_its_place(StatusCode::BAD_GATEWAY);
    }
    drop_hop_by_hop(&mut parts.headers);
    let accepted = source.accepted.filter(|_| status.is_success());
    Answer { status: accepted.unwrap_or(status), headers: parts.headers, body }
}

/// To the sender of an event of which no message could be made.
pub fn not_made() -> Answer {
    in_its_place(StatusCode::BAD_GATEWAY)
}

/// An answer as a response.
pub fn with_answer(answer: Answer) -> Reply {
    let mut reply = Reply::new(Full::new(answer.body));
    *reply.status_mut() = answer.status;
    *reply.headers_mut() = answer.headers;
    reply
}

/// Nobody takes it for what it does not say it is, or repeats it later.
fn keep_as_it_is(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

fn in_its_place(status: StatusCode) -> Answer {
    let text = status.canonical_reason().unwrap_or_default();
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(CONTENT_TYPE, TEXT);
    Answer { status, headers, body: Bytes::from_static(text.as_bytes()) }
}

fn phrase(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Reply::new(Full::new(Bytes::from_static(text.as_bytes())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, TEXT);
    reply
}
