//! An event as operators see it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::store::{DeliveryRow, EventDetail, EventRow};

/// An event with what was received.
#[derive(Debug, Serialize)]
pub struct EventView {
    #[serde(flatten)]
    pub row: EventRow,
    /// Verbatim, without the question mark.
    pub query: Option<String>,
    /// As they are forwarded, `[name, value]` each.
    pub headers: Vec<(String, String)>,
    #[serde(flatten)]
    pub body: Body,
    pub deliveries: Vec<DeliveryRow>,
}

/// A body as JSON can carry it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub enum Body {
    #[serde(rename = "body")]
    Text(String),
    /// Where it is no text.
    #[serde(rename = "body_base64")]
    Base64(String),
}

impl From<EventDetail> for EventView {
    fn from(EventDetail { row, message, deliveries }: EventDetail) -> Self {
        let headers = pairs(&message.headers);
        let body = match String::from_utf8(message.body.into()) {
            Ok(text) => Body::Text(text),
            Err(binary) => Body::Base64(STANDARD.encode(binary.as_bytes())),
        };
        Self { row, query: message.query, headers, body, deliveries }
    }
}

/// Header lines as they are stored, taken apart.
fn pairs(lines: &[u8]) -> Vec<(String, String)> {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(colon + 1..).unwrap_or_default();
            (text(&line[..colon]), text(value.trim_ascii()))
        })
        .collect()
}

/// Header values need not be UTF-8; those that are not are read as Latin-1, of which every byte is a character.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::UnixMillis;
    use crate::store::{Id, Message};

    fn view(headers: &'static [u8], body: &'static [u8]) -> serde_json::Value {
        let row = EventRow {
            id: Id([1; 16]),
            source: "s".into(),
            event_id: None,
            accepted_at: UnixMillis(0),
            method: "POST".into(),
            body_bytes: body.len() as u64,
        };
        let message = Message {
            method: "POST".into(),
            query: Some("a=b".into()),
            headers: Bytes::from_static(headers),
            body: Bytes::from_static(body),
        };
        serde_json::to_value(EventView::from(EventDetail { row, message, deliveries: Vec::new() })).expect("JSON")
    }

    #[test]
    fn headers_come_in_pairs_and_the_body_as_text() {
        let shown = view(b"x-a: 1\r\nx-a: two: 2\r\nx-b: \xff\r\nx-c: \r\n", b"{\"a\":\"\xc3\xa9\"}");
        let headers = serde_json::json!([["x-a", "1"], ["x-a", "two: 2"], ["x-b", "\u{ff}"], ["x-c", ""]]);
        assert_eq!((&shown["headers"], shown["body"].as_str()), (&headers, Some("{\"a\":\"é\"}")));
        assert_eq!((shown["query"].as_str(), shown.get("body_base64")), (Some("a=b"), None));
    }

    #[test]
    fn what_is_no_text_comes_in_base64() {
        let shown = view(b"", b"\xff\x00");
        assert_eq!((shown["body_base64"].as_str(), shown.get("body")), (Some("/wA="), None));
    }
}
