//! The loop that leases what is due and has it attempted.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Deliveries;
use super::agenda::Agenda;
use super::attempt::{Ended, attempt};
use super::destination::Destination;
use super::health::{Health, Sign};
use super::rate::Bucket;
use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::store::{Leased, Room};

/// How often the store is looked through for what nobody told of.
const POLL: Duration = Duration::from_secs(1);

/// What names of endpoints begin with.
const ENDPOINT: &str = "wh_";

/// What the loop knows. All of it can be found out again.
pub struct Worker {
    deliveries: Arc<Deliveries>,
    attempts: JoinSet<Ended>,
    running: HashMap<Id, Running>,
    agenda: Agenda,
    standings: HashMap<Arc<str>, Standing>,
    /// Upstreams for which something waits, and which are not configured any more.
    lost: HashSet<Arc<str>>,
    /// Attempts under way at destinations of which nothing good is known.
    unproven: usize,
    /// When the store was last looked through.
    looked: Option<Instant>,
    /// True while the store does not answer.
    failing: bool,
}

/// An attempt under way. If it panics, this is what is left of it.
struct Running {
    destination: Arc<Destination>,
    unproven: bool,
}

/// How a destination stands.
#[derive(Debug, Default)]
struct Standing {
    health: Health,
    bucket: Bucket,
}

/// Whether there is room at a destination.
#[derive(Debug, PartialEq, Eq)]
enum RoomFor {
    Some(usize),
    /// None until then, in monotonic time.
    NoneUntil(Duration),
    /// None until one of its attempts ends.
    NoneYet,
}

impl Worker {
    pub fn new(deliveries: Arc<Deliveries>) -> Self {
        Self {
            deliveries,
            attempts: JoinSet::new(),
            running: HashMap::new(),
            agenda: Agenda::default(),
            standings: HashMap::new(),
            lost: HashSet::new(),
            unproven: 0,
            looked: None,
            failing: false,
        }
    }

    /// Works until `drain` is cancelled, and then lets what has begun come to its end, `within` at most.
    pub async fn run(mut self, drain: CancellationToken, within: Duration) {
        self.work(&drain).await;
        let rest = self.attempts.len();
        if timeout(within, async { while self.attempts.join_next().await.is_some() {} }).await.is_err() {
            warn!(attempts = rest, "Deliveries were still under way at the end: they are made again after the start");
        }
    }

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
                Some(ended) = self.attempts.join_next_with_id() => self.note_end(ended),
                () = deliveries.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            while let Some(ended) = self.attempts.try_join_next_with_id() {
                self.note_end(ended);
            }
        }
    }

    /// One round: find out what is due, lease as much of it as there is room for, begin.
    async fn lease_what_is_due(&mut self) -> Result<(), StoreError> {
        let now = self.deliveries.clock.millis();
        let woken = std::mem::take(&mut *self.deliveries.woken.lock().unwrap_or_else(PoisonError::into_inner));
        for name in woken {
            self.agenda.learn(name, now);
        }
        if self.looked.is_none_or(|looked| looked.elapsed() >= POLL) {
            self.look(now).await?;
        }
        let (rooms, lease) = self.rooms(now);
        if rooms.is_empty() {
            return Ok(());
        }
        let mut asked: HashMap<Arc<str>, usize> =
            rooms.iter().map(|room| (Arc::clone(&room.destination), room.deliveries)).collect();
        // It runs from before the store is asked: clock and timer are read together.
        let (now, ends) = (self.deliveries.clock.millis(), Instant::now() + lease);
        let leased = self.deliveries.store.lease(rooms, now, lease).await?;
        self.note_success();
        if !leased.is_empty() {
            // Another node may have changed an endpoint, and told its owner, before what is due now was.
            self.deliveries.catch_up().await;
        }
        for delivery in &leased {
            if let Some(missing) = asked.get_mut(&delivery.destination) {
                *missing = missing.saturating_sub(1);
            }
        }
        for (name, missing) in asked {
            match missing {
                0 => self.agenda.again(&name),
                // Nothing more is due; what is due later is found by looking, or told by whoever settles it.
                _ => self.agenda.forget(&name),
            }
        }
        for delivery in leased {
            self.begin(delivery, ends);
        }
        Ok(())
    }

    /// Looks the store through.
    async fn look(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let waiting = self.deliveries.store.waiting(now).await?;
        let nobody_knows = |name: &str| name.starts_with(ENDPOINT) && self.deliveries.find(name).is_none();
        let unknown = waiting.iter().map(|waiting| &waiting.destination).filter(|name| nobody_knows(name));
        let unknown = unknown.map(Arc::clone).collect();
        *self.deliveries.unknown.lock().unwrap_or_else(PoisonError::into_inner) = unknown;
        let destinations = self.deliveries.destinations();
        let lost = waiting.iter().map(|waiting| &waiting.destination).filter(|name| destinations.have_lost(name));
        self.note_lost(lost.map(Arc::clone).collect());
        self.agenda.replace(waiting.into_iter().map(|waiting| (waiting.destination, waiting.due_at)));
        self.looked = Some(Instant::now());
        self.note_success();
        self.look_at_destinations();
        Ok(())
    }

    /// Tells once of each upstream that is gone while something waits for it: nobody else would say so.
    fn note_lost(&mut self, lost: HashSet<Arc<str>>) {
        for name in lost.difference(&self.lost) {
            let (source, destination) = name.split_once(' ').unwrap_or(("", name));
            warn!(
                source.name = source,
                destination,
                "Deliveries wait for an upstream that is not configured any more: name it, or its route, as before, or replay their events"
            );
        }
        self.lost = lost;
    }

    /// Forgets how those stand that are gone, counts those that are in trouble, and closes what nobody uses.
    fn look_at_destinations(&mut self) {
        let mut open = 0;
        self.standings.retain(|name, standing| {
            let destination = self.deliveries.find(name);
            if let Some(destination) = &destination {
                destination.pool.close_idle();
            }
            open += i64::from(standing.health.is_open());
            destination.is_some() || !standing.health.is_idle()
        });
        self.deliveries.metrics.circuits_open.set(open);
    }

    /// How much may be leased, and for whom: those that were due first come first. And for how long: long enough for
    /// each of them.
    fn rooms(&mut self, now: UnixMillis) -> (Vec<Room>, Duration) {
        let monotonic = self.deliveries.clock.monotonic();
        let mut left = self.left();
        // Those of which nothing good is known share half, so that however many never answer, others are served.
        let mut unproven_left = self.deliveries.max_in_flight.div_ceil(2).saturating_sub(self.unproven);
        let (mut rooms, mut lease) = (Vec::new(), Duration::ZERO);
        while left > 0 {
            let next = self.agenda.next(now);
            let next = next.or_else(|| (unproven_left > 0).then(|| self.agenda.next_unproven()).flatten());
            let Some(name) = next else { break };
            // What nobody knows any more waits until somebody does.
            let Some(destination) = self.deliveries.find(&name) else { continue };
            let standing = self.standings.get(&destination.name);
            let room = match room_for(&destination, standing, monotonic) {
                RoomFor::Some(room) => room,
                RoomFor::NoneUntil(at) => {
                    self.agenda.put_off(name, later(now, at.saturating_sub(monotonic)));
                    continue;
                }
                RoomFor::NoneYet => {
                    self.agenda.park(name, &destination.name);
                    continue;
                }
            };
            // Nobody takes more than half of what is left, so that there is something left for everybody.
            let mut room = room.min(left.div_ceil(2));
            if !standing.is_some_and(|standing| standing.health.is_proven()) {
                room = room.min(unproven_left);
                unproven_left -= room;
            }
            if room == 0 {
                self.agenda.park_unproven(name);
                continue;
            }
            left -= room;
            lease = lease.max(destination.lease);
            rooms.push(Room { destination: name, deliveries: room, ordered: destination.ordered });
        }
        (rooms, lease)
    }

    /// How many more attempts may begin.
    fn left(&self) -> usize {
        self.deliveries.max_in_flight.saturating_sub(self.attempts.len())
    }

    /// Begins an attempt, unless its lease could end before it does: then the lease is left to end, and comes again.
    fn begin(&mut self, delivery: Leased, lease_ends: Instant) {
        let Some(destination) = self.deliveries.find(&delivery.destination) else { return };
        if Instant::now() + destination.timeout >= lease_ends {
            warn!(delivery.id = %delivery.id, "The store gave a lease too late for an attempt: the delivery waits for its end");
            return;
        }
        let standing = self.standings.entry(Arc::clone(&destination.name)).or_default();
        let unproven = !standing.health.is_proven();
        standing.health.begin();
        if let Some(rate) = destination.rate {
            standing.bucket.take(rate, self.deliveries.clock.monotonic());
        }
        self.unproven += usize::from(unproven);
        self.deliveries.metrics.deliveries_in_flight.inc();
        let work = attempt(Arc::clone(&self.deliveries), Arc::clone(&destination), delivery, lease_ends);
        let id = self.attempts.spawn(work).id();
        self.running.insert(id, Running { destination, unproven });
    }

    fn note_end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        self.deliveries.metrics.deliveries_in_flight.dec();
        let (id, sign, again) = match ended {
            Ok((id, Ended { name, sign, again })) => (id, sign, again.map(|due_at| (name, due_at))),
            // A panic is reported where it happens; its lease ends by itself.
            Err(error) => (error.id(), Sign::Unknown, None),
        };
        let Some(Running { destination, unproven }) = self.running.remove(&id) else { return };
        self.unproven -= usize::from(unproven);
        let now = self.deliveries.clock.monotonic();
        let health = &mut self.standings.entry(Arc::clone(&destination.name)).or_default().health;
        let was_open = health.is_open();
        health.end(sign, destination.limit(), now, fastrand::f64());
        tell(&destination, was_open, health.is_open());
        self.agenda.free(&destination.name);
        if let Some((name, due_at)) = again {
            self.agenda.learn(name, due_at);
        }
    }

    /// When the next round is worth while if nothing happens until then.
    fn next_round(&self) -> Instant {
        let look = self.looked.map_or_else(Instant::now, |looked| looked + POLL);
        // What is due already and has no room gets some when an attempt ends.
        let wait = self.agenda.wait(self.deliveries.clock.millis()).filter(|_| self.left() > 0);
        wait.map_or(look, |wait| look.min(Instant::now() + wait))
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

/// How much room a destination has, by its health and by its rate.
fn room_for(destination: &Destination, standing: Option<&Standing>, now: Duration) -> RoomFor {
    let new = Standing::default();
    let Standing { health, bucket } = standing.unwrap_or(&new);
    // One of thousands of endpoints gets one at a time until it answers; an operator's upstream begins with more.
    let limit = match destination.endpoint() {
        Some(_) if !health.is_proven() => 1,
        _ => destination.limit(),
    };
    let room = health.room_for_batch(limit, now);
    if room == 0 {
        return match health.opens_at() {
            Some(at) if at > now => RoomFor::NoneUntil(at),
            _ => RoomFor::NoneYet,
        };
    }
    let Some(rate) = destination.rate else { return RoomFor::Some(room) };
    match bucket.room(rate, now) {
        0 => RoomFor::NoneUntil(bucket.opens_at(rate, now)),
        slots => RoomFor::Some(room.min(slots)),
    }
}

/// A moment so much later, rounded up, so that nobody looks in vain.
fn later(now: UnixMillis, wait: Duration) -> UnixMillis {
    now.after(wait.saturating_add(Duration::from_millis(1)))
}

fn tell(destination: &Destination, was_open: bool, is_open: bool) {
    let endpoint = destination.endpoint().map(AsRef::as_ref);
    let name = endpoint.is_none().then_some(&*destination.name);
    match (was_open, is_open) {
        (false, true) => warn!(
            source.name = destination.source,
            endpoint.id = endpoint,
            destination = name,
            "Destination is in trouble: it gets one probe at a time until it answers"
        ),
        (true, false) => info!(
            source.name = destination.source,
            endpoint.id = endpoint,
            destination = name,
            "Destination answers again"
        ),
        _ => {}
    }
}
