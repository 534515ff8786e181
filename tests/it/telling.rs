//! The sender, from an app that says what happened to whoever asked for it.

use serde_json::json;

use crate::support::Upstream;
use crate::support::telling::Teller;

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
