//! Dedup on a store that gateways share.
//!
//! Copies within this process are told apart first, so that at most one request of an event asks the store, and the
//! others get what it gets. Where another gateway has the event, one task looks how it stands until that is settled.
//! A store that does not answer is not waited for: each source says what its requests get then. Settlements that
//! the store could not be told are owed, told later, and count in this process until then.

mod availability;
mod owed;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::in_flight::{Entered, InFlight};
use super::remote::{Remote, Retention, Standing, StoreClaim};
use super::{Answer, Claim, ClaimKeys, DedupKey, DedupStats, Denial, Failure, Fate, Lease, StoreDown};
use crate::clock::Clock;
use crate::database::StoreError;
use availability::{Availability, Unavailable};
use owed::{End, Owed, Settlement};

/// More events than this that other gateways have are not followed at once.
const MAX_FOLLOWED: usize = 256;

/// How often it is looked whether another gateway has settled an event: at first, and at most.
const FOLLOW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// How often a store that is up is probed, so that a broken connection is found before a request is.
const PROBE_UP: Duration = Duration::from_secs(1);

/// How often a store that is down is probed.
const PROBE_DOWN: Duration = Duration::from_millis(200);

/// How long a probe may take, connecting included.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// After so many probes the next part of what is over is forgotten: all of it within three quarters of an hour.
const SWEEP_EVERY: u32 = 10;

/// After so many probes it is looked again whether the store keeps what it is given.
const RETENTION_EVERY: u32 = 30;

/// The stores behind `dedup.store = "redis://…"` and their like.
#[derive(Debug)]
pub struct Shared(Arc<State>);

#[derive(Debug)]
struct State {
    in_flight: InFlight,
    remote: Remote,
    availability: Availability,
    owed: Owed,
    followed: Arc<Semaphore>,
    may_evict: AtomicBool,
    probed: OnceLock<()>,
    clock: Clock,
    runtime: Handle,
}

impl Shared {
    /// Begins to use `remote`, with `timeout` for each operation. Its connections and tasks live on `runtime`.
    pub fn start(remote: Remote, timeout: Duration, clock: Clock, runtime: Handle) -> Self {
        let state = Arc::new(State {
            in_flight: InFlight::new(),
            availability: Availability::new(remote.name(), timeout),
            remote,
            owed: Owed::default(),
            followed: Arc::new(Semaphore::new(MAX_FOLLOWED)),
            may_evict: AtomicBool::new(false),
            probed: OnceLock::new(),
            clock,
            runtime: runtime.clone(),
        });
        runtime.spawn(keep(Arc::downgrade(&state)));
        Self(state)
    }

    /// Waits until it is known whether the store can be reached, a second at most. Blocks: not for the store's runtime.
    pub fn wait_for_probe(&self) {
        self.0.probed.wait();
    }

    /// Claims within this process; `now` is monotonic.
    pub(super) fn claim(&self, keys: ClaimKeys, lease: Duration, now: Duration) -> Claim {
        let token = fastrand::u64(..);
        match self.0.in_flight.hold(keys.key).enter(token, lease, now) {
            Entered::Owner { stolen } => Claim::Ask(Lease { keys, token, possible_duplicate: stolen }),
            Entered::Waiting(waiter) => Claim::Denied(Denial::InFlight(waiter)),
            Entered::Crowded => Claim::Denied(Denial::Crowded),
        }
    }

    /// Claims in the store what [`Shared::claim`] gave. From then on it has to be run to its end.
    pub(super) async fn ask(&self, lease: Lease, lasts: Duration, store_down: StoreDown) -> Result<Lease, Denial> {
        let (state, keys, token) = (&self.0, lease.keys, lease.token);
        let committed = |fingerprint| {
            state.end(keys.key, token, || Fate::Committed);
            Err(Denial::Committed { conflict: fingerprint != keys.fingerprint })
        };
        // An owner here leaves only after it has noted what it owes.
        if let Some(fingerprint) = state.owed.committed(keys.key) {
            return committed(fingerprint);
        }
        let known_body = keys.guard.is_some_and(|guard| state.owed.committed(guard).is_some());
        let doubt = lease.possible_duplicate || known_body;
        let now = state.clock.millis();
        let claim = || state.remote.claim(keys, token, lasts, now);
        match (state.availability.ask(claim).await, store_down) {
            (Ok(StoreClaim::Granted { possible_duplicate }), _) => {
                Ok(Lease { possible_duplicate: doubt || possible_duplicate, ..lease })
            }
            (Ok(StoreClaim::Committed { fingerprint }), _) => committed(fingerprint),
            (Ok(StoreClaim::InFlight), _) => Err(self.follow(keys.key, token)),
            (Err(_), StoreDown::FailOpen) => Ok(Lease { possible_duplicate: true, ..lease }),
            (Err(unavailable), StoreDown::FailClosed) => {
                if let Unavailable::Asked = unavailable {
                    // The claim may stand, and nobody will use it.
                    state.owe(keys, End::Release { token, failure: Failure::Definite }, lasts);
                }
                state.end(keys.key, token, || Fate::StoreDown);
                Err(Denial::StoreDown)
            }
        }
    }

    /// Commits in the store, then here. The answer is the upstream's whatever the store says.
    pub(super) async fn commit(&self, lease: Lease, ttl: Duration, answer: &Answer) {
        let (state, Lease { keys, token, .. }) = (&self.0, lease);
        let now = state.clock.millis();
        if state.availability.ask(|| state.remote.commit(keys, ttl, now)).await.is_err() {
            state.owe(keys, End::Commit, ttl);
        }
        state.end(keys.key, token, || Fate::Answered(answer.clone()));
    }

    /// Releases in the store, then here.
    pub(super) async fn release(&self, lease: Lease, failure: Failure, ttl: Duration, answer: &Answer) {
        let (state, Lease { keys, token, .. }) = (&self.0, lease);
        let now = state.clock.millis();
        if state.availability.ask(|| state.remote.release(keys, token, failure, ttl, now)).await.is_err() {
            state.owe(keys, End::Release { token, failure }, ttl);
        }
        state.end(keys.key, token, || Fate::Answered(answer.clone()));
    }

    /// Waits until nothing is owed, unless the store is down.
    pub(super) async fn drain(&self) {
        let state = &self.0;
        while state.owed.len() > 0 && state.availability.is_up() {
            state.availability.wake();
            sleep(Duration::from_millis(20)).await;
        }
        let owed = state.owed.len();
        if owed > 0 {
            warn!(owed, "Dedup store was not told of all that was handled: those events could be forwarded again");
        }
    }

    pub(super) fn stats(&self) -> DedupStats {
        let state = &self.0;
        DedupStats {
            store_up: state.availability.is_up(),
            store_errors: state.availability.errors(),
            store_may_evict: state.may_evict.load(Ordering::Relaxed),
            owed: state.owed.len(),
            owed_dropped: state.owed.dropped(),
            ..DedupStats::default()
        }
    }

    /// Waits, with its copies, for the gateway that has the event.
    fn follow(&self, key: DedupKey, token: u64) -> Denial {
        let state = &self.0;
        let permit = Arc::clone(&state.followed).try_acquire_owned();
        let mut held = state.in_flight.hold(key);
        match (permit, held.join(token)) {
            (Ok(permit), Some(waiter)) => {
                drop(held);
                state.runtime.spawn(follow(Arc::clone(state), key, token, permit));
                Denial::InFlight(waiter)
            }
            _ => {
                // Its copies learn from the silence that they are to come back.
                drop(held.leave(token));
                Denial::Crowded
            }
        }
    }
}

impl State {
    fn owe(&self, keys: ClaimKeys, end: End, ttl: Duration) {
        self.owed.push(Settlement { keys, end, ttl, at: self.clock.millis() });
        if self.availability.is_up() {
            self.availability.wake();
        }
    }

    fn end(&self, key: DedupKey, token: u64, fate: impl Fn() -> Fate) {
        let waiters = self.in_flight.hold(key).leave(token);
        waiters.tell(fate);
    }

    /// Probes the store, and tells it what is owed.
    async fn tend(&self, round: u32) {
        let was_up = self.availability.is_up();
        if !was_up {
            self.remote.disconnect();
        }
        let mut probed = self.probe().await;
        if let (true, Err(StoreError::Unreachable { .. })) = (was_up, &probed) {
            // Perhaps it was only the connection.
            self.remote.disconnect();
            probed = self.probe().await;
        }
        match probed {
            Ok(()) => self.availability.set_up(),
            Err(error) => {
                if self.probed.get().is_none() {
                    warn!(%error, "Dedup store cannot be reached yet: sources answer as their store_down says");
                }
                self.availability.set_down(&error);
                return;
            }
        }
        if !was_up || round.is_multiple_of(RETENTION_EVERY) {
            self.check_retention().await;
        }
        if round.is_multiple_of(SWEEP_EVERY) {
            // What is not forgotten now is forgotten the next time.
            let _ = self.availability.ask_once(self.remote.sweep(self.clock.millis())).await;
        }
        while let Some(settlement) = self.owed.first() {
            if self.clock.millis() < settlement.until() && self.tell(&settlement).await.is_err() {
                break;
            }
            self.owed.settled(&settlement);
        }
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let probed = timeout(PROBE_WITHIN, self.remote.probe()).await;
        probed.unwrap_or_else(|_| Err(self.availability.too_late(PROBE_WITHIN)))
    }

    async fn tell(&self, settlement: &Settlement) -> Result<(), Unavailable> {
        let Settlement { keys, end, ttl, at } = *settlement;
        match end {
            End::Commit => self.availability.ask_once(self.remote.commit(keys, ttl, at)).await,
            End::Release { token, failure } => {
                self.availability.ask_once(self.remote.release(keys, token, failure, ttl, at)).await
            }
        }
    }

    async fn check_retention(&self) {
        let Ok(retention) = self.availability.ask_once(self.remote.retention()).await else { return };
        match retention {
            Retention::MayEvict(why) => {
                if !self.may_evict.swap(true, Ordering::Relaxed) {
                    warn!(why, "Dedup store may forget events before their time: they could be forwarded twice");
                }
            }
            Retention::Kept | Retention::Unknown => self.may_evict.store(false, Ordering::Relaxed),
        }
    }
}

/// Keeps a store in service for as long as there is anybody to use it.
async fn keep(state: Weak<State>) {
    let mut round = 0_u32;
    while let Some(state) = state.upgrade() {
        state.tend(round).await;
        let _ = state.probed.set(());
        round = round.wrapping_add(1);
        let pause = if state.availability.is_up() { PROBE_UP } else { PROBE_DOWN };
        state.availability.watch(pause).await;
    }
}

/// Looks how an event stands that another gateway has, for as long as anybody waits for it.
async fn follow(state: Arc<State>, key: DedupKey, token: u64, _permit: OwnedSemaphorePermit) {
    let (mut pause, most) = FOLLOW;
    let fate = loop {
        sleep(pause).await;
        pause = most.min(2 * pause);
        {
            let mut held = state.in_flight.hold(key);
            if !held.is_awaited(token) {
                drop(held.leave(token));
                return;
            }
        }
        match state.availability.ask(|| state.remote.standing(key, state.clock.millis())).await {
            Ok(Standing::InFlight) => {}
            Ok(Standing::Committed) => break Fate::Committed,
            // The owner failed, or died: the sender's retry will be forwarded.
            Ok(Standing::Absent | Standing::Attempted) => break Fate::Released,
            Err(_) => break Fate::StoreDown,
        }
    };
    state.end(key, token, || fate.clone());
}
