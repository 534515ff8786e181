//! Connections to one target, kept open between requests.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::{ExchangeError, Roots, Target};

/// A connection idle for longer is not used again: Node's server closes its own after 5 s.
const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// More idle connections than this are closed.
const MAX_IDLE: usize = 256;

/// An answer's body is kept up to this many bytes, unless the pool is told otherwise. A longer one is dropped whole; its
/// status counts all the same.
const MAX_ANSWER: usize = 1 << 20;

/// The connections of one worker to one target. Taken and put back at the same end, so that few stay warm.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    roots: Option<Roots>,
    connect_timeout: Duration,
    max_answer: usize,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// An answer, read to its end.
pub type Exchange = Response<Bytes>;

impl Pool {
    /// A pool without connections. `roots` are asked for where the target speaks TLS.
    pub fn new(target: Target, roots: Option<Roots>, connect_timeout: Duration) -> Self {
        Self { target, roots, connect_timeout, max_answer: MAX_ANSWER, idle: Mutex::default() }
    }

    /// The same pool for answers of up to `bytes`.
    #[must_use]
    pub fn with_max_answer(self, bytes: usize) -> Self {
        Self { max_answer: bytes, ..self }
    }

    /// Sends a request and reads its answer, all within `within`.
    ///
    /// A connection that turns out to be stale is replaced only when nothing of the request was written to it. What
    /// counts is the answer's head: where its body breaks off or takes too long, the answer comes without a body.
    ///
    /// # Errors
    /// See [`ExchangeError`]; each says whether the other side may have acted on the request.
    pub async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Exchange, ExchangeError> {
        let deadline = Instant::now() + within;
        loop {
            let (mut sender, reused) = match self.take() {
                Some(sender) => (sender, true),
                // Boxed: it is rare and large, and would be carried along by every request.
                None => (Box::pin(self.connect(deadline)).await?, false),
            };
            let sent = timeout_at(deadline, sender.try_send_request(request)).await;
            match sent.map_err(|_| ExchangeError::Timeout { target: self.target.clone(), within })? {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    let body = timeout_at(deadline, read_answer(body, self.max_answer)).await.unwrap_or(None);
                    if body.is_some() {
                        self.put(sender);
                    }
                    return Ok(Response::from_parts(parts, body.unwrap_or_default()));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(ExchangeError::Broken { target: self.target.clone(), cause: error.into_error() }),
                },
            }
        }
    }

    /// The connection that was used last, unless it has been idle for too long.
    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() > MAX_IDLE_TIME {
                // All that are left have been idle for even longer.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<SendRequest<Full<Bytes>>, ExchangeError> {
        let within = self.connect_timeout.min(deadline.saturating_duration_since(Instant::now()));
        let until = Instant::now() + within;
        let addresses = self.resolve(until).await?;
        match timeout_at(until, self.open(addresses)).await {
            Ok(opened) => opened.map_err(|cause| ExchangeError::Connect { target: self.target.clone(), cause }),
            Err(_) => Err(ExchangeError::ConnectTimeout { target: self.target.clone(), within }),
        }
    }

    /// Asks the resolver. One that does not answer is told from a target that does not: nobody else could be reached either.
    async fn resolve(&self, until: Instant) -> Result<impl Iterator<Item = SocketAddr>, ExchangeError> {
        let found = timeout_at(until, lookup_host((self.target.host.as_str(), self.target.port))).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        found.map_err(|cause| ExchangeError::Resolve { target: self.target.clone(), cause })
    }

    /// Connects to the first of `addresses` that lets us.
    async fn open(&self, addresses: impl Iterator<Item = SocketAddr>) -> io::Result<SendRequest<Full<Bytes>>> {
        let addresses: Vec<SocketAddr> = addresses.collect();
        let stream = TcpStream::connect(&addresses[..]).await?;
        stream.set_nodelay(true)?;
        let Some(roots) = self.roots.as_ref().filter(|_| self.target.tls) else {
            return start(stream).await;
        };
        let name = ServerName::try_from(self.target.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connector = tokio_rustls::TlsConnector::from(roots.config());
        start(connector.connect(name, stream).await?).await
    }
}

/// Speaks HTTP/1.1 on a connection, in a task that ends with it.
async fn start(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> io::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Whoever waits for an answer on it is told by the sender's half.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The whole body. `None` if it broke off or is longer than `max`.
async fn read_answer(mut body: Incoming, max: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() {
            return Some(data);
        }
        if whole.len() + data.len() > max {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole.freeze())
}
