//! What became of events: the log of deliveries, and the ways to make them again.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Sender;
use super::answer::{Answer, RequestKey};
use super::destination::Known;
use super::endpoint::Ordering;
use super::fanout::{another_body, standard};
use super::name;
use super::refusal::{Code, Refusal};
use crate::clock::UnixMillis;
use crate::store::{
    AttemptRow, Begin, Id, MAX_PAGE, Owed, Owing, SentEvent, SentEventFilter, SentFilter, SentPage, SentRow, State,
    Trigger, Unrecovered,
};

/// So many deliveries are recovered in one step.
const RECOVER_STEP: u32 = 500;

/// Why a delivery is dead that failed, or expired.
const FAILED: [&str; 2] = ["exhausted", "gone"];
const EXPIRED: [&str; 1] = ["expired"];

/// No more deliveries are recovered at once.
const RECOVER_MOST: usize = 10_000;

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
    /// Its endpoint was deleted or switched off meanwhile.
    Cancelled,
    /// Its endpoint asked for it, and was switched off or filtered it.
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

/// To whom an event is told again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayInput {
    /// These webhooks; absent: all that had it.
    #[serde(default)]
    pub webhook_ids: Option<Vec<String>>,
}

/// What was made anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replayed {
    /// Always true.
    pub success: bool,
    pub event_id: String,
    pub delivery_ids: Vec<String>,
}

/// Which deliveries are made again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverInput {
    /// Those of events from then on (RFC 3339).
    #[schema(example = "2026-11-22T00:00:00Z", format = DateTime)]
    pub since: String,
    /// Those of events before then. Default: now.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Of these: `failed`, `expired`, `cancelled`, `skipped`. Default: failed and expired.
    #[serde(default)]
    pub states: Option<Vec<DeliveryStatus>>,
}

/// How much is made again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Recovered {
    /// Always true.
    pub success: bool,
    /// How many deliveries are made again.
    pub matched: u64,
    /// True if there are more: ask again.
    pub has_more: bool,
}

/// What to try out a webhook with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestInput {
    /// `webhook.test` if absent. For a type that is known with an example, that is its data.
    #[serde(default)]
    pub event_type: Option<String>,
    /// The event's data.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    pub custom_data: Option<Value>,
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

    /// Makes a delivery again: one that waits is due at once, any other gets a second one beside it.
    ///
    /// # Errors
    /// If there is none, it is under way, its webhook is switched off, or the store cannot be asked.
    pub async fn resend(
        &self,
        account: &str,
        webhook: &str,
        id: &str,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let known = self.active(account, webhook).await?;
        let missing = || Refusal::not_found("delivery", id);
        let old = name::delivery_id(id).ok_or_else(missing)?;
        if let Some(kept) = self.kept_answer(key).await? {
            return Ok(kept);
        }
        let row = self.store.sent_delivery(&known.id, old).await?.ok_or_else(missing)?.row;
        let now = self.clock.millis();
        let (made, owed) = match row.state {
            State::Waiting => (old, None),
            State::Leased => return Err(Refusal::new(Code::Conflict, format!("delivery \"{id}\" is being attempted"))),
            State::Delivered | State::Dead | State::Skipped | State::Cancelled => {
                let owed = again(&known, row.variant, Trigger::Resend, now);
                (owed.id, Some(owed))
            }
        };
        let replayed =
            Replayed { success: true, event_id: row.event_id.clone(), delivery_ids: vec![name::of_delivery(made)] };
        let answer = Answer::new(StatusCode::ACCEPTED, &replayed);
        match owed {
            Some(owed) => self.owe(vec![(row.event, owed)], &answer, key).await,
            None => {
                if !self.store.due_now(old, &known.id, now).await? {
                    return Err(Refusal::new(
                        Code::Conflict,
                        format!("delivery \"{id}\" has just changed: look again"),
                    ));
                }
                self.deliveries.wake([&known.id]);
                Ok(answer)
            }
        }
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

    /// Tells an event again, to all that had it or to those that are named: same id, same bytes.
    ///
    /// # Errors
    /// If there is no such event or webhook, or the store cannot be asked.
    pub async fn replay(
        &self,
        account: &str,
        id: &str,
        input: ReplayInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let event = self.find_event(account, id).await?;
        self.directory.refresh().await?;
        let endpoints = self.directory.read().account(account).endpoints.keys().cloned().collect();
        let of_event = SentFilter { endpoints, event: Some(event.id), limit: MAX_PAGE, ..SentFilter::default() };
        let had = self.store.sent(of_event).await?.rows;
        let names: Vec<String> = match input.webhook_ids {
            Some(ids) => ids,
            None => {
                let copy = self.directory.read();
                let active =
                    |row: &&SentRow| copy.endpoint(&row.endpoint).is_some_and(|known| known.endpoint.is_active());
                had.iter().filter(active).map(|row| row.endpoint.clone()).collect()
            }
        };
        let now = self.clock.millis();
        let mut owed: Vec<(Id, Owed)> = Vec::new();
        for name in names {
            let known = self.known(account, &name)?;
            if !known.endpoint.is_active() {
                return Err(switched_off(&name));
            }
            if owed.iter().any(|(_, owed)| owed.destination == known.id) {
                continue;
            }
            let variant = match had.iter().find(|row| row.endpoint == *known.id) {
                Some(row) => row.variant,
                None => self.variant_for(&event, account, &known, &had).await?,
            };
            owed.push((event.id, again(&known, variant, Trigger::Replay, now)));
        }
        let delivery_ids = owed.iter().map(|(_, owed)| name::of_delivery(owed.id)).collect();
        let replayed = Replayed { success: true, event_id: event.event_id.clone(), delivery_ids };
        self.owe(owed, &Answer::new(StatusCode::ACCEPTED, &replayed), key).await
    }

    /// The body that a webhook gets which had the event never before: one that is kept for another, or one more.
    async fn variant_for(
        &self,
        event: &SentEvent,
        account: &str,
        known: &Known,
        had: &[SentRow],
    ) -> Result<u16, Refusal> {
        let Some(body) = another_body(event, account, known) else { return Ok(0) };
        if let Some(row) = had.iter().find(|row| row.body == body) {
            return Ok(row.variant);
        }
        self.store.add_body(event.id, body).await?.ok_or_else(|| Refusal::not_found("event", &event.event_id))
    }

    /// Makes the deliveries of a webhook again that failed, and were not made again since.
    ///
    /// # Errors
    /// If there is no such webhook, it is switched off, a time is none, or the store cannot be asked.
    pub async fn recover(&self, account: &str, id: &str, input: RecoverInput) -> Result<Recovered, Refusal> {
        let time = |pointer: &str, text: &str| {
            text.parse::<UnixMillis>().map_err(|wrong| Refusal::field(pointer.to_owned(), wrong))
        };
        let since = time("/since", &input.since)?;
        let now = self.clock.millis();
        let until = input
            .until
            .as_deref()
            .map_or(Ok(now.after(std::time::Duration::from_millis(1))), |text| time("/until", text))?;
        let (states, reasons) = match &input.states {
            None => (vec![State::Dead], Vec::new()),
            Some(words) => recoverable(words)?,
        };
        let known = self.active(account, id).await?;
        let endpoint = known.id.to_string();
        let mut asked = Unrecovered { endpoint, states, reasons, since, until, after: None, limit: RECOVER_STEP };
        let mut matched = 0;
        loop {
            let found = self.store.unrecovered(asked.clone()).await?;
            asked.after = found.last().map(|(delivery, ..)| *delivery);
            let more = found.len() == RECOVER_STEP as usize;
            let mut seen = std::collections::HashSet::new();
            let owed: Vec<(Id, Owed)> = found
                .into_iter()
                .filter(|(_, event, _)| seen.insert(*event))
                .map(|(_, event, variant)| (event, again(&known, variant, Trigger::Recover, now)))
                .collect();
            matched += owed.len();
            if !owed.is_empty() {
                self.store.owe(owed, now, None).await?;
                self.deliveries.wake([&known.id]);
            }
            if !more || matched >= RECOVER_MOST {
                return Ok(Recovered { success: true, matched: matched as u64, has_more: more });
            }
        }
    }

    /// A webhook that gets events.
    pub(super) async fn active(&self, account: &str, id: &str) -> Result<Arc<Known>, Refusal> {
        let known = self.known_now(account, id).await?;
        if known.endpoint.is_active() { Ok(known) } else { Err(switched_off(id)) }
    }

    async fn find_event(&self, account: &str, id: &str) -> Result<SentEvent, Refusal> {
        self.store.sent_event(account, id).await?.ok_or_else(|| Refusal::not_found("event", id))
    }

    async fn owe(&self, owed: Vec<(Id, Owed)>, answer: &Answer, key: Option<RequestKey>) -> Result<Answer, Refusal> {
        let now = self.clock.millis();
        let woken: Vec<Arc<str>> = owed.iter().map(|(_, owed)| Arc::clone(&owed.destination)).collect();
        let kept = key.map(|key| answer.keep(key, &self.vault, now));
        match self.store.owe(owed, now, kept).await? {
            Owing::Done(made) if made.iter().all(|made| *made) => {
                self.deliveries.wake(&woken);
                Ok(answer.clone())
            }
            Owing::Done(_) => Err(Refusal::new(Code::NotFound, "the event is not kept any more")),
            Owing::Replayed(kept) => {
                let key = key.ok_or_else(|| Refusal::new(Code::Failed, "an answer was kept that nobody asked for"))?;
                Answer::again(&kept, key, &self.vault)
            }
        }
    }

    /// What came of a request; where it was refused, what was answered to the same request before: once it was done, it
    /// may be in its own way.
    ///
    /// # Errors
    /// If it was refused, and was not answered before.
    pub async fn or_before(
        &self,
        outcome: Result<Answer, Refusal>,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        match outcome {
            Ok(answer) => Ok(answer),
            Err(refusal) => self.kept_answer(key).await?.ok_or(refusal),
        }
    }

    /// What was answered before to the request of this key.
    ///
    /// # Errors
    /// If the key was used for another request, or the store cannot be asked.
    pub(super) async fn kept_answer(&self, key: Option<RequestKey>) -> Result<Option<Answer>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        let kept = self.store.answered(key.key, self.clock.millis()).await?;
        kept.map(|kept| Answer::again(&kept, key, &self.vault)).transpose()
    }
}

fn switched_off(id: &str) -> Refusal {
    Refusal::new(Code::Conflict, format!("webhook \"{id}\" is switched off: POST …/enable switches it on"))
}

fn again(known: &Known, variant: u16, trigger: Trigger, now: UnixMillis) -> Owed {
    let ordered = known.endpoint.settings.ordering == Ordering::Fifo;
    Owed { id: Id::new(now), destination: Arc::clone(&known.id), variant, ordered, trigger, begin: Begin::Due }
}

/// States, and of dead deliveries the reasons.
fn recoverable(words: &[DeliveryStatus]) -> Result<(Vec<State>, Vec<&'static str>), Refusal> {
    let (mut states, mut reasons) = (Vec::new(), Vec::new());
    for (at, word) in words.iter().enumerate() {
        let (state, why) = match word {
            DeliveryStatus::Failed => (State::Dead, &FAILED[..]),
            DeliveryStatus::Expired => (State::Dead, &EXPIRED[..]),
            DeliveryStatus::Cancelled => (State::Cancelled, &[][..]),
            DeliveryStatus::Skipped => (State::Skipped, &[][..]),
            DeliveryStatus::Pending | DeliveryStatus::Retrying | DeliveryStatus::Success => {
                let text = "only failed, expired, cancelled and skipped ones are recovered";
                return Err(Refusal::field(format!("/states/{at}"), text));
            }
        };
        states.push(state);
        reasons.extend_from_slice(why);
    }
    Ok((states, reasons))
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
