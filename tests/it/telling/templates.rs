//! Webhooks that name a template: a chat tool gets its own message, signed and tried like any other.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::id;
use crate::support::telling::Teller;
use crate::support::{NOW, Upstream, signed_with};
use crate::templates::{VANTA_DATA, VANTA_SLACK, compact};

/// A template that fails where `n` is no number.
const SUM: &str = "{\"next\": {{ data.n + 1 }},\n \"to\": {{ metadata.to | default(\"nobody\") }}}";

/// A folder with templates, and what `[sender]` says of them.
fn own(templates: &[(&str, &str)]) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let lines = templates.iter().map(|(name, text)| {
        let file = folder.path().join(format!("{name}.json.jinja"));
        std::fs::write(&file, text).expect("a file");
        format!("{{ name = \"{name}\", file = \"{}\" }}", file.display())
    });
    let lines = format!("templates = [{}]", lines.collect::<Vec<_>>().join(", "));
    (folder, lines)
}

/// The bodies that arrived.
fn bodies(receiver: &Upstream) -> Vec<String> {
    receiver.arrived().iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn van_90_the_message_of_the_documentation_arrives_signed() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"provider": "vantastatus", "template": "slack"})).await;
    let plain = teller.register(&receiver.url(), json!({"events": []})).await;
    assert_eq!((&webhook["template"], &plain["template"]), (&json!("slack"), &json!(null)));
    let told = teller.publish("endpoint.down", serde_json::from_str(VANTA_DATA).expect("JSON")).await;
    teller.reach(id(&webhook), "success", 1).await;
    let arrived = receiver.only();
    let body = std::str::from_utf8(&arrived.body).expect("text");
    assert_eq!(body, compact(VANTA_SLACK));
    assert_eq!(arrived.header("content-type"), "application/json");
    let secret = webhook["secret"].as_str().expect("a secret");
    let signed = signed_with(secret, "vantastatus", id(&told), body, NOW);
    assert_eq!(arrived.header("x-vantastatus-signature"), signed.value("x-vantastatus-signature"));
    assert_eq!(arrived.header("x-vantastatus-event"), "endpoint.down");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nearest_template_of_a_name_counts() {
    let (_folder, lines) = own(&[("pager", SUM), ("teams", "{\"mine\": {{ webhook_id }}}")]);
    let (teller, receiver) = (Teller::start(&lines).await, Upstream::start().await);
    let register = async |rest: Value| teller.register(&receiver.url(), rest).await;
    let mine = register(json!({"provider": "cyberark-vaas", "template": "teams"})).await;
    let pager = register(json!({"template": "pager", "metadata": {"to": "ops"}})).await;
    let other = register(json!({"template": "pager"})).await;
    let general = register(json!({"template": "slack", "provider": "github"})).await;
    teller.publish("a", json!({"n": 1})).await;
    for webhook in [&mine, &pager, &other, &general] {
        teller.reach(id(webhook), "success", 1).await;
    }
    let found = bodies(&receiver);
    for body in [
        format!("{{\"mine\":\"{}\"}}", id(&mine)),
        "{\"next\":2,\"to\":\"ops\"}".to_owned(),
        "{\"next\":2,\"to\":\"nobody\"}".to_owned(),
    ] {
        assert!(found.contains(&body), "{body}: {found:#?}");
    }
    assert!(found.iter().any(|body| body.starts_with("{\"text\":\"a\",\"blocks\":")), "{found:#?}");

    assert_eq!(teller.get("/meta").await.json["templates"], json!(["jira", "pager", "slack", "teams"]));
    let path = format!("/webhooks/{}", id(&pager));
    let unknown = json!({"url": receiver.url(), "template": "slak"});
    for said in [teller.post("/webhooks", &unknown).await, teller.patch(&path, &json!({"template": "slak"})).await] {
        assert_eq!(said.refuses(422, "validation").pointer(), "/template");
        let detail = said.json["errors"][0]["detail"].as_str().expect("text");
        assert_eq!(detail, "there is no template \"slak\", only jira, pager, slack, teams");
    }
    let changed = teller.patch(&path, &json!({"template": null})).await;
    assert_eq!(changed.answers(200).json["webhook"]["template"], json!(null));
    teller.publish("b", json!({"n": 1})).await;
    teller.reach(id(&pager), "success", 2).await;
    assert!(bodies(&receiver).iter().any(|body| body.starts_with("{\"type\":\"b\",\"timestamp\":")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_on_which_a_template_fails_is_skipped_and_can_be_recovered() {
    let (_folder, lines) = own(&[("sum", SUM)]);
    let (teller, receiver) = (Teller::start(&lines).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"template": "sum"})).await;
    let suppressed = json!([{"webhook_id": id(&webhook), "reason": "template_failed"}]);
    let told = teller.publish("a", json!({"n": "one"})).await;
    assert_eq!((&told["webhook_ids"], &told["suppressed"]), (&json!([]), &suppressed));
    for raw in [
        json!({"type": "b", "raw": "<n>1</n>", "content_type": "text/xml"}),
        json!({"type": "b", "raw": "{\"n\":1}", "content_type": "text/plain"}),
        json!({"type": "b", "raw": "n=1"}),
    ] {
        let said = teller.post("/events", &raw).await;
        assert_eq!(said.answers(202).json["event"]["suppressed"], suppressed, "{raw}");
    }
    let raw = json!({"type": "c", "raw": "{\"n\":1}", "content_type": "application/json; charset=utf-8"});
    assert_eq!(teller.post("/events", &raw).await.answers(202).json["event"]["suppressed"], json!([]));
    let log = teller.reach(id(&webhook), "success", 1).await;
    let skipped: Vec<&Value> = log.iter().filter(|delivery| delivery["status"] == "skipped").collect();
    assert!(skipped.len() == 4 && skipped.iter().all(|delivery| delivery["reason"] == "template_failed"));
    assert_eq!(bodies(&receiver), ["{\"next\":2,\"to\":\"nobody\"}"]);

    // It fails still.
    let at = format!("/webhooks/{}", id(&webhook));
    let first = log.iter().find(|delivery| delivery["event_id"] == told["id"]).expect("it");
    let resend = format!("{at}/deliveries/{}/resend", id(first));
    let said = teller.post(&resend, &json!({})).await;
    let detail = said.refuses(409, "template_failed").json["detail"].as_str().expect("text").to_owned();
    assert!(detail.ends_with("fails on this event: line 1: invalid operation"), "{detail}");
    let replay = format!("/events/{}/replay", id(&told));
    teller.post(&replay, &json!({})).await.refuses(409, "template_failed");
    let input = json!({"since": "2020-01-01T00:00:00Z", "states": ["skipped"]});
    let recover = format!("{at}/recover");
    let said = teller.post(&recover, &input).await;
    assert_eq!((&said.json["matched"], &said.json["template_failed"]), (&json!(0), &json!(4)), "{said:?}");

    // With another one it does not, but for what is no JSON.
    teller.patch(&at, &json!({"template": "slack"})).await.answers(200);
    let said = teller.post(&recover, &input).await;
    assert_eq!((&said.json["matched"], &said.json["template_failed"]), (&json!(1), &json!(3)), "{said:?}");
    teller.reach(id(&webhook), "success", 2).await;
    assert!(bodies(&receiver)[1].starts_with("{\"text\":\"a\",\"blocks\":"));
    teller.post(&resend, &json!({})).await.answers(202);
    teller.reach(id(&webhook), "success", 3).await;
    assert_eq!(bodies(&receiver)[1], bodies(&receiver)[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_again_has_the_bytes_that_it_had() {
    let (_folder, lines) = own(&[("sum", SUM)]);
    let (teller, receiver) = (Teller::start(&lines).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"template": "sum"})).await;
    let told = teller.publish("a", json!({"n": 1})).await;
    let log = teller.reach(id(&webhook), "success", 1).await;
    let at = format!("/webhooks/{}", id(&webhook));
    teller.patch(&at, &json!({"metadata": {"to": "ops"}})).await.answers(200);
    let replay = format!("/events/{}/replay", id(&told));
    teller.post(&replay, &json!({})).await.answers(202);
    teller.post(&format!("{at}/deliveries/{}/resend", id(&log[0])), &json!({})).await.answers(202);
    teller.reach(id(&webhook), "success", 3).await;
    assert_eq!(bodies(&receiver), ["{\"next\":2,\"to\":\"nobody\"}"; 3]);
    let shown = teller.get(&format!("{at}/deliveries/{}", id(&log[0]))).await;
    assert_eq!(shown.json["delivery"]["body"], "{\"next\":2,\"to\":\"nobody\"}");

    // Whoever had it never gets it in the shape that is asked for now.
    let late = teller.register(&receiver.url(), json!({"template": "sum", "metadata": {"to": "late"}})).await;
    teller.post(&replay, &json!({"webhook_ids": [id(&late)]})).await.answers(202);
    teller.reach(id(&late), "success", 1).await;
    assert_eq!(bodies(&receiver)[3], "{\"next\":2,\"to\":\"late\"}");

    // One that was switched off has what it would have had.
    teller.post(&format!("{at}/disable"), &json!({})).await.answers(200);
    teller.publish("b", json!({"n": 7})).await;
    teller.reach(id(&late), "success", 2).await;
    teller.post(&format!("{at}/enable"), &json!({})).await.answers(200);
    let input = json!({"since": "2020-01-01T00:00:00Z", "states": ["skipped"]});
    let said = teller.post(&format!("{at}/recover"), &input).await;
    assert_eq!(said.json["matched"], 1, "{said:?}");
    teller.reach(id(&webhook), "success", 4).await;
    assert!(bodies(&receiver).contains(&"{\"next\":8,\"to\":\"ops\"}".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_sends_what_the_template_makes() {
    let (_folder, lines) = own(&[("sum", SUM)]);
    let (teller, receiver) = (Teller::start(&lines).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"template": "sum"})).await;
    let test = format!("/webhooks/{}/test", id(&webhook));
    let said = teller.post(&test, &json!({"custom_data": {"n": 41}})).await;
    assert_eq!(said.answers(200).json["delivery"]["body"], "{\"next\":42,\"to\":\"nobody\"}");
    teller.post(&test, &json!({"custom_data": {"n": "x"}})).await.refuses(409, "template_failed");
    assert_eq!(bodies(&receiver), ["{\"next\":42,\"to\":\"nobody\"}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_is_gone_skips_events_and_says_so() {
    let (_folder, lines) = own(&[("sum", SUM)]);
    let (teller, receiver) = (Teller::start(&lines).await, Upstream::start().await);
    let webhook = teller.register(&receiver.url(), json!({"template": "sum"})).await;
    let teller = teller.restart("").await.expect("it starts");
    let at = format!("/webhooks/{}", id(&webhook));
    assert_eq!(teller.get(&at).await.json["webhook"]["template"], "sum");
    let told = teller.publish("a", json!({"n": 1})).await;
    assert_eq!(told["suppressed"][0]["reason"], "template_failed");
    let said = teller.post(&format!("{at}/test"), &json!({})).await;
    let detail = said.refuses(409, "template_failed").json["detail"].as_str().expect("text").to_owned();
    assert!(detail.contains("there is no template \"sum\", only jira, slack, teams"), "{detail}");
    assert!(receiver.arrived().is_empty());
}
