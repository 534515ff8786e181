//! The services that the gateway delivers to: one that is well, and two kinds of dead ones.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::event;
use crate::journal::Journal;
use crate::process::free_port;
use crate::wire::Reader;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

/// How a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answers everything with 200, at once.
    Well,
    /// Nobody listens on its port.
    Refusing,
    /// It takes connections and never answers.
    Silent,
}

/// A service, until this is dropped.
pub struct Upstream {
    port: u16,
    _connections: JoinSet<()>,
}

impl Upstream {
    /// A service that writes into `journal` what arrives.
    pub async fn start(health: Health, journal: &Arc<Journal>) -> io::Result<Self> {
        let mut connections = JoinSet::new();
        if health == Health::Refusing {
            return Ok(Self { port: free_port()?, _connections: connections });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let journal = Arc::clone(journal);
        connections.spawn(async move {
            let mut serving = JoinSet::new();
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                match health {
                    // A gateway that is ended leaves its connections broken.
                    Health::Well => drop(serving.spawn(serve(stream, Arc::clone(&journal)))),
                    Health::Refusing | Health::Silent => held.push(stream),
                }
            }
        });
        Ok(Self { port, _connections: connections })
    }

    /// As it stands in a configuration.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/in", self.port)
    }
}

async fn serve(mut stream: TcpStream, journal: Arc<Journal>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.split();
    let mut requests = Reader::new(reading);
    while let Some(head) = requests.next().await? {
        match event::number(head) {
            Some(number) => journal.arrived(number),
            None => journal.fault("a delivery had no id".into()),
        }
        writing.write_all(ANSWER).await?;
    }
    Ok(())
}
