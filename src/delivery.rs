//! The worker behind both roles: leases what is due, attempts it, writes down what came of it.
//!
//! What is owed stands in the store alone. Here is only a hint of what waits for whom, so that the usual way from a
//! commit to an attempt asks the store for one destination; it is looked up anew every second, which finds what other
//! nodes left behind.

mod attempt;
pub mod destination;
mod failure;
mod health;
pub mod rate;
pub mod signing;
mod transcript;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::{Clock, UnixMillis};
use crate::database::StoreError;
use crate::store::{Leased, Room, Store, Verdict};
use crate::telemetry::metrics::Metrics;
use attempt::{Ended, attempt};
use destination::{Destination, Destinations};
use health::Health;

pub use crate::schedule;

/// How often the store is looked through for what nobody told of.
const POLL: Duration = Duration::from_secs(1);

/// How long writing down what came of a trial may take.
pub const TRIAL_MARGIN: Duration = Duration::from_secs(5);

/// Delivers what is in a store.
#[derive(Debug)]
pub struct Deliveries {
    store: Arc<Store>,
    destinations: ArcSwap<Destinations>,
    clock: Clock,
    metrics: Arc<Metrics>,
    max_in_flight: usize,
    woken: Mutex<Vec<Arc<str>>>,
    wake: Notify,
    gone: Notify,
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
            clock,
            metrics,
            max_in_flight,
            woken: Mutex::default(),
            wake: Notify::new(),
            gone: Notify::new(),
        })
    }

    /// Puts other destinations in force.
    pub fn apply(&self, destinations: Destinations) {
        self.destinations.store(Arc::new(destinations));
        self.wake.notify_one();
    }

    /// The destinations in force.
    pub fn destinations(&self) -> Arc<Destinations> {
        self.destinations.load_full()
    }

    /// Says that something is due for these now.
    pub fn wake<'a>(&self, destinations: impl IntoIterator<Item = &'a Arc<str>>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        for name in destinations {
            if !woken.contains(name) {
                woken.push(Arc::clone(name));
            }
        }
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

    /// Waits for an endpoint to answer that it is gone. One that did so while nobody waited is remembered.
    pub async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Delivers until `drain` is cancelled, and then lets what has begun come to its end, `within` at most.
    pub async fn run(self: Arc<Self>, drain: CancellationToken, within: Duration) {
        let mut worker = Worker {
            deliveries: self,
            attempts: JoinSet::new(),
            due: HashMap::new(),
            health: HashMap::new(),
            looked: None,
            failing: false,
        };
        worker.work(&drain).await;
        let rest = worker.attempts.len();
        if timeout(within, async { while worker.attempts.join_next().await.is_some() {} }).await.is_err() {
            warn!(attempts = rest, "Deliveries were still under way at the end: they are made again after the start");
        }
    }
}

/// What the loop knows. All of it can be found out again.
struct Worker {
    deliveries: Arc<Deliveries>,
    attempts: JoinSet<Ended>,
    /// When something is due for a destination, as far as is known.
    due: HashMap<Arc<str>, UnixMillis>,
    health: HashMap<Arc<str>, Health>,
    /// When the store was last looked through.
    looked: Option<Instant>,
    /// True while the store does not answer.
    failing: bool,
}

impl Worker {
    async fn work(&mut self, drain: &CancellationToken) {
        while !drain.is_cancelled() {
            let deliveries = Arc::clone(&self.deliveries);
            if let Err(error) = self.lease_what_is_due().await {
                self.note_failure(&error);
                tokio::select! {
                    () = drain.cancelled() => return,
                    () = tokio::time::sleep(POLL) => {}
                }
                continue;
            }
            let next = self.next_round();
            tokio::select! {
                // Whatever loses is still there in the next round.
                () = drain.cancelled() => return,
                Some(ended) = self.attempts.join_next() => self.note_end(ended),
                () = deliveries.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            while let Some(ended) = self.attempts.try_join_next() {
                self.note_end(ended);
            }
        }
    }

    /// One round: find out what is due, lease as much of it as there is room for, begin.
    async fn lease_what_is_due(&mut self) -> Result<(), StoreError> {
        let now = self.deliveries.clock.millis();
        let woken = std::mem::take(&mut *self.deliveries.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for name in woken {
            self.due.insert(name, now);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= POLL) {
            let waiting = self.deliveries.store.waiting(now).await?;
            self.due = waiting.into_iter().map(|waiting| (waiting.destination, waiting.due_at)).collect();
            self.looked = Some(Instant::now());
            self.note_success();
            self.look_at_health();
        }
        let destinations = self.deliveries.destinations();
        let room = self.room(&destinations, now);
        if room.is_empty() {
            return Ok(());
        }
        let asked = room.clone();
        // Long enough for each of them. It runs from before the store is asked: clock and timer are read together.
        let leases = room.iter().filter_map(|room| destinations.find(&room.destination)).map(|known| known.lease);
        let lease = leases.max().unwrap_or_default();
        let (now, ends) = (self.deliveries.clock.millis(), Instant::now() + lease);
        let leased = self.deliveries.store.lease(room, now, lease).await?;
        self.note_success();
        for Room { destination, deliveries, .. } in asked {
            let got = leased.iter().filter(|leased| leased.destination == destination).count();
            if got < deliveries {
                // Nothing more is due; what is due later is found by looking, or told by whoever settles it.
                self.due.remove(&destination);
            }
        }
        for delivery in leased {
            self.begin(&destinations, delivery, ends);
        }
        Ok(())
    }

    /// How much may be leased, and for whom: those that were due first come first.
    fn room(&self, destinations: &Destinations, now: UnixMillis) -> Vec<Room> {
        let mut due: Vec<(UnixMillis, &Arc<str>)> =
            self.due.iter().filter(|(_, due_at)| **due_at <= now).map(|(name, due_at)| (*due_at, name)).collect();
        due.sort_unstable();
        let monotonic = self.deliveries.clock.monotonic();
        let mut left = self.deliveries.max_in_flight.saturating_sub(self.attempts.len());
        let mut rooms = Vec::new();
        for (_, name) in due {
            // What the configuration no longer knows waits until it does.
            let Some(destination) = destinations.find(name) else { continue };
            let room = match self.health.get(&destination.name) {
                Some(health) => health.room_for_batch(destination.limit, monotonic),
                None => Health::default().room(destination.limit, monotonic),
            };
            // Nobody takes more than half of what is left, so that there is something left for everybody.
            let room = room.min(left.div_ceil(2));
            if room > 0 {
                rooms.push(Room { destination: Arc::clone(name), deliveries: room, ordered: false });
                left -= room;
            }
        }
        rooms
    }

    /// Begins an attempt, unless its lease could end before it does: then the lease is left to end, and comes again.
    fn begin(&mut self, destinations: &Destinations, delivery: Leased, lease_ends: Instant) {
        let Some(destination) = destinations.find(&delivery.destination) else { return };
        if Instant::now() + destination.timeout >= lease_ends {
            warn!(delivery.id = %delivery.id, "The store gave a lease too late for an attempt: the delivery waits for its end");
            return;
        }
        self.health.entry(Arc::clone(&destination.name)).or_default().begin();
        self.deliveries.metrics.deliveries_in_flight.inc();
        let work = attempt(Arc::clone(&self.deliveries), Arc::clone(destination), delivery, lease_ends);
        self.attempts.spawn(work);
    }

    fn note_end(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        self.deliveries.metrics.deliveries_in_flight.dec();
        let Ok(Ended { destination, name, sign, again }) = ended else {
            // A panic is reported where it happens; its lease ends by itself.
            return;
        };
        let now = self.deliveries.clock.monotonic();
        let health = self.health.entry(Arc::clone(&destination.name)).or_default();
        let was_open = health.is_open();
        health.end(sign, destination.limit, now, fastrand::f64());
        match (was_open, health.is_open()) {
            (false, true) => warn!(
                source.name = destination.source,
                destination = %destination.name,
                "Destination is in trouble: it gets one probe at a time until it answers"
            ),
            (true, false) => info!(
                source.name = destination.source,
                destination = %destination.name,
                "Destination answers again"
            ),
            _ => {}
        }
        if let Some(due_at) = again {
            let due = self.due.entry(name).or_insert(due_at);
            *due = (*due).min(due_at);
        }
    }

    /// When the next round is worth while if nothing happens until then.
    fn next_round(&self) -> Instant {
        let now = self.deliveries.clock.millis();
        let monotonic = self.deliveries.clock.monotonic();
        let destinations = self.deliveries.destinations();
        let waits = self.due.iter().filter_map(|(name, due_at)| {
            let known = destinations.find(name).and_then(|destination| self.health.get(&destination.name));
            let opens = known.and_then(Health::opens_at).map(|at| at.saturating_sub(monotonic));
            let wait = due_at.since(now).max(opens.unwrap_or_default());
            // What is due already waits for room, and an attempt that ends makes some.
            (!wait.is_zero()).then_some(wait)
        });
        Instant::now() + waits.min().unwrap_or(POLL).min(POLL)
    }

    /// Forgets the health of those that are gone, and counts those that are in trouble.
    fn look_at_health(&mut self) {
        let destinations = self.deliveries.destinations();
        self.health.retain(|name, health| destinations.find(name).is_some() || !health.is_idle());
        let open = self.health.values().filter(|health| health.is_open()).count();
        self.deliveries.metrics.circuits_open.set(open.try_into().unwrap_or(i64::MAX));
    }

    fn note_failure(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            warn!(%error, "Nothing is delivered until the store answers again");
        }
    }

    fn note_success(&mut self) {
        if std::mem::replace(&mut self.failing, false) {
            info!("The store answers again");
        }
    }
}
