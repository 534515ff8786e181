//! What follows from how deliveries go: endpoints that fail for too long are switched off, and somebody is told.
//!
//! What it is decided by stands in the store, written with each attempt; the decision can be made by any node, at any
//! time, and is made once: by whoever changes the directory first.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::destination::Known;
use super::directory::Copy;
use super::endpoint::{Disabled, DisabledReason};
use super::refusal::Refusal;
use super::{SOURCE, Sender, name};
use crate::clock::UnixMillis;
use crate::signature::emission::{Envelope, EventFacts};
use crate::store::{Change, Emitted, Failing, Health, Id, Message, NewEvent, Owed};
use crate::telemetry::outcome::DisabledBy;

/// How often all of it is looked at. Who came to an end at once is looked at sooner.
const ROUND: Duration = Duration::from_secs(1);

/// Whose events those about endpoints are.
const ACCOUNT: &str = "hookward.operations";

/// Who is told what becomes of endpoints: a destination of the configuration, delivered to like any other.
#[derive(Debug)]
pub struct Operations {
    /// By which deliveries know it.
    pub destination: Arc<str>,
}

/// What is to become of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Warn,
    Disable(DisabledReason),
}

impl Sender {
    /// Looks after endpoints until `drain` is cancelled.
    pub async fn keep_up(self: Arc<Self>, drain: CancellationToken) {
        let mut failing = false;
        while !drain.is_cancelled() {
            match self.round().await {
                Ok(()) => failing = false,
                Err(refusal) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %refusal, "Endpoints are not looked after until the store answers again");
                    }
                    sleep(ROUND).await;
                }
            }
            tokio::select! {
                () = drain.cancelled() => return,
                // Somebody came to an end, another node has changed something, or it is time: either way all is looked at.
                () = self.deliveries.gone() => {}
                () = self.deliveries.outdated() => {}
                () = sleep(ROUND) => {}
            }
        }
    }

    /// One look at everything.
    pub(super) async fn round(&self) -> Result<(), Refusal> {
        self.directory.refresh().await?;
        self.cancel_what_nobody_takes().await?;
        let failing = self.store.failing().await?;
        self.forget_who_is_gone(&failing).await?;
        for failing in failing {
            let known = self.directory.read().endpoint(&failing.endpoint).cloned();
            let Some(known) = known.filter(|known| known.endpoint.is_active()) else { continue };
            if let Some(step) = next_step(&failing, known.in_force().disable_after) {
                self.take(&known, &failing, step).await?;
            }
        }
        Ok(())
    }

    /// Deliveries whose endpoint was deleted or switched off while they were leased, or by another node.
    async fn cancel_what_nobody_takes(&self) -> Result<(), Refusal> {
        let unknown = self.deliveries.unknown();
        let gone = |copy: &Copy| -> Vec<(Arc<str>, &'static str)> {
            let gone = unknown.iter().filter_map(|name| match copy.endpoint(name) {
                None => Some((Arc::clone(name), "deleted")),
                Some(known) if known.endpoint.is_active() => None,
                Some(_) => Some((Arc::clone(name), "disabled")),
            });
            gone.collect()
        };
        if gone(&self.directory.read()).is_empty() {
            return Ok(());
        }
        let decided = self.directory.change(|copy| Ok((Change { cancel: gone(copy), ..self.no_change() }, ())));
        decided.await.map(|_| ())
    }

    /// An attempt that was under way when its endpoint was deleted may have written down how that went.
    async fn forget_who_is_gone(&self, failing: &[Failing]) -> Result<(), Refusal> {
        let gone = |copy: &Copy| -> Vec<(Arc<str>, Health)> {
            let gone = failing.iter().filter(|failing| copy.endpoint(&failing.endpoint).is_none());
            gone.map(|failing| (Arc::clone(&failing.endpoint), Health::Forgotten)).collect()
        };
        if gone(&self.directory.read()).is_empty() {
            return Ok(());
        }
        let decided = self.directory.change(|copy| Ok((Change { health: gone(copy), ..self.no_change() }, ())));
        decided.await.map(|_| ())
    }

    async fn take(&self, known: &Known, failing: &Failing, step: Step) -> Result<(), Refusal> {
        let now = self.clock.millis();
        let id = &known.id;
        let decided = self.directory.change(|copy| {
            let Some(current) = copy.endpoint(id).filter(|known| known.endpoint.is_active()) else {
                return Ok((self.no_change(), false));
            };
            let events = self.notice(current, failing, step, now).into_iter().collect();
            let change = match step {
                Step::Warn => Change { health: vec![(Arc::clone(id), Health::Warned)], events, ..self.no_change() },
                Step::Disable(reason) => {
                    let mut endpoint = current.endpoint.clone();
                    let permanent = current.emitter.emission.policy.recreate;
                    endpoint.disabled = Some(Disabled { reason, at: now.0, permanent });
                    let why = match reason {
                        DisabledReason::Failing | DisabledReason::Exhausted => "disabled",
                        DisabledReason::Gone => "gone",
                    };
                    Change {
                        records: vec![self.endpoint_record(&endpoint)],
                        cancel: vec![(Arc::clone(id), why)],
                        events,
                        ..self.no_change()
                    }
                }
            };
            Ok((change, true))
        });
        if let super::directory::Outcome::Done(true) = decided.await? {
            self.tell(known, failing, step);
        }
        Ok(())
    }

    fn tell(&self, known: &Known, failing: &Failing, step: Step) {
        let endpoint = &known.endpoint;
        let (id, account, since) = (&endpoint.id, &endpoint.account, failing.since);
        let (status, error) = (failing.last_status, failing.last_error.as_deref());
        match step {
            Step::Warn => {
                warn!(endpoint.id = id, account, since = %since, attempts = failing.attempts, status, error,
                    "Endpoint has failed for half of the time after which it is switched off");
            }
            Step::Disable(reason) => {
                info!(endpoint.id = id, account, since = %since, attempts = failing.attempts, status, error,
                    reason = ?reason, "Endpoint switched off");
                self.metrics.disabled(match reason {
                    DisabledReason::Failing => DisabledBy::Failing,
                    DisabledReason::Gone => DisabledBy::Gone,
                    DisabledReason::Exhausted => DisabledBy::Exhausted,
                });
            }
        }
        if let Some(operations) = &self.operations {
            self.deliveries.wake([&operations.destination]);
        }
    }

    /// The event by which operators learn of it, if they want to.
    fn notice(&self, known: &Known, failing: &Failing, step: Step, now: UnixMillis) -> Option<NewEvent> {
        let operations = self.operations.as_ref()?;
        let endpoint = &known.endpoint;
        let disable_at = known.in_force().disable_after.map(|after| failing.since.after(after).to_string());
        let kind = match step {
            Step::Warn => "webhook.failing",
            Step::Disable(_) => "webhook.disabled",
        };
        let data = json!({
            "webhook_id": endpoint.id,
            "account_id": endpoint.account,
            "url": endpoint.settings.url,
            "secret": known.in_force().secret,
            "reason": match step {
                Step::Warn => "failing",
                Step::Disable(DisabledReason::Failing) => "failing",
                Step::Disable(DisabledReason::Gone) => "gone",
                Step::Disable(DisabledReason::Exhausted) => "exhausted",
            },
            "failing_since": failing.since.to_string(),
            "disable_at": disable_at,
            "attempts": failing.attempts,
            "last_status": failing.last_status,
            "last_error": failing.last_error,
        })
        .to_string();
        let id = name::new_id(name::EVENT, now);
        let facts = EventFacts {
            id: &id,
            kind,
            timestamp: now,
            data: data.as_bytes(),
            account: ACCOUNT,
            endpoint: &operations.destination,
        };
        let body = Envelope::default().render(&facts).into();
        let headers = "content-type: application/json\r\n".into();
        Some(NewEvent {
            id: Id::new(now),
            source: SOURCE.into(),
            emitted: Some(Emitted { account: ACCOUNT.into(), kind: kind.into() }),
            event_id: Some(id),
            accepted_at: now,
            message: Message { method: "POST".into(), query: None, headers, body },
            remember: None,
            variants: Vec::new(),
            counted: Vec::new(),
            owed: vec![Owed::due(Arc::clone(&operations.destination), now)],
        })
    }
}

/// What is to be done about an endpoint that fails. It goes by attempts that were made: one that nobody sent anything
/// to since its first failure has not failed for long.
fn next_step(failing: &Failing, disable_after: Option<Duration>) -> Option<Step> {
    if failing.gone {
        return Some(Step::Disable(DisabledReason::Gone));
    }
    if failing.exhausted {
        return Some(Step::Disable(DisabledReason::Exhausted));
    }
    let (failed_for, after) = (failing.last_at.since(failing.since), disable_after?);
    if failed_for >= after {
        Some(Step::Disable(DisabledReason::Failing))
    } else if failed_for >= after / 2 && !failing.warned {
        Some(Step::Warn)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn failing(for_ms: i64, warned: bool, gone: bool) -> Failing {
        let since = UnixMillis(1_760_000_000_000);
        Failing {
            endpoint: "wh_1".into(),
            since,
            last_at: UnixMillis(since.0 + for_ms),
            attempts: 3,
            last_status: Some(500),
            last_error: None,
            last_event: Id::new(since),
            gone,
            exhausted: false,
            warned,
        }
    }

    #[test]
    fn it_warns_at_half_time_once_and_disables_at_the_end() {
        let day = i64::try_from(DAY.as_millis()).expect("small");
        let step = |for_ms, warned| next_step(&failing(for_ms, warned, false), Some(DAY));
        assert_eq!(step(day / 2 - 1, false), None);
        assert_eq!(step(day / 2, false), Some(Step::Warn));
        assert_eq!(step(day / 2, true), None);
        assert_eq!(step(day - 1, true), None);
        assert_eq!(step(day, true), Some(Step::Disable(DisabledReason::Failing)));
        assert_eq!(step(day, false), Some(Step::Disable(DisabledReason::Failing)));
        assert_eq!(next_step(&failing(10 * day, false, false), None), None, "never");
    }

    #[test]
    fn who_is_gone_is_disabled_at_once() {
        assert_eq!(next_step(&failing(0, false, true), None), Some(Step::Disable(DisabledReason::Gone)));
    }

    #[test]
    fn whose_attempts_ended_it_is_disabled_at_once() {
        let ended = |gone| next_step(&Failing { exhausted: true, ..failing(0, false, gone) }, None);
        assert_eq!(ended(false), Some(Step::Disable(DisabledReason::Exhausted)));
        assert_eq!(ended(true), Some(Step::Disable(DisabledReason::Gone)), "which says more");
    }
}
