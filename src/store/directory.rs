//! What customers registered and how their endpoints are doing, as the store has it.
//!
//! The store keeps documents and does not read them. Every change gives the whole directory another version, by which
//! whoever has a copy in memory notices that it is old.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Id, NewEvent, Store};
use crate::clock::UnixMillis;
use crate::database::StoreError;

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
    Secret,
}

impl RecordKind {
    const ALL: [Self; 5] = [Self::Account, Self::EventType, Self::Group, Self::Endpoint, Self::Secret];

    /// As it stands in a table.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// As it stands in a table; `None` for what a later version wrote.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What has changed in the directory, and its version now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    pub version: i64,
    /// In the order in which they were changed, each as it is now.
    pub changed: Vec<Record>,
}

/// A change of the directory and what follows from it, all in one step.
#[derive(Debug, Clone)]
pub struct Change {
    /// The version on which it was decided.
    pub version: i64,
    /// When.
    pub at: UnixMillis,
    /// Empty where only deliveries or health change: then the version stays.
    pub records: Vec<Record>,
    /// Waiting deliveries of these destinations are cancelled, for this reason.
    pub cancel: Vec<(Arc<str>, &'static str)>,
    /// From now on these destinations get one at a time: so do they what they are owed by now.
    pub order: Vec<Arc<str>>,
    /// What becomes of the health of these endpoints.
    pub health: Vec<(Arc<str>, Health)>,
    /// What is to be told of it.
    pub events: Vec<NewEvent>,
    pub idempotent: Option<Idempotent>,
}

impl Change {
    /// One that changes nothing yet.
    pub fn new(version: i64, at: UnixMillis) -> Self {
        Self {
            version,
            at,
            records: Vec::new(),
            cancel: Vec::new(),
            order: Vec::new(),
            health: Vec::new(),
            events: Vec::new(),
            idempotent: None,
        }
    }
}

/// What becomes of what is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Somebody was warned that it fails.
    Warned,
    /// It begins anew.
    Cleared,
    /// It is gone, with its numbers and whatever was counted for it.
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
    /// True if all attempts at an event were used up, which ends it.
    pub exhausted: bool,
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

/// Numbers of days before that are forgotten.
pub(super) const TALLIES_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// The day of a moment, counted from 1970-01-01.
pub fn day_of(at: UnixMillis) -> i64 {
    at.0.div_euclid(24 * 3600 * 1000)
}

impl Store {
    /// The documents of the directory that were changed after version `since`; all of them after 0.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn records(&self, since: i64) -> Result<Records, StoreError> {
        match self {
            Self::Sqlite(store) => store.records(since).await,
            Self::Postgres(store) => store.records(since).await,
        }
    }

    /// Changes the directory, if it is still as the change was decided on; of several that were decided on one version,
    /// one is done. All of it is on the disk then.
    ///
    /// # Errors
    /// Then nothing was changed, as far as is known.
    pub async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        match self {
            Self::Sqlite(store) => store.change(change).await,
            Self::Postgres(store) => store.change(change).await,
        }
    }

    /// What was answered to a request with this key, if that is still kept.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn answered(&self, key: [u8; 16], now: UnixMillis) -> Result<Option<Replayed>, StoreError> {
        match self {
            Self::Sqlite(store) => store.answered(key, now).await,
            Self::Postgres(store) => store.answered(key, now).await,
        }
    }

    /// Every endpoint that is failing, by name.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn failing(&self) -> Result<Vec<Failing>, StoreError> {
        match self {
            Self::Sqlite(store) => store.failing().await,
            Self::Postgres(store) => store.failing().await,
        }
    }

    /// What these endpoints did since a day, or as long as it is known. Those that did nothing are not in it.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn tallies(
        &self,
        endpoints: Vec<Arc<str>>,
        since_day: Option<i64>,
    ) -> Result<HashMap<Arc<str>, Tally>, StoreError> {
        match self {
            Self::Sqlite(store) => store.tallies(endpoints, since_day.unwrap_or(i64::MIN)).await,
            Self::Postgres(store) => store.tallies(endpoints, since_day.unwrap_or(i64::MIN)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_records_keep_their_codes() {
        assert_eq!(RecordKind::ALL.map(RecordKind::code), [0, 1, 2, 3, 4], "they stand in tables");
        assert!(RecordKind::ALL.iter().all(|kind| RecordKind::from_code(kind.code()) == Some(*kind)));
        assert_eq!(RecordKind::from_code(5), None);
    }

    #[test]
    fn days_begin_at_midnight() {
        let day = 24 * 3600 * 1000;
        assert_eq!([0, day - 1, day, -1].map(|at| day_of(UnixMillis(at))), [0, 0, 1, -1]);
    }
}
