//! How things end: the closed sets behind metrics and log lines.

use crate::rejection::Reason;

/// How a request ended. The `outcome` of `gateway_requests_total` and of the request's log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Refused at the door, by reason.
    Rejected(Reason),
    /// A request that only asks whether somebody is there, answered here.
    Challenge,
    /// A challenge about which something had to be done, and could not be.
    Unmet,
    /// A copy of a finished event: answered as accepted, not forwarded.
    Duplicate,
    /// A copy that got its owner's success.
    SharedSuccess,
    /// A copy that got its owner's failure.
    SharedFailure,
    /// A copy that waited as long as it may.
    Busy,
    /// A store that had to be asked could not be.
    StoreDown,
    /// Acknowledged, and wanted by nobody.
    Dropped,
    /// Stored, to be delivered after.
    Stored,
    /// Forwarded, and the upstream took it.
    Forwarded,
    /// Forwarded, and the upstream did not take it.
    Refused,
    /// The upstream could not be reached, or broke off.
    Unreachable,
    /// The upstream did not answer in time.
    Timeout,
    /// Its template made no message of it.
    TemplateFailed,
}

impl Outcome {
    /// The `outcome` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::Challenge | Self::Unmet => "challenge",
            Self::Duplicate | Self::SharedSuccess | Self::SharedFailure => "duplicate",
            Self::Busy => "busy",
            Self::StoreDown => "unavailable",
            Self::Dropped => "dropped",
            Self::Stored => "stored",
            Self::Forwarded => "forwarded",
            Self::Refused | Self::Unreachable | Self::Timeout | Self::TemplateFailed => "failed",
        }
    }

    /// The `reason`; `None` where the outcome says it all.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Rejected(reason) => Some(reason.as_str()),
            Self::Unmet => Some("challenge_unmet"),
            Self::SharedSuccess => Some("owner_succeeded"),
            Self::SharedFailure => Some("owner_failed"),
            Self::Busy => Some("in_flight"),
            Self::StoreDown => Some("store_down"),
            Self::Refused => Some("upstream_status"),
            Self::Unreachable => Some("upstream_unreachable"),
            Self::Timeout => Some("upstream_timeout"),
            Self::TemplateFailed => Some("template_failed"),
            Self::Challenge | Self::Duplicate | Self::Dropped | Self::Stored | Self::Forwarded => None,
        }
    }

    /// Those that are no refusal at the door.
    const ADMITTED: [Self; 14] = [
        Self::Challenge,
        Self::Unmet,
        Self::Duplicate,
        Self::SharedSuccess,
        Self::SharedFailure,
        Self::Busy,
        Self::StoreDown,
        Self::Dropped,
        Self::Stored,
        Self::Forwarded,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::TemplateFailed,
    ];

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.into_iter().map(Self::Rejected).chain(Self::ADMITTED)
    }

    /// Its place among [`Self::all`].
    pub fn index(self) -> usize {
        match self {
            Self::Rejected(reason) => reason as usize,
            admitted => Reason::ALL.len() + Self::ADMITTED.iter().take_while(|known| **known != admitted).count(),
        }
    }
}

/// How an attempt at a delivery ended. The `outcome` of `delivery_attempts_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The destination has it.
    Delivered,
    /// It answered something else.
    Refused,
    /// It could not be reached, or broke off.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// Something of ours was in the way: the attempt does not count.
    Ours,
    /// It was the last one, and failed: a dead letter.
    Dead,
}

impl AttemptOutcome {
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Delivered, "delivered"),
        (Self::Refused, "refused"),
        (Self::Unreachable, "unreachable"),
        (Self::Timeout, "timeout"),
        (Self::Ours, "ours"),
        (Self::Dead, "dead"),
    ];
}

/// What came of asking for a provider's address list. The `result` of `gateway_addresses_refreshes_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshResult {
    /// There is a new one.
    Ok,
    /// It is the one that was known.
    Unchanged,
    /// There was no answer, or none that is meant to be a list.
    Unreachable,
    /// What came is no list that could be believed.
    Refused,
}

impl RefreshResult {
    pub(super) const ALL: [(Self, &'static str); 4] = [
        (Self::Ok, "ok"),
        (Self::Unchanged, "unchanged"),
        (Self::Unreachable, "unreachable"),
        (Self::Refused, "refused"),
    ];
}

/// What became of an event that an app handed over. The `outcome` of `sender_events_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// It is on the disk, with what is owed of it.
    Kept,
    /// It was there already.
    Duplicate,
    /// Another event has its id.
    Conflict,
}

/// Why a webhook was switched off. The `reason` of `sender_webhooks_disabled_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBy {
    /// It failed for too long.
    Failing,
    /// It answered 410.
    Gone,
    /// All attempts at an event were used up.
    Exhausted,
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
}
