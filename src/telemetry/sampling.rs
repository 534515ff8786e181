//! Keeps strangers from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lines per second that pass.
const PER_SECOND: u64 = 10;

/// Lets a few of many alike lines through, and counts the others.
#[derive(Debug, Default)]
pub struct Sampler {
    /// The second that is running, since some moment.
    second: AtomicU64,
    passed: AtomicU64,
    suppressed: AtomicU64,
}

impl Sampler {
    /// `Some` if a line may be written now, with how many were left out since the last one that was. `now` is
    /// monotonic. Under contention a line too many may pass.
    pub fn pass(&self, now: Duration) -> Option<u64> {
        let second = now.as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.passed.store(0, Ordering::Relaxed);
        }
        if self.passed.fetch_add(1, Ordering::Relaxed) < PER_SECOND {
            Some(self.suppressed.swap(0, Ordering::Relaxed))
        } else {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_counted_in_the_next_line() {
        let sampler = Sampler::default();
        let at = |seconds| sampler.pass(Duration::from_secs(seconds));
        let passed = (0..25).filter(|_| at(1).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(at(2), Some(15));
        assert_eq!(at(2), Some(0));
    }
}
