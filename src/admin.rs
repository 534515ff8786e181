//! The second listener, which strangers do not reach: metrics, health, and the API for operators.

mod api;
mod health;
mod problem;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tracing::{debug, warn};

use crate::gateway::Gateway;

pub use api::Api;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

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
    pub async fn run(self, gateway: Arc<Gateway>, draining: Arc<AtomicBool>, api: Arc<Api>) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                warn!(%error, "Admin listener cannot be used");
                return;
            }
        };
        let pages = Arc::new(Pages { gateway, draining, api });
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Cannot accept an admin connection, trying again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let pages = Arc::clone(&pages);
            tokio::spawn(async move {
                let service = service_fn(|request| async { Ok::<_, Infallible>(pages.answer(request).await) });
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

/// What is answered from.
struct Pages {
    gateway: Arc<Gateway>,
    draining: Arc<AtomicBool>,
    api: Arc<Api>,
}

impl Pages {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        if path == "/api" || path.starts_with("/api/") {
            self.api.answer(request).await
        } else {
            health::answer(&request, &self.gateway, self.draining.load(Ordering::Relaxed))
        }
    }
}

fn reply(status: StatusCode, kind: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
