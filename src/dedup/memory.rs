//! Dedup in this process: a map of events in flight with those who wait for them, a cache of finished ones.
//!
//! An event's shard is locked for each verb, and under that lock both are read and written: a claim is one step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::in_flight::{BuildOwnHash, Entered, InFlight};
use super::{Answer, Claim, ClaimKeys, DedupKey, DedupStats, Denial, Failure, Fate, Lease};

/// The store behind `dedup.store = "memory"`.
#[derive(Debug)]
pub struct Memory {
    in_flight: InFlight,
    finished: Cache<DedupKey, Finished, BuildOwnHash>,
    tokens: AtomicU64,
    evictions: Arc<AtomicU64>,
}

/// An event that somebody settled. Times are monotonic.
#[derive(Debug, Clone, Copy)]
struct Finished {
    kind: Kind,
    fingerprint: u64,
    until: Duration,
    ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Committed,
    /// Not committed, but the upstream may have handled it.
    Attempted,
}

impl Memory {
    /// Room for `max_entries` finished events; the one used least recently makes way.
    pub fn new(max_entries: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&evictions);
        let finished = Cache::builder()
            .max_capacity(max_entries)
            // The default policy turns new entries away when it is full: then replays would pass unseen.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(OwnTtl)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
            .build_with_hasher(BuildOwnHash::default());
        Self { in_flight: InFlight::new(), finished, tokens: AtomicU64::new(1), evictions }
    }

    pub(super) fn claim(&self, keys: ClaimKeys, lease: Duration, now: Duration) -> Claim {
        let mut held = self.in_flight.hold(keys.key);
        let finished = self.finished(keys.key, now);
        if let Some(Finished { kind: Kind::Committed, fingerprint, .. }) = finished {
            return Claim::Denied(Denial::Committed { conflict: fingerprint != keys.fingerprint });
        }
        let token = self.tokens.fetch_add(1, Ordering::Relaxed);
        let stolen = match held.enter(token, lease, now) {
            Entered::Owner { stolen } => stolen,
            Entered::Waiting(waiter) => return Claim::Denied(Denial::InFlight(waiter)),
            Entered::Crowded => return Claim::Denied(Denial::Crowded),
        };
        drop(held);
        // What is finished here and not committed was attempted.
        let known_body = keys.guard.is_some_and(|guard| self.finished(guard, now).is_some());
        let possible_duplicate = stolen || known_body || finished.is_some();
        Claim::Granted(Lease { keys, token, possible_duplicate })
    }

    pub(super) fn commit(&self, lease: Lease, ttl: Duration, answer: &Answer, now: Duration) {
        let Lease { keys, token, .. } = lease;
        let mut held = self.in_flight.hold(keys.key);
        self.finish(keys.key, Kind::Committed, keys.fingerprint, ttl, now);
        let waiters = held.leave(token);
        drop(held);
        if let Some(guard) = keys.guard {
            self.finish(guard, Kind::Committed, keys.fingerprint, ttl, now);
        }
        waiters.tell(|| Fate::Answered(answer.clone()));
    }

    pub(super) fn release(&self, lease: Lease, failure: Failure, ttl: Duration, answer: &Answer, now: Duration) {
        let Lease { keys, token, .. } = lease;
        let mut held = self.in_flight.hold(keys.key);
        let waiters = held.leave(token);
        // A thief may have committed in the meantime; a success is a fact and stays.
        if failure == Failure::Ambiguous && self.finished(keys.key, now).is_none() {
            self.finish(keys.key, Kind::Attempted, keys.fingerprint, ttl, now);
        }
        drop(held);
        if let Some(guard) = keys.guard.filter(|_| failure == Failure::Ambiguous)
            && self.finished(guard, now).is_none()
        {
            self.finish(guard, Kind::Attempted, keys.fingerprint, ttl, now);
        }
        waiters.tell(|| Fate::Answered(answer.clone()));
    }

    pub(super) fn stats(&self) -> DedupStats {
        // The cache does its bookkeeping now and then; without this it would not have counted yet.
        self.finished.run_pending_tasks();
        let evictions = self.evictions.load(Ordering::Relaxed);
        DedupStats { entries: self.finished.entry_count(), evictions, store_up: true, ..DedupStats::default() }
    }

    fn finished(&self, key: DedupKey, now: Duration) -> Option<Finished> {
        self.finished.get(&key).filter(|finished| now < finished.until)
    }

    fn finish(&self, key: DedupKey, kind: Kind, fingerprint: u64, ttl: Duration, now: Duration) {
        self.finished.insert(key, Finished { kind, fingerprint, until: now + ttl, ttl });
    }
}

/// Lets the cache drop an entry at the end of its own time.
struct OwnTtl;

impl Expiry<DedupKey, Finished> for OwnTtl {
    fn expire_after_create(&self, _: &DedupKey, finished: &Finished, _: Instant) -> Option<Duration> {
        Some(finished.ttl)
    }

    fn expire_after_update(
        &self,
        _: &DedupKey,
        finished: &Finished,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(finished.ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_flight::MAX_WAITERS;
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    const LEASE: Duration = Duration::from_secs(30);
    const TTL: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn keys(name: u8) -> ClaimKeys {
        ClaimKeys { key: DedupKey(name.into()), guard: None, fingerprint: 7 }
    }

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn granted(memory: &Memory, keys: ClaimKeys, now: Duration) -> Lease {
        match memory.claim(keys, LEASE, now) {
            Claim::Granted(lease) => lease,
            other => panic!("wanted a lease, got {other:?}"),
        }
    }

    #[test]
    fn a_committed_event_is_remembered_until_its_time_is_over() {
        let memory = Memory::new(100);
        let lease = granted(&memory, keys(1), at(0));
        memory.commit(lease, TTL, &answer(200), at(1));
        assert!(matches!(memory.claim(keys(1), LEASE, at(3600)), Claim::Denied(Denial::Committed { .. })));
        assert!(matches!(memory.claim(keys(1), LEASE, at(3601)), Claim::Granted(_)));
        assert!(matches!(memory.claim(keys(2), LEASE, at(1)), Claim::Granted(_)), "another event");
    }

    #[test]
    fn another_body_under_the_same_id_is_noticed() {
        let memory = Memory::new(100);
        let lease = granted(&memory, keys(1), at(0));
        memory.commit(lease, TTL, &answer(200), at(1));
        let other = ClaimKeys { fingerprint: 8, ..keys(1) };
        assert!(matches!(memory.claim(keys(1), LEASE, at(2)), Claim::Denied(Denial::Committed { conflict: false })));
        assert!(matches!(memory.claim(other, LEASE, at(2)), Claim::Denied(Denial::Committed { conflict: true })));
    }

    #[test]
    fn a_released_event_can_be_claimed_again() {
        let memory = Memory::new(100);
        let lease = granted(&memory, keys(1), at(0));
        memory.release(lease, Failure::Definite, TTL, &answer(500), at(1));
        assert!(!granted(&memory, keys(1), at(2)).possible_duplicate);
    }

    #[test]
    fn an_ambiguous_failure_marks_the_next_attempt() {
        let memory = Memory::new(100);
        let lease = granted(&memory, keys(1), at(0));
        memory.release(lease, Failure::Ambiguous, TTL, &answer(504), at(1));
        assert!(granted(&memory, keys(1), at(2)).possible_duplicate);
    }

    #[test]
    fn waiters_get_the_owners_outcome() {
        let memory = Memory::new(100);
        let lease = granted(&memory, keys(1), at(0));
        let Claim::Denied(Denial::InFlight(mut first)) = memory.claim(keys(1), LEASE, at(1)) else {
            panic!("in flight")
        };
        let Claim::Denied(Denial::InFlight(mut second)) = memory.claim(keys(1), LEASE, at(1)) else {
            panic!("in flight")
        };
        memory.release(lease, Failure::Definite, TTL, &answer(503), at(2));
        for waiter in [&mut first, &mut second] {
            assert!(matches!(waiter.try_recv(), Ok(Fate::Answered(answer)) if answer.status == 503));
        }
    }

    #[test]
    fn waiting_is_bounded_and_frees_up() {
        let memory = Memory::new(100);
        let _lease = granted(&memory, keys(1), at(0));
        let mut waiters: Vec<_> = (0..MAX_WAITERS).map(|_| memory.claim(keys(1), LEASE, at(1))).collect();
        assert!(matches!(memory.claim(keys(1), LEASE, at(1)), Claim::Denied(Denial::Crowded)));
        waiters.pop();
        assert!(matches!(memory.claim(keys(1), LEASE, at(1)), Claim::Denied(Denial::InFlight(_))));
    }

    #[test]
    fn an_expired_lease_is_stolen_and_the_late_owners_success_still_counts() {
        let memory = Memory::new(100);
        let late = granted(&memory, keys(1), at(0));
        assert!(matches!(memory.claim(keys(1), LEASE, at(29)), Claim::Denied(Denial::InFlight(_))));
        let thief = granted(&memory, keys(1), at(30));
        assert!(thief.possible_duplicate);
        memory.commit(late, TTL, &answer(200), at(31));
        memory.release(thief, Failure::Definite, TTL, &answer(500), at(32));
        assert!(matches!(memory.claim(keys(1), LEASE, at(33)), Claim::Denied(Denial::Committed { .. })));
    }

    #[test]
    fn a_late_release_does_not_end_the_thiefs_claim() {
        let memory = Memory::new(100);
        let late = granted(&memory, keys(1), at(0));
        let _thief = granted(&memory, keys(1), at(30));
        memory.release(late, Failure::Definite, TTL, &answer(500), at(31));
        assert!(matches!(memory.claim(keys(1), LEASE, at(32)), Claim::Denied(Denial::InFlight(_))));
    }

    #[test]
    fn a_guard_only_reports() {
        let memory = Memory::new(100);
        let guard = Some(DedupKey(9));
        let lease = granted(&memory, ClaimKeys { guard, ..keys(1) }, at(0));
        memory.commit(lease, TTL, &answer(200), at(1));
        assert!(granted(&memory, ClaimKeys { guard, ..keys(2) }, at(2)).possible_duplicate);
        assert!(!granted(&memory, keys(3), at(2)).possible_duplicate);
    }

    #[test]
    fn a_guard_remembers_an_attempt_that_broke_off() {
        let memory = Memory::new(100);
        let guard = Some(DedupKey(9));
        let lease = granted(&memory, ClaimKeys { guard, ..keys(1) }, at(0));
        memory.release(lease, Failure::Ambiguous, TTL, &answer(504), at(1));
        assert!(granted(&memory, ClaimKeys { guard, ..keys(2) }, at(2)).possible_duplicate);
    }

    #[test]
    fn a_full_cache_takes_new_events_and_counts_what_it_forgets() {
        let memory = Memory::new(10);
        for name in 0..200 {
            let lease = granted(&memory, keys(name), at(0));
            memory.commit(lease, TTL, &answer(200), at(0));
            assert!(
                matches!(memory.claim(keys(name), LEASE, at(0)), Claim::Denied(Denial::Committed { .. })),
                "{name}"
            );
        }
        memory.finished.run_pending_tasks();
        let DedupStats { entries, evictions, .. } = memory.stats();
        assert_eq!((entries, evictions), (10, 190));
    }

    #[test]
    fn of_many_claimers_one_is_granted() {
        let memory = Memory::new(1000);
        let granted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for name in 0..=255 {
                        if let Claim::Granted(_lease) = memory.claim(keys(name), LEASE, at(0)) {
                            granted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 256);
    }
}
