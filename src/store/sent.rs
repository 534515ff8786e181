//! What customers ask of the store: the events of an account, and what was delivered to an endpoint.

use std::sync::Arc;

use bytes::Bytes;

use super::{AttemptRow, Id, State, Trigger};
use crate::clock::UnixMillis;

/// Which deliveries of an endpoint to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentFilter {
    /// One endpoint, or all that are listed here; never empty.
    pub endpoints: Vec<Arc<str>>,
    /// Any of these; all if there is none.
    pub states: Vec<State>,
    /// With attempts that counted, or without; either if `None`.
    pub attempted: Option<bool>,
    /// `exhausted`, `expired` and their like.
    pub reason: Option<String>,
    /// The type of their event.
    pub kind: Option<String>,
    /// Of the last attempt's answer.
    pub status: Option<u16>,
    pub event: Option<Id>,
    /// Owed at or after.
    pub since: Option<UnixMillis>,
    /// Owed before.
    pub until: Option<UnixMillis>,
    /// The last of the page before this one.
    pub after: Option<Id>,
    /// 1 to [`super::MAX_PAGE`].
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
