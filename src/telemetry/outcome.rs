//! How requests end: the closed set behind metrics and log lines.

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

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Reason::ALL.into_iter().map(Self::Rejected).chain([
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
        ])
    }

    /// Its place among [`Self::all`].
    pub fn index(self) -> usize {
        let after = Reason::ALL.len();
        match self {
            Self::Rejected(reason) => reason as usize,
            Self::Challenge => after,
            Self::Unmet => after + 1,
            Self::Duplicate => after + 2,
            Self::SharedSuccess => after + 3,
            Self::SharedFailure => after + 4,
            Self::Busy => after + 5,
            Self::StoreDown => after + 6,
            Self::Dropped => after + 7,
            Self::Stored => after + 8,
            Self::Forwarded => after + 9,
            Self::Refused => after + 10,
            Self::Unreachable => after + 11,
            Self::Timeout => after + 12,
            Self::TemplateFailed => after + 13,
        }
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
}
