//! The requests: VantaStatus webhooks, each with its own event id.

use std::io::Write;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that every request is signed with.
pub const SECRET: &str = "test-secret-0123456789abcdef0123";

/// The path that they are sent to.
pub const PATH: &str = "/hook";

/// Digits of an event id, in hex.
const ID_LEN: usize = 16;

/// Digits of a signature, in hex.
const SIGNATURE_LEN: usize = 64;

const BEFORE_ID: &[u8] = b"{\"id\":\"";

/// A request of which all that changes from event to event is its id and its signature.
///
/// Those are written over in place: a connection needs one request, whatever its size, and no work for the next one.
pub struct Request {
    bytes: Vec<u8>,
    signature: Range<usize>,
    id: Range<usize>,
}

impl Request {
    /// A request with a body of `body_len` bytes, sent now, not signed yet.
    pub fn new(port: u16, body_len: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut bytes = format!(
            "POST {PATH} HTTP/1.1\r\n\
             Host: 127.0.0.1:{port}\r\n\
             User-Agent: VantaStatus-Webhooks/1.0\r\n\
             Accept: */*\r\n\
             Content-Type: application/json\r\n\
             Content-Length: {body_len}\r\n\
             X-VantaStatus-Timestamp: {now}\r\n\
             X-VantaStatus-Signature: sha256="
        )
        .into_bytes();
        let signature = bytes.len()..bytes.len() + SIGNATURE_LEN;
        bytes.extend([b'0'; SIGNATURE_LEN]);
        bytes.extend(b"\r\n\r\n");
        let id = bytes.len() + BEFORE_ID.len()..bytes.len() + BEFORE_ID.len() + ID_LEN;
        bytes.extend(body(body_len));
        Self { bytes, signature, id }
    }

    /// The request of event `number`. Without its signature it keeps one that fits no event.
    pub fn of_event(&mut self, number: usize, signature: Option<&[u8]>) -> &[u8] {
        write_id(&mut self.bytes[self.id.clone()], number);
        if let Some(signature) = signature {
            self.bytes[self.signature.clone()].copy_from_slice(signature);
        }
        &self.bytes
    }
}

/// The signatures of events 0 to `count`, one behind the other.
///
/// They take 41 us each at 64 KiB, which is why this is done once, before anything is measured. The timestamp is not
/// signed, so they do not age, and every process that is measured starts with no memory of them.
pub fn sign(count: usize, body_len: usize) -> Vec<u8> {
    let keyed = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes a key of any length");
    let mut body = body(body_len);
    let mut signatures = Vec::with_capacity(count * SIGNATURE_LEN);
    for number in 0..count {
        write_id(&mut body[BEFORE_ID.len()..][..ID_LEN], number);
        for byte in keyed.clone().chain_update(&body).finalize().into_bytes() {
            write!(signatures, "{byte:02x}").expect("a Vec takes every byte");
        }
    }
    signatures
}

/// The signature of event `number` among those that [`sign`] made. `None` where it made no more.
pub fn signature_of(signatures: &[u8], number: usize) -> Option<&[u8]> {
    signatures.get(number * SIGNATURE_LEN..)?.get(..SIGNATURE_LEN)
}

/// `{"id":"…","padding":"…"}`
fn body(len: usize) -> Vec<u8> {
    const AFTER_ID: &[u8] = b"\",\"padding\":\"";
    const END: &[u8] = b"\"}";
    let padding = len - BEFORE_ID.len() - ID_LEN - AFTER_ID.len() - END.len();
    [BEFORE_ID, &[b'0'; ID_LEN], AFTER_ID, &vec![b'x'; padding], END].concat()
}

fn write_id(mut place: &mut [u8], number: usize) {
    write!(place, "{number:0ID_LEN$x}").expect("16 digits are enough for any number");
}
