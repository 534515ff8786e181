//! Webhooks as customers write and read them. The shapes are those of VPN Enterprise, and more beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::endpoint::{Authorization, Endpoint, MASK, Ordering, RateLimit, Retry, Settings, Status, Tls};
use super::refusal::{Refusal, pointer};
use super::resource::ResourceFilter;
use crate::clock::UnixMillis;
use crate::store::{Failing, Tally};

/// A webhook to be registered, or what one is to become.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookInput {
    /// Where its events are sent.
    #[schema(example = "https://api.example.com/webhooks", max_length = 2048)]
    pub url: String,
    /// Which events it gets: names, `user.*` for all that begin so, `["*"]` or nothing at all for every event, `[]` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["user.created", "invoice.*"]), max_items = 1000)]
    pub events: Option<Vec<String>>,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 1024)]
    pub description: String,
    /// Whether it gets events. What happens while it does not is never delivered later.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub active: bool,
    /// How its deliveries look and are signed: a preset of Hookward that can send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "standard-webhooks")]
    pub provider: Option<String>,
    /// The shape of its bodies, in place of its provider's: `slack`, `teams`, `jira`, or one that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "slack")]
    pub template: Option<String>,
    /// The secret that deliveries are signed with. Made by us if there is none.
    #[serde(default, skip_serializing)]
    #[schema(write_only)]
    pub secret: Option<String>,
    /// The group that it belongs to: then it gets only that group's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// More headers for each delivery. Their values are masked when they are read.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The `Authorization` header of each delivery. Masked when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// What an event's data must have, by JSON pointer, for example `{"/status": "paid"}`.
    #[serde(default)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub filter: BTreeMap<String, Value>,
    /// What its events happen to: one of these, or anything where none is named.
    #[serde(default)]
    #[schema(max_items = 1000)]
    pub resources: Vec<ResourceFilter>,
    /// When a delivery is tried again. Default: its group's, its account's or its provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long one attempt may take in all, for example `15s`; at most a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "15s")]
    pub timeout: Option<String>,
    /// The statuses that count as success, all of them 2xx. Default: its provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!([200]))]
    pub success: Option<Vec<u16>>,
    /// How many deliveries it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Attempts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub max_in_flight: Option<u32>,
    /// In which order its deliveries are made.
    #[serde(default)]
    pub ordering: Ordering,
    /// It is switched off once it has failed for so long without a success, for example `5d`; `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "5d")]
    pub disable_after: Option<String>,
    /// Whom it trusts and who vouches for it. Our key is masked when it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// For its owner, and for its template.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// A webhook, and how it is doing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Webhook {
    #[schema(example = "wh_0199c82cc0a01b7d3f5e6a7b8c9d0e1f")]
    pub id: String,
    pub account_id: String,
    pub url: String,
    /// `["*"]` for every event.
    pub events: Vec<String>,
    pub status: Status,
    /// Why it gets nothing, where that was not its owner.
    pub status_reason: Option<String>,
    /// Masked, but in the one answer that makes it.
    #[schema(example = "whsec_***masked***")]
    pub secret: String,
    pub created_at: String,
    pub updated_at: String,
    pub description: String,
    /// When something was last delivered.
    pub last_delivery: Option<String>,
    /// Since when it fails, without a success in between.
    pub failing_since: Option<String>,
    /// When it will be switched off if it goes on failing.
    pub disable_at: Option<String>,
    pub delivery_stats: DeliveryStats,
    pub active: bool,
    pub provider: String,
    /// The shape of its bodies, where it is not its provider's.
    pub template: Option<String>,
    pub group_id: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub authorization: Option<Authorization>,
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub filter: BTreeMap<String, Value>,
    pub resources: Vec<ResourceFilter>,
    /// As it is in force.
    pub retry: Retry,
    /// As it is in force.
    pub timeout: String,
    /// As it is in force; empty for any 2xx.
    pub success: Vec<u16>,
    pub rate_limit: Option<RateLimit>,
    /// As it is in force.
    pub max_in_flight: u32,
    pub ordering: Ordering,
    /// As it is in force.
    pub disable_after: String,
    pub tls: Option<Tls>,
    pub metadata: BTreeMap<String, String>,
}

/// What came of a webhook's deliveries. Both blocks of names that VPN Enterprise has are always there.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct DeliveryStats {
    /// Delivered and failed ones.
    pub total_deliveries: u64,
    pub successful_deliveries: u64,
    pub failed_deliveries: u64,
    pub last_successful_delivery: Option<String>,
    pub last_failed_delivery: Option<String>,
    /// Of the attempts that were taken.
    pub average_response_time_ms: Option<u64>,
    pub successful: u64,
    pub failed: u64,
    /// Delivered and failed ones of the last 30 days.
    pub last_30_days: u64,
}

/// How an endpoint is doing, as the store has it.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    pub all: Tally,
    pub recent: Tally,
    pub failing: Option<Failing>,
}

impl WebhookInput {
    /// What a webhook that has `old` settings would have been registered with.
    pub fn of(old: &Settings) -> Self {
        Self {
            url: old.url.clone(),
            events: old.events.clone(),
            description: old.description.clone(),
            active: old.active,
            provider: Some(old.provider.clone()),
            template: old.template.clone(),
            secret: None,
            group_id: old.group_id.clone(),
            headers: old.headers.clone(),
            authorization: old.authorization.clone(),
            filter: old.filter.clone(),
            resources: old.resources.clone(),
            retry: old.retry.clone(),
            timeout: old.timeout.clone(),
            success: old.success.clone(),
            rate_limit: old.rate_limit,
            max_in_flight: old.max_in_flight,
            ordering: old.ordering,
            disable_after: old.disable_after.clone(),
            tls: old.tls.clone(),
            metadata: old.metadata.clone(),
        }
    }

    /// The same with `patch` laid over it (RFC 7396).
    ///
    /// # Errors
    /// If the result is no webhook: what is wrong with it.
    pub fn patched(&self, patch: &Value) -> Result<Self, Refusal> {
        let mut whole = serde_json::to_value(self).expect("a plain struct");
        merge(&mut whole, patch);
        Self::read(whole)
    }

    /// The one that is written so.
    ///
    /// # Errors
    /// If it is none: what is wrong with it.
    pub fn read(whole: Value) -> Result<Self, Refusal> {
        serde_path_to_error::deserialize(whole)
            .map_err(|error| Refusal::field(pointer(error.path()), error.inner().to_string()))
    }

    /// The settings, with what is absent as `provider` says, and what is masked as it was in `old`.
    ///
    /// # Errors
    /// If something is masked that was not there.
    pub fn into_settings(self, provider: &str, old: Option<&Settings>) -> Result<Settings, Refusal> {
        let nothing = |pointer: String| {
            Refusal::field(
                pointer,
                format!("\"{MASK}\" stands for what is here already, and there is nothing: write it out"),
            )
        };
        let mut headers = self.headers;
        for (name, value) in &mut headers {
            if value == MASK {
                let known = old.and_then(|old| old.headers.get(name));
                value.clone_from(known.ok_or_else(|| nothing(format!("/headers/{name}")))?);
            }
        }
        let known = old.and_then(|old| old.authorization.as_ref());
        let authorization = match (self.authorization, known) {
            (Some(given), Some(known)) if given == known.masked() => Some(known.clone()),
            (Some(given), _) if given.is_masked() => return Err(nothing("/authorization".into())),
            (given, _) => given,
        };
        let mut tls = self.tls;
        if let Some(tls) = &mut tls
            && tls.key.as_deref() == Some(MASK)
        {
            let known = old.and_then(|old| old.tls.as_ref()?.key.clone());
            tls.key = Some(known.ok_or_else(|| nothing("/tls/key".into()))?);
        }
        Ok(Settings {
            url: self.url,
            events: self.events,
            description: self.description,
            active: self.active,
            provider: self.provider.unwrap_or_else(|| provider.to_owned()),
            template: self.template,
            group_id: self.group_id,
            headers,
            authorization,
            filter: self.filter,
            resources: self.resources,
            retry: self.retry,
            timeout: self.timeout,
            success: self.success,
            rate_limit: self.rate_limit,
            max_in_flight: self.max_in_flight,
            ordering: self.ordering,
            disable_after: self.disable_after,
            tls,
            metadata: self.metadata,
        })
    }
}

/// JSON Merge Patch (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// What of a webhook's settings is in force, wherever it was said.
#[derive(Debug, Clone)]
pub struct InForce {
    /// Masked.
    pub secret: String,
    pub retry: Retry,
    pub timeout: String,
    pub success: Vec<u16>,
    pub max_in_flight: u32,
    pub disable_after: Option<std::time::Duration>,
    /// Why nothing can be delivered, if that is so.
    pub in_the_way: Option<String>,
}

impl Webhook {
    /// As it is read: secrets masked.
    pub fn of(endpoint: &Endpoint, in_force: &InForce, numbers: &Numbers) -> Self {
        let settings = &endpoint.settings;
        let time = |at: i64| UnixMillis(at).to_string();
        let failing = numbers.failing.as_ref();
        let disable_at = failing
            .zip(in_force.disable_after)
            .filter(|_| endpoint.is_active())
            .map(|(failing, after)| failing.since.after(after).to_string());
        let mask_headers = |(name, _): (&String, &String)| (name.clone(), MASK.to_owned());
        Self {
            id: endpoint.id.clone(),
            account_id: endpoint.account.clone(),
            url: settings.url.clone(),
            events: settings.events.clone().unwrap_or_else(|| vec!["*".into()]),
            status: endpoint.status(),
            status_reason: status_reason(endpoint, failing).or_else(|| in_force.in_the_way.clone()),
            secret: in_force.secret.clone(),
            created_at: time(endpoint.created_at),
            updated_at: time(endpoint.updated_at),
            description: settings.description.clone(),
            last_delivery: numbers.all.last_delivered_at.map(|at| at.to_string()),
            failing_since: failing.map(|failing| failing.since.to_string()),
            disable_at,
            delivery_stats: DeliveryStats::of(numbers),
            active: settings.active,
            provider: settings.provider.clone(),
            template: settings.template.clone(),
            group_id: settings.group_id.clone(),
            headers: settings.headers.iter().map(mask_headers).collect(),
            authorization: settings.authorization.as_ref().map(Authorization::masked),
            filter: settings.filter.clone(),
            resources: settings.resources.clone(),
            retry: in_force.retry.clone(),
            timeout: in_force.timeout.clone(),
            success: in_force.success.clone(),
            rate_limit: settings.rate_limit,
            max_in_flight: in_force.max_in_flight,
            ordering: settings.ordering,
            disable_after: in_force.disable_after.map_or("never".into(), crate::quantity::format_duration),
            tls: settings.tls.clone().map(|tls| Tls { key: tls.key.map(|_| MASK.to_owned()), ..tls }),
            metadata: settings.metadata.clone(),
        }
    }
}

impl Authorization {
    /// True if the mask stands where its secret would.
    fn is_masked(&self) -> bool {
        let (Self::Bearer { token: secret }
        | Self::Basic { password: secret, .. }
        | Self::Splunk { token: secret }
        | Self::Custom { value: secret }) = self;
        secret == MASK
    }

    fn masked(&self) -> Self {
        let mask = || MASK.to_owned();
        match self {
            Self::Bearer { .. } => Self::Bearer { token: mask() },
            Self::Basic { username, .. } => Self::Basic { username: username.clone(), password: mask() },
            Self::Splunk { .. } => Self::Splunk { token: mask() },
            Self::Custom { .. } => Self::Custom { value: mask() },
        }
    }
}

/// What is shown of a secret: how it begins, where all of its kind begin so.
pub fn masked(secret: &str) -> String {
    match secret.split_once('_') {
        Some((prefix @ ("whsec" | "vs" | "sk"), _)) => format!("{prefix}_{MASK}"),
        _ if secret.is_empty() => String::new(),
        _ => MASK.to_owned(),
    }
}

fn status_reason(endpoint: &Endpoint, failing: Option<&Failing>) -> Option<String> {
    use super::endpoint::DisabledReason;
    let disabled = endpoint.disabled.as_ref()?;
    let at = UnixMillis(disabled.at);
    Some(match disabled.reason {
        DisabledReason::Gone => format!("it answered 410 Gone at {at}"),
        DisabledReason::Exhausted => format!("all attempts at an event had failed at {at}"),
        DisabledReason::Failing => match failing {
            Some(failing) => format!("it took nothing from {} to {at}", failing.since),
            None => format!("it took nothing for too long, until {at}"),
        },
    })
}

impl DeliveryStats {
    fn of(numbers: &Numbers) -> Self {
        let Numbers { all, recent, .. } = numbers;
        let time = |at: Option<UnixMillis>| at.map(|at| at.to_string());
        let average = all.duration.as_millis().checked_div(all.delivered.into());
        Self {
            total_deliveries: all.delivered + all.dead,
            successful_deliveries: all.delivered,
            failed_deliveries: all.dead,
            last_successful_delivery: time(all.last_delivered_at),
            last_failed_delivery: time(all.last_dead_at),
            average_response_time_ms: average.and_then(|average| average.try_into().ok()),
            successful: all.delivered,
            failed: all.dead,
            last_30_days: recent.delivered + recent.dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_changes_what_it_names() {
        let input: WebhookInput = serde_json::from_value(json!({"url": "https://a.example/", "events": ["a"],
            "headers": {"x-a": "1", "x-b": "2"}}))
        .expect("a webhook");
        let patch = json!({"events": null, "headers": {"x-a": null, "x-c": "3"}, "active": false});
        let patched = input.patched(&patch).expect("a webhook");
        assert_eq!((patched.events, patched.active), (None, false));
        assert_eq!(
            patched.headers.into_iter().collect::<Vec<_>>(),
            [("x-b".into(), "2".into()), ("x-c".into(), "3".into())]
        );
        for bad in [json!({"url": null}), json!({"evnts": []}), json!([]), json!("x"), json!({"active": "yes"})] {
            assert!(input.patched(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_of_earlier_versions_have_no_template_and_can_be_read() {
        let input: WebhookInput = serde_json::from_value(json!({"url": "https://a.example/"})).expect("a webhook");
        let mut kept = serde_json::to_value(input.into_settings("p", None).expect("settings")).expect("JSON");
        assert_eq!(kept.get("template"), None, "nor do those of ours, unless there is one");
        let read = |kept: &Value| serde_json::from_value::<Settings>(kept.clone()).expect("settings").template;
        assert_eq!(read(&kept), None);
        kept["template"] = json!("slack");
        assert_eq!(read(&kept).as_deref(), Some("slack"));
    }

    #[test]
    fn a_masked_value_stays_what_it_was() {
        let input = |headers: Value| {
            serde_json::from_value::<WebhookInput>(json!({"url": "https://a.example/", "headers": headers}))
                .expect("one")
        };
        let old = input(json!({"x-key": "secret"})).into_settings("p", None).expect("settings");
        let new = input(json!({"x-key": MASK, "x-new": "n"})).into_settings("p", Some(&old)).expect("settings");
        assert_eq!(new.headers["x-key"], "secret");
        assert_eq!(new.headers["x-new"], "n");
    }

    #[test]
    fn of_a_secret_only_its_kind_is_shown() {
        assert_eq!(masked("whsec_abcdef"), "whsec_***masked***");
        assert_eq!(masked("topsecret_value"), "***masked***");
    }
}
