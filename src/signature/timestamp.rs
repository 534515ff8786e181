//! A message's timestamp, and how far from now it may be.

use std::time::Duration;

use http::HeaderName;

use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// Where a scheme keeps its timestamp, and how far it may be from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampScheme {
    /// Its header; `None` where it stands in the signature's value.
    pub header: Option<HeaderName>,
    /// How far into the past or the future, both included.
    pub tolerance: Duration,
}

impl TimestampScheme {
    /// Refuses a time that is out of tolerance.
    ///
    /// # Errors
    /// `TimestampStale` from one second past the tolerance on, `TimestampFuture` likewise.
    pub fn check(&self, timestamp: UnixTime, now: UnixTime) -> Result<(), Rejection> {
        let tolerance = self.tolerance;
        let seconds = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
        let age = now.seconds_since(timestamp);
        if age > seconds {
            return Err(Rejection::TimestampStale { age, tolerance });
        }
        let ahead = timestamp.seconds_since(now);
        if ahead > seconds {
            return Err(Rejection::TimestampFuture { ahead, tolerance });
        }
        Ok(())
    }
}

/// Seconds since the epoch: `[1-9][0-9]{0,11}`.
///
/// # Errors
/// `TimestampMalformed` for anything else: a sign, spaces, a leading zero, milliseconds.
///
/// Source: Standard Webhooks, "Webhook headers" (read 2026-11-21); the length bound is ours.
pub fn parse_seconds(text: &str) -> Result<UnixTime, Rejection> {
    let malformed = |why: &str| Err(Rejection::TimestampMalformed(why.to_owned()));
    if text.is_empty() || text.len() > 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return malformed("1 to 12 digits are wanted");
    }
    if text.starts_with('0') {
        return malformed("it begins with a zero");
    }
    match text.parse() {
        Ok(seconds) => Ok(UnixTime(seconds)),
        Err(_) => malformed("1 to 12 digits are wanted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Reason;

    fn verdict(timestamp: i64, now: i64) -> Option<Reason> {
        let scheme = TimestampScheme { header: None, tolerance: Duration::from_secs(300) };
        scheme.check(UnixTime(timestamp), UnixTime(now)).err().map(|rejection| rejection.reason())
    }

    #[test]
    fn the_tolerance_is_included_both_ways() {
        assert_eq!(verdict(1000, 1300), None);
        assert_eq!(verdict(1000, 1301), Some(Reason::TimestampStale));
        assert_eq!(verdict(1300, 1000), None);
        assert_eq!(verdict(1301, 1000), Some(Reason::TimestampFuture));
        assert_eq!(verdict(i64::MAX, i64::MIN), Some(Reason::TimestampFuture));
    }

    #[test]
    fn only_plain_seconds_are_a_timestamp() {
        assert_eq!(parse_seconds("1760000000"), Ok(UnixTime(1_760_000_000)));
        for bad in
            ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "1e9", "NaN", "1760000000000", "١٢٣", "18446744073709551616"]
        {
            assert!(matches!(parse_seconds(bad), Err(Rejection::TimestampMalformed(_))), "{bad:?}");
        }
    }
}
