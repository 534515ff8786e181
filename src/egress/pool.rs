//! Connections to one target, kept open between requests.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::dial::Patience;
use super::exit::{Answers, Exit};
use super::tls::turned_away;
use super::{ExchangeError, Roots, Target};

/// A connection idle for longer is not used again: Node's server closes its own after 5 s.
const MAX_IDLE_TIME: Duration = Duration::from_secs(4);

/// More idle connections than this are closed.
const MAX_IDLE: usize = 256;

/// An answer of which only the head is kept is read through a buffer of this many bytes, which its header lines must fit in.
const HEAD_BUFFER: usize = 64 << 10;

/// The connections of one worker to one target. Taken and put back at the same end, so that few stay warm.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    exit: Exit,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

/// An answer, read to its end or as far as it is kept. Where only its head is ([`Answers::Head`]), [`Remote`] is among
/// its extensions.
pub type Exchange = Response<Bytes>;

/// Who answered, and how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// What was dialled: the proxy's address if there is one.
    pub address: SocketAddr,
    /// True if the body is longer than what is kept of it, or broke off.
    pub truncated: bool,
}

impl Pool {
    /// A pool without connections to where the operator says. `roots` are asked for where the target speaks TLS.
    pub fn new(target: Target, roots: Option<Roots>, connect_timeout: Duration) -> Self {
        Self::through(Exit::unguarded(roots, connect_timeout), target)
    }

    /// A pool without connections whose own leave through `exit`.
    pub fn through(exit: Exit, target: Target) -> Self {
        Self { target, exit, idle: Mutex::default() }
    }

    /// The same pool for answers of up to `bytes`.
    #[must_use]
    pub fn with_max_answer(mut self, bytes: usize) -> Self {
        self.exit.answers = Answers::Whole(bytes);
        self
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
            let (mut connection, reused) = match self.take() {
                Some(connection) => (connection, true),
                // Boxed: it is rare and large, and would be carried along by every request.
                None => (Box::pin(self.connect(deadline)).await?, false),
            };
            let sent = timeout_at(deadline, connection.sender.try_send_request(request)).await;
            match sent.map_err(|_| ExchangeError::Timeout { target: self.target.clone(), within })? {
                Ok(response) => return Ok(self.read(response, connection, deadline).await),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(self.broken(error.into_error())),
                },
            }
        }
    }

    /// Closes the connections that are not used again, and those that the other side has closed. Without it they are held
    /// until the next exchange.
    pub fn close_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|Idle { connection, since }| since.elapsed() <= MAX_IDLE_TIME && !connection.sender.is_closed());
        idle.shrink_to_fit();
    }

    /// Reads an answer's body, as much of it as is kept. Its connection is used again if it came to its end.
    async fn read(&self, response: Response<Incoming>, connection: Connection, deadline: Instant) -> Exchange {
        let (mut parts, body) = response.into_parts();
        match self.exit.answers {
            Answers::Whole(max) => {
                let body = timeout_at(deadline, read_whole(body, max)).await.unwrap_or(None);
                if body.is_some() {
                    self.put(connection);
                }
                Response::from_parts(parts, body.unwrap_or_default())
            }
            Answers::Head { keep, read } => {
                let mut kept = BytesMut::new();
                let length = timeout_at(deadline, read_head(body, keep, read, &mut kept)).await.unwrap_or(None);
                let truncated = length.is_none_or(|length| length > keep);
                parts.extensions.insert(Remote { address: connection.address, truncated });
                if length.is_some() {
                    self.put(connection);
                }
                Response::from_parts(parts, kept.freeze())
            }
        }
    }

    /// The connection that was used last, unless it has been idle for too long.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(Idle { connection, since }) = idle.pop() {
            if since.elapsed() > MAX_IDLE_TIME {
                // All that are left have been idle for even longer.
                idle.clear();
                return None;
            }
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, ExchangeError> {
        let now = Instant::now();
        let within = self.exit.connect_timeout.min(deadline.saturating_duration_since(now));
        let patience = Patience { within, until: now + within };
        let (stream, address) = self.exit.dial(&self.target, patience).await?;
        let started = match self.target.tls {
            true => self.start(self.encrypt(stream, patience).await?).await,
            false => self.start(stream).await,
        };
        let sender = started.map_err(|cause| ExchangeError::Connect { target: self.target.clone(), cause })?;
        Ok(Connection { sender, address })
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        patience: Patience,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, ExchangeError> {
        let failed = |cause| ExchangeError::Tls { target: self.target.clone(), cause };
        let unusable = |why: &str| failed(io::Error::new(io::ErrorKind::InvalidInput, why));
        let name =
            ServerName::try_from(self.target.host.clone()).map_err(|_| unusable("no certificate has its name"))?;
        let roots = self.exit.roots.as_ref().ok_or_else(|| unusable("nothing to check its certificate by"))?;
        let encrypting = TlsConnector::from(roots.config()).connect(name, stream);
        match timeout_at(patience.until, encrypting).await {
            Ok(encrypted) => encrypted.map_err(failed),
            Err(_) => Err(patience.over(&self.target)),
        }
    }

    /// Speaks HTTP/1.1 on a connection, in a task that ends with it.
    async fn start(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> io::Result<SendRequest<Full<Bytes>>> {
        let mut builder = Builder::new();
        if let Answers::Head { .. } = self.exit.answers {
            builder.max_buf_size(HEAD_BUFFER);
        }
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Whoever waits for an answer on it is told by the sender's half.
            let _ = connection.await;
        });
        Ok(sender)
    }

    fn broken(&self, cause: hyper::Error) -> ExchangeError {
        let target = self.target.clone();
        match turned_away(&cause) {
            Some(alert) => {
                let cause = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::AlertReceived(alert));
                ExchangeError::Tls { target, cause }
            }
            None => ExchangeError::Broken { target, cause },
        }
    }
}

/// The whole body. `None` if it broke off or is longer than `max`.
async fn read_whole(mut body: Incoming, max: usize) -> Option<Bytes> {
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

/// Keeps the first `keep` bytes of a body in `kept`, and returns its length. `None` if it broke off or is longer than `max`.
async fn read_head(mut body: Incoming, keep: usize, max: usize, kept: &mut BytesMut) -> Option<usize> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        length += data.len();
        kept.extend_from_slice(&data[..data.len().min(keep - kept.len())]);
        if length > max {
            return None;
        }
    }
    Some(length)
}
