//! The sender, from an app that says what happened to whoever asked for it.

mod access;
mod addresses;
mod again;
mod crashes;
mod gateway;
mod nodes;
mod outage;
mod providers;
mod publishing;
mod retries;
mod secrets;
mod templates;
mod webhooks;

use serde_json::{Value, json};

use crate::support::Upstream;
use crate::support::telling::Teller;

/// An address that may be delivered to and where nobody is.
pub const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// The id of what was made.
pub fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap_or_else(|| panic!("no id: {made}"))
}

/// A sender whose next round a test can wait for: whatever is due by then has been begun.
pub struct Stage {
    pub teller: Teller,
    marker: Upstream,
    marked: String,
}

impl Stage {
    pub async fn start(rest: &str) -> Self {
        let (teller, marker) = (Teller::start(rest).await, Upstream::start().await);
        let marked = id(&teller.register(&marker.url(), json!({"events": []})).await).to_owned();
        Self { teller, marker, marked }
    }

    /// Moves its clock on, and lets it find out what is due.
    pub async fn pass(&self, seconds: i64) {
        self.teller.pass(seconds);
        let wanted = self.marker.arrived().len() + 1;
        let event = json!({"type": "marker", "data": null, "webhook_ids": [self.marked]});
        self.teller.post("/events", &event).await.answers(202);
        self.teller.reach(&self.marked, "success", wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_at_everyone_who_asked() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let wants = teller.register(&format!("{}/hook?a=1", receiver.url()), json!({"events": ["invoice.*"]})).await;
    teller.register(&format!("{}/other", receiver.url()), json!({"events": ["user.created"]})).await;
    let event = teller.publish("invoice.paid", json!({"amount": 4200})).await;
    assert_eq!(event["webhook_ids"], json!([wants["id"]]));
    let deliveries = teller.reach(wants["id"].as_str().expect("an id"), "success", 1).await;
    assert_eq!(deliveries[0]["event_data"], json!({"amount": 4200}));
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 1, "nobody else asked for it");
    assert_eq!(
        (arrived[0].target.as_str(), arrived[0].header("webhook-id")),
        ("/hook?a=1", event["id"].as_str().expect("an id"))
    );
}
