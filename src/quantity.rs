//! Durations and sizes as people write them: `"5m"`, `"24h"`, `"1MiB"`.

use std::time::Duration;

const SPANS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Reads `"90s"`, `"5m"`, `"27h35m5s"`: whole numbers, each with its unit, largest first or not.
///
/// # Errors
/// What the text should have been, as a fragment that follows the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a duration, for example \"5m\" (units: ms, s, m, h, d)");
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (value, after) = amount(rest, &SPANS).ok_or_else(wrong)?;
        millis = millis.checked_add(value).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Ok(Duration::from_millis(millis))
}

/// Reads `"1MiB"`, `"64KiB"`, `"500B"`: one whole number with its unit.
///
/// # Errors
/// What the text should have been, as a fragment that follows the text.
pub fn parse_size(text: &str) -> Result<u64, String> {
    match amount(text, &SIZES) {
        Some((bytes, "")) => Ok(bytes),
        _ => Err(format!("\"{text}\" is not a size, for example \"1MiB\" (units: B, KiB, MiB, GiB, kB, MB, GB)")),
    }
}

/// A number with its unit at the start of `text`, in the smallest unit, and what follows it.
fn amount<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (_, factor) = units.iter().find(|(name, _)| *name == &rest[..end])?;
    Some((number.checked_mul(*factor)?, &rest[end..]))
}

/// Writes a duration so that [`parse_duration`] reads it back. Fractions of a millisecond are dropped.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in SPANS.iter().rev() {
        // Whole days read well; 28 hours reads better than a day and four hours.
        if *unit == "d" && left % millis != 0 {
            continue;
        }
        if left >= *millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    text
}

/// Writes a size in the largest binary unit that divides it.
pub fn format_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_written() {
        for text in ["250ms", "5s", "5m", "24h", "27h35m5s", "3d", "0s"] {
            let duration = parse_duration(text).expect("a duration");
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        assert_eq!(format_duration(Duration::from_secs(100_800)), "28h");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "5 min", "m", "-5m", "5x", "1.5h", "99999999999999999999s", "9999999999999999d"] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_one_number_with_one_unit() {
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("500B"), Ok(500));
        for text in ["", "1", "1 MiB", "1MiB5B", "1mib", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        assert_eq!(format_size(1 << 20), "1MiB");
        assert_eq!(format_size(1500), "1500B");
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,40}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }

        #[test]
        fn any_duration_reads_back(millis in 0u64..10_000_000_000) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
