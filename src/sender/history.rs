//! What became of events: the log of deliveries.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Sender;
use super::bodies::standard;
use super::destination::Known;
use super::name;
use super::refusal::Refusal;
use crate::clock::UnixMillis;
use crate::store::{AttemptRow, Id, SentEvent, SentEventFilter, SentFilter, SentPage, SentRow, State, Trigger};

/// Why a delivery is dead that failed, or expired.
pub const FAILED: [&str; 2] = ["exhausted", "gone"];
pub const EXPIRED: [&str; 1] = ["expired"];

/// A delivery of an event to a webhook.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Delivery {
    #[schema(example = "del_0199c82cc0a01b7d3f5e6a7b8c9d0e1f")]
    pub id: String,
    pub webhook_id: String,
    pub event_id: String,
    pub event_type: String,
    pub status: DeliveryStatus,
    /// Why it was skipped or cancelled, or is not tried any more.
    pub reason: Option<String>,
    pub trigger: Trigger,
    pub created_at: String,
    /// When it was taken.
    pub delivered_at: Option<String>,
    /// When it is tried next.
    pub next_attempt_at: Option<String>,
    /// Of the last attempt's answer.
    pub response_status: Option<u16>,
    /// Of the last attempt.
    pub response_time_ms: Option<u64>,
    /// What went wrong with the last attempt.
    pub error: Option<String>,
    /// How many there were, without those that failed for a reason of ours.
    pub attempts: u32,
    /// What the event said; text where it was no JSON.
    #[schema(value_type = Value)]
    pub event_data: Value,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// Not tried yet.
    Pending,
    /// Tried, and to be tried again.
    Retrying,
    /// Taken.
    Success,
    /// Its attempts are used up, or its endpoint is gone.
    Failed,
    /// Its time is over.
    Expired,
    /// Its endpoint was deleted or switched off meanwhile, or its attempts are used up where its provider says cancelled.
    Cancelled,
    /// Its endpoint asked for it, and was switched off or filtered it, its template failed on it, or its provider does not
    /// send what it is.
    Skipped,
}

/// A part of a webhook's deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryList {
    /// Always true.
    pub success: bool,
    pub deliveries: Vec<Delivery>,
    /// Of the whole list.
    pub total: u64,
    pub has_more: bool,
    /// What to give as `cursor` for the next part.
    pub next_cursor: Option<String>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryAnswer {
    /// Whether it was found; for a test, whether it was taken.
    pub success: bool,
    pub delivery: DeliveryDetail,
}

/// See [`DeliveryAnswer`].
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryDetail {
    #[serde(flatten)]
    pub delivery: Delivery,
    /// The body that was sent; lossy where it is not UTF-8.
    pub body: String,
    /// The first one first.
    pub attempts_log: Vec<LoggedAttempt>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedAttempt {
    pub started_at: String,
    pub duration_ms: u64,
    pub response_status: Option<u16>,
    pub error: Option<String>,
    /// False if it failed for a reason of ours, and does not count.
    pub charged: bool,
    /// What was sent and answered: URL, headers, the beginning of the answer's body. Credentials are masked.
    #[schema(value_type = Option<Value>)]
    pub exchange: Option<Box<RawValue>>,
}

/// An event that was told.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was accepted.
    pub accepted_at: String,
    /// What it said; text where it was no JSON.
    #[schema(value_type = Value)]
    pub data: Value,
    pub deliveries: DeliveryCounts,
}

/// How many deliveries an event has.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct DeliveryCounts {
    /// Pending and retrying ones.
    pub waiting: u64,
    pub success: u64,
    /// Failed and expired ones.
    pub failed: u64,
    pub skipped: u64,
    pub cancelled: u64,
}

/// A part of an account's events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventList {
    /// Always true.
    pub success: bool,
    pub events: Vec<EventView>,
    /// Of the whole list.
    pub total: u64,
    pub has_more: bool,
    /// What to give as `cursor` for the next part.
    pub next_cursor: Option<String>,
}

/// One event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventAnswer {
    /// Always true.
    pub success: bool,
    pub event: EventView,
}

/// What may be asked of a list of deliveries.
#[derive(Debug, Default)]
pub struct DeliveryFilter {
    pub status: Option<DeliveryStatus>,
    pub kind: Option<String>,
    pub response_status: Option<u16>,
    pub since: Option<UnixMillis>,
    pub until: Option<UnixMillis>,
    pub after: Option<Id>,
    pub limit: u32,
}

impl Sender {
    /// What was, or is to be, delivered to a webhook, the latest first.
    ///
    /// # Errors
    /// If there is no such webhook, or the store cannot be asked.
    pub async fn deliveries(&self, account: &str, id: &str, filter: DeliveryFilter) -> Result<DeliveryList, Refusal> {
        let known = self.known_now(account, id).await?;
        let page = self.store.sent(filter.into_sent(&known.id)).await?;
        let SentPage { rows, next, total } = page;
        Ok(DeliveryList {
            success: true,
            deliveries: rows.iter().map(Delivery::of).collect(),
            total,
            has_more: next.is_some(),
            next_cursor: next.map(name::of_delivery),
        })
    }

    /// One delivery with its attempts.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn delivery(&self, account: &str, webhook: &str, id: &str) -> Result<DeliveryAnswer, Refusal> {
        let known = self.known_now(account, webhook).await?;
        let delivery = self.detail(&known, id).await?;
        Ok(DeliveryAnswer { success: true, delivery })
    }

    pub(super) async fn detail(&self, known: &Known, id: &str) -> Result<DeliveryDetail, Refusal> {
        let missing = || Refusal::not_found("delivery", id);
        let key = name::delivery_id(id).ok_or_else(missing)?;
        let detail = self.store.sent_delivery(&known.id, key).await?.ok_or_else(missing)?;
        Ok(DeliveryDetail {
            delivery: Delivery::of(&detail.row),
            body: String::from_utf8_lossy(&detail.row.body).into_owned(),
            attempts_log: detail
                .attempts
                .into_iter()
                .map(|(row, exchange)| LoggedAttempt::of(&row, exchange))
                .collect(),
        })
    }

    /// The events of an account, the latest first.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub async fn events(&self, filter: SentEventFilter) -> Result<EventList, Refusal> {
        let SentPage { rows, next, total } = self.store.sent_events(filter).await?;
        Ok(EventList {
            success: true,
            events: rows.iter().map(EventView::of).collect(),
            total,
            has_more: next.is_some(),
            next_cursor: next.map(|id| id.to_string()),
        })
    }

    /// One event.
    ///
    /// # Errors
    /// If there is none, or the store cannot be asked.
    pub async fn event(&self, account: &str, id: &str) -> Result<EventAnswer, Refusal> {
        let event = self.find_event(account, id).await?;
        Ok(EventAnswer { success: true, event: EventView::of(&event) })
    }

    pub(super) async fn find_event(&self, account: &str, id: &str) -> Result<SentEvent, Refusal> {
        self.store.sent_event(account, id).await?.ok_or_else(|| Refusal::not_found("event", id))
    }
}

impl Delivery {
    fn of(row: &SentRow) -> Self {
        let status = DeliveryStatus::of(row);
        let last = row.last.as_ref();
        let waits = matches!(status, DeliveryStatus::Pending | DeliveryStatus::Retrying);
        Self {
            id: name::of_delivery(row.id),
            webhook_id: row.endpoint.clone(),
            event_id: row.event_id.clone(),
            event_type: row.kind.clone(),
            status,
            reason: row.reason.clone(),
            trigger: row.trigger,
            created_at: row.created_at.to_string(),
            delivered_at: (status == DeliveryStatus::Success).then(|| row.at.to_string()),
            next_attempt_at: (waits && row.state == State::Waiting).then(|| row.at.to_string()),
            response_status: last.and_then(|last| last.status),
            response_time_ms: last.map(|last| last.duration_ms),
            error: last.and_then(|last| last.error.clone()),
            attempts: row.attempts,
            event_data: shown(&row.kind, &row.event_body),
        }
    }
}

impl DeliveryStatus {
    fn of(row: &SentRow) -> Self {
        match row.state {
            State::Waiting | State::Leased if row.attempts == 0 => Self::Pending,
            State::Waiting | State::Leased => Self::Retrying,
            State::Delivered => Self::Success,
            State::Dead if row.reason.as_deref() == Some("expired") => Self::Expired,
            State::Dead => Self::Failed,
            State::Skipped => Self::Skipped,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl DeliveryFilter {
    fn into_sent(self, endpoint: &Arc<str>) -> SentFilter {
        let (states, attempted, reasons) = match self.status {
            None => (vec![], None, vec![]),
            Some(DeliveryStatus::Pending) => (vec![State::Waiting, State::Leased], Some(false), vec![]),
            Some(DeliveryStatus::Retrying) => (vec![State::Waiting, State::Leased], Some(true), vec![]),
            Some(DeliveryStatus::Success) => (vec![State::Delivered], None, vec![]),
            Some(DeliveryStatus::Failed) => (vec![State::Dead], None, FAILED.to_vec()),
            Some(DeliveryStatus::Expired) => (vec![State::Dead], None, EXPIRED.to_vec()),
            Some(DeliveryStatus::Cancelled) => (vec![State::Cancelled], None, vec![]),
            Some(DeliveryStatus::Skipped) => (vec![State::Skipped], None, vec![]),
        };
        SentFilter {
            endpoints: vec![Arc::clone(endpoint)],
            states,
            attempted,
            reasons,
            kind: self.kind,
            status: self.response_status,
            event: None,
            since: self.since,
            until: self.until,
            after: self.after,
            limit: self.limit,
        }
    }
}

impl LoggedAttempt {
    fn of(row: &AttemptRow, exchange: Option<bytes::Bytes>) -> Self {
        let exchange = exchange.and_then(|text| String::from_utf8(text.to_vec()).ok());
        Self {
            started_at: row.started_at.to_string(),
            duration_ms: row.duration_ms,
            response_status: row.status,
            error: row.error.clone(),
            charged: row.charged,
            exchange: exchange.and_then(|text| RawValue::from_string(text).ok()),
        }
    }
}

impl EventView {
    fn of(event: &SentEvent) -> Self {
        let mut counts = DeliveryCounts::default();
        for (state, count) in &event.deliveries {
            match state {
                State::Waiting | State::Leased => counts.waiting += count,
                State::Delivered => counts.success += count,
                State::Dead => counts.failed += count,
                State::Skipped => counts.skipped += count,
                State::Cancelled => counts.cancelled += count,
            }
        }
        Self {
            id: event.event_id.clone(),
            kind: event.kind.clone(),
            accepted_at: event.accepted_at.to_string(),
            data: shown(&event.kind, &event.body),
            deliveries: counts,
        }
    }
}

/// What an event said: the data in its envelope, else its whole body.
fn shown(kind: &str, body: &[u8]) -> Value {
    match standard(kind, body).and_then(|told| serde_json::from_str(told.data).ok()) {
        Some(data) => data,
        None => serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into())),
    }
}
