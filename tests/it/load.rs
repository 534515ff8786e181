//! Dedup under load: many copies at once, an upstream that fails at first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gateway, NOW, signed};

const EVENTS: usize = 10_000;
const COPIES: usize = 3;
const CONNECTIONS: usize = 64;

/// One keep-alive connection of a sender.
struct Sender(TcpStream);

impl Sender {
    async fn send(&mut self, request: &[u8]) -> u16 {
        self.0.write_all(request).await.expect("a connection");
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 1024];
            let length = self.0.read(&mut piece).await.expect("a connection");
            assert_ne!(length, 0, "the gateway hung up");
            answer.extend_from_slice(&piece[..length]);
            let text = String::from_utf8_lossy(&answer).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let lengths =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= lengths.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            }
        }
    }
}

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
                let mut sender = Sender(TcpStream::connect(address).await.expect("a listener"));
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= EVENTS * COPIES {
                        break;
                    }
                    let event = number / COPIES;
                    let request = signed("vpn-enterprise", "", &format!("{{\"id\":\"evt_{event}\"}}"), NOW).bytes();
                    let request = String::from_utf8(request).expect("text").replace("Connection: close\r\n", "");
                    // A sender tries again until it is told that the event was accepted.
                    let mut tries = 0;
                    while !(200..300).contains(&sender.send(request.as_bytes()).await) {
                        tries += 1;
                        assert!(tries < 20, "event {event} is never accepted");
                    }
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
