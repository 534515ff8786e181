//! What operators ask of a store, and what they get.

use serde::Serialize;

use super::{Attempt, Id, Message};
use crate::clock::UnixMillis;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub source: Option<String>,
    /// The provider's id, exactly.
    pub event_id: Option<String>,
    /// Accepted at or after.
    pub since: Option<UnixMillis>,
    /// Accepted before.
    pub until: Option<UnixMillis>,
    /// The last of the page before this one.
    pub after: Option<Id>,
    /// 1 to [`MAX_PAGE`].
    pub limit: u32,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub state: Option<State>,
    pub source: Option<String>,
    pub destination: Option<String>,
    pub event: Option<Id>,
    /// Owed at or after.
    pub since: Option<UnixMillis>,
    /// Owed before.
    pub until: Option<UnixMillis>,
    /// The last of the page before this one.
    pub after: Option<Id>,
    /// 1 to [`MAX_PAGE`].
    pub limit: u32,
}

/// No page is longer.
pub const MAX_PAGE: u32 = 1000;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Waiting,
    Leased,
    Delivered,
    /// A dead letter.
    Dead,
    /// Never to be made, and it was known at once.
    Skipped,
    /// No longer to be made.
    Cancelled,
}

impl State {
    /// The words of the API and of the command line.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("waiting", Self::Waiting),
        ("leased", Self::Leased),
        ("delivered", Self::Delivered),
        ("dead", Self::Dead),
        ("skipped", Self::Skipped),
        ("cancelled", Self::Cancelled),
    ];

    /// As it stands in a table.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// As it stands in a table. What no version ever wrote is read as waiting.
    pub fn from_code(code: i16) -> Self {
        Self::WORDS.iter().map(|(_, state)| *state).find(|state| state.code() == code).unwrap_or(Self::Waiting)
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// What to give as `after` for the next page; `None` if this is the last.
    pub next: Option<Id>,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows, of which one more was asked for.
    pub fn of(mut rows: Vec<T>, limit: u32, id: impl Fn(&T) -> Id) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(id);
        Self { data: rows, next }
    }
}

/// An event, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRow {
    pub id: Id,
    pub source: String,
    pub event_id: Option<String>,
    pub accepted_at: UnixMillis,
    pub method: String,
    pub body_bytes: u64,
}

/// An event with all there is of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDetail {
    pub row: EventRow,
    pub message: Message,
    pub deliveries: Vec<DeliveryRow>,
}

/// A delivery, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    pub id: Id,
    pub event: Id,
    pub source: String,
    pub event_id: Option<String>,
    pub destination: String,
    pub state: State,
    /// Why it is dead, skipped or cancelled: `cancelled` and `exhausted` is one that counts so once its attempts are used up.
    pub reason: Option<String>,
    pub created_at: UnixMillis,
    /// When it is due; when its lease ends; when it was settled.
    pub at: UnixMillis,
    /// Those that counted.
    pub attempts: u32,
    /// Of the last attempt's answer, where there was one.
    pub last_status: Option<u16>,
    /// What went wrong with the last attempt.
    pub last_error: Option<String>,
}

/// A delivery with its attempts, the first one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    pub row: DeliveryRow,
    /// The log of its attempts.
    #[serde(rename = "log")]
    pub attempts: Vec<AttemptRow>,
}

/// An attempt, in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttemptRow {
    pub started_at: UnixMillis,
    pub duration_ms: u64,
    pub status: Option<u16>,
    pub error: Option<String>,
    /// False if it failed for a reason of ours, and does not count.
    pub charged: bool,
}

/// How much there is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub engine: &'static str,
    pub events: u64,
    pub waiting: u64,
    pub leased: u64,
    pub delivered: u64,
    pub dead: u64,
    pub skipped: u64,
    pub cancelled: u64,
    /// What events are remembered by.
    pub dedup_keys: u64,
    /// Of the tables and their indexes on disk.
    pub bytes: u64,
    /// Since when the longest waiting delivery is due.
    pub oldest_due: Option<UnixMillis>,
    pub destinations: Vec<DestinationStats>,
}

/// How much waits for one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationStats {
    pub destination: String,
    pub waiting: u64,
    pub dead: u64,
}

impl From<&Attempt> for AttemptRow {
    fn from(attempt: &Attempt) -> Self {
        Self {
            started_at: attempt.started_at,
            duration_ms: attempt.duration.as_millis().try_into().unwrap_or(u64::MAX),
            status: attempt.status,
            error: attempt.error.clone(),
            charged: attempt.charged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_codes() {
        let codes: Vec<i16> = State::WORDS.iter().map(|(_, state)| state.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5], "they stand in tables");
        assert!(State::WORDS.iter().all(|(_, state)| State::from_code(state.code()) == *state));
    }

    #[test]
    fn a_page_names_the_next_one_only_if_there_is_one() {
        let id = |n: &u8| Id([*n; 16]);
        assert_eq!(Page::of(vec![1, 2, 3], 2, id), Page { data: vec![1, 2], next: Some(Id([2; 16])) });
        assert_eq!(Page::of(vec![1, 2], 2, id), Page { data: vec![1, 2], next: None });
    }
}
