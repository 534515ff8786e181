//! From a configuration to a running program: what starts in which order, and how it comes to rest.
//!
//! The listeners are opened first, so that nothing runs if an address is taken; then the workers start, each on a
//! thread of its own, then the admin listener. Draining goes the other way round: not ready any more, no new
//! connections, what has begun comes to its end, and only then the admin listener closes.

mod stores;

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::access::Tokens;
use crate::admin::{Admin, Api};
use crate::clock::Clock;
use crate::config::{AdminConfig, Config, DedupConfig, DeliveryConfig, StoreConfig};
use crate::database::sqlite::OpenError;
use crate::delivery::Deliveries;
use crate::gateway::keep::{Keeper, destinations};
use crate::gateway::{Gateway, Settings, Worker, server};
use crate::operators::Operators;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use stores::Stores;

/// How often a store is rid of what is over.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// So many events are forgotten in one step, so that nobody waits long for it.
const PURGE_STEP: u32 = 500;

/// A running program.
#[derive(Debug)]
pub struct App {
    gateway: Arc<Gateway>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    api: Arc<Api>,
    drain: CancellationToken,
    draining: Arc<AtomicBool>,
    /// Each worker says here how it ended.
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
    workers: usize,
    /// What delivers, where events are stored.
    delivering: Option<Delivering>,
    /// Where stores' connections and deliveries live. Held for its end.
    _background: Background,
}

/// The task that delivers.
#[derive(Debug)]
struct Delivering {
    drain: CancellationToken,
    ended: JoinHandle<()>,
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
    /// A store's file cannot be opened.
    #[error("cannot open a store")]
    File(#[source] OpenError),
    /// A store's server cannot be used.
    #[error("cannot use a store: {0}")]
    Server(String),
    /// The system gives no thread.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// What of a configuration the app is built from.
#[derive(Debug)]
pub struct Plan {
    pub listen: SocketAddr,
    pub workers: usize,
    pub admin: Option<AdminConfig>,
    pub dedup: DedupConfig,
    pub store: Option<StoreConfig>,
    pub delivery: DeliveryConfig,
    pub drain_timeout: Duration,
    pub settings: Settings,
}

impl From<Config> for Plan {
    fn from(config: Config) -> Self {
        Self {
            listen: config.listen,
            workers: config.workers,
            admin: config.admin,
            dedup: config.dedup,
            store: config.store,
            delivery: config.delivery,
            drain_timeout: config.drain_timeout,
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
        let tokens = plan.admin.as_ref().map(|admin| admin.tokens.clone()).unwrap_or_default();
        let admin =
            plan.admin.map(|admin| Admin::bind(admin.listen).map_err(|cause| (admin.listen, cause))).transpose();
        let admin = admin.map_err(|(address, cause)| StartError::Listen { listener: "admin pages", address, cause })?;

        let background = Background::start().map_err(StartError::Worker)?;
        let metrics = Arc::new(Metrics::new());
        let mut stores = Stores::new(background.handle());
        let dedup = stores.dedup(&plan.dedup, &clock)?;
        let store = plan.store.as_ref().map(|config| stores.store(config)).transpose()?.map(Arc::new);
        let keeper = store.map(|store| {
            let destinations = destinations(&plan.settings.sources, &metrics);
            let max_in_flight = plan.delivery.max_in_flight;
            let deliveries =
                Deliveries::new(Arc::clone(&store), destinations, clock.clone(), Arc::clone(&metrics), max_in_flight);
            Arc::new(Keeper { store, deliveries })
        });
        let delivering = keeper.as_ref().map(|keeper| {
            let retention = plan.store.as_ref().map_or(Duration::MAX, |store| store.retention);
            let runtime = background.handle();
            runtime.spawn(purge_for_ever(Arc::clone(&keeper.store), retention, clock.clone()));
            let drain = CancellationToken::new();
            let work = Arc::clone(&keeper.deliveries).run(drain.clone(), plan.drain_timeout);
            Delivering { drain, ended: runtime.spawn(work) }
        });
        let operators = keeper.as_ref().map(|keeper| Operators {
            store: Arc::clone(&keeper.store),
            deliveries: Some(Arc::clone(&keeper.deliveries)),
            clock: clock.clone(),
        });
        let gateway = Arc::new(Gateway::new(plan.settings, dedup, keeper, metrics, clock));
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
        let api = Api::new(operators, tokens);
        let draining = Arc::new(AtomicBool::new(false));
        let admin_address = admin.as_ref().map(Admin::address);
        if let Some(admin) = admin {
            info!(listener = "admin", address = %admin.address(), "Listening");
            tokio::spawn(admin.run(Arc::clone(&gateway), Arc::clone(&draining), Arc::clone(&api)));
        }
        let workers = plan.workers;
        Ok(Self {
            gateway,
            address,
            admin: admin_address,
            api,
            drain,
            draining,
            ended,
            workers,
            delivering,
            _background: background,
        })
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

    /// Puts other tokens of the admin API in force.
    pub fn apply_tokens(&self, tokens: Tokens) {
        self.api.apply(tokens);
    }

    /// Waits for a worker, or what delivers, to end, which none does unless it was told to.
    pub async fn worker_ended(&mut self) -> io::Result<()> {
        let delivering = async {
            match &mut self.delivering {
                Some(delivering) => (&mut delivering.ended).await.map_err(io::Error::other),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Neither is asked again once it has ended.
            ended = self.ended.recv() => ended.unwrap_or(Ok(())),
            ended = delivering => ended,
        }
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
            if let Some(delivering) = &mut self.delivering {
                delivering.drain.cancel();
                // What a panic left undone is made again after the start.
                let _ = (&mut delivering.ended).await;
            }
            self.gateway.dedup.drain().await;
        };
        timeout(within, all).await.is_ok()
    }
}

/// Rids a store of what is over. Where there is much of it, in many small steps.
async fn purge_for_ever(store: Arc<Store>, retention: Duration, clock: Clock) {
    loop {
        let gone = store.purge(clock.millis(), retention, PURGE_STEP).await;
        if !gone.is_ok_and(|gone| gone == PURGE_STEP) {
            tokio::time::sleep(PURGE_EVERY).await;
        }
    }
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
        if let Some(delivering) = &self.delivering {
            delivering.drain.cancel();
        }
    }
}
