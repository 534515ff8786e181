//! A message's timestamp, and how far from now it may be.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::place::Place;
use crate::clock::UnixTime;
use crate::rejection::Rejection;

/// Where a scheme keeps its timestamp, and how far it may be from now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimestampScheme {
    /// Where it stands; `None` where it is the `{timestamp}` of the signature's value.
    pub place: Option<Place>,
    pub unit: TimeUnit,
    pub tolerance: Tolerance,
    /// True where nothing separates it from what is signed beside it: then it has as many digits as the moments of our
    /// days have, or its last digit could as well be the first of its neighbour.
    pub fixed_width: bool,
}

impl TimestampScheme {
    /// The moment that `text` stands for.
    ///
    /// # Errors
    /// As [`TimeUnit::parse`].
    pub fn parse(&self, text: &str) -> Result<UnixTime, Rejection> {
        let wanted = match self.unit {
            TimeUnit::Seconds => 10,
            TimeUnit::Milliseconds => 13,
            TimeUnit::Iso8601 | TimeUnit::Iso8601Utc | TimeUnit::Rfc1123 => text.len(),
        };
        if self.fixed_width && text.len() != wanted {
            return Err(Rejection::TimestampMalformed(format!("{wanted} digits are wanted")));
        }
        self.unit.parse(text)
    }
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// `2025-10-09T08:53:20Z`, with any offset and any fraction (ISO 8601, RFC 3339).
    Iso8601,
    /// The same, or `2025-10-09T08:53:20` without an offset, which is in UTC then.
    Iso8601Utc,
    /// `Thu, 09 Oct 2025 08:53:20 GMT`, with or without the comma (RFC 1123).
    Rfc1123,
}

impl TimeUnit {
    /// The words of the scheme language.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("s", Self::Seconds),
        ("ms", Self::Milliseconds),
        ("iso8601", Self::Iso8601),
        ("iso8601-utc", Self::Iso8601Utc),
        ("rfc1123", Self::Rfc1123),
    ];

    /// The moment that `text` stands for. Fractions of a second are dropped.
    ///
    /// # Errors
    /// `TimestampMalformed` for anything that is not written in this unit: a sign, spaces, a leading zero, a date that
    /// does not exist, milliseconds for seconds.
    pub fn parse(self, text: &str) -> Result<UnixTime, Rejection> {
        let malformed = |why: &str| Rejection::TimestampMalformed(why.to_owned());
        match self {
            Self::Seconds => parse_digits(text, 12, "1 to 12 digits, seconds since 1970, are wanted"),
            Self::Milliseconds => {
                let time = parse_digits(text, 15, "1 to 15 digits, milliseconds since 1970, are wanted")?;
                Ok(UnixTime(time.0 / 1000))
            }
            Self::Iso8601 => match text.parse::<Timestamp>() {
                Ok(time) => Ok(UnixTime(time.as_second())),
                Err(_) => Err(malformed("a date as in 2025-10-09T08:53:20Z is wanted")),
            },
            Self::Iso8601Utc => match text.parse::<Timestamp>().ok().or_else(|| parse_without_offset(text)) {
                Some(time) => Ok(UnixTime(time.as_second())),
                None => Err(malformed("a date as in 2025-10-09T08:53:20 is wanted")),
            },
            Self::Rfc1123 => {
                parse_rfc1123(text).ok_or_else(|| malformed("a date as in Thu, 09 Oct 2025 08:53:20 GMT is wanted"))
            }
        }
    }

    /// The text for a moment.
    pub fn format(self, time: UnixTime) -> String {
        let date = |format| {
            let time = Timestamp::from_second(time.0).unwrap_or_default();
            strtime::format(format, &time.to_zoned(TimeZone::UTC)).unwrap_or_default()
        };
        match self {
            Self::Seconds => time.to_string(),
            Self::Milliseconds => time.0.saturating_mul(1000).to_string(),
            Self::Iso8601 => date("%Y-%m-%dT%H:%M:%SZ"),
            Self::Iso8601Utc => date("%Y-%m-%dT%H:%M:%S"),
            Self::Rfc1123 => date("%a, %d %b %Y %H:%M:%S GMT"),
        }
    }
}

/// Source: Standard Webhooks, "Webhook headers" (read 2026-11-21): no leading zero; the length bound is ours.
fn parse_digits(text: &str, most: usize, wanted: &str) -> Result<UnixTime, Rejection> {
    let malformed = |why: &str| Err(Rejection::TimestampMalformed(why.to_owned()));
    if text.is_empty() || text.len() > most || !text.bytes().all(|b| b.is_ascii_digit()) {
        return malformed(wanted);
    }
    if text.starts_with('0') {
        return malformed("it begins with a zero");
    }
    text.parse().map(UnixTime).or_else(|_| malformed(wanted))
}

/// A date and a time of day, and nothing after them.
fn parse_without_offset(text: &str) -> Option<Timestamp> {
    let bare = text.contains('T') && text.ends_with(|last: char| last.is_ascii_digit());
    let time: DateTime = text.parse().ok().filter(|_| bare)?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn parse_rfc1123(text: &str) -> Option<UnixTime> {
    let (date, zone) = text.trim_end().rsplit_once(' ')?;
    if !matches!(zone, "GMT" | "UTC" | "Z" | "+0000") {
        return None;
    }
    let date = strtime::parse("%a, %d %b %Y %H:%M:%S", date)
        .or_else(|_| strtime::parse("%a %d %b %Y %H:%M:%S", date))
        .and_then(|parsed| parsed.to_datetime())
        .ok()?;
    let time: DateTime = date;
    Some(UnixTime(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second()))
}

/// How far from now a timestamp may be, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tolerance {
    /// `None` where any age will do.
    pub past: Option<Duration>,
    pub future: Option<Duration>,
}

impl Tolerance {
    /// As far into the past as into the future.
    pub fn both_ways(tolerance: Duration) -> Self {
        Self { past: Some(tolerance), future: Some(tolerance) }
    }

    /// Refuses a time that is out of tolerance.
    ///
    /// # Errors
    /// `TimestampStale` from one second past the tolerance on, `TimestampFuture` likewise.
    pub fn check(self, timestamp: UnixTime, now: UnixTime) -> Result<(), Rejection> {
        let seconds = |tolerance: Duration| i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
        let (age, ahead) = (now.seconds_since(timestamp), timestamp.seconds_since(now));
        if let Some(tolerance) = self.past.filter(|tolerance| age > seconds(*tolerance)) {
            return Err(Rejection::TimestampStale { age, tolerance });
        }
        if let Some(tolerance) = self.future.filter(|tolerance| ahead > seconds(*tolerance)) {
            return Err(Rejection::TimestampFuture { ahead, tolerance });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Reason;

    fn verdict(tolerance: Tolerance, timestamp: i64, now: i64) -> Option<Reason> {
        tolerance.check(UnixTime(timestamp), UnixTime(now)).err().map(|rejection| rejection.reason())
    }

    #[test]
    fn the_tolerance_is_included_both_ways() {
        let both = Tolerance::both_ways(Duration::from_secs(300));
        assert_eq!(verdict(both, 1000, 1300), None);
        assert_eq!(verdict(both, 1000, 1301), Some(Reason::TimestampStale));
        assert_eq!(verdict(both, 1300, 1000), None);
        assert_eq!(verdict(both, 1301, 1000), Some(Reason::TimestampFuture));
        assert_eq!(verdict(both, i64::MAX, i64::MIN), Some(Reason::TimestampFuture));
    }

    #[test]
    fn past_and_future_may_differ_or_not_matter() {
        let never_ahead = Tolerance { past: Some(Duration::from_secs(600)), future: Some(Duration::ZERO) };
        assert_eq!(verdict(never_ahead, 1000, 1000), None);
        assert_eq!(verdict(never_ahead, 1001, 1000), Some(Reason::TimestampFuture));
        assert_eq!(verdict(Tolerance { past: None, future: None }, 1, 1 << 40), None);
    }

    #[test]
    fn each_unit_reads_what_it_writes() {
        for (_, unit) in TimeUnit::WORDS {
            let text = unit.format(UnixTime(1_760_000_000));
            assert_eq!(unit.parse(&text), Ok(UnixTime(1_760_000_000)), "{text}");
        }
    }

    #[test]
    fn only_plain_seconds_are_seconds() {
        for bad in
            ["", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "1e9", "NaN", "1760000000000", "١٢٣", "18446744073709551616"]
        {
            assert!(matches!(TimeUnit::Seconds.parse(bad), Err(Rejection::TimestampMalformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn dates_are_read_with_their_offset_and_without_one_only_where_the_unit_says_so() {
        let at = |unit: TimeUnit, text| unit.parse(text).ok().map(|time| time.0);
        assert_eq!(at(TimeUnit::Iso8601, "2025-10-09T01:53:20-07:00"), Some(1_760_000_000));
        assert_eq!(at(TimeUnit::Iso8601, "2025-10-09T08:53:20.123456789Z"), Some(1_760_000_000));
        for bad in ["2025-10-09T08:53:20", "2025-13-09T08:53:20Z", "2025-10-09", "1760000000", ""] {
            assert_eq!(at(TimeUnit::Iso8601, bad), None, "{bad}");
        }
        for good in
            ["2025-10-09T08:53:20", "2025-10-09T08:53:20.123456", "2025-10-09T08:53:20Z", "2025-10-09T01:53:20-07:00"]
        {
            assert_eq!(at(TimeUnit::Iso8601Utc, good), Some(1_760_000_000), "{good}");
        }
        for bad in ["2025-10-09", "2025-10-09T08:53:20[Europe/Berlin]", "2025-13-09T08:53:20", "1760000000", ""] {
            assert_eq!(at(TimeUnit::Iso8601Utc, bad), None, "{bad}");
        }
        assert_eq!(at(TimeUnit::Rfc1123, "Thu 07 Sep 2017 06:30:04 UTC"), Some(1_504_765_804));
        assert_eq!(at(TimeUnit::Rfc1123, "Thu, 07 Sep 2017 06:30:04 GMT"), Some(1_504_765_804));
        for bad in ["Thu, 07 Sep 2017 06:30:04", "Fri, 07 Sep 2017 06:30:04 GMT", "Thu, 07 Sep 2017 06:30:04 CET", ""] {
            assert_eq!(at(TimeUnit::Rfc1123, bad), None, "{bad}");
        }
        assert_eq!(at(TimeUnit::Milliseconds, "1760000000123"), Some(1_760_000_000));
    }
}
