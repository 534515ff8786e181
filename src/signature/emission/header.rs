//! Headers that a provider sends beside its signature.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::words::{Piece, parse};

/// A header whose value is text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmittedHeader {
    pub name: HeaderName,
    value: Vec<Piece<Fact>>,
}

/// What such headers say of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct AttemptFacts<'a> {
    pub event: &'a str,
    /// The name of the event's type.
    pub kind: &'a str,
    pub account: &'a str,
    pub endpoint: &'a str,
    /// From 1.
    pub number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    Event,
    Type,
    Account,
    Endpoint,
    Attempt,
    RetryCount,
}

impl Fact {
    const WORDS: [(&'static str, Self); 6] = [
        ("event.id", Self::Event),
        ("event.type", Self::Type),
        ("account.id", Self::Account),
        ("endpoint.id", Self::Endpoint),
        ("attempt", Self::Attempt),
        ("retry_count", Self::RetryCount),
    ];
}

/// What cannot stand in a header, and the sign that says so.
const NOT_VISIBLE: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

impl EmittedHeader {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with the value, as a fragment.
    pub fn parse(name: HeaderName, value: &str) -> Result<Self, String> {
        if HeaderValue::from_str(value).is_err() {
            return Err(format!("\"{value}\" cannot stand in a header"));
        }
        Ok(Self { name, value: parse(value, &Fact::WORDS)? })
    }

    /// Its value for one attempt. What a placeholder stands for is percent-encoded where it is not visible ASCII.
    pub fn value(&self, attempt: &AttemptFacts<'_>) -> HeaderValue {
        let mut text = String::new();
        for piece in &self.value {
            let word = match piece {
                Piece::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Piece::Word(Fact::Event) => Cow::Borrowed(attempt.event),
                Piece::Word(Fact::Type) => Cow::Borrowed(attempt.kind),
                Piece::Word(Fact::Account) => Cow::Borrowed(attempt.account),
                Piece::Word(Fact::Endpoint) => Cow::Borrowed(attempt.endpoint),
                Piece::Word(Fact::Attempt) => Cow::Owned(attempt.number.to_string()),
                Piece::Word(Fact::RetryCount) => Cow::Owned(attempt.number.saturating_sub(1).to_string()),
            };
            text.extend(percent_encode(word.as_bytes(), NOT_VISIBLE));
        }
        HeaderValue::try_from(text).expect("the literals were checked, and what is between them is visible ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(template: &str, kind: &str) -> String {
        let header = EmittedHeader::parse(HeaderName::from_static("x-h"), template).expect("a header");
        let attempt = AttemptFacts { event: "evt_1", kind, account: "acc", endpoint: "wh_1", number: 3 };
        header.value(&attempt).to_str().expect("visible").to_owned()
    }

    #[test]
    fn placeholders_become_what_they_stand_for() {
        assert_eq!(value("{event.type} to {endpoint.id}", "endpoint.down"), "endpoint.down to wh_1");
        assert_eq!(value("{attempt}/{retry_count}", ""), "3/2");
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_encoded() {
        assert_eq!(value("{event.type}", "a\r\nb: \u{e9}%"), "a%0D%0Ab:%20%C3%A9%25");
        assert!(EmittedHeader::parse(HeaderName::from_static("x-h"), "a\nb").is_err());
    }
}
