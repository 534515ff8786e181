//! From a configuration to a running program: what starts in which order, and how it comes to rest.
//!
//! The listeners are opened first, so that nothing runs if an address is taken; then the workers start, each on a
//! thread of its own, then the admin listener. Draining goes the other way round: not ready any more, no new
//! connections, what has begun comes to its end, and only then the admin listener closes.

mod sending;
mod stores;

use std::io;
use std::net::{SocketAddr, TcpListener};
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
use crate::config::{AdminConfig, Config, DedupConfig, DeliveryConfig, EgressConfig, SenderConfig, StoreConfig};
use crate::database::sqlite::OpenError;
use crate::delivery::Deliveries;
use crate::egress::Resolver;
use crate::gateway::keep::{Keeper, destinations};
use crate::gateway::{Gateway, Settings, Worker, server};
use crate::operators::Operators;
use crate::sender::api::Listener;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use sending::Sending;
use stores::Stores;

/// How often a store is rid of what is over.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// So many events are forgotten in one step, so that nobody waits long for it.
const PURGE_STEP: u32 = 500;

/// A running program.
#[derive(Debug)]
pub struct App {
    gateway: Arc<Gateway>,
    address: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    api: Arc<Api>,
    drain: CancellationToken,
    draining: Arc<AtomicBool>,
    /// Each worker says here how it ended.
    ended: mpsc::UnboundedReceiver<io::Result<()>>,
    workers: usize,
    /// Keeps the channel open where there are no workers.
    _report: mpsc::UnboundedSender<io::Result<()>>,
    /// What answers the sender's API.
    sending: Option<Sending>,
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

/// A runtime beside those of the workers, with threads of its own.
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
    /// There is nobody to trust, or what secrets are sealed with cannot be had.
    #[error("cannot start the sender: {0}")]
    Sender(String),
    /// The system gives no thread.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// What of a configuration the app is built from.
#[derive(Debug)]
pub struct Plan {
    pub listen: Option<SocketAddr>,
    pub workers: usize,
    pub admin: Option<AdminConfig>,
    pub dedup: DedupConfig,
    pub store: Option<StoreConfig>,
    pub delivery: DeliveryConfig,
    pub egress: EgressConfig,
    pub sender: Option<SenderConfig>,
    /// Who is asked for the names of endpoints, and of those who publish address lists.
    pub resolver: Resolver,
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
            egress: config.egress,
            sender: config.sender,
            resolver: Resolver::System,
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
        let Listeners { workers: listeners, admin, api: api_listener } = Listeners::open(&plan)?;
        let address = listeners.first().and_then(|listener| listener.local_addr().ok());
        let tokens = plan.admin.as_ref().map(|admin| admin.tokens.clone()).unwrap_or_default();

        let threads = match plan.sender {
            Some(_) => std::thread::available_parallelism().map_or(1, usize::from),
            None => 1,
        };
        let background = Background::start(threads).map_err(StartError::Worker)?;
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
        let retention = plan.store.as_ref().map_or(Duration::MAX, |store| store.retention);
        let sending = match (&plan.sender, &keeper, &plan.store, api_listener) {
            (Some(config), Some(keeper), Some(store), Some(listener)) => {
                let parts = sending::Parts {
                    config,
                    egress: &plan.egress,
                    resolver: &plan.resolver,
                    store,
                    keeper,
                    metrics: &metrics,
                    clock: &clock,
                };
                Some(Sending::start(parts, listener, &background.handle())?)
            }
            _ => None,
        };
        let delivering = keeper.as_ref().map(|keeper| {
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
        if address.is_some() {
            background.handle().spawn(Arc::clone(&gateway.lists).run(plan.resolver));
        }
        let drain = CancellationToken::new();
        let (report, ended) = mpsc::unbounded_channel();
        let workers = listeners.len();
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
        if let Some(address) = address {
            info!(listener = "gateway", address = %address, workers, "Listening");
        }
        if let Some(sending) = &sending {
            info!(listener = "sender", address = %sending.address, "Listening");
        }
        let api = Api::new(operators, tokens);
        let draining = Arc::new(AtomicBool::new(false));
        let admin_address = admin.as_ref().map(Admin::address);
        if let Some(admin) = admin {
            info!(listener = "admin", address = %admin.address(), "Listening");
            tokio::spawn(admin.run(Arc::clone(&gateway), Arc::clone(&draining), Arc::clone(&api)));
        }
        Ok(Self {
            gateway,
            address,
            admin: admin_address,
            api,
            drain,
            draining,
            ended,
            workers,
            _report: report,
            sending,
            delivering,
            _background: background,
        })
    }

    /// Where the gateway listens; its port is real also where 0 was asked for. `None` where there is only a sender.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the sender's API is served.
    pub fn sender(&self) -> Option<SocketAddr> {
        self.sending.as_ref().map(|sending| sending.address)
    }

    /// Where metrics and health are served.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The gateway itself.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Puts other tokens of the admin API and of the sender's in force.
    pub fn apply_tokens(&self, admin: Tokens, sender: Tokens) {
        self.api.apply(admin);
        if let Some(sending) = &self.sending {
            sending.api.apply(sender);
        }
    }

    /// Waits for a worker, or what delivers, to end, which none does unless it was told to.
    pub async fn worker_ended(&mut self) -> io::Result<()> {
        let delivering = async {
            match &mut self.delivering {
                Some(delivering) => (&mut delivering.ended).await.map_err(io::Error::other),
                None => std::future::pending().await,
            }
        };
        let sending = async {
            match &mut self.sending {
                Some(sending) => sending.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // None is asked again once it has ended.
            ended = self.ended.recv() => ended.unwrap_or(Ok(())),
            ended = delivering => ended,
            ended = sending => ended,
        }
    }

    /// Stops accepting and waits for what has begun. True if all of it came to its end within `within`.
    ///
    /// Dropping the future leaves the draining to go on by itself.
    pub async fn drain(&mut self, within: Duration) -> bool {
        self.draining.store(true, Ordering::Relaxed);
        self.drain.cancel();
        let all = async {
            if let Some(sending) = &mut self.sending {
                sending.drain().await;
            }
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
    fn start(threads: usize) -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(threads)
            .thread_name("background")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
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
        if let Some(sending) = &self.sending {
            sending.drain.cancel();
        }
        if let Some(delivering) = &self.delivering {
            delivering.drain.cancel();
        }
    }
}

/// All that the program listens on, open before anything runs.
struct Listeners {
    /// One for each worker; none without a gateway.
    workers: Vec<TcpListener>,
    admin: Option<Admin>,
    api: Option<Listener>,
}

impl Listeners {
    fn open(plan: &Plan) -> Result<Self, StartError> {
        let cannot = |listener: &'static str, address| move |cause| StartError::Listen { listener, address, cause };
        let workers = match plan.listen {
            Some(address) => server::bind(address, plan.workers).map_err(cannot("gateway", address))?,
            None => Vec::new(),
        };
        let admin = match &plan.admin {
            Some(admin) => Some(Admin::bind(admin.listen).map_err(cannot("admin pages", admin.listen))?),
            None => None,
        };
        let api = match &plan.sender {
            Some(sender) => Some(Listener::bind(sender.listen).map_err(cannot("sender", sender.listen))?),
            None => None,
        };
        Ok(Self { workers, admin, api })
    }
}
