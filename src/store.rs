//! What must not be lost: events, what is owed to whom, and what came of it.
//!
//! Both engines have the same verbs, and whatever is answered with success is on the disk.

mod directory;
mod id;
mod occurrences;
mod operator;
mod postgres;
mod sent;
mod settlement;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::UnixMillis;
use crate::database::StoreError;
use crate::dedup::ClaimKeys;

pub use directory::{
    Change, Changed, Failing, Health, Idempotent, Record, RecordKind, Records, Replayed, Tally, day_of,
};
pub use id::Id;
pub use occurrences::Counted;
pub use operator::{
    AttemptRow, DeliveryDetail, DeliveryFilter, DeliveryRow, DestinationStats, EventDetail, EventFilter, EventRow,
    MAX_PAGE, Page, State, Stats,
};

pub use postgres::PostgresStore;
pub use sent::{SentDetail, SentEvent, SentEventFilter, SentFilter, SentPage, SentRow, Unrecovered};
pub use settlement::{Attempt, Consequence, GONE, Settlement, Verdict};
pub use sqlite::SqliteStore;

/// A request as it is forwarded: what of it does not depend on where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    /// Verbatim, without the question mark.
    pub query: Option<String>,
    /// One line each, `name: value\r\n`.
    pub headers: Bytes,
    pub body: Bytes,
}

/// An event to be kept, with its deliveries.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub id: Id,
    /// Whose webhook it was; `sender` for what our own app emitted.
    pub source: String,
    /// Of an event that our own app emitted: whose it is, and of which type.
    pub emitted: Option<Emitted>,
    /// The provider's id, as in `hookward-event-id`.
    pub event_id: Option<String>,
    pub accepted_at: UnixMillis,
    pub message: Message,
    /// What it is remembered by; `None` where dedup is off.
    pub remember: Option<Remember>,
    /// Other bodies for the same event: a delivery of variant 1 has the first of them, variant 0 that of `message`.
    pub variants: Vec<Bytes>,
    pub owed: Vec<Owed>,
    /// What is owed if this is an occurrence that is told.
    pub counted: Vec<Counted>,
}

impl NewEvent {
    /// The first of its deliveries, for whoever keeps it as a lease with this `token`. `None` if it has none.
    pub fn leased(&self, token: i64) -> Option<Leased> {
        let owed = self.owed.first()?;
        let mut message = self.message.clone();
        if let Some(body) = usize::from(owed.variant).checked_sub(1).and_then(|place| self.variants.get(place)) {
            message.body = body.clone();
        }
        Some(Leased {
            id: owed.id,
            event: self.id,
            token,
            destination: Arc::clone(&owed.destination),
            created_at: self.accepted_at,
            signed_at: self.accepted_at,
            attempts: 0,
            possible_duplicate: false,
            event_id: self.event_id.clone(),
            kind: self.emitted.as_ref().map(|emitted| emitted.kind.clone()),
            message,
        })
    }
}

/// What is known of an event that our own app emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    pub account: Arc<str>,
    /// The name of its type, such as `invoice.paid`.
    pub kind: String,
}

/// A delivery to be kept with its event, or anew for one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub id: Id,
    pub destination: Arc<str>,
    /// Which body it has: 0 for the event's own.
    pub variant: u16,
    /// True if its destination gets one at a time, in the order in which they were accepted.
    pub ordered: bool,
    pub trigger: Trigger,
    pub begin: Begin,
}

impl Owed {
    /// What a webhook that came in is owed to.
    pub fn due(destination: Arc<str>, now: UnixMillis) -> Self {
        let id = Id::new(now);
        Self { id, destination, variant: 0, ordered: false, trigger: Trigger::Event, begin: Begin::Due }
    }
}

/// How a delivery begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// It is due at once.
    Due,
    /// It is ours already: whoever keeps it attempts it. Never for an ordered one, which would overtake those before it.
    Leased { token: i64, until: UnixMillis },
    /// It will not be made, and this is why. It stands in the log.
    Skipped(&'static str),
}

impl Begin {
    /// What a delivery's beginning writes.
    fn written(&self, now: UnixMillis) -> Begun {
        let due = Begun { state: State::Waiting, due_at: now, token: None, signed_at: None, reason: None };
        match self {
            Self::Due => due,
            Self::Leased { token, until } => {
                Begun { state: State::Leased, due_at: *until, token: Some(*token), signed_at: Some(now), ..due }
            }
            Self::Skipped(reason) => Begun { state: State::Skipped, reason: Some(reason), ..due },
        }
    }
}

struct Begun {
    state: State,
    due_at: UnixMillis,
    token: Option<i64>,
    signed_at: Option<UnixMillis>,
    reason: Option<&'static str>,
}

/// Why there is a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its event was accepted.
    Event,
    /// Somebody asked for it again.
    Resend,
    /// Somebody asked for its event again.
    Replay,
    /// Somebody asked for all that failed.
    Recover,
    /// Somebody tries out an endpoint.
    Test,
}

impl Trigger {
    const ALL: [Self; 5] = [Self::Event, Self::Resend, Self::Replay, Self::Recover, Self::Test];

    /// As it stands in a table.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// As it stands in a table. What no version ever wrote is read as the event itself.
    pub fn from_code(code: i16) -> Self {
        Self::ALL.into_iter().find(|trigger| trigger.code() == code).unwrap_or(Self::Event)
    }
}

/// Events that are kept in one step, or none of them.
#[derive(Debug, Clone)]
pub struct Batch {
    pub events: Vec<NewEvent>,
    /// The version of the directory by which their deliveries were decided; `None` where they do not depend on it.
    pub directory: Option<i64>,
    pub idempotent: Option<Idempotent>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// It is on the disk, but for events that were accepted before: one answer for each.
    Kept(Vec<Accepted>),
    /// The directory has changed: nothing was kept, decide again.
    Outdated,
    /// The request was answered before: nothing was kept.
    Replayed(Replayed),
}

/// What became of deliveries that were asked for anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owing {
    /// They are on the disk, but for those whose event is gone: one answer for each, false for those.
    Done(Vec<bool>),
    /// The request was answered before: nothing was written.
    Replayed(Replayed),
}

/// What an event is remembered by, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Remember {
    pub keys: ClaimKeys,
    pub ttl: Duration,
}

/// What became of an event that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It and its deliveries are on the disk.
    New,
    /// It was accepted before; nothing was written.
    Duplicate {
        /// True if it had another body then.
        conflict: bool,
    },
}

/// How many deliveries a destination may have leased to it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub destination: Arc<str>,
    pub deliveries: usize,
    /// True if it gets one at a time, the oldest first: nothing while another is leased, or waits for its next attempt.
    pub ordered: bool,
}

/// A destination for which something is waiting, and when the first of it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub destination: Arc<str>,
    pub due_at: UnixMillis,
}

/// A delivery that is ours until its lease ends.
#[derive(Debug, Clone)]
pub struct Leased {
    pub id: Id,
    pub event: Id,
    pub token: i64,
    pub destination: Arc<str>,
    /// When it was first owed: the schedule's window begins here.
    pub created_at: UnixMillis,
    /// When it was first leased: a frozen timestamp is this one.
    pub signed_at: UnixMillis,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// True if the destination may have had it already.
    pub possible_duplicate: bool,
    /// The event's id as its receivers know it.
    pub event_id: Option<String>,
    /// The name of its type, where our own app emitted it.
    pub kind: Option<String>,
    pub message: Message,
}

impl Batch {
    /// When it was accepted.
    fn at(&self) -> UnixMillis {
        self.events.iter().map(|event| event.accepted_at).max().unwrap_or(UnixMillis(0))
    }
}

impl NewEvent {
    fn account(&self) -> Option<&str> {
        self.emitted.as_ref().map(|emitted| &*emitted.account)
    }

    fn kind(&self) -> Option<&str> {
        self.emitted.as_ref().map(|emitted| emitted.kind.as_str())
    }
}

/// Where events and deliveries are kept.
#[derive(Debug)]
pub enum Store {
    Sqlite(SqliteStore),
    Postgres(Box<PostgresStore>),
}

impl Store {
    /// Keeps an event, its deliveries and what it is remembered by in one step, all of it on the disk.
    ///
    /// # Errors
    /// Then nothing was kept, as far as is known: where the connection broke the event may be there all the same, and its
    /// next copy will be a duplicate of it.
    pub async fn accept(&self, event: NewEvent) -> Result<Accepted, StoreError> {
        match self.keep(Batch { events: vec![event], directory: None, idempotent: None }).await? {
            BatchOutcome::Kept(accepted) if accepted.len() == 1 => Ok(accepted[0]),
            other => Err(StoreError::Failed { store: "store", cause: format!("one event, and it answers {other:?}") }),
        }
    }

    /// Keeps events in one step, all of it on the disk: each with its deliveries, its bodies and what it is remembered
    /// by, and with the first of them the answer. Where the request was answered before, or the directory has changed,
    /// or every event is known, nothing is written.
    ///
    /// # Errors
    /// Then nothing was kept, as far as is known, as with [`Self::accept`].
    pub async fn keep(&self, batch: Batch) -> Result<BatchOutcome, StoreError> {
        match self {
            Self::Sqlite(store) => store.keep(batch).await,
            Self::Postgres(store) => store.keep(batch).await,
        }
    }

    /// Owes events that are there anew: a delivery of its own for each, whatever became of others. They are possible
    /// duplicates.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn owe(
        &self,
        deliveries: Vec<(Id, Owed)>,
        now: UnixMillis,
        idempotent: Option<Idempotent>,
    ) -> Result<Owing, StoreError> {
        match self {
            Self::Sqlite(store) => store.owe(deliveries, now, idempotent).await,
            Self::Postgres(store) => store.owe(deliveries, now, idempotent).await,
        }
    }

    /// The destinations for which something is waiting. Leases that ended before `now` are waiting again.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn waiting(&self, now: UnixMillis) -> Result<Vec<Waiting>, StoreError> {
        match self {
            Self::Sqlite(store) => store.waiting(now).await,
            Self::Postgres(store) => store.waiting(now).await,
        }
    }

    /// Leases what is due, for each destination no more than it has room for, the longest due first.
    ///
    /// # Errors
    /// If the store cannot be asked; leases that it gave all the same will end.
    pub async fn lease(&self, room: Vec<Room>, now: UnixMillis, lease: Duration) -> Result<Vec<Leased>, StoreError> {
        let token = fastrand::i64(..);
        match self {
            Self::Sqlite(store) => store.lease(room, now, lease, token).await,
            Self::Postgres(store) => store.lease(room, now, lease, token).await,
        }
    }

    /// Which version of the directory there was when something was last leased, or a later one: whoever delivers by an
    /// older copy could have missed a change that was answered before what is leased was told. 0 where nobody else
    /// changes it.
    pub fn version_leased_at(&self) -> i64 {
        match self {
            Self::Sqlite(_) => 0,
            Self::Postgres(store) => store.version_leased_at(),
        }
    }

    /// Writes down what became of a lease. False if it had ended and somebody else has the delivery: then only a success
    /// counts, since that is a fact.
    ///
    /// # Errors
    /// If the store cannot be asked; then the lease will end, and the delivery may be made again.
    pub async fn settle(&self, settlement: Settlement) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.settle(settlement).await,
            Self::Postgres(store) => store.settle(settlement).await,
        }
    }

    /// Forgets settled events older than `retention`, a limited number at a time, and dedup keys, answers, numbers of
    /// endpoints and windows of occurrences whose time is over.
    /// Returns how many events went; the same number as `most` means that there may be more.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn purge(&self, now: UnixMillis, retention: Duration, most: u32) -> Result<u32, StoreError> {
        let before = now.before(retention);
        match self {
            Self::Sqlite(store) => store.purge(now, before, most).await,
            Self::Postgres(store) => store.purge(now, before, most).await,
        }
    }

    /// Events, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn events(&self, filter: EventFilter) -> Result<Page<EventRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.events(filter).await,
            Self::Postgres(store) => store.events(filter).await,
        }
    }

    /// One event with its deliveries; `None` if there is none with this id.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn event(&self, id: Id) -> Result<Option<EventDetail>, StoreError> {
        match self {
            Self::Sqlite(store) => store.event(id).await,
            Self::Postgres(store) => store.event(id).await,
        }
    }

    /// Deliveries, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn deliveries(&self, filter: DeliveryFilter) -> Result<Page<DeliveryRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.deliveries(filter).await,
            Self::Postgres(store) => store.deliveries(filter).await,
        }
    }

    /// One delivery with its attempts; `None` if there is none with this id.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn delivery(&self, id: Id) -> Result<Option<DeliveryDetail>, StoreError> {
        match self {
            Self::Sqlite(store) => store.delivery(id).await,
            Self::Postgres(store) => store.delivery(id).await,
        }
    }

    /// Makes deliveries that are dead or waiting due at once, with all their attempts before them. Returns those that it
    /// found so: one that is leased or delivered is left alone.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn retry(&self, ids: Vec<Id>, now: UnixMillis) -> Result<Vec<Id>, StoreError> {
        match self {
            Self::Sqlite(store) => store.retry(ids, now).await,
            Self::Postgres(store) => store.retry(ids, now).await,
        }
    }

    /// Makes a waiting delivery to `endpoint` due at once, its attempts as they are. False if it is not waiting, or not
    /// there.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn due_now(&self, delivery: Id, endpoint: &str, now: UnixMillis) -> Result<bool, StoreError> {
        let endpoint = endpoint.to_owned();
        match self {
            Self::Sqlite(store) => store.due_now(delivery, endpoint, now).await,
            Self::Postgres(store) => store.due_now(delivery, endpoint, now).await,
        }
    }

    /// Owes an event anew to `destinations`, each with the body that it had: a delivery of its own for each, whatever
    /// became of the others. Returns their ids; `None` if there is no such event.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn replay(
        &self,
        event: Id,
        destinations: Vec<Arc<str>>,
        now: UnixMillis,
    ) -> Result<Option<Vec<Id>>, StoreError> {
        // Whoever had it in another form gets that one again.
        let filter = SentFilter {
            endpoints: destinations.clone(),
            event: Some(event),
            limit: MAX_PAGE,
            ..SentFilter::default()
        };
        let had = self.sent(filter).await?.rows;
        let owed = |destination: Arc<str>| {
            let variant = had.iter().find(|row| *row.endpoint == *destination).map_or(0, |row| row.variant);
            Owed { variant, trigger: Trigger::Replay, ..Owed::due(destination, now) }
        };
        let deliveries: Vec<(Id, Owed)> =
            destinations.into_iter().map(|destination| (event, owed(destination))).collect();
        let ids = deliveries.iter().map(|(_, owed)| owed.id).collect();
        match self.owe(deliveries, now, None).await? {
            Owing::Done(made) => Ok(made.into_iter().all(|made| made).then_some(ids)),
            Owing::Replayed(_) => Ok(None),
        }
    }

    /// How much there is.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        match self {
            Self::Sqlite(store) => store.stats().await,
            Self::Postgres(store) => store.stats().await,
        }
    }

    /// What is wrong with the store, in words; empty where nothing is.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Sqlite(store) => store.check().await,
            Self::Postgres(store) => store.check().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_keep_their_codes() {
        assert_eq!(Trigger::ALL.map(Trigger::code), [0, 1, 2, 3, 4], "they stand in tables");
        assert_eq!(Trigger::ALL.map(|trigger| Trigger::from_code(trigger.code())), Trigger::ALL);
    }
}
