//! The id by which a provider tells its events apart.

use std::borrow::Cow;
use std::fmt;

use serde_json::value::RawValue;

use super::json;
use super::place::{Context, Place};
use crate::rejection::Rejection;

/// The longest id, in bytes. Ids are kept as hashes; this bounds what is logged and passed on.
pub const MAX_ID_LEN: usize = 512;

/// A place where an event id may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdPlace {
    At(Place),
    /// The signature's timestamp stands in for an id, together with the body's digest.
    Timestamp,
}

/// What an id was, so that `"1"` and `1` and a header's `1` stay three events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdKind {
    Header,
    Query,
    Form,
    Claim,
    Value,
    JsonText,
    JsonInteger,
    Timestamp,
}

/// An event's id as the provider wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventId<'a> {
    pub kind: IdKind,
    /// 1 to [`MAX_ID_LEN`] bytes without control characters.
    pub text: Cow<'a, str>,
    /// False where whoever replays a request could have changed it.
    pub signed: bool,
}

impl EventId<'_> {
    /// The same id, kept beyond the request it was read from.
    pub fn into_owned(self) -> EventId<'static> {
        EventId { kind: self.kind, text: Cow::Owned(self.text.into_owned()), signed: self.signed }
    }
}

impl IdPlace {
    /// The id that stands here. `None` if there is none.
    ///
    /// # Errors
    /// `EventIdInvalid` for null, a value that is not a string or an integer, an empty or overlong one, one with
    /// control characters; `HeaderConflict` for a repeated header, parameter or field.
    pub fn read<'s, 'a: 's>(
        &self,
        context: &Context<'a, 's>,
        timestamp: Option<&str>,
    ) -> Result<Option<(IdKind, Cow<'a, str>)>, Rejection> {
        let contents = context.contents;
        let found = match self {
            Self::At(Place::Json(pointer)) => json::find(contents.json, pointer).map(json_id).transpose()?,
            Self::At(place @ (Place::Claim(_) | Place::Value(_))) => {
                let text = place.read(context)?.map(Cow::into_owned);
                let kind = if matches!(place, Place::Claim(_)) { IdKind::Claim } else { IdKind::Value };
                text.map(|text| (kind, Cow::Owned(text)))
            }
            Self::At(place) => {
                let kind = match place {
                    Place::Query(_) => IdKind::Query,
                    Place::Form(_) => IdKind::Form,
                    _ => IdKind::Header,
                };
                place.read_contents(contents)?.map(|text| (kind, text))
            }
            Self::Timestamp => timestamp.map(|text| (IdKind::Timestamp, Cow::Owned(text.to_owned()))),
        };
        if let Some((_, text)) = &found {
            check_text(text)?;
        }
        Ok(found)
    }
}

impl fmt::Display for IdPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => place.fmt(f),
            Self::Timestamp => f.write_str("timestamp and body digest"),
        }
    }
}

/// An id is a string, or an integer by its literal text: as a float, 23 digits would lose their last.
fn json_id(value: &RawValue) -> Result<(IdKind, Cow<'_, str>), Rejection> {
    let text = value.get();
    if text.starts_with('"') {
        let text = json::text(value).ok_or(Rejection::EventIdInvalid("it is not a JSON string"))?;
        return Ok((IdKind::JsonText, text));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok((IdKind::JsonInteger, Cow::Borrowed(text)));
    }
    Err(Rejection::EventIdInvalid("it is neither a string nor an integer"))
}

fn check_text(text: &str) -> Result<(), Rejection> {
    if text.is_empty() {
        return Err(Rejection::EventIdInvalid("it is empty"));
    }
    if text.len() > MAX_ID_LEN {
        return Err(Rejection::EventIdInvalid("it is longer than 512 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(Rejection::EventIdInvalid("it has control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::place::{Contents, Params};
    use crate::signature::request::{Head, PublicUrl};
    use crate::signature::value::ValueParts;

    fn id(body: &str) -> Result<Option<(IdKind, String)>, Rejection> {
        let place = IdPlace::At(Place::Json(json::Pointer::member("id")));
        let headers = http::HeaderMap::new();
        let head = Head { method: "POST", url: PublicUrl::split("https://x/"), headers: &headers };
        let contents = Contents { head, body: body.as_bytes(), json: body.as_bytes() };
        let (value, params) = (ValueParts::default(), Params::default());
        let context = Context { contents, value: &value, claims: &[], params: &params, max_inflated: 0 };
        let found = place.read(&context, None)?;
        Ok(found.map(|(kind, text)| (kind, text.into_owned())))
    }

    #[test]
    fn strings_and_integers_are_ids_by_their_text() {
        assert_eq!(id(r#"{"id":"a"}"#), Ok(Some((IdKind::JsonText, "a".into()))));
        assert_eq!(id(r#"{"id":"\u0061"}"#), Ok(Some((IdKind::JsonText, "a".into()))));
        assert_eq!(
            id(r#"{"id":12345678901234567890123}"#),
            Ok(Some((IdKind::JsonInteger, "12345678901234567890123".into())))
        );
    }

    #[test]
    fn an_absent_id_is_none() {
        assert_eq!(id(r#"{"Id":"a"}"#), Ok(None));
        assert_eq!(id("not json"), Ok(None));
        assert_eq!(id(""), Ok(None));
    }

    #[test]
    fn what_many_events_could_share_is_refused() {
        let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(MAX_ID_LEN + 1));
        for body in [
            r#"{"id":null}"#,
            r#"{"id":true}"#,
            r#"{"id":{}}"#,
            r#"{"id":[]}"#,
            r#"{"id":""}"#,
            r#"{"id":1.0}"#,
            r#"{"id":1e0}"#,
            r#"{"id":"\u0000"}"#,
            &long,
        ] {
            assert!(matches!(id(body), Err(Rejection::EventIdInvalid(_))), "{body}");
        }
        assert!(id(&format!(r#"{{"id":"{}"}}"#, "a".repeat(MAX_ID_LEN))).is_ok());
    }
}
