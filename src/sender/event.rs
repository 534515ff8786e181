//! An event as an app hands it over, and what is kept of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::name;
use super::refusal::Refusal;
use super::resource::Resource;
use crate::clock::UnixMillis;

/// An event to be told to everyone who asked for it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventInput {
    /// What happened, such as `invoice.paid`.
    #[serde(rename = "type", alias = "eventType")]
    #[schema(example = "invoice.paid", max_length = 128, pattern = "^[A-Za-z0-9_.-]+$")]
    pub kind: String,
    /// What there is to say of it: any JSON, whose bytes are kept as they are.
    #[serde(default, alias = "payload", deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    pub data: Option<Box<RawValue>>,
    /// The whole body, in place of `data` and of the provider's envelope.
    #[serde(default)]
    pub raw: Option<String>,
    /// What `raw` is.
    #[serde(default)]
    #[schema(example = "text/plain")]
    pub content_type: Option<String>,
    /// By which it is told from others: the same id with the same content is the same event. Made by us if there is none.
    #[serde(default, alias = "eventId")]
    #[schema(max_length = 128, pattern = "^[A-Za-z0-9_-]+$")]
    pub id: Option<String>,
    /// When it happened (RFC 3339), if not now.
    #[serde(default)]
    #[schema(example = "2026-11-22T08:00:00Z", format = DateTime)]
    pub timestamp: Option<String>,
    /// The name or id of a group: its endpoints get the event, whatever they match.
    #[serde(default)]
    pub group: Option<String>,
    /// What it happened to, for endpoints that ask for some resources only.
    #[serde(default)]
    pub resource: Option<Resource>,
    /// Only these endpoints, whatever they asked for.
    #[serde(default)]
    pub webhook_ids: Option<Vec<String>>,
}

/// `null` is data too; only what is absent is `None`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// Several events at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchInput {
    /// At most 100. They are kept in one step, or none of them.
    #[schema(min_items = 1, max_items = 100)]
    pub events: Vec<EventInput>,
}

/// No batch is longer.
pub const MAX_BATCH: usize = 100;

/// An event that can be told.
#[derive(Debug)]
pub struct Event {
    /// As its receivers know it.
    pub id: String,
    /// True if its maker chose the id, so that it may come again.
    pub has_own_id: bool,
    pub kind: String,
    /// When it happened.
    pub at: UnixMillis,
    pub content: Content,
    pub resource: Option<Resource>,
    pub group: Option<String>,
    pub only: Option<Vec<String>>,
}

/// What an event says.
#[derive(Debug)]
pub enum Content {
    /// JSON, for the envelope of each provider.
    Data(Box<RawValue>),
    /// A whole body.
    Raw { body: Bytes, content_type: String },
}

impl EventInput {
    /// The event, checked.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn into_event(self, now: UnixMillis) -> Result<Event, Refusal> {
        name::check_event_type(&self.kind).map_err(|wrong| Refusal::field("/type", wrong))?;
        let at = match self.timestamp {
            Some(text) => text.parse().map_err(|wrong: String| Refusal::field("/timestamp", wrong))?,
            None => now,
        };
        let has_own_id = self.id.is_some();
        let id = match self.id {
            Some(id) => {
                name::check_event_id(&id).map_err(|wrong| Refusal::field("/id", wrong))?;
                id
            }
            None => name::new_id(name::EVENT, now),
        };
        let content = match (self.data, self.raw) {
            (Some(_), Some(_)) => return Err(Refusal::field("/raw", "data and raw exclude each other")),
            (None, None) => return Err(Refusal::field("/data", "it is missing: any JSON, for example {\"id\": 1}")),
            (Some(_), None) if self.content_type.is_some() => {
                return Err(Refusal::field(
                    "/content_type",
                    "data is always sent as its provider has it: it goes with raw",
                ));
            }
            (Some(data), None) => Content::Data(data),
            (None, Some(raw)) => {
                let content_type = self.content_type.unwrap_or_else(|| "application/json".into());
                let plain = |b: u8| (0x20..0x7f).contains(&b);
                if content_type.is_empty() || content_type.len() > 256 || !content_type.bytes().all(plain) {
                    return Err(Refusal::field("/content_type", "it is no header's value, for example \"text/plain\""));
                }
                Content::Raw { body: raw.into(), content_type }
            }
        };
        if self.webhook_ids.as_ref().is_some_and(|ids| ids.len() > 1000) {
            return Err(Refusal::field("/webhook_ids", "there are more than 1000"));
        }
        if let Some(resource) = &self.resource {
            resource.check()?;
        }
        let Self { kind, resource, group, webhook_ids: only, .. } = self;
        Ok(Event { id, has_own_id, kind, at, content, resource, group, only })
    }
}

impl Event {
    /// Its data as filters look at it; `None` where it is not JSON.
    pub fn value(&self) -> Option<Value> {
        match &self.content {
            Content::Data(data) => serde_json::from_str(data.get()).ok(),
            Content::Raw { body, .. } => serde_json::from_slice(body).ok(),
        }
    }

    /// What it is counted together with: those of its type that happened to the same. A type has no space in it.
    pub fn counted_as(&self) -> String {
        let resource = self.resource.as_ref().map(|resource| serde_json::to_string(resource).unwrap_or_default());
        format!("{} {}", self.kind, resource.unwrap_or_default())
    }

    /// The bytes that tell whether a second one with the same id is the same.
    pub fn content_bytes(&self) -> &[u8] {
        match &self.content {
            Content::Data(data) => data.get().as_bytes(),
            Content::Raw { body, .. } => body,
        }
    }
}

/// An event that was kept.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PublishedEvent {
    #[schema(example = "wh_evt_0199c82cc0a01b7d3f5e6a7b8c9d0e1f")]
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened (RFC 3339).
    pub timestamp: String,
    /// True if it was kept before: nothing is delivered again.
    pub duplicate: bool,
    /// Who gets it.
    pub webhook_ids: Vec<String>,
    /// Who counts such events: it gets this one if it is the 1st, 10th, 100th … of five minutes.
    pub grouped: Vec<String>,
    /// Who asked for it and does not get it, and why.
    pub suppressed: Vec<Suppressed>,
}

/// An endpoint that does not get an event that it asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Suppressed {
    pub webhook_id: String,
    pub reason: SkipReason,
}

/// Why an endpoint does not get an event that it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// It is switched off. The event is not delivered later.
    Disabled,
    /// Its account is not enabled for notifications.
    NotEnabled,
    /// It wants other data, or other resources.
    Filtered,
    /// Its provider sends no other content type than its own, and this is a body of another.
    ContentTypeDenied,
    /// Its template fails on it.
    TemplateFailed,
}

impl SkipReason {
    /// As the log has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NotEnabled => "not_enabled",
            Self::Filtered => "filtered",
            Self::ContentTypeDenied => "content_type_denied",
            Self::TemplateFailed => "template_failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);

    fn read(text: &str) -> Result<Event, String> {
        let input: EventInput = serde_json::from_str(text).map_err(|error| error.to_string())?;
        input.into_event(NOW).map_err(|refusal| refusal.detail)
    }

    #[test]
    fn data_is_kept_byte_for_byte() {
        let event = read("{\"type\": \"a.b\", \"data\": { \"z\":1.0,\"a\" : \"\\u00e9\" }}").expect("an event");
        assert_eq!(event.content_bytes(), b"{ \"z\":1.0,\"a\" : \"\\u00e9\" }");
        assert!(!event.has_own_id && event.id.starts_with("wh_evt_") && event.at == NOW);
    }

    #[test]
    fn other_servers_names_are_known() {
        let event = read("{\"eventType\": \"a\", \"payload\": null, \"eventId\": \"e-1\"}").expect("an event");
        assert_eq!((event.kind.as_str(), event.id.as_str(), event.content_bytes()), ("a", "e-1", &b"null"[..]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bad, wanted) in [
            ("{\"data\": 1}", "missing field `type`"),
            ("{\"type\": \"a b\", \"data\": 1}", "type: it is not an event type"),
            ("{\"type\": \"a\"}", "data: it is missing"),
            ("{\"type\": \"a\", \"data\": 1, \"raw\": \"x\"}", "raw: data and raw exclude"),
            ("{\"type\": \"a\", \"data\": 1, \"id\": \"a.b\"}", "id: it is not an event's id"),
            ("{\"type\": \"a\", \"data\": 1, \"timestamp\": \"now\"}", "timestamp: \"now\" is not a time"),
            ("{\"type\": \"a\", \"data\": 1, \"tpye\": 1}", "unknown field `tpye`"),
            ("{\"type\": \"a\", \"raw\": \"x\", \"content_type\": \"a\\r\\nb\"}", "content_type: it is no header's"),
        ] {
            let wrong = read(bad).expect_err(bad);
            assert!(wrong.contains(wanted), "{bad}: {wrong}");
        }
    }
}
