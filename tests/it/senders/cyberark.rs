//! CyberArk Certificate Manager, "About webhook notifications".

mod ending;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookward::egress::Resolver;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

use super::receiver::{Certified, OK, Receiver};
use crate::support::client::Request;
use crate::support::telling::{ADMIN, LOOPBACK, Said, Teller};
use crate::support::upstream::{Act, Arrived};
use crate::support::{Gateway, NOW, Upstream};
use crate::telling::{Stage, id};

/// The secret of the checklist's known answers, which were computed with Python.
const SECRET: &str = "cyberark_kat_secret";

/// The test payload, and its tag under [`SECRET`].
const TEST: &str = r####"{"events":[{"message":"### VAAS: TESTING CONNECTION... OK ###"}]}"####;
const TEST_TAG: &str = "McJmKXzvmfntwJXvSLA8pgT-PoryvNKCiIbZoXyJ-gk";

/// The documentation's example, on the wire; its one event; and its tag under [`SECRET`].
const EXAMPLE: &str = r#"{"events":[{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate api.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}]}"#;
const EVENT: &str = r#"{"eventType":"CertificateExpiration","eventName":"Certificate Expiration","message":"Certificate api.example.com expires on 2025-02-01T00:00:00Z","criticality":1,"createdAt":"2025-01-15T12:45:00Z"}"#;
const EXAMPLE_TAG: &str = "FpGMlZ1a3tqKdIHXPD1UK1_6nJWX8emPKYYBPszCN2k";

/// So many seconds after [`NOW`], as it is written.
fn at(seconds: i64) -> String {
    hookward::clock::UnixMillis((NOW + seconds) * 1000).to_string()
}

/// A connector to `url`, with `rest` beside it.
fn connector(url: &str, rest: Value) -> Value {
    let mut input = json!({"url": url, "provider": "cyberark-vaas"});
    for (key, value) in rest.as_object().expect("an object") {
        input[key] = value.clone();
    }
    input
}

async fn create(teller: &Teller, url: &str, rest: Value) -> Value {
    let said = teller.post("/webhooks", &connector(url, rest)).await;
    said.answers(201).json["webhook"].clone()
}

/// Tells the documentation's example, in its own bytes.
async fn expire(teller: &Teller) -> Value {
    let body = format!("{{\"type\":\"CertificateExpiration\",\"data\":{EVENT}}}");
    let request = Request::post("/events").header("content-type", "application/json").body(body.as_bytes());
    teller.send(request).await.answers(202).json["event"].clone()
}

fn text(arrived: &Arrived) -> &str {
    std::str::from_utf8(&arrived.body).expect("text")
}

/// The names of its headers, in order.
fn names(arrived: &Arrived) -> Vec<&str> {
    let mut names: Vec<&str> = arrived.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Nothing was registered, and nothing is owed or logged.
async fn check_that_nothing_is_there(teller: &Teller, why: &str) {
    for list in ["/webhooks", "/events"] {
        assert_eq!(teller.get(list).await.json["total"], 0, "CYB-13: {why}: {list}");
    }
}

fn reason(said: &Said) -> &str {
    said.refuses(422, "reachability_failed");
    assert_eq!(said.pointer(), "/url");
    said.json["errors"][0]["detail"].as_str().expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_takes_the_test_payload_before_it_is_there() {
    for status in [200, 202, 204, 299] {
        let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
        receiver.plan([Act::Answer(status)]);
        let input =
            json!({"secret": SECRET, "authorization": {"type": "bearer", "token": "t-1"}, "retry": {"jitter": 0}});
        let made = create(&teller, &format!("{}/hook?a=1", receiver.url()), input).await;
        assert_eq!(made["status"], "active", "CYB-12: {status}");
        let test = receiver.only();
        assert_eq!(text(&test), TEST, "CYB-11");
        teller.pass(7);
        expire(&teller).await;
        teller.reach(id(&made), "success", 1).await;
        let real = receiver.arrived().pop().expect("one");
        assert_eq!((&test.method, &test.target), (&real.method, &real.target), "CYB-10");
        assert_eq!(names(&test), names(&real), "CYB-10");
        for name in ["content-type", "host", "user-agent", "authorization"] {
            assert_eq!(test.header(name), real.header(name), "CYB-10: {name}");
        }
        assert_eq!(test.header("authorization"), "Bearer t-1", "CYB-14");
        assert_eq!(test.header("vaas-signature"), TEST_TAG, "CYB-10");
        assert_eq!(real.header("vaas-signature"), EXAMPLE_TAG, "CYB-24");
        let moments = [test, real].map(|arrived| arrived.header("vaas-timestamp").to_owned());
        assert_eq!(moments, [NOW, NOW + 7].map(|moment| moment.to_string()), "CYB-10, CYB-27");
        assert_eq!(teller.get("/events").await.json["total"], 1, "the test is no event");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_does_not_take_it_is_not_there() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let elsewhere: &'static str = Box::leak(receiver.url().into_boxed_str());
    for (act, timeout, why) in [
        (Act::Answer(500), "30s", "it answered 500"),
        (Act::Answer(404), "30s", "it answered 404"),
        (Act::Answer(410), "30s", "it answered 410"),
        (Act::Answer(300), "30s", "it answered 300"),
        (Act::Say(302, vec![("location", elsewhere)], ""), "30s", "it answered 302"),
        (Act::HangUp, "30s", "ended the connection"),
        (Act::Hold(200), "1s", "within 1000 ms"),
    ] {
        let before = receiver.arrived().len();
        receiver.plan([act]);
        let said = teller.post("/webhooks", &connector(&receiver.url(), json!({ "timeout": timeout }))).await;
        let reason = reason(&said);
        assert!(reason.starts_with("it must take a test event first, and did not: "), "{reason}");
        assert!(reason.contains(why), "CYB-13: {why}: {reason}");
        assert_eq!(receiver.arrived().len(), before + 1, "it is asked once");
        check_that_nothing_is_there(&teller, why).await;
    }
    receiver.release();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let said = teller.post("/webhooks", &connector(&format!("http://{gone}/"), json!({}))).await;
    assert!(reason(&said).contains("refused"), "CYB-13: {said:?}");
    check_that_nothing_is_there(&teller, "refused").await;

    // Once it is mended the same request is good.
    create(&teller, &receiver.url(), json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_another_provider_becomes_one_by_the_same_test() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    let made = teller.register(&receiver.url(), json!({"provider": "vgs", "secret": SECRET})).await;
    let path = format!("/webhooks/{}", id(&made));
    for method in ["PATCH", "PUT"] {
        receiver.plan([Act::Answer(500)]);
        let input = connector(&receiver.url(), json!({}));
        let said = teller.ask(method, &path, ADMIN, &[], Some(&input)).await;
        assert_eq!(reason(&said), "it must take a test event first, and did not: it answered 500", "{method}");
        assert_eq!(teller.get(&path).await.json["webhook"]["provider"], "vgs", "{method}");
    }
    teller.patch(&path, &json!({"provider": "cyberark-vaas"})).await.answers(200);
    assert_eq!((receiver.arrived().len(), text(&receiver.arrived()[2])), (3, TEST));
    // One that is the provider's already is not asked again.
    teller.patch(&path, &json!({"provider": "cyberark-vaas", "description": "x"})).await.answers(200);
    assert_eq!(receiver.arrived().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_whose_account_was_switched_off_during_its_test_is_not_there() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    receiver.plan([Act::Hold(200)]);
    let input = connector(&receiver.url(), json!({}));
    let switched_off = async {
        receiver.wait_for(1).await;
        teller.put("/account", &json!({"notifications_enabled": false})).await.answers(200);
        receiver.release();
    };
    let (said, ()) = tokio::join!(teller.post("/webhooks", &input), switched_off);
    said.refuses(403, "not_enabled");
    teller.put("/account", &json!({})).await.answers(200);
    check_that_nothing_is_there(&teller, "CYB-13").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_everything_else_is_right() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    for (wrong, pointer) in [
        (json!({"headers": {"x-a": "1"}}), "/headers"),
        (json!({"secret": "short"}), "/secret"),
        (json!({"events": ["no event"]}), "/events/0"),
        (json!({"template": "none"}), "/template"),
        (json!({"group_id": "grp_none"}), "/group_id"),
        (json!({"retry": {"jitter": 2}}), "/retry/jitter"),
    ] {
        let said = teller.post("/webhooks", &connector(&receiver.url(), wrong)).await;
        assert_eq!(said.refuses(422, "validation").pointer(), pointer, "CYB-13");
    }
    assert!(receiver.arrived().is_empty());
    let made = create(&teller, &receiver.url(), json!({})).await;
    teller.put("/account", &json!({"max_webhooks": 1})).await.answers(200);
    teller.post("/webhooks", &connector(&receiver.url(), json!({}))).await.refuses(422, "limit_reached");
    assert_eq!(receiver.arrived().len(), 1);
    teller.put("/account", &json!({})).await.answers(200);

    // The same request under the same key is the same connector, and is not tried again.
    let input = connector(&receiver.url(), json!({}));
    let ask = async || teller.ask("POST", "/webhooks", ADMIN, &[("idempotency-key", "k")], Some(&input)).await;
    let first = ask().await.answers(201).json.clone();
    assert_eq!(ask().await.answers(201).json, first);
    assert_eq!(receiver.arrived().len(), 2);

    // Another URL is tried, whoever had one before; anything else is not.
    let (path, other) = (format!("/webhooks/{}", id(&made)), Upstream::start().await);
    other.plan([Act::Answer(500), Act::Answer(500)]);
    let moved = connector(&other.url(), json!({}));
    assert!(reason(&teller.put(&path, &moved).await).contains("500"), "CYB-13");
    assert!(reason(&teller.patch(&path, &json!({"url": other.url()})).await).contains("500"), "CYB-13");
    assert_eq!(teller.get(&path).await.json["webhook"]["url"], receiver.url());
    teller.patch(&path, &json!({"description": "x"})).await.answers(200);
    assert_eq!((receiver.arrived().len(), other.arrived().len()), (2, 2));
    teller.put(&path, &moved).await.answers(200);
    assert_eq!(other.arrived().iter().map(text).collect::<Vec<_>>(), [TEST; 3], "CYB-11");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_have_one_authorization_and_no_headers_but_their_own() {
    let (teller, receiver) = (Teller::start("").await, Upstream::start().await);
    for (number, authorization, header) in [
        ("CYB-20", json!({"type": "bearer", "token": "tok.en-1"}), Some("Bearer tok.en-1")),
        ("CYB-21", json!({"type": "basic", "username": "user", "password": "pa:ss"}), Some("Basic dXNlcjpwYTpzcw==")),
        ("CYB-22", json!({"type": "splunk", "token": "B5A79AAD"}), Some("Splunk B5A79AAD")),
        ("CYB-20", Value::Null, None),
    ] {
        for secret in [Value::Null, json!(SECRET)] {
            let before = receiver.arrived().len();
            let input = json!({"authorization": authorization, "secret": secret, "events": []});
            let made = create(&teller, &receiver.url(), input).await;
            let event = json!({"type": "CertificateExpiration", "data": {}, "webhook_ids": [made["id"]]});
            teller.post("/events", &event).await.answers(202);
            teller.reach(id(&made), "success", 1).await;
            for arrived in &receiver.arrived()[before..] {
                let values: Vec<_> = arrived.headers.get_all("authorization").iter().collect();
                assert_eq!(values, header.into_iter().collect::<Vec<_>>(), "{number}");
                assert_eq!(arrived.header("content-type"), "application/json", "CYB-26");
                assert_eq!(arrived.header("vaas-timestamp"), NOW.to_string(), "CYB-27");
                let signed = arrived.headers.contains_key("vaas-signature");
                assert_eq!(signed, secret.is_string(), "CYB-24, CYB-25");
                let mut wanted = vec!["content-length", "content-type", "host", "user-agent", "vaas-timestamp"];
                wanted.extend(signed.then_some("vaas-signature"));
                wanted.extend(header.map(|_| "authorization"));
                wanted.sort_unstable();
                assert_eq!(names(arrived), wanted, "CYB-28: {number}");
            }
        }
    }
    let before = receiver.arrived().len();
    for (number, wrong, pointer) in [
        ("CYB-20", json!({"authorization": {"type": "custom", "value": "Token x"}}), "/authorization/type"),
        (
            "CYB-20",
            json!({"authorization": {"type": "bearer", "token": "a"}, "headers": {"Authorization": "Basic b"}}),
            "/headers",
        ),
        ("CYB-28", json!({"headers": {"x-api-key": "1"}}), "/headers"),
        ("CYB-28", json!({"headers": {"content-type": "text/plain"}}), "/headers"),
        ("CYB-28", json!({"headers": {"VaaS-Signature": "x"}}), "/headers"),
    ] {
        let said = teller.post("/webhooks", &connector(&receiver.url(), wrong)).await;
        assert_eq!(said.refuses(422, "validation").pointer(), pointer, "{number}");
    }
    let made = create(&teller, &receiver.url(), json!({"events": []})).await;
    let added = json!({"headers": {"x-api-key": "1"}});
    let said = teller.patch(&format!("/webhooks/{}", id(&made)), &added).await;
    assert_eq!(said.refuses(422, "validation").pointer(), "/headers", "CYB-28");
    assert_eq!(receiver.arrived().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_content_type_is_not_sent() {
    let (teller, receiver, free) = (Teller::start("").await, Upstream::start().await, Upstream::start().await);
    let made = create(&teller, &receiver.url(), json!({})).await;
    let other = teller.register(&free.url(), json!({"provider": "github", "events": []})).await;
    for content_type in ["text/plain", "application/xml", "application/json; charset=utf-8"] {
        let event = json!({"type": "a", "raw": EXAMPLE, "content_type": content_type, "id": "e-1"});
        let told = teller.post("/events", &event).await.json["event"].clone();
        if content_type == "text/plain" {
            let denied = json!([{"webhook_id": made["id"], "reason": "content_type_denied"}]);
            assert_eq!((&told["webhook_ids"], &told["suppressed"]), (&json!([]), &denied), "CYB-28");
        }
    }
    let skipped = teller.reach(id(&made), "skipped", 1).await[0].clone();
    assert_eq!(skipped["reason"], "content_type_denied", "CYB-28");

    // Nor is it when somebody asks for it again.
    let path = format!("/webhooks/{}", id(&made));
    let again = teller.post(&format!("{path}/deliveries/{}/resend", id(&skipped)), &json!({})).await;
    let detail = again.refuses(409, "content_type_denied").json["detail"].as_str().expect("text").to_owned();
    let wanted = format!(
        "the event is text/plain, and cyberark-vaas, as which webhook {} is sent, has only application/json",
        made["id"]
    );
    assert_eq!(detail, wanted, "CYB-28");
    for named in [json!({}), json!({"webhook_ids": [made["id"]]})] {
        teller.post("/events/e-1/replay", &named).await.refuses(409, "content_type_denied");
    }
    let recover = json!({"since": at(0), "states": ["skipped"]});
    let recovered = teller.post(&format!("{path}/recover"), &recover).await;
    assert_eq!(recovered.answers(202).json["matched"], 0, "CYB-28");
    assert_eq!(receiver.arrived().len(), 1, "nothing but the test");
    teller.post("/events/e-1/replay", &json!({"webhook_ids": [other["id"]]})).await.answers(202);
    teller.reach(id(&other), "success", 1).await;
    assert_eq!(free.only().header("content-type"), "text/plain", "others send it");

    let event = json!({"type": "a", "raw": EXAMPLE, "content_type": "application/json"});
    teller.post("/events", &event).await.answers(202);
    teller.reach(id(&made), "success", 1).await;
    let arrived = receiver.arrived().pop().expect("one");
    assert_eq!((text(&arrived), arrived.header("content-type")), (EXAMPLE, "application/json"), "CYB-26");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connector_gets_one_event_for_each_request_unchanged_by_retries() {
    let stage = Stage::start("").await;
    let teller = &stage.teller;
    let receivers = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let mut made = Vec::new();
    for (receiver, events) in receivers.iter().zip([Value::Null, json!(["CertificateExpiration"]), json!(["other"])]) {
        let input = json!({"secret": SECRET, "events": events, "retry": {"jitter": 0}});
        made.push(create(teller, &receiver.url(), input).await);
    }
    receivers[0].plan([500, 500].map(Act::Answer));
    let told = expire(teller).await;
    let mut chosen: Vec<&Value> = told["webhook_ids"].as_array().expect("a list").iter().collect();
    chosen.sort_by_key(|id| id.to_string());
    assert_eq!(chosen, [&made[0]["id"], &made[1]["id"]], "CYB-01");
    teller.reach(id(&made[1]), "success", 1).await;
    for (attempts, wait) in [(1, 30), (2, 60)] {
        teller.deliveries(id(&made[0]), |all| all[0]["attempts"] == attempts).await;
        stage.pass(wait).await;
    }
    teller.reach(id(&made[0]), "success", 1).await;
    let mut arrived = receivers[0].arrived().split_off(1);
    arrived.push(receivers[1].arrived().remove(1));
    assert_eq!(arrived.len(), 4);
    for (arrived, moment) in arrived.iter().zip([0, 30, 90, 0]) {
        assert_eq!((arrived.method.as_str(), text(arrived)), ("POST", EXAMPLE), "CYB-30, CYB-35, CYB-50");
        assert_eq!(arrived.header("vaas-signature"), EXAMPLE_TAG, "CYB-24");
        assert_eq!(arrived.header("vaas-timestamp"), (NOW + moment).to_string(), "CYB-27");
        let body: Value = serde_json::from_slice(&arrived.body).expect("JSON");
        let events = body["events"].as_array().expect("a list");
        assert_eq!((events.len(), body.as_object().map(serde_json::Map::len)), (1, Some(1)), "CYB-30");
        for (number, field, value) in [
            ("CYB-32", "eventType", json!("CertificateExpiration")),
            ("CYB-32", "eventName", json!("Certificate Expiration")),
            ("CYB-33", "message", json!("Certificate api.example.com expires on 2025-02-01T00:00:00Z")),
            ("CYB-34", "criticality", json!(1)),
            ("CYB-35", "createdAt", json!("2025-01-15T12:45:00Z")),
        ] {
            assert_eq!(events[0][field], value, "CYB-31, {number}");
        }
        assert_eq!(events[0].as_object().map(serde_json::Map::len), Some(5), "CYB-31, CYB-33");
    }
    assert_eq!(receivers[2].arrived().len(), 1, "CYB-01: it asked for others");

    let events: Vec<_> = [0, 1, 0]
        .iter()
        .map(|level| json!({"type": "CertificateExpiration", "data": {"criticality": level}}))
        .collect();
    teller.post("/events/batch", &json!({ "events": events })).await.answers(202);
    teller.reach(id(&made[1]), "success", 4).await;
    let mut bodies: Vec<String> = receivers[1].arrived()[2..].iter().map(|arrived| text(arrived).to_owned()).collect();
    bodies.sort_unstable();
    let body = |level: u8| format!("{{\"events\":[{{\"criticality\":{level}}}]}}");
    assert_eq!(bodies, [body(0), body(0), body(1)], "CYB-30, CYB-34");

    let (path, input) = (format!("/webhooks/{}/test", id(&made[1])), json!({"event_type": "CertificateExpiration"}));
    let said = teller.post(&path, &input).await;
    let sent = said.answers(200).json["delivery"]["body"].as_str().expect("text");
    let sample: Value = serde_json::from_str(EXAMPLE).expect("JSON");
    assert_eq!(serde_json::from_str::<Value>(sent).expect("JSON"), sample, "CYB-32: a test has the example");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_arrives_by_way_of_a_gateway_byte_for_byte() {
    let rest = format!("secrets = [{{ literal = \"{SECRET}\" }}]");
    let (teller, gateway) = (Teller::start("").await, Gateway::start("cyberark-vaas", &rest).await);
    let url = format!("http://{}/in", gateway.address());
    let made = create(&teller, &url, json!({ "secret": SECRET })).await;
    assert!(gateway.upstream.arrived().is_empty(), "the gateway takes the test itself");
    expire(&teller).await;
    teller.reach(id(&made), "success", 1).await;
    let arrived = gateway.upstream.only();
    assert_eq!(text(&arrived), EXAMPLE, "CYB-36");
    assert_eq!(arrived.header("hookward-verified"), "cyberark-vaas;key=1", "CYB-36");
    let other = connector(&url, json!({"secret": "another_kat_secret"}));
    assert!(reason(&teller.post("/webhooks", &other).await).contains("401"), "CYB-36: another's secret is none");
    expire(&teller).await;
    teller.reach(id(&made), "success", 2).await;
    assert_eq!(gateway.upstream.arrived().len(), 1, "equal bodies are one event");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teams_connector_gets_a_card_in_place_of_the_envelope() {
    let stage = Stage::start("").await;
    let (teller, receiver) = (&stage.teller, Upstream::start().await);
    let input = json!({"template": "teams", "secret": SECRET, "retry": {"jitter": 0}});
    let made = create(teller, &receiver.url(), input).await;
    let card = |arrived: &Arrived| {
        let message: Value = serde_json::from_slice(&arrived.body).expect("JSON");
        assert_eq!((&message["type"], message.get("events")), (&json!("message"), None), "CYB-40");
        let attachment = &message["attachments"][0];
        assert_eq!(message["attachments"].as_array().map(Vec::len), Some(1), "CYB-43");
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive", "CYB-43");
        assert_eq!(attachment["content"]["type"], "AdaptiveCard", "CYB-43");
        attachment["content"]["body"].clone()
    };
    let test = card(&receiver.only());
    assert_eq!(test[1]["text"], "### VAAS: TESTING CONNECTION... OK ###", "CYB-40: the test is a card too");

    receiver.plan([Act::Say(429, vec![("retry-after", "120")], "")]);
    expire(teller).await;
    let delivery = teller.reach(id(&made), "retrying", 1).await[0].clone();
    assert_eq!(delivery["next_attempt_at"], at(120), "CYB-43: it asked for time");
    stage.pass(120).await;
    teller.reach(id(&made), "success", 1).await;
    let arrived = receiver.arrived();
    assert_eq!(arrived[1].body, arrived[2].body);
    let wanted = json!([
        {"type": "TextBlock", "text": "Certificate Expiration", "size": "large", "weight": "bolder", "wrap": true},
        {"type": "TextBlock", "text": "Certificate api.example.com expires on 2025-02-01T00:00:00Z", "wrap": true},
        {"type": "FactSet", "facts": [
            {"title": "Type", "value": "CertificateExpiration"},
            {"title": "Time", "value": "2025-01-15T12:45:00Z"},
        ]},
    ]);
    assert_eq!(card(&arrived[2]), wanted, "CYB-41, CYB-42");
    assert_eq!(arrived[2].header("content-type"), "application/json", "CYB-26");

    let huge = json!({"message": "é".repeat(60_000), "eventName": "é".repeat(9_000), "eventType": "\u{1}".repeat(9_000), "createdAt": "\"".repeat(9_000)});
    teller.publish("CertificateExpiration", huge).await;
    teller.reach(id(&made), "success", 2).await;
    let length = receiver.arrived()[3].body.len();
    assert!(length < 28 << 10, "CYB-43: {length} bytes");
}

/// A way for names to come to this, then that, and to the last for ever.
fn changing(answers: Vec<SocketAddr>) -> (Resolver, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver = Resolver::Fixed(Arc::new(move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        Ok(vec![answers[number]])
    }));
    (resolver, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_https_on_port_443_of_a_public_address_is_a_connectors_target() {
    let resolver = Resolver::Fixed(Arc::new(|name, port| match name {
        "inside.example.com" => Ok(vec![SocketAddr::from(([10, 1, 2, 3], port))]),
        "both.example.com" => Ok([[8, 8, 8, 8], [10, 1, 2, 3]].map(|ip| SocketAddr::from((ip, port))).to_vec()),
        "hooks.example.com" => Ok(vec![SocketAddr::from(([8, 8, 8, 8], port))]),
        _ => Err(io::ErrorKind::NotFound.into()),
    }));
    let strict = Teller::with("", "", resolver.clone()).await;
    let elsewhere = Teller::with("", "[egress]\nallow = [\"192.168.0.0/16\"]", resolver).await;
    for teller in [&strict, &elsewhere] {
        for (url, why) in [
            ("http://hooks.example.com/", "write https://"),
            ("http://hooks.example.com:443/", "write https://"),
            ("https://hooks.example.com:8443/", "port 8443 is not among those that this provider delivers to: 443"),
            ("https://hooks.example.com:80/", "port 80 is not among"),
            ("https://8.8.8.8:8443/", "port 8443 is not among"),
            ("https://10.1.2.3/", "10.1.2.3 is private"),
            ("https://127.0.0.1/", "127.0.0.1 is loopback"),
            ("https://[::1]/", "::1 is loopback"),
            ("https://[::ffff:10.1.2.3]/", "10.1.2.3 is private"),
            ("https://169.254.169.254/", "169.254.169.254 is link-local"),
            ("https://inside.example.com/", "comes to an address that is not public"),
            ("https://both.example.com/", "comes to an address that is not public"),
        ] {
            let said = teller.post("/webhooks", &connector(url, json!({}))).await;
            assert_eq!(said.refuses(422, "address_not_allowed").pointer(), "/url", "CYB-05: {url}");
            let detail = said.json["errors"][0]["detail"].as_str().expect("text");
            assert!(detail.contains(why), "CYB-05: {url}: {detail}");
        }
        check_that_nothing_is_there(teller, "targets").await;
        let other = json!({"url": "https://hooks.example.com:8443/", "provider": "github", "active": false});
        teller.post("/webhooks", &other).await.answers(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_judged_again_whenever_it_is_dialled() {
    let certified = Certified::new();
    let receiver = Receiver::start(OK, Some(certified.server(&[&TLS12, &TLS13]))).await;
    let input =
        connector("https://hooks.example.com/in", json!({"tls": {"ca": certified.ca}, "retry": {"delays": []}}));
    let public = SocketAddr::from(([8, 8, 8, 8], 443));

    // It is public while it is looked at, and inside when it is dialled.
    let (resolver, asked) = changing(vec![public, receiver.address]);
    let teller = Teller::with("", "", resolver).await;
    let said = teller.post("/webhooks", &input).await;
    assert!(reason(&said).contains("not public"), "CYB-05: {said:?}");
    assert!(!said.reply.text().contains("127.0.0.1"), "{said:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    check_that_nothing_is_there(&teller, "moved").await;

    // It is where the operator lets it be when it is registered, and elsewhere at its first event.
    for (later, why) in [
        (SocketAddr::from(([127, 0, 0, 2], receiver.address.port())), "not public"),
        (SocketAddr::from(([8, 8, 8, 8], 8443)), "port 8443 is not among"),
    ] {
        let (resolver, _) = changing(vec![public, receiver.address, later]);
        let before = receiver.asked().len();
        let teller = Teller::with("", "[egress]\nallow = [\"127.0.0.1/32\"]", resolver).await;
        let made = teller.post("/webhooks", &input).await.answers(201).json["webhook"].clone();
        assert_eq!(receiver.asked().len(), before + 1, "an operator's exception wins, of the port too");
        assert_eq!(receiver.asked()[before].body, TEST, "CYB-11");
        // The pool that made the test is not the delivery's.
        expire(&teller).await;
        let log = teller.reach(id(&made), "failed", 1).await;
        let error = log[0]["error"].as_str().expect("why");
        assert!(error.contains(why), "CYB-05: {error}");
        assert_eq!(receiver.asked().len(), before + 1, "CYB-05");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_from_the_address_that_is_published() {
    let receiver = Receiver::start(OK, None).await;
    let tables = format!("{LOOPBACK}bind = [\"127.0.0.3\"]\n");
    let teller = Teller::with("egress_ips = [\"54.152.176.29\", \"127.0.0.3\"]", &tables, Resolver::System).await;
    let made = create(&teller, &format!("http://{}/", receiver.address), json!({})).await;
    expire(&teller).await;
    teller.reach(id(&made), "success", 1).await;
    let peers: Vec<String> = receiver.asked().iter().map(|asked| asked.peer.ip().to_string()).collect();
    assert_eq!(peers, ["127.0.0.3"; 2], "CYB-04, CYB-10: the test and the delivery");
    assert_eq!(teller.get("/meta").await.json["egress_ips"], json!(["54.152.176.29", "127.0.0.3"]), "CYB-04");
}
