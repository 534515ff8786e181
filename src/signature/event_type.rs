//! What kind of event a message tells of, in its provider's words.

use std::borrow::Cow;

use super::json;
use super::place::{Contents, Context, Params, Place};
use super::request::Head;
use super::value::ValueParts;
use super::{Alternative, Mechanism, Scheme};

/// A longer type is none, in bytes.
pub const MAX_TYPE_LEN: usize = 256;

impl Scheme {
    /// The type of a message's event: 1 to [`MAX_TYPE_LEN`] bytes without control characters. `None` where none is found.
    ///
    /// It is read as the `alternative` says that the message was verified by; where none was, as the first one says that
    /// finds it. Of a batch it is the type of its only item.
    pub fn event_type<'a>(&self, alternative: Option<usize>, head: Head<'a>, body: &'a [u8]) -> Option<Cow<'a, str>> {
        match alternative {
            Some(index) => self.alternatives.get(index)?.event_type(head, body),
            None => self.alternatives.iter().find_map(|alternative| alternative.event_type(head, body)),
        }
    }

    /// The JSON of a message, into which the scheme's pointers point: its body, or what of the form that its body is has it.
    /// Read by the alternative as a type is; of what cannot be read so it is the body.
    pub fn json<'a>(&self, alternative: Option<usize>, head: Head<'a>, body: &'a [u8]) -> Cow<'a, [u8]> {
        let alternative = self.alternatives.get(alternative.unwrap_or_default());
        alternative.and_then(|alternative| alternative.document(head, body).ok()).unwrap_or(Cow::Borrowed(body))
    }

    /// True where it is known where messages say of what type their event is.
    pub fn has_event_type(&self) -> bool {
        self.alternatives.iter().any(|alternative| !alternative.types.is_empty())
    }

    /// The places of event types that no signature covers: whoever replays a message could change what stands there.
    pub fn unsigned_types(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = Vec::new();
        for alternative in &self.alternatives {
            for place in alternative.types.iter().filter(|place| !alternative.covers_type_at(place)) {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
        places
    }
}

impl Alternative {
    /// Where the event's type stands, in the order in which the places are tried.
    pub fn types(&self) -> &[Place] {
        &self.types
    }

    /// True if the signature covers the type that stands at `place`, one of [`Self::types`].
    pub fn covers_type_at(&self, place: &Place) -> bool {
        self.types.iter().position(|known| known == place).is_some_and(|index| self.coverage.of_type(index))
    }

    fn event_type<'a>(&self, head: Head<'a>, body: &'a [u8]) -> Option<Cow<'a, str>> {
        if self.types.is_empty() {
            return None;
        }
        match self.document(head, body).ok()? {
            Cow::Borrowed(json) => self.type_in(Contents { head, body, json }),
            Cow::Owned(json) => {
                let found = self.type_in(Contents { head, body, json: &json })?;
                Some(Cow::Owned(found.into_owned()))
            }
        }
    }

    fn type_in<'a>(&self, contents: Contents<'a>) -> Option<Cow<'a, str>> {
        let contents = match &self.for_each {
            None => contents,
            Some(pointer) => match json::items(contents.json, pointer)?.as_slice() {
                [item] => Contents { json: item.get().as_bytes(), ..contents },
                _ => return None,
            },
        };
        let found = self.types.iter().find_map(|place| match place {
            Place::Json(pointer) => json::find(contents.json, pointer).and_then(json::scalar),
            Place::Claim(_) | Place::Value(_) => self.type_beside(place, contents).map(Cow::Owned),
            _ => place.read_contents(contents).ok().flatten(),
        })?;
        let plain = (1..=MAX_TYPE_LEN).contains(&found.len()) && !found.chars().any(char::is_control);
        plain.then_some(found)
    }

    /// What stands in the signature itself.
    fn type_beside(&self, place: &Place, contents: Contents<'_>) -> Option<String> {
        let texts = self.signature_texts(contents).ok()?;
        let value = self.read_value(&texts, contents.head).ok()?;
        let token = match &self.mechanism {
            Mechanism::Token(scheme) => scheme.parse(value.candidates.first()?).ok(),
            _ => None,
        };
        let claims = token.as_ref().map_or(&[][..], |token| &token.claims);
        let (parts, params): (&ValueParts<'_>, _) = (&value.parts, Params::default());
        let context = Context { contents, value: parts, claims, params: &params, max_inflated: 0 };
        place.read(&context).ok().flatten().map(Cow::into_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Faults, Reader, Table};
    use crate::signature::request::PublicUrl;

    fn scheme(event: &str) -> Result<Scheme, String> {
        let text = format!("[signature]\nalgorithm = \"hmac-sha256\"\nheader = \"X-S\"\n\n[event]\n{event}\n");
        let faults = Faults::default();
        let table = Table::parse("x.toml", &text, &faults);
        let scheme = Scheme::read(&table, &Table::empty(table.place.clone()), &faults);
        scheme.ok_or_else(|| faults.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    fn found(event: &str, header: &[&str], query: &str, body: &str) -> Option<String> {
        let mut headers = http::HeaderMap::new();
        header.iter().for_each(|value| {
            headers.append("x-event", value.parse().expect("a value"));
        });
        let url = format!("https://x/{query}");
        let head = Head { method: "POST", url: PublicUrl::split(&url), headers: &headers };
        let scheme = scheme(event).expect("a scheme");
        assert_eq!(scheme.event_type(None, head, body.as_bytes()), scheme.event_type(Some(0), head, body.as_bytes()));
        scheme.event_type(Some(0), head, body.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn a_type_is_read_where_the_provider_writes_it() {
        assert_eq!(found("type = { header = \"X-Event\" }", &["push"], "", "").as_deref(), Some("push"));
        assert_eq!(
            found("type = { json = \"/a/type\" }", &[], "", r#"{"a":{"type":"b\u002ec"}}"#).as_deref(),
            Some("b.c")
        );
        assert_eq!(found("type = { json = \"/code\" }", &[], "", r#"{"code":17}"#).as_deref(), Some("17"));
        assert_eq!(found("type = { query = \"t\" }", &[], "?t=a%20b", "").as_deref(), Some("a b"));
        assert_eq!(found("type = { form = \"t\" }", &[], "", "x=1&t=paid").as_deref(), Some("paid"));
    }

    #[test]
    fn of_several_places_the_first_counts_that_has_one() {
        let both = "type = [{ header = \"X-Event\" }, { json = \"/type\" }]";
        assert_eq!(found(both, &["a"], "", r#"{"type":"b"}"#).as_deref(), Some("a"));
        assert_eq!(found(both, &[], "", r#"{"type":"b"}"#).as_deref(), Some("b"));
        assert_eq!(found(both, &[], "", "{}"), None);
    }

    #[test]
    fn what_is_no_type_is_none() {
        let long = format!(r#"{{"type":"{}"}}"#, "a".repeat(MAX_TYPE_LEN + 1));
        for body in
            [r#"{"type":null}"#, r#"{"type":{"a":1}}"#, r#"{"type":[]}"#, r#"{"type":""}"#, r#"{"type":"\n"}"#, &long]
        {
            assert_eq!(found("type = { json = \"/type\" }", &[], "", body), None, "{body}");
        }
        let longest = format!(r#"{{"type":"{}"}}"#, "a".repeat(MAX_TYPE_LEN));
        assert!(found("type = { json = \"/type\" }", &[], "", &longest).is_some());
        assert_eq!(found("type = { header = \"X-Event\" }", &["a", "b"], "", ""), None, "which one counts is a guess");
        assert_eq!(found("id = { json = \"/id\" }", &["a"], "", "{}"), None);
    }

    /// The type that a scheme of its own finds, with these headers and this body.
    fn found_by(document: &str, headers: &[(&'static str, &str)], body: &str) -> Option<String> {
        let faults = Faults::default();
        let table = Table::parse("x.toml", document, &faults);
        let scheme = Scheme::read(&table, &Table::empty(table.place.clone()), &faults);
        let scheme = scheme.unwrap_or_else(|| panic!("{:?}", faults.into_sorted()));
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), value.parse::<http::HeaderValue>().expect("a value"))
        });
        let headers = headers.collect();
        let head = Head { method: "POST", url: PublicUrl::split("https://x/"), headers: &headers };
        scheme.event_type(Some(0), head, body.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn a_batch_has_the_type_of_its_only_item() {
        let document = "[signature]\nalgorithm = \"hmac-sha256\"\nfor_each = \"/items\"\njson = \"/signature\"\nsigns = \"{json/id}\"\nunsigned_body = true\n[event]\ntype = { json = \"/kind\" }\n";
        let found = |items: &str| found_by(document, &[], &format!(r#"{{"items":[{items}]}}"#));
        assert_eq!(found(r#"{"kind":"a"}"#).as_deref(), Some("a"));
        assert_eq!(found(r#"{"kind":"a"},{"kind":"a"}"#), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn a_token_tells_the_type_in_its_claims() {
        use crate::signature::encoding::BASE64URL;
        use base64::Engine;
        let document = "[signature]\nalgorithm = \"jwt\"\nalgorithms = [\"HS256\"]\nheader = \"X-Token\"\nunsigned_body = true\n[event]\ntype = { claim = \"kind\" }\n";
        let part = |text: &str| BASE64URL.encode(text);
        let token = format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#), part(r#"{"kind":"paid"}"#), part("signature"));
        assert_eq!(found_by(document, &[("x-token", &token)], "{}").as_deref(), Some("paid"));
        assert_eq!(found_by(document, &[("x-token", "none")], "{}"), None);
    }

    #[test]
    fn a_header_is_not_signed_and_the_body_is() {
        let scheme = scheme("type = [{ header = \"X-Event\" }, { json = \"/type\" }]").expect("a scheme");
        assert_eq!(scheme.unsigned_types().iter().map(ToString::to_string).collect::<Vec<_>>(), ["header x-event"]);
    }

    #[test]
    fn a_type_is_a_place_or_a_list_of_places() {
        for (event, wrong) in [
            ("type = \"timestamp\"", "type: a string is not a place"),
            ("type = {}", "names no place"),
            ("type = { header = \"X-A\", json = \"/a\" }", "names two places"),
            ("kind = { header = \"X-A\" }", "kind"),
        ] {
            let said = scheme(event).expect_err(event);
            assert!(said.contains(wrong), "{event}: {said}");
        }
    }

    #[test]
    fn what_signs_nothing_says_so_in_a_word() {
        let read = |text: &str| {
            let faults = Faults::default();
            let table = Table::parse("x.toml", text, &faults);
            let root = Reader::new(&table, "", &faults);
            let profile = crate::signature::profile::Profile::read(&root, &table, &Table::empty(table.place.clone()));
            profile.ok_or_else(|| faults.into_sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        };
        let profile = read(
            "signature = \"none\"\n[event]\nid = { json = \"/id\" }\ntype = { json = \"/type\" }\n[dedup]\nttl = \"1h\"\n",
        );
        let scheme = profile.expect("a provider").scheme;
        assert!(scheme.signs_nothing() && scheme.is_optional() && scheme.has_event_type());
        assert!(read("signature = \"off\"\n").is_err());
        let wrong = read("signature = \"none\"\n[timestamp]\nheader = \"X-T\"\ntolerance = \"5m\"\n").expect_err("no");
        assert!(wrong.contains("timestamp: where nothing is signed"), "{wrong}");
    }
}
