//! Sends an event to its upstream, and settles its claim by what the upstream says.

use std::sync::Arc;
use std::time::Instant;

use super::Gateway;
use super::outgoing::{Outgoing, Via, outgoing};
use super::record::Record;
use super::respond;
use super::routes::{Reach, Route};
use super::verify::Admitted;
use crate::dedup::{Answer, Denial, Failure, Lease};
use crate::egress::{Exchange, ExchangeError};
use crate::telemetry::outcome::Outcome;

/// Forwards one event. 2xx commits its claim, anything else releases it, so that the sender's retry is forwarded again.
/// An event of which no message could be made is one that failed: by the retry its template may have been mended.
/// Returns what the sender is answered.
pub async fn forward(
    gateway: Arc<Gateway>,
    route: Arc<Route>,
    reach: Arc<Reach>,
    outgoing: Result<Outgoing, String>,
    lease: Option<Lease>,
    mut record: Record,
) -> Answer {
    let source = &route.source;
    if lease.as_ref().is_some_and(|lease| lease.possible_duplicate) {
        route.metrics.possible_duplicates.inc();
    }
    let (outcome, failure, answer) = match outgoing {
        Ok(Outgoing { request, share }) => {
            record.forwarding();
            let exchanged = reach.pool.exchange(request, reach.upstream.timeout).await;
            record.answered(&route.metrics);
            drop(share);
            let outcome = outcome_of(&exchanged);
            let failure = match &exchanged {
                Err(error) if error.is_ambiguous() => Failure::Ambiguous,
                _ => Failure::Definite,
            };
            record.failed(exchanged.as_ref().err());
            (outcome, failure, respond::answer(source, exchanged))
        }
        Err(why) => {
            record.not_done(why);
            (Outcome::TemplateFailed, Failure::Definite, respond::not_made())
        }
    };
    if let (Some(lease), Some(policy)) = (lease, &source.dedup) {
        let now = gateway.clock.monotonic();
        if outcome == Outcome::Forwarded {
            gateway.dedup.commit(lease, policy.ttl, &answer, now).await;
        } else {
            gateway.dedup.release(lease, failure, policy.ttl, &answer, now).await;
        }
    }
    record.finish(outcome, answer.status, None);
    answer
}

/// What came of asking a shared store for an event.
pub enum Asked {
    /// It was ours, and this is what its sender is answered.
    Forwarded(Answer),
    /// It is not ours; the request is still to be answered.
    Denied(Denial, Record),
}

/// Claims an event in the shared store, and forwards it if it is ours.
pub async fn ask_and_forward(
    gateway: Arc<Gateway>,
    route: Arc<Route>,
    reach: Arc<Reach>,
    admitted: Admitted,
    via: Via,
    claimed: Lease,
    record: Record,
) -> Asked {
    let source = &route.source;
    let asked = Instant::now();
    let claim = gateway.dedup.ask(claimed, source.lease, source.store_down).await;
    gateway.metrics.dedup_claim_duration.observe(asked.elapsed());
    let lease = match claim {
        Ok(lease) => lease,
        Err(denial) => return Asked::Denied(denial, record),
    };
    let outgoing = outgoing(source, &reach, admitted, via, lease.possible_duplicate, &gateway.clock);
    Asked::Forwarded(forward(gateway, route, reach, outgoing, Some(lease), record).await)
}

fn outcome_of(exchanged: &Result<Exchange, ExchangeError>) -> Outcome {
    match exchanged {
        Ok(exchange) if exchange.status().is_success() => Outcome::Forwarded,
        Ok(_) => Outcome::Refused,
        Err(error) if error.is_timeout() => Outcome::Timeout,
        Err(_) => Outcome::Unreachable,
    }
}
