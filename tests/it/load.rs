//! Dedup under load: many copies at once, an upstream that fails at first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::sender::Sender;
use crate::support::{Gateway, NOW, signed};

const EVENTS: usize = 10_000;
const COPIES: usize = 3;
const CONNECTIONS: usize = 64;

/// A fifth of all events is refused the first time, by its number.
fn fails_at_first(body: &hyper::body::Bytes) -> bool {
    let digits: Vec<u8> = body.iter().copied().filter(u8::is_ascii_digit).collect();
    digits.last().is_some_and(|digit| (digit - b'0').is_multiple_of(5))
}

#[tokio::test]
async fn each_event_succeeds_exactly_once_and_none_is_lost() {
    let gateway = Gateway::start("vpn-enterprise", "").await;
    gateway.upstream.fail_first(fails_at_first);
    let address = gateway.address();
    // Copies of an event stand next to each other: the connections take them up at the same time.
    let next = Arc::new(AtomicUsize::new(0));
    let accepted: Arc<Mutex<HashMap<usize, usize>>> = Arc::default();
    let senders: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (next, accepted) = (Arc::clone(&next), Arc::clone(&accepted));
            tokio::spawn(async move {
                let mut sender = Sender::connect(address).await;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= EVENTS * COPIES {
                        break;
                    }
                    let event = number / COPIES;
                    let request = signed("vpn-enterprise", "", &format!("{{\"id\":\"evt_{event}\"}}"), NOW);
                    assert!(sender.insist(&request, 20).await, "event {event} is never accepted");
                    *accepted.lock().unwrap().entry(event).or_default() += 1;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender to its end");
    }
    let successes = gateway.upstream.successes();
    assert_eq!(accepted.lock().unwrap().len(), EVENTS);
    assert_eq!(successes.len(), EVENTS, "no sender got a 2xx for an event that the upstream never accepted");
    assert!(successes.values().all(|count| *count == 1), "the upstream succeeded once for each event");
    assert_eq!(gateway.upstream.arrived().len(), EVENTS + EVENTS / 5, "and failed once for every fifth");
}
