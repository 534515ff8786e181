//! The body that an event is sent in.

use std::fmt::Write;

use super::members::Members;
use super::words::{Piece, parse};
use crate::clock::UnixMillis;

/// What the body of an event looks like: text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pieces: Vec<Piece<Fact>>,
    /// The names that it writes itself at the top: members of the data that have one of them are left out.
    own: Vec<String>,
}

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
    Members,
    Account,
    Endpoint,
    Occurrence,
}

impl Fact {
    const WORDS: [(&'static str, Self); 9] = [
        ("event.id", Self::Id),
        ("event.type", Self::Type),
        ("event.timestamp", Self::Timestamp),
        ("event.unix", Self::Unix),
        ("event.data", Self::Data),
        ("event.members", Self::Members),
        ("account.id", Self::Account),
        ("endpoint.id", Self::Endpoint),
        ("occurrence", Self::Occurrence),
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
        let mut envelope = Self { pieces: parse(text, &Fact::WORDS)?, own: Vec::new() };
        envelope.own = envelope.names();
        Ok(envelope)
    }

    /// The names at the top of what it gives for an event without data; none where that is no object.
    fn names(&self) -> Vec<String> {
        let empty = EventFacts { id: "", kind: "", timestamp: UnixMillis(0), data: b"{}", account: "", endpoint: "" };
        let body = self.render(&empty);
        let named = serde_json::from_slice::<Members<'_>>(&body);
        named.map(|members| members.0.into_iter().map(|(name, _)| name).collect()).unwrap_or_default()
    }

    /// True for the one of Standard Webhooks.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// True where each endpoint gets a body of its own.
    pub fn depends_on_endpoint(&self) -> bool {
        self.pieces.contains(&Piece::Word(Fact::Endpoint))
    }

    /// The body of an event that is told by itself. Texts are written as JSON has them, the data as it was published.
    pub fn render(&self, event: &EventFacts<'_>) -> Vec<u8> {
        self.render_around_occurrence(event).join(&b"1"[..])
    }

    /// The body of an event that is told as one of many: its pieces, between which stands the number of the occurrence.
    pub fn render_around_occurrence(&self, event: &EventFacts<'_>) -> Vec<Vec<u8>> {
        let mut done = Vec::new();
        let mut body = Vec::with_capacity(event.data.len() + 256);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Word(Fact::Id) => push_text(&mut body, event.id),
                Piece::Word(Fact::Type) => push_text(&mut body, event.kind),
                Piece::Word(Fact::Timestamp) => push_text(&mut body, &event.timestamp.to_string()),
                Piece::Word(Fact::Unix) => {
                    body.extend_from_slice(event.timestamp.0.div_euclid(1000).to_string().as_bytes());
                }
                Piece::Word(Fact::Data) => body.extend_from_slice(event.data),
                Piece::Word(Fact::Members) => self.push_members(&mut body, event.data),
                Piece::Word(Fact::Occurrence) => done.push(std::mem::take(&mut body)),
                Piece::Word(Fact::Account) => push_text(&mut body, event.account),
                Piece::Word(Fact::Endpoint) => push_text(&mut body, event.endpoint),
            }
        }
        done.push(body);
        done
    }

    /// The members of the data, each with a comma in front; what is no object is the member `data`.
    fn push_members(&self, body: &mut Vec<u8>, data: &[u8]) {
        let mut push = |name: &str, value: &[u8]| {
            if !self.own.iter().any(|own| own == name) {
                body.push(b',');
                push_text(body, name);
                body.push(b':');
                body.extend_from_slice(value);
            }
        };
        match serde_json::from_slice::<Members<'_>>(data) {
            Ok(Members(members)) => members.iter().for_each(|(name, value)| push(name, value.get().as_bytes())),
            Err(_) => push("data", data),
        }
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
    fn members_of_the_data_stand_beside_its_own() {
        let members = |data: &[u8]| {
            let envelope = Envelope::parse(r#"{"event":{event.type},"occurrence":{occurrence}{event.members}}"#);
            let body = envelope.expect("an envelope").render(&EventFacts { kind: "a", data, ..EVENT });
            String::from_utf8(body).expect("text")
        };
        assert_eq!(members(b"{}"), r#"{"event":"a","occurrence":1}"#);
        assert_eq!(
            members(br#"{ "z" : 1.0, "\u0061": [ null ] , "z": {"event": 2}}"#),
            r#"{"event":"a","occurrence":1,"z":1.0,"a":[ null ],"z":{"event": 2}}"#
        );
        assert_eq!(members(br#"{"occurrence": 7, "event": "b", "c": 1}"#), r#"{"event":"a","occurrence":1,"c":1}"#);
        assert_eq!(members(b"[1]"), r#"{"event":"a","occurrence":1,"data":[1]}"#);
    }

    #[test]
    fn the_number_of_an_occurrence_stands_between_pieces() {
        let pieces = |text| {
            let pieces = Envelope::parse(text).expect("an envelope").render_around_occurrence(&EVENT);
            pieces.into_iter().map(|piece| String::from_utf8(piece).expect("text")).collect::<Vec<_>>()
        };
        assert_eq!(pieces(r#"{"n":{occurrence},"u":{event.unix}}"#), [r#"{"n":"#, r#","u":1760000000}"#]);
        assert_eq!(pieces("{occurrence}"), ["", ""]);
        assert_eq!(pieces("{event.unix}"), ["1760000000"]);
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
