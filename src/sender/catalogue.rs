//! What an account has beside its endpoints: event types, groups, and its own settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::emitter::Emitters;
use super::endpoint::{Retry, positive};
use super::name;
use super::refusal::Refusal;
use crate::signature::json::Pointer;

pub use crate::signature::emission::EventType;

/// Endpoints that get a part of the events: those that name the group, or that match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Made by us, begins with `grp_`.
    pub id: String,
    #[schema(example = "production")]
    pub name: String,
    /// What an event's data must have, by JSON pointer; without any, only events that name the group are for it.
    #[serde(rename = "match")]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub matches: BTreeMap<String, Value>,
    /// For its endpoints that say nothing of it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// What is to be decided about a group.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupInput {
    /// Letters, digits, `_`, `-` and `.`; no other group of the account has it.
    #[schema(example = "production", max_length = 128, pattern = "^[A-Za-z0-9_.-]+$")]
    pub name: String,
    /// What an event's data must have, by JSON pointer, for example `{"/group": "production"}`.
    #[serde(rename = "match", default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub matches: BTreeMap<String, Value>,
    /// For its endpoints that say nothing of it themselves.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// The same, for example `10s`.
    #[serde(default)]
    pub timeout: Option<String>,
}

/// What holds for one account. What is absent is as the configuration has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountSettings {
    /// How many endpoints it may have.
    #[schema(maximum = 1_000_000)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_webhooks: Option<u32>,
    /// False: it may not look at webhooks or register them, and they get nothing. True if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications_enabled: Option<bool>,
    /// The provider of endpoints that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_provider: Option<String>,
    /// For endpoints that say nothing of it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The same, for example `15s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Only events whose type is known may be emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict_event_types: Option<bool>,
}

/// Checks an event type, as it was given.
///
/// # Errors
/// The field that is wrong.
pub fn check_event_type(kind: &EventType) -> Result<(), Refusal> {
    name::check_event_type(&kind.name).map_err(|wrong| Refusal::field("/name", wrong))
}

impl GroupInput {
    /// The group that it describes.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn into_group(self, id: String) -> Result<Group, Refusal> {
        let Self { name, matches, retry, timeout } = self;
        name::check_name(&name).map_err(|wrong| Refusal::field("/name", wrong))?;
        check_pointers(&matches).map_err(|refusal| refusal.within("/match"))?;
        check_defaults(retry.as_ref(), timeout.as_deref())?;
        Ok(Group { id, name, matches, retry, timeout })
    }
}

/// No account has more endpoints, as in `[sender] max_webhooks`.
const MOST_WEBHOOKS: u32 = 1_000_000;

impl AccountSettings {
    /// Checks them, as they were given; `emitters` is what a provider may be.
    ///
    /// # Errors
    /// The field that is wrong.
    pub fn check(&self, emitters: &Emitters) -> Result<(), Refusal> {
        if let Some(provider) = &self.default_provider {
            emitters.find(provider).map_err(|refusal| refusal.at("/default_provider"))?;
        }
        if self.max_webhooks.is_some_and(|most| most > MOST_WEBHOOKS) {
            return Err(Refusal::field("/max_webhooks", format!("it is more than {MOST_WEBHOOKS}")));
        }
        check_defaults(self.retry.as_ref(), self.timeout.as_deref())
    }
}

fn check_defaults(retry: Option<&Retry>, timeout: Option<&str>) -> Result<(), Refusal> {
    if let Some(retry) = retry {
        retry
            .schedule(&Emitters::standard().emission.schedule)
            .map_err(|(key, wrong)| Refusal::field(format!("/retry/{key}"), wrong))?;
    }
    timeout.map_or(Ok(()), |text| positive(text).map(drop).map_err(|wrong| Refusal::field("/timeout", wrong)))
}

/// Checks that each key is a JSON pointer and each value one that can be compared.
///
/// # Errors
/// The key that is wrong.
pub fn check_pointers(wanted: &BTreeMap<String, Value>) -> Result<(), Refusal> {
    const MOST: usize = 32;
    if wanted.len() > MOST {
        return Err(Refusal::field("", format!("there are more than {MOST} pointers")));
    }
    for (pointer, value) in wanted {
        let escaped = pointer.replace('~', "~0").replace('/', "~1");
        if let Err(wrong) = Pointer::parse(pointer) {
            return Err(Refusal::field(format!("/{escaped}"), wrong));
        }
        if value.is_object() || value.is_array() {
            return Err(Refusal::field(format!("/{escaped}"), "only text, numbers, booleans and null are compared"));
        }
    }
    Ok(())
}

/// True if `data` has all that is wanted. Data that is not JSON has nothing.
pub fn has_all(data: Option<&Value>, wanted: &BTreeMap<String, Value>) -> bool {
    wanted.iter().all(|(pointer, value)| data.and_then(|data| data.pointer(pointer)) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn all_pointers_must_match() {
        let data = json!({"group": "production", "size": 3, "deep": {"a/b": true}});
        let has = |value: Value| has_all(Some(&data), &wanted(value));
        assert!(has(json!({})) && has(json!({"/group": "production", "/size": 3, "/deep/a~1b": true})));
        assert!(!has(json!({"/group": "staging"})) && !has(json!({"/none": null})) && !has(json!({"/size": "3"})));
        assert!(has_all(None, &wanted(json!({}))) && !has_all(None, &wanted(json!({"/a": 1}))));
    }

    #[test]
    fn a_pointer_that_is_none_is_named() {
        assert!(check_pointers(&wanted(json!({"/a/b": 1, "/c": null}))).is_ok());
        let refused = check_pointers(&wanted(json!({"a": 1}))).expect_err("no pointer");
        assert_eq!(refused.errors[0].pointer, "/a");
        assert!(check_pointers(&wanted(json!({"/a": {}}))).is_err());
    }
}
