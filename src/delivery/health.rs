//! How a destination is doing: how much it gets at once, and whether it is left alone for a while.
//!
//! Closed until it fails many times in a row; then open, which means that nothing is leased for it; after a while one
//! probe; and when that succeeds, twice as much each time until it has its whole limit again.

use std::time::Duration;

/// So many failures in a row open the circuit.
const FAILURES_TO_OPEN: u32 = 10;

/// The first pause, doubled each time the probe fails, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The health of one destination. Times are monotonic.
#[derive(Debug)]
pub struct Health {
    circuit: Circuit,
    in_flight: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Circuit {
    Closed {
        /// In a row.
        failures: u32,
    },
    Open {
        until: Duration,
        pause: Duration,
    },
    Probing {
        pause: Duration,
    },
    Ramping {
        limit: usize,
        /// At this limit.
        successes: usize,
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
        Self { circuit: Circuit::Closed { failures: 0 }, in_flight: 0 }
    }
}

impl Health {
    /// How many more attempts may begin `now`, of `limit` at once.
    pub fn room(&self, limit: usize, now: Duration) -> usize {
        let limit = match self.circuit {
            Circuit::Closed { .. } => limit,
            Circuit::Ramping { limit: ramp, .. } => ramp.min(limit),
            Circuit::Open { until, .. } if until <= now => return 1,
            Circuit::Open { .. } | Circuit::Probing { .. } => 0,
        };
        limit.saturating_sub(self.in_flight)
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

    /// True if nothing is known of it that a new one would not know.
    pub fn is_new(&self) -> bool {
        self.in_flight == 0 && self.circuit == Circuit::Closed { failures: 0 }
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
        let open = |pause: Duration| Circuit::Open { until: now + pause.mul_f64(1.0 + chance / 4.0), pause };
        self.circuit = match (self.circuit, sign) {
            (Circuit::Closed { failures }, Sign::Trouble) if failures + 1 >= FAILURES_TO_OPEN => open(FIRST_PAUSE),
            (Circuit::Closed { failures }, Sign::Trouble) => Circuit::Closed { failures: failures + 1 },
            (Circuit::Closed { .. }, Sign::Well) => Circuit::Closed { failures: 0 },
            (Circuit::Probing { .. }, Sign::Well) => Circuit::Ramping { limit: 2, successes: 0 },
            (Circuit::Probing { pause }, Sign::Trouble) => open((pause * 2).min(LONGEST_PAUSE)),
            // The probe said nothing: another one, after the same pause.
            (Circuit::Probing { pause }, Sign::Unknown) => open(pause),
            (Circuit::Ramping { limit: ramp, successes }, Sign::Well) if successes + 1 >= ramp => match ramp * 2 {
                grown if grown >= limit => Circuit::Closed { failures: 0 },
                grown => Circuit::Ramping { limit: grown, successes: 0 },
            },
            (Circuit::Ramping { limit, successes }, Sign::Well) => Circuit::Ramping { limit, successes: successes + 1 },
            (Circuit::Ramping { .. }, Sign::Trouble) => open(FIRST_PAUSE),
            // What began before the circuit opened changes nothing any more.
            (circuit @ Circuit::Open { .. }, _) | (circuit, Sign::Unknown) => circuit,
        };
    }
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
        assert!(health.is_new());
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
        assert!(health.is_new());
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
}
