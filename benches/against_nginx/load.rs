//! The load: connections that each send their next request when the last one is answered.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::request::{Request, signature_of};
use crate::usage;
use crate::wire::{Reader, status};

/// Not measured: connections are opened, caches and pools fill.
pub const WARM_UP: Duration = Duration::from_millis(800);

const CONNECTIONS: usize = 64;

/// What is to be sent, and who is watched meanwhile.
#[derive(Debug, Args)]
pub struct Order {
    #[arg(long)]
    pub port: u16,
    /// In bytes
    #[arg(long)]
    pub body_len: usize,
    #[arg(long)]
    pub seconds: f64,
    /// The process whose CPU time is taken
    #[arg(long)]
    pub watch: u32,
    /// The events' signatures; without them all are wrong
    #[arg(long)]
    pub signatures: Option<PathBuf>,
}

impl Order {
    /// The arguments that [`Order`] is read from.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = vec![
            format!("--port={}", self.port).into(),
            format!("--body-len={}", self.body_len).into(),
            format!("--seconds={}", self.seconds).into(),
            format!("--watch={}", self.watch).into(),
        ];
        if let Some(path) = &self.signatures {
            args.extend(["--signatures".into(), path.into()]);
        }
        args
    }
}

/// What came of it, in the time that is measured; the statuses are those of the warm-up too.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub answers: usize,
    pub elapsed: Duration,
    /// Of the watched process, its children included.
    pub cpu: Duration,
    statuses: BTreeMap<u16, usize>,
    /// Why connections ended.
    broken: Vec<String>,
}

impl Report {
    /// What should not have happened, where every answer should have had `expected`.
    pub fn faults(&self, expected: u16) -> Vec<String> {
        let statuses = self.statuses.iter().filter(|(status, _)| **status != expected);
        let statuses = statuses.map(|(status, count)| format!("{count} answers had {status} instead of {expected}"));
        statuses.chain(self.broken.iter().map(|why| format!("a connection ended: {why}"))).collect()
    }
}

/// Sends, and prints a [`Report`] as JSON.
pub fn run(order: &Order) -> anyhow::Result<()> {
    let signatures = order.signatures.as_ref().map(fs::read).transpose()?;
    let load = Arc::new(Load {
        port: order.port,
        body_len: order.body_len,
        signatures,
        next: AtomicUsize::new(0),
        answers: AtomicUsize::new(0),
        statuses: Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(measure(load, order))?;
    serde_json::to_writer(io::stdout(), &report)?;
    io::stdout().flush()?;
    Ok(())
}

/// What the connections share.
struct Load {
    port: u16,
    body_len: usize,
    signatures: Option<Vec<u8>>,
    /// The next event's number.
    next: AtomicUsize,
    answers: AtomicUsize,
    statuses: Mutex<BTreeMap<u16, usize>>,
}

/// Where a process and its load stand.
struct Mark {
    answers: usize,
    at: Instant,
    cpu: Duration,
}

async fn measure(load: Arc<Load>, order: &Order) -> anyhow::Result<Report> {
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(keep_sending(Arc::clone(&load)));
    }
    let mut broken = Vec::new();
    wait(&mut connections, WARM_UP, &mut broken).await?;
    let begin = load.mark(order.watch);
    wait(&mut connections, Duration::from_secs_f64(order.seconds), &mut broken).await?;
    let end = load.mark(order.watch);
    let statuses = load.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(end.cpu > begin.cpu, "there is no CPU time in /proc/{}/task/*/schedstat", order.watch);
    Ok(Report {
        answers: end.answers - begin.answers,
        elapsed: end.at - begin.at,
        cpu: end.cpu - begin.cpu,
        statuses,
        broken,
    })
}

/// Lets the connections work for as long as `time`, and gathers why some ended.
async fn wait(
    connections: &mut JoinSet<io::Result<()>>,
    time: Duration,
    broken: &mut Vec<String>,
) -> anyhow::Result<()> {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            match ended? {
                Ok(()) => bail!("the signed requests are used up: raise FASTEST_1K or FASTEST_64K"),
                Err(error) => broken.push(error.to_string()),
            }
        }
        bail!("all connections ended: {}", broken.join(", "))
    };
    timeout(time, all_ended).await.unwrap_or(Ok(()))
}

async fn keep_sending(load: Arc<Load>) -> io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, load.port)).await?;
    stream.set_nodelay(true)?;
    let (reading, mut writing) = stream.split();
    let mut responses = Reader::new(reading);
    let mut request = Request::new(load.port, load.body_len);
    loop {
        let number = load.next.fetch_add(1, Ordering::Relaxed);
        let signature = load.signatures.as_ref().map(|signatures| signature_of(signatures, number));
        if signature == Some(None) {
            return Ok(());
        }
        writing.write_all(request.of_event(number, signature.flatten())).await?;
        match responses.next().await? {
            Some(head) => load.count(status(head)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Load {
    fn count(&self, status: u16) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    fn mark(&self, watched: u32) -> Mark {
        Mark { answers: self.answers.load(Ordering::Relaxed), at: Instant::now(), cpu: usage::cpu_time(watched) }
    }
}
