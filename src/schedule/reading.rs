//! Reads `retry` as a preset or the operator's file says it.

use std::time::Duration;

use super::{Schedule, Waits};
use crate::document::Reader;
use crate::quantity::parse_duration;

/// A list longer than this is a mistake.
const MOST_DELAYS: usize = 64;

/// How waits grow where only a window is named.
const GROWTH: Waits =
    Waits::Exponential { initial: Duration::from_secs(30), factor: 2.0, max: Duration::from_secs(12 * 3600) };

impl Schedule {
    /// Reads `{ delays = ["1m", "5m"], … }`, `{ initial = "5s", factor = 2, max = "1h", … }` or `{ window = "3d" }`.
    /// What is left out is as in `standard`.
    pub fn read(reader: Reader<'_>, standard: Self) -> Self {
        let delays = read_delays(&reader);
        let (initial, max) = (positive(&reader, "initial"), positive(&reader, "max"));
        let factor = reader.number("factor", 1.0, 100.0);
        let window = positive(&reader, "window");
        let jitter = reader.number("jitter", 0.0, 1.0).unwrap_or(standard.jitter);
        let grows = ["initial", "factor", "max"].into_iter().find(|key| reader.has(key));
        let (waits, standard_window) = match (delays, grows) {
            (Some(delays), grows) => {
                if let Some(key) = grows {
                    let text = format!("{key}: delays says it all, leave one of the two out");
                    reader.fault(reader.place_of(key), text);
                }
                // A list ends by itself, unless the destination asks for time.
                let span = delays.iter().fold(Duration::ZERO, |sum, delay| sum.saturating_add(*delay));
                (Waits::List(delays), span.saturating_mul(2).max(Duration::from_secs(3600)))
            }
            (None, None) if window.is_none() => (standard.waits, standard.window),
            (None, _) => {
                let base = if matches!(standard.waits, Waits::List(_)) { GROWTH } else { standard.waits };
                let waits = grown(base, initial, factor, max);
                if let Waits::Exponential { initial, max, .. } = &waits
                    && max < initial
                {
                    reader.fault(reader.place_of("max"), "max: it is shorter than initial");
                }
                (waits, standard.window)
            }
        };
        reader.finish();
        Self { waits, window: window.unwrap_or(standard_window), jitter }
    }
}

/// `base` with what is written in the stead of what is not.
fn grown(base: Waits, initial: Option<Duration>, factor: Option<f64>, max: Option<Duration>) -> Waits {
    match base {
        Waits::Exponential { initial: first, factor: times, max: most } => {
            let initial = initial.unwrap_or(first);
            Waits::Exponential { initial, factor: factor.unwrap_or(times), max: max.unwrap_or(most.max(initial)) }
        }
        list @ Waits::List(_) => list,
    }
}

fn read_delays(reader: &Reader<'_>) -> Option<Vec<Duration>> {
    let texts = reader.texts("delays")?;
    if texts.is_empty() || texts.len() > MOST_DELAYS {
        let text = format!("delays: it has 1 to {MOST_DELAYS} waits, for example [\"1m\", \"5m\", \"1h\"]");
        reader.fault(reader.place_of("delays"), text);
        return None;
    }
    let mut delays = Vec::with_capacity(texts.len());
    for text in texts {
        match parse_duration(text.value) {
            Ok(delay) => delays.push(delay),
            Err(wrong) => reader.fault(text.place, format!("delays: {wrong}")),
        }
    }
    Some(delays)
}

fn positive(reader: &Reader<'_>, key: &'static str) -> Option<Duration> {
    reader.parse(key, |text| match parse_duration(text)? {
        Duration::ZERO => Err(format!("\"{text}\" leaves no time at all, for example \"5s\"")),
        duration => Ok(duration),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Faults, Table};

    fn read(text: &str) -> (Schedule, Vec<String>) {
        let faults = Faults::default();
        let table = Table::parse("t.toml", text, &faults);
        let standard =
            Schedule { waits: Waits::List(vec![Duration::from_secs(5)]), window: Duration::from_secs(60), jitter: 0.1 };
        let schedule = Schedule::read(Reader::new(&table, "", &faults), standard);
        (schedule, faults.into_sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_has_a_window_with_room_for_what_is_asked() {
        let (schedule, faults) = read("delays = [\"1h\", \"2h\"]\njitter = 0");
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        assert_eq!(schedule, Schedule { waits: Waits::List(vec![hours(1), hours(2)]), window: hours(6), jitter: 0.0 });
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn a_window_alone_grows_within_it_and_nothing_is_standard() {
        let (schedule, _) = read("window = \"3d\"");
        assert_eq!((schedule.waits, schedule.jitter), (GROWTH, 0.1));
        let (schedule, _) = read("");
        assert_eq!(schedule.waits, Waits::List(vec![Duration::from_secs(5)]));
    }

    #[test]
    fn what_contradicts_itself_is_a_fault() {
        for (text, fault) in [
            ("delays = [\"1m\"]\nfactor = 2", "t.toml:2:10: factor: delays says it all, leave one of the two out"),
            ("delays = []", "t.toml:1:10: delays: it has 1 to 64 waits, for example [\"1m\", \"5m\", \"1h\"]"),
            ("initial = \"2h\"\nmax = \"1h\"", "t.toml:2:7: max: it is shorter than initial"),
            ("window = \"0s\"", "t.toml:1:10: window: \"0s\" leaves no time at all, for example \"5s\""),
        ] {
            assert_eq!(read(text).1, [fault], "{text}");
        }
    }
}
