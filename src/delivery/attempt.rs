//! One try at a delivery, from the request to what is written down of it.

use std::error::Error;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::Deliveries;
use super::destination::Destination;
use super::failure::{Finding, judge};
use super::health::Sign;
use super::signing::whole_url;
use super::transcript::Sent;
use crate::clock::UnixMillis;
use crate::egress::{ExchangeError, Refused};
use crate::store::{Attempt, Consequence, GONE, Leased, Settlement, Verdict};
use crate::telemetry::outcome::AttemptOutcome;

/// How soon an attempt is repeated that failed for a reason of ours.
const OUR_WAIT: Duration = Duration::from_secs(5);

/// How late a retry may begin that was due at the very end of its time.
const LATE: Duration = Duration::from_secs(10);

/// How soon the store is asked again to write down what came of an attempt.
const SETTLE_AGAIN: Duration = Duration::from_millis(250);

/// What the worker learns of an attempt.
pub struct Ended {
    /// By which the delivery knows its destination.
    pub name: Arc<str>,
    pub sign: Sign,
    /// When it is due again.
    pub again: Option<UnixMillis>,
}

/// Attempts one delivery and settles it. Its lease ends at `give_up`: what could not be written down by then is left to
/// whoever leases it next.
pub async fn attempt(
    deliveries: Arc<Deliveries>,
    destination: Arc<Destination>,
    delivery: Leased,
    give_up: Instant,
) -> Ended {
    let made = make(&deliveries, &destination, &delivery).await;
    let verdict = match &made.finding {
        Some(finding) => verdict(&destination, &delivery, finding, made.number, made.ended_at),
        // Nobody can deliver it, but somebody can look at it.
        None => Verdict::Dead {
            possible_duplicate: delivery.possible_duplicate,
            reason: "exhausted",
            consequence: Consequence::Fail,
        },
    };
    let endpoint = destination.endpoint().cloned();
    let sign = made.sign();
    write_down(&deliveries, &destination, &delivery, made, Settled { verdict, endpoint, give_up }).await;
    let again = match verdict {
        Verdict::Again { due_at, .. } => Some(due_at),
        Verdict::Delivered | Verdict::Dead { .. } => None,
    };
    if verdict.disables() || matches!(verdict, Verdict::Dead { reason: GONE, .. }) {
        deliveries.gone.notify_one();
    }
    Ended { name: delivery.destination, sign, again }
}

/// Attempts a delivery once, to try its destination out: it is settled either way, and says nothing about health. Its
/// lease must last until `give_up`.
pub async fn attempt_once(
    deliveries: &Deliveries,
    destination: &Destination,
    delivery: &Leased,
    give_up: Instant,
) -> Verdict {
    let made = make(deliveries, destination, delivery).await;
    let verdict = match made.finding {
        Some(Finding::Taken) => Verdict::Delivered,
        _ => Verdict::Dead { possible_duplicate: false, reason: "exhausted", consequence: Consequence::Fail },
    };
    write_down(deliveries, destination, delivery, made, Settled { verdict, endpoint: None, give_up }).await;
    verdict
}

/// Sends something that nobody is owed, to try a destination out. Nothing is written down.
///
/// # Errors
/// Why it was not taken, for whoever asked for the destination.
pub async fn try_out(deliveries: &Deliveries, destination: &Destination, delivery: &Leased) -> Result<(), String> {
    let made = make(deliveries, destination, delivery).await;
    match (made.finding, made.attempt.status, made.attempt.error) {
        (Some(Finding::Taken), ..) => Ok(()),
        (_, Some(status), _) => Err(format!("it answered {status}")),
        (_, None, error) => Err(error.unwrap_or_default()),
    }
}

/// An attempt that was made.
struct Made {
    attempt: Attempt,
    number: u32,
    ended_at: UnixMillis,
    /// `None` where there was no request to make.
    finding: Option<Finding>,
    timed_out: bool,
}

impl Made {
    /// What it says of its destination.
    fn sign(&self) -> Sign {
        match &self.finding {
            Some(Finding::Taken | Finding::Gone) => Sign::Well,
            Some(Finding::Failed { sign, .. }) => *sign,
            Some(Finding::Ours) | None => Sign::Unknown,
        }
    }
}

/// What is to be written down of an attempt, beside the attempt.
struct Settled {
    verdict: Verdict,
    endpoint: Option<Arc<str>>,
    give_up: Instant,
}

/// Sends it, and judges what came of it.
async fn make(deliveries: &Deliveries, destination: &Destination, delivery: &Leased) -> Made {
    let number = delivery.attempts.saturating_add(1);
    let started_at = deliveries.clock.millis();
    let unmade = |why: String, finding| {
        let duration = Duration::ZERO;
        let attempt = Attempt { started_at, duration, status: None, error: Some(why), charged: false, exchange: None };
        Made { attempt, number, ended_at: started_at, finding, timed_out: false }
    };
    if is_over(destination, delivery, started_at) {
        return unmade("nobody was here to try it again in its time".into(), Some(Finding::Ours));
    }
    let request = match destination.request(delivery, number, started_at) {
        Ok(request) => request,
        Err(why) => return unmade(why, None),
    };
    let sent = destination.endpoint().map(|_| {
        let url = whole_url(&destination.url, &destination.url.target.host_header());
        Sent::new(url, &request)
    });
    let started = Instant::now();
    let exchanged = destination.pool.exchange(request, destination.timeout).await;
    let duration = started.elapsed();
    let ended_at = deliveries.clock.millis();
    let finding = judge(&exchanged, &destination.way, ended_at);
    let answer = exchanged.as_ref().ok();
    let attempt = Attempt {
        started_at,
        duration,
        status: answer.map(|answer| answer.status().as_u16()),
        error: exchanged.as_ref().err().map(said),
        charged: finding != Finding::Ours,
        exchange: sent.and_then(|sent| sent.with_answer(answer)),
    };
    destination.metrics.attempt_duration.observe(duration);
    let timed_out = exchanged.as_ref().is_err_and(ExchangeError::is_timeout);
    Made { attempt, number, ended_at, finding: Some(finding), timed_out }
}

/// True of a retry whose time was over before it could be made: its provider promises none so late. The first attempt is
/// made whenever it can be, and so is every one to an upstream, whose event its provider does not send again.
fn is_over(destination: &Destination, delivery: &Leased, now: UnixMillis) -> bool {
    destination.endpoint().is_some()
        && delivery.attempts > 0
        && now > delivery.created_at.after(destination.schedule.window).after(LATE)
}

/// Tells the log, the metrics and the store.
async fn write_down(
    deliveries: &Deliveries,
    destination: &Destination,
    delivery: &Leased,
    made: Made,
    settled: Settled,
) {
    let Settled { verdict, endpoint, give_up } = settled;
    destination.metrics.count(outcome(&made, &verdict));
    tell(destination, delivery, &made.attempt, made.number, &verdict);
    let settlement = Settlement { id: delivery.id, token: delivery.token, verdict, attempt: made.attempt, endpoint };
    settle(deliveries, settlement, give_up).await;
}

fn verdict(destination: &Destination, delivery: &Leased, finding: &Finding, number: u32, now: UnixMillis) -> Verdict {
    let schedule = &destination.schedule;
    let consequence = destination.exhausted;
    match finding {
        Finding::Taken => Verdict::Delivered,
        Finding::Gone => Verdict::Dead {
            possible_duplicate: delivery.possible_duplicate,
            reason: GONE,
            consequence: Consequence::Fail,
        },
        Finding::Failed { ambiguous, retry_after, .. } => {
            let possible_duplicate = delivery.possible_duplicate || *ambiguous;
            let number = NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            match schedule.next(number, delivery.created_at, now, *retry_after, fastrand::f64()) {
                Some(due_at) => Verdict::Again { due_at, possible_duplicate },
                None if schedule.is_exhausted_after(number) => {
                    Verdict::Dead { possible_duplicate, reason: "exhausted", consequence }
                }
                None => Verdict::Dead { possible_duplicate, reason: "expired", consequence },
            }
        }
        // It costs no attempt, but the window goes on.
        Finding::Ours => {
            let possible_duplicate = delivery.possible_duplicate;
            let due_at = now.after(OUR_WAIT);
            if due_at > delivery.created_at.after(schedule.window) {
                return Verdict::Dead { possible_duplicate, reason: "expired", consequence };
            }
            Verdict::Again { due_at, possible_duplicate }
        }
    }
}

fn outcome(made: &Made, verdict: &Verdict) -> AttemptOutcome {
    match (&made.finding, verdict) {
        (Some(Finding::Taken), _) => AttemptOutcome::Delivered,
        (_, Verdict::Dead { .. }) => AttemptOutcome::Dead,
        (Some(Finding::Ours), _) => AttemptOutcome::Ours,
        _ if made.attempt.status.is_some() => AttemptOutcome::Refused,
        _ if made.timed_out => AttemptOutcome::Timeout,
        _ => AttemptOutcome::Unreachable,
    }
}

/// Writes down what came of it, again and again until the lease ends.
async fn settle(deliveries: &Deliveries, settlement: Settlement, give_up: Instant) {
    let (id, token) = (settlement.id, settlement.token);
    let settling = async {
        loop {
            match deliveries.store.settle(settlement.clone()).await {
                Ok(true) => return,
                Ok(false) => {
                    warn!(delivery.id = %id, token, "A lease ended before its attempt did: somebody else has the delivery");
                    return;
                }
                Err(_) => sleep(SETTLE_AGAIN).await,
            }
        }
    };
    if timeout_at(give_up, settling).await.is_err() {
        error!(delivery.id = %id, "What came of an attempt could not be written down: it may be made again");
    }
}

/// Of an endpoint only its id is told.
fn tell(destination: &Destination, delivery: &Leased, attempt: &Attempt, number: u32, verdict: &Verdict) {
    let duration_ms = attempt.duration.as_micros() as f64 / 1000.0;
    let endpoint = destination.endpoint().map(AsRef::as_ref);
    let event = endpoint.and(delivery.event_id.as_deref());
    let url = destination.shown();
    match verdict {
        Verdict::Delivered => info!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            event.id = event,
            endpoint.id = endpoint,
            destination = url,
            attempt = number,
            status = attempt.status,
            duration_ms,
            "Delivered webhook"
        ),
        Verdict::Again { due_at, .. } => warn!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            event.id = event,
            endpoint.id = endpoint,
            destination = url,
            attempt = number,
            charged = attempt.charged,
            status = attempt.status,
            error = attempt.error.as_deref(),
            duration_ms,
            due_at = %due_at,
            "Destination did not take webhook, it is tried again"
        ),
        // A customer's endpoint that nobody answers at is no affair of whoever runs this.
        Verdict::Dead { reason, .. } if endpoint.is_some() => warn!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            event.id = event,
            endpoint.id = endpoint,
            attempt = number,
            status = attempt.status,
            error = attempt.error.as_deref(),
            duration_ms,
            reason,
            "Endpoint did not take webhook, it is not tried again"
        ),
        Verdict::Dead { reason, .. } => error!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            destination = url,
            attempt = number,
            status = attempt.status,
            error = attempt.error.as_deref(),
            duration_ms,
            reason,
            "Delivery is a dead letter: its attempts or its time are used up"
        ),
    }
}

/// What went wrong, as whoever owns the destination may read it.
fn said(error: &ExchangeError) -> String {
    // Which address a name comes to in here is not for strangers: it would map the network from inside.
    if let ExchangeError::Refused { why: Refused::Address { .. }, .. } = error {
        return format!("{error}: it comes to an address that is not public, and [egress] allow does not name it");
    }
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
