//! Providers of the operator's own, from a file.

use hookward::egress::Resolver;
use serde_json::json;
use tempfile::TempDir;

use super::{NOWHERE, id};
use crate::support::Upstream;
use crate::support::telling::{LOOPBACK, Teller};

const ACME: &str = "extends = \"vgs\"\naliases = [\"acme-hooks\"]\n[sender]\nenvelope = \'{\"acme\":{event.data}}\'\nheaders = { \"X-Acme-Event\" = \"{event.type}\" }\nretry = { delays = [\"1m\"], jitter = 0 }\n";

/// A sender that has it, and the line of its configuration that says so.
fn start(more: &str) -> (Teller, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("acme.toml");
    std::fs::write(&file, ACME).expect("a file");
    let line = format!("providers = [\"{}\"]\n", file.display());
    (Teller::start_in(folder, &format!("{line}{more}"), LOOPBACK, Resolver::System), line)
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_have_it_by_name_by_account_and_by_default() {
    let ((teller, _), receiver) = (start("provider = \"acme\""), Upstream::start().await);
    let meta = teller.get("/meta").await;
    let providers = meta.json["providers"].as_array().expect("a list");
    assert!(providers.contains(&json!("acme")) && providers.contains(&json!("stripe")), "{meta:?}");
    for (rest, provider) in [(json!({}), "acme"), (json!({"provider": "acme-hooks"}), "acme-hooks")] {
        assert_eq!(teller.register(&receiver.url(), rest).await["provider"], provider);
    }
    let stripe = teller.register(&receiver.url(), json!({"provider": "stripe"})).await;
    teller.put("/account", &json!({"default_provider": "acme-hooks"})).await.answers(200);
    assert_eq!(teller.register(NOWHERE, json!({"active": false})).await["provider"], "acme-hooks");
    let refused = teller.put("/account", &json!({"default_provider": "acmee"})).await;
    assert_eq!(refused.refuses(422, "validation").pointer(), "/default_provider");
    let refused = teller.post("/webhooks", &json!({"url": receiver.url(), "provider": "acmee"})).await;
    refused.refuses(422, "validation");
    assert_eq!(refused.json["errors"][0]["detail"], "\"acmee\" is not a provider, did you mean \"acme\"?");

    teller.publish("order.paid", json!({"n": 1})).await;
    teller.reach(id(&stripe), "success", 1).await;
    crate::support::crowd::wait_until("three deliveries", || receiver.arrived().len() == 3).await;
    let acme: Vec<_> =
        receiver.arrived().into_iter().filter(|arrived| arrived.body == "{\"acme\":{\"n\":1}}").collect();
    assert_eq!(acme.len(), 2);
    assert!(acme.iter().all(|arrived| arrived.header("x-acme-event") == "order.paid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_keeps_its_own_secret_where_its_provider_comes_to_share_one() {
    let ((teller, line), receiver) = (start(""), Upstream::start().await);
    let old = teller.register(&receiver.url(), json!({"provider": "acme"})).await;
    let sharing = format!("{ACME}secret = {{ scope = \"account\", view = \"always\" }}\n");
    std::fs::write(teller.folder().join("acme.toml"), sharing).expect("a file");
    let teller = teller.restart(&line).await.expect("it starts");
    let new = teller.register(&receiver.url(), json!({"provider": "acme"})).await;

    teller.publish("order.paid", json!({"n": 1})).await;
    for webhook in [&old, &new] {
        teller.reach(id(webhook), "success", 1).await;
        let shown = teller.get(&format!("/webhooks/{}/secret", id(webhook))).await;
        assert_eq!(shown.answers(200).json["secret"], webhook["secret"]);
    }
    assert_ne!(old["secret"], new["secret"]);
    assert_eq!(teller.get("/account/secrets/acme").await.json["secret"], new["secret"]);
    let rotate = async |webhook| teller.post(&format!("/webhooks/{}/rotate-secret", id(webhook)), &json!({})).await;
    rotate(&old).await.answers(200);
    assert_eq!(rotate(&new).await.refuses(422, "validation").pointer(), "/secret");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_sign_waits_until_there_is_a_secret() {
    let ((teller, line), receiver) = (start(""), Upstream::start().await);
    let file = teller.folder().join("acme.toml");
    std::fs::write(&file, format!("{ACME}secret = {{ scope = \"account\" }}\n")).expect("a file");
    let teller = teller.restart(&line).await.expect("it starts");
    let webhook = teller.register(&receiver.url(), json!({"provider": "acme"})).await;
    std::fs::write(&file, ACME).expect("a file");
    let teller = teller.restart(&line).await.expect("it starts");

    teller.publish("order.paid", json!({"n": 1})).await;
    teller.reach(id(&webhook), "pending", 1).await;
    let path = format!("/webhooks/{}", id(&webhook));
    let reason = teller.get(&path).await.json["webhook"]["status_reason"].clone();
    assert_eq!(
        reason,
        "nothing can be delivered: secret: it has none to sign with, since its account had one for it: POST …/rotate-secret makes one"
    );
    teller.post(&format!("{path}/rotate-secret"), &json!({})).await.answers(200);
    teller.reach(id(&webhook), "success", 1).await;
    assert_eq!(teller.get(&path).await.json["webhook"]["status_reason"], json!(null));
    assert_eq!(receiver.arrived().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_its_provider_no_longer_allows_can_be_switched_off() {
    let (teller, line) = start("");
    let input = json!({"provider": "acme", "headers": {"x-a": "1"}});
    let [by_path, by_patch] = [teller.register(NOWHERE, input.clone()).await, teller.register(NOWHERE, input).await];
    std::fs::write(teller.folder().join("acme.toml"), format!("{ACME}extra_headers = \"deny\"\n")).expect("a file");
    let teller = teller.restart(&line).await.expect("it starts");
    let path = format!("/webhooks/{}", id(&by_patch));
    let refused = teller.patch(&path, &json!({"active": false, "description": "x"})).await;
    assert_eq!(refused.refuses(422, "validation").pointer(), "/headers", "whatever else is changed is looked at");
    teller.patch(&path, &json!({"active": false})).await.answers(200);
    teller.post(&format!("/webhooks/{}/disable", id(&by_path)), &json!({})).await.answers(200);
    for webhook in [&by_path, &by_patch] {
        let path = format!("/webhooks/{}", id(webhook));
        assert_eq!(teller.get(&path).await.json["webhook"]["status"], "inactive");
        let refused = teller.post(&format!("{path}/enable"), &json!({})).await;
        assert_eq!(refused.refuses(422, "validation").pointer(), "/headers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_file_a_webhook_says_so_and_waits() {
    let ((teller, line), receiver) = (start(""), Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"provider": "acme"})).await;
    let webhook = id(&webhook);
    receiver.fail_first(|_| true);
    teller.publish("order.paid", json!({"n": 1})).await;
    teller.reach(webhook, "retrying", 1).await;

    let teller = teller.restart("").await.expect("it starts all the same");
    let shown = teller.get(&format!("/webhooks/{webhook}")).await;
    let reason = "nothing can be delivered: provider: \"acme\" is not a provider, `hookward providers` lists them";
    assert_eq!(
        (&shown.json["webhook"]["provider"], &shown.json["webhook"]["status_reason"]),
        (&json!("acme"), &json!(reason))
    );
    let tried = teller.post(&format!("/webhooks/{webhook}/test"), &json!({})).await;
    tried.refuses(409, "conflict");
    assert!(
        tried.json["detail"].as_str().is_some_and(|detail| detail.contains("\"acme\" is not a provider")),
        "{tried:?}"
    );
    let changed = teller.patch(&format!("/webhooks/{webhook}"), &json!({"description": "x"})).await;
    assert_eq!(changed.refuses(422, "validation").pointer(), "/provider");
    teller.pass(3600);
    // Whatever is due has been looked for by the time that another's is there.
    let other = Upstream::start().await;
    let marker = teller.register(&other.url(), json!({"events": []})).await;
    let event = json!({"type": "marker", "data": null, "webhook_ids": [id(&marker)]});
    teller.post("/events", &event).await.answers(202);
    teller.reach(id(&marker), "success", 1).await;
    teller.reach(webhook, "retrying", 1).await;
    assert_eq!(receiver.arrived().len(), 1, "nobody knows how to write to it");

    let teller = teller.restart(&line).await.expect("it starts");
    teller.reach(webhook, "success", 1).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0].body, arrived[1].body);
    let shown = teller.get(&format!("/webhooks/{webhook}")).await;
    assert_eq!(shown.json["webhook"]["status_reason"], json!(null));
}
