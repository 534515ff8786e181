//! What the sender does: an app publishes an event by its API, and its log says what came of the delivery.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::api::Api;
use super::app::{DemoApp, Mood, Seen};
use super::provider::{Provider, Signed};
use super::row::{Outcome, times};

/// A delivery that takes longer than this is not waited for.
const WITHIN: Duration = Duration::from_secs(10);

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Registers a provider's webhook at the gateway, and returns its id.
///
/// The demo brings the secret, since the gateway must know it before anything is registered: the URL is the gateway's,
/// and a provider may ask there first whether anybody answers.
pub async fn register(provider: &Provider, gateway: SocketAddr, api: &Api) -> anyhow::Result<String> {
    let slug = &provider.preset.slug;
    let mut webhook = json!({
        "url": format!("http://{gateway}{}", provider.path()),
        "provider": slug,
        "events": [provider.kind],
    });
    if provider.shares_secret() {
        let secret = json!({ "secret": provider.secret });
        api.post(&format!("/account/secrets/{slug}/rotate"), secret.to_string()).await?;
    } else {
        webhook["secret"] = json!(provider.secret);
    }
    if let Some(token) = &provider.bearer {
        webhook["authorization"] = json!({ "type": "bearer", "token": token });
    }
    if provider.fails_first {
        webhook["retry"] = json!({ "delays": ["1s"], "jitter": 0.0 });
    }
    let answer = api.post("/webhooks", webhook.to_string()).await?;
    Ok(text(&answer["webhook"]["id"]).to_owned())
}

/// What the table calls a provider's event.
pub fn title(provider: &Provider) -> &'static str {
    if provider.fails_first { "published, the app fails once" } else { "published through the sender" }
}

/// Publishes a provider's event and waits for the end of its delivery. What the app saw since the registration counts.
/// With it comes the request as it was delivered, if all is as it should be.
pub async fn publish(
    provider: &Provider,
    webhook: &str,
    api: &Api,
    app: &DemoApp,
) -> anyhow::Result<(Outcome, Option<Signed>)> {
    app.set_mood(if provider.fails_first { Mood::FailsOnce } else { Mood::Well });
    let data: &RawValue = serde_json::from_str(provider.data)?;
    let (id, kind) = (json!(provider.event_id()), json!(provider.kind));
    api.post("/events", format!("{{\"id\":{id},\"type\":{kind},\"data\":{data}}}")).await?;
    let delivery = delivery(webhook, api).await?;
    let seen = app.take_seen();
    let outcome = judge(provider, &delivery, &seen);
    let delivered = outcome.wanted.is_none().then(|| seen.last().map(|seen| provider.on_its_way(seen))).flatten();
    Ok((outcome, delivered))
}

/// The only delivery of a webhook with its attempts, once it has come to its end or taken too long.
async fn delivery(webhook: &str, api: &Api) -> anyhow::Result<Value> {
    let begun = Instant::now();
    loop {
        let list = api.get(&format!("/webhooks/{webhook}/deliveries")).await?;
        let delivery = &list["deliveries"][0];
        if !["pending", "retrying"].contains(&text(&delivery["status"])) || begun.elapsed() > WITHIN {
            let detail = api.get(&format!("/webhooks/{webhook}/deliveries/{}", text(&delivery["id"]))).await?;
            return Ok(detail["delivery"].clone());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Holds what the log and the app say of a delivery against what must come of it.
fn judge(provider: &Provider, delivery: &Value, seen: &[Seen]) -> Outcome {
    let statuses: Vec<u64> = delivery["attempts_log"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| attempt["response_status"].as_u64().unwrap_or_default())
        .collect();
    let wanted: &[u64] = if provider.fails_first { &[500, 200] } else { &[200] };
    let exact = seen.iter().all(|seen| seen.body == text(&delivery["body"]) && seen.is_verified());
    let is_success = delivery["status"] == "success";
    let as_wanted = is_success && statuses == wanted && seen.len() == wanted.len() && exact;
    Outcome {
        verdict: if is_success { "delivered" } else { text(&delivery["status"]) }.to_owned(),
        answer: attempts(&statuses),
        app: if exact { times(seen.len()) } else { "altered".into() },
        note: note(provider),
        wanted: (!as_wanted).then(|| {
            format!("delivered, {}, seen by the app {} as it was sent", attempts(wanted), times(wanted.len()))
        }),
    }
}

/// What is out of the ordinary with a provider's webhook.
fn note(provider: &Provider) -> Option<&'static str> {
    if provider.fails_first {
        return Some("the second 1 s after the first: this webhook has a \"retry\" of its own");
    }
    let is_tested = provider.preset.profile.emission.policy.creation_test.is_some();
    is_tested.then_some("this webhook was registered after the gateway answered a test event")
}

/// `attempt 1 → 200`, `1 → 500, 2 → 200`.
fn attempts(statuses: &[u64]) -> String {
    let each = statuses.iter().enumerate().map(|(index, status)| format!("{} → {status}", index + 1));
    match each.collect::<Vec<_>>().as_slice() {
        [one] => format!("attempt {one}"),
        several => several.join(", "),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
