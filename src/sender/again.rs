//! Deliveries that are made again: one, an event's, or all that failed. Ids and bytes stay.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Sender;
use super::answer::{Answer, RequestKey};
use super::bodies::{another_body, standard};
use super::destination::Known;
use super::endpoint::{Ordering, Status};
use super::history::{DeliveryStatus, EXPIRED, FAILED};
use super::name;
use super::refusal::{Code, Refusal};
use crate::clock::UnixMillis;
use crate::store::{Begin, Id, MAX_PAGE, Owed, Owing, SentEvent, SentFilter, SentRow, State, Trigger, Unrecovered};

/// So many deliveries are recovered in one step.
const RECOVER_STEP: u32 = 500;

/// No more deliveries are recovered at once.
const RECOVER_MOST: usize = 10_000;

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
    /// How many stay as they are, because the webhook's template fails on them.
    pub template_failed: u64,
    /// True if there are more: ask again.
    pub has_more: bool,
}

impl Sender {
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
                let variant = self.variant_again(account, &known, &row).await?;
                let owed = again(&known, variant, Trigger::Resend, now);
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
                return Err(switched_off(&known));
            }
            if owed.iter().any(|(_, owed)| owed.destination == known.id) {
                continue;
            }
            let variant = match had.iter().find(|row| row.endpoint == *known.id) {
                Some(row) => self.variant_again(account, &known, row).await?,
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
        if let Some(content_type) = event.content_type()
            && standard(&event.kind, &event.body).is_none()
            && !known.takes_raw(content_type)
        {
            return Err(known.denied(content_type));
        }
        let body = another_body(event, account, known).map_err(|why| known.failed(&why))?;
        let Some(body) = body else { return Ok(0) };
        if let Some(row) = had.iter().find(|row| row.body == body) {
            return Ok(row.variant);
        }
        self.store.add_body(event.id, body).await?.ok_or_else(|| Refusal::not_found("event", &event.event_id))
    }

    /// The body of a delivery that is made again: the one that it has. One that was skipped may have none yet, since its
    /// webhook's template failed then, or its provider does not send what the event is.
    async fn variant_again(&self, account: &str, known: &Known, row: &SentRow) -> Result<u16, Refusal> {
        if row.state != State::Skipped || row.variant != 0 || known.has_standard_body() {
            return Ok(row.variant);
        }
        let event = self.find_event(account, &row.event_id).await?;
        self.variant_for(&event, account, known, &[]).await
    }

    /// The same of one that is to be recovered.
    async fn variant_recovered(
        &self,
        account: &str,
        known: &Known,
        delivery: Id,
        variant: u16,
    ) -> Result<u16, Refusal> {
        if variant != 0 || known.has_standard_body() {
            return Ok(variant);
        }
        match self.store.sent_delivery(&known.id, delivery).await? {
            Some(detail) => self.variant_again(account, known, &detail.row).await,
            None => Ok(variant),
        }
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
        let (mut matched, mut template_failed) = (0, 0);
        loop {
            let found = self.store.unrecovered(asked.clone()).await?;
            asked.after = found.last().map(|(delivery, ..)| *delivery);
            let more = found.len() == RECOVER_STEP as usize;
            let mut seen = std::collections::HashSet::new();
            let mut owed: Vec<(Id, Owed)> = Vec::with_capacity(found.len());
            for (delivery, event, variant) in found {
                if !seen.insert(event) {
                    continue;
                }
                match self.variant_recovered(account, &known, delivery, variant).await {
                    Ok(variant) => owed.push((event, again(&known, variant, Trigger::Recover, now))),
                    Err(refusal) if refusal.code == Code::TemplateFailed => template_failed += 1,
                    Err(refusal) if refusal.code == Code::ContentTypeDenied => {}
                    Err(refusal) => return Err(refusal),
                }
            }
            matched += owed.len();
            if !owed.is_empty() {
                self.store.owe(owed, now, None).await?;
                self.deliveries.wake([&known.id]);
            }
            if !more || matched >= RECOVER_MOST {
                return Ok(Recovered { success: true, matched: matched as u64, template_failed, has_more: more });
            }
        }
    }

    /// A webhook that gets events.
    pub(super) async fn active(&self, account: &str, id: &str) -> Result<Arc<Known>, Refusal> {
        let known = self.known_now(account, id).await?;
        if known.endpoint.is_active() { Ok(known) } else { Err(switched_off(&known)) }
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
}

fn switched_off(known: &Known) -> Refusal {
    let (how, way_out) = match known.endpoint.status() {
        Status::DisabledPermanent => ("off for good", "register another one"),
        _ => ("off", "POST …/enable switches it on"),
    };
    Refusal::new(Code::Conflict, format!("webhook \"{}\" is switched {how}: {way_out}", known.id))
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
