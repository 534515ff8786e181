//! The body that an event is sent in.

use std::fmt::Write;

use super::words::{Piece, parse};
use crate::clock::UnixMillis;

/// What the body of an event looks like: text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope(Vec<Piece<Fact>>);

/// What an envelope says of an event.
#[derive(Debug, Clone, Copy)]
pub struct EventFacts<'a> {
    pub id: &'a str,
    /// The name of its type, such as `invoice.paid`.
    pub kind: &'a str,
    pub timestamp: UnixMillis,
    /// JSON as it was published, to the byte.
    pub data: &'a [u8],
    pub account: &'a str,
    /// Whom it goes to. Only read where [`Envelope::depends_on_endpoint`].
    pub endpoint: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Id,
    Type,
    Timestamp,
    Unix,
    Data,
    Account,
    Endpoint,
}

impl Fact {
    const WORDS: [(&'static str, Self); 7] = [
        ("event.id", Self::Id),
        ("event.type", Self::Type),
        ("event.timestamp", Self::Timestamp),
        ("event.unix", Self::Unix),
        ("event.data", Self::Data),
        ("account.id", Self::Account),
        ("endpoint.id", Self::Endpoint),
    ];
}

/// Standard Webhooks, "Payload structure" (read 2026-11-21).
const STANDARD: &str = r#"{"type":{event.type},"timestamp":{event.timestamp},"data":{event.data}}"#;

impl Default for Envelope {
    fn default() -> Self {
        Self::parse(STANDARD).expect("it is written in the words above")
    }
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// A placeholder that there is not, as a fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, &Fact::WORDS).map(Self)
    }

    /// True for the one of Standard Webhooks.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// True where each endpoint gets a body of its own.
    pub fn depends_on_endpoint(&self) -> bool {
        self.0.contains(&Piece::Word(Fact::Endpoint))
    }

    /// The body of an event. Texts are written as JSON has them, the data as it was published.
    pub fn render(&self, event: &EventFacts<'_>) -> Vec<u8> {
        let mut body = Vec::with_capacity(event.data.len() + 256);
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Word(Fact::Id) => push_text(&mut body, event.id),
                Piece::Word(Fact::Type) => push_text(&mut body, event.kind),
                Piece::Word(Fact::Timestamp) => push_text(&mut body, &event.timestamp.to_string()),
                Piece::Word(Fact::Unix) => {
                    body.extend_from_slice(event.timestamp.0.div_euclid(1000).to_string().as_bytes());
                }
                Piece::Word(Fact::Data) => body.extend_from_slice(event.data),
                Piece::Word(Fact::Account) => push_text(&mut body, event.account),
                Piece::Word(Fact::Endpoint) => push_text(&mut body, event.endpoint),
            }
        }
        body
    }
}

/// `text` as a JSON string.
fn push_text(body: &mut Vec<u8>, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => write!(quoted, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    body.extend_from_slice(quoted.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: EventFacts<'_> = EventFacts {
        id: "wh_evt_1",
        kind: "a\"b\\\n\u{e9}",
        timestamp: UnixMillis(1_760_000_000_250),
        data: br#"{ "n": 1.0, "x": null }"#,
        account: "default",
        endpoint: "wh_1",
    };

    fn rendered(envelope: &str) -> String {
        let body = Envelope::parse(envelope).expect("an envelope").render(&EVENT);
        String::from_utf8(body).expect("text")
    }

    #[test]
    fn the_default_is_that_of_standard_webhooks() {
        let body = String::from_utf8(Envelope::default().render(&EVENT)).expect("text");
        assert_eq!(
            body,
            r#"{"type":"a\"b\\\u000aé","timestamp":"2025-10-09T08:53:20.250Z","data":{ "n": 1.0, "x": null }}"#
        );
        let parsed: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(parsed["type"], EVENT.kind);
        assert!(Envelope::default().is_default() && !Envelope::default().depends_on_endpoint());
    }

    #[test]
    fn data_can_stand_alone_and_verbatim() {
        assert_eq!(rendered("{event.data}").as_bytes(), EVENT.data);
        assert_eq!(
            rendered(r#"{"created":{event.unix},"by":{account.id}}"#),
            r#"{"created":1760000000,"by":"default"}"#
        );
    }

    #[test]
    fn one_that_names_its_endpoint_says_so() {
        let envelope = Envelope::parse(r#"{"webhook_id":{endpoint.id}}"#).expect("an envelope");
        assert!(envelope.depends_on_endpoint() && !envelope.is_default());
        assert_eq!(envelope.render(&EVENT), br#"{"webhook_id":"wh_1"}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_text_stays_itself_within_json(kind in ".{0,40}") {
            let body = Envelope::default().render(&EventFacts { kind: &kind, ..EVENT });
            let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            proptest::prop_assert_eq!(&parsed["type"], &serde_json::Value::from(kind));
        }
    }
}
