//! Remembers which events were handled: claim, commit, release.
//!
//! `ABSENT → IN_FLIGHT(lease, token) → DONE(ttl)`. Releasing needs the token; DONE wins over every late owner.
//! What is remembered is a keyed hash, so a store never holds a provider's ids.

mod in_flight;
mod memory;
pub mod postgres;
mod redis;
mod remote;
mod shared;
pub mod sqlite;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use sha2::Sha256;
use tokio::sync::oneshot;

pub use memory::Memory;
pub use postgres::PostgresDedup;
pub use redis::{Redis, RedisUrl};
pub use remote::{Remote, Retention, Standing, StoreClaim};
pub use shared::Shared;
pub use sqlite::SqliteDedup;

/// Stands for one event in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DedupKey(u128);

impl DedupKey {
    /// As it stands in a store.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

/// Makes [`DedupKey`]s under a key of its own, so that nobody can work out colliding ids.
#[derive(Clone)]
pub struct KeyMaker(Hmac<Sha256>);

impl fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaker(redacted)")
    }
}

impl KeyMaker {
    /// A maker of keys under `key`.
    pub fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// A maker of keys that nobody else can make, for a store that does not outlive the process.
    pub fn random() -> Self {
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the system has randomness");
        Self::new(&key)
    }

    /// The maker that all gateways of a shared store have in common.
    ///
    /// Its key is no secret, so there is none to be lost: gateways never disagree about an event, whatever becomes of
    /// the store. Two ids with one key would still take 2^64 tries, and an id counts only after its signature does.
    pub fn shared() -> Self {
        Self::new(b"hookward dedup keys, version 1")
    }

    /// The key of an event: each part goes in with its length, so that no two lists of parts run together.
    pub fn key(&self, parts: &[&[u8]]) -> DedupKey {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let (half, _) = tag.split_first_chunk().expect("half of 32 bytes");
        DedupKey(u128::from_be_bytes(*half))
    }
}

/// What an event is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimKeys {
    /// The event's own key.
    pub key: DedupKey,
    /// A second key that only reports: a known body under a new, unsigned id.
    pub guard: Option<DedupKey>,
    /// By which another body under the same id is noticed. Not secure, and need not be: the body is authentic.
    pub fingerprint: u64,
}

/// A store's answer to: is this event ours to handle?
#[derive(Debug)]
pub enum Claim {
    /// Ours until the lease expires. Commit it or release it.
    Granted(Lease),
    /// Nobody in this process handles it: [`Dedup::ask`] says whether it is ours.
    Ask(Lease),
    /// Not ours.
    Denied(Denial),
}

/// Why an event is not ours to handle.
#[derive(Debug)]
pub enum Denial {
    /// Another request is handling it. Wait for its outcome, within bounds, and answer the same.
    InFlight(Waiter),
    /// Another request is handling it, and too many are waiting for it already.
    Crowded,
    /// Handled within the window. Answer as accepted and forward nothing.
    Committed {
        /// True if it had another body then.
        conflict: bool,
    },
    /// The store cannot be asked. The sender is to come back.
    StoreDown,
}

/// What a source's requests get while the store cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreDown {
    /// 503: the sender tries again.
    FailClosed,
    /// They are forwarded and marked as possible duplicates.
    FailOpen,
}

impl StoreDown {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 2] = [("fail_closed", Self::FailClosed), ("fail_open", Self::FailOpen)];
}

/// The right and the duty to handle an event.
#[derive(Debug)]
#[must_use = "a dropped lease blocks the event until it expires"]
pub struct Lease {
    keys: ClaimKeys,
    token: u64,
    /// True if the upstream may have handled this event before, without our knowing.
    pub possible_duplicate: bool,
}

/// Waits for the owner of an event to settle it.
pub type Waiter = oneshot::Receiver<Fate>;

/// What became of an event, as its copies are told. Silence means that they are to come back.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The owner got this answer.
    Answered(Answer),
    /// It was handled by another gateway, or before.
    Committed,
    /// Another gateway had it, and gave it back or died.
    Released,
    /// The store cannot be asked.
    StoreDown,
}

/// What the upstream said of an event, as its copies get it too.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How an attempt that did not succeed ended, as far as the next one must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The upstream refused the event, or never saw it.
    Definite,
    /// The upstream may have handled it: the connection broke or time ran out after bytes were written.
    Ambiguous,
}

/// Where events are remembered.
#[derive(Debug)]
pub enum Dedup {
    /// In this process: forgotten at a restart.
    Memory(Memory),
    /// In a store that outlives it, and that other gateways use too.
    Shared(Shared),
}

/// How much is remembered, and how the store does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DedupStats {
    /// Finished events remembered in this process now.
    pub entries: u64,
    /// Events forgotten before their time, for want of room. Each could be forwarded twice.
    pub evictions: u64,
    /// True if the store can be asked.
    pub store_up: bool,
    /// Operations of the store that failed.
    pub store_errors: u64,
    /// True if the store is set up to forget events before their time.
    pub store_may_evict: bool,
    /// Settlements that the store still has to be told.
    pub owed: usize,
    /// Settlements that the store will never be told, for want of room. Each event could be forwarded twice.
    pub owed_dropped: u64,
}

impl Dedup {
    /// Claims an event as far as that goes without waiting. `now` is monotonic, `lease` how long the owner has to
    /// settle it.
    pub fn claim(&self, keys: ClaimKeys, lease: Duration, now: Duration) -> Claim {
        match self {
            Self::Memory(memory) => memory.claim(keys, lease, now),
            Self::Shared(shared) => shared.claim(keys, lease, now),
        }
    }

    /// Claims in the shared store what [`Claim::Ask`] was the answer for. `lease` is as it was then.
    ///
    /// It must be run to its end: an event that is given up in between is blocked until its lease expires.
    /// What a shared store does stands in a box of its own here and below, so that memory's requests carry no room for it.
    ///
    /// # Errors
    /// Why the event is not ours.
    pub async fn ask(&self, claimed: Lease, lease: Duration, store_down: StoreDown) -> Result<Lease, Denial> {
        match self {
            // It needs nobody's consent.
            Self::Memory(_) => Ok(claimed),
            Self::Shared(shared) => Box::pin(shared.ask(claimed, lease, store_down)).await,
        }
    }

    /// Remembers the event as handled for `ttl`, and gives `answer` to whoever waits.
    pub async fn commit(&self, lease: Lease, ttl: Duration, answer: &Answer, now: Duration) {
        match self {
            Self::Memory(memory) => memory.commit(lease, ttl, answer, now),
            Self::Shared(shared) => Box::pin(shared.commit(lease, ttl, answer)).await,
        }
    }

    /// Gives the event back, so that the sender's retry is forwarded, and `answer` to whoever waits.
    pub async fn release(&self, lease: Lease, failure: Failure, ttl: Duration, answer: &Answer, now: Duration) {
        match self {
            Self::Memory(memory) => memory.release(lease, failure, ttl, answer, now),
            Self::Shared(shared) => Box::pin(shared.release(lease, failure, ttl, answer)).await,
        }
    }

    /// Waits until the store was told all that it is owed, if it can be told now.
    pub async fn drain(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Shared(shared) => shared.drain().await,
        }
    }

    /// By what events are told apart here.
    pub fn key_maker(&self) -> KeyMaker {
        match self {
            Self::Memory(_) => KeyMaker::random(),
            Self::Shared(_) => KeyMaker::shared(),
        }
    }

    /// How much is remembered, and how the store does.
    pub fn stats(&self) -> DedupStats {
        match self {
            Self::Memory(memory) => memory.stats(),
            Self::Shared(shared) => shared.stats(),
        }
    }
}
