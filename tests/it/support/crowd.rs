//! Many providers at once, none of which gives up.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookward::clock::Clock;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::client::{PATIENCE, parse};
use super::{Request, signed};

/// Whoever was refused comes back after so long.
const PAUSE: Duration = Duration::from_millis(20);

/// No event is refused for longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// Senders that make event after event, and try each until it is answered 2xx: every try on a connection of its own.
pub struct Crowd {
    shared: Arc<Shared>,
    senders: JoinSet<HashSet<Bytes>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    accepted: AtomicUsize,
    /// How often each status was answered; 0 where there was no answer.
    answers: Mutex<BTreeMap<u16, usize>>,
}

impl Crowd {
    /// So many senders to `address`, that pause for so long between two events.
    pub fn start(senders: usize, address: SocketAddr, between: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let senders = (0..senders).map(|name| send_on_and_on(name, address, between, Arc::clone(&shared))).collect();
        Self { shared, senders }
    }

    /// How many events were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How often a status was answered so far.
    pub fn answers(&self, status: u16) -> usize {
        self.shared.answers.lock().unwrap().get(&status).copied().unwrap_or(0)
    }

    /// Waits until so many events more than now were accepted.
    pub async fn go_on(&self, more: usize) {
        let wanted = self.accepted() + more;
        wait_until(&format!("{more} events more"), || self.accepted() >= wanted).await;
    }

    /// Lets each sender come to the end of the event that it is at. Returns the bodies of all, each of which was accepted.
    pub async fn stop(self) -> HashSet<Bytes> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.senders.join_all().await.into_iter().flatten().collect()
    }
}

/// Waits for a condition, within reason.
pub async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONGEST, "still waiting for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A new event, signed now by the machine's clock.
pub fn event(id: &str) -> Request {
    signed("vpn-enterprise", "", &body(id), Clock::System.now().0)
}

/// What [`event`] carries.
pub fn body(id: &str) -> String {
    format!("{{\"id\":\"{id}\"}}")
}

async fn send_on_and_on(name: usize, address: SocketAddr, between: Duration, shared: Arc<Shared>) -> HashSet<Bytes> {
    let mut accepted = HashSet::new();
    for number in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("evt_{name}_{number}");
        insist(address, &id, &shared).await;
        accepted.insert(Bytes::from(body(&id)));
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        sleep(between).await;
    }
    accepted
}

async fn insist(address: SocketAddr, id: &str, shared: &Shared) {
    let (begun, bytes) = (Instant::now(), event(id).bytes());
    loop {
        let status = try_once(address, &bytes).await.unwrap_or(0);
        *shared.answers.lock().unwrap().entry(status).or_default() += 1;
        match status {
            200..300 => return,
            0 | 500 | 502..=504 => {}
            other => panic!("{id} is answered {other}"),
        }
        assert!(begun.elapsed() < LONGEST, "{id} is never accepted, and answered {status}");
        sleep(PAUSE).await;
    }
}

/// The status of an answer, if there is one.
async fn try_once(address: SocketAddr, bytes: &[u8]) -> io::Result<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        // What came before the connection broke counts.
        let read = stream.read_to_end(&mut answer).await;
        match parse(&answer) {
            Some(reply) => Ok(reply.status),
            None => Err(read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
        }
    };
    timeout(PATIENCE, exchange).await.expect("an answer or an end in time")
}
