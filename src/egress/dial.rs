//! From a target to a connection: names are resolved, addresses judged, and one that was judged is dialled.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::exit::Exit;
use super::proxy::{Proxy, is_about_target};
use super::resolver::is_unknown_name;
use super::{ExchangeError, Target};

/// When connecting must have come to something.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub within: Duration,
    pub until: Instant,
}

impl Patience {
    pub fn over(self, target: &Target) -> ExchangeError {
        ExchangeError::ConnectTimeout { target: target.clone(), within: self.within }
    }
}

impl Exit {
    /// A connection to `target`, and the address at its other end: the proxy's if there is one.
    pub(super) async fn dial(
        &self,
        target: &Target,
        patience: Patience,
    ) -> Result<(TcpStream, SocketAddr), ExchangeError> {
        if let Some(proxy) = &self.proxy {
            return self.tunnel(proxy, target, patience).await;
        }
        let addresses = self.resolve(target, patience.until).await?;
        match self.open(&addresses, patience.until).await {
            Ok(opened) => Ok(opened),
            Err(cause) if cause.kind() == io::ErrorKind::TimedOut => Err(patience.over(target)),
            Err(cause) => Err(ExchangeError::Connect { target: target.clone(), cause }),
        }
    }

    /// The addresses that may be dialled. A resolver that does not answer is told from a target that does not: nobody else
    /// could be reached either.
    async fn resolve(&self, target: &Target, until: Instant) -> Result<Vec<SocketAddr>, ExchangeError> {
        let found = self.resolver.resolve(&target.host, target.port, until).await;
        let Some(guard) = &self.guard else {
            return found.map_err(|cause| ExchangeError::Resolve { target: target.clone(), cause });
        };
        match found {
            Ok(addresses) if addresses.is_empty() => {
                Err(ExchangeError::UnknownName { target: target.clone(), cause: io::ErrorKind::NotFound.into() })
            }
            Ok(addresses) => match guard.permits_all(&addresses) {
                Ok(()) => Ok(addresses),
                Err(why) => Err(ExchangeError::Refused { target: target.clone(), why }),
            },
            // An operator's own names come and go with their services; a stranger's that is gone is the stranger's affair.
            Err(cause) if is_unknown_name(&cause) => Err(ExchangeError::UnknownName { target: target.clone(), cause }),
            Err(cause) => Err(ExchangeError::Resolve { target: target.clone(), cause }),
        }
    }

    /// Connects to the first of `addresses` that lets us. Each gets its part of the time that is left, so that one that is
    /// silent leaves some for the others.
    async fn open(&self, addresses: &[SocketAddr], until: Instant) -> io::Result<(TcpStream, SocketAddr)> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "it has no address");
        for (address, left) in addresses.iter().zip((1..=addresses.len()).rev()) {
            let source = match self.bind.source_for(address.ip()) {
                Ok(source) => source,
                Err(why) => {
                    failure = io::Error::new(io::ErrorKind::Unsupported, why);
                    continue;
                }
            };
            let part = until.saturating_duration_since(Instant::now()) / left.try_into().unwrap_or(u32::MAX);
            match timeout(part, connect(*address, source)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, *address));
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }

    /// Reaches `target` through `proxy`. What the proxy itself fails at is told from what it says of the target.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        target: &Target,
        patience: Patience,
    ) -> Result<(TcpStream, SocketAddr), ExchangeError> {
        if let Some(Err(why)) = self.guard.as_ref().map(|guard| guard.permits_unresolved(target)) {
            return Err(ExchangeError::Refused { target: target.clone(), why });
        }
        let failed = |cause| ExchangeError::Proxy { proxy: proxy.target.clone(), cause };
        let Target { host, port, .. } = &proxy.target;
        let addresses = self.resolver.resolve(host, *port, patience.until).await.map_err(failed)?;
        let (mut stream, address) = self.open(&addresses, patience.until).await.map_err(failed)?;
        match timeout_at(patience.until, proxy.ask(&mut stream, target)).await {
            Ok(Ok(status)) if status.is_success() => Ok((stream, address)),
            Ok(Ok(status)) => {
                let cause = io::Error::other(format!("the proxy answered {status}"));
                match is_about_target(status) {
                    true => Err(ExchangeError::Connect { target: target.clone(), cause }),
                    false => Err(failed(cause)),
                }
            }
            Ok(Err(cause)) => Err(failed(cause)),
            // The proxy was there; whom it waits for is the target.
            Err(_) => Err(patience.over(target)),
        }
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address).await };
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(address).await
}
