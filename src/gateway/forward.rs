//! Sends an event to its upstream, and settles its claim by what the upstream says.

use std::sync::Arc;

use super::Gateway;
use super::outgoing::Outgoing;
use super::record::Record;
use super::respond;
use super::routes::Route;
use crate::dedup::{Answer, Failure, Lease};
use crate::egress::{Exchange, ExchangeError};
use crate::telemetry::outcome::Outcome;

/// Forwards one event. 2xx commits its claim, anything else releases it, so that the sender's retry is forwarded again.
/// Returns what the sender is answered.
pub async fn forward(
    gateway: Arc<Gateway>,
    route: Arc<Route>,
    outgoing: Outgoing,
    lease: Option<Lease>,
    mut record: Record,
) -> Answer {
    let source = &route.source;
    if lease.as_ref().is_some_and(|lease| lease.possible_duplicate) {
        route.metrics.possible_duplicates.inc();
    }
    let Outgoing { request, share } = outgoing;
    record.forwarding();
    let exchanged = route.pool.exchange(request, source.upstream.timeout).await;
    record.answered(&route.metrics);
    drop(share);
    let outcome = outcome_of(&exchanged);
    let failure = match &exchanged {
        Err(error) if error.is_ambiguous() => Failure::Ambiguous,
        _ => Failure::Definite,
    };
    record.failed(exchanged.as_ref().err());
    let answer = respond::answer(source, exchanged);
    if let (Some(lease), Some(policy)) = (lease, &source.dedup) {
        let now = gateway.clock.monotonic();
        if outcome == Outcome::Forwarded {
            gateway.dedup.commit(lease, policy.ttl, &answer, now);
        } else {
            gateway.dedup.release(lease, failure, policy.ttl, &answer, now);
        }
    }
    record.finish(outcome, answer.status, None);
    answer
}

fn outcome_of(exchanged: &Result<Exchange, ExchangeError>) -> Outcome {
    match exchanged {
        Ok(exchange) if exchange.status().is_success() => Outcome::Forwarded,
        Ok(_) => Outcome::Refused,
        Err(error) if error.is_timeout() => Outcome::Timeout,
        Err(_) => Outcome::Unreachable,
    }
}
