//! Accepts connections: each worker thread has its own listener, its own runtime and its own connections.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::client::{ClientIp, read_proxy_header};
use super::forward::address;
use super::{Connection, Settings, Worker};

/// A head larger than this is refused.
const MAX_HEAD: usize = 64 * 1024;

/// More header lines than this are refused.
const MAX_HEADERS: usize = 100;

const BACKLOG: i32 = 1024;

/// Opens one listener for each worker on the same address; the kernel spreads connections over them.
///
/// # Errors
/// If the address cannot be listened on.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    let mut listeners = vec![bind_one(address)?];
    let address = listeners[0].local_addr()?;
    for _ in 1..workers {
        listeners.push(bind_one(address)?);
    }
    Ok(listeners)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
                    debug!("Closed a connection beyond max_connections");
                }
                Ok((stream, peer)) => {
                    let worker = Arc::clone(&self);
                    let drain = drain.clone();
                    connections.spawn(async move { worker.connection(stream, peer.ip().to_canonical(), drain).await });
                }
                Err(error) => {
                    warn!(%error, "Cannot accept a connection, trying again");
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
        let open = self.gateway.metrics.connections.clone();
        open.inc();
        if let Err(why) = self.converse(stream, peer, drain).await {
            // A stranger's doing: counted by what it asked for, if it got that far.
            debug!(client.address = %peer, %why, "Connection ended early");
        }
        open.dec();
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
        let peer = match timeout(within, introduce(&settings, &mut stream, peer)).await {
            Ok(peer) => peer?,
            Err(_) => return Err(EndedEarly::Timeout),
        };
        let trusted = settings.client_ip.trusts_headers_of(peer);
        let peer_text = address(peer);
        match &settings.tls {
            None => self.http(stream, Connection { peer, peer_text, trusted, tls: false }, within, drain).await,
            Some(tls) => {
                let acceptor = TlsAcceptor::from(Arc::clone(tls));
                let stream = timeout(within, acceptor.accept(stream)).await.map_err(|_| EndedEarly::Timeout)??;
                self.http(stream, Connection { peer, peer_text, trusted, tls: true }, within, drain).await
            }
        }
    }

    async fn http(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        connection: Connection,
        header_timeout: Duration,
        drain: CancellationToken,
    ) -> Result<(), EndedEarly> {
        let connection = Arc::new(connection);
        let service = service_fn(|request| {
            let (worker, connection) = (Arc::clone(&self), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(worker.serve(request, connection).await) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut serving = std::pin::pin!(serving);
        tokio::select! {
            // Both go on with the same connection: nothing is dropped when draining wins.
            ended = serving.as_mut() => return Ok(ended?),
            () = drain.cancelled() => serving.as_mut().graceful_shutdown(),
        }
        Ok(serving.await?)
    }
}

/// Whose connection it is. Where the PROXY protocol is wanted, a trusted peer says so before anything else.
async fn introduce(settings: &Settings, stream: &mut TcpStream, peer: IpAddr) -> Result<IpAddr, EndedEarly> {
    match &settings.client_ip {
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
    #[error("no TLS or PROXY header in time")]
    Timeout,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
}
