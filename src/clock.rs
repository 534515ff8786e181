//! What time it is, as a value that is passed in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A moment, in whole seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// How long after `earlier` this is: negative when it is before. Never overflows.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment, moved into the future. A duration's fraction of a second is dropped.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z: what stores keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This moment, moved into the future. Never overflows.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment, moved into the past. Never overflows.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for UnixMillis {
    /// As RFC 3339 has it, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => self.0.fmt(f),
        }
    }
}

impl FromStr for UnixMillis {
    type Err = String;

    /// Reads what RFC 3339 has.
    fn from_str(text: &str) -> Result<Self, String> {
        let time: Timestamp =
            text.parse().map_err(|_| format!("\"{text}\" is not a time, for example \"2026-11-22T08:00:00Z\""))?;
        Ok(Self(time.as_millisecond()))
    }
}

impl Serialize for UnixMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the time comes from: the system, or a test that sets it.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's wall clock.
    #[default]
    System,
    /// Seconds since the epoch, as somebody else last set them.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The time now. A system clock set before 1970 reads as 1970.
    pub fn now(&self) -> UnixTime {
        match self {
            Self::System => {
                let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixTime(0).after(elapsed)
            }
            Self::Manual(seconds) => UnixTime(seconds.load(Ordering::Relaxed)),
        }
    }

    /// The same, to the millisecond.
    pub fn millis(&self) -> UnixMillis {
        match self {
            Self::System => UnixMillis(0).after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Manual(seconds) => UnixMillis(seconds.load(Ordering::Relaxed).saturating_mul(1000)),
        }
    }

    /// Time that never runs backwards, since some moment before.
    pub fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => START.elapsed(),
            Self::Manual(seconds) => Duration::from_secs(seconds.load(Ordering::Relaxed).try_into().unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_they_are_read() {
        let moment = UnixMillis(1_760_000_000_250);
        assert_eq!(moment.to_string(), "2025-10-09T08:53:20.250Z");
        assert_eq!(moment.to_string().parse(), Ok(moment));
        assert_eq!("2025-10-09T10:53:20+02:00".parse(), Ok(UnixMillis(1_760_000_000_000)));
        assert!("yesterday".parse::<UnixMillis>().is_err());
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
    }
}
