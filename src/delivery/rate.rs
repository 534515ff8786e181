//! How fast a destination gets its deliveries.

use std::time::Duration;

/// So many a second, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Above 0.
    pub per_second: f64,
    /// At least 1.
    pub burst: u32,
}

/// What is left of a destination's rate. Times are monotonic.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// What was taken and has not come back yet, as of `at`.
    taken: f64,
    at: Duration,
}

impl Bucket {
    /// How many attempts may begin `now`.
    pub fn room(&self, rate: Rate, now: Duration) -> usize {
        let left = (f64::from(rate.burst) - self.taken_at(rate, now)).floor();
        // A float becomes the nearest number that there is: none below zero.
        left as usize
    }

    /// When there is room for one; now or earlier where there is.
    pub fn opens_at(&self, rate: Rate, now: Duration) -> Duration {
        let missing = self.taken_at(rate, now) + 1.0 - f64::from(rate.burst);
        let wait = Duration::try_from_secs_f64((missing / rate.per_second).max(0.0)).unwrap_or(Duration::MAX);
        // A hair later, so that rounding does not let it be looked at in vain.
        now.saturating_add(wait).saturating_add(Duration::from_micros(u64::from(!wait.is_zero())))
    }

    /// An attempt begins.
    pub fn take(&mut self, rate: Rate, now: Duration) {
        *self = Self { taken: self.taken_at(rate, now) + 1.0, at: now };
    }

    fn taken_at(&self, rate: Rate, now: Duration) -> f64 {
        let back = now.saturating_sub(self.at).as_secs_f64() * rate.per_second;
        (self.taken - back).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3 };

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.room(RATE, at(10.0)), 3);
        for _ in 0..3 {
            bucket.take(RATE, at(10.0));
        }
        assert_eq!((bucket.room(RATE, at(10.0)), bucket.room(RATE, at(10.49))), (0, 0));
        assert_eq!(bucket.opens_at(RATE, at(10.0)).as_millis(), 10_500);
        assert_eq!([10.51, 11.01, 11.51, 99.0].map(|now| bucket.room(RATE, at(now))), [1, 2, 3, 3]);
    }

    #[test]
    fn when_there_is_room_again_there_is() {
        let rate = Rate { per_second: 0.3, burst: 1 };
        let (mut bucket, mut now) = (Bucket::default(), at(1.0));
        for _ in 0..1000 {
            assert_eq!(bucket.room(rate, now), 1);
            bucket.take(rate, now);
            let next = bucket.opens_at(rate, now);
            assert!(next - now >= at(3.3) && next - now < at(3.4));
            now = next;
        }
    }

    #[test]
    fn a_rate_that_changes_counts_at_once() {
        let mut bucket = Bucket::default();
        (0..3).for_each(|_| bucket.take(RATE, at(1.0)));
        assert_eq!(bucket.room(Rate { per_second: 2.0, burst: 10 }, at(1.0)), 7);
        assert_eq!(bucket.room(Rate { per_second: 100.0, burst: 3 }, at(1.1)), 3);
    }
}
