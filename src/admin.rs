//! The second listener, which strangers do not reach: metrics and health.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tracing::{debug, warn};

use crate::gateway::Gateway;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The admin listener, open and not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Opens the listener.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the program ends.
    pub async fn run(self, gateway: Arc<Gateway>, draining: Arc<AtomicBool>) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                warn!(%error, "Admin listener cannot be used");
                return;
            }
        };
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Cannot accept an admin connection, trying again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (gateway, draining) = (Arc::clone(&gateway), Arc::clone(&draining));
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let reply = answer(&request, &gateway, draining.load(Ordering::Relaxed));
                    async { Ok::<_, Infallible>(reply) }
                });
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = serving.await {
                    debug!(%error, "Admin connection ended early");
                }
            });
        }
    }
}

fn answer(request: &Request<Incoming>, gateway: &Gateway, draining: bool) -> Response<Full<Bytes>> {
    let (status, kind, body) = match request.uri().path() {
        "/livez" | "/readyz" | "/metrics" if request.method() != Method::GET => {
            let mut reply = reply(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return reply;
        }
        "/livez" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/readyz" if draining => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned()),
        "/readyz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/metrics" => {
            let metrics = &gateway.metrics;
            metrics.buffered_bytes.set(gateway.buffered().try_into().unwrap_or(i64::MAX));
            match metrics.render(gateway.dedup.stats()) {
                Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
            }
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n".to_owned()),
    };
    reply(status, kind, body)
}

fn reply(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
