//! When a delivery is tried again.

mod reading;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::UnixMillis;

/// The waits between attempts, and for how long there are any.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub waits: Waits,
    /// No attempt begins later than this after the delivery was first owed.
    pub window: Duration,
    /// How much longer a wait may get by chance, as a part of it: 0 for none, 1 for up to twice.
    pub jitter: f64,
}

/// The waits between attempts; the first one follows failed attempt 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Waits {
    /// One attempt more than there are waits.
    List(Vec<Duration>),
    /// Each wait is `factor` times the one before, up to `max`. Only the window ends it, with one last attempt.
    Exponential { initial: Duration, factor: f64, max: Duration },
}

impl Schedule {
    /// When to try again after attempt `attempt`, which counts from 1, failed at `now`. `None` when attempts or window
    /// are used up: a dead letter.
    ///
    /// `retry_after` is what the destination asked for. It delays an attempt up to the end of the window, and never
    /// brings one forward or takes one away. `chance` is from 0 to 1.
    pub fn next(
        &self,
        attempt: NonZeroU32,
        created_at: UnixMillis,
        now: UnixMillis,
        retry_after: Option<Duration>,
        chance: f64,
    ) -> Option<UnixMillis> {
        let wait = self.waits.after(attempt)?;
        let end = created_at.after(self.window);
        let due = now.after(wait.saturating_add(stretched(wait, self.jitter * chance)));
        let is_over = match self.waits {
            // Chance alone makes no dead letter.
            Waits::List(_) => now.after(wait) > end,
            // What is tried for a day is tried until the day ends.
            Waits::Exponential { .. } => now >= end,
        };
        if is_over {
            return None;
        }
        let asked = retry_after.map_or(due, |asked| now.after(asked));
        Some(due.max(asked).min(end))
    }

    /// True if there are no more attempts after attempt `attempt`, however much time is left.
    pub fn is_exhausted_after(&self, attempt: NonZeroU32) -> bool {
        self.waits.after(attempt).is_none()
    }

    /// The time between a delivery and its last attempt, at most.
    pub fn span(&self) -> Duration {
        match &self.waits {
            Waits::List(waits) => waits.iter().sum::<Duration>().min(self.window),
            Waits::Exponential { .. } => self.window,
        }
    }
}

impl Waits {
    fn after(&self, attempt: NonZeroU32) -> Option<Duration> {
        let place = attempt.get() - 1;
        match self {
            Self::List(waits) => waits.get(place as usize).copied(),
            Self::Exponential { initial, factor, max } => {
                let grown = initial.as_secs_f64() * factor.powi(i32::try_from(place).unwrap_or(i32::MAX));
                Some(Duration::try_from_secs_f64(grown).unwrap_or(*max).min(*max))
            }
        }
    }
}

/// A part of a duration; none of it if the part is not a number from 0.
pub fn stretched(duration: Duration, part: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * part).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BORN: UnixMillis = UnixMillis(1_760_000_000_000);

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    fn vanta() -> Schedule {
        let waits = Waits::List([1, 5, 15, 60].map(minutes).to_vec());
        Schedule { waits, window: minutes(240), jitter: 0.0 }
    }

    fn next(schedule: &Schedule, attempt: u32, age: Duration, asked: Option<Duration>) -> Option<Duration> {
        let now = BORN.after(age);
        let attempt = NonZeroU32::new(attempt).expect("attempts count from 1");
        schedule.next(attempt, BORN, now, asked, 0.5).map(|due| due.since(now))
    }

    #[test]
    fn a_list_has_one_attempt_more_than_waits() {
        for (attempt, wait) in [(1, 1), (2, 5), (3, 15), (4, 60)] {
            assert_eq!(next(&vanta(), attempt, minutes(1), None), Some(minutes(wait)), "{attempt}");
        }
        assert_eq!(next(&vanta(), 5, minutes(1), None), None);
    }

    #[test]
    fn the_window_ends_it_at_its_edge() {
        assert_eq!(next(&vanta(), 4, minutes(180), None), Some(minutes(60)));
        assert_eq!(next(&vanta(), 4, minutes(180) + Duration::from_millis(1), None), None);
    }

    #[test]
    fn what_the_destination_asks_for_only_delays() {
        assert_eq!(next(&vanta(), 2, minutes(10), Some(minutes(1))), Some(minutes(5)));
        assert_eq!(next(&vanta(), 2, minutes(10), Some(minutes(7))), Some(minutes(7)));
        assert_eq!(next(&vanta(), 2, minutes(10), Some(minutes(9999))), Some(minutes(230)), "the end of the window");
    }

    #[test]
    fn an_exponential_one_grows_to_its_maximum() {
        let waits = Waits::Exponential { initial: Duration::from_secs(5), factor: 2.0, max: minutes(60) };
        let schedule = Schedule { waits, window: minutes(3 * 24 * 60), jitter: 0.0 };
        let waits: Vec<u64> =
            (1..=12).filter_map(|attempt| next(&schedule, attempt, minutes(1), None)).map(|w| w.as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(next(&schedule, u32::MAX, minutes(1), None), Some(minutes(60)));
    }

    #[test]
    fn an_exponential_one_ends_with_an_attempt_at_the_end_of_its_window() {
        let waits = Waits::Exponential { initial: minutes(1), factor: 2.0, max: minutes(60) };
        let schedule = Schedule { waits, window: minutes(240), jitter: 0.0 };
        assert_eq!(next(&schedule, 9, minutes(180), None), Some(minutes(60)));
        assert_eq!(next(&schedule, 9, minutes(181), None), Some(minutes(59)), "not later");
        assert_eq!(next(&schedule, 9, minutes(240) - Duration::from_millis(1), None), Some(Duration::from_millis(1)));
        assert_eq!(next(&schedule, 9, minutes(240), None), None);
    }

    #[test]
    fn jitter_makes_waits_longer_within_the_window() {
        let schedule = Schedule { jitter: 0.2, ..vanta() };
        assert_eq!(next(&schedule, 2, minutes(1), None), Some(Duration::from_secs(330)), "half of 20 % more");
        assert_eq!(next(&schedule, 4, minutes(180), None), Some(minutes(60)), "not beyond the end of the window");
    }

    proptest::proptest! {
        #[test]
        fn an_attempt_is_never_early_and_never_beyond_the_window(
            attempt in 1u32..10, age in 0u64..20_000_000, asked in proptest::option::of(0u64..20_000_000), chance in 0.0f64..1.0,
        ) {
            let (schedule, now) = (Schedule { jitter: 1.0, ..vanta() }, BORN.after(Duration::from_millis(age)));
            let number = NonZeroU32::new(attempt).expect("from 1");
            if let Some(due) = schedule.next(number, BORN, now, asked.map(Duration::from_millis), chance) {
                proptest::prop_assert!(due >= now.after(schedule.waits.after(number).expect("a wait")));
                proptest::prop_assert!(due <= BORN.after(schedule.window));
            }
        }
    }
}
