//! The events: Standard Webhooks of 1 KiB, each known by the number in its id.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hookward::clock::{Clock, UnixMillis};
use hookward::dedup::{ClaimKeys, KeyMaker};
use hookward::store::{Id, Message, NewEvent, Owed, Remember};
use sha2::Sha256;

/// The secret that every request is signed with.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

/// What Standard Webhooks are remembered for.
pub const TTL: Duration = Duration::from_secs(4 * 24 * 3600);

/// The answer to an event that is on the disk.
pub const ACCEPTED: u16 = 200;

/// No more sources than this: each has one digit in its path.
pub const MAX_SOURCES: usize = 10;

const BODY_LEN: usize = 1 << 10;

/// `msg_` and 16 hexadecimal digits.
const ID_LEN: usize = 20;

const SIGNATURE_LEN: usize = 44;

/// The path that the events of a source are sent to.
pub fn path(source: usize) -> String {
    format!("/hook/{source}")
}

/// The name of a source.
pub fn source_name(source: usize) -> String {
    format!("s{source}")
}

/// The number of an event, from a request's head.
pub fn number(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"webhook-id: msg_";
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| line.split_at_checked(NAME.len()).is_some_and(|(name, _)| name.eq_ignore_ascii_case(NAME)))?;
    usize::from_str_radix(str::from_utf8(line.get(NAME.len()..)?).ok()?.trim_end(), 16).ok()
}

/// A request that is signed anew for each event, in place.
///
/// HMAC of 1 KiB is a small part of what sending takes, and a signature ages: this one has a timestamp in it.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    keyed: Hmac<Sha256>,
    source: usize,
    id: Range<usize>,
    timestamp: Range<usize>,
    signature: Range<usize>,
    body: usize,
}

impl Request {
    pub fn new(port: u16) -> Self {
        let key = STANDARD.decode(&SECRET["whsec_".len()..]).expect("base64 after the prefix");
        let mut bytes = b"POST ".to_vec();
        let source = bytes.len() + path(0).len() - 1;
        bytes.extend(format!("{} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n", path(0)).into_bytes());
        bytes.extend(b"User-Agent: Svix-Webhooks/1.62\r\nAccept: */*\r\nContent-Type: application/json\r\n");
        bytes.extend(format!("Content-Length: {BODY_LEN}\r\nwebhook-id: ").into_bytes());
        let mut place = |name: &[u8], len: usize| {
            let begin = bytes.len();
            bytes.extend(vec![b'0'; len]);
            bytes.extend(name);
            begin..begin + len
        };
        let id = place(b"\r\nwebhook-timestamp: ", ID_LEN);
        let timestamp = place(b"\r\nwebhook-signature: v1,", 10);
        let signature = place(b"\r\n\r\n", SIGNATURE_LEN);
        let body = bytes.len();
        bytes.extend(self::body());
        let keyed = Hmac::new_from_slice(&key).expect("HMAC takes a key of any length");
        Self { bytes, keyed, source, id, timestamp, signature, body }
    }

    /// The request of event `number` to `source`, signed now.
    pub fn of_event(&mut self, number: usize, source: usize) -> &[u8] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.bytes[self.source] = b'0' + u8::try_from(source).expect("sources have one digit");
        write!(&mut self.bytes[self.id.clone()], "{}", id(number)).expect("an id has one length");
        write!(&mut self.bytes[self.timestamp.clone()], "{now:010}").expect("10 digits are enough until 2286");
        let mut mac = self.keyed.clone();
        for part in [&self.bytes[self.id.clone()], b".", &self.bytes[self.timestamp.clone()], b"."] {
            mac.update(part);
        }
        mac.update(&self.bytes[self.body..]);
        let signature = &mut self.bytes[self.signature.clone()];
        STANDARD.encode_slice(mac.finalize().into_bytes(), signature).expect("44 characters are 32 bytes");
        &self.bytes
    }
}

/// Makes events as the gateway would store them, for stores that are to be full before it starts.
pub struct Maker {
    clock: Clock,
    keys: KeyMaker,
    source: String,
    destination: Arc<str>,
    body: Vec<u8>,
}

impl Maker {
    /// For events of the first source, owed to `upstream`.
    pub fn new(upstream: &str) -> Self {
        let source = source_name(0);
        let destination = format!("{source} {upstream}").into();
        Self { clock: Clock::System, keys: KeyMaker::shared(), source, destination, body: body() }
    }

    pub fn event(&self, number: usize) -> NewEvent {
        let accepted_at = self.clock.millis();
        NewEvent {
            id: Id::new(accepted_at),
            source: self.source.clone(),
            event_id: Some(id(number)),
            accepted_at,
            message: Message {
                method: "POST".into(),
                query: None,
                headers: headers(number, accepted_at).into(),
                body: self.body.clone().into(),
            },
            remember: Some(Remember { keys: keys(&self.keys, number), ttl: TTL }),
            variants: Vec::new(),
            counted: Vec::new(),
            owed: vec![Owed::due(Arc::clone(&self.destination), accepted_at)],
            emitted: None,
        }
    }
}

/// What event `number` is remembered by.
pub fn keys(maker: &KeyMaker, number: usize) -> ClaimKeys {
    ClaimKeys { key: maker.key(&[id(number).as_bytes()]), guard: None, fingerprint: number as u64 }
}

/// About as many as the gateway stores.
fn headers(number: usize, at: UnixMillis) -> String {
    let (id, at) = (id(number), at.0 / 1000);
    format!(
        "user-agent: Svix-Webhooks/1.62\r\naccept: */*\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\n\
         webhook-timestamp: {at}\r\nwebhook-signature: v1,{}\r\nhookward-source: {}\r\nhookward-verified: bench\r\n\
         hookward-event-id: {id}\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n\
         x-forwarded-host: 127.0.0.1:8080\r\n",
        "x".repeat(SIGNATURE_LEN),
        source_name(0),
    )
}

fn id(number: usize) -> String {
    format!("msg_{number:016x}")
}

/// `{"type":"bench","padding":"…"}`
fn body() -> Vec<u8> {
    const BEFORE: &[u8] = b"{\"type\":\"bench\",\"padding\":\"";
    const AFTER: &[u8] = b"\"}";
    [BEFORE, &vec![b'x'; BODY_LEN - BEFORE.len() - AFTER.len()], AFTER].concat()
}
