//! `retry` of a source that stores its events.

use std::time::Duration;

use crate::document::Reader;
use crate::quantity::format_duration;
use crate::schedule::{Schedule, Waits};

/// Tried for three days, at most an hour apart.
fn standard() -> Schedule {
    let (initial, max) = (Duration::from_secs(5), Duration::from_secs(3600));
    Schedule {
        waits: Waits::Exponential { initial, factor: 2.0, max },
        window: Duration::from_secs(3 * 24 * 3600),
        jitter: 0.2,
    }
}

/// Reads what a source says; what is left out is standard.
pub fn read(reader: Option<Reader<'_>>) -> Schedule {
    match reader {
        Some(reader) => Schedule::read(reader, standard()),
        None => standard(),
    }
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
