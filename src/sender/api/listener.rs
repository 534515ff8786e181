//! The listener of the API.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// No more connections are open at once: more wait to be accepted.
const MAX_CONNECTIONS: usize = 4096;

/// The API's listener, open and not yet answering.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
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

    /// Answers by `router` until `drain` is cancelled, and then what has begun.
    pub async fn run(self, router: Router, drain: CancellationToken) {
        let listener = match TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => {
                warn!(%error, "The sender's listener cannot be used");
                return;
            }
        };
        let (room, connections) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), TaskTracker::new());
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = drain.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "Cannot accept a connection to the sender, trying again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (router, drain) = (router.clone(), drain.clone());
            connections.spawn(async move {
                // Answers are short, and whoever waits for one waits for all of it.
                let _ = stream.set_nodelay(true);
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
                let mut serving = std::pin::pin!(serving);
                let ended = tokio::select! {
                    ended = serving.as_mut() => ended,
                    () = drain.cancelled() => {
                        serving.as_mut().graceful_shutdown();
                        serving.await
                    }
                };
                if let Err(error) = ended {
                    debug!(%error, "A connection to the sender ended early");
                }
                drop(permit);
            });
        }
        connections.close();
        connections.wait().await;
    }
}
