//! What a webhook and its log say.

use serde_json::Value;

use crate::support::telling::Teller;
use crate::support::{NOW, Request};
use crate::telling::id;

/// So many seconds after [`NOW`], as it is written.
pub fn at(seconds: i64) -> String {
    hookward::clock::UnixMillis((NOW + seconds) * 1000).to_string()
}

/// Publishes an event whose data is this text, byte for byte; its id.
pub async fn tell(teller: &Teller, kind: &str, data: &str) -> String {
    let body = format!("{{\"type\":\"{kind}\",\"data\":{data}}}");
    let request = Request::post("/events").header("content-type", "application/json").body(body.as_bytes());
    let said = teller.send(request).await;
    said.answers(202).json["event"]["id"].as_str().expect("an id").to_owned()
}

/// A webhook's only, or latest, delivery once it waits for its next attempt.
pub async fn retrying(teller: &Teller, webhook: &Value, attempts: usize) -> Value {
    let waits = |all: &[Value]| {
        let latest = all.first().is_some_and(|latest| latest["attempts"] == attempts);
        latest && all[0]["next_attempt_at"].is_string()
    };
    teller.deliveries(id(webhook), waits).await[0].clone()
}

/// A webhook as it is shown.
pub async fn show(teller: &Teller, webhook: &Value) -> Value {
    teller.get(&format!("/webhooks/{}", id(webhook))).await.answers(200).json["webhook"].clone()
}

/// When each attempt at a delivery began.
pub async fn begun(teller: &Teller, webhook: &Value, delivery: &Value) -> Vec<String> {
    let said = teller.get(&format!("/webhooks/{}/deliveries/{}", id(webhook), id(delivery))).await;
    let log = said.answers(200).json["delivery"]["attempts_log"].as_array().expect("a list").clone();
    log.iter().map(|attempt| attempt["started_at"].as_str().expect("a time").to_owned()).collect()
}
