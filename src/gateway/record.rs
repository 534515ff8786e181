//! What is told of a request once it is over: one metric, one log line.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use tracing::{info, warn};

use super::Gateway;
use super::source::Source;
use super::verify::Admitted;
use crate::egress::ExchangeError;
use crate::rejection::Rejection;
use crate::signature::challenge::Met;
use crate::telemetry::metrics::SourceMetrics;
use crate::telemetry::outcome::Outcome;

/// Gathers what is known of a request, until [`Record::finish`] tells it. Never holds a secret, a signature or a body.
#[derive(Debug)]
pub struct Record {
    gateway: Option<Arc<Gateway>>,
    metrics: Arc<SourceMetrics>,
    source: Option<Arc<Source>>,
    started: Instant,
    pub client: IpAddr,
    pub body_bytes: usize,
    event_id: Option<HeaderValue>,
    shadowed: Option<Rejection>,
    alternative: Option<usize>,
    challenge: Option<String>,
    /// True for a challenge that anybody may send: few of those are told.
    sampled: bool,
    route: Option<usize>,
    sent: Option<Instant>,
    upstream: Option<Duration>,
    error: Option<String>,
}

impl Record {
    /// Of a request that just arrived; `nowhere` counts it until its source is known.
    pub fn new(gateway: &Arc<Gateway>, nowhere: Arc<SourceMetrics>, peer: IpAddr) -> Self {
        gateway.metrics.in_flight.inc();
        Self {
            gateway: Some(Arc::clone(gateway)),
            metrics: nowhere,
            source: None,
            started: Instant::now(),
            client: peer,
            body_bytes: 0,
            event_id: None,
            shadowed: None,
            alternative: None,
            challenge: None,
            sampled: false,
            route: None,
            sent: None,
            upstream: None,
            error: None,
        }
    }

    /// Its source is known.
    pub fn enter(&mut self, source: &Arc<Source>, metrics: &Arc<SourceMetrics>) {
        self.source = Some(Arc::clone(source));
        self.metrics = Arc::clone(metrics);
    }

    /// It may be forwarded.
    pub fn admitted(&mut self, admitted: &Admitted) {
        match admitted {
            Admitted::Verified(verified) => {
                self.event_id = verified.event_id().cloned();
                self.alternative = verified.alternative();
            }
            Admitted::Shadowed(shadowed) => self.shadowed = Some(shadowed.rejection().clone()),
        }
    }

    /// It is a challenge.
    pub fn met(&mut self, met: &Met) {
        self.challenge = Some(met.name.clone());
        self.sampled = !met.signed;
    }

    /// It takes the source's route at this place, or none.
    pub fn routed(&mut self, place: Option<usize>) {
        self.route = place;
    }

    /// It is a duplicate by its id, and not by its body.
    pub fn conflict(&self) {
        warn!(
            source.name = self.source_name(),
            event.id = self.event_id(),
            client.address = %self.client,
            "Duplicate has another body than the event first seen under its id"
        );
    }

    /// Hands the record on to the task that forwards. What is left behind tells nothing.
    pub fn take(&mut self) -> Self {
        Self {
            gateway: self.gateway.take(),
            metrics: Arc::clone(&self.metrics),
            source: self.source.take(),
            started: self.started,
            client: self.client,
            body_bytes: self.body_bytes,
            event_id: self.event_id.take(),
            shadowed: self.shadowed.take(),
            alternative: self.alternative,
            challenge: self.challenge.take(),
            sampled: self.sampled,
            route: self.route,
            sent: None,
            upstream: None,
            error: None,
        }
    }

    /// It is on its way to the upstream.
    pub fn forwarding(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// The upstream has answered, or never will.
    pub fn answered(&mut self, metrics: &SourceMetrics) {
        if let Some(sent) = self.sent {
            let took = sent.elapsed();
            metrics.upstream_duration.observe(took);
            self.upstream = Some(took);
        }
    }

    /// Why it could not be stored, no message made of it, or not done what a challenge wants.
    pub fn not_done(&mut self, error: String) {
        self.error = Some(error);
    }

    /// Why the upstream did not answer.
    pub fn failed(&mut self, error: Option<&ExchangeError>) {
        self.error = error.map(|error| match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
    }

    /// Counts it and writes its line: each one that a provider caused, a few of those that strangers cause.
    pub fn finish(&mut self, outcome: Outcome, status: StatusCode, rejection: Option<&Rejection>) {
        let Some(gateway) = self.gateway.take() else {
            return;
        };
        gateway.metrics.in_flight.dec();
        let took = self.started.elapsed();
        self.metrics.count(outcome);
        self.metrics.request_duration.observe(took);
        if let Some(rejection) = &self.shadowed {
            self.metrics.count_shadowed(rejection.reason());
        }
        match outcome {
            Outcome::Rejected(_) => {
                if let Some(suppressed) = self.metrics.sampler.pass(gateway.clock.monotonic()) {
                    self.write_rejected(status, rejection, took, suppressed);
                }
            }
            Outcome::Challenge | Outcome::Unmet
                if self.sampled && self.metrics.sampler.pass(gateway.clock.monotonic()).is_none() => {}
            Outcome::Unmet => self.write_unmet(status, took),
            Outcome::Refused | Outcome::Unreachable | Outcome::Timeout | Outcome::TemplateFailed => {
                self.write_failed(outcome, status, took);
            }
            Outcome::StoreDown => self.write_not_stored(outcome, status, took),
            _ => self.write(outcome, status, took),
        }
    }

    fn source_name(&self) -> &str {
        self.source.as_ref().map_or("", |source| source.name.as_str())
    }

    fn event_id(&self) -> Option<&str> {
        self.event_id.as_ref().and_then(|id| id.to_str().ok())
    }

    /// The alternative's name, where the scheme has several.
    fn alternative(&self) -> Option<&str> {
        let super::source::Proof::Signature(verifier) = &self.source.as_ref()?.proof else {
            return None;
        };
        verifier.scheme().alternatives().get(self.alternative?)?.name.as_deref()
    }

    /// What the way is called that it takes, where that is one of several.
    fn route(&self) -> Option<&str> {
        self.source.as_ref()?.branch(self.route).name.as_deref()
    }

    fn upstream_ms(&self) -> Option<f64> {
        self.upstream.map(millis)
    }

    fn write(&self, outcome: Outcome, status: StatusCode, took: Duration) {
        info!(
            source.name = self.source_name(),
            outcome = outcome.as_str(),
            reason = outcome.reason(),
            shadowed = self.shadowed.as_ref().map(|rejection| rejection.reason().as_str()),
            status = status.as_u16(),
            client.address = %self.client,
            event.id = self.event_id(),
            source.route = self.route(),
            signature.alternative = self.alternative(),
            challenge = self.challenge.as_deref(),
            body_bytes = self.body_bytes,
            duration_ms = millis(took),
            upstream_ms = self.upstream_ms(),
            "Answered webhook"
        );
    }

    fn write_unmet(&self, status: StatusCode, took: Duration) {
        warn!(
            source.name = self.source_name(),
            outcome = Outcome::Unmet.as_str(),
            reason = Outcome::Unmet.reason(),
            status = status.as_u16(),
            client.address = %self.client,
            challenge = self.challenge.as_deref(),
            duration_ms = millis(took),
            error = self.error.as_deref(),
            "Cannot do what a challenge wants, its sender should try again"
        );
    }

    fn write_failed(&self, outcome: Outcome, status: StatusCode, took: Duration) {
        warn!(
            source.name = self.source_name(),
            outcome = outcome.as_str(),
            reason = outcome.reason(),
            shadowed = self.shadowed.as_ref().map(|rejection| rejection.reason().as_str()),
            status = status.as_u16(),
            client.address = %self.client,
            event.id = self.event_id(),
            source.route = self.route(),
            body_bytes = self.body_bytes,
            duration_ms = millis(took),
            upstream_ms = self.upstream_ms(),
            error = self.error.as_deref(),
            "Upstream did not take webhook, its sender should try again"
        );
    }

    fn write_not_stored(&self, outcome: Outcome, status: StatusCode, took: Duration) {
        warn!(
            source.name = self.source_name(),
            outcome = outcome.as_str(),
            reason = outcome.reason(),
            status = status.as_u16(),
            client.address = %self.client,
            event.id = self.event_id(),
            source.route = self.route(),
            duration_ms = millis(took),
            error = self.error.as_deref(),
            "Webhook was not taken, since a store cannot be asked: its sender should try again"
        );
    }

    fn write_rejected(&self, status: StatusCode, rejection: Option<&Rejection>, took: Duration, suppressed: u64) {
        info!(
            source.name = self.source_name(),
            outcome = "rejected",
            reason = rejection.map(|rejection| rejection.reason().as_str()),
            status = status.as_u16(),
            client.address = %self.client,
            detail = rejection.map(tracing::field::display),
            duration_ms = millis(took),
            suppressed = (suppressed > 0).then_some(suppressed),
            "Rejected request"
        );
    }
}

impl Drop for Record {
    /// A request whose client left before it was judged is not told, but no longer in flight.
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.metrics.in_flight.dec();
        }
    }
}

/// Milliseconds with microseconds behind the point.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
