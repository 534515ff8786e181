//! Trying out a webhook: one attempt now, as any other is made, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::answer::{Answer, RequestKey};
use super::bodies::bodies_for;
use super::destination::Known;
use super::endpoint::Endpoint;
use super::event::{Content, Event};
use super::history::{DeliveryAnswer, DeliveryStatus};
use super::refusal::{Code, Refusal};
use super::{SOURCE, Sender, name};
use crate::clock::UnixMillis;
use crate::store::{Accepted, Batch, BatchOutcome, Begin, Emitted, Id, NewEvent, Owed, Trigger};

/// The type of a test event, unless somebody names another.
const TEST: &str = "webhook.test";

/// How much longer than its attempt a test's lease lasts.
const MARGIN: Duration = Duration::from_secs(10);

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
    pub custom_data: Option<Box<RawValue>>,
}

impl Sender {
    /// Makes one attempt at a test event, whose outcome changes nothing about the webhook's health. It is made whether
    /// or not the webhook is switched on.
    ///
    /// # Errors
    /// If there is no such webhook, the type is none, or the store cannot be asked.
    pub async fn test_webhook(
        &self,
        account: &Arc<str>,
        id: &str,
        input: TestInput,
        key: Option<RequestKey>,
    ) -> Result<Answer, Refusal> {
        if let Some(kept) = self.kept_answer(key).await? {
            return Ok(kept);
        }
        let known = self.known_now(account, id).await?;
        let kind = input.event_type.unwrap_or_else(|| TEST.into());
        name::check_event_type(&kind).map_err(|wrong| Refusal::field("/event_type", wrong))?;
        let data = match input.custom_data {
            Some(data) => data,
            None => {
                let example =
                    self.example(account, &known, &kind).unwrap_or_else(|| serde_json::json!({ "test": true }));
                to_raw_value(&example).map_err(|error| Refusal::new(Code::Failed, error.to_string()))?
            }
        };
        let destination = Arc::clone(known.destination.as_ref().map_err(|wrong| {
            Refusal::new(Code::Conflict, format!("nothing can be delivered to webhook \"{id}\": {wrong}"))
        })?);
        let now = self.clock.millis();
        let (token, until) = (fastrand::i64(..), now.after(destination.timeout + MARGIN));
        let kept = on_trial(account, &known, kind, data, now, Begin::Leased { token, until })?;
        let delivery = kept.owed.first().map_or_else(String::new, |owed| name::of_delivery(owed.id));
        let leased = kept.leased(token).ok_or_else(|| Refusal::not_found("webhook", id))?;
        let batch = Batch { events: vec![kept], directory: None, idempotent: None };
        match self.store.keep(batch).await? {
            BatchOutcome::Kept(accepted) if accepted == [Accepted::New] => {}
            _ => return Err(Refusal::new(Code::Failed, "the test event was not kept")),
        }
        // Whoever asked may hang up: the attempt comes to its end all the same.
        let attempt = tokio::spawn(Arc::clone(&self.deliveries).attempt_once(destination, leased));
        attempt.await.map_err(|_| Refusal::new(Code::Failed, "the attempt broke off"))?;
        let delivery = self.detail(&known, &delivery).await?;
        let success = delivery.delivery.status == DeliveryStatus::Success;
        let answer = Answer::new(StatusCode::OK, &DeliveryAnswer { success, delivery });
        if let Some(key) = key {
            let kept = answer.keep(key, &self.vault, self.clock.millis());
            self.store.owe(Vec::new(), now, Some(kept)).await?;
        }
        Ok(answer)
    }

    /// Has an endpoint take the test event that its provider wants taken before it is registered, or gets another URL or
    /// that provider.
    ///
    /// # Errors
    /// What is wrong with the endpoint, or why it was not taken.
    pub(super) async fn test_reachability(&self, account: &Arc<str>, endpoint: &Endpoint) -> Result<(), Refusal> {
        let known = self.directory.builder().check(endpoint, self.directory.read().account(account))?;
        let Some(data) = &known.emitter.emission.policy.creation_test else { return Ok(()) };
        let destination = Arc::clone(known.destination.as_ref().map_err(Clone::clone)?);
        let data =
            RawValue::from_string(data.clone()).map_err(|error| Refusal::new(Code::Failed, error.to_string()))?;
        let now = self.clock.millis();
        let event = on_trial(account, &known, TEST.into(), data, now, Begin::Leased { token: 0, until: now })?;
        let leased = event.leased(0).ok_or_else(|| Refusal::not_found("webhook", &known.id))?;
        // Whoever asked may hang up: the attempt comes to its end all the same.
        let tried = tokio::spawn(Arc::clone(&self.deliveries).try_out(destination, leased));
        let taken = tried.await.map_err(|_| Refusal::new(Code::Failed, "the attempt broke off"))?;
        taken.map_err(|why| {
            let detail = format!("it must take a test event first, and did not: {why}");
            Refusal::field_as(Code::ReachabilityFailed, "/url", detail)
        })
    }

    /// The data of an event of this type, as its account, the configuration or its provider has it.
    fn example(&self, account: &str, known: &Known, kind: &str) -> Option<Value> {
        let copy = self.directory.read();
        let provided = || known.emitter.event_types.iter().find(|provided| provided.name == kind);
        self.event_type(copy.account(account), kind).or_else(provided)?.example.clone()
    }
}

/// An event that one endpoint is owed, to try it out.
fn on_trial(
    account: &Arc<str>,
    known: &Known,
    kind: String,
    data: Box<RawValue>,
    now: UnixMillis,
    begin: Begin,
) -> Result<NewEvent, Refusal> {
    let event = Event {
        id: name::new_id(name::EVENT, now),
        has_own_id: false,
        kind,
        at: now,
        content: Content::Data(data),
        resource: None,
        group: None,
        only: None,
    };
    let (message, variants, variant) = bodies_for(&event, account, known).map_err(|why| known.failed(&why))?;
    let owed = Owed { variant, trigger: Trigger::Test, begin, ..Owed::due(Arc::clone(&known.id), now) };
    Ok(NewEvent {
        id: Id::new(now),
        source: SOURCE.into(),
        emitted: Some(Emitted { account: Arc::clone(account), kind: event.kind }),
        event_id: Some(event.id),
        accepted_at: now,
        message,
        remember: None,
        variants,
        owed: vec![owed],
        counted: Vec::new(),
    })
}
