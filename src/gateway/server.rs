//! Accepts connections: each worker thread has its own listener, its own runtime and its own connections.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::client::{ClientIp, read_proxy_header};
use super::framing::Strict;
use super::outgoing::address;
use super::stall::Impatient;
use super::{Connection, Settings, Worker};
use crate::rejection::Reason;
use crate::telemetry::outcome::Outcome;

/// A head larger than this is refused; hyper itself refuses more than 100 lines.
const MAX_HEAD: usize = 64 * 1024;

const BACKLOG: i32 = 1024;

/// Opens one listener for each worker on the same address; the kernel spreads connections over them.
///
/// # Errors
/// If the address cannot be listened on.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    // Sharing the port is for our own workers: another process on it would remember other events than we do. So the
    // first listener takes it for itself, and shares it only then.
    let first = open(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    first.set_reuse_port(true)?;
    let mut listeners: Vec<TcpListener> = vec![first.into()];
    let address = listeners[0].local_addr()?;
    for _ in 1..workers {
        let next = open(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(BACKLOG)?;
        listeners.push(next.into());
    }
    Ok(listeners)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Worker {
    /// Accepts until `drain` is called for, then lets what has begun come to its end.
    ///
    /// # Errors
    /// If the listener cannot be used at all.
    pub async fn run(self: Arc<Self>, listener: TcpListener, drain: CancellationToken) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                // Nothing is lost if draining wins: an accepted connection is returned at once.
                () = drain.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(_) if self.is_full() => {
                    self.routes().nowhere.count(Outcome::Rejected(Reason::Overloaded));
                    debug!("Closed a connection beyond max_connections");
                }
                Ok((stream, peer)) => {
                    let worker = Arc::clone(&self);
                    let drain = drain.clone();
                    connections.spawn(async move { worker.connection(stream, peer.ip().to_canonical(), drain).await });
                }
                Err(error) => {
                    if let Some(suppressed) = self.gateway.sampler.pass(self.gateway.clock.monotonic()) {
                        warn!(%error, suppressed, "Cannot accept a connection, trying again");
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        self.forwards.close();
        self.forwards.wait().await;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let open = usize::try_from(self.gateway.metrics.connections.get()).unwrap_or(0);
        open >= self.gateway.settings.load().max_connections
    }

    /// Serves one connection to its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr, drain: CancellationToken) {
        let _open = Open::new(&self.gateway.metrics.connections);
        let nowhere = Arc::clone(&self.routes().nowhere);
        if let Err(why) = self.converse(stream, peer, drain).await {
            if let Some(reason) = why.reason() {
                nowhere.count(Outcome::Rejected(reason));
            }
            debug!(client.address = %peer, %why, "Connection ended early");
        }
    }

    async fn converse(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: IpAddr,
        drain: CancellationToken,
    ) -> Result<(), EndedEarly> {
        let settings = self.gateway.settings.load_full();
        stream.set_nodelay(true)?;
        let within = settings.header_timeout;
        let peer = match timeout(within, introduce(&settings.client_ip, &mut stream, peer)).await {
            Ok(peer) => peer?,
            Err(_) => return Err(EndedEarly::Timeout),
        };
        let peer_text = address(peer);
        match &settings.tls {
            None => self.http(stream, Connection { peer, peer_text, tls: false }, &settings, drain).await,
            Some(tls) => {
                let acceptor = TlsAcceptor::from(Arc::clone(tls));
                let stream = timeout(within, acceptor.accept(stream)).await.map_err(|_| EndedEarly::Timeout)??;
                self.http(stream, Connection { peer, peer_text, tls: true }, &settings, drain).await
            }
        }
    }

    async fn http(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        connection: Connection,
        settings: &Settings,
        drain: CancellationToken,
    ) -> Result<(), EndedEarly> {
        let connection = Arc::new(connection);
        let service = service_fn(|request| {
            let (worker, connection) = (Arc::clone(&self), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(worker.serve(request, connection).await) }
        });
        let refused = Arc::new(AtomicBool::new(false));
        let stream = Strict::new(Impatient::new(stream, settings.write_timeout), Arc::clone(&refused));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            // Both go on with the same connection: nothing is dropped when draining wins.
            ended = serving.as_mut() => ended,
            () = drain.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if refused.load(Ordering::Relaxed) {
            return Err(EndedEarly::Ambiguous);
        }
        Ok(ended?)
    }
}

/// Counts a connection for as long as it is open.
struct Open(Gauge);

impl Open {
    fn new(connections: &Gauge) -> Self {
        connections.inc();
        Self(connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Whose connection it is. Where the PROXY protocol is wanted, a trusted peer says so before anything else.
async fn introduce(client_ip: &ClientIp, stream: &mut TcpStream, peer: IpAddr) -> Result<IpAddr, EndedEarly> {
    match client_ip {
        ClientIp::ProxyProtocol(trusted) if trusted.contain(peer) => {
            let client = read_proxy_header(stream).await.map_err(EndedEarly::ProxyHeader)?;
            Ok(client.unwrap_or(peer))
        }
        ClientIp::ProxyProtocol(_) => Err(EndedEarly::UntrustedProxy),
        _ => Ok(peer),
    }
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
enum EndedEarly {
    #[error("the PROXY protocol is wanted, and the peer is not a trusted proxy")]
    UntrustedProxy,
    #[error("PROXY header: {0}")]
    ProxyHeader(&'static str),
    #[error("a request that could be understood in two ways")]
    Ambiguous,
    #[error("no TLS or PROXY header in time")]
    Timeout,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl EndedEarly {
    /// What is counted of it: refusals that happen before there is a request to speak of.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::UntrustedProxy => Some(Reason::ClientNotAllowed),
            Self::ProxyHeader(_) | Self::Ambiguous => Some(Reason::MalformedRequest),
            Self::Http(error) if error.is_parse_too_large() => Some(Reason::HeadersTooLarge),
            Self::Http(error) if error.is_parse() => Some(Reason::MalformedRequest),
            Self::Timeout | Self::Io(_) | Self::Http(_) => None,
        }
    }
}
