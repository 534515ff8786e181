//! What customers registered and how their endpoints are doing, as the store has it.
//!
//! The store keeps documents and does not read them. Every change gives the whole directory another version, by which
//! whoever has a copy in memory notices that it is old.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Id, NewEvent};
use crate::clock::UnixMillis;

/// A document of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub kind: RecordKind,
    pub account: Arc<str>,
    /// Its name within the account and kind.
    pub id: Arc<str>,
    /// `None` once it is deleted.
    pub document: Option<Bytes>,
}

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    Account,
    EventType,
    Group,
    Endpoint,
}

/// What has changed in the directory, and its version now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    pub version: i64,
    /// In the order in which they were changed, each as it is now.
    pub changed: Vec<Record>,
}

/// A change of the directory and what follows from it, all in one step.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The version on which it was decided.
    pub version: i64,
    /// Empty where only deliveries or health change: then the version stays.
    pub records: Vec<Record>,
    /// Waiting deliveries of these destinations are cancelled, for this reason.
    pub cancel: Vec<(Arc<str>, &'static str)>,
    /// What becomes of the health of these endpoints.
    pub health: Vec<(Arc<str>, Health)>,
    /// What is to be told of it.
    pub events: Vec<NewEvent>,
    pub idempotent: Option<Idempotent>,
}

/// What becomes of what is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Somebody was warned that it fails.
    Warned,
    /// It begins anew.
    Cleared,
    /// It is gone, with its numbers.
    Forgotten,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It is on the disk.
    Done { version: i64 },
    /// The directory has changed meanwhile: nothing was written, decide again.
    Outdated,
    /// The request was answered before: nothing was written.
    Replayed(Replayed),
}

/// An answer that is kept with what it answers, so that the same request gets it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotent {
    /// Digest of whose request it is, what it asks for and its `Idempotency-Key`.
    pub key: [u8; 16],
    /// Digest of its body.
    pub request: [u8; 16],
    pub response: Bytes,
    pub until: UnixMillis,
}

/// What was answered before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Digest of the body of the request that was answered.
    pub request: [u8; 16],
    pub response: Bytes,
}

/// An endpoint that has not taken anything since its last success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    pub endpoint: Arc<str>,
    /// When the first attempt failed.
    pub since: UnixMillis,
    /// When the last one failed.
    pub last_at: UnixMillis,
    /// How many did.
    pub attempts: u32,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    /// The event of the last one.
    pub last_event: Id,
    /// True if it answered 410: it is not there any more.
    pub gone: bool,
    /// True if somebody was warned.
    pub warned: bool,
}

/// What an endpoint did in one day (UTC), or since it is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub delivered: u64,
    pub dead: u64,
    /// Of those that were delivered: the last attempts' durations together.
    pub duration: Duration,
    pub last_delivered_at: Option<UnixMillis>,
    pub last_dead_at: Option<UnixMillis>,
}

/// The day of a moment, counted from 1970-01-01.
pub fn day_of(at: UnixMillis) -> i64 {
    at.0.div_euclid(24 * 3600 * 1000)
}
