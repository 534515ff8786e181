//! How a destination is doing: how much it gets at once, and whether it is left alone for a while.
//!
//! Closed until it fails many times in a row; then open, which means that nothing is leased for it; after a while one
//! probe; and when that succeeds, twice as much each time until it has its whole limit again. One of which nothing is
//! known begins with a few attempts and grows in the same way, so that one that never answers holds few of them.

use std::time::Duration;

/// So many failures in a row open the circuit.
const FAILURES_TO_OPEN: u32 = 10;

/// What one gets at once of which nothing is known, and one that has just come back.
const FIRST_RAMP: usize = 8;
const PROBED_RAMP: usize = 2;

/// Of what it gets at once, how many batches that is, and how large one is at most.
const BATCHES_AT_ONCE: usize = 4;
const BATCH: usize = 4;

/// The first pause, doubled each time the probe fails, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The health of one destination. Times are monotonic.
#[derive(Debug)]
pub struct Health {
    circuit: Circuit,
    in_flight: usize,
    /// True if the last attempt that said anything of it found it well.
    proven: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed {
        /// In a row.
        failures: u32,
        /// So many open it.
        patience: u32,
        /// What it gets at once, up to its limit.
        ramp: usize,
        /// Since the ramp last grew.
        successes: usize,
    },
    Open {
        until: Duration,
        pause: Duration,
    },
    Probing {
        pause: Duration,
    },
}

/// What an attempt says of its destination's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answered, and was not in trouble.
    Well,
    /// No answer, or one that says that it is in trouble.
    Trouble,
    /// Nothing is known of it: something of ours was in the way.
    Unknown,
}

impl Default for Health {
    fn default() -> Self {
        let circuit = Circuit::Closed { failures: 0, patience: FAILURES_TO_OPEN, ramp: FIRST_RAMP, successes: 0 };
        Self { circuit, in_flight: 0, proven: false }
    }
}

impl Health {
    /// How many more attempts may begin `now`, of `limit` at once.
    pub fn room(&self, limit: usize, now: Duration) -> usize {
        match self.circuit {
            Circuit::Closed { ramp, .. } => ramp.min(limit).saturating_sub(self.in_flight),
            Circuit::Open { until, .. } => usize::from(until <= now),
            Circuit::Probing { .. } => 0,
        }
    }

    /// The same, where it is worth while to ask the store: where a busy one has room for a few, so that leases come in
    /// batches.
    pub fn room_for_batch(&self, limit: usize, now: Duration) -> usize {
        let room = self.room(limit, now);
        let least = ((room + self.in_flight) / BATCHES_AT_ONCE).clamp(1, BATCH);
        if room < least { 0 } else { room }
    }

    /// When there will be room, where only time is in the way.
    pub fn opens_at(&self) -> Option<Duration> {
        match self.circuit {
            Circuit::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// True while it is left alone, or only probed.
    pub fn is_open(&self) -> bool {
        matches!(self.circuit, Circuit::Open { .. } | Circuit::Probing { .. })
    }

    /// True if all that is known of it is good, and something is.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// True if no attempt is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// An attempt begins.
    pub fn begin(&mut self) {
        self.in_flight += 1;
        if let Circuit::Open { pause, .. } = self.circuit {
            self.circuit = Circuit::Probing { pause };
        }
    }

    /// An attempt ended. `chance`, from 0 to 1, keeps many destinations from being probed at the same moment.
    pub fn end(&mut self, sign: Sign, limit: usize, now: Duration, chance: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.proven = match sign {
            Sign::Well => true,
            Sign::Trouble => false,
            Sign::Unknown => self.proven,
        };
        let open = |pause: Duration| Circuit::Open { until: now + pause.mul_f64(1.0 + chance / 4.0), pause };
        self.circuit = match (self.circuit, sign) {
            (Circuit::Closed { failures, patience, .. }, Sign::Trouble) if failures + 1 >= patience => {
                open(FIRST_PAUSE)
            }
            (Circuit::Closed { failures, patience, ramp, successes }, Sign::Trouble) => {
                Circuit::Closed { failures: failures + 1, patience, ramp, successes }
            }
            (Circuit::Closed { patience, ramp, successes, .. }, Sign::Well) => grown(patience, ramp, successes, limit),
            (Circuit::Probing { .. }, Sign::Well) => {
                Circuit::Closed { failures: 0, patience: 1, ramp: PROBED_RAMP, successes: 0 }
            }
            (Circuit::Probing { pause }, Sign::Trouble) => open((pause * 2).min(LONGEST_PAUSE)),
            // The probe said nothing: another one, after the same pause.
            (Circuit::Probing { pause }, Sign::Unknown) => open(pause),
            // What began before the circuit opened changes nothing any more.
            (circuit @ Circuit::Open { .. }, _) | (circuit, Sign::Unknown) => circuit,
        };
    }
}

/// After one more success: as many successes as it gets at once let it get twice as much.
fn grown(patience: u32, ramp: usize, successes: usize, limit: usize) -> Circuit {
    if ramp >= limit {
        return Circuit::Closed { failures: 0, patience: FAILURES_TO_OPEN, ramp, successes: 0 };
    }
    if successes + 1 < ramp {
        return Circuit::Closed { failures: 0, patience, ramp, successes: successes + 1 };
    }
    Circuit::Closed { failures: 0, patience, ramp: (2 * ramp).min(limit), successes: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn attempt(health: &mut Health, sign: Sign, now: Duration) {
        health.begin();
        health.end(sign, LIMIT, now, 0.0);
    }

    fn opened() -> Health {
        let mut health = Health::default();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(health.room(LIMIT, at(0.0)), LIMIT);
            attempt(&mut health, Sign::Trouble, at(0.0));
        }
        health
    }

    #[test]
    fn a_busy_one_is_asked_for_in_batches() {
        let mut health = Health::default();
        let rooms = |health: &Health| (health.room(64, at(0.0)), health.room_for_batch(64, at(0.0)));
        (0..7).for_each(|_| health.begin());
        assert_eq!(rooms(&health), (1, 0));
        health.end(Sign::Well, 64, at(0.0), 0.0);
        assert_eq!(rooms(&health), (2, 2));
        let mut alone = Health::default();
        assert_eq!(alone.room_for_batch(1, at(0.0)), 1, "one at a time is a batch too");
        alone.begin();
        assert_eq!(alone.room_for_batch(1, at(0.0)), 0);
    }

    #[test]
    fn many_failures_in_a_row_open_it_and_one_success_between_them_does_not() {
        let mut health = Health::default();
        for _ in 0..3 {
            for _ in 0..FAILURES_TO_OPEN - 1 {
                attempt(&mut health, Sign::Trouble, at(0.0));
            }
            attempt(&mut health, Sign::Well, at(0.0));
        }
        assert_eq!(health.room(LIMIT, at(0.0)), LIMIT);
        assert_eq!(opened().room(LIMIT, at(0.0)), 0);
    }

    #[test]
    fn after_a_pause_there_is_one_probe() {
        let mut health = opened();
        assert_eq!(health.room(LIMIT, at(0.999)), 0);
        assert_eq!(health.room(LIMIT, at(1.0)), 1);
        health.begin();
        assert_eq!(health.room(LIMIT, at(5.0)), 0, "not a second one beside it");
        health.end(Sign::Trouble, LIMIT, at(5.0), 0.0);
        assert_eq!((health.room(LIMIT, at(6.9)), health.room(LIMIT, at(7.0))), (0, 1), "twice as long");
    }

    #[test]
    fn pauses_have_a_longest_one() {
        let mut health = opened();
        let mut now = at(1.0);
        for _ in 0..20 {
            attempt(&mut health, Sign::Trouble, now);
            now = health.opens_at().expect("it is open");
        }
        attempt(&mut health, Sign::Trouble, now);
        assert_eq!(health.opens_at(), Some(now + LONGEST_PAUSE));
    }

    #[test]
    fn a_probe_that_succeeds_lets_it_grow_to_its_limit() {
        let mut health = opened();
        let mut rooms = Vec::new();
        for _ in 0..8 {
            attempt(&mut health, Sign::Well, at(2.0));
            rooms.push(health.room(LIMIT, at(2.0)));
        }
        assert_eq!(rooms, [2, 2, 4, 4, 4, 4, 8, 8]);
        attempt(&mut health, Sign::Trouble, at(2.0));
        assert_eq!(health.room(LIMIT, at(2.0)), LIMIT, "it is as well as it was before");
    }

    #[test]
    fn one_of_which_nothing_is_known_begins_with_little() {
        let (mut health, limit) = (Health::default(), 64);
        let room = |health: &Health| health.room(limit, at(0.0));
        assert_eq!(room(&health), FIRST_RAMP);
        for _ in 0..FIRST_RAMP {
            health.begin();
            health.end(Sign::Well, limit, at(0.0), 0.0);
        }
        assert_eq!(room(&health), 2 * FIRST_RAMP);
        for _ in 0..200 {
            health.begin();
            health.end(Sign::Well, limit, at(0.0), 0.0);
        }
        assert_eq!(room(&health), limit);
    }

    #[test]
    fn trouble_while_it_grows_opens_it_again() {
        let mut health = opened();
        attempt(&mut health, Sign::Well, at(2.0));
        attempt(&mut health, Sign::Trouble, at(2.0));
        assert!(health.is_open());
    }

    #[test]
    fn what_was_ours_is_not_held_against_it() {
        let mut health = Health::default();
        for _ in 0..100 {
            attempt(&mut health, Sign::Unknown, at(0.0));
        }
        assert_eq!(health.room(LIMIT, at(0.0)), LIMIT);
        let mut health = opened();
        attempt(&mut health, Sign::Unknown, at(1.0));
        assert_eq!(health.room(LIMIT, at(2.0)), 1);
    }

    #[test]
    fn stragglers_of_an_outage_do_not_end_it() {
        let mut health = Health::default();
        (0..4).for_each(|_| health.begin());
        for _ in 0..FAILURES_TO_OPEN {
            attempt(&mut health, Sign::Trouble, at(0.0));
        }
        (0..4).for_each(|_| health.end(Sign::Well, LIMIT, at(0.5), 0.0));
        assert!(health.is_open());
        assert_eq!(health.room(LIMIT, at(1.0)), 1);
    }

    #[test]
    fn it_is_proven_by_what_it_last_showed() {
        let mut health = Health::default();
        assert!(!health.is_proven());
        for (sign, proven) in
            [(Sign::Well, true), (Sign::Unknown, true), (Sign::Trouble, false), (Sign::Unknown, false)]
        {
            attempt(&mut health, sign, at(0.0));
            assert_eq!(health.is_proven(), proven, "{sign:?}");
        }
    }
}
