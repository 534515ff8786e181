//! Apps that tell event after event, and give none of them up before it is answered.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::crowd::wait_until;
use super::node::post;
use super::telling::Said;

/// Whoever was not answered comes back after so long.
const PAUSE: Duration = Duration::from_millis(20);

/// Nobody tries for longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// The type of all events.
pub const KIND: &str = "order.paid";

/// So many events are in one batch.
const BATCH: usize = 5;

/// Publishers that tell so many events in all: alone and in batches, with ids of their own and with an
/// `Idempotency-Key`. Each try is on a connection of its own, and goes to the next sender if there are several.
pub struct Publishers {
    shared: Arc<Shared>,
    tasks: JoinSet<HashMap<String, usize>>,
}

struct Shared {
    senders: Vec<SocketAddr>,
    events: usize,
    /// Of the next event.
    next: AtomicUsize,
    answered: AtomicUsize,
    /// How often each status was answered; 0 where there was no answer.
    answers: Mutex<BTreeMap<u16, usize>>,
    /// How often it was said that an event is kept already, or an answer given again.
    repeated: AtomicUsize,
}

impl Publishers {
    pub fn start(publishers: usize, senders: Vec<SocketAddr>, events: usize) -> Self {
        let shared = Arc::new(Shared {
            senders,
            events,
            next: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            answers: Mutex::default(),
            repeated: AtomicUsize::new(0),
        });
        let tasks = (0..publishers).map(|_| publish_on_and_on(Arc::clone(&shared))).collect();
        Self { shared, tasks }
    }

    /// How many events were answered so far.
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// How often a status was answered so far.
    pub fn answers(&self, status: u16) -> usize {
        self.shared.answers.lock().unwrap().get(&status).copied().unwrap_or(0)
    }

    /// How many requests came to what was kept already, though nobody had been answered.
    pub fn repeated(&self) -> usize {
        self.shared.repeated.load(Ordering::Relaxed)
    }

    /// Waits until so many events in all were answered.
    pub async fn reach(&self, events: usize) {
        wait_until(&format!("{events} events"), || self.answered() >= events).await;
    }

    /// Waits for the end. What was answered: each event's id, and the number that it carries.
    pub async fn finish(self) -> HashMap<String, usize> {
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

async fn publish_on_and_on(shared: Arc<Shared>) -> HashMap<String, usize> {
    let mut answered = HashMap::new();
    loop {
        let first = shared.next.fetch_add(BATCH, Ordering::Relaxed);
        let numbers: Vec<usize> = (first..shared.events.min(first + BATCH)).collect();
        if numbers.is_empty() {
            return answered;
        }
        match first / BATCH % 4 {
            0 => {
                for number in numbers {
                    answered.extend(insist(&shared, "/events", None, event(number, true), &[number]).await);
                }
            }
            1 => {
                for number in numbers {
                    let key = format!("key-{number}");
                    answered.extend(insist(&shared, "/events", Some(&key), event(number, false), &[number]).await);
                }
            }
            way => {
                let key = (way == 3).then(|| format!("key-{first}"));
                let events: Vec<Value> = numbers.iter().map(|number| event(*number, key.is_none())).collect();
                let batch = json!({ "events": events });
                answered.extend(insist(&shared, "/events/batch", key.as_deref(), batch, &numbers).await);
            }
        }
    }
}

/// The event with this number, with an id of its maker's or without one.
fn event(number: usize, with_id: bool) -> Value {
    let mut event = json!({ "type": KIND, "data": { "number": number } });
    if with_id {
        event["id"] = json!(format!("order-{number}"));
    }
    event
}

/// Tries until it is answered, and returns the events' ids.
async fn insist(
    shared: &Shared,
    path: &str,
    key: Option<&str>,
    body: Value,
    numbers: &[usize],
) -> Vec<(String, usize)> {
    let begun = Instant::now();
    for sender in shared.senders.iter().cycle().skip(numbers[0] / BATCH % shared.senders.len()) {
        let said = post(*sender, path, key, &body).await;
        let status = said.as_ref().map_or(0, |said| said.status);
        *shared.answers.lock().unwrap().entry(status).or_default() += 1;
        match said {
            Some(said) if matches!(status, 200 | 202) => {
                shared.answered.fetch_add(numbers.len(), Ordering::Relaxed);
                let repeated = usize::from(is_repeated(&said));
                shared.repeated.fetch_add(repeated, Ordering::Relaxed);
                return ids(&said).into_iter().zip(numbers.iter().copied()).collect();
            }
            Some(said) if status == 503 => assert_eq!(said.reply.header("retry-after"), Some("1"), "{said:?}"),
            Some(said) => panic!("{body} is answered {said:?}"),
            None => {}
        }
        assert!(begun.elapsed() < LONGEST, "{body} is never answered");
        sleep(PAUSE).await;
    }
    unreachable!("it goes round and round")
}

fn is_repeated(said: &Said) -> bool {
    said.reply.header("idempotent-replayed").is_some() || events(said).iter().any(|event| event["duplicate"] == true)
}

fn ids(said: &Said) -> Vec<String> {
    events(said).iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

fn events(said: &Said) -> Vec<Value> {
    assert_eq!(said.json["success"], true, "{said:?}");
    match said.json["events"].as_array() {
        Some(events) => events.iter().map(|item| item["event"].clone()).collect(),
        None => vec![said.json["event"].clone()],
    }
}
