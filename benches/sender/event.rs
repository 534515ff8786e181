//! The events: 1 KiB as an app tells them, and as the store has them.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use hookward::clock::Clock;
use hookward::store::{Emitted, Id, Message, NewEvent, Owed};

use crate::program::TOKEN;

/// The answer to an event that is on the disk.
pub const ACCEPTED: u16 = 202;

/// How many events a batch has: the most that there may be.
pub const BATCH: usize = 100;

/// No more endpoints than this have types of their own: a number has four digits.
pub const MAX_KINDS: usize = 10_000;

const EVENT_LEN: usize = 1 << 10;

/// `msg_` and 16 hexadecimal digits.
const ID_LEN: usize = 20;

/// The type of the events that go to an endpoint.
pub fn kind(endpoint: usize) -> String {
    format!("bench.{endpoint:04}")
}

/// The number of an event, from the head of its delivery. Where its maker did not choose its id it has none, and is
/// only counted.
pub fn number(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"webhook-id: ";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.split_at_checked(NAME.len()).is_some_and(|(name, _)| name.eq_ignore_ascii_case(NAME)))?;
    let id = str::from_utf8(&line[NAME.len()..]).ok()?.trim_end();
    let number = id.strip_prefix("msg_").and_then(|digits| usize::from_str_radix(digits, 16).ok());
    Some(number.unwrap_or(usize::MAX))
}

/// What a request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One event.
    One,
    /// One event with an id of its own, so that it can be sent again.
    OneWithId,
    /// [`BATCH`] events.
    Batch,
}

/// A request that is written once, with the number and the type of each event put in.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    kinds: Vec<Range<usize>>,
    id: Option<Range<usize>>,
}

impl Request {
    pub fn new(port: u16, shape: Shape) -> Self {
        let (event, id) = event(shape == Shape::OneWithId);
        let (path, body) = match shape {
            Shape::One | Shape::OneWithId => ("/events", event.clone()),
            Shape::Batch => ("/events/batch", format!("{{\"events\":[{}]}}", vec![event.as_str(); BATCH].join(","))),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let standard = kind(0);
        let kinds = body.match_indices(&standard).map(|(at, _)| head.len() + at..head.len() + at + standard.len());
        let id = id.map(|at| head.len() + at..head.len() + at + ID_LEN);
        Self { kinds: kinds.collect(), id, bytes: [head, body].concat().into_bytes() }
    }

    /// The request of event `number` for `endpoint`.
    pub fn of_event(&mut self, number: usize, endpoint: usize) -> &[u8] {
        for place in &self.kinds {
            self.bytes[place.clone()].copy_from_slice(kind(endpoint).as_bytes());
        }
        if let Some(place) = self.id.clone() {
            write!(&mut self.bytes[place], "{}", id(number)).expect("an id has one length");
        }
        &self.bytes
    }
}

/// Makes events as the sender would store them, for stores that are to be full before it starts.
pub struct Maker {
    clock: Clock,
    endpoint: Arc<str>,
    body: String,
}

impl Maker {
    /// For events that are owed to `endpoint`.
    pub fn new(endpoint: &str) -> Self {
        let body = format!("{{\"type\":\"{}\",\"timestamp\":\"2026-11-22T08:00:00.000Z\",\"data\":", kind(0));
        let padding = "x".repeat(EVENT_LEN - body.len() - "{\"padding\":\"\"}}".len());
        Self { clock: Clock::System, endpoint: endpoint.into(), body: format!("{body}{{\"padding\":\"{padding}\"}}}}") }
    }

    pub fn event(&self, number: usize) -> NewEvent {
        let accepted_at = self.clock.millis();
        let headers = "content-type: application/json\r\n".into();
        NewEvent {
            id: Id::new(accepted_at),
            source: "sender".into(),
            emitted: Some(Emitted { account: "default".into(), kind: kind(0) }),
            event_id: Some(id(number)),
            accepted_at,
            message: Message { method: "POST".into(), query: None, headers, body: self.body.clone().into() },
            remember: None,
            variants: Vec::new(),
            counted: Vec::new(),
            owed: vec![Owed::due(Arc::clone(&self.endpoint), accepted_at)],
        }
    }
}

fn id(number: usize) -> String {
    format!("msg_{number:016x}")
}

/// An event of 1 KiB, and where in it its id stands.
fn event(has_id: bool) -> (String, Option<usize>) {
    let mut text = format!("{{\"type\":\"{}\",", kind(0));
    let mut place = None;
    if has_id {
        text += "\"id\":\"";
        place = Some(text.len());
        text += &format!("{}\",", id(0));
    }
    text += "\"data\":{\"padding\":\"";
    let padding = EVENT_LEN - text.len() - "\"}}".len();
    text += &"x".repeat(padding);
    text += "\"}}";
    (text, place)
}
