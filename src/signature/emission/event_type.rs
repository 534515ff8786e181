//! Kinds of events: in a preset those that its provider has, in the configuration and the API an app's own.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::document::Reader;
use crate::name::check_event_type;

/// A kind of event that an app emits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventType {
    /// Such as `invoice.paid`: letters, digits, `_`, `-` and `.`.
    #[schema(example = "invoice.paid", max_length = 128, pattern = "^[A-Za-z0-9_.-]+$")]
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The product or service that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Billing")]
    pub category: Option<String>,
    /// What it happens to, such as `VAULT` or `USER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// How repeated events are told: each one, or fewer and fewer of them.
    #[serde(default)]
    pub grouping: Grouping,
    /// The names of the fields of its data.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Data of such an event, which a test event has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub example: Option<Value>,
}

/// How repeated events are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// Each one.
    #[default]
    EverySingle,
    /// Of those that happen to one resource within five minutes the 1st, 10th, 100th and so on.
    ExpRepeat,
}

impl Grouping {
    const WORDS: [(&'static str, Self); 2] = [("every_single", Self::EverySingle), ("exp_repeat", Self::ExpRepeat)];
}

impl EventType {
    /// Reads each `[[event_type]]` below `parent`. No two have one name.
    pub fn read_all(parent: &Reader<'_>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for reader in parent.tables("event_type") {
            let name = reader.parse("name", |text| check_event_type(text).map(|()| text.to_owned()));
            if !reader.has("name") {
                reader.missing("name", "\"invoice.paid\"");
            }
            if let Some(name) = name.as_ref().filter(|name| all.iter().any(|other| other.name == **name)) {
                reader.fault(reader.place_of("name"), format!("name: there is another event type \"{name}\""));
            }
            all.extend(Self::read(reader, name));
        }
        all
    }

    fn read(reader: Reader<'_>, name: Option<String>) -> Option<Self> {
        let text = |key| reader.text(key).map(|text| text.value.to_owned());
        let (description, category, scope) = (text("description").unwrap_or_default(), text("category"), text("scope"));
        let grouping = reader.choice("grouping", &Grouping::WORDS).unwrap_or_default();
        let fields = reader.texts("fields").unwrap_or_default().iter().map(|text| text.value.to_owned()).collect();
        let example = reader
            .parse("example", |text| serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}")));
        reader.finish();
        Some(Self { name: name?, description, category, scope, grouping, fields, example })
    }
}
