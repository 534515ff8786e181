//! The worker behind both roles: leases what is due, attempts it, writes down what came of it.
//!
//! What is owed stands in the store alone. Here is only a hint of what waits for whom, so that the usual way from a
//! commit to an attempt asks the store for one destination; it is looked up anew every second, which finds what other
//! nodes left behind.

mod agenda;
mod attempt;
pub mod destination;
mod failure;
mod health;
pub mod rate;
pub mod rendering;
pub mod signing;
mod transcript;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::clock::Clock;
use crate::store::{Leased, Store, Verdict};
use crate::telemetry::metrics::Metrics;
use destination::{Destination, Destinations};
use worker::Worker;

pub use crate::schedule;

/// How long writing down what came of a trial may take.
pub const TRIAL_MARGIN: Duration = Duration::from_secs(5);

/// How long what was leased waits for endpoints to be brought up to date. Leases last longer.
const CATCH_UP: Duration = Duration::from_secs(2);

/// Delivers what is in a store.
#[derive(Debug)]
pub struct Deliveries {
    store: Arc<Store>,
    /// Those of the configuration.
    destinations: ArcSwap<Destinations>,
    /// Those that come and go while it runs.
    endpoints: RwLock<HashMap<Arc<str>, Arc<Destination>>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    max_in_flight: usize,
    woken: Mutex<HashSet<Arc<str>>>,
    wake: Notify,
    /// Endpoints for which something waited when the store was last looked through, and that nobody knows.
    unknown: Mutex<Vec<Arc<str>>>,
    gone: Notify,
    /// The version of the directory by which endpoints were put and removed; the last one where there is none.
    version: watch::Sender<i64>,
    outdated: Notify,
}

impl Deliveries {
    /// At most `max_in_flight` attempts at once, over all destinations.
    pub fn new(
        store: Arc<Store>,
        destinations: Destinations,
        clock: Clock,
        metrics: Arc<Metrics>,
        max_in_flight: usize,
    ) -> Arc<Self> {
        let destinations = ArcSwap::from_pointee(destinations);
        Arc::new(Self {
            store,
            destinations,
            endpoints: RwLock::default(),
            clock,
            metrics,
            max_in_flight,
            woken: Mutex::default(),
            wake: Notify::new(),
            unknown: Mutex::default(),
            gone: Notify::new(),
            version: watch::Sender::new(i64::MAX),
            outdated: Notify::new(),
        })
    }

    /// Puts other destinations of the configuration in force.
    pub fn apply(&self, destinations: Destinations) {
        self.destinations.store(Arc::new(destinations));
        self.wake.notify_one();
    }

    /// The destinations of the configuration that are in force.
    pub fn destinations(&self) -> Arc<Destinations> {
        self.destinations.load_full()
    }

    /// Lets an endpoint have deliveries, in the stead of the one of its name. What is under way to that one comes to its
    /// end.
    pub fn put(&self, destination: Arc<Destination>) {
        let name = Arc::clone(&destination.name);
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).insert(name, destination);
    }

    /// Keeps what is owed to an endpoint waiting, until it is put again or what is owed is cancelled.
    pub fn remove(&self, name: &str) {
        self.endpoints.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The destination that deliveries know by `name`.
    pub fn find(&self, name: &str) -> Option<Arc<Destination>> {
        let endpoints = self.endpoints.read().unwrap_or_else(PoisonError::into_inner);
        endpoints.get(name).cloned().or_else(|| self.destinations.load().find(name).cloned())
    }

    /// Says that endpoints were put and removed as this version of the directory has it. From the first time on,
    /// deliveries that were leased under a later one wait a little for that.
    pub fn follow(&self, version: i64) {
        self.version.send_replace(version);
    }

    /// Waits until deliveries were leased under a later version of the directory than the one that is followed. If that
    /// was so while nobody waited, it is remembered.
    pub async fn outdated(&self) {
        self.outdated.notified().await;
    }

    /// Waits until endpoints are as the store had them when something was last leased, within reason.
    async fn catch_up(&self) {
        let wanted = self.store.version_leased_at();
        let mut version = self.version.subscribe();
        if *version.borrow() >= wanted {
            return;
        }
        self.outdated.notify_one();
        if timeout(CATCH_UP, version.wait_for(|version| *version >= wanted)).await.is_err() {
            warn!("The directory is not up to date: deliveries are made as endpoints were before they changed");
        }
    }

    /// Endpoints for which something waited when the store was last looked through, and that had not been put.
    pub fn unknown(&self) -> Vec<Arc<str>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says that something is due for these now.
    pub fn wake<'a>(&self, destinations: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.extend(destinations.into_iter().map(Arc::clone));
        drop(woken);
        self.wake.notify_one();
    }

    /// Attempts a delivery that whoever calls has leased, to try `destination` out: one attempt, which is settled as
    /// delivered or dead and does not count towards the endpoint's health. The lease must outlive the attempt by
    /// [`TRIAL_MARGIN`].
    pub async fn attempt_once(self: Arc<Self>, destination: Arc<Destination>, delivery: Leased) -> Verdict {
        let give_up = Instant::now() + destination.timeout + TRIAL_MARGIN;
        attempt::attempt_once(&self, &destination, &delivery, give_up).await
    }

    /// Makes one attempt at what nobody is owed, before `destination` gets anything: it leaves no trace.
    ///
    /// # Errors
    /// Why it was not taken, for whoever asked for the destination.
    pub async fn try_out(self: Arc<Self>, destination: Arc<Destination>, delivery: Leased) -> Result<(), String> {
        attempt::try_out(&self, &destination, &delivery).await
    }

    /// Waits for an endpoint to come to its end at once: it answered that it is gone, or used up what ends it. If one did
    /// so while nobody waited, it is remembered.
    pub async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Delivers until `drain` is cancelled, and then lets what has begun come to its end, `within` at most.
    pub async fn run(self: Arc<Self>, drain: CancellationToken, within: Duration) {
        Worker::new(self).run(drain, within).await;
    }
}
