//! Every metric, in one list. Labels come from closed sets: no ids, no URLs, no addresses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::dedup::DedupStats;
use crate::rejection::Reason;
use crate::telemetry::histogram::DurationHistogram;
use crate::telemetry::outcome::{AttemptOutcome, DisabledBy, Outcome, PublishOutcome, RefreshResult};
use crate::telemetry::sampling::Sampler;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    source: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    source: String,
    outcome: &'static str,
}

/// The metrics of the deliveries of one source, resolved once.
#[derive(Debug)]
pub struct DeliveryMetrics {
    outcomes: Vec<Counter>,
    pub attempt_duration: DurationHistogram,
}

impl DeliveryMetrics {
    /// Counts an attempt.
    pub fn count(&self, outcome: AttemptOutcome) {
        self.outcomes[outcome as usize].inc();
    }
}

/// The metrics of one provider's address list, resolved once.
#[derive(Debug)]
pub struct ListMetrics {
    results: Vec<Counter>,
    /// How many entries are in force.
    pub networks: Gauge,
}

impl ListMetrics {
    /// Counts what came of asking.
    pub fn count(&self, result: RefreshResult) {
        self.results[result as usize].inc();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefreshLabels {
    provider: String,
    result: &'static str,
}

/// The metrics of the sender, resolved once.
#[derive(Debug)]
pub struct SenderMetrics {
    published: [Counter; 3],
    grouped: Counter,
    disabled: [Counter; 3],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl SenderMetrics {
    /// Counts an event.
    pub fn published(&self, outcome: PublishOutcome) {
        self.published[outcome as usize].inc();
    }

    /// Counts so many occurrences of an event, one for each endpoint that gets only some of them.
    pub fn grouped(&self, occurrences: u64) {
        self.grouped.inc_by(occurrences);
    }

    /// Counts an endpoint that was switched off.
    pub fn disabled(&self, reason: DisabledBy) {
        self.disabled[reason as usize].inc();
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    published: Family<OutcomeLabel, Counter>,
    grouped: Counter,
    disabled: Family<ReasonLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<SourceLabel, DurationHistogram>,
    upstream_duration: Family<SourceLabel, DurationHistogram>,
    shadowed: Family<ReasonLabels, Counter>,
    possible_duplicates: Family<SourceLabel, Counter>,
    conflicts: Family<SourceLabel, Counter>,
    pub in_flight: Gauge,
    pub connections: Gauge,
    pub buffered_bytes: Gauge,
    dedup_entries: Gauge,
    dedup_evictions: Counter,
    pub dedup_claim_duration: DurationHistogram,
    dedup_store_up: Gauge,
    dedup_store_errors: Counter,
    dedup_store_may_evict: Gauge,
    dedup_settlements_owed: Gauge,
    dedup_settlements_dropped: Counter,
    attempts: Family<AttemptLabels, Counter>,
    attempt_duration: Family<SourceLabel, DurationHistogram>,
    pub deliveries_in_flight: Gauge,
    pub circuits_open: Gauge,
    pub reload_successful: Gauge,
    list_age: Family<ProviderLabel, Gauge>,
    list_networks: Family<ProviderLabel, Gauge>,
    list_refreshes: Family<RefreshLabels, Counter>,
}

/// The metrics of one source, resolved once.
#[derive(Debug)]
pub struct SourceMetrics {
    outcomes: Vec<Counter>,
    shadowed: Vec<Counter>,
    /// Keeps what strangers cause from filling the log, each source for itself.
    pub sampler: Sampler,
    pub request_duration: DurationHistogram,
    pub upstream_duration: DurationHistogram,
    pub possible_duplicates: Counter,
    pub conflicts: Counter,
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("hookward");
        let requests = Family::default();
        registry.register("gateway_requests", "Requests by source, outcome and reason", requests.clone());
        let request_duration = Family::default();
        registry.register_with_unit(
            "gateway_request_duration",
            "From the request's head to its answer",
            Unit::Seconds,
            request_duration.clone(),
        );
        let upstream_duration = Family::default();
        registry.register_with_unit(
            "upstream_duration",
            "From forwarding to the end of the upstream's answer",
            Unit::Seconds,
            upstream_duration.clone(),
        );
        let shadowed = Family::default();
        registry.register(
            "gateway_shadow_rejections",
            "Requests that would have been rejected, and were forwarded since their source does not enforce",
            shadowed.clone(),
        );
        let possible_duplicates = Family::default();
        registry.register(
            "gateway_possible_duplicates",
            "Events forwarded with hookward-possible-duplicate",
            possible_duplicates.clone(),
        );
        let conflicts = Family::default();
        registry.register(
            "gateway_dedup_conflicts",
            "Duplicates whose body differs from that of the event first seen under their id",
            conflicts.clone(),
        );
        let in_flight = Gauge::default();
        registry.register("gateway_requests_in_flight", "Requests being handled now", in_flight.clone());
        let connections = Gauge::default();
        registry.register("gateway_connections", "Client connections open now", connections.clone());
        let buffered_bytes = Gauge::default();
        registry.register("gateway_buffered_bytes", "Body bytes held in memory now", buffered_bytes.clone());
        let dedup_entries = Gauge::default();
        registry.register("dedup_entries", "Finished events remembered now", dedup_entries.clone());
        let dedup_evictions = Counter::default();
        registry.register(
            "dedup_evictions",
            "Finished events forgotten before their time, for want of room",
            dedup_evictions.clone(),
        );
        let dedup_claim_duration = DurationHistogram::default();
        registry.register_with_unit(
            "dedup_claim_duration",
            "How long the shared dedup store took to answer a claim",
            Unit::Seconds,
            dedup_claim_duration.clone(),
        );
        let dedup_store_up = Gauge::default();
        registry.register("dedup_store_up", "1 if the dedup store can be asked", dedup_store_up.clone());
        let dedup_store_errors = Counter::default();
        registry.register(
            "dedup_store_errors",
            "Operations of the dedup store that failed or took too long",
            dedup_store_errors.clone(),
        );
        let dedup_store_may_evict = Gauge::default();
        registry.register(
            "dedup_store_may_evict",
            "1 if the dedup store is set up to forget events before their time",
            dedup_store_may_evict.clone(),
        );
        let dedup_settlements_owed = Gauge::default();
        registry.register(
            "dedup_settlements_owed",
            "Commits and releases that the dedup store still has to be told",
            dedup_settlements_owed.clone(),
        );
        let dedup_settlements_dropped = Counter::default();
        registry.register(
            "dedup_settlements_dropped",
            "Commits and releases that the dedup store will never be told, for want of room",
            dedup_settlements_dropped.clone(),
        );
        let attempts = Family::default();
        registry.register("delivery_attempts", "Attempts at deliveries by source and outcome", attempts.clone());
        let attempt_duration = Family::default();
        registry.register_with_unit(
            "delivery_attempt_duration",
            "From the start of an attempt to the end of its destination's answer",
            Unit::Seconds,
            attempt_duration.clone(),
        );
        let published = Family::default();
        registry.register("sender_events", "Events handed over by apps, by outcome", published.clone());
        let grouped = Counter::default();
        registry.register(
            "sender_occurrences",
            "Events counted for webhooks that get the 1st, 10th, 100th of them, whether told or not",
            grouped.clone(),
        );
        let disabled = Family::default();
        registry.register("sender_webhooks_disabled", "Webhooks switched off, by reason", disabled.clone());
        let deliveries_in_flight = Gauge::default();
        registry.register("deliveries_in_flight", "Attempts under way now", deliveries_in_flight.clone());
        let circuits_open = Gauge::default();
        registry.register(
            "delivery_circuits_open",
            "Destinations in trouble, which get one probe at a time",
            circuits_open.clone(),
        );
        let reload_successful = Gauge::default();
        reload_successful.set(1);
        registry.register(
            "config_last_reload_successful",
            "1 if the configuration was taken over when it was last read",
            reload_successful.clone(),
        );
        let list_age = Family::default();
        registry.register_with_unit(
            "gateway_addresses_age",
            "How long ago a provider published the addresses that are let in for it",
            Unit::Seconds,
            list_age.clone(),
        );
        let list_networks = Family::default();
        registry.register(
            "gateway_addresses_networks",
            "Entries of the address lists that are in force, by provider",
            list_networks.clone(),
        );
        let list_refreshes = Family::default();
        registry.register(
            "gateway_addresses_refreshes",
            "Requests for providers' address lists, by what came of them",
            list_refreshes.clone(),
        );
        registry.register("build", "The running program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            registry,
            published,
            grouped,
            disabled,
            requests,
            request_duration,
            upstream_duration,
            shadowed,
            possible_duplicates,
            conflicts,
            in_flight,
            connections,
            buffered_bytes,
            dedup_entries,
            dedup_evictions,
            dedup_claim_duration,
            dedup_store_up,
            dedup_store_errors,
            dedup_store_may_evict,
            dedup_settlements_owed,
            dedup_settlements_dropped,
            attempts,
            attempt_duration,
            deliveries_in_flight,
            circuits_open,
            reload_successful,
            list_age,
            list_networks,
            list_refreshes,
        }
    }

    /// The metrics of the source called `name`; the empty name is for requests that reach none.
    pub fn source(&self, name: &str) -> Arc<SourceMetrics> {
        let label = SourceLabel { source: name.to_owned() };
        let outcomes = Outcome::all().map(|outcome| {
            let (outcome, reason) = (outcome.as_str(), outcome.reason().unwrap_or_default());
            self.requests.get_or_create_owned(&RequestLabels { source: name.to_owned(), outcome, reason })
        });
        let shadowed = Reason::ALL.into_iter().map(|reason| {
            self.shadowed.get_or_create_owned(&ReasonLabels { source: name.to_owned(), reason: reason.as_str() })
        });
        Arc::new(SourceMetrics {
            outcomes: outcomes.collect(),
            shadowed: shadowed.collect(),
            sampler: Sampler::default(),
            request_duration: self.request_duration.get_or_create_owned(&label),
            upstream_duration: self.upstream_duration.get_or_create_owned(&label),
            possible_duplicates: self.possible_duplicates.get_or_create_owned(&label),
            conflicts: self.conflicts.get_or_create_owned(&label),
        })
    }

    /// The metrics of the sender.
    pub fn sender(&self) -> Arc<SenderMetrics> {
        let published = ["kept", "duplicate", "conflict"]
            .map(|outcome| self.published.get_or_create_owned(&OutcomeLabel { outcome }));
        let disabled =
            ["failing", "gone", "exhausted"].map(|reason| self.disabled.get_or_create_owned(&ReasonLabel { reason }));
        Arc::new(SenderMetrics { published, grouped: self.grouped.clone(), disabled })
    }

    /// The metrics of a provider's address list, but for its age.
    pub fn list(&self, provider: &str) -> ListMetrics {
        let results = RefreshResult::ALL.map(|(_, result)| {
            self.list_refreshes.get_or_create_owned(&RefreshLabels { provider: provider.to_owned(), result })
        });
        let networks = self.list_networks.get_or_create_owned(&ProviderLabel { provider: provider.to_owned() });
        ListMetrics { results: results.to_vec(), networks }
    }

    /// Sets how many seconds old a provider's address list is; `None` where there is none yet.
    pub fn set_list_age(&self, provider: &str, seconds: Option<i64>) {
        let label = ProviderLabel { provider: provider.to_owned() };
        match seconds {
            Some(seconds) => {
                self.list_age.get_or_create_owned(&label).set(seconds);
            }
            None => {
                self.list_age.remove(&label);
            }
        }
    }

    /// Says nothing more of the address list of a provider that no source has any more.
    pub fn forget_list(&self, provider: &str) {
        self.set_list_age(provider, None);
        self.list_networks.remove(&ProviderLabel { provider: provider.to_owned() });
        for (_, result) in RefreshResult::ALL {
            self.list_refreshes.remove(&RefreshLabels { provider: provider.to_owned(), result });
        }
    }

    /// The metrics of the deliveries of the source called `name`.
    pub fn deliveries(&self, name: &str) -> Arc<DeliveryMetrics> {
        let outcomes = AttemptOutcome::ALL
            .map(|(_, outcome)| self.attempts.get_or_create_owned(&AttemptLabels { source: name.to_owned(), outcome }));
        let label = SourceLabel { source: name.to_owned() };
        let attempt_duration = self.attempt_duration.get_or_create_owned(&label);
        Arc::new(DeliveryMetrics { outcomes: outcomes.to_vec(), attempt_duration })
    }

    /// The whole of it, in the text format of Prometheus.
    ///
    /// # Errors
    /// None that a `String` could give.
    pub fn render(&self, dedup: DedupStats) -> Result<String, fmt::Error> {
        self.dedup_entries.set(dedup.entries.try_into().unwrap_or(i64::MAX));
        self.dedup_evictions.inner().store(dedup.evictions, Ordering::Relaxed);
        self.dedup_store_up.set(dedup.store_up.into());
        self.dedup_store_errors.inner().store(dedup.store_errors, Ordering::Relaxed);
        self.dedup_store_may_evict.set(dedup.store_may_evict.into());
        self.dedup_settlements_owed.set(dedup.owed.try_into().unwrap_or(i64::MAX));
        self.dedup_settlements_dropped.inner().store(dedup.owed_dropped, Ordering::Relaxed);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl SourceMetrics {
    /// Counts a request that is forwarded although it was rejected.
    pub fn count_shadowed(&self, reason: Reason) {
        self.shadowed[reason as usize].inc();
    }

    /// Counts a request.
    pub fn count(&self, outcome: Outcome) {
        self.outcomes[outcome.index()].inc();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        let source = metrics.source("vanta");
        source.count(Outcome::Rejected(Reason::TimestampStale));
        source.request_duration.observe(Duration::from_micros(250));
        source.request_duration.observe(Duration::from_micros(251));
        let text =
            metrics.render(DedupStats { entries: 3, evictions: 1, owed: 2, ..DedupStats::default() }).expect("text");
        for line in [
            r#"hookward_gateway_requests_total{source="vanta",outcome="rejected",reason="timestamp_stale"} 1"#,
            r#"hookward_gateway_request_duration_seconds_bucket{le="0.00025",source="vanta"} 1"#,
            r#"hookward_gateway_request_duration_seconds_bucket{le="+Inf",source="vanta"} 2"#,
            "hookward_dedup_entries 3",
            "hookward_dedup_evictions_total 1",
            "hookward_dedup_settlements_owed 2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
