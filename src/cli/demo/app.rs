//! The demo's upstream: a small app that remembers what it saw.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// How long the app takes when it is slow.
const SLOW: Duration = Duration::from_millis(300);

/// How the app takes its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// The next request fails, then it is well again.
    FailsOnce,
    Slow,
}

/// A request as the app got it.
#[derive(Debug)]
pub struct Seen {
    pub parts: Parts,
    pub body: Bytes,
}

impl Seen {
    /// True if the gateway says that it is genuine.
    pub fn is_verified(&self) -> bool {
        self.parts.headers.contains_key("hookward-verified")
    }
}

/// The app, listening until the process ends.
#[derive(Debug, Clone)]
pub struct DemoApp {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    mood: Mutex<Mood>,
    seen: Mutex<Vec<Seen>>,
}

impl DemoApp {
    /// Starts it on a free port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { mood: Mutex::new(Mood::Well), seen: Mutex::default() });
        let app = Self { address, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    let service = service_fn(|request| take(Arc::clone(&state), request));
                    // The gateway closes its connections as it likes.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(app)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set_mood(&self, mood: Mood) {
        *self.state.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// What it saw since it was last asked.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn take(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    state.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { parts, body });
    let mood = {
        let mut mood = state.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *mood;
        if now == Mood::FailsOnce {
            *mood = Mood::Well;
        }
        now
    };
    let status = match mood {
        Mood::Well => StatusCode::OK,
        Mood::FailsOnce => StatusCode::INTERNAL_SERVER_ERROR,
        Mood::Slow => {
            tokio::time::sleep(SLOW).await;
            StatusCode::OK
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"thanks")));
    *response.status_mut() = status;
    Ok(response)
}
