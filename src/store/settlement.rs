//! What came of an attempt, as it is written down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Id, State};
use crate::clock::UnixMillis;

/// What became of a leased delivery.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub id: Id,
    pub token: i64,
    pub verdict: Verdict,
    pub attempt: Attempt,
    /// The endpoint whose health and numbers it counts towards; `None` for upstreams and for tests.
    pub endpoint: Option<Arc<str>>,
}

/// Why a delivery is dead whose endpoint answered that it is gone.
pub const GONE: &str = "gone";

/// What is to be done with a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The destination has it.
    Delivered,
    /// Again, not before then.
    Again {
        due_at: UnixMillis,
        /// True if the destination may have had it already.
        possible_duplicate: bool,
    },
    /// No more attempts are made.
    Dead {
        /// True if the destination may have it all the same.
        possible_duplicate: bool,
        /// `exhausted`, `expired` or `gone`.
        reason: &'static str,
        consequence: Consequence,
    },
}

/// What follows from a delivery whose attempts or time are used up. It has failed, whichever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Consequence {
    /// It is a dead letter.
    #[default]
    Fail,
    /// It counts as cancelled.
    Cancel,
    /// It is a dead letter, and its endpoint is to be switched off; not if the last attempt failed for a reason of ours.
    Disable,
}

/// One try at a delivery, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub started_at: UnixMillis,
    pub duration: Duration,
    /// Of the answer, where there was one.
    pub status: Option<u16>,
    pub error: Option<String>,
    /// False if it failed for a reason of ours: then it does not count.
    pub charged: bool,
    /// What was sent and answered, as JSON; `None` for upstreams.
    pub exchange: Option<Bytes>,
}

impl Verdict {
    /// True if its endpoint wants nothing any more.
    pub(super) fn says_gone(&self) -> bool {
        matches!(self, Self::Dead { reason: GONE, .. })
    }

    /// True if its endpoint is to be switched off.
    pub fn disables(&self) -> bool {
        matches!(self, Self::Dead { consequence: Consequence::Disable, .. })
    }
}

impl Consequence {
    /// Where the delivery stands then.
    pub(super) fn state(self) -> State {
        match self {
            Self::Fail | Self::Disable => State::Dead,
            Self::Cancel => State::Cancelled,
        }
    }
}

impl Attempt {
    pub(super) fn ended_at(&self) -> UnixMillis {
        self.started_at.after(self.duration)
    }

    pub(super) fn millis(&self) -> i64 {
        i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX)
    }
}
