//! Remembers which events were handled: claim, commit, release.
//!
//! `ABSENT → IN_FLIGHT(lease, token) → DONE(ttl)`. Releasing needs the token; DONE wins over every late owner.
//! What is remembered is a keyed hash, so a store never holds a provider's ids.

mod memory;
pub mod postgres;
pub mod shared;
pub mod sqlite;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode};
use sha2::Sha256;
use tokio::sync::oneshot;

pub use memory::{Memory, MemoryStats};

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
    /// Another request is handling it. Wait for its outcome, within bounds, and answer the same.
    InFlight(Waiter),
    /// Another request is handling it, and too many are waiting for it already.
    Crowded,
    /// Handled within the window. Answer as accepted and forward nothing.
    Committed {
        /// True if it had another body then.
        conflict: bool,
    },
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
pub type Waiter = oneshot::Receiver<Answer>;

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
}

impl Dedup {
    /// Asks for an event. `now` is monotonic, `lease` how long the owner has to settle it.
    pub fn claim(&self, keys: ClaimKeys, lease: Duration, now: Duration) -> Claim {
        match self {
            Self::Memory(memory) => memory.claim(keys, lease, now),
        }
    }

    /// Remembers the event as handled for `ttl`, and gives `answer` to whoever waits.
    pub fn commit(&self, lease: Lease, ttl: Duration, answer: &Answer, now: Duration) {
        match self {
            Self::Memory(memory) => memory.commit(lease, ttl, answer, now),
        }
    }

    /// Gives the event back, so that the sender's retry is forwarded, and `answer` to whoever waits.
    pub fn release(&self, lease: Lease, failure: Failure, ttl: Duration, answer: &Answer, now: Duration) {
        match self {
            Self::Memory(memory) => memory.release(lease, failure, ttl, answer, now),
        }
    }

    /// How much is remembered.
    pub fn stats(&self) -> MemoryStats {
        match self {
            Self::Memory(memory) => memory.stats(),
        }
    }
}
