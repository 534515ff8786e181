//! The events that this process is handling now, with the copies that wait for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{DedupKey, Fate, Waiter};

const SHARDS: usize = 64;

/// More copies of one event than this do not wait: they are told to come back.
pub const MAX_WAITERS: usize = 64;

/// The events in flight, in shards that are locked one by one.
#[derive(Debug)]
pub struct InFlight(Vec<Mutex<Shard>>);

type Shard = HashMap<DedupKey, Owned, BuildOwnHash>;

#[derive(Debug)]
struct Owned {
    token: u64,
    lease_until: Duration,
    waiters: Vec<oneshot::Sender<Fate>>,
}

/// One event's shard, locked. What else is read or written meanwhile is one step with it.
pub struct Held<'a> {
    shard: MutexGuard<'a, Shard>,
    key: DedupKey,
}

/// What a request finds that wants an event.
pub enum Entered {
    /// Nobody else handles it. `stolen` if somebody did and let the lease run out.
    Owner {
        stolen: bool,
    },
    Waiting(Waiter),
    /// Too many are waiting already.
    Crowded,
}

/// Those who wait for an event that is settled: tell them.
#[must_use]
pub struct Waiters(Vec<oneshot::Sender<Fate>>);

impl InFlight {
    /// Nothing in flight.
    pub fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// Locks an event's shard.
    pub fn hold(&self, key: DedupKey) -> Held<'_> {
        let shard = &self.0[usize::try_from(key.0 % SHARDS as u128).unwrap_or(0)];
        // The map is whole between any two of its calls, so a panic elsewhere under the lock leaves it usable.
        Held { shard: shard.lock().unwrap_or_else(PoisonError::into_inner), key }
    }
}

impl Held<'_> {
    /// Makes `token` the owner, or waits for the one there is. Times are monotonic.
    pub fn enter(&mut self, token: u64, lease: Duration, now: Duration) -> Entered {
        let entered = Owned { token, lease_until: now + lease, waiters: Vec::new() };
        match self.shard.entry(self.key) {
            Entry::Vacant(vacant) => {
                vacant.insert(entered);
                Entered::Owner { stolen: false }
            }
            Entry::Occupied(mut owned) if owned.get().lease_until <= now => {
                owned.insert(entered);
                Entered::Owner { stolen: true }
            }
            Entry::Occupied(mut owned) => {
                let waiters = &mut owned.get_mut().waiters;
                if waiters.len() >= MAX_WAITERS {
                    waiters.retain(|waiter| !waiter.is_closed());
                }
                if waiters.len() >= MAX_WAITERS {
                    return Entered::Crowded;
                }
                let (settled, waiter) = oneshot::channel();
                waiters.push(settled);
                Entered::Waiting(waiter)
            }
        }
    }

    /// Lets the owner itself wait with its copies: somebody else has the event. `None` if `token` no longer owns it.
    pub fn join(&mut self, token: u64) -> Option<Waiter> {
        let owned = self.shard.get_mut(&self.key).filter(|owned| owned.token == token)?;
        let (settled, waiter) = oneshot::channel();
        owned.waiters.push(settled);
        Some(waiter)
    }

    /// True while anybody waits for what `token` owns.
    pub fn is_awaited(&self, token: u64) -> bool {
        let owned = self.shard.get(&self.key).filter(|owned| owned.token == token);
        owned.is_some_and(|owned| owned.waiters.iter().any(|waiter| !waiter.is_closed()))
    }

    /// Ends the claim of `token`, if it is still that one's, and returns who waits for it.
    pub fn leave(&mut self, token: u64) -> Waiters {
        match self.shard.entry(self.key) {
            Entry::Occupied(owned) if owned.get().token == token => Waiters(owned.remove().waiters),
            _ => Waiters(Vec::new()),
        }
    }
}

impl Waiters {
    /// Tells all of them.
    pub fn tell(self, fate: impl Fn() -> Fate) {
        for waiter in self.0 {
            // Whoever no longer waits has been answered already.
            let _ = waiter.send(fate());
        }
    }
}

/// Takes a key's own bytes for its hash: they are the output of a keyed hash already.
#[derive(Debug, Clone, Default)]
pub struct OwnHash(u64);

impl Hasher for OwnHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for (place, byte) in bytes.iter().enumerate() {
            self.0 ^= u64::from(*byte) << (8 * (place % 8));
        }
    }

    fn write_u128(&mut self, key: u128) {
        // The low half picks the shard; the high half is as good and independent of it.
        self.0 = (key >> 64) as u64;
    }
}

/// Hashes keys by themselves.
pub type BuildOwnHash = BuildHasherDefault<OwnHash>;
