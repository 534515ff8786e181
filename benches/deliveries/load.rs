//! The load: connections that send events as fast as they are answered, or so many a second.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::event::{ACCEPTED, Request};
use crate::journal::Journal;
use crate::wire::{Reader, status};

const CONNECTIONS: usize = 64;

/// What is sent, and where: to one source after the other.
#[derive(Clone)]
pub struct Load {
    pub port: u16,
    pub request: Request,
    pub sources: usize,
    pub journal: Arc<Journal>,
}

/// Connections at work, until this is dropped.
pub type Running = JoinSet<()>;

impl Load {
    /// Each connection sends its next event when its last one is answered.
    pub fn closed(&self) -> Running {
        let next = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (load, next) = (self.clone(), Arc::clone(&next));
            running.spawn(async move {
                let sending = async {
                    let mut connection = Connection::open(&load).await?;
                    loop {
                        connection.send(next.fetch_add(1, Ordering::Relaxed), Instant::now()).await?;
                    }
                };
                load.note_end(sending.await);
            });
        }
        running
    }

    /// Events 0 to `count`, so many `per_second`, whether or not those before them are answered.
    pub fn steady(&self, per_second: f64, count: usize) -> Running {
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for first in 0..CONNECTIONS {
            let load = self.clone();
            running.spawn(async move {
                let sending = async {
                    let mut connection = Connection::open(&load).await?;
                    for number in (first..count).step_by(CONNECTIONS) {
                        let due = begin + Duration::from_secs_f64(number as f64 / per_second);
                        connection.send_at(number, due).await?;
                    }
                    Ok(())
                };
                load.note_end(sending.await);
            });
        }
        running
    }

    fn note_end(&self, ended: io::Result<()>) {
        if let Err(error) = ended {
            self.journal.fault(format!("a connection ended: {error}"));
        }
    }
}

struct Connection {
    load: Load,
    responses: Reader<OwnedReadHalf>,
    writing: OwnedWriteHalf,
    request: Request,
}

impl Connection {
    async fn open(load: &Load) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, load.port)).await?;
        stream.set_nodelay(true)?;
        let (reading, writing) = stream.into_split();
        Ok(Self { load: load.clone(), responses: Reader::new(reading), writing, request: load.request.clone() })
    }

    /// Sends an event at its time. One that is late because the one before it was not answered is late from its time on.
    async fn send_at(&mut self, number: usize, due: Instant) -> io::Result<()> {
        if Instant::now() >= due {
            return self.send(number, due).await;
        }
        sleep_until(due.into()).await;
        // Timers come up to a millisecond late, which is no fault of the gateway.
        self.send(number, Instant::now()).await
    }

    /// Sends an event and waits for its answer. It counts as sent `at`.
    async fn send(&mut self, number: usize, at: Instant) -> io::Result<()> {
        let journal = &self.load.journal;
        journal.sent(number, at);
        self.writing.write_all(self.request.of_event(number, number % self.load.sources)).await?;
        match self.responses.next().await?.map(status) {
            Some(ACCEPTED) => journal.answered(number),
            Some(status) => journal.fault(format!("an event was answered {status}")),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }
}
