//! From a configuration to a running program: what starts in which order, and how it comes to rest.
//!
//! The listeners are opened first, so that nothing runs if an address is taken; then the workers start, each on a
//! thread of its own, then the admin listener. Draining goes the other way round: not ready any more, no new
//! connections, what has begun comes to its end, and only then the admin listener closes.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::{Config, DedupConfig, DedupStore};
use crate::dedup::{Dedup, Memory, Redis, Remote, Shared};
use crate::gateway::{Gateway, Settings, Worker, server};
use crate::telemetry::metrics::Metrics;

/// A running program.
#[derive(Debug)]
pub struct App {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    drain: CancellationToken,
    draining: Arc<AtomicBool>,
    /// Each worker says here how it ended.
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
    workers: usize,
    /// Where the connections to stores live. Held for its end.
    _background: Background,
}

/// A runtime beside those of the workers, with a thread of its own.
#[derive(Debug)]
struct Background(Option<Runtime>);

/// Why a program did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for the {listener}")]
    Listen {
        listener: &'static str,
        address: SocketAddr,
        #[source]
        cause: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// What of a configuration the app is built from.
#[derive(Debug)]
pub struct Plan {
    pub listen: SocketAddr,
    pub workers: usize,
    pub admin: Option<SocketAddr>,
    pub dedup: DedupConfig,
    pub settings: Settings,
}

impl From<Config> for Plan {
    fn from(config: Config) -> Self {
        Self {
            listen: config.listen,
            workers: config.workers,
            admin: config.admin,
            dedup: config.dedup,
            settings: config.gateway,
        }
    }
}

impl App {
    /// Starts everything that `plan` names. Call it on the runtime that the admin listener is to live on.
    ///
    /// # Errors
    /// If an address is taken or a thread cannot be had; then nothing runs.
    pub fn start(plan: Plan, clock: Clock) -> Result<Self, StartError> {
        let gateway_at = |cause| StartError::Listen { listener: "gateway", address: plan.listen, cause };
        let listeners = server::bind(plan.listen, plan.workers).map_err(gateway_at)?;
        let address = listeners[0].local_addr().map_err(gateway_at)?;
        let admin = plan.admin.map(|address| Admin::bind(address).map_err(|cause| (address, cause))).transpose();
        let admin = admin.map_err(|(address, cause)| StartError::Listen { listener: "admin pages", address, cause })?;

        let background = Background::start().map_err(StartError::Worker)?;
        let dedup = dedup(&plan.dedup, &clock, &background);
        let gateway = Arc::new(Gateway::new(plan.settings, dedup, Arc::new(Metrics::new()), clock));
        let drain = CancellationToken::new();
        let (report, ended) = mpsc::unbounded_channel();
        for (index, listener) in listeners.into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(&gateway));
            let (drain, report) = (drain.clone(), report.clone());
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Worker)?;
            let work = move || {
                let run = AssertUnwindSafe(|| runtime.block_on(worker.run(listener, drain)));
                let ended = catch_unwind(run).unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
                // The receiver is gone only when the whole program is.
                let _ = report.send(ended);
            };
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(work).map_err(StartError::Worker)?;
        }
        info!(listener = "gateway", address = %address, workers = plan.workers, "Listening");
        let draining = Arc::new(AtomicBool::new(false));
        let admin_address = admin.as_ref().map(Admin::address);
        if let Some(admin) = admin {
            info!(listener = "admin", address = %admin.address(), "Listening");
            tokio::spawn(admin.run(Arc::clone(&gateway), Arc::clone(&draining)));
        }
        let workers = plan.workers;
        Ok(Self { gateway, address, admin: admin_address, drain, draining, ended, workers, _background: background })
    }

    /// Where the gateway listens; its port is real also where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and health are served.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The gateway itself.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Waits for a worker to end, which none does unless it was told to.
    pub async fn worker_ended(&mut self) -> io::Result<()> {
        self.ended.recv().await.unwrap_or(Ok(()))
    }

    /// Stops accepting and waits for what has begun. True if all of it came to its end within `within`.
    ///
    /// Dropping the future leaves the draining to go on by itself.
    pub async fn drain(&mut self, within: Duration) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        self.drain.cancel();
        let all = async {
            for _ in 0..self.workers {
                self.ended.recv().await;
            }
            self.gateway.dedup.drain().await;
        };
        timeout(within, all).await.is_ok()
    }
}

/// Where events are remembered. A store that cannot be reached is no reason not to start.
fn dedup(config: &DedupConfig, clock: &Clock, background: &Background) -> Dedup {
    let remote = match &config.store {
        DedupStore::Memory => return Dedup::Memory(Memory::new(config.max_entries)),
        DedupStore::Redis(url) => Remote::Redis(Redis::new(url, &config.prefix)),
    };
    let shared = Shared::start(remote, config.timeout, clock.clone(), background.handle());
    shared.wait_for_probe();
    Dedup::Shared(shared)
}

impl Background {
    fn start() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("background").enable_all().build().map(|runtime| Self(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is there until it is dropped").handle().clone()
    }
}

impl Drop for Background {
    /// Does not wait: this may be one of another runtime's threads, which must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.drain.cancel();
    }
}
