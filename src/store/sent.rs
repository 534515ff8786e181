//! What customers ask of the store: the events of an account, and what was delivered to an endpoint.

use std::sync::Arc;

use bytes::Bytes;

use super::{AttemptRow, Id, Page, State, Store, Trigger};
use crate::clock::UnixMillis;
use crate::database::StoreError;

/// Which deliveries of an endpoint to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentFilter {
    /// One endpoint, or all that are listed here; never empty.
    pub endpoints: Vec<Arc<str>>,
    /// Any of these; all if there is none.
    pub states: Vec<State>,
    /// With attempts that counted, or without; either if `None`.
    pub attempted: Option<bool>,
    /// Any of these, such as `exhausted` and `expired`; all if there is none.
    pub reasons: Vec<&'static str>,
    /// The type of their event.
    pub kind: Option<String>,
    /// Of the last attempt's answer.
    pub status: Option<u16>,
    pub event: Option<Id>,
    /// First owed at or after.
    pub since: Option<UnixMillis>,
    /// First owed before.
    pub until: Option<UnixMillis>,
    /// The last of the page before this one.
    pub after: Option<Id>,
    /// 1 to [`super::MAX_PAGE`].
    pub limit: u32,
}

/// Which deliveries an endpoint did not get, and has not been owed again since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unrecovered {
    pub endpoint: String,
    pub states: Vec<State>,
    /// Of dead ones only those; all if there is none.
    pub reasons: Vec<&'static str>,
    pub since: UnixMillis,
    pub until: UnixMillis,
    pub after: Option<Id>,
    pub limit: u32,
}

/// A part of a list of which the whole length is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentPage<T> {
    pub rows: Vec<T>,
    pub next: Option<Id>,
    /// Of the whole list.
    pub total: u64,
}

impl<T> SentPage<T> {
    /// A page of at most `limit` rows, of which one more was asked for.
    pub(super) fn of(rows: Vec<T>, limit: u32, total: u64, id: impl Fn(&T) -> Id) -> Self {
        let page = Page::of(rows, limit, id);
        Self { rows: page.data, next: page.next, total }
    }
}

/// A delivery to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRow {
    pub id: Id,
    pub event: Id,
    pub event_id: String,
    pub kind: String,
    pub endpoint: String,
    pub state: State,
    /// Why it was skipped or cancelled, or is dead.
    pub reason: Option<String>,
    pub trigger: Trigger,
    pub created_at: UnixMillis,
    /// When it is due; when its lease ends; when it was settled.
    pub at: UnixMillis,
    /// Those that counted.
    pub attempts: u32,
    pub variant: u16,
    /// Of the last attempt.
    pub last: Option<AttemptRow>,
    /// The body that it has.
    pub body: Bytes,
    /// The event's own body, from which any other was made.
    pub event_body: Bytes,
}

/// A delivery to an endpoint, with its attempts and what was exchanged in each, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDetail {
    pub row: SentRow,
    pub attempts: Vec<(AttemptRow, Option<Bytes>)>,
}

/// Which events of an account to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEventFilter {
    pub account: Arc<str>,
    pub kind: Option<String>,
    /// Accepted at or after.
    pub since: Option<UnixMillis>,
    /// Accepted before.
    pub until: Option<UnixMillis>,
    pub after: Option<Id>,
    pub limit: u32,
}

/// An event that an account emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentEvent {
    pub id: Id,
    pub event_id: String,
    pub kind: String,
    pub accepted_at: UnixMillis,
    /// As it was kept, one line each.
    pub headers: Bytes,
    pub body: Bytes,
    /// How many deliveries it has, by state.
    pub deliveries: Vec<(State, u64)>,
}

impl SentEvent {
    /// What its own body is.
    pub fn content_type(&self) -> Option<&str> {
        let lines = std::str::from_utf8(&self.headers).ok()?.lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "content-type").map(|(_, value)| value)
    }
}

impl Store {
    /// Deliveries to endpoints, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn sent(&self, filter: SentFilter) -> Result<SentPage<SentRow>, StoreError> {
        match self {
            Self::Sqlite(store) => store.sent(filter).await,
            Self::Postgres(store) => store.sent(filter).await,
        }
    }

    /// Keeps one more body of an event that is there. Returns which variant it is; `None` if the event is gone.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn add_body(&self, event: Id, body: Bytes) -> Result<Option<u16>, StoreError> {
        match self {
            Self::Sqlite(store) => store.add_body(event, body).await,
            Self::Postgres(store) => store.add_body(event, body).await,
        }
    }

    /// One delivery to `endpoint` with its attempts; `None` if it has none with this id.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn sent_delivery(&self, endpoint: &str, id: Id) -> Result<Option<SentDetail>, StoreError> {
        let endpoint = endpoint.to_owned();
        match self {
            Self::Sqlite(store) => store.sent_delivery(endpoint, id).await,
            Self::Postgres(store) => store.sent_delivery(endpoint, id).await,
        }
    }

    /// The events of an account, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn sent_events(&self, filter: SentEventFilter) -> Result<SentPage<SentEvent>, StoreError> {
        match self {
            Self::Sqlite(store) => store.sent_events(filter).await,
            Self::Postgres(store) => store.sent_events(filter).await,
        }
    }

    /// The latest event of an account with this id, as its receivers know it; `None` if there is none.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn sent_event(&self, account: &str, event_id: &str) -> Result<Option<SentEvent>, StoreError> {
        let (account, event_id) = (account.to_owned(), event_id.to_owned());
        match self {
            Self::Sqlite(store) => store.sent_event(account, event_id).await,
            Self::Postgres(store) => store.sent_event(account, event_id).await,
        }
    }

    /// Deliveries that an endpoint did not get: delivery, event and variant, in the order of ids. Of several for one event
    /// the last.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn unrecovered(&self, asked: Unrecovered) -> Result<Vec<(Id, Id, u16)>, StoreError> {
        match self {
            Self::Sqlite(store) => store.unrecovered(asked).await,
            Self::Postgres(store) => store.unrecovered(asked).await,
        }
    }
}
