//! The bodies that an event is sent in: rendered once, shared by endpoints that get the same, and made later for one more.

use std::collections::HashMap;

use bytes::Bytes;

use super::destination::Known;
use super::event::{Content, Event};
use crate::clock::UnixMillis;
use crate::signature::emission::{Envelope, EventFacts};
use crate::store::{Message, SentEvent};
use crate::template::{Facts, Template};

/// The bodies of one event. Each is written once, and endpoints that get the same share it.
pub struct Bodies<'a> {
    account: &'a str,
    message: Message,
    variants: Vec<Bytes>,
    /// Which variant each envelope gave, where it does not depend on the endpoint.
    known: HashMap<*const Envelope, u16>,
    /// The same of each template.
    rendered: Vec<(Template, Result<u16, String>)>,
    /// The event's data, once somebody asked.
    value: Option<Option<serde_json::Value>>,
}

impl<'a> Bodies<'a> {
    /// Those of `event`, of which the account called `account` is the owner: its own body first.
    pub fn of(event: &Event, account: &'a str) -> Self {
        let (body, headers): (Bytes, Bytes) = match &event.content {
            Content::Raw { body, content_type } => (body.clone(), format!("content-type: {content_type}\r\n").into()),
            // Each provider has a content type of its own.
            Content::Data(data) => {
                let facts = facts(event, account, "", data.get());
                (Envelope::default().render(&facts).into(), Bytes::new())
            }
        };
        let message = Message { method: "POST".into(), query: None, headers, body };
        Self { account, message, variants: Vec::new(), known: HashMap::new(), rendered: Vec::new(), value: None }
    }

    /// The event's data as filters look at it; `None` where it is no JSON.
    pub fn value(&mut self, event: &Event) -> Option<&serde_json::Value> {
        self.value.get_or_insert_with(|| event.value()).as_ref()
    }

    /// Which body an endpoint gets: 0 for the event's own.
    ///
    /// # Errors
    /// Why its template fails on the event.
    pub fn variant(&mut self, event: &Event, known: &Known) -> Result<u16, String> {
        match &known.template {
            Some(template) => self.templated(template.as_ref().map_err(Clone::clone)?, event, known),
            None => Ok(self.enveloped(event, known)),
        }
    }

    fn templated(&mut self, template: &Template, event: &Event, known: &Known) -> Result<u16, String> {
        if let Some((_, variant)) = self.rendered.iter().find(|(known, _)| known == template) {
            return variant.clone();
        }
        let data = match &event.content {
            Content::Data(data) => Ok(data.get().as_bytes()),
            Content::Raw { body, content_type } if is_json(content_type) => Ok(&body[..]),
            Content::Raw { .. } => Err(NO_JSON.to_owned()),
        };
        let facts = |data| template_facts(&event.id, &event.kind, event.at, self.account, known, data);
        let body = data.and_then(|data| template.render(&facts(data)));
        let variant = body.map(|body| self.share(body));
        if !template.depends_on_endpoint() {
            self.rendered.push((template.clone(), variant.clone()));
        }
        variant
    }

    fn enveloped(&mut self, event: &Event, known: &Known) -> u16 {
        let Content::Data(data) = &event.content else { return 0 };
        if known.emitter.has_standard_body {
            return 0;
        }
        let envelope = &known.emitter.emission.envelope;
        if let Some(variant) = self.known.get(&std::ptr::from_ref(envelope)) {
            return *variant;
        }
        let body = envelope.render(&facts(event, self.account, &known.id, data.get()));
        let variant = self.share(body);
        if !envelope.depends_on_endpoint() {
            self.known.insert(std::ptr::from_ref(envelope), variant);
        }
        variant
    }

    /// The body of one of many: pieces, between which stands the number of the occurrence. `None` where there is none:
    /// its template fails.
    pub fn around_occurrence(&mut self, event: &Event, known: &Known) -> Option<Vec<Bytes>> {
        if let (None, Content::Data(data)) = (&known.template, &event.content) {
            let facts = facts(event, self.account, &known.id, data.get());
            let pieces = known.emitter.emission.envelope.render_around_occurrence(&facts);
            return Some(pieces.into_iter().map(Bytes::from).collect());
        }
        let variant = self.variant(event, known).ok()?;
        let other = usize::from(variant).checked_sub(1).and_then(|place| self.variants.get(place));
        Some(vec![other.unwrap_or(&self.message.body).clone()])
    }

    fn share(&mut self, body: Vec<u8>) -> u16 {
        if body == self.message.body {
            return 0;
        }
        let place = self.variants.iter().position(|known| *known == body).unwrap_or_else(|| {
            self.variants.push(body.into());
            self.variants.len() - 1
        });
        u16::try_from(place + 1).expect("an account has fewer endpoints than that")
    }

    /// The event's own body, and the others.
    pub fn into_parts(self) -> (Message, Vec<Bytes>) {
        (self.message, self.variants)
    }
}

fn facts<'a>(event: &'a Event, account: &'a str, endpoint: &'a str, data: &'a str) -> EventFacts<'a> {
    EventFacts { id: &event.id, kind: &event.kind, timestamp: event.at, data: data.as_bytes(), account, endpoint }
}

/// Why a template has nothing to go by.
const NO_JSON: &str = "the event is raw and no application/json";

/// Deliveries have the content type that their event was told with, so no other is as good.
fn is_json(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn template_facts<'a>(
    id: &'a str,
    kind: &'a str,
    timestamp: UnixMillis,
    account: &'a str,
    known: &'a Known,
    data: &'a [u8],
) -> Facts<'a> {
    Facts { id, kind, timestamp, account, endpoint: &known.id, metadata: &known.endpoint.settings.metadata, data }
}

/// The body that an event which is kept has for one more endpoint. `None` if that is its own.
///
/// # Errors
/// Why the endpoint's template fails on it.
pub fn another_body(event: &SentEvent, account: &str, known: &Known) -> Result<Option<Bytes>, String> {
    let Some(template) = &known.template else { return Ok(another_envelope(event, account, known)) };
    let (at, data) = match standard(&event.kind, &event.body) {
        Some(told) => (told.at, told.data.as_bytes()),
        None if event.content_type().is_some_and(is_json) => (event.accepted_at, &event.body[..]),
        None => return Err(NO_JSON.to_owned()),
    };
    let facts = template_facts(&event.event_id, &event.kind, at, account, known, data);
    let body = template.as_ref().map_err(Clone::clone)?.render(&facts)?;
    Ok((body != event.body).then(|| body.into()))
}

fn another_envelope(event: &SentEvent, account: &str, known: &Known) -> Option<Bytes> {
    if known.emitter.has_standard_body {
        return None;
    }
    let told = standard(&event.kind, &event.body)?;
    let facts = EventFacts {
        id: &event.event_id,
        kind: &event.kind,
        timestamp: told.at,
        data: told.data.as_bytes(),
        account,
        endpoint: &known.id,
    };
    Some(known.emitter.emission.envelope.render(&facts).into())
}

/// What the standard envelope says of an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Told<'a> {
    pub at: UnixMillis,
    /// Byte for byte.
    pub data: &'a str,
}

/// Reads an event's own body. `None` for a raw one, which is a whole body and no envelope.
pub fn standard<'a>(kind: &str, body: &'a [u8]) -> Option<Told<'a>> {
    #[derive(serde::Deserialize)]
    struct Standard<'a> {
        timestamp: &'a str,
        #[serde(borrow)]
        data: &'a serde_json::value::RawValue,
    }
    // As we write it. Others have a type, a time and data too, but not like this.
    if !body.starts_with(format!("{{\"type\":\"{kind}\",\"timestamp\":\"").as_bytes()) {
        return None;
    }
    let Standard { timestamp, data } = serde_json::from_slice(body).ok()?;
    Some(Told { at: timestamp.parse().ok()?, data: data.get() })
}

/// What `event` comes to where it is for one endpoint alone, whatever that one asked for: its own body, the others, and
/// which of them the endpoint gets.
///
/// # Errors
/// Why its template fails on the event.
pub fn bodies_for(event: &Event, account: &str, known: &Known) -> Result<(Message, Vec<Bytes>, u16), String> {
    let mut bodies = Bodies::of(event, account);
    let variant = bodies.variant(event, known)?;
    let (message, variants) = bodies.into_parts();
    Ok((message, variants, variant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_envelope_is_told_from_a_raw_body() {
        let at = UnixMillis(1_760_000_000_123);
        let data = "{ \"z\":1.0 }";
        let facts =
            EventFacts { id: "e", kind: "a.b", timestamp: at, data: data.as_bytes(), account: "", endpoint: "" };
        let body = Envelope::default().render(&facts);
        assert_eq!(standard("a.b", &body), Some(Told { at, data }));
        assert_eq!(standard("a", &body), None);
        for raw in ["{\"data\":1}", "{\"type\":\"a\",\"timestamp\":\"now\",\"data\":1}", "<a/>", ""] {
            assert_eq!(standard("a", raw.as_bytes()), None, "{raw}");
        }
    }
}
