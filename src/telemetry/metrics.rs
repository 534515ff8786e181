//! Every metric, in one list. Labels come from closed sets: no ids, no URLs, no addresses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Registry, Unit};

use crate::dedup::MemoryStats;
use crate::rejection::Reason;
use crate::telemetry::sampling::Sampler;

/// How a request ended. The `outcome` of `gateway_requests_total` and of the request's log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Refused at the door, by reason.
    Rejected(Reason),
    /// A request that only asks whether somebody is there, answered here.
    Challenge,
    /// A copy of a finished event: answered as accepted, not forwarded.
    Duplicate,
    /// A copy that got its owner's success.
    SharedSuccess,
    /// A copy that got its owner's failure.
    SharedFailure,
    /// A copy that waited as long as it may.
    Busy,
    /// Forwarded, and the upstream took it.
    Forwarded,
    /// Forwarded, and the upstream did not take it.
    Refused,
    /// The upstream could not be reached, or broke off.
    Unreachable,
    /// The upstream did not answer in time.
    Timeout,
}

impl Outcome {
    /// The `outcome` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Challenge => "challenge",
            Self::Duplicate | Self::SharedSuccess | Self::SharedFailure => "duplicate",
            Self::Busy => "busy",
            Self::Forwarded => "forwarded",
            Self::Refused | Self::Unreachable | Self::Timeout => "failed",
        }
    }

    /// The `reason`; `None` where the outcome says it all.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Rejected(reason) => Some(reason.as_str()),
            Self::SharedSuccess => Some("owner_succeeded"),
            Self::SharedFailure => Some("owner_failed"),
            Self::Busy => Some("in_flight"),
            Self::Refused => Some("upstream_status"),
            Self::Unreachable => Some("upstream_unreachable"),
            Self::Timeout => Some("upstream_timeout"),
            Self::Challenge | Self::Duplicate | Self::Forwarded => None,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.into_iter().map(Self::Rejected).chain([
            Self::Challenge,
            Self::Duplicate,
            Self::SharedSuccess,
            Self::SharedFailure,
            Self::Busy,
            Self::Forwarded,
            Self::Refused,
            Self::Unreachable,
            Self::Timeout,
        ])
    }

    /// Its place among [`Self::all`].
    fn index(self) -> usize {
        let after = Reason::ALL.len();
        match self {
            Self::Rejected(reason) => reason as usize,
            Self::Challenge => after,
            Self::Duplicate => after + 1,
            Self::SharedSuccess => after + 2,
            Self::SharedFailure => after + 3,
            Self::Busy => after + 4,
            Self::Forwarded => after + 5,
            Self::Refused => after + 6,
            Self::Unreachable => after + 7,
            Self::Timeout => after + 8,
        }
    }
}

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

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
    pub reload_successful: Gauge,
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
        let reload_successful = Gauge::default();
        reload_successful.set(1);
        registry.register(
            "config_last_reload_successful",
            "1 if the configuration was taken over when it was last read",
            reload_successful.clone(),
        );
        registry.register("build", "The running program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            registry,
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
            reload_successful,
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

    /// The whole of it, in the text format of Prometheus.
    ///
    /// # Errors
    /// None that a `String` could give.
    pub fn render(&self, dedup: MemoryStats) -> Result<String, fmt::Error> {
        self.dedup_entries.set(dedup.entries.try_into().unwrap_or(i64::MAX));
        self.dedup_evictions.inner().store(dedup.evictions, Ordering::Relaxed);
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

/// Upper bounds of a duration's buckets, in microseconds.
const BOUNDS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 25_000_000,
];

/// A histogram of durations without a lock: the library's own takes one for each observation.
#[derive(Debug, Clone, Default)]
pub struct DurationHistogram(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl DurationHistogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl TypedMetric for DurationHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for DurationHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64()).chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_place_and_labels() {
        for (place, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.index(), place, "{outcome:?}");
        }
        let mut labels: Vec<_> = Outcome::all().map(|outcome| (outcome.as_str(), outcome.reason())).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Outcome::all().count());
    }

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        let source = metrics.source("vanta");
        source.count(Outcome::Rejected(Reason::TimestampStale));
        source.request_duration.observe(Duration::from_micros(250));
        source.request_duration.observe(Duration::from_micros(251));
        let text = metrics.render(MemoryStats { entries: 3, evictions: 1 }).expect("text");
        for line in [
            r#"hookward_gateway_requests_total{source="vanta",outcome="rejected",reason="timestamp_stale"} 1"#,
            r#"hookward_gateway_request_duration_seconds_bucket{le="0.00025",source="vanta"} 1"#,
            r#"hookward_gateway_request_duration_seconds_bucket{le="+Inf",source="vanta"} 2"#,
            "hookward_dedup_entries 3",
            "hookward_dedup_evictions_total 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
