//! What every store that outlives the process answers.

/// A store's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreClaim {
    /// Ours until the lease ends.
    Granted {
        /// True if the upstream may have handled the event before.
        possible_duplicate: bool,
    },
    /// Somebody else has it.
    InFlight,
    /// Handled within its time.
    Committed { fingerprint: u64 },
}

/// How an event stands, for those who wait for somebody else's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Absent,
    InFlight,
    Attempted,
    Committed,
}
