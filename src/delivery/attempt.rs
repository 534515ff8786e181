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
use crate::clock::UnixMillis;
use crate::egress::{Exchange, ExchangeError};
use crate::store::{Attempt, Leased, Settlement, Verdict};
use crate::telemetry::metrics::AttemptOutcome;

/// How soon an attempt is repeated that failed for a reason of ours.
const OUR_WAIT: Duration = Duration::from_secs(5);

/// How soon the store is asked again to write down what came of an attempt.
const SETTLE_AGAIN: Duration = Duration::from_millis(250);

/// What the worker learns of an attempt.
pub struct Ended {
    pub destination: Arc<Destination>,
    /// By which the delivery knows it.
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
    let number = delivery.attempts.saturating_add(1);
    let started_at = deliveries.clock.millis();
    let started = Instant::now();
    let request = destination.request(&delivery.message, number, delivery.possible_duplicate);
    let exchanged = match request {
        Some(request) => destination.pool.exchange(request, destination.timeout).await,
        None => return unreadable(&deliveries, destination, delivery, started_at).await,
    };
    let duration = started.elapsed();
    let now = deliveries.clock.millis();
    let finding = judge(&exchanged, now);
    let verdict = verdict(&destination, &delivery, &finding, number, now);
    let sign = match finding {
        Finding::Taken => Sign::Well,
        Finding::Failed { sign, .. } => sign,
        Finding::Ours => Sign::Unknown,
    };
    let attempt = Attempt {
        started_at,
        duration,
        status: exchanged.as_ref().ok().map(|answer| answer.status().as_u16()),
        error: exchanged.as_ref().err().map(said),
        charged: finding != Finding::Ours,
        exchange: None,
    };
    destination.metrics.attempt_duration.observe(duration);
    destination.metrics.count(outcome(&exchanged, &finding, &verdict));
    tell(&destination, &delivery, &attempt, number, &verdict);
    settle(
        &deliveries,
        Settlement { id: delivery.id, token: delivery.token, verdict, attempt, endpoint: None },
        give_up,
    )
    .await;
    let again = match verdict {
        Verdict::Again { due_at, .. } => Some(due_at),
        Verdict::Delivered | Verdict::Dead { .. } => None,
    };
    Ended { destination, name: delivery.destination, sign, again }
}

fn verdict(destination: &Destination, delivery: &Leased, finding: &Finding, number: u32, now: UnixMillis) -> Verdict {
    let schedule = &destination.schedule;
    match finding {
        Finding::Taken => Verdict::Delivered,
        Finding::Failed { ambiguous, retry_after, .. } => {
            let possible_duplicate = delivery.possible_duplicate || *ambiguous;
            let number = NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            match schedule.next(number, delivery.created_at, now, *retry_after, fastrand::f64()) {
                Some(due_at) => Verdict::Again { due_at, possible_duplicate },
                None => Verdict::Dead { possible_duplicate, reason: "exhausted" },
            }
        }
        // It costs no attempt, but the window goes on.
        Finding::Ours => {
            let possible_duplicate = delivery.possible_duplicate;
            let due_at = now.after(OUR_WAIT);
            if due_at > delivery.created_at.after(schedule.window) {
                return Verdict::Dead { possible_duplicate, reason: "expired" };
            }
            Verdict::Again { due_at, possible_duplicate }
        }
    }
}

fn outcome(exchanged: &Result<Exchange, ExchangeError>, finding: &Finding, verdict: &Verdict) -> AttemptOutcome {
    match (exchanged, finding, verdict) {
        (_, Finding::Taken, _) => AttemptOutcome::Delivered,
        (_, _, Verdict::Dead { .. }) => AttemptOutcome::Dead,
        (_, Finding::Ours, _) => AttemptOutcome::Ours,
        (Ok(_), ..) => AttemptOutcome::Refused,
        (Err(error), ..) if error.is_timeout() => AttemptOutcome::Timeout,
        (Err(_), ..) => AttemptOutcome::Unreachable,
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

/// What was stored is no request: nobody can deliver it, but somebody can look at it.
async fn unreadable(
    deliveries: &Deliveries,
    destination: Arc<Destination>,
    delivery: Leased,
    started_at: UnixMillis,
) -> Ended {
    let error = "what is stored of the event is not a request".to_owned();
    let attempt = Attempt {
        started_at,
        duration: Duration::ZERO,
        status: None,
        error: Some(error),
        charged: false,
        exchange: None,
    };
    let verdict = Verdict::Dead { possible_duplicate: delivery.possible_duplicate, reason: "exhausted" };
    tell(&destination, &delivery, &attempt, delivery.attempts, &verdict);
    let settlement = Settlement { id: delivery.id, token: delivery.token, verdict, attempt, endpoint: None };
    settle(deliveries, settlement, Instant::now() + SETTLE_AGAIN).await;
    Ended { destination, name: delivery.destination, sign: Sign::Unknown, again: None }
}

fn tell(destination: &Destination, delivery: &Leased, attempt: &Attempt, number: u32, verdict: &Verdict) {
    let duration_ms = attempt.duration.as_micros() as f64 / 1000.0;
    match verdict {
        Verdict::Delivered => info!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            destination = %destination.url,
            attempt = number,
            status = attempt.status,
            duration_ms,
            "Delivered webhook"
        ),
        Verdict::Again { due_at, .. } => warn!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            destination = %destination.url,
            attempt = number,
            charged = attempt.charged,
            status = attempt.status,
            error = attempt.error.as_deref(),
            duration_ms,
            due_at = %due_at,
            "Destination did not take webhook, it is tried again"
        ),
        Verdict::Dead { .. } => error!(
            source.name = destination.source,
            delivery.id = %delivery.id,
            event.key = %delivery.event,
            destination = %destination.url,
            attempt = number,
            status = attempt.status,
            error = attempt.error.as_deref(),
            duration_ms,
            "Delivery is a dead letter: its attempts or its time are used up"
        ),
    }
}

fn said(error: &ExchangeError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
