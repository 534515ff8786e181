//! When each event was sent, answered and delivered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(2);

/// The times of events, which are known by their number. Load and upstream write it, being in one process.
pub struct Journal {
    begun: Instant,
    times: Box<[Times]>,
    answered: AtomicUsize,
    arrived: AtomicUsize,
    faults: Mutex<BTreeMap<String, usize>>,
}

/// In nanoseconds since the journal was begun; 0 for what has not happened.
#[derive(Default)]
struct Times {
    sent: AtomicU64,
    answered: AtomicU64,
    arrived: AtomicU64,
}

/// How long the events of a stretch took.
pub struct Latencies {
    pub to_answer: Vec<Duration>,
    pub to_arrival: Vec<Duration>,
    /// From the client's answer, or nothing where the upstream had it before.
    pub answer_to_arrival: Vec<Duration>,
    /// Sent, and not delivered.
    pub missing: usize,
}

impl Journal {
    /// Room for events 0 to `events`. Later ones are only counted.
    pub fn new(events: usize) -> Self {
        Self {
            begun: Instant::now(),
            times: (0..events).map(|_| Times::default()).collect(),
            answered: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            faults: Mutex::default(),
        }
    }

    /// The request of an event should have left at `at`.
    pub fn sent(&self, number: usize, at: Instant) {
        self.write(number, |times| &times.sent, at);
    }

    /// The client has its answer.
    pub fn answered(&self, number: usize) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.write(number, |times| &times.answered, Instant::now());
    }

    /// The upstream has it, perhaps not for the first time.
    pub fn arrived(&self, number: usize) {
        if self.write(number, |times| &times.arrived, Instant::now()) {
            self.arrived.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something happened that should not have.
    pub fn fault(&self, what: String) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    /// What should not have happened, and how often it did.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().map(|(what, times)| format!("{times} times: {what}")).collect()
    }

    /// How many events were accepted.
    pub fn answers(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// How many different events the upstream has.
    pub fn arrivals(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Waits until the upstream has so many events, `within` at most. False if it has not.
    pub async fn wait_for(&self, arrivals: usize, within: Duration) -> bool {
        let begin = Instant::now();
        while self.arrivals() < arrivals {
            if begin.elapsed() > within {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// How many arrived in each second of the time from the first to the last of the first `count` that arrived.
    pub fn arrival_rate(&self, count: usize) -> f64 {
        let mut times: Vec<u64> = self.times.iter().filter_map(|times| known(&times.arrived)).collect();
        times.sort_unstable();
        times.truncate(count);
        match (times.first(), times.last()) {
            (Some(first), Some(last)) if last > first => (times.len() - 1) as f64 / ((last - first) as f64 / 1e9),
            _ => f64::NAN,
        }
    }

    /// How long those events took that are `counted`, among those from `first` on.
    pub fn latencies(&self, first: usize, counted: impl Fn(usize) -> bool) -> Latencies {
        let mut all =
            Latencies { to_answer: Vec::new(), to_arrival: Vec::new(), answer_to_arrival: Vec::new(), missing: 0 };
        for (number, times) in self.times.iter().enumerate().skip(first) {
            let Some(sent) = known(&times.sent).filter(|_| counted(number)) else { continue };
            let (answered, arrived) = (known(&times.answered), known(&times.arrived));
            let since = |earlier: u64, later: u64| Duration::from_nanos(later.saturating_sub(earlier));
            all.to_answer.extend(answered.map(|answered| since(sent, answered)));
            match arrived {
                Some(arrived) => {
                    all.to_arrival.push(since(sent, arrived));
                    all.answer_to_arrival.extend(answered.map(|answered| since(answered, arrived)));
                }
                None => all.missing += 1,
            }
        }
        all
    }

    /// True if there was nothing yet.
    fn write(&self, number: usize, which: impl Fn(&Times) -> &AtomicU64, at: Instant) -> bool {
        let Some(times) = self.times.get(number) else { return true };
        let nanos = u64::try_from(at.saturating_duration_since(self.begun).as_nanos()).unwrap_or(u64::MAX).max(1);
        which(times).compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn known(time: &AtomicU64) -> Option<u64> {
    Some(time.load(Ordering::Relaxed)).filter(|time| *time != 0)
}

/// The smallest of `times` that at least `part` of them do not exceed, in milliseconds.
pub fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() as f64 * part).ceil() as usize;
    times.get(place.max(1) - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}
