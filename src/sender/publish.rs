//! Events are told: kept with all that is owed of them in one step, and only then acknowledged.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tracing::warn;
use utoipa::ToSchema;

use super::answer::{Answer, RequestKey};
use super::event::{Content, Event, EventInput, MAX_BATCH, PublishedEvent};
use super::fanout::{Fanout, fan_out};
use super::refusal::{Code, Problem, Refusal};
use super::{SOURCE, Sender};
use crate::clock::UnixMillis;
use crate::dedup::{ClaimKeys, KeyMaker};
use crate::store::{Accepted, Batch, BatchOutcome, Emitted, Id, NewEvent, Remember};
use crate::telemetry::outcome::PublishOutcome;

/// So often is decided anew who gets an event, each time the directory has changed meanwhile.
const TRIES: usize = 16;

/// The answer to one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct Published {
    /// Always true.
    pub success: bool,
    pub event: PublishedEvent,
}

/// The answer to a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct PublishedBatch {
    /// True if every event was kept, or had been.
    pub success: bool,
    /// One for each event, in the same order.
    pub events: Vec<BatchItem>,
}

/// What became of one event of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BatchItem {
    Kept { success: bool, event: PublishedEvent },
    Refused(Problem),
}

/// One event on its way into the store.
struct Draft {
    event: Event,
    now: UnixMillis,
}

impl Sender {
    /// Tells one event.
    ///
    /// # Errors
    /// Then nothing was kept, as far as is known; the same event can be sent again with its id.
    pub async fn publish(
        &self,
        account: &Arc<str>,
        input: EventInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        let draft = self.draft(input, key, 0)?;
        let answer = |events: Vec<Result<PublishedEvent, Refusal>>| {
            let event = events.into_iter().next().expect("there is one")?;
            let status = if event.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok(Answer::new(status, &Published { success: true, event }))
        };
        self.keep(account, vec![draft], key, |_| String::new(), answer).await
    }

    /// Tells several events, all of them or none.
    ///
    /// # Errors
    /// As for one. An event whose id is taken by another is refused alone.
    pub async fn publish_batch(
        &self,
        account: &Arc<str>,
        inputs: Vec<EventInput>,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        if inputs.is_empty() || inputs.len() > MAX_BATCH {
            return Err(Refusal::field("/events", format!("it has 1 to {MAX_BATCH} events")));
        }
        let drafts = inputs
            .into_iter()
            .enumerate()
            .map(|(at, input)| self.draft(input, key, at).map_err(|refusal| refusal.within(&in_batch(at))));
        let drafts = drafts.collect::<Result<Vec<_>, _>>()?;
        let answer = |events: Vec<Result<PublishedEvent, Refusal>>| {
            let success = events.iter().all(Result::is_ok);
            let item = |event| match event {
                Ok(event) => BatchItem::Kept { success: true, event },
                Err(refusal) => BatchItem::Refused(Refusal::problem(&refusal)),
            };
            let events = events.into_iter().map(item).collect();
            Ok(Answer::new(StatusCode::ACCEPTED, &PublishedBatch { success, events }))
        };
        self.keep(account, drafts, key, in_batch, answer).await
    }

    fn draft(&self, input: EventInput, key: Option<RequestKey>, at: usize) -> Result<Draft, Refusal> {
        let now = self.clock.millis();
        let mut event = input.into_event(now)?;
        if let (Some(key), false) = (key, event.has_own_id) {
            // The same request makes the same ids, so that no part of it is done twice, whatever is kept of its answer.
            event.id = key.event_id(at);
            event.has_own_id = true;
        }
        let size = event.content_bytes().len();
        if size > self.settings.max_body {
            let detail =
                format!("the event has {size} bytes, {} are allowed ([sender] max_body)", self.settings.max_body);
            return Err(Refusal::new(Code::PayloadTooLarge, detail));
        }
        Ok(Draft { event, now })
    }

    async fn keep(
        &self,
        account: &Arc<str>,
        drafts: Vec<Draft>,
        key: Option<RequestKey>,
        place: fn(usize) -> String,
        answer: impl Fn(Vec<Result<PublishedEvent, Refusal>>) -> Result<Answer, Refusal>,
    ) -> Result<Answer, Refusal> {
        for _ in 0..TRIES {
            let (version, fanouts) = self.fan_out_all(account, &drafts, place)?;
            let shown: Vec<PublishedEvent> =
                drafts.iter().zip(&fanouts).map(|(draft, fanout)| published(&draft.event, fanout)).collect();
            // As it is if all of them are new. Where one is not, the store keeps no answer: it comes out the same again.
            let idempotent = match key {
                Some(key) => {
                    let hoped = answer(shown.iter().cloned().map(Ok).collect())?;
                    Some(hoped.keep(key, &self.vault, self.clock.millis()))
                }
                None => None,
            };
            let mut woken: Vec<Arc<str>> = fanouts.iter().flat_map(Fanout::told).cloned().collect();
            woken.sort_unstable();
            woken.dedup();
            let failed: Vec<(Arc<str>, String)> = fanouts.iter().flat_map(|fanout| fanout.failed.clone()).collect();
            let events = drafts.iter().zip(fanouts).map(|(draft, fanout)| self.new_event(account, draft, fanout));
            let batch = Batch { events: events.collect(), directory: Some(version), idempotent };
            match self.store.keep(batch).await? {
                BatchOutcome::Kept(accepted) => {
                    self.deliveries.wake(&woken);
                    self.warn_of(&failed);
                    for (event, outcome) in shown.iter().zip(&accepted) {
                        self.metrics.published(outcome_of(*outcome));
                        if *outcome == Accepted::New {
                            self.metrics.grouped(event.grouped.len() as u64);
                        }
                    }
                    return answer(
                        shown.into_iter().zip(accepted).map(|(event, accepted)| told(event, accepted)).collect(),
                    );
                }
                BatchOutcome::Outdated => self.directory.refresh().await?,
                BatchOutcome::Replayed(kept) => {
                    let key =
                        key.ok_or_else(|| Refusal::new(Code::Failed, "an answer was kept that nobody asked for"))?;
                    return Answer::again(&kept, key, &self.vault);
                }
            }
        }
        Err(Refusal::new(Code::StoreUnavailable, "endpoints change too quickly: try again"))
    }

    /// Says whose templates fail.
    fn warn_of(&self, failed: &[(Arc<str>, String)]) {
        for (webhook, why) in failed {
            if let Some(suppressed) = self.sampler.pass(self.clock.monotonic()) {
                let more = if suppressed > 0 { format!(", and {suppressed} more like it") } else { String::new() };
                warn!(endpoint.id = %webhook, error = %why, "A template fails: the delivery is skipped{more}");
            }
        }
    }

    /// Who gets each of them, and by which version of the directory that was decided. `place` says where each stands in
    /// the body.
    fn fan_out_all(
        &self,
        account: &Arc<str>,
        drafts: &[Draft],
        place: fn(usize) -> String,
    ) -> Result<(i64, Vec<Fanout>), Refusal> {
        let copy = self.directory.read();
        let known = copy.account(account);
        let strict = known.settings.strict_event_types.unwrap_or(self.settings.strict_event_types);
        let mut fanouts = Vec::with_capacity(drafts.len());
        for (at, draft) in drafts.iter().enumerate() {
            let kind = &draft.event.kind;
            let told = if strict && !self.knows(known, kind) {
                let near = crate::document::nearest(kind, self.type_names(known));
                let hint = near.map_or_else(String::new, |near| format!(", did you mean \"{near}\"?"));
                Err(Refusal::field("/type", format!("there is no event type \"{kind}\"{hint}")))
            } else {
                fan_out(&draft.event, account, known, self.declared_grouping(known, kind), draft.now)
            };
            fanouts.push(told.map_err(|refusal| refusal.within(&place(at)))?);
        }
        Ok((copy.version, fanouts))
    }

    fn new_event(&self, account: &Arc<str>, draft: &Draft, fanout: Fanout) -> NewEvent {
        let event = &draft.event;
        NewEvent {
            id: Id::new(draft.now),
            source: SOURCE.into(),
            emitted: Some(Emitted { account: Arc::clone(account), kind: event.kind.clone() }),
            event_id: Some(event.id.clone()),
            accepted_at: draft.now,
            message: fanout.message,
            remember: event.has_own_id.then(|| self.remember(account, event)),
            variants: fanout.variants,
            counted: fanout.counted,
            owed: fanout.owed,
        }
    }

    /// An id that its maker chose comes again with what it came with.
    fn remember(&self, account: &str, event: &Event) -> Remember {
        let key = KeyMaker::shared().key(&[b"emitted", account.as_bytes(), event.id.as_bytes()]);
        Remember { keys: ClaimKeys { key, guard: None, fingerprint: fingerprint(event) }, ttl: self.settings.retention }
    }
}

/// Where an event stands in a batch.
fn in_batch(at: usize) -> String {
    format!("/events/{at}")
}

fn outcome_of(accepted: Accepted) -> PublishOutcome {
    match accepted {
        Accepted::New => PublishOutcome::Kept,
        Accepted::Duplicate { conflict: false } => PublishOutcome::Duplicate,
        Accepted::Duplicate { conflict: true } => PublishOutcome::Conflict,
    }
}

fn fingerprint(event: &Event) -> u64 {
    let mut digest = Sha256::new();
    digest.update((event.kind.len() as u64).to_be_bytes());
    digest.update(&event.kind);
    if let Content::Raw { content_type, .. } = &event.content {
        digest.update((content_type.len() as u64).to_be_bytes());
        digest.update(content_type);
    }
    digest.update(event.content_bytes());
    let digest = digest.finalize();
    u64::from_be_bytes(digest[..8].try_into().expect("SHA-256 gives 32 bytes"))
}

fn published(event: &Event, fanout: &Fanout) -> PublishedEvent {
    PublishedEvent {
        id: event.id.clone(),
        kind: event.kind.clone(),
        timestamp: event.at.to_string(),
        duplicate: false,
        webhook_ids: fanout.chosen.iter().map(ToString::to_string).collect(),
        grouped: fanout.grouped.iter().map(ToString::to_string).collect(),
        suppressed: fanout.suppressed.clone(),
    }
}

/// What is told of an event that was to be kept.
fn told(event: PublishedEvent, accepted: Accepted) -> Result<PublishedEvent, Refusal> {
    match accepted {
        Accepted::New => Ok(event),
        // Who got it was decided then, and stands in the log.
        Accepted::Duplicate { conflict: false } => Ok(PublishedEvent {
            duplicate: true,
            webhook_ids: Vec::new(),
            grouped: Vec::new(),
            suppressed: Vec::new(),
            ..event
        }),
        Accepted::Duplicate { conflict: true } => {
            let detail =
                format!("another event has the id \"{}\": an id belongs to one type and one content", event.id);
            Err(Refusal::new(Code::DuplicateConflict, detail))
        }
    }
}
