//! `retry` of a source that stores its events.

use std::time::Duration;

use super::gateway::positive;
use crate::delivery::schedule::{Schedule, Waits};
use crate::document::Reader;
use crate::quantity::{format_duration, parse_duration};

/// A list longer than this is a mistake.
const MOST_DELAYS: usize = 64;

/// Tried for three days, at most an hour apart.
fn standard() -> Schedule {
    let (initial, max) = (Duration::from_secs(5), Duration::from_secs(3600));
    Schedule {
        waits: Waits::Exponential { initial, factor: 2.0, max },
        window: Duration::from_secs(3 * 24 * 3600),
        jitter: 0.2,
    }
}

/// Reads `{ delays = ["1m", "5m"], … }` or `{ initial = "5s", factor = 2, max = "1h", … }`; what is left out is standard.
pub fn read(reader: Option<Reader<'_>>) -> Schedule {
    let mut schedule = standard();
    let Some(reader) = reader else { return schedule };
    let delays = read_delays(&reader);
    let (initial, max) = (positive(&reader, "initial"), positive(&reader, "max"));
    let factor = reader.number("factor", 1.0, 100.0);
    let window = positive(&reader, "window");
    schedule.jitter = reader.number("jitter", 0.0, 1.0).unwrap_or(schedule.jitter);
    let grows = ["initial", "factor", "max"].into_iter().find(|key| reader.has(key));
    match (delays, grows) {
        (Some(_), Some(key)) => {
            let text = format!("{key}: delays says it all, leave one of the two out");
            reader.fault(reader.place_of(key), text);
        }
        (Some(delays), None) => {
            // A list ends by itself, unless the destination asks for time.
            let span: Duration = delays.iter().sum();
            schedule.window = span.saturating_mul(2).max(Duration::from_secs(3600));
            schedule.waits = Waits::List(delays);
        }
        (None, _) => {
            if let Waits::Exponential { initial: first, factor: times, max: most } = &mut schedule.waits {
                *first = initial.unwrap_or(*first);
                *times = factor.unwrap_or(*times);
                *most = max.unwrap_or((*most).max(*first));
                if most < first {
                    reader.fault(reader.place_of("max"), "max: it is shorter than initial");
                }
            }
        }
    }
    schedule.window = window.unwrap_or(schedule.window);
    reader.finish();
    schedule
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

/// As the file would say it.
pub fn describe(schedule: &Schedule) -> String {
    let waits = match &schedule.waits {
        Waits::List(waits) => {
            let waits: Vec<String> = waits.iter().map(|wait| format!("\"{}\"", format_duration(*wait))).collect();
            format!("delays = [{}]", waits.join(", "))
        }
        Waits::Exponential { initial, factor, max } => format!(
            "initial = \"{}\", factor = {factor:?}, max = \"{}\"",
            format_duration(*initial),
            format_duration(*max)
        ),
    };
    format!("{{ {waits}, window = \"{}\", jitter = {:?} }}", format_duration(schedule.window), schedule.jitter)
}
