//! The operator's app: answers as it is told, and remembers what it got.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What the app does with a request.
#[derive(Debug, Clone)]
pub enum Act {
    Answer(u16),
    /// Status, headers, body.
    Say(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Answers with this status once [`Upstream::release`] lets it.
    Hold(u16),
    /// Ends the connection instead of answering.
    HangUp,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// True if one with the same body had been answered 2xx before.
    pub after_success: bool,
}

impl Arrived {
    /// A header's only value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name} is there {} times", values.len());
        values.first().map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    /// True if it says of itself that it may be a duplicate.
    pub fn is_marked(&self) -> bool {
        self.header("hookward-possible-duplicate") == "1"
    }
}

/// A server on a port of its own. It answers 200 unless it was told otherwise.
#[derive(Debug, Clone)]
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
}

/// Says of a body whether its first request is to fail.
type Fails = fn(&Bytes) -> bool;

#[derive(Debug)]
struct State {
    plan: Mutex<VecDeque<Act>>,
    arrived: Mutex<Vec<Arrived>>,
    /// Every body that arrived.
    seen: Mutex<HashSet<Bytes>>,
    held: Semaphore,
    /// How many requests with each body succeeded.
    successes: Mutex<HashMap<Bytes, usize>>,
    /// Every event's first request fails where this says so, by its body.
    fails_first: Mutex<Option<Fails>>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address")).await
    }

    /// One at an address that a test has known before.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            plan: Mutex::default(),
            arrived: Mutex::default(),
            seen: Mutex::default(),
            held: Semaphore::new(0),
            successes: Mutex::default(),
            fails_first: Mutex::default(),
        });
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&accepting);
                tokio::spawn(async move {
                    let service = service_fn(|request| act(Arc::clone(&state), request));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does with the next requests, in turn.
    pub fn plan(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.plan.lock().unwrap().extend(acts);
    }

    /// The first request of each body that `fails` says so of is answered 500.
    pub fn fail_first(&self, fails: Fails) {
        *self.state.fails_first.lock().unwrap() = Some(fails);
    }

    /// Lets one request that is held be answered.
    pub fn release(&self) {
        self.state.held.add_permits(1);
    }

    /// Everything that arrived.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state.arrived.lock().unwrap().clone()
    }

    /// The one request that arrived.
    pub fn only(&self) -> Arrived {
        let arrived = self.arrived();
        assert_eq!(arrived.len(), 1, "{arrived:#?}");
        arrived[0].clone()
    }

    /// Waits until so many have arrived.
    pub async fn wait_for(&self, count: usize) {
        while self.state.arrived.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    }

    /// True once each of `bodies` was answered 2xx.
    pub fn has_all<'a>(&self, bodies: impl IntoIterator<Item = &'a Bytes>) -> bool {
        let successes = self.state.successes.lock().unwrap();
        bodies.into_iter().all(|body| successes.contains_key(body))
    }

    /// The bodies that arrived again after a success without being marked as possible duplicates: there must be none.
    pub fn unmarked_repeats(&self) -> Vec<Bytes> {
        let arrived = self.state.arrived.lock().unwrap();
        let unmarked = arrived.iter().filter(|arrived| arrived.after_success && !arrived.is_marked());
        unmarked.map(|arrived| arrived.body.clone()).collect()
    }

    /// How many different bodies were answered 2xx.
    pub fn taken(&self) -> usize {
        self.state.successes.lock().unwrap().len()
    }

    /// How many requests with each body were answered 2xx.
    pub fn successes(&self) -> HashMap<Bytes, usize> {
        self.state.successes.lock().unwrap().clone()
    }
}

async fn act(state: Arc<State>, request: hyper::Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let (parts, body) = request.into_parts();
    // Whoever is killed while it writes has asked for nothing.
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let first = {
        let mut arrived = state.arrived.lock().unwrap();
        let new = state.seen.lock().unwrap().insert(body.clone());
        let after_success = state.successes.lock().unwrap().contains_key(&body);
        arrived.push(Arrived {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            headers: parts.headers,
            body: body.clone(),
            after_success,
        });
        new && state.fails_first.lock().unwrap().is_some_and(|fails| fails(&body))
    };
    let act = state.plan.lock().unwrap().pop_front().unwrap_or(Act::Answer(if first { 500 } else { 200 }));
    let (status, headers, text) = match act {
        Act::Answer(status) => (status, Vec::new(), ""),
        Act::Say(status, headers, text) => (status, headers, text),
        Act::Hold(status) => {
            state.held.acquire().await.expect("never closed").forget();
            (status, Vec::new(), "")
        }
        Act::HangUp => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    if (200..300).contains(&status) {
        *state.successes.lock().unwrap().entry(body).or_default() += 1;
    }
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(text))).expect("a response"))
}
