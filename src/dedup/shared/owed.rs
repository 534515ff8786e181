//! What a shared store still has to be told, because it could not be when it was due.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::in_flight::BuildOwnHash;
use super::super::{ClaimKeys, DedupKey, Failure};
use crate::clock::UnixMillis;

/// More settlements than this are not owed: the oldest is dropped, and its event may be forwarded again.
const MAX_OWED: usize = 10_000;

/// How a claim ended, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    pub keys: ClaimKeys,
    pub end: End,
    pub ttl: Duration,
    pub at: UnixMillis,
}

/// The end of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Commit,
    Release { token: u64, failure: Failure },
}

/// Settlements in the order in which they were due. Meanwhile the commits among them count in this process.
#[derive(Debug, Default)]
pub struct Owed {
    queue: Mutex<Queue>,
    /// The queue's length, to be read without its lock.
    count: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    settlements: VecDeque<Settlement>,
    /// How many owed commits there are of each event and guard, and the last one's fingerprint.
    committed: HashMap<DedupKey, (usize, u64), BuildOwnHash>,
}

impl Owed {
    /// Adds one.
    pub fn push(&self, settlement: Settlement) {
        let mut queue = self.queue();
        if queue.settlements.len() >= MAX_OWED {
            queue.pop();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        queue.push(settlement);
        self.count.store(queue.settlements.len(), Ordering::Release);
    }

    /// The one that is due first. It stays until it is [`Owed::settled`].
    pub fn first(&self) -> Option<Settlement> {
        self.queue().settlements.front().copied()
    }

    /// Forgets the first, if it is this one still.
    pub fn settled(&self, settlement: &Settlement) {
        let mut queue = self.queue();
        if queue.settlements.front() == Some(settlement) {
            queue.pop();
        }
        self.count.store(queue.settlements.len(), Ordering::Release);
    }

    /// The fingerprint of a key whose commit is owed.
    pub fn committed(&self, key: DedupKey) -> Option<u64> {
        if self.len() == 0 {
            return None;
        }
        self.queue().committed.get(&key).map(|(_, fingerprint)| *fingerprint)
    }

    /// How many are owed.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How many were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Queue and map change together, and nothing in between panics.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, settlement: Settlement) {
        for key in settlement.committed() {
            let known = self.committed.entry(key).or_insert((0, settlement.keys.fingerprint));
            *known = (known.0 + 1, settlement.keys.fingerprint);
        }
        self.settlements.push_back(settlement);
    }

    fn pop(&mut self) {
        let Some(settlement) = self.settlements.pop_front() else { return };
        for key in settlement.committed() {
            if let Some(known) = self.committed.get_mut(&key) {
                known.0 -= 1;
                if known.0 == 0 {
                    self.committed.remove(&key);
                }
            }
        }
    }
}

impl Settlement {
    /// The moment from which nobody wants it any more.
    pub fn until(&self) -> UnixMillis {
        self.at.after(self.ttl)
    }

    /// The keys that count as committed while it is owed.
    fn committed(&self) -> impl Iterator<Item = DedupKey> + use<> {
        let keys = (self.end == End::Commit).then_some([Some(self.keys.key), self.keys.guard]);
        keys.into_iter().flatten().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settlement(name: u128, end: End) -> Settlement {
        let keys = ClaimKeys { key: DedupKey(name), guard: Some(DedupKey(name + 1_000_000)), fingerprint: 7 };
        Settlement { keys, end, ttl: Duration::from_secs(60), at: UnixMillis(0) }
    }

    #[test]
    fn an_owed_commit_counts_until_it_is_settled() {
        let owed = Owed::default();
        let (first, again) = (settlement(1, End::Commit), settlement(1, End::Commit));
        owed.push(first);
        owed.push(again);
        owed.push(settlement(2, End::Release { token: 1, failure: Failure::Definite }));
        assert_eq!((owed.committed(DedupKey(1)), owed.committed(DedupKey(2))), (Some(7), None));
        assert_eq!(owed.committed(DedupKey(1_000_001)), Some(7), "the guard too");
        owed.settled(&first);
        assert_eq!(owed.committed(DedupKey(1)), Some(7), "the second one is still owed");
        owed.settled(&again);
        assert_eq!((owed.committed(DedupKey(1)), owed.len()), (None, 1));
    }

    #[test]
    fn the_oldest_makes_way_and_is_counted() {
        let owed = Owed::default();
        for name in 0..=MAX_OWED as u128 {
            owed.push(settlement(name, End::Commit));
        }
        assert_eq!((owed.len(), owed.dropped()), (MAX_OWED, 1));
        assert_eq!((owed.committed(DedupKey(0)), owed.committed(DedupKey(1))), (None, Some(7)));
        owed.settled(&settlement(0, End::Commit));
        assert_eq!(owed.len(), MAX_OWED, "it is gone already");
    }
}
